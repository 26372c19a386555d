"""One answer for several requests that are the same, through a whole proxy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.line.harness import KEY, Answer, Proxy, Raw, Simulator, config, request, serving

SLOW = "sim-n30-d5"
CHAT = "/v1/chat/completions"
KEYS = {"one": KEY, "other": "sk-test-key-0002"}


def shared(url: str, **model: Any) -> dict[str, Any]:
    deployments = [{"provider": "p0", "model": "sim*"}]
    return config(
        url,
        cache={"header": True},
        keys=[{"name": name, "key": key, "team": "blue"} for name, key in KEYS.items()],
        models={"sim*": {"deployments": deployments, **model}},
    )


@pytest.fixture
async def coalescing(sim: Simulator, tmp_path: Path) -> AsyncIterator[Proxy]:
    async with serving(shared(sim.url, coalesce={"requests": "all"}), tmp_path) as proxy:
        yield proxy


@pytest.fixture
async def caching(sim: Simulator, tmp_path: Path) -> AsyncIterator[Proxy]:
    async with serving(shared(sim.url, cache={"ttl": 60, "requests": "all"}), tmp_path) as proxy:
        yield proxy


def asked(model: str, **fields: Any) -> bytes:
    messages = [{"role": "user", "content": "hi"}]
    return orjson.dumps({"model": model, "stream": True, "messages": messages, **fields})


async def begun(proxy: Proxy, model: str, **headers: str) -> Raw:
    """A client whose answer has begun."""
    client = await proxy.raw()
    client.send(request("POST", CHAT, asked(model), headers))
    await client.head()
    return client


async def rest(client: Raw) -> bytes:
    """What is left of a chunked answer that ends well."""
    body, complete = await client._chunks()
    assert complete
    return body


def body_of(answer: Answer) -> bytes:
    assert answer.status == 200, answer.body
    assert answer.complete
    return answer.body


# --- on its way ---


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_equal_requests_at_once_are_one_for_the_provider(
    coalescing: Proxy, sim: Simulator, stream: bool
) -> None:
    model = f"{SLOW}-f50-idtogether{stream}"

    answers = await asyncio.gather(*(coalescing.chat(model, stream=stream) for _ in range(40)))

    assert len({body_of(answer) for answer in answers}) == 1
    assert len({answer.headers["x-request-id"] for answer in answers}) == 40
    assert len(await sim.requests(model)) == 1
    assert sum("x-headrace-coalesced" in answer.headers for answer in answers) == 39
    assert coalescing.metric("headrace_coalesced_total") == 39


async def test_who_comes_late_has_all_of_it(coalescing: Proxy, sim: Simulator) -> None:
    model = f"{SLOW}-idlate"
    first = await begun(coalescing, model)

    late = await coalescing.post(CHAT, asked(model))

    assert body_of(late) == await rest(first)
    assert len(await sim.requests(model)) == 1


async def test_who_comes_after_it_has_one_of_its_own(coalescing: Proxy, sim: Simulator) -> None:
    for _ in range(2):
        body_of(await coalescing.chat("sim-idafter"))

    assert len(await sim.requests("sim-idafter")) == 2


async def test_who_began_it_may_leave(coalescing: Proxy, sim: Simulator) -> None:
    model = f"{SLOW}-idleader"
    first = await begun(coalescing, model)
    other = await begun(coalescing, model)

    first.reset()
    left = await rest(other)

    assert left.endswith(b"data: [DONE]\n\n")
    (one,) = await sim.requests(model)
    assert one["outcome"] == "finished"


async def test_when_nobody_is_left_the_provider_stops(coalescing: Proxy, sim: Simulator) -> None:
    model = "sim-n1000-d20-idnobody"
    clients = [await begun(coalescing, model) for _ in range(3)]

    for client in clients:
        client.reset()
    async with asyncio.timeout(10):
        while (await sim.requests(model))[0]["outcome"] == "open":
            await asyncio.sleep(0.01)

    (one,) = await sim.requests(model)
    assert one["outcome"] == "aborted"
    assert not coalescing.worker.state.flights


async def test_an_answer_that_breaks_breaks_for_all(coalescing: Proxy) -> None:
    answers = await asyncio.gather(*(coalescing.chat(f"{SLOW}-f50-rst-idcut") for _ in range(5)))

    for answer in answers:
        assert not answer.complete
        assert b"upstream_truncated" in answer.body


async def test_a_refusal_is_everybodys(coalescing: Proxy, sim: Simulator) -> None:
    model = "sim-f50-policy-idrefused"

    answers = await asyncio.gather(*(coalescing.chat(model) for _ in range(5)))

    assert {answer.status for answer in answers} == {400}
    assert len(await sim.requests(model)) == 1


async def test_other_words_other_keys_and_other_dialects_are_other_requests(
    coalescing: Proxy, sim: Simulator
) -> None:
    model = f"{SLOW}-f50-idothers"
    other = {"authorization": f"Bearer {KEYS['other']}"}
    message = asked(model, max_tokens=9)

    await asyncio.gather(
        coalescing.post(CHAT, asked(model)),
        coalescing.post(CHAT, asked(model, seed=1)),
        coalescing.post(CHAT, asked(model), other, key=None),
        coalescing.post("/v1/messages", message, {"anthropic-version": "2023-06-01"}),
    )

    assert len(await sim.requests(model)) == 4


async def test_the_order_of_keys_makes_no_difference(coalescing: Proxy, sim: Simulator) -> None:
    model = f"{SLOW}-f50-idorder"
    body = orjson.loads(asked(model))
    turned = orjson.dumps(dict(reversed(body.items())), option=orjson.OPT_INDENT_2)

    await asyncio.gather(coalescing.post(CHAT, asked(model)), coalescing.post(CHAT, turned))

    assert len(await sim.requests(model)) == 1


async def test_only_what_draws_no_lot_unless_all_may(sim: Simulator, tmp_path: Path) -> None:
    content = shared(sim.url, coalesce={"requests": "deterministic", "scope": "team"})
    other = {"authorization": f"Bearer {KEYS['other']}"}
    async with serving(content, tmp_path) as proxy:
        for temperature, count in ((1, 2), (0, 1)):
            model = f"{SLOW}-f50-idlot{temperature}"
            body = asked(model, temperature=temperature)
            await asyncio.gather(proxy.post(CHAT, body), proxy.post(CHAT, body, other, key=None))
            assert len(await sim.requests(model)) == count


@pytest.mark.allow_blocking("the client of the test reads 12 MB")
async def test_a_slow_client_holds_nobody_up(coalescing: Proxy) -> None:
    """It takes nothing, and the others have a stream that is more than any buffer."""
    model = "sim-n3000-s4000-idslow"
    slow = await coalescing.raw()
    slow.send(request("POST", CHAT, asked(model), None))
    slow.writer.transport.pause_reading()  # type: ignore[attr-defined]

    answer = await coalescing.post(CHAT, asked(model))
    slow.writer.transport.resume_reading()  # type: ignore[attr-defined]

    assert len(body_of(answer)) > 12_000_000
    assert not (await slow.answer()).complete  # it fell too far behind


# --- kept ---


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_an_answer_is_given_again(caching: Proxy, sim: Simulator, stream: bool) -> None:
    model = f"sim-n20-idkept{stream}"

    first = await caching.chat(model, stream=stream)
    again = await caching.chat(model, stream=stream)

    assert body_of(first) == body_of(again)
    assert first.headers["x-headrace-cache"] == "miss"
    assert again.headers["x-headrace-cache"] == "hit"
    assert again.headers["age"] == "0"
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert again.headers["content-type"] == first.headers["content-type"]
    assert len(await sim.requests(model)) == 1
    assert caching.metric("headrace_cache_requests_total", result="hit") == 1


async def test_on_one_connection_after_the_other(caching: Proxy) -> None:
    client = await caching.raw()
    bodies = []
    for _ in range(3):
        client.send(request("POST", CHAT, asked("sim-n5-idagain"), None))
        bodies.append(body_of(await client.answer()))

    assert len(set(bodies)) == 1


@pytest.mark.parametrize("fault", ["policy", "rst", "err_mid", "nodone", "503"])
async def test_what_is_no_good_answer_is_not_kept(
    caching: Proxy, sim: Simulator, fault: str
) -> None:
    model = f"sim-n8-{fault}-idbad"
    for _ in range(2):
        await caching.chat(model)

    assert len(await sim.requests(model)) >= 2
    assert caching.metric("headrace_cache_requests_total", result="hit") == 0


@pytest.mark.parametrize(
    ("control", "hits", "sent"),
    [("no-store", 0, 3), ("no-cache", 0, 3), ("max-age=100", 2, 1), ("max-age=0", 0, 3)],
)
async def test_a_client_has_a_say(
    caching: Proxy, sim: Simulator, control: str, hits: int, sent: int
) -> None:
    model = f"sim-n5-id{control}"
    for _ in range(3):
        await caching.post(CHAT, asked(model), {"cache-control": control})

    assert caching.metric("headrace_cache_requests_total", result="hit") == hits
    assert len(await sim.requests(model)) == sent


async def test_by_header_alone(sim: Simulator, tmp_path: Path) -> None:
    async with serving(shared(sim.url), tmp_path) as proxy:
        for header, hit in (("60", False), ("60", True), ("no", False)):
            answer = await proxy.post(CHAT, asked("sim-idheader"), {"x-headrace-cache": header})
            assert (answer.headers.get("x-headrace-cache") == "hit") is hit
        wrong = await proxy.post(CHAT, asked("sim-idheader"), {"x-headrace-cache": "please"})

    assert wrong.status == 400
    assert b"x-headrace-cache" in wrong.body


async def test_what_does_more_than_answer_is_asked_each_time(
    caching: Proxy, sim: Simulator
) -> None:
    model = "sim-ideffects"
    for _ in range(2):
        await caching.post(CHAT, asked(model, store=True))
        await caching.post("/v1/responses", orjson.dumps({"model": model, "input": "hi"}))

    assert len(await sim.requests(model)) == 4


async def test_it_does_not_grow_beyond_its_room(sim: Simulator, tmp_path: Path) -> None:
    content = shared(sim.url, cache={"ttl": 60, "requests": "all"})
    content["cache"] |= {"size": 20_000, "entry": 9_000}
    async with serving(content, tmp_path) as proxy:
        for number in range(20):
            await proxy.chat(f"sim-n20-idroom{number}", stream=False)
        await proxy.chat("sim-n2000-idtoolarge", stream=False)
        replies = proxy.worker.state.replies

        assert 0 < replies.size <= 20_000
        assert replies.dropped > 0
        last = await proxy.chat("sim-n20-idroom19", stream=False)
        large = await proxy.chat("sim-n2000-idtoolarge", stream=False)

    assert last.headers["x-headrace-cache"] == "hit"
    assert large.headers["x-headrace-cache"] == "miss"
