"""The line from a client's request to a provider and back, one decision after another."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from proxy.core.model import Deployment, Model, Snapshot
from tests.gateway.asked import CHAT, provider, raw, snapshot
from tests.gateway.served import (
    COMPLETION,
    STREAMED,
    Provider,
    Served,
    serving,
    silent,
    virtual_key,
    whole,
)
from tests.line.harness import scripted, until

BODY = b'{"model": "m", "messages": [ ]}'
STREAM = b'{"model": "m", "messages": [ ], "stream": true}'
KEY = "sk-1"
BEARER = f"Authorization: Bearer {KEY}"


def keyed(settings: Snapshot, *models: str) -> Snapshot:
    """The same, for those who have the key."""
    return replace(settings, require_auth=True, keys=virtual_key(KEY, *models))


def check_nothing_is_left(served: Served) -> None:
    live = served.state.live
    assert [one.inflight for one in live.deployments.values()] == [0] * len(live.deployments)
    states = [one for account in live.accounts.values() for one in account.states.values()]
    assert [one.inflight for one in states] == [0] * len(states)
    assert [one.busy for one in served.pool.upstreams()] == [0] * len(served.pool.upstreams())
    numbers = served.state.metrics.registry.snapshot()
    assert not any(numbers["headrace_inflight_requests"].values.values())


# --- before a provider is asked ---


@pytest.mark.parametrize("said", [b"4", b"true", b"{}", b'["m"]'])
async def test_a_model_has_to_be_a_string(said: bytes) -> None:
    async with serving(snapshot(provider())) as served:
        answer = await served.ask(raw("POST", CHAT, b'{"model":%b,"messages":[]}' % said))

    error = answer.json["error"]
    assert (answer.status, error["code"], error["param"]) == (400, "invalid_type", "model")
    assert error["message"] == "'model' must be a string."


@pytest.mark.parametrize("said", [b"", b'"model":null,', b'"model":"",'])
async def test_a_model_that_is_not_there_is_missing(said: bytes) -> None:
    async with serving(snapshot(provider())) as served:
        answer = await served.ask(raw("POST", CHAT, b'{%b"messages":[]}' % said))

    error = answer.json["error"]
    assert (answer.status, error["code"], error["param"]) == (400, "missing_field", "model")


async def test_without_a_key_nothing_is_read() -> None:
    async with serving(keyed(snapshot(provider()))) as served:
        client = await served.client()
        client.send(raw("POST", CHAT, b"", "Content-Length: 10", "Expect: 100-continue"))

        # `answer` skips interim answers: so the bytes themselves.
        assert (await client.reader.readline()).startswith(b"HTTP/1.1 401 ")
        check_nothing_is_left(served)


@pytest.mark.parametrize(
    ("fields", "family"),
    [([], "openai"), (["Anthropic-Version: 2023-06-01"], "anthropic")],
)
async def test_models_are_listed_in_the_shape_of_who_asks(fields: list[str], family: str) -> None:
    async with serving(snapshot(provider())) as served:
        page = (await served.ask(raw("GET", "/v1/models", b"", *fields))).json

    assert [one["id"] for one in page["data"]] == ["m"]
    assert ("has_more" in page) is (family == "anthropic")


@pytest.mark.parametrize(
    ("field", "kind"),
    [
        ("Anthropic-Version: 2023-06-01", ("anthropic", "authentication_error", "not_found_error")),
        ("X-Goog-Api-Key: {}", ("gemini", "UNAUTHENTICATED", "NOT_FOUND")),
    ],
)
async def test_who_is_shown_models_in_its_shape_is_refused_them_in_it(
    field: str, kind: tuple[str, str, str]
) -> None:
    named = "type" if kind[0] == "anthropic" else "status"
    async with serving(keyed(snapshot(provider()))) as served:
        for path in ("/v1/models", "/v1/models/m"):
            unknown = await served.ask(raw("GET", path, b"", field.format("sk-wrong")))
            assert (unknown.status, unknown.json["error"][named]) == (401, kind[1])
        missing = await served.ask(raw("GET", "/v1/models/none", b"", field.format(KEY), BEARER))
        mine = await served.ask(raw("GET", "/v1/models/none", b"", BEARER))

    assert (missing.status, missing.json["error"][named]) == (404, kind[2])
    assert mine.json["error"]["code"] == "model_not_found"


@pytest.mark.parametrize(("name", "status"), [("m", 200), ("none", 404)])
async def test_one_model_is_shown(name: str, status: int) -> None:
    async with serving(snapshot(provider())) as served:
        assert (await served.ask(raw("GET", f"/v1/models/{name}"))).status == status


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "invalid_json"),
        (b"[]", 400, "invalid_json"),
        (b'{"model":"m"', 400, "invalid_json"),
        (b"{}", 400, "missing_field"),
        (b'{"model":""}', 400, "missing_field"),
        (b'{"model":7}', 400, "invalid_type"),
        (b'{"model":"none"}', 404, "model_not_found"),
    ],
)
async def test_a_request_that_cannot_be_routed_says_why(
    body: bytes, status: int, code: str
) -> None:
    async with serving(snapshot(provider())) as served:
        answer = await served.ask(raw("POST", CHAT, body))

        assert (answer.status, answer.json["error"]["code"]) == (status, code)
        check_nothing_is_left(served)


@pytest.mark.parametrize(
    "kind", ["text/plain", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded"]
)
async def test_what_any_page_could_send_is_refused(kind: str) -> None:
    async with serving(snapshot(provider())) as served:
        answer = await served.ask(raw("POST", CHAT, BODY, f"Content-Type: {kind}"))

    assert (answer.status, answer.json["error"]["code"]) == (415, "unsupported_encoding")


async def test_a_model_the_key_may_not_use_looks_unknown() -> None:
    upstream = Provider(whole())
    async with (
        scripted(upstream) as url,
        serving(keyed(snapshot(provider(url)), "other")) as served,
    ):
        answer = await served.ask(raw("POST", CHAT, BODY, BEARER))

    assert (answer.status, answer.json["error"]["code"]) == (404, "model_not_found")
    assert upstream.requests == []


async def test_a_dialect_nobody_speaks_is_told() -> None:
    one = provider(dialects={"openai.chat": "/v1/chat/completions"})
    async with serving(snapshot(one)) as served:
        answer = await served.ask(raw("POST", "/v1/embeddings", BODY))

    assert answer.status == 400
    assert "openai.embeddings" in answer.json["error"]["message"]


# --- what the provider sees ---


async def seen(settings: Any, data: bytes) -> bytes:
    """The body a provider receives; `settings` makes the configuration from its URL."""
    upstream = Provider(whole())
    async with scripted(upstream) as url, serving(settings(url)) as served:
        assert (await served.ask(data)).status == 200
    [(_, body)] = upstream.requests
    return body


def same(url: str) -> Snapshot:
    return snapshot(provider(url), upstream_model="m")


async def test_bytes_nobody_has_to_change_stay() -> None:
    assert await seen(same, raw("POST", CHAT, BODY)) == BODY


async def test_a_key_that_a_rule_reads_is_what_the_provider_reads() -> None:
    body = await seen(lambda url: keyed(same(url), "m"), raw("POST", CHAT, BODY, BEARER))

    assert body == b'{"model":"m","messages":[ ]}'


async def test_a_field_given_twice_reaches_the_provider_once() -> None:
    body = await seen(same, raw("POST", CHAT, b'{"model":"none","model":"m","n":1}'))

    assert body == b'{"model":"m","n":1}'


async def test_a_form_is_passed_on_as_a_form() -> None:
    form = (
        b'--B\r\nContent-Disposition: form-data; name="model"\r\n\r\nm\r\n'
        b'--B\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n\0\1\r\n--B--\r\n'
    )
    kind = "Content-Type: multipart/form-data; boundary=B"

    body = await seen(
        lambda url: snapshot(provider(url), upstream_model="whisper"),
        raw("POST", "/v1/audio/transcriptions", form, kind),
    )

    assert body == form.replace(b"\r\n\r\nm\r\n", b"\r\n\r\nwhisper\r\n")


async def test_a_stored_answer_is_asked_for_by_its_id() -> None:
    upstream = Provider(whole(b'{"id":"resp_1","object":"response","status":"completed"}'))
    async with scripted(upstream) as url, serving(snapshot(provider(url))) as served:
        answer = await served.ask(raw("GET", "/v1/responses/resp_1?include=x"))

    assert (answer.status, answer.json["id"]) == (200, "resp_1")
    [(head, body)] = upstream.requests
    assert head.startswith(b"GET /v1/responses/resp_1?include=x HTTP/1.1\r\n")
    assert body == b""


# --- what the client sees ---


async def test_a_whole_answer_is_passed_on_as_it_came() -> None:
    upstream = Provider(whole(COMPLETION, 200, b"x-request-id: theirs", b"server: x"))
    async with scripted(upstream) as url, serving(snapshot(provider(url))) as served:
        answer = await served.ask(raw("POST", CHAT, BODY, "X-Request-Id: ours"))
        check_nothing_is_left(served)

    assert (answer.status, answer.body) == (200, COMPLETION)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"] == "ours"
    assert answer.headers["x-upstream-request-id"] == "theirs"
    assert "server" not in answer.headers


async def test_a_stream_is_passed_on_event_by_event() -> None:
    async with scripted(Provider(STREAMED)) as url, serving(snapshot(provider(url))) as served:
        answer = await served.ask(raw("POST", CHAT, STREAM))
        await until(lambda: not any(one.busy for one in served.pool.upstreams()))
        check_nothing_is_left(served)

    assert answer.complete
    assert answer.text == "hello"
    assert answer.events[-1] == "[DONE]"
    # Usage was asked for on the client's behalf only.
    assert not any(isinstance(one, dict) and one.get("usage") for one in answer.events)


async def test_a_refusal_of_this_very_request_is_passed_on() -> None:
    refusal = (
        b'{"error":{"message":"n is too large","type":"invalid_request_error","code":"bad_n"}}'
    )
    upstream = Provider(whole(refusal, 400))
    async with scripted(upstream) as url:
        one = provider(url)
        async with serving(snapshot(one, provider(url, "q"))) as served:
            answer = await served.ask(raw("POST", CHAT, BODY))
            check_nothing_is_left(served)

    assert (answer.status, answer.body) == (400, refusal)
    assert len(upstream.requests) == 1


async def test_another_deployment_takes_over_unseen() -> None:
    broken, good = Provider(whole(b"{}", 500)), Provider(whole())
    async with scripted(broken) as first, scripted(good) as second:
        settings = snapshot(provider(first), provider(second, "q"))
        async with serving(settings) as served:
            answer = await served.ask(raw("POST", CHAT, BODY))
            check_nothing_is_left(served)

    assert (answer.status, answer.body) == (200, COMPLETION)
    assert (len(broken.requests) >= 1, len(good.requests)) == (True, 1)


@pytest.mark.parametrize(
    ("path", "kind"), [(CHAT, "upstream_error"), ("/v1/messages", "api_error")]
)
async def test_when_nobody_answers_the_client_is_told_in_its_own_words(
    path: str, kind: str
) -> None:
    async with (
        scripted(Provider(whole(b"oops", 500, kind=b"text/plain"))) as url,
        serving(snapshot(provider(url))) as served,
    ):
        answer = await served.ask(raw("POST", path, BODY))
        check_nothing_is_left(served)

    assert answer.status >= 500
    assert answer.json["error"]["type"] == kind
    assert b"oops" not in answer.body


async def test_a_failure_of_ours_is_one_error_and_one_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # A default that cannot be written as JSON: no configuration can hold it.
    settings = snapshot(provider(), param_defaults={"x": object()})
    async with serving(settings) as served:
        answer = await served.ask(raw("POST", CHAT, BODY, "X-Request-Id: id-1"))
        again = await served.ask(raw("GET", "/v1/models"))
        check_nothing_is_left(served)

    assert (answer.status, answer.json["error"]["code"]) == (500, "internal_error")
    assert again.status == 200
    assert "request id-1 failed" in caplog.text
    assert b"object" not in answer.body


# --- clients that leave, configurations that change ---


async def test_a_client_that_leaves_stops_the_provider() -> None:
    asked, gone = asyncio.Event(), asyncio.Event()

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        asked.set()
        await silent(reader, writer)
        gone.set()

    async with scripted(upstream) as url, serving(snapshot(provider(url))) as served:
        client = await served.client()
        client.send(raw("POST", CHAT, BODY))
        await asked.wait()

        client.reset()
        await gone.wait()

        await until(lambda: served.gateway.connections == 0)
        check_nothing_is_left(served)
        assert served.state.metrics.client_gone.child("waiting").value == 1


async def test_a_running_request_keeps_the_configuration_it_began_with() -> None:
    go = asyncio.Event()

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await go.wait()
        writer.write(whole())

    async with scripted(upstream) as url, serving(snapshot(provider(url))) as served:
        client = await served.client()
        client.send(raw("POST", CHAT, BODY))
        await until(lambda: any(one.busy for one in served.pool.upstreams()))

        served.state.use(Snapshot())
        gone = await served.ask(raw("POST", CHAT, BODY))
        go.set()

        assert (await client.answer()).status == 200
        assert gone.status == 404


async def test_a_fallback_model_serves_in_the_name_of_another() -> None:
    broken, good = Provider(whole(b"{}", 500)), Provider(whole())
    async with scripted(broken) as first, scripted(good) as second:
        one, two = provider(first), provider(second, "q")
        settings = snapshot(one)
        main = replace(settings.models["m"], fallbacks=("spare",))
        spare = Model("spare", ((Deployment("spare/0:q", two, "up-2"),),))
        settings = replace(
            settings, models={"m": main, "spare": spare}, providers={"p": one, "q": two}
        )
        async with serving(settings) as served:
            answer = await served.ask(raw("POST", CHAT, BODY))
            check_nothing_is_left(served)

    assert answer.status == 200
    assert orjson.loads(good.requests[0][1])["model"] == "up-2"


async def test_a_second_user_agent_does_no_harm() -> None:
    answers = Provider(whole())
    async with scripted(answers) as url, serving(snapshot(provider(url))) as served:
        body = b'{"model": "m", "messages": []}'
        fields = ("User-Agent: first", "user-agent: second", "Content-Type: application/json")

        answer = await served.ask(raw("POST", CHAT, body, *fields))

    assert answer.status == 200
