"""Operators can have providers asked, and cannot have them asked without end."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from proxy.control.admin.turnstile import AT_ONCE, IN_A_MINUTE, Turnstile
from proxy.control.admin.web import Problem
from proxy.core.clock import Hands


def refused(gate: Turnstile, name: str) -> int:
    """Seconds until one may come back."""
    with pytest.raises(Problem) as raised, gate.through(name):
        pass
    assert (raised.value.status, raised.value.code) == (429, "too_many")
    return int(raised.value.headers["retry-after"])


def test_one_at_a_time_for_each_credential(hands: Hands) -> None:
    gate = Turnstile()
    with gate.through("a"):
        assert refused(gate, "a") == 1
        with gate.through("b"):
            pass
    with gate.through("a"):
        pass


def test_one_that_fails_leaves_its_place() -> None:
    gate = Turnstile()
    with pytest.raises(RuntimeError), gate.through("a"):
        raise RuntimeError

    with gate.through("a"):
        pass


def test_a_few_at_once(hands: Hands) -> None:
    gate = Turnstile()
    with ExitStack() as stack:
        for number in range(AT_ONCE):
            stack.enter_context(gate.through(str(number)))
        assert refused(gate, "one more") == 1


def test_some_in_a_minute(hands: Hands) -> None:
    gate = Turnstile()
    for _ in range(IN_A_MINUTE):
        with gate.through("a"):
            hands.advance(1.0)

    assert refused(gate, "a") == 60 - IN_A_MINUTE
    hands.advance(60 - IN_A_MINUTE)
    with gate.through("a"):
        pass
