"""What is booked at the end of an exchange, however it ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from proxy.core import log
from proxy.core.errors import Cause, ProxyError, UpstreamError
from proxy.core.model import Logging, Snapshot
from proxy.core.series import Family, Histogram
from proxy.gateway.meter import Meter
from tests.gateway.asked import CHAT, exchange, provider, raw, snapshot, state
from tests.gateway.served import (
    CHUNK,
    COMPLETION,
    STREAM,
    STREAMED,
    Provider,
    Served,
    chunk,
    serving,
    virtual_key,
    whole,
)
from tests.line.harness import scripted, until

BODY = b'{"model":"m","messages":[]}'
STREAMING = b'{"model":"m","messages":[],"stream":true}'
USAGE = b'{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true}}'


def meter(body: bytes = BODY, *fields: str) -> Meter:
    return Meter(exchange(raw("POST", CHAT, body, *fields)), state(snapshot(provider())))


def booked(one: Meter | Served, status: str, stream: str = "false", *names: str) -> float:
    """Requests with this status; `names` are the model's and the provider's, if they were known."""
    model, place = names or ("", "")
    return one.state.metrics.requests.child(CHAT, model, place, status, stream).value


def count(family: Family[Histogram], *labels: str) -> int:
    return sum(family.child(*labels).counts)


# --- one by one ---


async def test_what_we_refuse_is_booked_under_our_status() -> None:
    one = meter()
    one.rejected(ProxyError("bad_json"))
    one.exchange.respond(400, [], b"{}")

    one.settle()

    assert booked(one, "400") == 1
    assert (one.outcome, one.cause) == ("rejected", "invalid_json")
    assert one.state.metrics.bad_requests.child("invalid_json").value == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ProxyError("no_auth"), "invalid_api_key"),
        (ProxyError("no_auth", code="conflicting_keys"), "conflicting_keys"),
        (ProxyError("forbid", code="key_expired"), "key_expired"),
        (ProxyError("auth_flood"), "too_many_auth_failures"),
    ],
)
async def test_refused_keys_are_counted_by_reason(error: ProxyError, code: str) -> None:
    one = meter()

    one.rejected(error)

    assert one.state.metrics.auth_failures.child(code).value == 1
    assert one.state.metrics.bad_requests.child(code).value == 0


@pytest.mark.parametrize(("ref", "outcome"), [("oops", "failed"), ("limit", "rejected")])
async def test_a_failure_is_told_from_a_refusal(ref: str, outcome: str) -> None:
    one = meter()

    one.rejected(ProxyError(ref))

    assert one.outcome == outcome


async def test_the_cause_of_a_failed_attempt_outlives_our_own_word_for_it() -> None:
    one = meter()
    one.cause = "http_5xx"

    one.rejected(ProxyError("up_spent"))

    assert one.cause == "http_5xx"


async def test_a_providers_refusal_is_booked_as_one() -> None:
    one = meter()

    one.passed_on(UpstreamError(Cause.CONTEXT, status=400))

    assert (one.outcome, one.cause) == ("refused", "context_length")


async def test_a_client_that_left_before_any_answer_is_booked_as_gone() -> None:
    one = meter()

    one.client_gone()
    one.settle()

    assert booked(one, "499") == 1
    assert one.state.metrics.client_gone.child("queued").value == 1


async def test_a_request_is_in_flight_from_when_it_was_read_until_it_is_settled() -> None:
    one = meter(STREAMING)
    gauge = one.state.metrics.inflight.child(CHAT, "true")

    one.ready(1.0)
    assert gauge.value == 1
    one.settle()

    assert gauge.value == 0


async def test_waiting_for_a_provider_is_no_overhead() -> None:
    one = meter()
    one.ready(0.0)
    before = one.overhead()

    one.paused(before + 5.0)

    assert one.overhead() == 0.0
    [timing, overhead] = one.timing_headers()
    assert timing[0] == b"server-timing"
    assert overhead == (b"x-headrace-overhead-ms", b"0.000")


# --- whole exchanges ---

Settings = Callable[[str], Snapshot]


def plain(url: str) -> Snapshot:
    return snapshot(provider(url))


class Books:
    """What the log says of requests, one line for each."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def lines(self) -> list[dict[str, Any]]:
        assert await asyncio.to_thread(log.flush)
        written = [orjson.loads(line) for line in self._path.read_bytes().splitlines()]
        return [line for line in written if "request_id" in line]


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    """The log of requests goes into a file of this test."""
    level = logging.getLogger().level
    path = tmp_path / "headrace.log"
    log.configure(Logging(file=str(path)))
    yield Books(path)
    log.close()
    logging.getLogger().setLevel(level)


