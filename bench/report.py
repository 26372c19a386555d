"""Turns outcomes into figures: medians over rounds, ratios to the baseline, goals; a table and JSON."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from bench.measure import Outcomes, complaint
from bench.scenarios import BASELINE, NEAR, NOISY_PERCENT, NOTHING, SUBJECT, others_percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bench.load import Outcome
    from bench.scenarios import Goal, Metric, Scenario


class Spread(Struct, frozen=True):
    """The median of the rounds, with the least and the most."""

    median: float
    least: float
    most: float


class Row(Struct, frozen=True):
    """One metric for every peer that has it, and the peers' ratios to the baseline."""

    scenario: str
    metric: str
    label: str
    unit: str
    is_cost: bool
    figures: dict[str, Spread]
    ratios: dict[str, Spread]
    goal: Goal | None
    met: bool | None
    baseline: str = BASELINE


class Report(Struct, frozen=True):
    """Everything a run found; this is what --json writes."""

    facts: dict[str, str]
    about: dict[str, str]
    rows: list[Row]
    complaints: list[str]
    noise: str
    outcomes: Outcomes
    near: list[str] = []
    """Whose rate was the tools' rather than its own; no fault, and its CPU time stands."""

    @property
    def missed(self) -> list[Row]:
        return [row for row in self.rows if row.met is False]


def report(scenarios: Sequence[Scenario], outcomes: Outcomes, facts: dict[str, str]) -> Report:
    shown = [scenario for scenario in scenarios if scenario.name in outcomes]
    return Report(
        facts=facts,
        about={scenario.name: scenario.about for scenario in shown},
        rows=[
            row
            for scenario in shown
            for metric in scenario.metrics
            if (row := _row(scenario, metric, outcomes[scenario.name])) is not None
        ],
        complaints=list(_complaints(outcomes)),
        noise=_noise(outcomes),
        outcomes=outcomes,
        near=list(_near(shown, outcomes)),
    )


def _near(scenarios: Sequence[Scenario], outcomes: Outcomes) -> Iterator[str]:
    """Peers in closed loops that came near to what load generator and simulator do with nothing between."""
    for scenario in scenarios:
        found = outcomes[scenario.name]
        if scenario.rate is None or not found.get(NOTHING):
            continue
        most = statistics.median(map(scenario.rate, found[NOTHING]))
        for name, rounds in found.items():
            rate = statistics.median(map(scenario.rate, rounds)) if rounds else 0.0
            if name != NOTHING and rate >= NEAR * most:
                yield (
                    f"{scenario.name}: {name} did {short(rate)} a second, and {short(most)} is all "
                    "that the load generator and the simulator can do: this is their rate"
                )


def _row(scenario: Scenario, metric: Metric, peers: Mapping[str, list[Outcome]]) -> Row | None:
    rounds = {
        name: [value for outcome in found if (value := metric.value(outcome)) is not None]
        for name, found in peers.items()
    }
    if metric.added:
        rounds = _added(rounds, scenario.nothing)
    figures = {name: spread(values) for name, values in rounds.items() if values}
    if not figures:
        return None
    base = rounds.get(scenario.baseline, [])
    ratios = {
        name: _ratio(values, base) for name, values in rounds.items() if values and _usable(base)
    }
    return Row(
        scenario=scenario.name,
        metric=metric.name,
        label=metric.label,
        unit=metric.unit,
        is_cost=metric.is_cost,
        figures=figures,
        ratios=ratios,
        goal=metric.goal,
        met=_met(metric.goal, figures, ratios, scenario.baseline),
        baseline=scenario.baseline,
    )


def _added(rounds: Mapping[str, list[float]], without: str) -> dict[str, list[float]]:
    """What each adds to having nothing between, round by round."""
    nothing = rounds.get(without, [])
    return {
        name: [value - beside for value, beside in zip(values, nothing, strict=False)]
        for name, values in rounds.items()
        if name != without
    }


