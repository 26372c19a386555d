"""A rest tells who goes by it, and only when it has changed."""

from __future__ import annotations

from random import Random

from proxy.core.errors import Cause
from proxy.state.rests import Refusal, Rest


class Listener:
    def __init__(self, rest: Rest) -> None:
        self.rest = rest
        self.heard: list[float] = []
        rest.followers.append(self)

    def follow(self) -> None:
        self.heard.append(self.rest.until)


def test_followers_hear_of_a_pause_and_of_its_end() -> None:
    rest = Rest()
    listener = Listener(rest)

    rest.cool(Refusal(Cause.AUTH, 9.0), 10.0, Random(1))
    rest.worked(9.0)  # sent before
    rest.worked(11.0)
    rest.worked(12.0)  # nothing is left to end

    assert listener.heard == [310.0, 0.0]


def test_one_attempt_finds_out_whether_a_refusal_still_holds() -> None:
    rest, rng = Rest(), Random(1)
    listener = Listener(rest)
    rest.cool(Refusal(Cause.AUTH, 9.0), 10.0, rng)

    rest.lend(309.0)  # a last resort
    assert rest.until == 310.0
    rest.lend(311.0)
    assert rest.until == 316.0, "and the others wait"
    rest.cool(Refusal(Cause.AUTH, 311.0), 312.0, rng)
    assert rest.until == 312.0 + 1800.0
    rest.lend(3000.0)
    rest.worked(3000.0)

    assert rest.reason is None
    assert listener.heard == [310.0, 316.0, 2112.0, 3005.0, 0.0]


def test_a_limit_that_has_ended_is_nobodys_secret() -> None:
    rest = Rest()
    rest.cool(Refusal(Cause.RATE_LIMIT, 9.0, 429, 1.0), 10.0, Random(1))
    until = rest.until

    rest.lend(20.0)

    assert rest.until == until


def test_the_reason_stays_until_something_worked() -> None:
    rest, rng = Rest(), Random(1)
    rest.cool(Refusal(Cause.QUOTA, 9.0), 10.0, rng)

    rest.cool(Refusal(Cause.QUOTA, 700.0), 701.0, rng)

    assert (rest.reason, rest.strikes, rest.until) == (Cause.QUOTA, 2, 701.0 + 1200.0)
