"""The table of `python -m bench capacity`: three sizes, side by side; and what the same fleet does in trouble."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from bench.capacity import Given, given, need, published
from bench.store import Figure
from bench.trials.lines import draw
from bench.troubles import SCENES, drawn, play

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bench.capacity import Measured, Need
    from bench.troubles import Scene, Seen

SIZES: Final = ((1_000, 4), (100_000, 16), (10_000_000, 16))
"""Streams at once, and the cores of a machine for so many, unless another number is given."""
TROUBLED, WEIGHT = 100_000, 100.0
"""Streams of the fleet that gets into trouble, and for how many of them one stands."""


def cases(words: Sequence[str]) -> list[tuple[Given, float]]:
    """What is assumed at each size. Raises PeerError as `given` does."""
    load = given(words)
    chosen = any(word.startswith("cores=") for word in words)
    return [(load if chosen else replace(load, cores=cores), streams) for streams, cores in SIZES]


def large(number: float) -> str:
    """Three digits that mean something, in words of engineers."""
    for size, word in ((1e12, " T"), (1e9, " G"), (1e6, " M")):
        if number >= size:
            return f"{number / size:.3g}{word}"
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def _nth(at: int) -> Callable[[Need], str]:
    def fullest(one: Need) -> str:
        name, share = one.full[at]
        return f"{name} {share:.0%}"

    return fullest


def _dollars(at: int) -> Callable[[Need], str]:
    return lambda one: f"{one.dollars[at][1]:,.0f}"


ROWS: Final[Sequence[tuple[str, Callable[[Need], str]]]] = (
    ("requests a second", lambda one: large(one.requests)),
    ("tokens a second", lambda one: large(one.tokens)),
    ("**machines**", lambda one: f"**{one.machines:,}**"),
    ("workers, all together", lambda one: f"{one.workers:,}"),
    ("streams on a machine", lambda one: f"{one.each:,.0f}"),
    ("what is fullest there, of what it may be", _nth(0)),
    ("and next", _nth(1)),
    ("connections to PostgreSQL", lambda one: f"{one.connections:,.0f}"),
    ("bookings, as a multiple of one PostgreSQL", lambda one: f"{one.databases:.2g}" if one.databases < 10 else large(one.databases)),
    ("calls of Valkey a second, at most", lambda one: large(one.calls)),
    ("rows, bytes a day", lambda one: large(one.rows)),
    ("spool of a machine, bytes a day", lambda one: large(one.spool)),
    ("the database may be away, hours", lambda one: f"{one.outage / 3600:,.0f}"),
    ("US dollars a day: machines", _dollars(0)),
    ("… what leaves for clients", _dollars(1)),
    ("… the providers' tokens", _dollars(2)),
)  # fmt: skip


def table(cost: Measured, words: Sequence[str] = ()) -> tuple[list[str], list[list[str]]]:
    """(head, rows), for a page."""
    found = cases(words)
    needs = [need(cost, load, streams) for load, streams in found]
    head = ["streams at once", *(large(streams) for _, streams in found)]
    rows = [
        ["cores of a machine", *(str(load.cores) for load, _ in found)],
        *([label, *(text(one) for one in needs)] for label, text in ROWS),
    ]
    return head, rows


def troubles(
    cost: Measured, words: Sequence[str] = (), seed: int = 1, weight: float = WEIGHT
) -> list[tuple[Scene, Seen]]:
    """Each scene, on the fleet of TROUBLED streams."""
    load = given(words)
    return [
        (scene, play(scene, cost, load, TROUBLED, seed=seed, weight=weight)) for scene in SCENES
    ]


def trouble_table(results: Sequence[tuple[Scene, Seen]]) -> tuple[list[str], list[list[str]]]:
    """The same for those."""
    head = ["", "busiest machine, at most", "streams cut", "seconds in which tokens are late", "until all is as it was, s"]  # fmt: skip
    rows = [
        [scene.name, f"{seen.peak:.0%}", f"{seen.cut:.1%}", str(seen.late), f"{seen.over:,.0f}" if seen.over else "-"]
        for scene, seen in results
    ]  # fmt: skip
    return head, rows


def measure(
    words: Sequence[str], seed: int, charts: Path | None, say: Callable[[str], None]
) -> list[Figure]:
    """Print both tables, draw the chart. Raises PeerError for an assumption that is none."""
    cost = published()
    results = troubles(cost, words, seed)
    for head, rows in (table(cost, words), trouble_table(results)):
        say("\n" + "\n".join(_aligned([head, *rows])))
    if charts is not None:
        charts.mkdir(parents=True, exist_ok=True)
        machines = need(cost, given(words), TROUBLED).machines
        (charts / "capacity.svg").write_text(draw(drawn(results, machines, TROUBLED)))
    return [
        Figure(f"capacity_{streams:.0f}", f"machines for {large(streams)} streams", need(cost, load, streams).machines, "")
        for load, streams in cases(words)
    ]  # fmt: skip


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    rows = [[cell.replace("*", "") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