def spread(values: Sequence[float]) -> Spread:
    return Spread(statistics.median(values), min(values), max(values))


def _usable(base: Sequence[float]) -> bool:
    return bool(base) and min(base) > 0


def _ratio(values: Sequence[float], base: Sequence[float]) -> Spread:
    """The ratio of the medians; its spread is that of the ratios within a round."""
    each = [value / beside for value, beside in zip(values, base, strict=False)]
    return Spread(statistics.median(values) / statistics.median(base), min(each), max(each))


def _met(
    goal: Goal | None, figures: Mapping[str, Spread], ratios: Mapping[str, Spread], baseline: str
) -> bool | None:
    """None when the goal, or the figure to compare with it, is missing. Beside Headrace itself all must meet it."""
    if goal is None:
        return None
    values = ratios if goal.is_ratio else figures
    subjects = [SUBJECT] if baseline != SUBJECT else [name for name in values if name != SUBJECT]
    found = [values[name].median for name in subjects if name in values]
    return max(found) <= goal.limit if found else None


def _complaints(outcomes: Outcomes) -> Iterator[str]:
    for scenario, peers in outcomes.items():
        for name, found in peers.items():
            for number, outcome in enumerate(found, 1):
                if text := complaint(outcome):
                    yield f"{scenario}, {name}, round {number}:{text}"


def _noise(outcomes: Outcomes) -> str:
    """Says so when other processes had a part of the measured core; empty when they kept away."""
    shares = [
        share
        for peers in outcomes.values()
        for found in peers.values()
        for outcome in found
        if (share := others_percent(outcome)) is not None
    ]
    if not shares or max(shares) < NOISY_PERCENT:
        return ""
    return (
        f"other processes had {statistics.median(shares):.0f} % of the measured core in the median "
        f"measurement and {max(shares):.0f} % at worst: do not quote these figures"
    )


def table(result: Report) -> str:
    """The report for a terminal: a table for each baseline."""
    text: list[str] = []
    for baseline in dict.fromkeys(row.baseline for row in result.rows):
        text += [*_table([row for row in result.rows if row.baseline == baseline], baseline), ""]
    text.append("Medians over the rounds (least-most). " + ", ".join(result.facts.values()))
    text.extend(f"{name}: {about}" for name, about in result.about.items())
    text.extend(f"WRONG {line}" for line in result.complaints)
    text.extend(f"LIMIT {line}" for line in result.near)
    if result.noise:
        text.append(f"NOISE {result.noise}")
    return "\n".join(text)


def _table(rows: Sequence[Row], baseline: str) -> list[str]:
    names = list(dict.fromkeys(name for row in rows for name in row.figures))
    head = ["", *names, *(f"{name} / {baseline}" for name in names if name != baseline), "goal"]
    lines = [head]
    lines.extend(
        [
            f"{row.label}, {row.unit}",
            *(_cell(row.figures.get(name)) for name in names),
            *(_times(row, name) for name in names if name != baseline),
            _goal_text(row),
        ]
        for row in rows
    )
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    text = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    text.insert(1, "-" * max(len(line) for line in text))
    return text


def _cell(found: Spread | None) -> str:
    if found is None:
        return "-"
    return f"{short(found.median)} ({short(found.least)}-{short(found.most)})"


def _times(row: Row, name: str) -> str:
    found = row.ratios.get(name)
    if found is None or not row.is_cost:
        return "-"
    return f"{found.median:.2f} ({found.least:.2f}-{found.most:.2f})"


def _goal_text(row: Row) -> str:
    if row.goal is None:
        return ""
    limit = f"<= {row.goal.limit:g}{' x' if row.goal.is_ratio else ''}"
    return limit if row.met is None else f"{limit} {'met' if row.met else 'MISSED'}"


def short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def to_json(result: Report) -> bytes:
    return msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n"
