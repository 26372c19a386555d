"""What is remembered of a limit that was met."""

from __future__ import annotations

from math import inf

import pytest

from proxy.limits.accounts import What
from proxy.state.room import LONGEST, Room


@pytest.mark.parametrize("what", ["rpm", "quota_requests"])
def test_what_refuses_everybody_is_not_asked_again_until_it_ends(what: What) -> None:
    room = Room()

    room.fill(what, 0.4, 100.0)

    assert (room.until, room.end, room.what) == (100.4, 100.4, what)


@pytest.mark.parametrize("wait", [3600.0, inf])
def test_a_long_wait_is_looked_into_every_second(wait: float) -> None:
    room = Room()

    room.fill("quota_requests", wait, 100.0)

    assert (room.until, room.end) == (100.0 + LONGEST, 100.0 + wait)


@pytest.mark.parametrize("what", ["tpm", "quota_tokens", "concurrency", "budget", "blind"])
def test_what_depends_on_the_request_is_not_remembered(what: What) -> None:
    room = Room()

    room.fill(what, 60.0, 100.0)

    assert room.until == 0.0
