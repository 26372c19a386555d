"""Laws that hold for every chat fixture: identity, the chunk law, the tap law, and nothing is ever raised."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.core.errors import ProxyError
from proxy.dialects import ir
from proxy.dialects.base import Target
from proxy.dialects.fold import unfold
from proxy.dialects.loss import FEATURES, Loss
from proxy.dialects.openai_chat import DIALECT
from proxy.dialects.openai_chat.fields import FIELDS, OWN_FIELDS
from tests.dialects.choices import (
    cases,
    chunks,
    completion,
    fed,
    folded,
    keeps_the_grammar,
    mutated,
    told,
    validated,
)
from tests.dialects.streams import CUTS, cut, feed

CODEC = DIALECT.codec
assert CODEC is not None
assert CODEC.parse_request is not None
assert CODEC.render_request is not None
assert CODEC.render_response is not None
PARSE = CODEC.parse_request
RENDER = CODEC.render_request
ANSWER = CODEC.render_response

REQUESTS = cases("chat", "request.json")
RESPONSES = [path for path in cases("chat", "response.json") if path.stem != "error.response"]
STREAMS = cases("chat", "stream.sse")
BODIES = [path.read_bytes() for path in REQUESTS]
ANSWERS = [path.read_bytes() for path in RESPONSES]
CHUNKS = [
    orjson.dumps(chunk)
    for path in STREAMS
    if path.name != "odd_chunks.stream.sse"
    for chunk in chunks(path.read_bytes())
]


def name(path: Path) -> str:
    return path.name.split(".")[0]


def decoded(stream: bytes, *cuts: bytes) -> list[ir.Event]:
    assert CODEC is not None
    return fed(CODEC.decoder(ir.Request()), *(cuts or (stream,)))


def test_every_feature_is_a_known_one() -> None:
    assert set(FIELDS) <= set(OWN_FIELDS) <= set(FEATURES)


@pytest.mark.parametrize("path", REQUESTS, ids=name)
def test_a_request_goes_out_as_it_came_in(path: Path) -> None:
    request = PARSE(path.read_bytes())
    loss = Loss()

    again = PARSE(RENDER(request, Target(request.model, request.stream), loss))

    again.include_usage = request.include_usage
    if request.functions:  # asked as tools, answered as functions
        again.functions = True
    assert again == request
    assert not loss


@pytest.mark.parametrize("path", REQUESTS, ids=name)
def test_a_request_of_another_dialect_is_not_changed_by_rendering(path: Path) -> None:
    request = PARSE(path.read_bytes())
    request.origin, request.extras = "anthropic.messages", {}
    request.tools = [tool for tool in request.tools if isinstance(tool, ir.Tool)]
    before = deepcopy(request)

    first = RENDER(request, Target("m"), Loss())
    second = RENDER(request, Target("m"), Loss())

    assert first == second
    assert request == before


@pytest.mark.parametrize("path", RESPONSES, ids=name)
def test_an_answer_goes_out_as_it_came_in(path: Path) -> None:
    assert CODEC is not None
    response = CODEC.parse_response(path.read_bytes(), ir.Request())
    functions = name(path) == "legacy_functions"

    body = ANSWER(response, ir.Request(functions=functions), Loss())

    again = CODEC.parse_response(body, ir.Request())
    completion(body)
    assert said(again) == said(response)
    assert again.extras == response.extras
    assert [choice.extras for choice in again.choices] == [
        choice.extras for choice in response.choices
    ]


@pytest.mark.parametrize("path", RESPONSES, ids=name)
def test_a_whole_answer_told_as_a_stream_is_the_same_answer(path: Path) -> None:
    assert CODEC is not None
    response = CODEC.parse_response(path.read_bytes(), ir.Request())

    stream, _ = told(CODEC, unfold(response), include_usage=True)

    if name(path) != "custom":
        validated(stream)
    assert said(folded(decoded(stream))) == said(response)


def without_ids(response: ir.Response) -> ir.Response:
    response = deepcopy(response)
    response.id = ""
    for choice in response.choices:
        for block in choice.blocks:
            if isinstance(block, ir.ToolCall):
                block.id = ""
            if isinstance(block, ir.Text):
                for cited in block.citations:
                    cited.start = cited.end = None
                    cited.own = {}
                    cited.origin = ""
    return response


def said(response: ir.Response) -> list[Any]:
    """What a client would see of an answer."""
    found: list[Any] = [response.usage, response.model]
    for choice in without_ids(response).choices:
        found.append(choice.finish)
        for block in choice.blocks:
            if isinstance(block, ir.Opaque):
                continue
            if isinstance(block, ir.ToolCall) and not block.custom:
                block.arguments = block.arguments or "{}"
            if isinstance(block, ir.Media):
                block.extras = {}
            found.append(block)
    return found


@pytest.mark.parametrize("path", STREAMS, ids=name)
def test_a_stream_keeps_the_grammar_and_comes_out_as_it_went_in(path: Path) -> None:
    assert CODEC is not None
    events = decoded(path.read_bytes())
    keeps_the_grammar(events)

    functions = name(path) == "legacy_functions"
    stream, _ = told(CODEC, events, include_usage=True, functions=functions)

    again = decoded(stream)
    keeps_the_grammar(again)
    if name(path) not in (
        "custom",
        "error_first",
        "error_inside",
        "error_named",
        "error_openrouter",
    ):
        validated(stream)
    assert said(folded(again)) == said(folded(events))


@pytest.mark.parametrize("path", STREAMS, ids=name)
def test_the_tap_counts_what_the_decoder_does(path: Path) -> None:
    stream = path.read_bytes()

    tap, _ = feed(DIALECT, stream)

    events = decoded(stream)
    if any(isinstance(event, ir.ResponseEnd) for event in events):
        assert folded(events).usage == tap.usage
        assert tap.complete()
    assert (tap.error is not None) == any(isinstance(event, ir.StreamError) for event in events)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(STREAMS), CUTS)
def test_no_cut_changes_what_a_stream_says(path: Path, cuts: list[int]) -> None:
    stream = path.read_bytes()
    whole = without_new_ids(decoded(stream))

    single = [stream[at : at + 1] for at in range(len(stream))]

    assert without_new_ids(decoded(stream, *single)) == whole
    assert without_new_ids(decoded(stream, *cut(stream, cuts))) == whole


def without_new_ids(events: list[ir.Event]) -> list[ir.Event]:
    for event in events:
        if isinstance(event, ir.BlockStart) and isinstance(event.block, ir.ToolCall):
            event.block.id = event.block.id[:6]
            event.block.id = "" if event.block.id.startswith("call_") else event.block.id
    return events


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(mutated(BODIES))
def test_an_odd_request_is_refused_or_taken(body: bytes) -> None:
    try:
        request = PARSE(body)
        RENDER(request, Target("m", True), Loss())
        request.origin, request.musts = "gemini.generate", {}
        RENDER(request, Target("gpt-5", False), Loss())
    except ProxyError:
        pass


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(mutated(ANSWERS))
def test_an_odd_answer_is_read_or_is_none(body: bytes) -> None:
    assert CODEC is not None
    try:
        response = CODEC.parse_response(body, ir.Request())
    except ValueError:
        return
    ANSWER(response, ir.Request(), Loss())
    told(CODEC, unfold(response))


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(mutated(CHUNKS) | st.binary(max_size=20), max_size=6), st.booleans())
def test_odd_chunks_keep_the_grammar(found: list[bytes], done: bool) -> None:
    assert CODEC is not None
    decoder = CODEC.decoder(ir.Request())
    events = [event for data in found for event in decoder.feed(b"", data)]
    if done:
        events += decoder.feed(b"", b"[DONE]")
    events += decoder.end()

    keeps_the_grammar(events)
    told(CODEC, events)
