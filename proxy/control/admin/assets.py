"""The files of the pages for people: the dashboard and the reference, from memory, under a name that says their content.

All of them stand in one folder, `/assets/DIGEST/`, whose name changes when any of them does: so a browser may keep them
for ever, and a page never has files of two versions. They are the same for everybody and hold nothing of anybody.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from proxy.control.admin.access import Permission
from proxy.control.admin.web import Answer, Problem, Route

if TYPE_CHECKING:
    from proxy.control.admin.services import Services
    from proxy.control.admin.web import Request

FOLDER: Final = Path(__file__).parents[2] / "dashboard"
HTML: Final = "text/html; charset=utf-8"
KINDS: Final[Mapping[str, str]] = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".html": HTML,
}
"""What is served, by the end of its name. Nothing else in the folder is."""
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Of our pages: files of this origin, no script or style in the page itself, nothing from elsewhere."""
FOREVER: Final = {"cache-control": "public, max-age=31536000, immutable"}


class Asset(Struct, frozen=True, eq=False):
    """One file."""

    kind: str
    plain: bytes
    packed: bytes
    """By gzip."""


class Assets:
    """All files, read when somebody first asks."""

    __slots__ = ("_digest", "_files", "_folder")

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder
        self._files: dict[str, Asset] | None = None
        self._digest = ""

    def routes(self) -> list[Route]:
        """Where the files are, and the pages made of them."""
        return [
            Route(
                "GET",
                "/dashboard",
                Permission.PUBLIC,
                self._dashboard,
                "The dashboard.",
                aliases=("/dashboard/", "/dashboard/{rest:path}"),
                tag="pages",
                gives=("text/html",),
            ),
            Route(
                "GET",
                "/assets/{digest}/{name:path}",
                Permission.PUBLIC,
                self._asset,
                "A file of the pages for people.",
                tag="documentation",
                gives=("text/html",),
            ),
        ]

    async def page(self, name: str) -> Answer:
        """An HTML file of the folder, in which `{assets}` is where the others are."""
        files = await self._read()
        content = files[name].plain.replace(b"{assets}", f"/assets/{self._digest}".encode())
        headers = {"content-security-policy": POLICY, "cache-control": "no-cache"}
        return Answer(content, headers=headers, kind=HTML)

    async def _dashboard(self, _request: Request, _services: Services) -> Answer:
        return await self.page("index.html")

    async def _asset(self, request: Request, _services: Services) -> Answer:
        files = await self._read()
        found = files.get(request.params["name"])
        if found is None or request.params["digest"] != self._digest or found.kind == HTML:
            raise Problem(404, "not_found", "There is no such file. Load the page anew.")
        if "gzip" in request.headers.get("accept-encoding", ""):
            packed = {"content-encoding": "gzip", "vary": "accept-encoding"}
            return Answer(found.packed, headers={**FOREVER, **packed}, kind=found.kind)
        return Answer(found.plain, headers={**FOREVER, "vary": "accept-encoding"}, kind=found.kind)

    async def _read(self) -> dict[str, Asset]:
        if self._files is None:
            made, self._digest = await asyncio.to_thread(read, self._folder)
            self._files = made
            return made
        return self._files


def read(folder: Path) -> tuple[dict[str, Asset], str]:
    """All files of a folder by their names, and a digest of the whole. Raises OSError."""
    files: dict[str, Asset] = {}
    whole = sha256()
    for path in sorted(folder.rglob("*")):
        kind = KINDS.get(path.suffix)
        if kind is None or not path.is_file():
            continue
        name, content = path.relative_to(folder).as_posix(), path.read_bytes()
        files[name] = Asset(kind, content, gzip.compress(content, 9, mtime=0))
        whole.update(f"{name}\0{len(content)}\0".encode() + content)
    return files, whole.hexdigest()[:16]
