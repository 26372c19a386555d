"""How many requests may begin when the loop is behind."""

from __future__ import annotations

from collections import deque
from math import inf
from random import Random

import pytest

from proxy.state.lag import (
    ALARM,
    ALLOW,
    BEGIN,
    CALM,
    LEAST,
    QUICK,
    REST,
    STANDING,
    TICK,
    WINDOW,
    Lag,
)

COST = 1 / 400
"""Seconds that a request keeps the loop busy; one that is refused, a fiftieth of that."""
REFUSAL = COST / 50


class Loop:
    """An event loop that does one thing after the other: requests that arrive at random, and the ticks."""

    def __init__(self, seed: int = 1) -> None:
        self.lag = Lag()
        self.rng = Random(seed)
        self.now = self.free = self.due = 100.0
        self.ends: deque[float] = deque()
        self.names: tuple[str, ...] = ("a",)
        self.urgencies: tuple[int, ...] = (1,)

    def run(self, rate: float, seconds: float) -> tuple[list[float], list[tuple[str, int]], int]:
        """How long those waited that were taken, who they were, and how many were refused."""
        waits, who, refused = [], [], 0
        end = self.now + seconds
        while self.now < end:
            self.now += self.rng.expovariate(rate)
            while self.due <= self.now:
                at = max(self.due, self.free)
                self._finish(at)
                self.lag.tick(at)
                self.due = at + self.lag.pause
            start = max(self.now, self.free)
            self._finish(start)
            name, urgency = self.rng.choice(self.names), self.rng.choice(self.urgencies)
            if (self.lag.share or start > self.lag.late) and not self.lag.takes(
                start, 1, name, urgency, self.rng
            ):
                self.free = start + REFUSAL
                refused += 1
                continue
            self.free = start + COST
            self.ends.append(self.free)
            waits.append(self.free - self.now)
            who.append((name, urgency))
        return waits, who, refused

    def _finish(self, now: float) -> None:
        while self.ends and self.ends[0] <= now:
            self.ends.popleft()
            self.lag.done += 1


