"""More than the gateway can do, measured."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from bench.overload import Phase, Shot, chart, judge
from bench.peers import ROOT

PEAK = Phase("peak", -10.0, 0.0, 1.0)
PHASES = [
    Phase("normal", 0.0, 10.0, 0.5),
    Phase("2 x", 10.0, 20.0, 2.0),
    Phase("after 2 x", 20.0, 30.0, 0.5),
]


def shots(answers: float, took: float, ill_until: float) -> list[Shot]:
    """10 ms usually; so many answers a second of 200 in the overload, and nobody well until then after it."""
    found = [Shot(at / 100 - 10.0, 0.005, 200) for at in range(1000)]
    found += [Shot(at / 50, 0.01, 200) for at in range(500)]
    for at in range(2000):
        ok = (at * answers) % 200 < answers
        found.append(Shot(10.0 + at / 200, took if ok else 0.005, 200 if ok else 503))
    for at in range(500):
        due = 20.0 + at / 50
        found.append(Shot(due, 0.01, 503 if due < 20.0 + ill_until else 200))
    return found


@pytest.mark.parametrize(
    ("answers", "took", "ill_until", "missed"),
    [
        (95.0, 0.015, 2.0, set()),
        (80.0, 0.015, 2.0, {"2 x: answers, % of the peak"}),
        (95.0, 0.030, 2.0, {"2 x: p99 of answers, ms"}),
        (95.0, 0.015, 6.0, {"after 2 x: as before, s"}),
    ],
)
def test_each_goal_is_judged(
    answers: float, took: float, ill_until: float, missed: set[str]
) -> None:
    figures, goals = judge(PEAK, PHASES, shots(answers, took, ill_until))

    assert {goal.text for goal in goals if not goal.held} == missed
    assert len({figure.name for figure in figures}) == len(figures)


def test_a_late_refusal_is_a_miss() -> None:
    found = [
        Shot(one.due, 0.03 if one.status == 503 else one.took, one.status)
        for one in shots(95.0, 0.015, 0.0)
    ]
    _, goals = judge(PEAK, PHASES, found)

    assert [goal.text for goal in goals if not goal.held] == ["2 x: p99 of refusals, ms"]


def test_the_chart_counts_by_second() -> None:
    made = chart(PEAK, PHASES, shots(95.0, 0.015, 0.0))
    lines = dict(made.lines)

    assert len(lines["answered"]) == len(lines["asked"]) == 30
    assert lines["asked"][15][1] == pytest.approx(200, abs=1)
    assert made.span is not None
    assert made.span[:2] == (10.0, 20.0)


@pytest.mark.timeout(60)
def test_a_short_run_measures_everything(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "bench", "overload", "--quick"),
            *("--charts", str(tmp_path), "--json", str(figures)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    found = {
        one["name"]: one["value"] for one in msgspec.json.decode(figures.read_bytes())["figures"]
    }
    assert found["overload_peak"] > 0
    assert found["overload_usual"] > 0
    assert {"overload_1_goodput", "overload_1_said", "overload_2_back"} <= set(found)
    ElementTree.parse(tmp_path / "overload.svg")
