"""A fleet in trouble does what arithmetic says, and the same each time."""

from __future__ import annotations

import pytest

from bench.capacity import Given, Measured, need
from bench.trials.lines import draw
from bench.troubles import AWAY, BACK, SCENES, Scene, Seen, drawn, play

COST = Measured(request=100e-6, token=20e-6, stream=20e3, recorded=1.0)
LOAD = Given(rate=50, answer=450, first=1, cores=10, beside=2, tls=1.0)
STREAMS, WEIGHT = 40_000.0, 100.0
MACHINES = need(COST, LOAD, STREAMS).machines


def played(scene: Scene, seed: int = 1) -> Seen:
    return play(scene, COST, LOAD, STREAMS, seed=seed, weight=WEIGHT)


QUIET = Scene("nothing", 120, lambda _: 1.0)


def test_without_trouble_it_is_as_busy_as_it_was_planned() -> None:
    seen = played(QUIET)
    usual = STREAMS * 0.00091 / (8 * MACHINES)

    average = sum(share for _, share in seen.line) / len(seen.line) / 100
    # The busiest of all is a little above the mean.
    assert usual * 0.95 < average < usual * 1.15
    assert (seen.cut, seen.late, seen.over) == (0, 0, 0)


def test_the_same_seed_is_the_same_day() -> None:
    assert played(QUIET) == played(QUIET)
    assert played(QUIET) != played(QUIET, 2)


def test_who_dies_takes_its_share_along_and_the_others_bear_it() -> None:
    seen = played(SCENES[0])

    assert seen.cut == pytest.approx(1 / MACHINES, rel=0.15)
    before = max(share for at, share in seen.line if at < 0)
    after = max(share for at, share in seen.line if 0 <= at < BACK)
    assert before < after < before * MACHINES / (MACHINES - 1) * 1.15
    assert seen.over == BACK


def test_twice_the_load_is_twice_as_busy() -> None:
    seen = played(SCENES[1])

    before = [share for at, share in seen.line if at < 0]
    after = [share for at, share in seen.line if at > 120]
    ratio = sum(after) / len(after) / (sum(before) / len(before))
    assert ratio == pytest.approx(2.0, rel=0.1)
    assert (seen.late > 0) == (seen.peak > 1)


def test_in_turn_cuts_nobody_whose_stream_is_shorter_than_the_drain() -> None:
    seen = played(SCENES[2])

    assert seen.cut == 0
    # As long as the longest stream of each, and at least a little.
    assert seen.over > MACHINES * AWAY
    assert seen.late == 0


def test_what_was_seen_can_be_drawn() -> None:
    results = [(scene, played(scene)) for scene in SCENES[:2]]

    text = draw(drawn(results, MACHINES, STREAMS))

    assert all(scene.name in text for scene, _ in results)
    assert f"{MACHINES} machines with 40,000 streams" in text
