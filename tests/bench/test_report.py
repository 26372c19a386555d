"""The report: medians, ratios of what was measured side by side, goals met and missed."""

from __future__ import annotations

import msgspec
import pytest

from bench.load import Held, Latency, Outcome
from bench.report import Report, report, spread, table, to_json
from bench.scenarios import SCENARIOS


def request_costs(*costs: float) -> list[Outcome]:
    return [Outcome(requests=1000, seconds=1.0, cpu_us=cost * 1000) for cost in costs]


def made(headrace: list[float], nginx: list[float]) -> Report:
    outcomes = {"request": {"nginx": request_costs(*nginx), "headrace": request_costs(*headrace)}}
    return report(SCENARIOS, outcomes, {"cpu": "a machine"})


def test_a_spread_is_median_least_and_most() -> None:
    found = spread([3.0, 1.0, 2.0])

    assert (found.median, found.least, found.most) == (2.0, 1.0, 3.0)


def test_the_ratio_is_that_of_medians_and_its_spread_that_of_rounds() -> None:
    row = made(headrace=[40, 90, 60], nginx=[10, 20, 30]).rows[0]

    ratio = row.ratios["headrace"]
    assert (ratio.median, ratio.least, ratio.most) == (3.0, 2.0, 4.5)


@pytest.mark.parametrize(("cost", "met"), [(45, True), (46, False)])
def test_a_goal_is_held_against_the_ratio(cost: float, met: bool) -> None:
    result = made(headrace=[cost], nginx=[10])

    assert result.rows[0].met is met
    assert bool(result.missed) is not met
    assert ("MISSED" in table(result)) is not met


def test_a_goal_without_a_baseline_is_neither_met_nor_missed() -> None:
    result = report(SCENARIOS, {"request": {"headrace": request_costs(60)}}, {})

    assert result.rows[0].met is None


@pytest.mark.parametrize(("memory", "met"), [(1000 + 30 * 200, True), (1000 + 31 * 200, False)])
def test_held_streams_are_held_against_kilobytes(memory: int, met: bool) -> None:
    held = [Held(streams=100, memory_kb=0), Held(streams=200, memory_kb=memory)]
    outcome = Outcome(tokens=200, seconds=1.0, memory_before_kb=1000, held=held)

    result = report(SCENARIOS, {"held": {"headrace": [outcome]}}, {})

    assert result.rows[0].met is met


def test_errors_are_said_in_the_table() -> None:
    outcome = Outcome(requests=1, errors=2, truncated=3, seconds=1.0, first_error="overloaded")

    text = table(report(SCENARIOS, {"request": {"nginx": [outcome]}}, {}))

    assert "WRONG request, nginx, round 1: (2 errors, 3 truncated: overloaded)" in text


def test_a_noisy_neighbour_is_said_in_the_table() -> None:
    noisy = [Outcome(requests=1, seconds=1.0, cpu_us=1000, others_cpu_us=500_000)]

    assert "50 %" in table(report(SCENARIOS, {"request": {"nginx": noisy}}, {}))


def test_a_peer_without_cpu_time_leaves_its_cell_empty() -> None:
    bare = [Outcome(requests=1000, seconds=1.0)]
    outcomes = {"request": {"bare": bare, "nginx": request_costs(20)}}

    row = report(SCENARIOS, outcomes, {}).rows[0]

    assert set(row.figures) == {"nginx"}


def test_json_holds_every_round() -> None:
    decoded = msgspec.json.decode(to_json(made(headrace=[40, 50], nginx=[10, 10])))

    assert decoded["rows"][0]["ratios"]["headrace"]["median"] == 4.5
    assert len(decoded["outcomes"]["request"]["headrace"]) == 2


def test_what_is_added_is_less_what_there_is_without_anything() -> None:
    found = {
        name: [Outcome(requests=1, seconds=1.0, latency=Latency(p50=value)) for value in values]
        for name, values in {
            "bare": [100, 110],
            "nginx": [130, 150],
            "headrace": [150, 180],
        }.items()
    }

    rows = {row.metric: row for row in report(SCENARIOS, {"latency": found}, {}).rows}

    assert rows["latency_p50"].figures["bare"].median == 105
    added = rows["latency_added"]
    assert set(added.figures) == {"nginx", "headrace"}
    assert (added.figures["nginx"].median, added.figures["headrace"].median) == (35, 60)
    assert added.ratios["headrace"].median == 60 / 35
    assert added.met is True


def test_who_comes_near_to_what_the_tools_can_do_is_named() -> None:
    def done(requests: int) -> list[Outcome]:
        return [Outcome(requests=requests, seconds=1.0, cpu_us=1.0)]

    rates = {"bare": done(1000), "nginx": done(800), "headrace": done(799)}

    result = report(SCENARIOS, {"request": rates}, {})

    assert [line.partition(" did ")[0] for line in result.near] == ["request: nginx"]
    assert "LIMIT request: nginx did 800 a second, and 1,000 is all" in table(result)
    assert not result.complaints
