"""The same request to another model, after the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.core.model import Deployment, Model, Overload, Price, Shadow, Snapshot
from proxy.gateway import routing, shadowing
from proxy.gateway.shadowing import apart
from tests.gateway.asked import CHAT, provider, raw, snapshot
from tests.gateway.recorded import Ledger, recording
from tests.gateway.served import COMPLETION, STREAMED, Provider, Served, serving, silent, whole
from tests.line.harness import read_request, scripted, until

OTHER = COMPLETION.replace(b"hello", b"good morning")
PRICE = Price(input=3.0, output=15.0)


def asked(**body: Any) -> bytes:
    return raw("POST", CHAT, orjson.dumps({"model": "m", "messages": []} | body))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    one = Ledger(tmp_path)
    yield one
    one.close()


def shadowed(first: str, second: str, share: float = 1.0) -> Snapshot:
    """The model `m`, and `n` in its shadow."""
    places = provider(first, "p"), provider(second, "q")
    made = snapshot(places[0], price=PRICE)
    other = Model("n", ((Deployment("n-1", places[1], "other", price=PRICE),),))
    model = replace(made.models["m"], shadow=Shadow("n", share))
    return replace(made, models={"m": model, "n": other}, providers={p.name: p for p in places})


def shadows(served: Served, outcome: str) -> float:
    family = served.state.metrics.shadows
    return sum(c.value for labels, c in family.children().items() if outcome in labels)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_the_other_model_is_asked_the_same_and_its_answer_is_booked(
    ledger: Ledger, stream: bool
) -> None:
    answers = (STREAMED, STREAMED) if stream else (whole(), whole(OTHER))
    one, other = Provider(answers[0]), Provider(answers[1])
    async with (
        scripted(one) as first,
        scripted(other) as second,
        recording(shadowed(first, second), ledger) as served,
    ):
        answer = await served.ask(asked(stream=stream, temperature=0.5))
        await until(lambda: shadows(served, "ok") == 1)
        await until(lambda: len(ledger.ends) == 2)
        distance = served.state.metrics.shadow_distance.child("m", "n")

    assert answer.status == 200
    bodies = [orjson.loads(each.requests[0][1]) for each in (one, other)]
    assert bodies[1] == bodies[0] | {"model": "other"}
    first_end, second_end = ledger.ends
    assert (first_end.key, second_end.key) == ("", "shadow")
    assert (second_end.model, second_end.key_id) == ("n", "")
    assert second_end.cost == first_end.cost > 0
    assert distance.count == 1
    assert distance.sum == (0.0 if stream else 1.0)
    assert served.state.metrics.requests.children().keys() == {
        ("/v1/chat/completions", "m", "p", "200", str(stream).lower())
    }


async def test_only_a_share_and_only_what_is_nothing_but_asked() -> None:
    one, other = Provider(whole()), Provider(whole(OTHER))
    async with scripted(one) as first, scripted(other) as second:
        for content, body in (
            (shadowed(first, second, 0.0), asked()),
            (shadowed(first, second), asked(store=True)),
        ):
            async with serving(content) as served:
                await served.ask(body)
                assert shadows(served, "") == 0

    assert (len(one.requests), len(other.requests)) == (2, 0)


async def test_what_was_not_answered_well_is_not_asked_again() -> None:
    other = Provider(whole(OTHER))
    refusal = whole(b'{"error":{"message":"no"}}', 400)
    async with (
        scripted(Provider(refusal)) as first,
        scripted(other) as second,
        serving(shadowed(first, second)) as served,
    ):
        assert (await served.ask(asked())).status == 400

    assert not other.requests


async def test_what_becomes_of_it_is_nobodys_trouble(ledger: Ledger) -> None:
    async with (
        scripted(Provider(whole())) as first,
        scripted(Provider(whole(b"{}", 500))) as second,
        recording(shadowed(first, second), ledger) as served,
    ):
        assert (await served.ask(asked())).status == 200
        await until(lambda: shadows(served, "failed") == 1)
        await until(lambda: served.state.shadows == 0)


async def test_a_shadow_has_none() -> None:
    one, other, third = Provider(whole()), Provider(whole()), Provider(whole())
    async with (
        scripted(one) as first,
        scripted(other) as second,
        scripted(third) as last,
    ):
        made = shadowed(first, second)
        place = provider(last, "r")
        behind = Model("o", ((Deployment("o-1", place, "third"),),))
        models = {**made.models, "n": replace(made.models["n"], shadow=Shadow("o", 1.0))}
        settings = replace(
            made, models={**models, "o": behind}, providers={**made.providers, "r": place}
        )
        async with serving(settings) as served:
            await served.ask(asked())
            await until(lambda: shadows(served, "ok") == 1)
            await until(lambda: served.state.shadows == 0)

    assert (len(one.requests), len(other.requests), len(third.requests)) == (1, 1, 0)


async def test_a_shadow_waits_for_a_place_as_any_request_to_its_model() -> None:
    one, other = Provider(whole()), Provider(whole())
    async with scripted(one) as first, scripted(other) as second:
        made = shadowed(first, second)
        tight = Overload(start=1, least=1, most=1, queue=0.01)
        other_model = replace(made.models["n"], overload=tight)
        async with serving(replace(made, models={**made.models, "n": other_model})) as served:
            state = served.state.live.deployments["n-1"]
            route = routing.plan(
                served.state.snapshot,
                served.state.live,
                "n",
                None,
                "openai.chat",
                served.state.rng,
                "chat",
            )
            taken = route.first(0.0)
            await served.ask(asked())
            await until(lambda: shadows(served, "failed") == 1)
            route.ended(taken)

    assert state.inflight == 0
    assert not other.requests


async def test_there_are_never_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadowing, "MOST", 1)
    async with (
        scripted(Provider(whole())) as first,
        scripted(silent) as second,
        serving(shadowed(first, second)) as served,
    ):
        await served.ask(asked())
        await until(lambda: served.state.shadows == 1)
        await asyncio.gather(*(served.ask(asked()) for _ in range(5)))
        assert served.state.shadows == 1


async def test_nor_are_there_of_requests_that_were_under_way_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shadowing, "MOST", 2)
    waiting, go = 0, asyncio.Event()

    async def together(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal waiting
        await read_request(reader)
        waiting += 1
        await go.wait()
        writer.write(whole())

    async with (
        scripted(together) as first,
        scripted(silent) as second,
        serving(shadowed(first, second)) as served,
    ):
        answers = asyncio.gather(*(served.ask(asked()) for _ in range(6)))
        await until(lambda: waiting == 6)
        go.set()
        assert {answer.status for answer in await answers} == {200}
        await until(lambda: served.state.shadows >= 2)
        assert served.state.shadows == 2


@given(st.text(max_size=60), st.text(max_size=60))
def test_a_distance_is_between_nothing_and_everything(one: str, other: str) -> None:
    assert 0.0 <= apart(one, other) <= 1.0
    assert apart(one, one) == 0.0


def test_what_a_distance_says() -> None:
    assert apart("the water goes down", "the water goes up") == pytest.approx(0.25)
    assert apart("a b", "c d") == 1.0
