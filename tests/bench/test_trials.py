from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from bench.peers import ROOT
from bench.trials import tails
from bench.trials.clockwork import Clock, Steps
from bench.trials.found import QUICK, Found, Goal
from bench.trials.lines import Chart, draw, ticks
from bench.trials.registry import REAL, TRIALS, table


def test_time_passes_in_order_and_a_pause_can_be_ended_early() -> None:
    clock = Clock(1)
    seen: list[tuple[str, float]] = []

    def sleeper() -> Steps:
        wakers.append(clock.waker())
        yield 10.0
        seen.append(("sleeper", clock.elapsed))
        yield 3.0
        seen.append(("sleeper again", clock.elapsed))

    def other() -> Steps:
        yield 1.0
        seen.append(("other", clock.elapsed))
        wakers[0]()

    wakers: list[Callable[[], None]] = []
    clock.spawn(sleeper())
    clock.spawn(other(), at=1.0)
    clock.run(20.0)

    assert seen == [("other", 2.0), ("sleeper", 2.0), ("sleeper again", 5.0)]


def test_what_is_left_at_the_end_is_dropped() -> None:
    clock = Clock(1)
    late: list[float] = []

    def process() -> Steps:
        yield 5.0
        late.append(clock.elapsed)

    clock.spawn(process())
    clock.run(4.0)
    clock.run(9.0)

    assert late == []


def test_the_same_seed_gives_the_same_run() -> None:
    few = msgspec.structs.replace(QUICK, requests=400)
    one, other = tails.run(few), tails.run(few)
    third = tails.run(msgspec.structs.replace(few, seed=2))

    assert one == other
    assert one != third


@pytest.mark.parametrize("most", [True, False])
def test_a_goal_is_held_at_its_limit_and_not_beyond(*, most: bool) -> None:
    beyond = 1.1 if most else 0.9

    assert Goal("x", 1.0, 1.0, most=most).held
    assert not Goal("x", beyond, 1.0, most=most).held
    assert "MISSED" in table(Found([Goal("x", beyond, 1.0, most=most)], [], Chart("", "", "", [])))


def test_a_chart_is_one_svg_with_a_line_for_each_series() -> None:
    lines = [("<a>", [(0.0, 0.0), (10.0, 3.0)]), ("b", [(0.0, 1.0), (10.0, 0.5)])]
    root = ElementTree.fromstring(
        draw(Chart("A & B", "x", "y", lines, goal=2.0, span=(2.0, 4.0, "so")))
    )
    name = "{http://www.w3.org/2000/svg}"
    texts = [one.text for one in root.iter(f"{name}text")]

    assert len(root.findall(f"{name}polyline")) == 4  # each with its sample in the legend
    assert {"A & B", "<a>", "b", "goal", "so"} <= set(texts)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.0, 105.0), (60.0, 420.0), (0.2, 4.0)])
def test_ticks_are_round_and_within(low: float, high: float) -> None:
    found = ticks(low, high)

    assert 3 <= len(found) <= 9
    assert all(low <= one <= high for one in found)


@pytest.mark.timeout(120)
def test_all_goals_are_held(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "bench", "trials", "--quick"),
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
    assert found["trials_failed"] == 0
    names = {f"trial-{name}" for name in (*TRIALS, *REAL)}
    assert {path.stem for path in tmp_path.glob("*.svg")} == names
