"""Draws lines in an SVG that reads well on light and on dark pages, in the style of `bench.chart`."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, log10
from xml.sax.saxutils import escape, quoteattr

from msgspec import Struct

WIDTH, HEIGHT = 760, 340
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 86, 52
STYLE = """\
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 16px; font-weight: 600 }
.small { font-size: 11px; fill: #59636e }
.axis { stroke: #59636e; stroke-width: 1 }
.grid { stroke: #d0d7de; stroke-width: 1 }
.span { fill: #f1c5ae; opacity: .35 }
.goal { stroke: #d9480f; stroke-width: 1.5; stroke-dasharray: 5 3 }
.line { fill: none; stroke-width: 2; stroke-linejoin: round }
.a { stroke: #0b7285 } .b { stroke: #d9480f } .c { stroke: #868e96; stroke-dasharray: 6 3 } .d { stroke: #7048e8; stroke-dasharray: 2 2 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.small { fill: #9198a1 }
.axis { stroke: #9198a1 }
.grid { stroke: #30363d }
.span { fill: #8a4a2b }
.goal { stroke: #ff922b }
.a { stroke: #3bc9db } .b { stroke: #ff922b } .c { stroke: #adb5bd } .d { stroke: #b197fc }
}"""
KINDS = "abcd"

Point = tuple[float, float]


class Chart(Struct, frozen=True):
    """What is to be seen."""

    title: str
    across: str
    """What the horizontal axis counts."""
    up: str
    lines: Sequence[tuple[str, Sequence[Point]]]
    """At most four: what it is, and its points from left to right."""
    goal: float | None = None
    """A height."""
    span: tuple[float, float, str] | None = None
    """A stretch of the horizontal axis, and what happens in it."""
    top: float | None = None
    """Of the vertical axis; None: as the lines need."""


def draw(chart: Chart) -> str:
    """The SVG."""
    points = [point for _, line in chart.lines for point in line]
    low, high = min(x for x, _ in points), max(x for x, _ in points)
    top = chart.top or max([y for _, y in points] + [chart.goal or 0.0]) * 1.05 or 1.0

    def x(value: float) -> float:
        return LEFT + (value - low) / ((high - low) or 1.0) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - min(value, top) / top * (HEIGHT - TOP - BOTTOM)

    base = HEIGHT - BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" role="img" aria-label={quoteattr(chart.title)}>',
        f"<title>{escape(chart.title)}</title>",
        f"<style>{STYLE}</style>",
        _text(16, 24, chart.title, "title"),
        _text(16, 42, chart.up, "small"),
    ]
    if chart.span is not None:
        begin, end, what = chart.span
        parts.append(
            f'<rect class="span" x="{x(begin):.1f}" y="{TOP}" width="{x(end) - x(begin):.1f}" '
            f'height="{base - TOP}"/>'
        )
        parts.append(_text(x(begin) + 4, TOP + 12, what, "small"))
    for value in ticks(0.0, top):
        parts.append(_line("grid", LEFT, WIDTH - RIGHT, y(value), y(value)))
        parts.append(_text(LEFT - 6, y(value) + 4, f"{value:g}", "small", "end"))
    for value in ticks(low, high):
        parts.append(_line("axis", x(value), x(value), base, base + 4))
        parts.append(_text(x(value), base + 17, f"{value:g}", "small", "middle"))
    parts.append(_line("axis", LEFT, WIDTH - RIGHT, base, base))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, chart.across, "small", "middle"))
    if chart.goal is not None:
        parts.append(_line("goal", LEFT, WIDTH - RIGHT, y(chart.goal), y(chart.goal)))
        parts.append(_text(WIDTH - RIGHT, y(chart.goal) - 5, "goal", "small", "end"))
    for kind, (_, line) in zip(KINDS, chart.lines, strict=False):
        path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in line)
        parts.append(f'<polyline class="line {kind}" points="{path}"/>')
    parts += _legend([name for name, _ in chart.lines])
    return "\n".join([*parts, "</svg>"]) + "\n"


def _legend(names: Sequence[str]) -> list[str]:
    """A sample and a name for each line, in one row or two."""
    places = [54 + 7 * len(name) for name in names]
    rows = 1 if LEFT + sum(places) < WIDTH else 2
    first = len(names) if rows == 1 else (len(names) + 1) // 2
    parts = []
    for number, (kind, name) in enumerate(zip(KINDS, names, strict=False)):
        row = number >= first
        at = LEFT + sum(places[first if row else 0 : number])
        height = 66 if rows == 1 else (76 if row else 60)
        sample = f"{at},{height - 4} {at + 24},{height - 4}"
        parts.append(f'<polyline class="line {kind}" points="{sample}"/>')
        parts.append(_text(at + 30, height, name))
    return parts


def ticks(low: float, high: float) -> list[float]:
    """Four to nine round numbers from `low` to `high`."""
    rough = (high - low or 1.0) / 6
    power = 10.0 ** floor(log10(rough))
    step = next(power * one for one in (1, 2, 5, 10) if power * one >= rough)
    first = -int(-low // step)
    return [round(step * at, 10) for at in range(first, int(high / step + 1e-9) + 1)]


def _line(kind: str, x1: float, x2: float, y1: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, content: str, kind: str = "", anchor: str = "") -> str:
    chosen = f' class="{kind}"' if kind else ""
    placed = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text{chosen}{placed} x="{x:.1f}" y="{y:.1f}">{escape(content)}</text>'
