"""The files of the pages for people: what is served, as what, how much of it, and that libraries are as published."""

from __future__ import annotations

import gzip
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from proxy.control.admin.app import AdminApp
from proxy.control.admin.assets import FOLDER, KINDS, POLICY, Assets, read
from proxy.control.admin.web import Request
from tests.control.admin.desk import Desk

FIRST_VIEW = 150_000
"""Bytes, packed, until the first page stands: the goal."""
_IMPORT = re.compile(r"""(?:from|import) ?\(?["'](\.[^"']+)["']""")


def _request(path: str, **headers: str) -> Request:
    return Request("GET", path, {}, headers, b"", "127.0.0.1", "r1")


@pytest.fixture
def app(desk: Desk) -> AdminApp:
    return AdminApp(Assets().routes(), desk.services)


async def _answer(app: AdminApp, path: str, **headers: str) -> tuple[int, dict[str, str], Any]:
    return await app.answer(_request(path, **headers))


async def _folder(app: AdminApp) -> str:
    _, _, page = await _answer(app, "/dashboard")
    found = re.search(r'"(/assets/[0-9a-f]{16})/app\.js"', page.decode())
    assert found
    return found[1]


@pytest.mark.parametrize(
    "path", ["/dashboard", "/dashboard/", "/dashboard/requests", "/dashboard/requests/r1"]
)
async def test_every_path_of_the_dashboard_is_its_page(app: AdminApp, path: str) -> None:
    status, headers, page = await _answer(app, path)

    assert status == 200
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["content-security-policy"] == POLICY
    assert headers["cache-control"] == "no-cache"
    assert b"{assets}" not in page


async def test_a_file_may_be_kept_for_ever(app: AdminApp) -> None:
    folder = await _folder(app)

    status, headers, plain = await _answer(app, f"{folder}/app.js")
    _, packed_headers, packed = await _answer(
        app, f"{folder}/app.js", **{"accept-encoding": "br, gzip"}
    )

    assert (status, headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    assert "immutable" in headers["cache-control"]
    assert "content-encoding" not in headers
    assert packed_headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed) == plain == (FOLDER / "app.js").read_bytes()


@pytest.mark.parametrize(
    "name",
    [
        "none.js",
        "index.html",
        "vendor/README.md",
        "../dashboard/app.js",
        "%2e%2e/app.js",
        "app.js/",
    ],
)
async def test_nothing_else_is_served(app: AdminApp, name: str) -> None:
    status, headers, _ = await _answer(app, f"{await _folder(app)}/{name}")

    assert status == 404
    assert headers["cache-control"] == "no-store"


async def test_files_of_another_version_are_not_served(app: AdminApp) -> None:
    status, _, _ = await _answer(app, "/assets/0123456789abcdef/app.js")

    assert status == 404


def test_a_change_of_any_file_changes_the_folder(tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "a.js").write_text("1")
    (tmp_path / "pages/b.js").write_text("2")
    (tmp_path / "note.txt").write_text("3")
    files, before = read(tmp_path)

    (tmp_path / "pages/b.js").write_text("4")
    _, after = read(tmp_path)

    assert set(files) == {"a.js", "pages/b.js"}
    assert before != after


def test_libraries_are_as_they_were_published() -> None:
    folder = FOLDER / "vendor"
    rows = re.findall(
        r"^\| `(\S+)` \|.*\| `([0-9a-f]{64})` \|$", (folder / "README.md").read_text(), re.MULTILINE
    )

    assert {name for name, _ in rows} == {
        path.name for path in folder.iterdir() if path.suffix in KINDS
    }
    for name, digest in rows:
        assert sha256((folder / name).read_bytes()).hexdigest() == digest, name


def _with_imports(name: str, known: set[str]) -> set[str]:
    """A module and all that it asks for before it runs, or when it first shows the overview."""
    if name in known:
        return known
    known.add(name)
    text = (FOLDER / name).read_text()
    for found in _IMPORT.findall(text) if not name.startswith("vendor/") else ():
        path = ((FOLDER / name).parent / found).resolve().relative_to(FOLDER.resolve()).as_posix()
        if path.startswith("pages/") and path != "pages/overview.js" and name == "routes.js":
            continue
        _with_imports(path, known)
    return known


def test_the_first_view_is_small() -> None:
    files, _ = read(FOLDER)
    needed = _with_imports("app.js", {"index.html", "style.css", "vendor/uplot.css"})

    assert "pages/overview.js" in needed
    assert sum(len(files[name].packed) for name in needed) <= FIRST_VIEW


def test_every_import_leads_to_a_file() -> None:
    files, _ = read(FOLDER)
    for name in files:
        if not name.endswith(".js") or name.startswith("vendor/"):
            continue
        text = (FOLDER / name).read_text()
        for found in _IMPORT.findall(text):
            path = ((FOLDER / name).parent / found).resolve().relative_to(FOLDER.resolve())
            assert path.as_posix() in files, f"{name} imports {found}"


@pytest.mark.parametrize("forbidden", ["eval(", "new Function", "dangerouslySetInnerHTML", ".innerHTML", "document.write", "insertAdjacentHTML"])  # fmt: skip
def test_no_file_of_ours_makes_markup_or_code_of_text(forbidden: str) -> None:
    for path in FOLDER.rglob("*.js"):
        if path.parent.name != "vendor":
            assert forbidden not in path.read_text(), path.name


@pytest.mark.parametrize("pattern", [r"""(?:src|href|import|from|fetch|url|EventSource)\W{1,4}https?://""", r"sessionStorage", r"indexedDB"])  # fmt: skip
def test_no_file_of_ours_asks_elsewhere_or_keeps_what_opens_doors(pattern: str) -> None:
    for path in (*FOLDER.glob("*.*"), *FOLDER.glob("pages/*.js")):
        assert not re.search(pattern, path.read_text()), path.name
