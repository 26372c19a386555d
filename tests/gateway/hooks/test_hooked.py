"""What an exchange has of its hooks."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest

from proxy.core.errors import Cause, ProxyError, UpstreamError
from proxy.core.model import Model
from proxy.core.tasks import running
from proxy.gateway.answer import Kind
from proxy.gateway.attempt import Attempt
from proxy.gateway.exchange import Exchange
from proxy.gateway.hooks import hooked as module
from proxy.gateway.meter import Meter
from proxy.gateway.reuse.identity import identity
from proxy.hooks import Answer, Ended, Piece, Point, Request, Trial, Veto, Window
from tests.gateway import asked
from tests.gateway.hooks.made import hook, hooked, request
from tests.line.harness import until

MODEL = Model("m", ())


def attempt(exchange: Exchange, body: bytes = b"{}") -> Attempt:
    """One that was answered with this."""
    snapshot = asked.snapshot(asked.provider())
    deployment = snapshot.models["m"].tiers[0][0]
    candidate: Any = SimpleNamespace(deployment=deployment, dialect="", upstream_model="up")
    made = Attempt(exchange, candidate)
    made.gate = cast("Any", SimpleNamespace(kind=Kind.WHOLE, held=body, status=200))
    return made


# --- headers ---


async def test_headers_of_all_hooks_are_sent() -> None:
    def one(request: Request, trial: Trial) -> None:
        assert (trial.provider, trial.model, trial.dialect) == ("p", "up", "openai.chat")
        trial.headers["X-One"] = "1"

    async def two(request: Request, trial: Trial) -> None:
        assert trial.headers == {}
        trial.headers["x-two"] = "ü"

    exchange = request()
    made = hooked(exchange, hook(Point.BEFORE_ATTEMPT, one), hook(Point.BEFORE_ATTEMPT, two))

    assert await made.before_attempt(attempt(exchange)) == [(b"x-one", b"1"), (b"x-two", b"\xfc")]


async def test_a_veto_is_nobodys_fault() -> None:
    def veto(request: Request, trial: Trial) -> None:
        raise Veto

    exchange = request()

    with pytest.raises(UpstreamError) as raised:
        await hooked(exchange, hook(Point.BEFORE_ATTEMPT, veto)).before_attempt(attempt(exchange))

    assert (raised.value.cause, raised.value.sent) == (Cause.VETOED, False)
    assert raised.value.refusal is not None
    assert raised.value.refusal.code == "vetoed_by_hook"


# --- whole answers ---


def shout(request: Request, window: Window) -> Piece:
    assert window.final
    return Piece(window.text.upper())


def note(request: Request, answer: Answer) -> None:
    answer.set("note", [answer.provider, answer.status, answer.field("choices")])


async def test_screens_come_before_those_that_see_all_of_it() -> None:
    exchange = request()
    choice = {"text": "a", "logprobs": {"tokens": ["a"]}}
    one = attempt(exchange, orjson.dumps({"id": "a", "choices": [choice]}))

    await hooked(
        exchange, hook(Point.AFTER_RESPONSE, note), hook(Point.SCREEN, shout, name="s")
    ).answered(one)

    choices = [{"text": "A", "logprobs": None}]
    assert orjson.loads(one.gate.held) == {
        "id": "a",
        "choices": choices,
        "note": ["p", 200, choices],
    }


@pytest.mark.parametrize("body", [b"RIFF\x00\x01", b"[1]", b"", b'{"choices": [ ]}'])
async def test_what_is_no_object_or_has_no_words_stays_as_it_is(body: bytes) -> None:
    exchange = request()
    one = attempt(exchange, body)

    await hooked(exchange, hook(Point.SCREEN, shout)).answered(one)

    assert one.gate.held is body


async def test_a_number_that_nobody_can_represent_is_no_hindrance() -> None:
    exchange = request()
    one = attempt(exchange, b'{"choices": [{"text": "a", "score": 1e999}]}')

    await hooked(exchange, hook(Point.SCREEN, shout)).answered(one)

    assert one.gate.held == b'{"choices":[{"text":"A","score":null}]}'


@pytest.mark.parametrize(
    ("half", "mended"), [(rb"\ud83d", " "), (b"\xf0\x9f", "\N{REPLACEMENT CHARACTER}")]
)
async def test_half_a_character_hides_nothing(half: bytes, mended: str) -> None:
    def note(request: Request, answer: Answer) -> None:
        answer.set("note", len(answer.field("choices")))

    exchange, said = request(), rb'{"choices": [{"text": "a%b\ud83c\udf0a"}]}' % half
    screened, noted, kept = (attempt(exchange, said) for _ in range(3))

    await hooked(exchange, hook(Point.SCREEN, shout)).answered(screened)
    await hooked(exchange, hook(Point.AFTER_RESPONSE, note)).answered(noted)
    await hooked(exchange, hook(Point.AFTER_RESPONSE, lambda *_: None)).answered(kept)

    assert orjson.loads(screened.gate.held)["choices"] == [{"text": f"A{mended}🌊"}]
    assert orjson.loads(noted.gate.held)["note"] == 1
    assert kept.gate.held is said


async def test_a_refusal_leaves_word_why() -> None:
    def breaks(request: Request, answer: Answer) -> None:
        answer.set("x", object())

    exchange = request()
    made = hooked(exchange, hook(Point.AFTER_RESPONSE, breaks))

    with pytest.raises(ProxyError) as raised:
        await made.answered(attempt(exchange))

    assert raised.value.ref == "hook_failed"
    assert made._meter is not None
    assert made._meter.cause == "hook_failed"


# --- who may share ---


async def test_what_was_different_before_is_not_the_same() -> None:
    one, other, plain = request(), request(), request()
    a, b = (hooked(exchange, hook(Point.BEFORE_ROUTE, print)) for exchange in (one, other))
    assert identity(one, "all", MODEL) == identity(other, "all", MODEL)
    assert identity(one, "all", MODEL) != identity(plain, "all", MODEL)

    a.came(b"ann")
    b.came(b"bob")
    a.came(b"changed twice")

    assert identity(one, "all", MODEL) != identity(other, "all", MODEL)
    b._came = b"ann"
    assert identity(one, "all", MODEL) == identity(other, "all", MODEL)


async def test_only_who_may_look_at_keys_keeps_them_apart() -> None:
    exchange = request()

    assert hooked(exchange, hook(Point.SCREEN, print)).alone
    assert not hooked(exchange, hook(Point.ON_END, print)).alone


async def test_a_shadow_asks_whom_it_may_ask() -> None:
    exchange, copy = request(), request()
    meter = Meter(copy, asked.state(asked.snapshot(asked.provider())))
    looks = [hook(Point.SCREEN, print), hook(Point.BEFORE_ATTEMPT, print)]

    shadow = hooked(exchange, *looks).shadow(copy, meter)

    assert shadow is not None
    assert (shadow.attempts, shadow.screens, shadow.answers) == (True, False, False)
    assert hooked(exchange, looks[0]).shadow(copy, meter) is None


# --- the end ---


async def test_each_is_told_though_another_fails() -> None:
    seen: list[Ended] = []

    def fails(request: Request, ended: Ended) -> None:
        raise ValueError

    exchange = request()
    made = hooked(
        exchange,
        hook(Point.ON_END, lambda _, ended: seen.append(ended)),
        hook(Point.ON_END, fails, name="fails"),
    )
    meter = made._meter
    assert meter is not None
    meter.outcome = "client_gone"

    made.over(meter)
    await until(lambda: bool(seen))

    assert (seen[0].outcome, seen[0].input, seen[0].cost, seen[0].first) == (
        "client_gone",
        -1,
        -1,
        -1,
    )
    calls = made.state.metrics.hook_calls
    assert calls.child("fails", "on_end", "error").value == 1


async def test_a_crowd_that_ends_at_once_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ENDS", 2)
    gate = asyncio.Event()

    async def waits(request: Request, ended: Ended) -> None:
        await gate.wait()

    made = hooked(request(), hook(Point.ON_END, waits, timeout=20))
    meter = made._meter
    assert meter is not None
    for _ in range(2):
        made.over(meter)

    made.over(meter)

    assert made.state.metrics.hook_calls.child("h", "on_end", "dropped").value == 1
    gate.set()
    await until(lambda: module._Ends.running == 0)
    assert all(task.get_name() != "hooks at the end" for task in running())
