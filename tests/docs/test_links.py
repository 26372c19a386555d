"""Links inside the documentation lead somewhere, and every page can be reached."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import DOCS, LINKED, PAGES, ROOT, anchors, links


def target(page: Path, link: str) -> tuple[Path, str]:
    """The file and the anchor a relative link names."""
    path, _, anchor = link.partition("#")
    return ((page.parent / path).resolve() if path else page), anchor


def broken(page: Path) -> list[str]:
    found = []
    for link in links(page):
        if link.startswith(("https://", "http://")):
            continue
        path, anchor = target(page, link)
        if not path.exists() or (anchor and anchor not in anchors(path)):
            found.append(link)
    return found


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    assert broken(page) == []


def test_a_broken_link_is_found_out(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(
        "# A title: `code`\n[a](page.md) [b](#a-title-code) [c](gone.md) [d](#gone) `[e](gone.md)`\n"
    )

    assert broken(tmp_path / "page.md") == ["gone.md", "#gone"]


def test_every_page_is_linked_from_the_readme() -> None:
    linked = {target(ROOT / "README.md", link)[0] for link in links(ROOT / "README.md")}
    pages = {page for page in PAGES if page.parent == DOCS}

    assert sorted(page.name for page in pages - linked) == []


def test_images_are_used() -> None:
    used = {target(page, link)[0] for page in PAGES for link in links(page)}

    assert [path.name for path in (DOCS / "images").iterdir() if path not in used] == []
