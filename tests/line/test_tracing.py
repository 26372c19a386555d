"""Spans of real requests, as a real collector takes them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from importlib import import_module
from pathlib import Path
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from proxy.core import lines, redact
from proxy.core.model import Tracing
from proxy.core.tasks import running
from tests.line.harness import (
    KEY,
    ROOT,
    Process,
    Raw,
    Simulator,
    config,
    free_port,
    read_request,
    request,
    scripted,
    serving,
    until,
)
from tests.telemetry.collector import Collector, collecting
from tests.upstream.certificates import Authority

import_module("proxy.telemetry.otlp")
"""Imported here: while a test runs it would hold up the loop."""
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"
CHAT = "/v1/chat/completions"
ASKED = {"model": "sim", "messages": [{"role": "user", "content": "hi"}]}
WHOLE = (
    b'{"id":"a","model":"up-2","choices":[{"message":{"content":"hello"},"finish_reason":"stop"}]}'
)


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with collecting() as found:
        yield found


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine's own environment; spans do not wait for company."""
    for name in list(os.environ):
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "5")


def traced(collector: Collector, *urls: str, **changes: Any) -> dict[str, Any]:
    tracing = {"enabled": True, "endpoint": collector.url, **changes.pop("tracing", {})}
    return config(*urls, tracing=tracing, **changes)


async def test_a_request_is_one_span_and_its_attempt_another(
    sim: Simulator, collector: Collector, tmp_path: Path
) -> None:
    async with serving(traced(collector, sim.url), tmp_path) as proxy:
        answer = await proxy.chat("sim", max_tokens=9)
        server, (attempt,) = await collector.trace(2)

    assert answer.status == 200
    assert server.name == "POST /v1/chat/completions"
    # The trace can be found by what the client was told, and by what the log says.
    assert server.trace_id == answer.headers["x-request-id"].replace("-", "")
    assert server.parent_id == ""
    assert server.resource["service.name"] == "headrace"
    assert server.attributes["http.response.status_code"] == 200
    assert server.attributes["http.route"] == "/v1/chat/completions"
    assert server.attributes["url.scheme"] == "http"
    assert server.attributes["headrace.request_id"] == answer.headers["x-request-id"]
    assert server.attributes["headrace.key"] == "test"
    assert server.attributes["headrace.outcome"] == "ok"
    assert server.attributes["gen_ai.operation.name"] == "chat"
    assert server.attributes["gen_ai.request.model"] == "sim"
    assert 0 < server.attributes["gen_ai.response.time_to_first_chunk"] < 60
    assert server.events == ["headrace.first_chunk"]

    assert attempt.name == "chat sim"
    assert attempt.attributes["gen_ai.provider.name"] == "p0"
    assert attempt.attributes["gen_ai.request.max_tokens"] == 9
    assert attempt.attributes["gen_ai.response.finish_reasons"]
    assert attempt.attributes["gen_ai.response.model"] == "sim"
    assert attempt.attributes["gen_ai.response.id"]
    assert attempt.attributes["gen_ai.usage.input_tokens"] > 0
    assert attempt.attributes["gen_ai.usage.output_tokens"] > 0
    assert attempt.attributes["server.address"] == "127.0.0.1"
    assert attempt.attributes["headrace.attempt.kind"] == "first"
    assert attempt.attributes["headrace.attempt.outcome"] == "ok"
    assert attempt.events == ["headrace.connected", "headrace.first_chunk"]
    assert server.started <= attempt.started <= attempt.ended <= server.ended
    assert not server.error
    assert not attempt.error


@pytest.mark.allow_blocking("a context of TLS is built in the loop")
async def test_the_scheme_is_that_of_the_listener(
    sim: Simulator, collector: Collector, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue()
    tls = {"certificate": str(certificate), "key": str(key)}
    async with serving(traced(collector, sim.url, server={"tls": tls}), tmp_path) as proxy:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", proxy.port, ssl=authority.trusted()
        )
        client = Raw(reader, writer)
        proxy.clients.append(client)
        client.send(request("POST", CHAT, orjson.dumps(ASKED)))
        await client.answer()
        server, _ = await collector.trace(2)

    assert server.attributes["url.scheme"] == "https"


