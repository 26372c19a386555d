"""All trials: what each is called, and running them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.store import Figure
from bench.trials import collapse, cuts, grey, outage, prefixes, restless, storm, tails
from bench.trials.lines import draw

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from bench.machine import Cores
    from bench.peers import Upstream
    from bench.trials.found import Found, Scale

TRIALS: Mapping[str, Callable[[Scale], Found]] = {
    "grey": grey.run,
    "storm": storm.run,
    "outage": outage.run,
    "tails": tails.run,
    "prefixes": prefixes.run,
    "collapse": collapse.run,
    "restless": restless.run,
}
"""Those in virtual time."""
REAL = {"cuts": cuts.run}
"""Those with a whole proxy."""


def measure(
    scale: Scale, upstream: Upstream, cores: Cores, charts: Path | None, say: Callable[[str], None]
) -> list[Figure]:
    """Run all, print what each found, draw the charts; `trials_failed` is how many goals were missed."""
    figures: list[Figure] = []
    missed = 0
    for name in (*TRIALS, *REAL):
        found = TRIALS[name](scale) if name in TRIALS else REAL[name](scale, upstream, cores)
        say(f"{name}\n" + table(found))
        missed += sum(not goal.held for goal in found.goals)
        named = [
            *((goal.text, goal.value, "") for goal in found.goals),
            *((one.text, one.value, one.unit) for one in found.figures),
        ]
        figures += [
            Figure(f"trial_{name}_{number}", f"{name}: {text}", value, unit)
            for number, (text, value, unit) in enumerate(named)
        ]
        if charts is not None:
            charts.mkdir(parents=True, exist_ok=True)
            (charts / f"trial-{name}.svg").write_text(draw(found.chart))
    return [*figures, Figure("trials_failed", "goals missed", missed, "")]


def table(found: Found) -> str:
    """For a terminal."""
    lines = [
        f"  {'held' if goal.held else 'MISSED':7}{goal.text:66}{goal.value:9.3f}"
        f" {'<=' if goal.most else '>='} {goal.limit:g}"
        for goal in found.goals
    ]
    lines += [f"  {'':7}{one.text:66}{one.value:9.3f} {one.unit}" for one in found.figures]
    return "\n".join(lines)
