"""The documentation as data: pages, their fenced blocks, headings, links and generated parts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
LINKED = [*PAGES, ROOT / "CHANGELOG.md", ROOT / "bench" / "README.md"]
"""Pages whose links are followed; commands are run in `PAGES` only."""

_FENCE = re.compile(r"(?P<indent> *)```(?P<language>[a-z]*)[^\n]*")
_GENERATED = re.compile(
    r"<!-- generated: (?P<name>[a-z]+) -->\n(?P<text>.*?)<!-- end -->", re.DOTALL
)
_LINK = re.compile(r"(?<!\\)\[[^\]\n]*\]\((?P<target>[^()\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)


class Block(Struct, frozen=True):
    """A fenced block. `line` is that of its fence, counted from 1."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        """Where it is, as editors and test reports write it."""
        return f"{self.page.relative_to(ROOT).as_posix()}:{self.line}"


def blocks(page: Path, *languages: str) -> list[Block]:
    """The page's fenced blocks, in order; only those in `languages` when there are any."""
    return [block for block in _blocks(page) if not languages or block.language in languages]


def _blocks(page: Path) -> Iterator[Block]:
    opened: re.Match[str] | None = None
    begun = 0
    inside: list[str] = []
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if opened is None:
            opened = _FENCE.fullmatch(line)
            begun, inside = number, []
        elif line.strip() == "```":
            yield Block(page, begun, opened["language"], "\n".join(inside) + "\n")
            opened = None
        else:
            inside.append(line.removeprefix(opened["indent"]))
    assert opened is None, f"{page.name}:{begun}: this block does not end"


def every(*languages: str) -> list[Block]:
    """All blocks in these languages, of all pages."""
    return [block for page in PAGES for block in blocks(page, *languages)]


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    lines = page.read_text().splitlines()
    for block in blocks(page):
        last = block.line + block.text.count("\n") + 1
        lines[block.line - 1 : last] = [""] * (last - block.line + 1)
    return "\n".join(lines)


def anchors(page: Path) -> set[str]:
    """What `#…` may name on the page, by the rule of the usual forges."""
    found: set[str] = set()
    for heading in _HEADING.findall(prose(page)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        found.add(re.sub(r"[^\w\- ]", "", plain).replace(" ", "-"))
    return found


def links(page: Path) -> list[str]:
    """The targets of all links and images."""
    text = re.sub(r"`[^`\n]*`", "", prose(page))
    return [match["target"] for match in _LINK.finditer(text)]


def generated(page: Path) -> dict[str, str]:
    """The parts of a page that `tests.docs.tables` writes."""
    return {match["name"]: match["text"] for match in _GENERATED.finditer(page.read_text())}


def replace_generated(page: Path, name: str, text: str) -> None:
    """Write one generated part anew."""
    old = page.read_text()
    new = _GENERATED.sub(
        lambda match: (
            f"<!-- generated: {name} -->\n{text}<!-- end -->" if match["name"] == name else match[0]
        ),
        old,
    )
    if new != old:
        page.write_text(new)
