"""Providers that answer with a refusal, with nonsense or with somebody else's answer (fault rows B1 to B20)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from proxy.core.clock import monotonic
from proxy.core.errors import ERRORS
from proxy.simulator import errors
from tests.line.asking import (
    CHAT,
    DIALECTS,
    GEMINI,
    GOOD,
    MESSAGES,
    assert_discreet,
    assert_error,
    assert_good,
    fleet,
    refused,
    replying,
    response,
    row,
    said,
    text_of,
)
from tests.line.harness import (
    Answer,
    Proxy,
    Simulator,
    read_request,
    request,
    scripted,
    serving,
    until,
)

NO_RETRY = {"defaults__retry": {"count": 0}}
NO_WAIT = {"defaults__retry": {"count": 0, "retry_after_max": 0}}
STAYS_OPEN = {"health__open_base": 20}
"""A circuit that has opened stays so for the whole test."""


def bearer(head: bytes) -> str:
    """The credential in a request head."""
    found = re.search(rb"authorization: Bearer (\S+)", head)
    assert found
    return found[1].decode()


def milliseconds(answer: Answer) -> int:
    """The wait an answer asks for, in both its spellings."""
    exact = int(answer.headers["retry-after-ms"])
    assert int(answer.headers["retry-after"]) == max(1, -(-exact // 1000))
    return exact


def two_keys(url: str, **changes: Any) -> dict[str, Any]:
    """One deployment whose provider has two credentials."""
    keys = ["upstream-secret-a", "upstream-secret-b"]
    return fleet((url, "a"), **{"providers__p0__credentials": keys, **changes})


# B1: the provider does not accept our credential


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_rests_and_the_other_one_serves(tmp_path: Path, status: int) -> None:
    seen: list[str] = []

    def reply(head: bytes, body: bytes) -> bytes:
        seen.append(bearer(head))
        bad = seen[-1] == "upstream-secret-a"
        return refused(status, "invalid_request_error", "invalid_api_key") if bad else GOOD

    async with scripted(replying(reply)) as url, serving(two_keys(url), tmp_path) as proxy:
        for _ in range(8):
            assert_good(CHAT, await CHAT.ask(proxy))

    assert seen.count("upstream-secret-a") == 1
    assert seen.count("upstream-secret-b") == 8


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("status", ["401", "403"])
async def test_the_client_is_not_blamed_for_our_credential(
    sim: Simulator, tmp_path: Path, dialect: str, status: str
) -> None:
    async with row(sim, tmp_path, status) as one:
        answer = await DIALECTS[dialect].ask(one.proxy)

        assert_error(DIALECTS[dialect], answer, "up_auth")
        assert answer.headers["x-should-retry"] == "false"
        assert len(await one.seen()) == 1


@pytest.mark.parametrize("status", [401, 403])
async def test_with_all_keys_refused_the_provider_is_hardly_asked(
    tmp_path: Path, status: int
) -> None:
    seen: list[str] = []

    def reply(head: bytes, body: bytes) -> bytes:
        seen.append(bearer(head))
        return refused(status, "invalid_request_error", "invalid_api_key")

    async with scripted(replying(reply)) as url, serving(two_keys(url), tmp_path) as proxy:
        answers = [await CHAT.ask(proxy) for _ in range(20)]

    for answer in answers:
        assert_error(CHAT, answer, "up_auth")
        assert answer.headers["x-should-retry"] == "false"
    assert set(seen[:2]) == {"upstream-secret-a", "upstream-secret-b"}
    # At first each key once; then, as a last resort, one request a second. A 403 may be about one request only.
    assert len(seen) < (8 if status == 401 else 22)


async def test_a_refused_key_sends_the_request_to_another_deployment(
    sim: Simulator, tmp_path: Path
) -> None:
    async with row(sim, tmp_path, "401", "") as one:
        for _ in range(5):
            assert_good(CHAT, await CHAT.ask(one.proxy))

        assert len(await one.seen(0)) == 1
        assert len(await one.seen(1)) == 5


# B2: the provider refuses this very request


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("status", [400, 404, 405, 409, 422])
async def test_a_refusal_of_the_request_is_passed_on_and_costs_nothing(
    sim: Simulator, tmp_path: Path, dialect: str, status: int
) -> None:
    asking = DIALECTS[dialect]
    async with row(sim, tmp_path, str(status)) as one:
        answer = await asking.ask(one.proxy, stream=status == 422)

        assert answer.status == status
        assert answer.body == errors.body(asking.family, str(status))[1]
        assert answer.headers["x-upstream-request-id"].startswith("req_")
        assert len(await one.seen()) == 1
        assert one.failures() == 0


@pytest.mark.parametrize("status", ["400", "405", "409", "422"])
async def test_a_refusal_of_the_request_is_nobody_elses_business(
    sim: Simulator, tmp_path: Path, status: str
) -> None:
    async with row(sim, tmp_path, status, "", health__max_errors=1) as one:
        for _ in range(3):
            assert (await CHAT.ask(one.proxy)).status == int(status)

        assert len(await one.seen(0)) == 3
        assert not await one.seen(1)


async def test_a_model_unknown_to_one_provider_is_asked_of_the_next(
    sim: Simulator, tmp_path: Path
) -> None:
    async with row(sim, tmp_path, "404", "", health__max_errors=1) as one:
        for _ in range(3):
            assert_good(CHAT, await CHAT.ask(one.proxy))

        assert len(await one.seen(0)) == 3
        assert one.failures() == 0


async def test_a_conflict_that_may_be_tried_again_is(tmp_path: Path) -> None:
    seen: list[bytes] = []

    def reply(head: bytes, body: bytes) -> bytes:
        seen.append(head)
        return GOOD if len(seen) > 1 else refused(409, x_should_retry="true")

    async with scripted(replying(reply)) as url, serving(fleet((url, "a")), tmp_path) as proxy:
        assert_good(CHAT, await CHAT.ask(proxy))


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_refusal_that_quotes_the_key_is_masked(tmp_path: Path, dialect: str) -> None:
    def reply(head: bytes, body: bytes) -> bytes:
        error = {"message": "You sent upstream-secret-p0.", "type": "invalid_request_error"}
        return response(400, orjson.dumps({"error": error, "seen": head.decode()}))

    async with scripted(replying(reply)) as url, serving(fleet((url, "a")), tmp_path) as proxy:
        path = DIALECTS[dialect].path.format(model="m")
        answer = await proxy.post(path, {**DIALECTS[dialect].body, "model": "m"})

    assert answer.status == 400
    assert b"upstream-secret" not in answer.body
    assert answer.json["error"]["message"].startswith("You sent ")


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("status", [400, 404, 422])
async def test_a_refusal_that_is_a_page_is_not_shown(
    tmp_path: Path, dialect: str, status: int
) -> None:
    page = b"<html><h1>Bad Request</h1>http://127.0.0.1:9999/internal Traceback</html>"

    def reply(head: bytes, body: bytes) -> bytes:
        return response(status, page, "text/html")

    async with scripted(replying(reply)) as url, serving(fleet((url, "a")), tmp_path) as proxy:
        answer = await DIALECTS[dialect].ask(proxy)

    assert answer.status == status
    assert answer.json["error"]["message"]
    assert answer.headers["content-type"].startswith("application/json")


# B3: too large for the provider


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_request_too_large_for_the_provider_is_passed_on_as_that(
    sim: Simulator, tmp_path: Path, dialect: str
) -> None:
    asking = DIALECTS[dialect]
    async with row(sim, tmp_path, "413", "") as one:
        answer = await asking.ask(one.proxy)

        assert answer.status == 413
        assert answer.body == errors.body(asking.family, "413")[1]
        assert len(await one.seen(0)) == 1
        assert not await one.seen(1)
        assert one.failures() == 0


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_page_that_says_too_large_becomes_our_own_words_for_it(
    tmp_path: Path, dialect: str
) -> None:
    def reply(head: bytes, body: bytes) -> bytes:
        return response(413, b"<html>413 Request Entity Too Large</html>", "text/html")

    async with scripted(replying(reply)) as url, serving(fleet((url, "a")), tmp_path) as proxy:
        answer = await DIALECTS[dialect].ask(proxy)

    assert_error(DIALECTS[dialect], answer, "too_big")


@pytest.mark.parametrize("fallbacks", ["fallbacks_context", "fallbacks"])
async def test_a_request_too_large_goes_only_to_a_model_named_for_that(
    sim: Simulator, tmp_path: Path, fallbacks: str
) -> None:
    async with row(sim, tmp_path, "413", **{f"models__m__{fallbacks}": ["good"]}) as one:
        answer = await CHAT.ask(one.proxy)

        assert answer.status == (200 if fallbacks == "fallbacks_context" else 413), answer


# B4: rate limits with a hint


async def test_a_limited_key_gets_no_traffic_until_its_time_is_up(tmp_path: Path) -> None:
    seen: list[str] = []

    def reply(head: bytes, body: bytes) -> bytes:
        seen.append(bearer(head))
        limited = seen[-1] == "upstream-secret-a"
        return refused(429, "requests", "rate_limit_exceeded", retry_after="2") if limited else GOOD

    async with scripted(replying(reply)) as url, serving(two_keys(url), tmp_path) as proxy:
        for _ in range(10):
            assert_good(CHAT, await CHAT.ask(proxy))
        state = proxy.worker.state.live.deployments["m/0:p0"]
        assert state.streak == 0, "a limit says nothing about health"

    assert seen.count("upstream-secret-a") == 1


@pytest.mark.parametrize("status", [429, 401])
async def test_a_limit_is_of_one_model_and_a_refused_key_of_all(
    tmp_path: Path, status: int
) -> None:
    seen: list[bytes] = []

    def reply(head: bytes, body: bytes) -> bytes:
        seen.append(body)
        is_first = orjson.loads(body)["model"] == "a"
        return refused(status, "requests", "refused", retry_after="30") if is_first else GOOD

    other = {"deployments": [{"provider": "p0", "model": "b"}]}
    async with (
        scripted(replying(reply)) as url,
        serving(fleet((url, "a"), models__other=other), tmp_path) as proxy,
    ):
        assert_error(CHAT, await CHAT.ask(proxy), "limit" if status == 429 else "up_auth")
        asked = len(seen)
        # A last resort may go out once a second, with whatever key there is.
        proxy.worker.state.live.deployments["other/0:p0"].take_last_resort(monotonic(), 60.0)
        body = {**CHAT.body, "model": "other"}
        answers = [await proxy.post(CHAT.path, body) for _ in range(3)]

    if status == 429:
        assert [answer.status for answer in answers] == [200] * 3
        assert len(seen) == asked + 3
    else:
        for answer in answers:
            assert_error(CHAT, answer, "up_auth")
        assert len(seen) == asked


async def test_a_limited_deployment_is_left_for_another_at_once(
    sim: Simulator, tmp_path: Path
) -> None:
    async with row(sim, tmp_path, "429-ra2", "") as one:
        for _ in range(6):
            assert_good(CHAT, await CHAT.ask(one.proxy))

        assert len(await one.seen(0)) == 1
        assert len(await one.seen(1)) == 6
        assert one.failures() == 0


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_short_limit_is_waited_for_when_there_is_nobody_else(
    sim: Simulator, tmp_path: Path, dialect: str
) -> None:
    async with row(sim, tmp_path, "429x1-rams250") as one:
        assert_good(DIALECTS[dialect], await DIALECTS[dialect].ask(one.proxy))

        first, second = await one.seen()
        assert second["begun_at"] - first["begun_at"] >= 0.25


async def test_a_limit_without_length_is_waited_for_a_quarter_of_a_second(
    sim: Simulator, tmp_path: Path
) -> None:
    async with row(sim, tmp_path, "429x1-ra0") as one:
        assert_good(CHAT, await CHAT.ask(one.proxy))

        first, second = await one.seen()
        assert second["begun_at"] - first["begun_at"] >= 0.25


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_long_limit_is_told_to_the_client_with_the_time_that_is_left(
    sim: Simulator, tmp_path: Path, dialect: str
) -> None:
    asking = DIALECTS[dialect]
    async with row(sim, tmp_path, "429-ra20") as one:
        answers = [await asking.ask(one.proxy) for _ in range(3)]

        for answer in answers:
            assert_error(asking, answer, "limit")
        waits = [milliseconds(answer) for answer in answers]
        assert 15_000 < waits[-1] <= 24_000
        assert waits == sorted(waits, reverse=True), "it counts down"
        assert len(await one.seen()) == 1


async def test_a_client_that_leaves_while_a_limit_is_waited_for_is_not_asked_for_again(
    sim: Simulator, tmp_path: Path
) -> None:
    async with row(sim, tmp_path, "429-rams400") as one:
        client = await one.proxy.raw()
        client.send(request("POST", "/v1/chat/completions", b'{"model":"m","messages":[]}'))
        await until(lambda: one.tried() == 1)
        client.reset()
        await until(lambda: one.proxy.metric("headrace_client_gone_total") == 1)

        assert one.proxy.worker.state.live.deployments["m/0:p0"].inflight == 0
        assert len(await one.seen()) == 1


# B5, B6, B7: what providers put into such a hint


@pytest.mark.parametrize(
    ("hint", "least", "most"),
    [
        # B5: a date, against the answer's own clock
        ("radate20", 15_000, 24_000),
        ("raskew3600-radate20", 15_000, 24_000),
        ("raskew-3600-radate20", 15_000, 24_000),
        # B6: milliseconds win
        ("rams600", 500, 720),
        ("ra30-rams600", 500, 720),
        # B7: hostile; the last key is never away for longer than a minute
        ("ra1000000000000", 15_000, 60_000),
        ("ra1e12", 15_000, 60_000),
        ("ra-5", 250, 300),
        ("radate-3600", 250, 300),
        ("ra0", 250, 300),
        ("ra0.1", 250, 300),
        ("rams1", 250, 300),
        ("ratwo", 3_500, 4_800),
        ("raNaN", 1, 30_000),
        ("rainf", 1, 30_000),
        ("rasoon", 1, 30_000),
        ("none", 1, 30_000),
    ],
)
async def test_a_hint_is_read_as_what_it_can_mean(
    sim: Simulator, tmp_path: Path, hint: str, least: int, most: int
) -> None:
    async with row(sim, tmp_path, f"429-{hint}", **NO_WAIT) as one:
        answer = await CHAT.ask(one.proxy)

        assert_error(CHAT, answer, "limit")
        assert least <= milliseconds(answer) <= most


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"x_ms_retry_after_ms": "600"}, 500, 720),  # B6
        ({"x_ms_retry_after_ms": "600", "retry_after": "30"}, 500, 720),
        ({"retry_after": "4, 1"}, 1, 30_000),  # B7
        ({"retry_after": ""}, 1, 30_000),
        ({"retry_after": "9" * 400}, 1, 60_000),
    ],
)
async def test_a_hint_in_another_spelling_is_read_as_what_it_can_mean(
    tmp_path: Path, headers: dict[str, str], least: int, most: int
) -> None:
    def reply(head: bytes, body: bytes) -> bytes:
        return refused(429, "requests", "rate_limit_exceeded", **headers)

    async with (
        scripted(replying(reply)) as url,
        serving(fleet((url, "a"), **NO_WAIT), tmp_path) as proxy,
    ):
        answer = await CHAT.ask(proxy)

    assert_error(CHAT, answer, "limit")
    assert least <= milliseconds(answer) <= most


async def test_a_hint_in_the_body_alone_is_read(sim: Simulator, tmp_path: Path) -> None:
    async with row(sim, tmp_path, "429-rainfo22s", **NO_WAIT) as one:
        answer = await GEMINI.ask(one.proxy)

        assert_error(GEMINI, answer, "limit")
        assert 15_000 < milliseconds(answer) <= 26_400


# B8: one request in ten is refused without a hint


@pytest.mark.parametrize("clients", [1, 10])
async def test_a_tenth_of_rate_limits_is_invisible_with_two_deployments(
    tmp_path: Path, clients: int
) -> None:
    seen = [0, 0]

    def provider(index: int) -> Callable[[bytes, bytes], bytes]:
        def reply(head: bytes, body: bytes) -> bytes:
            seen[index] += 1
            return (
                refused(429, "requests", "rate_limit_exceeded") if seen[index] % 10 == 0 else GOOD
            )

        return reply

    async with (
        scripted(replying(provider(0))) as one,
        scripted(replying(provider(1))) as other,
        # How long a key rests without a hint is a guess: with everybody resting, so much of it is waited for.
        serving(
            fleet((one, "a"), (other, "b"), defaults__retry={"retry_after_max": 0.002}), tmp_path
        ) as proxy,
    ):

        async def client() -> list[int]:
            return [(await CHAT.ask(proxy)).status for _ in range(300 // clients)]

        answers = await asyncio.gather(*(client() for _ in range(clients)))

    assert [status for statuses in answers for status in statuses] == [200] * 300
    assert sum(seen) > 300


# B11: the provider is broken


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", ["500", "502", "503", "504"])
async def test_a_broken_provider_is_left_for_another(
    sim: Simulator, tmp_path: Path, status: str, stream: bool
) -> None:
    async with row(sim, tmp_path, status, "", health__max_errors=4, **STAYS_OPEN) as one:
        for _ in range(6):
            assert_good(CHAT, await CHAT.ask(one.proxy, stream=stream), stream=stream)

        assert len(await one.seen(0)) == 4, (
            "one more try while a sibling waits, then its circuit opens"
        )
        assert len(await one.seen(1)) == 6


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("status", ["500", "503"])
async def test_a_broken_provider_alone_is_tried_three_times_at_most(
    sim: Simulator, tmp_path: Path, dialect: str, status: str
) -> None:
    async with row(sim, tmp_path, status) as one:
        answer = await DIALECTS[dialect].ask(one.proxy)

        assert_error(DIALECTS[dialect], answer, "up_spent")
        assert len(await one.seen()) == 3
        assert one.failures() == 3


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_provider_asked_only_once_speaks_for_itself(
    sim: Simulator, tmp_path: Path, dialect: str
) -> None:
    asking = DIALECTS[dialect]
    async with row(sim, tmp_path, "503", **NO_RETRY) as one:
        answer = await asking.ask(one.proxy)

        assert answer.status == 503
        assert answer.body == errors.body(asking.family, "503")[1]
        assert len(await one.seen()) == 1


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_broken_providers_page_is_not_shown(tmp_path: Path, dialect: str) -> None:
    def reply(head: bytes, body: bytes) -> bytes:
        page = b"<html>nginx at 127.0.0.1:8080 Traceback upstream-secret-p0</html>"
        return response(502, page, "text/html", location="http://127.0.0.1:1/")

    async with (
        scripted(replying(reply)) as url,
        serving(fleet((url, "a"), **NO_RETRY), tmp_path) as proxy,
    ):
        assert_error(DIALECTS[dialect], await DIALECTS[dialect].ask(proxy), "bad_up")


@pytest.mark.parametrize("members", [1, 2, 3])
async def test_a_total_outage_does_not_multiply_the_load(
    sim: Simulator, tmp_path: Path, members: int
) -> None:
    async with row(sim, tmp_path, *["503"] * members) as one:

        async def client() -> list[Answer]:
            return [await CHAT.ask(one.proxy) for _ in range(20)]

        groups = await asyncio.gather(*(client() for _ in range(10)))

        assert all(answer.status in (502, 503) for answers in groups for answer in answers)
        attempts = sum([len(await one.seen(index)) for index in range(members)])
        assert attempts <= 1.2 * 200


async def test_retries_are_a_fifth_of_the_requests_even_without_circuits(
    sim: Simulator, tmp_path: Path
) -> None:
    async with row(sim, tmp_path, "500", "502", health__enabled=False) as one:
        answers = [await CHAT.ask(one.proxy) for _ in range(150)]

        assert {answer.status for answer in answers} <= {500, 502}
        attempts = len(await one.seen(0)) + len(await one.seen(1))
        # And a few that are free: ten at the start, one a second.
        assert attempts <= 1.2 * 150 + 25
        # Nor is the client to make up for them.
        assert any(answer.headers.get("x-should-retry") == "false" for answer in answers)


# B13: redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_never_followed(tmp_path: Path, status: int) -> None:
    hits: list[bytes] = []
    seen: list[bytes] = []

    async def canary(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hits.append(await reader.read(1))

    async with scripted(canary) as trap:

        def reply(head: bytes, body: bytes) -> bytes:
            seen.append(head)
            return response(status, b"moved", "text/plain", location=trap + "/v1/chat/completions")

        async with (
            scripted(replying(reply)) as url,
            serving(fleet((url, "a"), (url, "b"), health__enabled=False), tmp_path) as proxy,
        ):
            for dialect in DIALECTS.values():
                for stream in (False, True):
                    assert_error(dialect, await dialect.ask(proxy, stream=stream), "bad_up")
            assert len(seen) == 2 * 8, "each deployment once a request"
    assert not hits


async def test_a_redirecting_provider_is_left_for_another(sim: Simulator, tmp_path: Path) -> None:
    async with row(sim, tmp_path, "302", "", health__max_errors=2, **STAYS_OPEN) as one:
        for _ in range(5):
            assert_good(CHAT, await CHAT.ask(one.proxy))

        assert len(await one.seen(0)) == 2


# B16: two answers where one was asked for


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", ["smuggle", "two_cl", "bare_lf"])
async def test_an_answer_that_can_be_read_in_two_ways_is_none(
    sim: Simulator, tmp_path: Path, fault: str, stream: bool, dialect: str
) -> None:
    asking = DIALECTS[dialect]
    async with row(sim, tmp_path, f"{fault}x1", **NO_RETRY) as one:
        answer = await asking.ask(one.proxy, stream=stream)
        assert_error(asking, answer, "bad_up")

        await assert_clean_after(one.proxy, one.seen)


async def assert_clean_after(proxy: Proxy, seen: Callable[[], Any]) -> None:
    """The next requests get their own answers, on another connection than the first."""
    raw = await proxy.raw()
    for _ in range(2):
        raw.send(request("POST", "/v1/chat/completions", b'{"model":"m","messages":[]}'))
        answer = await raw.answer()
        assert_good(CHAT, answer)
        assert "unasked" not in answer.json
        assert answer.json["id"]
    raw.close()
    first, *later = await seen()
    assert len(later) == 2
    assert first["connection"] not in {one["connection"] for one in later}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_second_answer_in_the_same_packet_is_seen_by_nobody(
    sim: Simulator, tmp_path: Path, stream: bool
) -> None:
    async with row(sim, tmp_path, "unaskedx1", **NO_RETRY) as one:
        answer = await CHAT.ask(one.proxy, stream=stream)

        assert b"nobody asked" not in answer.body
        if answer.status == 200:
            assert_good(CHAT, answer, stream=stream)
        else:
            assert_error(CHAT, answer, "bad_up")
        await assert_clean_after(one.proxy, one.seen)


@pytest.mark.parametrize("extra", [said("unasked"), b"HTTP/1.1 200 OK\r\n", b"\r\n", b"x"])
async def test_bytes_that_come_on_an_idle_connection_close_it(tmp_path: Path, extra: bytes) -> None:
    closed: list[bytes] = []
    connections = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        mine = connections
        await read_request(reader)
        writer.write(said(f"answer {mine}"))
        if mine == 1:
            await asked.wait()
            writer.write(extra)
            try:
                closed.append(await reader.read())
            except ConnectionResetError:
                closed.append(b"")
        await read_request(reader)

    asked = asyncio.Event()
    async with scripted(script) as url, serving(fleet((url, "a")), tmp_path) as proxy:
        assert text_of(await CHAT.ask(proxy)) == "answer 1"
        asked.set()
        await until(lambda: bool(closed))

        assert closed == [b""]
        assert text_of(await CHAT.ask(proxy)) == "answer 2"


@pytest.mark.parametrize(
    "head",
    [
        b"content-length: 5\r\ncontent-length: 6\r\n",
        b"content-length: 5, 6\r\n",
        b"content-length: +5\r\n",
        b"content-length: -5\r\n",
        b"content-length: 0x5\r\n",
        b"content-length: 99999999999999999999999999\r\n",
        b"transfer-encoding: chunked\r\ncontent-length: 5\r\n",
        b"transfer-encoding: xchunked\r\ncontent-length: 5\r\n",
        b"transfer-encoding: chunked, identity\r\n",
        b"content-length : 5\r\n",
        b" folded: first\r\n",
        b"bad\x00name: 1\r\n",
        b"x: a\rb\r\n",
    ],
)
async def test_a_response_head_with_two_meanings_is_refused(tmp_path: Path, head: bytes) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        if not connections:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" + head + b"\r\n")
            writer.write(b"0\r\n\r\n" + said("smuggled"))
        else:
            writer.write(GOOD)
        connections.append(head)
        await read_request(reader)

    connections: list[bytes] = []
    async with (
        scripted(script) as url,
        serving(fleet((url, "a"), **NO_RETRY), tmp_path) as proxy,
        asyncio.timeout(5),
    ):
        assert_error(CHAT, await CHAT.ask(proxy), "bad_up")
        assert text_of(await CHAT.ask(proxy)) == "good"

    assert len(connections) == 2


# B17: not HTTP at all


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("fault", ["garbage", "tls_alert"])
async def test_what_is_not_http_is_no_answer(
    sim: Simulator, tmp_path: Path, dialect: str, fault: str
) -> None:
    async with row(sim, tmp_path, f"{fault}x1", **NO_RETRY) as one:
        assert_error(DIALECTS[dialect], await DIALECTS[dialect].ask(one.proxy), "bad_up")
        assert one.tried(reason="malformed") == one.failures() == 1

        await assert_clean_after(one.proxy, one.seen)


@pytest.mark.parametrize("fault", ["garbage", "tls_alert", "smuggle", "two_cl", "bare_lf"])
async def test_a_provider_that_does_not_speak_http_is_left_for_another(
    sim: Simulator, tmp_path: Path, fault: str
) -> None:
    async with row(sim, tmp_path, fault, "", health__max_errors=2, **STAYS_OPEN) as one:
        for _ in range(4):
            assert_good(CHAT, await CHAT.ask(one.proxy))

        assert len(await one.seen(0)) == 2


# B18: 200, but no answer


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", ["html", "empty"])
async def test_a_200_without_an_answer_is_none(
    sim: Simulator, tmp_path: Path, fault: str, stream: bool, dialect: str
) -> None:
    asking = DIALECTS[dialect]
    async with row(sim, tmp_path, fault, **NO_RETRY) as one:
        assert_error(asking, await asking.ask(one.proxy, stream=stream), "bad_up")
        assert len(await one.seen()) == 1
        assert one.failures() == 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", ["html", "empty"])
async def test_a_200_without_an_answer_sends_the_request_elsewhere(
    sim: Simulator, tmp_path: Path, fault: str, stream: bool
) -> None:
    async with row(sim, tmp_path, fault, "", health__max_errors=2, **STAYS_OPEN) as one:
        for dialect in DIALECTS.values():
            assert_good(dialect, await dialect.ask(one.proxy, stream=stream), stream=stream)

        assert len(await one.seen(0)) == 2


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"hello"),
        ("application/json", b"null"),
        ("application/json", b"42"),
        ("application/json", b'["a"]'),
        ("application/json", b'"a"'),
        ("application/json", b'{"id": '),
        ("application/json", b"   "),
        ("application/json", b"{}"),
        ("application/json", b'{"choices":[]}'),
        ("text/plain", b"OK"),
        ("text/plain", b"<html>"),
        ("", b"welcome"),
    ],
)
async def test_a_200_with_something_else_in_it_is_no_answer(
    sim: Simulator, tmp_path: Path, kind: str, body: bytes, stream: bool
) -> None:
    def reply(head: bytes, _: bytes) -> bytes:
        return response(200, body, kind)

    async with (
        scripted(replying(reply)) as url,
        serving(fleet((url, "a"), (sim.url, "sim-n2")), tmp_path) as proxy,
    ):
        answer = await CHAT.ask(proxy, stream=stream)

        assert_good(CHAT, answer, stream=stream)
        assert proxy.metric("headrace_upstream_attempts_total", target="m/0:p0", outcome="ok") == 0


@pytest.mark.parametrize("body", [b"<html>", b"welcome\n\n", b"{}\n\n", b"\x00\x01", b"x" * 70_000])
async def test_a_stream_that_does_not_begin_as_one_is_none(
    sim: Simulator, tmp_path: Path, body: bytes
) -> None:
    def reply(head: bytes, _: bytes) -> bytes:
        return response(200, body, "text/event-stream")

    async with (
        scripted(replying(reply)) as url,
        serving(fleet((url, "a"), **NO_RETRY), tmp_path) as proxy,
    ):
        assert_error(CHAT, await CHAT.ask(proxy, stream=True), "bad_up")


async def test_a_page_where_sound_is_due_is_no_answer(tmp_path: Path) -> None:
    def reply(head: bytes, _: bytes) -> bytes:
        return response(200, b"<!doctype html><title>Sign in</title>", "text/html; charset=utf-8")

    async with (
        scripted(replying(reply)) as url,
        serving(fleet((url, "a"), **NO_RETRY), tmp_path) as proxy,
    ):
        body = {"model": "m", "input": "hi", "voice": "alloy"}
        assert_error(CHAT, await proxy.post("/v1/audio/speech", body), "bad_up")


# B19: an error inside a 200


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_inside_a_200_sends_the_request_elsewhere(
    sim: Simulator, tmp_path: Path, dialect: str, stream: bool
) -> None:
    asking = DIALECTS[dialect]
    async with row(sim, tmp_path, "200err", "", health__max_errors=2, **STAYS_OPEN) as one:
        for _ in range(3):
            assert_good(asking, await asking.ask(one.proxy, stream=stream), stream=stream)

        assert len(await one.seen(0)) == 2
        assert len(await one.seen(1)) == 3


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_inside_a_200_is_never_told_as_a_success(
    sim: Simulator, tmp_path: Path, dialect: str, stream: bool
) -> None:
    asking = DIALECTS[dialect]
    async with row(sim, tmp_path, "200err", **NO_RETRY) as one:
        answer = await asking.ask(one.proxy, stream=stream)

        assert answer.status in (503, 529), answer
        assert answer.json["error"]["message"]
        assert one.failures() == 1
        failed = one.proxy.metric("headrace_requests_total", model="m", status=str(answer.status))
        assert failed == 1 or one.proxy.metric("headrace_requests_total", status="200") == 0


async def test_a_rate_limit_inside_a_200_is_one(tmp_path: Path) -> None:
    seen: list[str] = []
    error = {"message": "Slow down.", "type": "rate_limit_error", "code": 429}

    def reply(head: bytes, body: bytes) -> bytes:
        seen.append(bearer(head))
        limited = seen[-1] == "upstream-secret-a"
        return response(200, orjson.dumps({"error": error})) if limited else GOOD

    async with scripted(replying(reply)) as url, serving(two_keys(url), tmp_path) as proxy:
        for _ in range(6):
            assert_good(CHAT, await CHAT.ask(proxy))
        assert proxy.worker.state.live.deployments["m/0:p0"].streak == 0

    assert seen.count("upstream-secret-a") == 1


async def test_a_refusal_inside_a_200_is_told_with_the_status_it_means(tmp_path: Path) -> None:
    error = {"message": "No such field.", "type": "invalid_request_error", "code": 400}

    def reply(head: bytes, body: bytes) -> bytes:
        return response(200, orjson.dumps({"error": error}))

    async with scripted(replying(reply)) as url, serving(fleet((url, "a")), tmp_path) as proxy:
        answer = await CHAT.ask(proxy)

        assert answer.status == 400
        assert answer.json["error"]["message"] == "No such field."
        assert proxy.worker.state.live.deployments["m/0:p0"].streak == 0


@pytest.mark.parametrize("fault", ["200err", "html", "empty"])
async def test_a_stream_as_one_json_array_is_checked_too(
    sim: Simulator, tmp_path: Path, fault: str
) -> None:
    array = GEMINI._replace(stream_path="/v1beta/models/{model}:streamGenerateContent")
    async with row(sim, tmp_path, fault, "") as one:
        answer = await array.ask(one.proxy, stream=True)

        assert_good(array, answer, stream=True)
        assert isinstance(answer.json, list)
        assert len(await one.seen(1)) == 1


# B20: nobody is left


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_with_every_circuit_open_the_answer_comes_from_us(
    sim: Simulator, tmp_path: Path, dialect: str
) -> None:
    asking = DIALECTS[dialect]
    async with row(sim, tmp_path, "500", "503", health__max_errors=1, **STAYS_OPEN) as one:
        # The first opens both circuits. Then each is asked once a second at most, as a last resort.
        for _ in range(3):
            await asking.ask(one.proxy)
        before = len(await one.seen(0)) + len(await one.seen(1))
        answers = [await asking.ask(one.proxy) for _ in range(30)]
        after = len(await one.seen(0)) + len(await one.seen(1))

        message = ERRORS["no_up"].message
        ours = [answer for answer in answers if answer.json["error"]["message"] == message]
        assert after - before == 30 - len(ours) <= 4
        for answer in ours:
            assert_error(asking, answer, "no_up")
            assert 10_000 < milliseconds(answer) <= 24_000, "when the next probe is due"


async def test_one_request_at_a_time_finds_out_whether_a_provider_is_back(tmp_path: Path) -> None:
    alive = asyncio.Event()
    seen: list[str] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            seen.append("asked")
            if len(seen) == 1:
                writer.write(refused(503))
                continue
            await alive.wait()
            writer.write(GOOD)

    health = {"max_errors": 1, "open_base": 0.001, "recover_after": 1}
    async with (
        scripted(script) as url,
        serving(fleet((url, "a"), health=health, **NO_RETRY), tmp_path) as proxy,
    ):
        assert (await CHAT.ask(proxy)).status == 503
        asking = [asyncio.create_task(CHAT.ask(proxy)) for _ in range(20)]
        # The probe, and beside it one request a second as a last resort.
        await until(lambda: sum(task.done() for task in asking) >= 17)
        assert 2 <= len(seen) <= 4
        for task in asking:
            if task.done():
                assert_error(CHAT, task.result(), "no_up")
        alive.set()
        await asyncio.gather(*asking)
        assert_good(CHAT, await CHAT.ask(proxy))


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_providers_that_died_and_came_back_serve_again(tmp_path: Path, dialect: str) -> None:
    """The listeners themselves go away: what was pooled is gone, connections are refused."""
    sockets: list[asyncio.Server] = []

    async def start(port: int) -> int:
        server = await asyncio.start_server(serve, "127.0.0.1", port)
        sockets.append(server)
        found: int = server.sockets[0].getsockname()[1]
        return found

    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            await replying(lambda head, body: ANSWERS[dialect])(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def stop() -> None:
        for server in sockets:
            server.close()
        for writer in writers:
            writer.transport.abort()
        sockets.clear()
        writers.clear()

    asking = DIALECTS[dialect]
    ports = [await start(0), await start(0)]
    members = [(f"http://127.0.0.1:{port}", "a") for port in ports]
    health = {"max_errors": 2, "open_base": 0.02, "recover_after": 1}
    async with serving(fleet(*members, health=health), tmp_path) as proxy:
        assert_good(asking, await asking.ask(proxy))
        await stop()
        for _ in range(10):
            assert_error(asking, await asking.ask(proxy), "no_up")
        for port in ports:
            await start(port)
        async with asyncio.timeout(5):
            while (await asking.ask(proxy)).status != 200:
                await asyncio.sleep(0)
        assert_good(asking, await asking.ask(proxy))
        await stop()


def _whole(**fields: Any) -> bytes:
    return response(200, orjson.dumps(fields))


_PART = {"type": "output_text", "text": "good", "annotations": []}
ANSWERS = {
    "chat": GOOD,
    "responses": _whole(
        id="r", object="response", status="completed", model="a",
        output=[{"type": "message", "role": "assistant", "content": [_PART]}],
    ),
    "messages": _whole(
        id="m", type="message", role="assistant", model="a", stop_reason="end_turn",
        content=[{"type": "text", "text": "good"}], usage={"input_tokens": 1, "output_tokens": 1},
    ),
    "gemini": _whole(
        candidates=[{"content": {"parts": [{"text": "good"}]}, "finishReason": "STOP", "index": 0}]
    ),
}  # fmt: skip


# Whatever the fault, a client that leaves leaves nothing behind (V6)


async def test_a_client_that_leaves_during_the_second_attempt_ends_that_one_too(
    sim: Simulator, tmp_path: Path
) -> None:
    async with row(sim, tmp_path, "503", "no_headers") as one:
        client = await one.proxy.raw()
        client.send(request("POST", MESSAGES.path, orjson.dumps({**MESSAGES.body, "model": "m"})))
        async with asyncio.timeout(5):
            while not await one.seen(1):
                await asyncio.sleep(0)
        client.reset()
        async with asyncio.timeout(5):
            while (await one.seen(1))[0]["ended_at"] is None:
                await asyncio.sleep(0)

        assert [request["outcome"] for request in await one.seen(1)] == ["aborted"]
        live = one.proxy.worker.state.live.deployments
        assert [state.inflight for state in live.values()] == [0] * len(live)


async def test_an_error_is_told_on_a_connection_that_goes_on(
    sim: Simulator, tmp_path: Path
) -> None:
    async with row(sim, tmp_path, "503") as one:
        raw = await one.proxy.raw()
        for model in ("m", "good", "m", "good"):
            body = orjson.dumps({"model": model, "messages": []})
            raw.send(request("POST", CHAT.path, body))
            answer = await raw.answer()
            assert_discreet(answer)
            assert answer.status == (200 if model == "good" else 502), answer
        raw.close()
