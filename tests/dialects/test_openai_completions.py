"""Legacy completions: a prompt becomes a question, an answer becomes text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from openai.types import Completion

from proxy.core.errors import ProxyError
from proxy.dialects import DIALECTS, ir
from proxy.dialects.fold import unfold
from proxy.dialects.loss import FEATURES, Loss
from proxy.dialects.openai_completions import CODEC
from proxy.dialects.openai_completions.request import FIELDS, parse_request
from proxy.dialects.openai_completions.response import parse_response, render_response
from tests.dialects.choices import (
    cases,
    chunks,
    fed,
    fixture,
    folded,
    keeps_the_grammar,
    mutated,
    text_completion,
    told,
)
from tests.dialects.streams import CUTS, cut, feed

REQUESTS = cases("completions", "request.json")
RESPONSES = cases("completions", "response.json")
STREAMS = cases("completions", "stream.sse")
ANSWER = ir.Response(
    id="msg_1",
    model="claude",
    created=1_700_000_000,
    choices=[ir.Choice([ir.Text("Hello "), ir.Text("there")], "stop")],
    usage=ir.Usage(input=3, cache_read=2, output=4),
)


def name(path: Path) -> str:
    return path.name.split(".")[0]


def asked(**fields: Any) -> ir.Request:
    return parse_request(orjson.dumps({"model": "m", "prompt": "p", **fields}))


def test_the_dialect_is_for_clients_alone() -> None:
    codec = DIALECTS["openai.completions"].codec

    assert codec is CODEC
    assert codec.render_request is None
    assert set(FIELDS) <= set(FEATURES)


@pytest.mark.parametrize("path", REQUESTS, ids=name)
def test_a_prompt_is_one_message_of_the_user(path: Path) -> None:
    body = orjson.loads(path.read_bytes())

    request = parse_request(path.read_bytes())

    prompt = body["prompt"] if isinstance(body["prompt"], str) else body["prompt"][0]
    assert request.messages == [ir.Message("user", [ir.Text(prompt)])]
    assert request.origin == "openai.completions"
    assert request.model == "gpt-3.5-turbo-instruct"


@pytest.mark.parametrize("prompt", [["a", "b"], [], [1, 2], [[1, 2]], 7, {}, None])
def test_any_other_prompt_is_refused_by_name(prompt: object) -> None:
    with pytest.raises(ProxyError) as raised:
        asked(prompt=prompt)

    assert raised.value.param in ("prompt", "prompt[0]")


def test_parameters_are_read() -> None:
    request = parse_request(fixture("completions/parameters.request.json"))

    assert request.max_tokens == 16
    assert request.temperature == 0
    assert request.n == 2
    assert request.stop == ["a", "b"]
    assert request.logit_bias == {"1": 5}
    assert request.user == "u"
    assert request.stream
    assert request.include_usage
    assert request.extras == {}


@pytest.mark.parametrize(("given", "others"), [(2, 2), (0, None)])
def test_logprobs_is_a_number_here(given: int, others: int | None) -> None:
    request = asked(logprobs=given)

    assert request.logprobs
    assert request.top_logprobs == others


def test_fields_of_its_own_are_counted_only_when_they_ask_for_something() -> None:
    own = parse_request(fixture("completions/own_fields.request.json"))
    usual = parse_request(fixture("completions/usual_fields.request.json"))

    assert own.extras == {"suffix": "end", "echo": True, "best_of": 3}
    assert usual.extras == {}
    assert usual.aside == {"suffix": "", "echo": False, "best_of": 1}


@pytest.mark.parametrize("fields", [{"n": 0}, {"max_tokens": "a"}, {"stop": [1]}, {"stream": 1}])
def test_a_field_of_the_wrong_type_is_named(fields: dict[str, Any]) -> None:
    with pytest.raises(ProxyError) as raised:
        asked(**fields)

    assert str(raised.value.param).startswith(next(iter(fields)))


def test_an_answer_is_its_text() -> None:
    body = text_completion(render_response(ANSWER, ir.Request(), Loss()))

    assert body["id"] == "cmpl-1"
    assert body["object"] == "text_completion"
    assert body["choices"] == [
        {"index": 0, "text": "Hello there", "logprobs": None, "finish_reason": "stop"}
    ]
    assert body["usage"]["prompt_tokens"] == 5
    assert body["usage"]["prompt_tokens_details"]["cached_tokens"] == 2


@pytest.mark.parametrize(
    ("finish", "word"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("context", "length"),
        ("tool_calls", "stop"),
        ("refusal", "content_filter"),
        ("content_filter", "content_filter"),
    ],
)
def test_a_finish_is_one_of_three_words(finish: ir.Finish, word: str) -> None:
    response = ir.Response(choices=[ir.Choice([ir.Text("a")], finish)])

    body = text_completion(render_response(response, ir.Request(), Loss()))

    assert body["choices"][0]["finish_reason"] == word


def test_what_is_no_text_is_counted() -> None:
    blocks: list[ir.Block] = [
        ir.Reasoning("Hm"),
        ir.Text("a", citations=[ir.Citation(url="u")]),
        ir.ToolCall("call_1", "f", "{}"),
        ir.Media("image", data="aGk="),
        ir.Opaque("anthropic", "server_tool_use"),
    ]
    response = ir.Response(choices=[ir.Choice(blocks, "stop")])
    whole = Loss()

    render_response(response, ir.Request(), whole)
    _, streamed = told(CODEC, unfold(response))

    lost = {"thinking.text", "citations", "tool_call", "image.data", "opaque"}
    assert set(whole.names) == set(streamed.names) == lost


def test_logprobs_become_parallel_lists() -> None:
    token = {"token": "Hi", "logprob": -0.5, "top_logprobs": [{"token": "Yo", "logprob": -1}]}
    response = ir.Response(choices=[ir.Choice([ir.Text("a"), ir.Text("Hi", logprobs=[token])])])

    body = text_completion(render_response(response, ir.Request(), Loss()))
    stream, _ = told(CODEC, unfold(response))

    expected = {
        "tokens": ["Hi"],
        "token_logprobs": [-0.5],
        "top_logprobs": [{"Yo": -1}],
        "text_offset": [1],
    }
    assert body["choices"][0]["logprobs"] == expected
    assert [
        choice["logprobs"]
        for chunk in chunks(stream)
        for choice in chunk["choices"]
        if choice["logprobs"]
    ] == [expected]


def test_a_stream_is_chunks_of_text_then_usage_then_done() -> None:
    stream, _ = told(CODEC, unfold(ANSWER), include_usage=True)

    found = chunks(stream)
    for chunk in found:
        # The library's type does not know that all but the last have no finish reason.
        for choice in chunk["choices"]:
            choice["finish_reason"] = choice["finish_reason"] or "stop"
        Completion.model_validate(chunk, strict=False)
    text = "".join(choice["text"] for chunk in found for choice in chunk["choices"])
    assert text == "Hello there"
    assert found[-1]["choices"] == []
    assert found[-1]["usage"]["total_tokens"] == 9
    assert stream.endswith(b"data: [DONE]\n\n")


def test_usage_is_sent_only_when_it_was_asked_for() -> None:
    stream, _ = told(CODEC, unfold(ANSWER))

    assert all("usage" not in chunk for chunk in chunks(stream))


def test_an_error_ends_a_stream_without_done() -> None:
    stream, _ = told(CODEC, [ir.ResponseStart(), ir.Ping(), ir.StreamError(500, "It broke")])

    assert stream.startswith(b": ping\n\n")
    assert chunks(stream)[-1]["error"]["message"] == "It broke"
    assert b"[DONE]" not in stream


@pytest.mark.parametrize("path", RESPONSES, ids=name)
def test_an_answer_can_be_read_back(path: Path) -> None:
    response = parse_response(path.read_bytes(), ir.Request())

    body = render_response(response, ir.Request(), Loss())

    assert parse_response(body, ir.Request()) == response


@pytest.mark.parametrize("body", [b"", b"[]", b'{"choices":[]}', b'{"error":{"message":"a"}}'])
def test_what_is_no_answer_is_none(body: bytes) -> None:
    with pytest.raises(ValueError, match="completion"):
        parse_response(body, ir.Request())


@pytest.mark.parametrize("path", STREAMS, ids=name)
def test_a_stream_can_be_read_back(path: Path) -> None:
    events = fed(CODEC.decoder(ir.Request()), path.read_bytes())
    keeps_the_grammar(events)

    stream, _ = told(CODEC, events, include_usage=True)

    tap, _ = feed(DIALECTS["openai.completions"], path.read_bytes())
    assert folded(events).usage == tap.usage
    if name(path) != "error_inside":
        again = folded(fed(CODEC.decoder(ir.Request()), stream))
        assert again == folded(events)


@settings(deadline=None, max_examples=20)
@given(CUTS)
def test_no_cut_changes_what_a_stream_says(cuts: list[int]) -> None:
    stream = fixture("completions/crlf.stream.sse")

    pieces = fed(CODEC.decoder(ir.Request()), *cut(stream, cuts))

    assert pieces == fed(CODEC.decoder(ir.Request()), stream)


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(mutated([path.read_bytes() for path in REQUESTS]))
def test_an_odd_request_is_refused_or_taken(body: bytes) -> None:
    try:
        parse_request(body)
    except ProxyError:
        pass


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(mutated([path.read_bytes() for path in RESPONSES]))
def test_an_odd_answer_is_read_or_is_none(body: bytes) -> None:
    decoder = CODEC.decoder(ir.Request())
    decoder.feed(b"", body)
    keeps_the_grammar(decoder.end())
    try:
        render_response(parse_response(body, ir.Request()), ir.Request(), Loss())
    except ValueError:
        pass
