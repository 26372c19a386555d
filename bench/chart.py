"""Draws the ratios of a report as bars in an SVG that reads well on light and on dark pages.

Written by hand, as text: a chart of bars needs no library. Colours follow the reader's
`prefers-color-scheme`, which browsers honour in an <img> too.
"""

from __future__ import annotations

from textwrap import wrap
from xml.sax.saxutils import escape, quoteattr

from bench.report import Report, Row, short
from bench.scenarios import BASELINE, SUBJECT

WIDTH = 760
LEFT = 190
RIGHT = 220
TOP = 62
BAR = 14
LEAST_ROW = 28
GAP = 12
FACTS_LINE = 115

STYLE = """\
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 16px; font-weight: 600 }
.small { font-size: 11px; fill: #59636e }
.axis { stroke: #59636e; stroke-width: 1 }
.subject { fill: #0b7285 }
.other { fill: #adb5bd }
.goal { stroke: #d9480f; stroke-width: 2; stroke-dasharray: 3 2 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.small { fill: #9198a1 }
.axis { stroke: #9198a1 }
.subject { fill: #3bc9db }
.other { fill: #6c757d }
.goal { stroke: #ff922b }
}"""


def chart(result: Report) -> str:
    """Bars of cost against the baseline's: shorter is better, the line at 1 is the baseline."""
    # Tails are in the table: one disturbed round would stretch the scale for every other bar.
    rows = [
        row
        for row in result.rows
        if row.baseline == BASELINE
        and row.is_cost
        and not row.metric.endswith(("_p99", "_p999"))
        and _bars(row)
    ]
    scale = (WIDTH - LEFT - RIGHT) / max((_reach(row) for row in rows), default=1.0)
    body: list[str] = []
    at = TOP
    for row in rows:
        body.append(_row(row, at, scale))
        at += _height(row) + GAP
    facts = ", ".join(value for name, value in result.facts.items() if name != "load")
    foot = wrap(facts, FACTS_LINE)
    height = at + 14 + 14 * len(foot)
    title = f"Cost as a multiple of {BASELINE}'s"
    one = LEFT + scale
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" role="img" aria-label={quoteattr(title)}>',
        f"<title>{escape(title)}</title>",
        f"<desc>{escape(_words(rows))}</desc>",
        f"<style>{STYLE}</style>",
        _text(16, 24, title, "title"),
        _text(16, 42, "Shorter is better. Dashed: the goal.", "small"),
        *body,
        f'<line class="axis" x1="{one:.1f}" x2="{one:.1f}" y1="{TOP - 8}" y2="{at - GAP + 6}"/>',
        _text(round(one) - 3, TOP - 12, f"{BASELINE} = 1", "small"),
        *(_text(16, at + 18 + 14 * number, line, "small") for number, line in enumerate(foot)),
        "</svg>",
    ]
    return "\n".join(drawn) + "\n"


def _bars(row: Row) -> list[str]:
    return [name for name in row.ratios if name not in (BASELINE, "bare")]


def _reach(row: Row) -> float:
    goal = row.goal.limit if row.goal is not None and row.goal.is_ratio else 1.0
    return max(goal, *(row.ratios[name].median for name in _bars(row)))


def _height(row: Row) -> int:
    return max(len(_bars(row)) * (BAR + 2), LEAST_ROW)


def _row(row: Row, top: int, scale: float) -> str:
    parts = [
        _text(16, top + BAR - 3, row.label),
        _text(16, top + BAR + 11, f"{BASELINE} {_figure(row, BASELINE)}", "small"),
    ]
    y = top
    for name in _bars(row):
        kind = "subject" if name == SUBJECT else "other"
        width = row.ratios[name].median * scale
        parts.append(
            f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2"/>'
        )
        said = f"{row.ratios[name].median:.1f} x, {_figure(row, name)}"
        said = said if name == SUBJECT else f"{name} {said}"
        parts.append(_text(WIDTH - RIGHT + 10, y + BAR - 3, said))
        y += BAR + 2
    if row.goal is not None and row.goal.is_ratio:
        x = LEFT + row.goal.limit * scale
        parts.append(f'<line class="goal" x1="{x:.1f}" x2="{x:.1f}" y1="{top - 3}" y2="{y + 1}"/>')
    return "\n".join(parts)


def _figure(row: Row, name: str) -> str:
    return f"{short(row.figures[name].median)} {row.unit}"


def _words(rows: list[Row]) -> str:
    return "; ".join(
        f"{row.label}: {name} {row.ratios[name].median:.1f} times {BASELINE}"
        for row in rows
        for name in _bars(row)
    )


def _text(x: int, y: int, content: str, kind: str | None = None) -> str:
    chosen = f' class="{kind}"' if kind else ""
    return f'<text{chosen} x="{x}" y="{y}">{escape(content)}</text>'