async def test_of_a_long_name_from_outside_no_more_is_kept_than_of_any(
    sim: Simulator, collector: Collector, tmp_path: Path
) -> None:
    redact.forget()  # as much of a name as the longest secret has goes with its cut
    remembered = []
    async with serving(traced(collector, sim.url), tmp_path) as proxy:
        for count, end in enumerate(("a", "b"), 1):
            answer = await proxy.post(CHAT, {**ASKED, "model": "none-" + "x" * 100_000 + end})
            assert answer.status == 404, answer
            await collector.until(lambda: len(collector.spans) == count)  # noqa: B023 - at once
            remembered.append(lines.name.cache_info().currsize)

    # What is remembered ends before what makes them two.
    assert remembered[0] == remembered[1] > 0
    assert {len(one.attributes["gen_ai.request.model"]) for one in collector.spans} == {256}


async def test_a_trace_of_the_clients_goes_on(
    sim: Simulator, collector: Collector, tmp_path: Path
) -> None:
    headers = {"traceparent": PARENT, "tracestate": "vendor=1", "x-request-id": "mine"}
    async with serving(traced(collector, sim.url), tmp_path) as proxy:
        await proxy.post(CHAT, ASKED, headers)
        server, (attempt,) = await collector.trace(2)

    assert (server.trace_id, server.parent_id) == (TRACE, SPAN)
    assert attempt.trace_id == TRACE
    assert server.state == "vendor=1"
    assert server.attributes["headrace.request_id"] == "mine"


async def test_a_client_that_does_not_record_is_not_recorded(
    sim: Simulator, collector: Collector, tmp_path: Path
) -> None:
    quiet = {"traceparent": f"00-{TRACE}-{SPAN}-00"}
    async with serving(traced(collector, sim.url), tmp_path) as proxy:
        await proxy.post(CHAT, ASKED, quiet)
        await proxy.post(CHAT, ASKED, {"traceparent": PARENT})
        server, _ = await collector.trace(2)

    assert server.trace_id == TRACE


async def test_whom_nobody_follows_is_recorded_by_lot(
    sim: Simulator, collector: Collector, tmp_path: Path
) -> None:
    # All of its last 56 bits: as seldom drawn as can be, and as often.
    seldom, often = "1" * 18 + "0" * 14, "1" * 18 + "f" * 14
    tracing = {"follow": False, "sample": 0.001}
    async with serving(traced(collector, sim.url, tracing=tracing), tmp_path) as proxy:
        await proxy.post(CHAT, ASKED, {"traceparent": f"00-{seldom}-{SPAN}-01"})
        await proxy.post(CHAT, ASKED, {"traceparent": f"00-{often}-{SPAN}-00"})
        server, _ = await collector.trace(2)

    assert server.trace_id == often


async def test_a_broken_traceparent_begins_a_trace(
    sim: Simulator, collector: Collector, tmp_path: Path
) -> None:
    headers = {"traceparent": PARENT.upper(), "tracestate": "vendor=1"}
    async with serving(traced(collector, sim.url), tmp_path) as proxy:
        await proxy.post(CHAT, ASKED, headers)
        server, _ = await collector.trace(2)

    assert server.trace_id != TRACE
    assert (server.parent_id, server.state) == ("", "")


@pytest.mark.parametrize(("fault", "cause"), [("429", "http_429"), ("404", "http_404")])
async def test_each_attempt_says_why_it_was_made_and_what_came_of_it(
    fault: str, cause: str, sim: Simulator, collector: Collector, tmp_path: Path
) -> None:
    content = traced(collector, sim.url, sim.url)
    content["models"] = {
        "m": {
            "deployments": [
                {"provider": "p0", "model": f"sim-{fault}", "priority": 1},
                {"provider": "p1", "model": "sim", "priority": 2},
            ]
        }
    }
    async with serving(content, tmp_path) as proxy:
        answer = await proxy.chat("m", stream=False)
        server, attempts = await collector.trace(3)

    assert answer.status == 200
    assert server.attributes["headrace.attempts"] == 2
    assert [one.attributes["headrace.attempt.kind"] for one in attempts] == ["first", "switch"]
    assert [one.attributes["headrace.attempt.number"] for one in attempts] == [1, 2]
    assert [one.attributes.get("error.type") for one in attempts] == [cause, None]
    assert [one.error for one in attempts] == [True, False]
    assert [one.attributes["headrace.deployment"] for one in attempts] == ["m/0:p0", "m/1:p1"]
    assert attempts[0].ended <= attempts[1].started
    assert not server.error


