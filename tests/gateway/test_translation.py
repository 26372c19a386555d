"""A request in the provider's words: what is sent, what is left out and told, what is refused, who is asked instead."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import orjson
import pytest
from botocore.auth import SigV4Auth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials  # type: ignore[import-untyped]
from msgspec.structs import replace

from proxy.core.model import Auth, Credential, Snapshot
from proxy.core.secret import Secret
from proxy.dialects.identity import seal
from tests.gateway.asked import provider, raw, snapshot
from tests.gateway.served import STREAMED, Provider, Served, serving, whole
from tests.line.harness import Answer, scripted

CHAT = {"openai.chat": "/v1/chat/completions"}
MESSAGES = {"anthropic.messages": "/v1/messages"}
GEMINI = {"gemini.generate": "/v1beta/models"}
MESSAGE = (
    b'{"id":"msg_1","type":"message","role":"assistant","model":"claude","content":[{"type":"text","text":"hello"}],'
    b'"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":7,"output_tokens":2}}'
)
GENERATED = (
    b'{"candidates":[{"content":{"role":"model","parts":[{"text":"hello"}]},"finishReason":"STOP"}],'
    b'"usageMetadata":{"promptTokenCount":7,"candidatesTokenCount":2,"totalTokenCount":9},"modelVersion":"g"}'
)
COMPLETION = (
    b'{"id":"c","object":"chat.completion","created":1,"model":"gpt","choices":[{"index":0,"message":{"role":'
    b'"assistant","content":"hello"},"finish_reason":"stop"}]}'
)
ASKED = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


async def ask(
    served: Served, body: dict[str, Any], path: str = "/v1/chat/completions", *fields: str
) -> Answer:
    return await served.ask(raw("POST", path, orjson.dumps(body), *fields))


def strict(content: Snapshot) -> Snapshot:
    model = replace(content.models["m"], strict=True)
    return replace(content, models={"m": model})


async def test_a_chat_client_is_answered_by_who_speaks_messages() -> None:
    answers = Provider(whole(MESSAGE))
    async with (
        scripted(answers) as url,
        serving(snapshot(provider(url, dialects=MESSAGES))) as served,
    ):
        answer = await ask(served, ASKED, "/v1/chat/completions?api-version=2")

    assert answer.status == 200
    assert answer.json["object"] == "chat.completion"
    assert answer.json["choices"][0]["message"]["content"] == "hello"
    assert answer.json["usage"]["total_tokens"] == 9
    head, body = answers.requests[0]
    assert head.startswith(b"POST /v1/messages HTTP/1.1\r\n")
    assert b"x-api-key: upstream-secret" in head
    assert b"anthropic-version: 2023-06-01" in head
    assert orjson.loads(body)["max_tokens"] == 4096
    assert orjson.loads(body)["model"] == "up"


async def test_headers_of_the_clients_vendor_stay_behind() -> None:
    answers = Provider(whole(GENERATED))
    async with (
        scripted(answers) as url,
        serving(snapshot(provider(url, dialects=GEMINI, propagate=True))) as served,
    ):
        body = {**ASKED, "max_tokens": 9}
        fields = ("anthropic-version: 2023-06-01", "anthropic-beta: x", "traceparent: 00-a-b-01")
        answer = await ask(served, body, "/v1/messages", *fields)

    assert answer.status == 200
    head, _ = answers.requests[0]
    assert b"anthropic" not in head.lower()
    assert b"traceparent: 00-a-b-01" in head
    assert head.count(b"content-type: application/json") == 1
    assert b"x-goog-api-key: upstream-secret" in head


async def test_what_was_left_out_is_named_in_the_clients_words_and_counted() -> None:
    answers = Provider(whole(MESSAGE))
    async with (
        scripted(answers) as url,
        serving(snapshot(provider(url, dialects=MESSAGES))) as served,
    ):
        answer = await ask(served, {**ASKED, "seed": 7, "brand_new_field": [1]})

        numbers = served.state.metrics.registry.snapshot()
        assert answer.headers["x-headrace-dropped"] == "seed, brand_new_field"
        assert numbers["headrace_translation_dropped_total"].values == {
            f'{{from="openai.chat",to="anthropic.messages",field="{field}"}}': 1
            for field in ("seed", "unknown")
        }


async def test_a_word_that_stands_for_two_things_is_said_once() -> None:
    answers = Provider(whole(COMPLETION))
    async with (
        scripted(answers) as url,
        serving(snapshot(provider(url, dialects=CHAT))) as served,
    ):
        reasoning = {"effort": "low", "summary": "detailed"}
        asked = {"model": "m", "input": "hi", "reasoning": reasoning}
        answer = await ask(served, asked, "/v1/responses")

    assert answer.headers["x-headrace-dropped"] == "reasoning.summary"


async def test_names_in_the_header_can_be_read_and_told_apart() -> None:
    answers = Provider(whole(GENERATED))
    async with (
        scripted(answers) as url,
        serving(snapshot(provider(url, dialects=GEMINI))) as served,
    ):
        asked = {**ASKED, "user": "u", "odd\r\nn\u00e4me: one": 1}
        answer = await ask(served, asked)

    dropped = answer.headers["x-headrace-dropped"].split(", ")
    assert dropped == ["user or safety_identifier", "oddnme: one"]


async def test_nothing_is_said_where_nothing_was_left_out() -> None:
    answers = Provider(whole(MESSAGE))
    async with (
        scripted(answers) as url,
        serving(snapshot(provider(url, dialects=MESSAGES))) as served,
    ):
        answer = await ask(served, ASKED)

    assert "x-headrace-dropped" not in answer.headers


async def test_a_strict_model_refuses_what_would_be_left_out() -> None:
    content = strict(snapshot(provider(dialects=MESSAGES)))
    async with serving(content) as served:
        answer = await ask(served, {**ASKED, "seed": 7})

    assert answer.status == 400
    assert answer.json["error"]["code"] == "translation_loss"
    assert answer.json["error"]["param"] == "seed"


async def test_who_speaks_the_clients_dialect_is_asked_where_another_cannot_say_it() -> None:
    answers = Provider(whole())
    async with scripted(answers) as url:
        content = strict(
            snapshot(provider(dialects=MESSAGES), provider(url, name="q", dialects=CHAT))
        )
        async with serving(content) as served:
            answer = await ask(served, {**ASKED, "seed": 7})

    assert answer.status == 200
    assert orjson.loads(answers.requests[0][1])["seed"] == 7


@pytest.mark.parametrize(
    ("path", "fields", "named"),
    [
        ("/v1beta/models/m:generateContent", {"cachedContent": "cachedContents/1"}, "cachedContent"),
        ("/v1/messages", {"tools": [{"type": "computer_20250124", "name": "computer", "display_width_px": 9, "display_height_px": 9}]}, "computer_20250124"),
        ("/v1/messages", {"mcp_servers": [{"type": "url", "url": "https://mcp.example.com", "name": "x"}]}, "mcp_servers"),
        ("/v1/responses", {"previous_response_id": "resp_1"}, "previous_response_id"),
        ("/v1/responses", {"store": True}, "store"),
        ("/v1/responses", {"conversation": "conv_1"}, "conversation"),
        ("/v1/responses", {"tools": [{"type": "file_search", "vector_store_ids": ["v"]}]}, "file_search"),
    ],
)  # fmt: skip
async def test_what_must_not_be_left_out_is_refused_by_name(
    path: str, fields: dict[str, Any], named: str
) -> None:
    body: dict[str, Any] = {
        "model": "m",
        "max_tokens": 9,
        "messages": ASKED["messages"],
        "input": "hi",
        "contents": [{"parts": [{"text": "hi"}]}],
    }
    keep = {
        "/v1/messages": ("model", "max_tokens", "messages"),
        "/v1/responses": ("model", "input"),
    }
    body = {name: body[name] for name in keep.get(path, ("contents",))} | fields
    async with serving(snapshot(provider(dialects=CHAT))) as served:
        answer = await ask(served, body, path)

    assert answer.status == 400
    assert named in answer.json["error"]["message"]
    if path == "/v1/responses":
        assert answer.json["error"]["code"] == "translation_not_supported"


async def test_a_request_that_cannot_be_read_is_refused_in_the_clients_dialect() -> None:
    async with serving(snapshot(provider(dialects=CHAT))) as served:
        body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": 7}]}
        answer = await ask(served, body, "/v1/messages")

    assert answer.status == 400
    assert answer.json["type"] == "error"
    assert "messages" in answer.json["error"]["message"]


async def test_a_refusal_is_said_again_in_the_clients_words() -> None:
    refusal = b'{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9 > 8"}}'
    answers = Provider(whole(refusal, 400))
    async with (
        scripted(answers) as url,
        serving(snapshot(provider(url, dialects=MESSAGES))) as served,
    ):
        answer = await ask(served, ASKED)

    assert answer.status == 400
    assert answer.json["error"]["code"] == "context_length_exceeded"
    assert answer.json["error"]["message"] == "prompt is too long: 9 > 8"


async def test_parameters_of_the_configuration_are_in_the_providers_dialect() -> None:
    answers = Provider(whole(MESSAGE))
    async with scripted(answers) as url:
        content = snapshot(
            provider(url, dialects=MESSAGES),
            param_defaults={"top_k": 5},
            param_overrides={"max_tokens": 77, "temperature": None},
        )
        async with serving(content) as served:
            await ask(served, {**ASKED, "temperature": 0.5})

    sent = orjson.loads(answers.requests[0][1])
    assert (sent["top_k"], sent["max_tokens"]) == (5, 77)
    assert "temperature" not in sent


async def test_the_limit_of_the_deployment_is_sent_where_a_dialect_demands_one() -> None:
    answers = Provider(whole(MESSAGE))
    async with scripted(answers) as url:
        content = snapshot(provider(url, dialects=MESSAGES), max_tokens=321)
        async with serving(content) as served:
            await ask(served, ASKED)

    assert orjson.loads(answers.requests[0][1])["max_tokens"] == 321


@pytest.mark.parametrize(
    ("prefer", "path"), [((), b"/v1/chat/"), (("gemini.generate",), b"/v1beta/")]
)
async def test_a_deployment_may_prefer_a_dialect(prefer: tuple[str, ...], path: bytes) -> None:
    answers = Provider(whole(GENERATED if prefer else b"") if prefer else whole())
    async with scripted(answers) as url:
        content = snapshot(provider(url, dialects={**CHAT, **GEMINI}), prefer=prefer)
        async with serving(content) as served:
            answer = await ask(served, ASKED)

    assert answer.json["choices"][0]["message"]["content"] == "hello"
    assert path in answers.requests[0][0].partition(b"\r\n")[0]


async def test_a_stream_from_gemini_is_asked_for_as_events() -> None:
    answers = Provider(whole(b"data: " + GENERATED + b"\n\n", kind=b"text/event-stream"))
    async with (
        scripted(answers) as url,
        serving(snapshot(provider(url, dialects=GEMINI))) as served,
    ):
        answer = await ask(served, {**ASKED, "stream": True}, "/v1/chat/completions?key=x")

    assert answer.complete
    assert answer.body.endswith(b"data: [DONE]\n\n")
    assert answers.requests[0][0].startswith(
        b"POST /v1beta/models/up:streamGenerateContent?alt=sse HTTP/1.1"
    )


@pytest.mark.parametrize("dialect", [CHAT, MESSAGES])
async def test_whole_answers_are_streamed_for_a_client_that_streams(
    dialect: dict[str, str],
) -> None:
    answers = Provider(whole(MESSAGE) if dialect is MESSAGES else whole())
    async with scripted(answers) as url:
        content = snapshot(provider(url, dialects=dialect), streams=False)
        async with serving(content) as served:
            answer = await ask(
                served,
                {**ASKED, "stream": True, "stream_options": {"include_usage": True}, "x": 1},
            )

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text == "hello"
    assert answer.body.endswith(b"data: [DONE]\n\n")
    assert answer.events[-2]["usage"]["total_tokens"] == 9
    sent = orjson.loads(answers.requests[0][1])
    assert not sent.get("stream")
    assert "stream_options" not in sent
    assert ("x" in sent) is (dialect is CHAT)


async def test_streams_are_folded_for_a_client_that_does_not_stream() -> None:
    answers = Provider(STREAMED)
    async with scripted(answers) as url:
        content = snapshot(provider(url, dialects=CHAT), non_streams=False)
        async with serving(content) as served:
            answer = await ask(served, ASKED)

    assert answer.json["object"] == "chat.completion"
    assert answer.json["choices"][0]["message"]["content"] == "hello"
    assert answer.json["usage"]["total_tokens"] == 9
    sent = orjson.loads(answers.requests[0][1])
    assert sent["stream"] is True
    assert sent["stream_options"] == {"include_usage": True}


async def test_half_a_stream_is_tried_again_elsewhere() -> None:
    half = STREAMED.replace(b'"finish_reason":"stop"', b'"finish_reason":null').replace(
        b"data: [DONE]\n\n", b"data: [NONE]\n\n"
    )
    first, second = Provider(half), Provider(STREAMED)
    async with scripted(first) as one, scripted(second) as two:
        content = snapshot(
            provider(one, dialects=CHAT), provider(two, name="q", dialects=CHAT), non_streams=False
        )
        async with serving(content) as served:
            answer = await ask(served, ASKED)

    assert answer.status == 200
    assert answer.json["choices"][0]["message"]["content"] == "hello"
    assert len(second.requests) == 1


async def test_legacy_completions_reach_a_chat_model() -> None:
    answers = Provider(whole())
    async with scripted(answers) as url, serving(snapshot(provider(url, dialects=CHAT))) as served:
        answer = await ask(served, {"model": "m", "prompt": "Say hello"}, "/v1/completions")

    assert answer.json["object"] == "text_completion"
    assert answer.json["choices"][0]["text"] == "hello"
    assert orjson.loads(answers.requests[0][1])["messages"] == [
        {"role": "user", "content": "Say hello"}
    ]


async def test_an_answer_that_is_none_is_the_providers_fault() -> None:
    answers = Provider(whole(b'{"object":"something else"}'))
    async with (
        scripted(answers) as url,
        serving(snapshot(provider(url, dialects=MESSAGES))) as served,
    ):
        answer = await ask(served, ASKED)

    assert answer.status == 502


CONVERSED = (
    b'{"output":{"message":{"role":"assistant","content":[{"text":"hello"}]}},"stopReason":"end_turn",'
    b'"usage":{"inputTokens":7,"outputTokens":2,"totalTokens":9}}'
)
PROFILE = "arn:aws:bedrock:us-east-1:1:inference-profile/us.claude-v1:0"


def signed_again(head: bytes, body: bytes) -> str:
    """What botocore makes of the request that came."""

    line, *lines = head.decode().strip().split("\r\n")
    fields = {name.lower(): value for name, _, value in (one.partition(": ") for one in lines)}
    url = f"http://{fields['host']}{line.split(' ')[1]}"
    request = AWSRequest("POST", url, {"host": fields["host"]}, body)
    request.context["timestamp"] = fields["x-amz-date"]
    request.headers["X-Amz-Date"] = fields["x-amz-date"]
    auth = SigV4Auth(Credentials("AKID", "secret"), "bedrock", "eu-west-1")
    text = auth.canonical_request(request)
    signature = auth.signature(auth.string_to_sign(request, text), request)
    return str(signature)


@pytest.mark.parametrize("model", ["anthropic.claude-v1:0", PROFILE])
async def test_bedrock_is_asked_with_a_signature(model: str) -> None:
    answers = Provider(whole(CONVERSED))
    async with scripted(answers) as url:
        one = provider(
            url,
            dialects={"bedrock.converse": "/model"},
            credentials=(Credential("p#0", Secret("AKID:secret")),),
            auth={"bedrock": Auth("sigv4", "eu-west-1")},
        )
        async with serving(snapshot(one, upstream_model=model)) as served:
            answer = await ask(served, ASKED)

    assert answer.json["choices"][0]["message"]["content"] == "hello"
    head, body = answers.requests[0]
    assert head.startswith(b"POST /model/%b/converse " % quote(model, safe="").encode())
    assert f"Signature={signed_again(head, body)}".encode() in head
    assert b"\r\nauthorization: AWS4-HMAC-SHA256 Credential=AKID/" in head
    assert b"secret" not in head


async def test_state_of_another_family_is_taken_out_before_its_own_sees_it() -> None:
    answers = Provider(whole(MESSAGE))
    thoughts = [
        {"type": "thinking", "thinking": "Hm.", "signature": seal("gemini", "R2VtaW5p")},
        {"type": "text", "text": "Well."},
    ]
    body = {
        "model": "m",
        "max_tokens": 9,
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": thoughts},
            {"role": "user", "content": "go on"},
        ],
    }
    async with (
        scripted(answers) as url,
        serving(snapshot(provider(url, dialects=MESSAGES))) as served,
    ):
        answer = await ask(served, body, "/v1/messages")

    assert answer.json["content"] == [{"type": "text", "text": "hello"}]
    sent = answers.requests[0][1]
    assert b"aHIx" not in sent
    assert b"Well." in sent