async def settled(served: Served) -> None:
    """Until every exchange has been booked."""
    gauges = served.state.metrics.registry.snapshot
    await until(lambda: not any(gauges()["headrace_inflight_requests"].values.values()))


async def test_a_whole_answer_is_booked(books: Books) -> None:
    async with scripted(Provider(whole())) as url:
        settings = replace(plain(url), keys=virtual_key("sk-1"))
        async with serving(settings) as served:
            fields = ["Authorization: Bearer sk-1", "X-Request-Id: id-1", "User-Agent: test/1"]
            await served.ask(raw("POST", CHAT, BODY, *fields))
            await settled(served)

            metrics = served.state.metrics
            assert booked(served, "200", "false", "m", "p") == 1
            assert metrics.upstream_attempts.child("m", "m/0:p", "ok", "").value == 1
            assert metrics.tokens.child("m", "p", "input", "reported").value == 7
            assert metrics.tokens.child("m", "p", "output", "reported").value == 2
            assert count(metrics.request_duration, CHAT, "m", "p", "false") == 1
            assert count(metrics.overhead, CHAT, "false") == 1
            assert metrics.request_body_bytes.child(CHAT).sum == len(BODY)
            assert metrics.response_body_bytes.child(CHAT).sum == len(COMPLETION)
            assert count(metrics.upstream_connect, "p") == 1

        [line] = await books.lines()
    expected = {
        "request_id": "id-1",
        "method": "POST",
        "route": CHAT,
        "status": 200,
        "outcome": "ok",
        "dialect": "openai.chat",
        "model": "m",
        "upstream_model": "up",
        "provider": "p",
        "deployment": "m/0:p",
        "key": "app",
        "attempts": 1,
        "bytes_in": len(BODY),
        "bytes_out": len(COMPLETION),
        "input_tokens": 7,
        "output_tokens": 2,
        "user_agent": "test/1",
    }
    assert {name: line.get(name) for name in expected} == expected
    assert line["total_ms"] >= line["overhead_ms"] >= 0


@pytest.mark.parametrize("body", [STREAMING, USAGE], ids=["usage hidden", "usage asked for"])
async def test_a_stream_is_booked_with_its_usage(books: Books, body: bytes) -> None:
    async with scripted(Provider(STREAMED)) as url, serving(plain(url)) as served:
        answer = await served.ask(raw("POST", CHAT, body))
        await settled(served)

        metrics = served.state.metrics
        assert booked(served, "200", "true", "m", "p") == 1
        assert metrics.stream_terminations.child("m", "p", "done").value == 1
        assert metrics.tokens.child("m", "p", "output", "reported").value == 2
        assert count(metrics.ttft, "m", "p") == 1
        [line] = await books.lines()

    assert (line["outcome"], line["stream"], line["output_tokens"]) == ("ok", True, 2)
    assert line["bytes_out"] == len(answer.body)
    assert line["total_ms"] >= line["ttft_ms"] >= 0