async def test_a_retry_and_a_fallback_are_told_apart(
    sim: Simulator, collector: Collector, tmp_path: Path
) -> None:
    content = traced(collector, sim.url)
    content["defaults"]["retry"] |= {"count": 1, "budget": 10}
    content["models"] = {
        "m": {"deployments": [{"provider": "p0", "model": "sim-500"}], "fallbacks": ["other"]},
        "other": {"deployments": [{"provider": "p0", "model": "sim"}]},
    }
    async with serving(content, tmp_path) as proxy:
        answer = await proxy.chat("m", stream=False)
        _, attempts = await collector.trace(4)

    assert answer.status == 200
    kinds = [one.attributes["headrace.attempt.kind"] for one in attempts]
    assert kinds == ["first", "retry", "fallback"]


async def test_both_attempts_of_a_hedge_are_spans(
    sim: Simulator, collector: Collector, tmp_path: Path
) -> None:
    content = traced(collector, sim.url, sim.url)
    content["models"] = {
        "m": {
            "hedge": {"enabled": True, "after": "50ms", "share": 1},
            "deployments": [
                {"provider": "p0", "model": "sim-f5000", "priority": 1},
                {"provider": "p1", "model": "sim", "priority": 2},
            ],
        }
    }
    async with serving(content, tmp_path) as proxy:
        answer = await proxy.chat("m")
        _, attempts = await collector.trace(3)

    assert answer.complete
    first, second = attempts
    assert second.attributes["headrace.attempt.kind"] == "hedge"
    assert first.attributes["headrace.attempt.outcome"] == "hedged"
    assert second.attributes["headrace.attempt.outcome"] == "ok"
    assert second.started < first.ended
    # What is used is counted once.
    assert "gen_ai.usage.output_tokens" in second.attributes
    assert "gen_ai.usage.output_tokens" not in first.attributes


async def test_a_stream_that_breaks_off_and_goes_on_elsewhere_is_two_attempts(
    sim: Simulator, collector: Collector, tmp_path: Path
) -> None:
    content = traced(collector, sim.url, sim.url)
    content["models"] = {
        "m": {
            "continuation": ["match"],
            "deployments": [
                {"provider": "p0", "model": "sim-n40-d1-rst", "priority": 1},
                {"provider": "p1", "model": "sim-n40", "priority": 2},
            ],
        }
    }
    async with serving(content, tmp_path) as proxy:
        answer = await proxy.chat("m")
        server, attempts = await collector.trace(3)

    assert answer.complete
    assert [one.attributes["headrace.attempt.kind"] for one in attempts] == [
        "first",
        "continuation",
    ]
    assert attempts[0].attributes["error.type"] == "truncated"
    assert attempts[1].attributes["headrace.attempt.outcome"] == "ok"
    assert server.attributes["headrace.outcome"] == "ok"


async def test_a_stream_that_breaks_off_for_good_is_an_error(
    sim: Simulator, collector: Collector, tmp_path: Path
) -> None:
    async with serving(traced(collector, sim.url), tmp_path) as proxy:
        answer = await proxy.chat("sim-n40-d1-rst")
        server, (attempt,) = await collector.trace(2)

    assert not answer.complete
    assert server.error
    assert attempt.error
    assert server.attributes["http.response.status_code"] == 200
    assert server.attributes["error.type"] == "truncated"


async def test_a_request_that_is_refused_has_no_attempt(
    sim: Simulator, collector: Collector, tmp_path: Path
) -> None:
    async with serving(traced(collector, sim.url), tmp_path) as proxy:
        answer = await proxy.post(CHAT, ASKED, key="sk-hr-wrong-0000000000000000")
        server, attempts = await collector.trace(1)

    assert answer.status == 401
    assert attempts == []
    assert server.attributes["http.response.status_code"] == 401
    assert server.attributes["headrace.outcome"] == "rejected"
    # Ours to refuse, the client's to mend: no error of this server.
    assert not server.error
    assert "sk-hr-wrong" not in str(collector.spans)


