"""One call of a hook, whatever it does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from proxy.core.errors import ERRORS, ProxyError
from proxy.gateway.hooks.calling import FAILED, blunder, call
from proxy.hooks import Point, Refuse, Veto
from proxy.state.state import State
from tests.gateway import asked
from tests.gateway.hooks.made import one


@pytest.fixture
def state() -> State:
    return asked.state(asked.snapshot(asked.provider()))


def count(state: State, outcome: str) -> float:
    return state.metrics.hook_calls.child("h", "before_route", outcome).value


async def echo(value: Any) -> Any:
    return value


def nothing() -> None:
    """Says nothing."""


def raises(error: BaseException) -> Callable[[], Any]:
    def act() -> None:
        raise error

    return act


def raises_async(error: BaseException) -> Callable[[], Any]:
    async def act() -> None:
        raise error

    return act


async def test_what_it_returns(state: State) -> None:
    for function in (echo, lambda value: value, lambda value: echo(value)):
        assert await call(one(Point.BEFORE_ROUTE, function), state, 7) == 7
    assert count(state, "ok") == 3
    assert state.metrics.hook_seconds.child("h", "before_route").count == 3


@pytest.mark.parametrize("make", [raises, raises_async])
@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        SystemExit(1),
        asyncio.CancelledError(),
        StopIteration(),
        Veto(),
        TimeoutError(),
    ],
)
async def test_a_failure_is_the_policys_to_judge(
    make: Callable[[BaseException], Callable[[], Any]],
    error: BaseException,
    state: State,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(ProxyError) as raised:
        await call(one(Point.BEFORE_ROUTE, make(error)), state)
    assert raised.value.ref == "hook_failed"

    assert await call(one(Point.BEFORE_ROUTE, make(error), open=True), state) is FAILED

    assert count(state, "error") == 2
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "hook h at before_route" in record.getMessage()
    assert record.exc_info


async def test_who_takes_too_long(state: State) -> None:
    async def waits() -> None:
        await asyncio.Event().wait()

    made = one(Point.BEFORE_ROUTE, waits, timeout=0.01, open=True)

    assert await call(made, state) is FAILED
    assert count(state, "timeout") == 1


async def test_a_client_that_leaves_takes_its_call_along(state: State) -> None:
    begun = asyncio.Event()

    async def waits() -> None:
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.ensure_future(call(one(Point.BEFORE_ROUTE, waits), state))
    await begun.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert count(state, "cancelled") == 1


@pytest.mark.parametrize("make", [raises, raises_async])
async def test_a_refusal_is_no_failure(
    make: Callable[[BaseException], Callable[[], Any]], state: State
) -> None:
    refuse = Refuse("no\nway", code="my.code", status=451)

    with pytest.raises(ProxyError) as raised:
        await call(one(Point.BEFORE_ROUTE, make(refuse), open=True), state)
    with pytest.raises(Veto):
        await call(one(Point.BEFORE_ATTEMPT, make(Veto()), open=True), state)

    error = raised.value
    assert (error.ref, error.message, error.code) == ("hook_refused", "no\nway", "my.code")
    assert error.status == 451
    assert count(state, "refused") == 1
    assert state.metrics.hook_calls.child("h", "before_attempt", "refused").value == 1


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (ValueError("too long"), "too long"),
        (None, ERRORS["hook_refused"].message),
        ("a\ud83d", "a?"),
    ],
)
async def test_a_refusal_is_one_whatever_it_is_made_of(said: Any, told: str, state: State) -> None:
    odd: Any = 403
    refuse = Refuse(said, code=odd, status=float(odd))  # type: ignore[arg-type]

    with pytest.raises(ProxyError) as raised:
        await call(one(Point.BEFORE_ROUTE, raises(refuse), open=True), state)

    error = raised.value
    assert (error.ref, error.message, error.code) == ("hook_refused", told, "403")
    assert str(error.status) == "403"


@pytest.mark.parametrize("code", ["", "x" * 65, 'a"b', "ü"])
async def test_a_client_is_told_no_code_that_is_none(code: str, state: State) -> None:
    with pytest.raises(ProxyError) as raised:
        await call(one(Point.BEFORE_ROUTE, raises(Refuse("x" * 5000, code=code))), state)

    assert raised.value.code == "refused_by_hook"
    assert len(raised.value.message) == 1000


async def test_a_blunder_is_a_failure(state: State) -> None:
    assert blunder(one(Point.BEFORE_ROUTE, nothing, open=True), state, "did that") is FAILED
    with pytest.raises(ProxyError):
        blunder(one(Point.BEFORE_ROUTE, nothing), state, "did that")
    assert count(state, "error") == 2
