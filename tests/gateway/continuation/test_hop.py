"""Who goes on with a stream, what the client hears meanwhile, and what is written down of it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from proxy.core.errors import Cause
from proxy.core.model import Budget, Limits, Price, Retry, Snapshot
from proxy.gateway.attempt import Attempt
from proxy.gateway.continuation import hop
from proxy.gateway.exchange import Exchange
from proxy.gateway.meter import Meter
from proxy.gateway.relay import Relay
from proxy.limits.accounts import Accounts
from proxy.limits.subjects import of_everything
from tests.gateway.asked import CHAT, provider, raw, snapshot
from tests.gateway.fleet import Fleet, error, model
from tests.gateway.fleet import provider as place
from tests.gateway.recorded import Ledger, recording
from tests.gateway.served import CHUNK, FINISH, STREAM, STREAMED, Provider, chunk, whole
from tests.line.harness import read_request, scripted, until

BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true}'
PRICE = Price(input=3.0, output=15.0)
OTHER = CHUNK.replace(b"hello", b"another")
LAST = b"0\r\n\r\n"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    found = Ledger(tmp_path)
    yield found
    found.close()


async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A provider whose stream breaks off after its first word."""
    await read_request(reader)
    writer.write(STREAM + chunk(CHUNK))


class Slow:
    """A provider that reads, and answers when it is told to."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.answers = asyncio.Event()
        self.left = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        self.asked.set()
        waiting = asyncio.ensure_future(self.answers.wait())
        gone = asyncio.ensure_future(reader.read())
        await asyncio.wait([waiting, gone], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if gone.done():
            self.left.set()
        else:
            gone.cancel()
            writer.write(STREAMED)


def settings(*urls: str, rungs: tuple[str, ...] = ("match",), **fields: Any) -> Snapshot:
    """The model `m`, whose streams go on, served by these."""
    places = [provider(url, name) for url, name in zip(urls, "pqrs", strict=False)]
    retry = Retry(base=0.0, cap=0.0, budget=10.0)
    found = snapshot(*places, price=PRICE, retry=retry, **fields)
    continued = replace(found.models["m"], continuation=rungs)
    return replace(found, models={"m": continued})


async def test_both_attempts_are_written_down_and_paid_for(ledger: Ledger) -> None:
    async with (
        scripted(broken) as bad,
        scripted(Provider(STREAMED)) as good,
        recording(settings(bad, good), ledger) as served,
    ):
        answer = await served.ask(raw("POST", CHAT, BODY))
        end = await ledger.end()

    assert answer.complete
    assert answer.text == "hello"
    first, second = end.tries
    assert (first.number, first.outcome, first.cause) == (1, "switch", "truncated")
    assert (second.number, second.outcome, second.cause) == (2, "ok", "")
    assert [one.attempt for one in ledger.starts] == [1, 2]
    assert (end.outcome, end.provider, end.finish) == ("ok", "q", "stop")
    prompt = first.cost - 15
    assert (end.tokens.input, end.tokens.output) == (7 + prompt // 3, 2 + 1)
    assert (end.source, second.cost) == ("estimated", 7 * 3 + 2 * 15)
    assert end.cost == end.cost_upstream == first.cost + second.cost


async def test_an_answer_nobody_goes_on_with_is_that_of_its_first(ledger: Ledger) -> None:
    wrong = STREAM + chunk(OTHER) + chunk(FINISH) + LAST
    async with (
        scripted(broken) as bad,
        scripted(Provider(wrong)) as other,
        scripted(Provider(whole(b"{}", 500))) as down,
        recording(settings(bad, other, down), ledger) as served,
    ):
        answer = await served.ask(raw("POST", CHAT, BODY))
        end = await ledger.end()
        live = served.state.live
        assert not any(one.inflight for one in live.deployments.values())

    assert not answer.complete
    assert b"another" not in answer.body
    assert b"upstream_truncated" in answer.body
    assert (end.outcome, end.cause, end.provider) == ("truncated", "truncated", "p")
    assert sorted(one.number for one in end.tries) == list(range(1, len(end.tries) + 1))
    assert end.tries[-1].number == 1
    assert "mismatch" in [one.cause for one in end.tries]
    assert end.cost_upstream == -1  # nobody knows what a mismatch cost


async def test_a_client_that_leaves_ends_it_all(ledger: Ledger) -> None:
    slow = Slow()
    async with (
        scripted(broken) as bad,
        scripted(slow) as other,
        recording(settings(bad, other), ledger) as served,
    ):
        client = await served.client()
        client.send(raw("POST", CHAT, BODY))
        await client.reader.readuntil(b"hello")
        await asyncio.wait_for(slow.asked.wait(), 5)
        client.close()
        await asyncio.wait_for(slow.left.wait(), 5)
        end = await ledger.end()
        live = served.state.live
        assert not any(one.inflight for one in live.deployments.values())

    assert (end.outcome, end.status) == ("client_gone", 499)


@pytest.mark.parametrize("policy", ["cancel", "drain"])
async def test_a_client_that_leaves_before_the_seam_ends_it_too(
    policy: Any, ledger: Ledger
) -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(STREAM + chunk(CHUNK.replace(b"hello", b"hel")))
        asked.set()
        await reader.read()
        left.set()

    async with scripted(broken) as bad, scripted(half) as other:
        content = settings(bad, other)
        content = replace(content, ledger=replace(content.ledger, client_gone=policy))
        async with recording(content, ledger) as served:
            client = await served.client()
            client.send(raw("POST", CHAT, BODY))
            await client.reader.readuntil(b"hello")
            await asyncio.wait_for(asked.wait(), 5)
            client.close()
            await asyncio.wait_for(left.wait(), 5)
            end = await ledger.end()
            live = served.state.live
            assert not any(one.inflight for one in live.deployments.values())
    assert (end.outcome, end.status) == ("client_gone", 499)


async def test_a_client_that_waits_hears_a_sign_of_life(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hop, "BEAT", 0.01)
    slow = Slow()
    async with (
        scripted(broken) as bad,
        scripted(slow) as other,
        recording(settings(bad, other), ledger) as served,
    ):
        client = await served.client()
        client.send(raw("POST", CHAT, BODY))
        await client.reader.readuntil(b"hello")
        await client.reader.readuntil(b":\n\n\r\n")
        slow.answers.set()
        rest = await client.reader.readuntil(b"[DONE]")
    assert b": continued\n\n" in rest


async def test_a_client_that_will_ask_no_more_is_still_waited_for(ledger: Ledger) -> None:
    slow = Slow()
    async with (
        scripted(broken) as bad,
        scripted(slow) as other,
        recording(settings(bad, other), ledger) as served,
    ):
        client = await served.client()
        client.send(raw("POST", CHAT, BODY))
        await asyncio.wait_for(slow.asked.wait(), 5)
        client.writer.write_eof()
        await client.reader.readuntil(b":\n\n\r\n")  # is somebody there?
        slow.answers.set()
        rest = await client.reader.read()
    assert rest.endswith(LAST)
    assert b"HTTP/1.1" not in rest


async def test_a_gateway_that_ends_says_so(ledger: Ledger) -> None:
    slow = Slow()
    async with (
        scripted(broken) as bad,
        scripted(slow) as other,
        recording(settings(bad, other), ledger) as served,
    ):
        client = await served.client()
        client.send(raw("POST", CHAT, BODY))
        await asyncio.wait_for(slow.asked.wait(), 5)
        await served.gateway.drain(0.0)
        rest = await client.reader.read()
        assert b"gateway_restart" in rest
        assert not rest.endswith(LAST)
        await asyncio.wait_for(slow.left.wait(), 5)
        end = await ledger.end()
    assert end.outcome == "truncated"


async def test_it_goes_on_within_the_limits_of_deployments(ledger: Ledger) -> None:
    async with (
        scripted(broken) as bad,
        scripted(Provider(STREAMED)) as good,
        recording(settings(bad, good, limits=Limits(concurrency=1)), ledger) as served,
    ):
        served.state.accounts = Accounts.memory()
        for count in (1, 2):
            answer = await served.ask(raw("POST", CHAT, BODY))
            assert answer.text == "hello"
            await until(lambda count=count: len(ledger.ends) == count)  # type: ignore[misc]


async def test_a_strict_budget_does_not_pay_for_two(ledger: Ledger) -> None:
    long = CHUNK.replace(b"hello", b"a" * 40_000)
    last = FINISH.replace(b'"completion_tokens":2', b'"completion_tokens":10000')

    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(STREAM + chunk(long))

    other = Provider(STREAM + chunk(long) + chunk(last) + LAST)
    strict = Limits(budget=Budget(0.2, period="total", strict=True))
    body = BODY.replace(b"{", b'{"max_tokens":10000,', 1)
    async with scripted(half) as bad, scripted(other) as good:
        content = replace(settings(bad, good), limits=strict)
        async with recording(content, ledger) as served:
            served.state.accounts = Accounts.memory()
            answer = await served.ask(raw("POST", CHAT, body))
            await ledger.end()
            everything = of_everything(content)
            assert everything is not None
            view = served.state.accounts.view(everything)

    assert (view.inflight, view.reserved) == (0, 0)
    assert view.spent <= 200_000
    assert not other.requests
    assert b"upstream_truncated" in answer.body


async def test_what_is_kept_of_an_answer_is_all_of_it(ledger: Ledger) -> None:
    longer = (
        STREAM + chunk(CHUNK) + chunk(CHUNK.replace(b"hello", b" world")) + chunk(FINISH) + LAST
    )
    async with (
        scripted(broken) as bad,
        scripted(Provider(longer)) as good,
    ):
        content = settings(bad, good)
        content = replace(content, logging=replace(content.logging, detailed=True))
        async with recording(content, ledger) as served:
            answer = await served.ask(raw("POST", CHAT, BODY))
            assert answer.text == "hello world"
            await until(lambda: bool(ledger.kept))
    assert ledger.kept[0].response == "hello world"


@pytest.mark.parametrize("rungs", [("match",), ("anchor",)], ids=["match", "anchor"])
async def test_nothing_of_it_is_left_to_the_garbage_collector(
    rungs: tuple[str, ...], ledger: Ledger
) -> None:
    kinds = Exchange | Meter | Attempt | Relay

    def alive() -> list[object]:
        return [one for one in gc.get_objects() if isinstance(one, kinds)]

    gc.collect()
    kept = alive()  # what other tests keep, and so stays
    before = set(map(id, kept))
    gc.disable()
    try:
        async with (
            scripted(broken) as bad,
            scripted(Provider(STREAMED)) as good,
            recording(settings(bad, good, rungs=rungs), ledger) as served,
        ):
            answer = await served.ask(raw("POST", CHAT, BODY))
            assert answer.complete
            await ledger.end()
            await until(lambda: before.issuperset(map(id, alive())))
    finally:
        gc.enable()
        kept.clear()


# --- who is next ---

CUT = error(Cause.TRUNCATED)


def test_others_come_first_then_fallbacks_then_the_same_again() -> None:
    first = model("m", place("a"), place("b"), priorities=(1, 2), fallbacks=("other",))
    fleet = Fleet(first, model("other", place("c")))
    plan = fleet.plan()
    candidate = plan.first(fleet.now)
    tried = []
    for _ in range(4):
        plan.ended(candidate)
        step = plan.resumed(candidate, CUT, fleet.now)
        if step.candidate is None:
            break
        candidate = step.candidate
        tried.append((candidate.deployment.id, step.kind))
    assert tried[:2] == [("m/1:b", "switch"), ("other/0:c", "fallback")]
    assert tried[2:] == [("other/0:c", "retry")] * 2

    fleet = Fleet(model("m", place("a")))
    plan = fleet.plan()
    candidate = plan.first(fleet.now)
    plan.ended(candidate)
    step = plan.resumed(candidate, CUT, fleet.now)
    assert step.candidate is not None
    assert (step.candidate.deployment.id, step.kind) == ("m/0:a", "retry")


def test_one_is_asked_again_in_another_way_or_passed_over() -> None:
    fleet = Fleet(model("m", place("a"), place("b"), priorities=(1, 2)))
    plan = fleet.plan()
    candidate = plan.first(fleet.now)
    plan.ended(candidate)
    same = plan.resumed(candidate, error(Cause.MISMATCH), fleet.now, same=True).candidate
    assert same is not None
    assert same.deployment is candidate.deployment
    plan.ended(same)
    other = plan.resumed(same, None, fleet.now).candidate
    assert other is not None
    assert other.deployment.id == "m/1:b"
    plan.ended(other)
    assert plan.resumed(other, None, fleet.now).candidate is None
    assert fleet.in_flight() == 0


def test_attempts_and_the_budget_have_an_end() -> None:
    retry = Retry(max_attempts=2, budget=10.0)
    fleet = Fleet(model("m", *map(place, "abc"), retry=retry))
    plan = fleet.plan()
    candidate = plan.first(fleet.now)
    plan.ended(candidate)
    step = plan.resumed(candidate, CUT, fleet.now)
    assert step.candidate is not None
    plan.ended(step.candidate)
    assert plan.resumed(step.candidate, CUT, fleet.now).candidate is None

    fleet = Fleet(model("m", *map(place, "abc"), retry=Retry(budget=0.0)))
    for _ in range(50):
        plan = fleet.plan()
        candidate = plan.first(fleet.now)
        plan.ended(candidate)
        if plan.resumed(candidate, CUT, fleet.now).candidate is None:
            break
    else:
        raise AssertionError("a budget without an end")