async def test_nobody_who_answers_is_an_error(collector: Collector, tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    async with serving(traced(collector, nobody), tmp_path) as proxy:
        answer = await proxy.chat("sim", stream=False)
        await collector.until(lambda: any(one.kind == "server" for one in collector.spans))

    (server,) = [one for one in collector.spans if one.kind == "server"]
    assert answer.status >= 500
    assert server.error
    assert server.attributes["error.type"] == "connect"


async def test_a_client_that_leaves_ends_its_span(
    sim: Simulator, collector: Collector, tmp_path: Path
) -> None:
    async with serving(traced(collector, sim.url), tmp_path) as proxy:
        client = await proxy.raw()
        client.send(request("POST", CHAT, orjson.dumps({**ASKED, "model": "sim-f60000"})))
        await until(lambda: proxy.metric("headrace_target_inflight") == 1)
        client.reset()
        server, (attempt,) = await collector.trace(2)

    assert server.attributes["headrace.outcome"] == "client_gone"
    assert server.attributes["http.response.status_code"] == 499
    assert attempt.attributes["headrace.attempt.outcome"] == "cancelled"
    assert not server.error
    assert not attempt.error


async def test_an_answer_from_the_cache_has_no_attempt(
    sim: Simulator, collector: Collector, tmp_path: Path
) -> None:
    content = traced(collector, sim.url)
    content["models"]["sim*"]["cache"] = {"ttl": 60, "requests": "all"}
    async with serving(content, tmp_path) as proxy:
        await proxy.chat("sim", stream=False, temperature=0)
        await collector.trace(2)
        collector.spans.clear()
        await proxy.chat("sim", stream=False, temperature=0)
        server, attempts = await collector.trace(1)

    assert attempts == []
    assert server.attributes["headrace.cause"] == "cache"


@pytest.mark.parametrize("propagates", [True, False])
async def test_providers_are_told_of_the_trace_where_the_configuration_says_so(
    propagates: bool, collector: Collector, tmp_path: Path
) -> None:
    heads: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, _ = await read_request(reader)
        heads.append(head)
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            % (len(WHOLE), WHOLE)
        )
        await writer.drain()

    headers = {"traceparent": PARENT, "tracestate": "vendor=1", "baggage": "user=1"}
    async with scripted(answer) as url:
        content = traced(collector, url)
        content["providers"]["p0"]["propagate"] = propagates
        async with serving(content, tmp_path) as proxy:
            await proxy.post(CHAT, ASKED, headers)
            _, (attempt,) = await collector.trace(2)

    told = [line for line in heads[0].split(b"\r\n") if line.lower().startswith(b"trace")]
    expected = [f"traceparent: 00-{TRACE}-{attempt.span_id}-01".encode(), b"tracestate: vendor=1"]
    assert told == (expected if propagates else [])
    assert b"baggage" not in heads[0]
    assert attempt.attributes["gen_ai.response.model"] == "up-2"
    assert attempt.attributes["gen_ai.response.id"] == "a"


async def test_what_was_asked_and_answered_is_in_the_span_where_it_is_wanted(
    sim: Simulator, collector: Collector, tmp_path: Path
) -> None:
    body = {**ASKED, "stream": True}
    body["messages"] = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "my key is sk-abcdefgh12345678"},
    ]
    async with serving(traced(collector, sim.url, tracing={"content": True}), tmp_path) as proxy:
        answer = await proxy.post(CHAT, body)
        server, _ = await collector.trace(2)

    asked = orjson.loads(server.attributes["gen_ai.input.messages"])
    (said,) = orjson.loads(server.attributes["gen_ai.output.messages"])
    assert [turn["role"] for turn in asked] == ["system", "user"]
    assert asked[1]["parts"] == [{"type": "text", "content": "my key is ***"}]
    assert said["parts"][0]["content"] == answer.text