async def test_the_time_to_the_first_token_is_that_of_content(books: Books) -> None:
    """A role that comes before anything is thought of is no token, even where it goes to the client at once."""
    role = CHUNK.replace(b'"content":"hello"', b'"role":"assistant","content":""')
    asked: list[float] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.append(monotonic())
        writer.write(STREAM + chunk(role))
        while monotonic() < asked[0] + 0.05:
            await asyncio.sleep(0.002)
        asked.append(monotonic())
        writer.write(STREAMED.removeprefix(STREAM))

    assert role != CHUNK
    async with scripted(script) as url, serving(plain(url)) as served:
        await served.ask(raw("POST", CHAT, STREAMING))
        await settled(served)
        [line] = await books.lines()

    assert line["ttft_ms"] / 1000 >= asked[1] - asked[0]


async def test_a_stream_cut_short_is_not_booked_as_a_success(books: Books) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(STREAM + chunk(CHUNK))

    async with scripted(script) as url, serving(plain(url)) as served:
        answer = await served.ask(raw("POST", CHAT, STREAMING))
        await settled(served)

        assert not answer.complete
        assert booked(served, "200_truncated", "true", "m", "p") == 1
        terminations = served.state.metrics.stream_terminations
        assert terminations.child("m", "p", "truncated").value == 1
        [line] = await books.lines()

    assert (line["status"], line["outcome"]) == (200, "truncated")


async def test_a_client_that_leaves_mid_stream_is_booked_as_gone(books: Books) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(STREAM + chunk(CHUNK))
        await reader.read()

    async with scripted(script) as url, serving(plain(url)) as served:
        client = await served.client()
        client.send(raw("POST", CHAT, STREAMING))
        await client.reader.readuntil(b"hello")
        client.reset()
        await settled(served)

        assert booked(served, "499", "true", "m", "p") == 1
        assert served.state.metrics.client_gone.child("relay").value == 1
        [line] = await books.lines()

    assert (line["status"], line["outcome"]) == (499, "client_gone")


async def test_attempts_that_failed_are_told_from_the_one_that_answered(books: Books) -> None:
    async with (
        scripted(Provider(whole(b"{}", 401))) as bad,
        scripted(Provider(whole())) as good,
        serving(snapshot(provider(bad), provider(good, "q"))) as served,
    ):
        await served.ask(raw("POST", CHAT, BODY))
        await settled(served)

        metrics = served.state.metrics
        assert metrics.failovers.child("m", "p", "http_401").value == 1
        assert booked(served, "200", "false", "m", "q") == 1
        [line] = await books.lines()

    assert (line["provider"], line["attempts"], line["outcome"]) == ("q", 2, "ok")


async def test_an_answer_without_usage_is_counted() -> None:
    answer = COMPLETION.partition(b',"usage"')[0] + b"}"
    async with scripted(Provider(whole(answer))) as url, serving(plain(url)) as served:
        await served.ask(raw("POST", CHAT, BODY))

        assert served.state.metrics.empty_responses.child("p", "no_usage").value == 1


async def test_what_will_not_mend_itself_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    async with scripted(Provider(whole(b"{}", 401))) as url, serving(plain(url)) as served:
        for _ in range(3):
            await served.ask(raw("POST", CHAT, BODY))

    told = [one for one in caplog.messages if "refuses the credential" in one]
    assert len(told) == 1
    assert "m/0:p" in told[0]
    assert "upstream-secret" not in caplog.text


async def test_requests_are_not_logged_where_that_is_switched_off(books: Books) -> None:
    async with scripted(Provider(whole())) as url:
        settings = replace(plain(url), logging=Logging(requests=False))
        async with serving(settings) as served:
            await served.ask(raw("POST", CHAT, BODY))
            await settled(served)

        assert await books.lines() == []


async def test_a_name_a_client_made_up_is_no_label() -> None:
    async with serving(snapshot(provider())) as served:
        for at in range(5):
            await served.ask(raw("POST", CHAT, b'{"model":"made-up-%d"}' % at))

        samples = served.state.metrics.registry.snapshot()["headrace_requests_total"].values
        assert not any("made-up" in labels for labels in samples)