@pytest.mark.parametrize("times", [1.2, 2.0, 5.0, 10.0])
def test_it_does_what_it_can_and_no_more(times: float) -> None:
    loop = Loop()
    loop.run(200.0, 5.0)
    loop.run(400.0 * times, 5.0)
    waits, _, _ = loop.run(400.0 * times, 10.0)
    possible = min((1 - times * REFUSAL / COST) / (1 - REFUSAL / COST), 1.0)

    assert len(waits) > 0.88 * possible * 4000
    assert sorted(waits)[len(waits) // 2] < 0.02
    assert max(waits) < 0.1


@pytest.mark.parametrize("times", [2.0, 10.0])
def test_it_is_over_as_soon_as_they_are_fewer(times: float) -> None:
    loop = Loop()
    loop.run(200.0, 5.0)
    loop.run(400.0 * times, 15.0)
    loop.run(200.0, 4.0)

    assert loop.run(200.0, 5.0)[2] == 0
    assert (loop.lag.quota, loop.lag.share) == (inf, 0.0)


def test_the_most_urgent_are_taken() -> None:
    loop = Loop()
    loop.urgencies = (0, 1, 2)
    loop.run(800.0, 5.0)
    _, who, _ = loop.run(800.0, 10.0)
    taken = [sum(urgency == one for _, urgency in who) / (8000 / 3) for one in range(3)]

    assert taken[0] > 0.9
    assert 0.2 < taken[1] < 0.7
    assert taken[2] < 0.1


def test_whoever_asks_most_is_refused_most() -> None:
    loop = Loop()
    loop.names = ("greedy",) * 9 + ("modest",)
    loop.run(800.0, 5.0)
    _, who, _ = loop.run(800.0, 10.0)

    assert sum(name == "modest" for name, _ in who) > 0.85 * 800
    assert sum(name == "greedy" for name, _ in who) < 0.5 * 7200


def test_what_nobody_has_used_is_for_whoever_comes() -> None:
    """The others are gone, and nobody has counted that yet."""
    lag, rng, now = Lag(), Random(1), 0.0
    while not lag.share:
        lag.tick(now)
        now += TICK + 0.05
    for _ in range(2000):
        lag.takes(now, 1, "a", 1, rng)
    lag.tick(now + TICK)  # two thousand at once: the chance of one is small
    now += TICK

    taken = []
    for _ in range(20):
        end = now + 1.0
        while now < end:
            now += lag.pause
            lag.tick(now)
        taken.append(lag.takes(now, 1, "a", 1, rng))
    assert all(taken)


def test_nobody_is_let_in_for_the_time_that_a_sample_is_overdue() -> None:
    lag, rng, now = Lag(), Random(1), 0.0
    while not lag.share:
        lag.tick(now)
        now += TICK + 0.05
    lag.quota = 100.0
    lag.tick(now)
    while lag.takes(now, 1, "a", 1, rng):
        pass  # what has been spared
    due = now + QUICK + ALLOW

    def taken(moment: float) -> int:
        return sum(lag.takes(moment, 1, "a", 1, rng) for _ in range(20))

    assert taken(due) == int(100.0 * (QUICK + ALLOW))
    assert taken(due + 1.0) == 0


def test_who_asks_for_no_more_than_is_theirs_is_let_in_before_the_others_are() -> None:
    lag, rng = Lag(), Random(1)
    lag.share, lag.quota = 1.0, 0.0
    for name, times in (("greedy", 1000), ("modest", 1)):
        for _ in range(times):
            lag.demand.asked(1, name, 1)
    lag.demand.divide(100.0, 1.0)

    assert not any(lag.takes(0.0, 1, "greedy", 1, rng) for _ in range(100))
    assert [lag.takes(0.0, 1, "modest", 1, rng) for _ in range(4)] == [True, True, True, False]


def test_one_long_delay_is_no_reason() -> None:
    lag = Lag()
    for now in (0.0, TICK, 5.0, 5.0 + TICK, 5.0 + 2 * TICK):
        lag.tick(now)

    assert not lag.share


def test_it_begins_with_what_was_done_lately() -> None:
    lag, now = Lag(), 0.0
    for _ in range(20):
        lag.tick(now)
        lag.done += 10
        now += TICK
    for _ in range(STANDING):
        now += 0.03
        lag.tick(now)
        lag.done += 10
        now += TICK

    assert lag.share
    assert lag.quota == pytest.approx(100 * BEGIN, rel=0.15)


def test_a_sample_that_is_overdue_is_not_waited_for() -> None:
    lag, rng = Lag(), Random(1)
    lag.tick(10.0)

    assert lag.late == pytest.approx(10.0 + TICK + ALARM)
    taken = sum(lag.takes(11.0, 1, "a", 1, rng) for _ in range(200))
    assert 0 < taken <= LEAST


def test_without_anybody_the_quota_is_gone() -> None:
    lag, now = Lag(), 0.0
    for _ in range(STANDING + 1):
        lag.tick(now)
        now += TICK + 0.05
    assert lag.share
    end = now + CALM + 1.0
    while now < end:
        lag.tick(now)
        now += lag.pause

    assert not lag.share


def test_it_says_how_late_it_was() -> None:
    lag = Lag()

    assert lag.tick(5.0) == 0.0
    assert lag.tick(5.0 + TICK + 0.03) == pytest.approx(0.03)


def idle(lag: Lag, now: float) -> float:
    """Until samples are rare; when the next one is."""
    for _ in range(WINDOW + 2):
        lag.tick(now)
        now += lag.pause
    assert lag.pause == REST
    return now


def test_while_nobody_asks_samples_are_rare_and_the_next_request_ends_that() -> None:
    lag, woken = Lag(), []
    lag.wake = lambda: woken.append(True)
    at = idle(lag, 100.0) - REST / 2

    assert at > lag.late
    assert lag.takes(at, 1, "a", 1, Random(1))
    assert woken == [True]
    assert (lag.pause, lag.share) == (TICK, 0.0)
    assert lag.late == pytest.approx(at + TICK + ALARM)
    assert lag.tick(at + TICK + 0.03) == pytest.approx(0.03)
    assert lag.pause == TICK


def test_a_rest_is_sampled_too_and_a_loop_that_is_late_has_none() -> None:
    lag = Lag()
    due = idle(lag, 100.0)

    assert lag.tick(due + 0.01) == pytest.approx(0.01)
    assert lag.pause == REST
    assert lag.tick(due + 0.01 + REST + 0.3) == pytest.approx(0.3)
    assert lag.pause == TICK


def test_whoever_answers_now_and_then_has_no_rest() -> None:
    lag, now, pauses = Lag(), 100.0, set()
    for turn in range(50):
        lag.done += turn % 5 == 0
        lag.tick(now)
        now += lag.pause
        pauses.add(lag.pause)

    assert pauses == {TICK}