async def test_usually_nothing_of_what_was_said_is_in_a_span(
    sim: Simulator, collector: Collector, tmp_path: Path
) -> None:
    body = {**ASKED, "messages": [{"role": "user", "content": "a-word-of-the-clients"}]}
    async with serving(traced(collector, sim.url), tmp_path) as proxy:
        await proxy.post(CHAT, body)
        await collector.trace(2)

    assert "a-word-of-the-clients" not in str(collector.spans)


async def test_no_secret_is_in_a_span(collector: Collector, tmp_path: Path) -> None:
    secret = "sk-planted-canary-0000000000"

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        said = b'{"error":{"message":"no such key: %b"}}' % secret.encode()
        head = b"HTTP/1.1 401 No\r\ncontent-type: application/json\r\nx-echo: %b\r\ncontent-length: %d\r\n\r\n"
        writer.write(head % (secret.encode(), len(said)) + said)
        await writer.drain()

    async with scripted(refuse) as url:
        content = traced(collector, url, tracing={"content": True}, health={"enabled": False})
        content["providers"]["p0"] |= {"headers": {"x-extra": secret}, "query": {"key": secret}}
        async with serving(content, tmp_path) as proxy:
            headers = {"user-agent": f"Bearer {secret}", "x-request-id": "mine"}
            body = {**ASKED, "model": f"sim-{secret}", "user": secret}
            await proxy.post(f"{CHAT}?token={secret}", body, headers)
            await proxy.get(f"/v1/models/{secret}?key={secret}")
            await collector.until(lambda: sum(one.kind == "server" for one in collector.spans) == 2)

    assert secret not in str(collector.spans)
    assert "upstream-secret-p0" not in str(collector.spans)
    assert KEY not in str(collector.spans)


async def test_a_collector_that_takes_nothing_holds_nobody_up(
    sim: Simulator, collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "6")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2")
    collector.open.clear()
    async with serving(traced(collector, sim.url), tmp_path) as proxy:
        await proxy.post(CHAT, ASKED)
        await collector.until(lambda: len(collector.paths) == 1)
        answers = [await proxy.post(CHAT, ASKED) for _ in range(5)]

        assert [one.status for one in answers] == [200] * 5
        # Two are on their way, six wait: what is left of twelve has no room.
        assert proxy.metric("headrace_spans_total", outcome="dropped") == 4
        collector.open.set()
        await collector.until(lambda: len(collector.spans) == 8)
        await until(lambda: proxy.metric("headrace_spans_total", outcome="sent") == 8)


async def test_what_the_collector_refuses_is_counted(
    sim: Simulator, collector: Collector, tmp_path: Path
) -> None:
    collector.status = 400
    async with serving(traced(collector, sim.url), tmp_path) as proxy:
        await proxy.post(CHAT, ASKED)
        await until(lambda: proxy.metric("headrace_spans_total", outcome="failed") == 2)


async def test_headers_of_the_configuration_go_with_the_spans(
    sim: Simulator, collector: Collector, tmp_path: Path
) -> None:
    tracing = {"headers": {"x-collector-key": "planted-canary"}, "service_name": "edge"}
    async with serving(traced(collector, sim.url, tracing=tracing), tmp_path) as proxy:
        await proxy.post(CHAT, ASKED)
        server, _ = await collector.trace(2)

    assert collector.headers[0]["x-collector-key"] == "planted-canary"
    assert collector.paths[0] == "/v1/traces"
    assert server.resource["service.name"] == "edge"


