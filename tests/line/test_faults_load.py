"""Providers that are out of quota, overloaded, half broken or slow, and models that fall back on each other (fault rows
B9, B10, B12 and B21 to B23)."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from proxy.core.clock import monotonic
from proxy.core.config import ConfigError, load
from tests.line.asking import (
    CHAT,
    DIALECTS,
    GOOD,
    MESSAGES,
    assert_error,
    assert_good,
    fleet,
    refused,
    replying,
    response,
    row,
)
from tests.line.harness import Proxy, Simulator, config, read_request, scripted, serving, until

_ids = itertools.count(1)
NO_RETRY = {"defaults__retry": {"count": 0}}
NO_WAIT = {"defaults__retry": {"count": 0, "retry_after_max": 0}}
STAYS_OPEN = {"health__open_base": 20}


def bearer(head: bytes) -> str:
    """The credential in a request head."""
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"authorization: bearer "):
            return line.split()[-1].decode()
    raise AssertionError(head)


# B9: out of quota


@pytest.mark.parametrize(
    "said",
    [
        refused(429, "insufficient_quota", "insufficient_quota", retry_after="1"),
        refused(402, "insufficient_quota", "insufficient_balance"),
    ],
    ids=["429", "402"],
)
async def test_b9_a_key_without_quota_rests_for_long_and_the_other_one_serves(
    tmp_path: Path, said: bytes
) -> None:
    seen: list[str] = []

    def reply(head: bytes, body: bytes) -> bytes:
        seen.append(bearer(head))
        return said if seen[-1] == "upstream-secret-a" else GOOD

    keys = {"providers__p0__credentials": ["upstream-secret-a", "upstream-secret-b"]}
    async with (
        scripted(replying(reply)) as url,
        serving(fleet((url, "a"), **keys), tmp_path) as proxy,
    ):
        for _ in range(8):
            assert_good(CHAT, await CHAT.ask(proxy))
        live = proxy.worker.state.live
        ends = [one.rest.until - monotonic() for one in live.accounts.values() if one.rest.until]
        assert live.deployments["m/0:p0"].streak == 0, "an empty account is no broken provider"

    assert seen.count("upstream-secret-a") == 1
    assert seen.count("upstream-secret-b") == 8
    assert ends
    assert all(540 < left <= 660 for left in ends), "ten minutes, whatever the hint says"


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("fault", ["quota", "402"])
async def test_b9_with_every_account_empty_the_client_is_told_so(
    sim: Simulator, tmp_path: Path, fault: str, dialect: str
) -> None:
    asking = DIALECTS[dialect]
    async with row(sim, tmp_path, fault, **NO_WAIT) as one:
        answers = [await asking.ask(one.proxy) for _ in range(5)]

        for answer in answers:
            assert_error(asking, answer, "up_spent", code="upstream_quota_exhausted")
            assert answer.headers["x-should-retry"] == "false"
        # Asked once, and then once a second at most, as a last resort.
        assert len(await one.seen()) <= 3
        assert one.failures() == 0


async def test_b9_one_request_finds_out_whether_there_is_quota_again(tmp_path: Path) -> None:
    seen: list[str] = []

    def reply(head: bytes, body: bytes) -> bytes:
        seen.append(bearer(head))
        return GOOD if len(seen) > 1 else refused(429, "insufficient_quota", "insufficient_quota")

    async with (
        scripted(replying(reply)) as url,
        serving(fleet((url, "a"), **NO_WAIT), tmp_path) as proxy,
    ):
        assert_error(CHAT, await CHAT.ask(proxy), "up_spent", code="upstream_quota_exhausted")
        for _ in range(5):
            assert_good(CHAT, await CHAT.ask(proxy))

    assert len(seen) == 6


async def test_b9_when_its_rest_is_over_one_request_finds_out(tmp_path: Path) -> None:
    seen: list[str] = []
    go = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, _ = await read_request(reader)
            seen.append(bearer(head))
            if seen[-1] == "upstream-secret-b":
                writer.write(GOOD)
                continue
            if seen.count("upstream-secret-a") == 2:
                await go.wait()
            writer.write(refused(429, "insufficient_quota", "insufficient_quota"))

    keys = {"providers__p0__credentials": ["upstream-secret-a", "upstream-secret-b"]}
    async with scripted(script) as url, serving(fleet((url, "a"), **keys), tmp_path) as proxy:
        for _ in range(3):
            assert_good(CHAT, await CHAT.ask(proxy))
        rest = proxy.worker.state.live.accounts["p0#0"].rest
        rest.until = monotonic()
        rest.tell()
        asking = [asyncio.ensure_future(CHAT.ask(proxy)) for _ in range(20)]
        await until(lambda: sum(one.done() for one in asking) == 19)
        assert seen.count("upstream-secret-a") == 2
        go.set()
        for answer in await asyncio.gather(*asking):
            assert_good(CHAT, answer)
        assert rest.until > monotonic() + 1000, "longer each time"


async def test_b9_an_empty_account_sends_the_request_to_another_deployment(
    sim: Simulator, tmp_path: Path
) -> None:
    async with row(sim, tmp_path, "quota", "") as one:
        for _ in range(5):
            assert_good(CHAT, await CHAT.ask(one.proxy))

        assert len(await one.seen(0)) == 1
        assert len(await one.seen(1)) == 5


# B10: when a limit ends, in the words of each provider


@pytest.mark.parametrize(
    ("name", "hint", "least", "most"),
    [
        ("chat", "rareset20s", 15_000, 24_000),
        ("chat", "rareset6m0s", 55_000, 60_000),  # the last key is never away for longer
        ("responses", "rareset750ms", 750, 900),
        ("gemini", "rainfo22s", 15_000, 26_400),
    ],
)
async def test_b10_the_end_of_a_limit_is_found_in_the_words_of_each_provider(
    sim: Simulator, tmp_path: Path, name: str, hint: str, least: int, most: int
) -> None:
    async with row(sim, tmp_path, f"429-{hint}", **NO_WAIT) as one:
        answer = await DIALECTS[name].ask(one.proxy)

        assert_error(DIALECTS[name], answer, "limit")
        assert least <= int(answer.headers["retry-after-ms"]) <= most


@pytest.mark.parametrize(("remaining", "least", "most"), [("0", 20_000, 24_000), ("3", 1, 4_000)])
async def test_b10_a_limit_of_which_something_remains_says_nothing(
    tmp_path: Path, remaining: str, least: int, most: int
) -> None:
    error = {"type": "error", "error": {"type": "rate_limit_error", "message": "No."}}
    headers = {
        "date": "Thu, 01 Jan 2026 00:00:00 GMT",
        "anthropic_ratelimit_requests_remaining": remaining,
        "anthropic_ratelimit_requests_reset": "2026-01-01T00:00:20Z",
    }
    said = response(429, orjson.dumps(error), **headers)
    async with (
        scripted(replying(lambda head, body: said)) as url,
        serving(fleet((url, "a"), **NO_WAIT), tmp_path) as proxy,
    ):
        answer = await MESSAGES.ask(proxy)

    assert_error(MESSAGES, answer, "limit")
    assert least <= int(answer.headers["retry-after-ms"]) <= most


# B12: overloaded


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("stream", [False, True])
async def test_b12_when_all_are_overloaded_that_is_what_the_client_is_told(
    sim: Simulator, tmp_path: Path, stream: bool, members: int, dialect: str
) -> None:
    asking = DIALECTS[dialect]
    async with row(sim, tmp_path, *["529"] * members) as one:
        answer = await asking.ask(one.proxy, stream=stream)

        assert_error(asking, answer, "no_up")
        assert answer.status == (529 if asking is MESSAGES else 503)
        assert int(answer.headers["retry-after"]) >= 1
        # Alone it is tried twice more; each of two once more while the other waits, and the last as if alone.
        assert sum(map(one.tried, range(members))) == (3 if members == 1 else 5)


async def test_b12_an_overloaded_provider_is_left_for_another(
    sim: Simulator, tmp_path: Path
) -> None:
    async with row(sim, tmp_path, "529", "", health__max_errors=2, **STAYS_OPEN) as one:
        for _ in range(4):
            assert_good(MESSAGES, await MESSAGES.ask(one.proxy))

        assert len(await one.seen(0)) == 2
        assert len(await one.seen(1)) == 4


@pytest.mark.parametrize("status", [529, 503, 500])
async def test_b12_an_overloaded_provider_is_given_less_at_once(
    tmp_path: Path, status: int
) -> None:
    left = [status]

    def reply(head: bytes, body: bytes) -> bytes:
        return refused(left.pop()) if left else GOOD

    overload = {"enabled": True, "start": 10, "least": 2, "most": 20}
    async with (
        scripted(replying(reply)) as url,
        serving(fleet((url, "a"), models__m__overload=overload), tmp_path) as proxy,
    ):
        assert_good(CHAT, await CHAT.ask(proxy))
        ceiling = proxy.worker.state.live.deployments["m/0:p0"].ceiling

    assert ceiling is not None
    assert ceiling.limit == pytest.approx(10.0 if status == 500 else 7.0)


# B21: half of the calls fail


def failing(seen: list[int], index: int, each: int) -> Callable[[bytes, bytes], bytes]:
    """A provider of which one answer of so many is a failure; none for 0."""

    def reply(head: bytes, body: bytes) -> bytes:
        seen[index] += 1
        return refused(500) if each and seen[index] % each == 0 else GOOD

    return reply


@asynccontextmanager
async def two(
    folder: Path, *each: int, strategy: str = "p2c", **changes: Any
) -> AsyncIterator[tuple[Proxy, list[int]]]:
    """A proxy in front of two providers of equal rank that fail so often, and how often they were asked."""
    seen = [0, 0]
    async with (
        scripted(replying(failing(seen, 0, each[0]))) as one,
        scripted(replying(failing(seen, 1, each[1]))) as other,
        serving(
            beside((one, "a"), (other, "b"), models__m__strategy=strategy, **changes), folder
        ) as proxy,
    ):
        yield proxy, seen


def beside(*members: tuple[str, str], **changes: Any) -> dict[str, Any]:
    """Deployments of equal rank."""
    content = fleet(*members, **changes)
    for deployment in content["models"]["m"]["deployments"]:
        del deployment["priority"]
    return content


async def test_b21_a_half_broken_provider_is_invisible_beside_another(tmp_path: Path) -> None:
    async with two(tmp_path, 2, 0) as (proxy, seen):
        for _ in range(200):
            assert_good(CHAT, await CHAT.ask(proxy))

        assert seen[0] < 20, "whoever has failed is asked after those who have not"
        assert sum(seen) <= 1.2 * 200


async def test_b21_where_each_has_its_turn_half_of_twenty_is_enough(tmp_path: Path) -> None:
    out = 24  # seconds: longer than all this takes
    async with two(tmp_path, 2, 0, strategy="round_robin", health__open_base=out) as (proxy, seen):
        for _ in range(200):
            assert_good(CHAT, await CHAT.ask(proxy))

        assert proxy.worker.state.live.deployments["m/0:p0"].opened == 1
        assert 20 <= seen[0] <= 30
        assert sum(seen) <= 1.2 * 200


async def test_b21_one_that_fails_sometimes_is_used_but_less(tmp_path: Path) -> None:
    async with two(tmp_path, 4, 0, strategy="weighted_round_robin") as (proxy, seen):
        for _ in range(100):
            assert_good(CHAT, await CHAT.ask(proxy))
        before, state = seen[0], proxy.worker.state.live.deployments["m/0:p0"]
        assert (state.health, state.opened) == (0.5, 0)
        for _ in range(90):
            assert_good(CHAT, await CHAT.ask(proxy))

        assert 20 <= seen[0] - before <= 50, "a third, and what is tried again"


async def test_b21_where_all_are_half_broken_the_half_that_works_is_not_given_up(
    tmp_path: Path,
) -> None:
    async with two(tmp_path, 2, 2) as (proxy, seen):
        statuses = [(await CHAT.ask(proxy)).status for _ in range(200)]

        assert statuses.count(200) >= 100
        assert sum(seen) <= 1.2 * 200 + 25, "retries have their budget"


# B22: alive, but many times slower


async def test_b22_a_slow_provider_loses_its_traffic_and_is_not_ejected(
    sim: Simulator, tmp_path: Path
) -> None:
    tag = f"sim-grey{next(_ids)}-n2"
    content = beside((sim.url, f"{tag}-f5"), (sim.url, f"{tag}-f300"))
    async with serving(content, tmp_path) as proxy:
        for state in proxy.worker.state.live.deployments.values():
            state.latency.value = 0.005  # as quick as each other until now
        for _ in range(50):
            assert_good(CHAT, await CHAT.ask(proxy, stream=True), stream=True)

        assert len(await sim.requests(f"{tag}-f300")) <= 5
        slow = proxy.worker.state.live.deployments["m/1:p1"]
        assert (slow.health > 0, slow.opened, slow.streak) == (True, 0, 0)


# B23: models that fall back on each other, and a request that nobody can answer


RING = "abcd"
"""Fewer models than a request may make attempts: nothing but their number ends it."""


def ring(url: str) -> dict[str, Any]:
    """Models each of which falls back on all others: more than a configuration may say."""
    return config(url, models={name: {"deployments": [{"provider": "p0"}]} for name in RING})


def close_the_ring(proxy: Proxy) -> None:
    """What no configuration may say: each falls back on all others, and on itself."""
    models = proxy.worker.state.snapshot.models
    for name in RING:
        assert isinstance(models, dict)
        models[name] = replace(models[name], fallbacks=tuple(RING))


@pytest.mark.parametrize("edges", ["a:b b:a", "a:b b:c c:a", "a:a"])
def test_b23_fallbacks_that_do_not_end_are_refused(tmp_path: Path, edges: str) -> None:
    content = ring("http://127.0.0.1:9")
    for edge in edges.split():
        name, _, other = edge.partition(":")
        content["models"][name]["fallbacks"] = [other]
    path = tmp_path / "ring.yaml"
    path.write_bytes(orjson.dumps(content))

    with pytest.raises(ConfigError, match="a cycle"):
        load(path)


@pytest.mark.parametrize(
    ("said", "asked", "status"),
    [
        (refused(500), 4, 502),
        (refused(400, "invalid_request_error"), 1, 400),
        (refused(400, "invalid_request_error", "context_length_exceeded"), 4, 400),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwhat?", 4, 502),
    ],
    ids=["500", "400", "too long", "no answer"],
)
async def test_b23_each_model_is_asked_once_even_in_a_ring(
    tmp_path: Path, said: bytes, asked: int, status: int
) -> None:
    seen: list[str] = []

    def reply(head: bytes, body: bytes) -> bytes:
        seen.append(orjson.loads(body)["model"])
        return said

    content = ring("")
    content["defaults"]["retry"]["count"] = 0
    async with scripted(replying(reply)) as url:
        content["providers"]["p0"]["base_url"] = url
        async with serving(content, tmp_path) as proxy:
            close_the_ring(proxy)
            answer = await CHAT.ask(proxy, "a")

    assert answer.status == status
    assert len(seen) == asked
    assert len(set(seen)) == asked