async def test_the_environment_says_what_the_configuration_does_not(
    sim: Simulator, collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-collector-key=k")
    monkeypatch.setenv(
        "OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,service.name=here"
    )
    content = traced(collector, sim.url, tracing={"endpoint": None})
    async with serving(content, tmp_path) as proxy:
        await proxy.post(CHAT, ASKED)
        server, _ = await collector.trace(2)

    assert collector.paths[0] == "/v1/traces"
    assert collector.headers[0]["x-collector-key"] == "k"
    assert server.resource["deployment.environment.name"] == "test"
    assert server.resource["service.name"] == "here"


async def test_what_is_counted_is_sent_too_where_that_is_wanted(
    sim: Simulator, collector: Collector, tmp_path: Path
) -> None:
    content = traced(collector, sim.url, tracing={"metrics": "20ms", "sample": 0})
    async with serving(content, tmp_path) as proxy:
        await proxy.chat("sim")
        name = "gen_ai.server.request.duration"
        await collector.until(lambda: name in collector.metrics)
    # The last reading is that of the end.
    found = collector.metrics

    (attributes, (count, total, bounds, counts)) = found[name].points[0]
    assert attributes["gen_ai.request.model"] == "sim*"
    assert attributes["gen_ai.provider.name"] == "p0"
    assert attributes["http.route"] == CHAT
    assert (count, sum(counts), len(counts)) == (1, 1, len(bounds) + 1)
    assert 0 < total < 60
    assert (found[name].unit, found[name].kind) == ("s", "histogram")
    assert found[name].resource["service.name"] == "headrace"
    assert found["gen_ai.server.time_to_first_token"].points[0][1][0] == 1
    assert found["headrace_requests_total"].kind == "sum"
    assert found["headrace_inflight_requests"].kind == "gauge"
    assert {"/v1/metrics"} == set(collector.paths)


async def test_tracing_is_switched_on_and_off_while_requests_run(
    sim: Simulator, collector: Collector, tmp_path: Path
) -> None:
    async with serving(config(sim.url), tmp_path) as proxy:
        worker = proxy.worker
        off = worker.state.snapshot
        tracing = Tracing(enabled=True, endpoint=collector.url)
        await proxy.post(CHAT, ASKED)
        worker.swap(replace(off, tracing=tracing))
        await proxy.post(CHAT, ASKED)
        await collector.trace(2)
        worker.swap(off)
        await proxy.post(CHAT, ASKED)
        assert worker.state.tracer is None

    assert len(collector.spans) == 2


async def test_spans_of_requests_under_way_are_counted_when_tracing_changes(
    collector: Collector, tmp_path: Path
) -> None:
    came, told = asyncio.Event(), asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        came.set()
        await told.wait()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(WHOLE), WHOLE))

    async with scripted(answer) as url, serving(traced(collector, url), tmp_path) as proxy:
        asking = asyncio.create_task(proxy.post(CHAT, ASKED))
        await came.wait()
        on = proxy.worker.state.snapshot
        proxy.worker.swap(replace(on, tracing=replace(on.tracing, service_name="other")))
        await until(lambda: not any(task.get_name() == "close spans" for task in running()))
        told.set()

        assert (await asking).status == 200
        await until(lambda: proxy.metric("headrace_spans_total") == 2)
        assert proxy.metric("headrace_spans_total", outcome="dropped") == 2


async def test_what_cannot_be_traced_is_served_all_the_same(
    sim: Simulator,
    collector: Collector,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "xray")
    async with serving(traced(collector, sim.url), tmp_path) as proxy:
        assert (await proxy.post(CHAT, ASKED)).status == 200

    assert "tracing stays as it was: OTEL_TRACES_SAMPLER" in caplog.text


def test_a_start_that_could_not_trace_does_not_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "xray")
    path = tmp_path / "headrace.yaml"
    content = {"store": {"url": ""}, "server": {"port": 0}, "admin": {"port": 0}}
    path.write_bytes(orjson.dumps({**content, "tracing": {"enabled": True}}))

    done = subprocess.run(
        [sys.executable, "-m", "proxy", "serve", "--config", str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=25,
        check=False,
    )

    assert done.returncode == 2
    assert "OTEL_TRACES_SAMPLER: takes always_on" in done.stderr


def test_a_process_that_stops_sends_what_it_has(
    sim: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing is sent by itself before it stops.
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "600000")

    async def run() -> None:
        async with collecting() as collector:
            content = traced(collector, sim.url)
            process = await asyncio.to_thread(Process, content, tmp_path)
            await asyncio.to_thread(curl, process.url)
            assert collector.spans == []
            assert await asyncio.to_thread(process.stop) == 0
            await collector.trace(2)

    asyncio.run(run())


def curl(url: str) -> None:
    body = orjson.dumps(ASKED).decode()
    key, kind = f"authorization: Bearer {KEY}", "content-type: application/json"
    done = subprocess.run(
        ["curl", "-sf", f"{url}{CHAT}", "-H", key, "-H", kind, "-d", body],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
