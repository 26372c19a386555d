"""Laws that hold for every fixture of the Responses API, and for the library that reads what we write."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.core.errors import ProxyError
from proxy.dialects import ir
from proxy.dialects.base import Target
from proxy.dialects.loss import FEATURES, Loss
from proxy.dialects.openai_responses.fields import FIELDS, OWN_FIELDS
from tests.dialects.answers import (
    CODEC,
    accumulated,
    asked,
    checked,
    legal,
    payloads,
    told_to,
    whole,
)
from tests.dialects.choices import cases, fed, keeps_the_grammar, mutated
from tests.dialects.streams import CUTS, cut

assert CODEC is not None
assert CODEC.parse_request is not None
assert CODEC.render_request is not None
assert CODEC.render_response is not None
PARSE, RENDER, ANSWER = CODEC.parse_request, CODEC.render_request, CODEC.render_response
READ, DECODER = CODEC.parse_response, CODEC.decoder

REQUESTS = cases("responses", "request.json")
OWN = [path for path in REQUESTS if path.stem != "reasoning_sealed.request"]
"""Without state of other families, which goes nowhere else."""
NO_ANSWERS = ("error.response", "failed.response")
RESPONSES = [path for path in cases("responses", "response.json") if path.stem not in NO_ANSWERS]
STREAMS = cases("responses", "stream.sse")
BODIES = [path.read_bytes() for path in REQUESTS]
ANSWERS = [path.read_bytes() for path in RESPONSES]
EVENTS = [
    orjson.dumps(payload)
    for path in STREAMS
    if path.name != "unnamed.stream.sse"
    for payload in payloads(path.read_bytes())
]


def name(path: Path) -> str:
    return path.name.split(".")[0]


def each(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", paths, ids=name)


def of_another(found: list[ir.Event]) -> list[ir.Event]:
    """A stream as if another dialect had told it."""
    return [
        ir.ResponseStart(event.id, event.model, event.created, origin="x")
        if isinstance(event, ir.ResponseStart)
        else event
        for event in found
    ]


def test_every_field_is_a_feature() -> None:
    assert FIELDS.keys() <= OWN_FIELDS.keys() <= FEATURES.keys()


@each(OWN)
def test_a_request_is_the_same_when_written_and_read_again(path: Path) -> None:
    request = PARSE(path.read_bytes())
    before = deepcopy(request)

    body = RENDER(request, Target(request.model, request.stream), Loss())

    assert request == before
    assert PARSE(body) == request


@each(OWN)
def test_a_request_loses_nothing_on_its_way_to_its_own_dialect(path: Path) -> None:
    loss = Loss()
    request = PARSE(path.read_bytes())

    RENDER(request, Target(request.model, request.stream), loss)

    assert loss.names == {}


@each(RESPONSES)
def test_an_answer_is_legal_for_a_client_of_another_provider(path: Path) -> None:
    response = READ(path.read_bytes(), asked())
    response.origin = "x"
    before = deepcopy(response)

    checked(ANSWER(response, asked(), Loss()))

    assert response == before


@each(RESPONSES)
def test_an_answer_keeps_its_words_in_its_own_dialect(path: Path) -> None:
    response = READ(path.read_bytes(), asked())
    if response.choices[0].finish == "error":
        return

    again = READ(ANSWER(response, asked(), Loss()), asked())

    assert [type(block) for block in again.choices[0].blocks] == [
        type(block) for block in response.choices[0].blocks
    ]
    assert again.choices[0].finish == response.choices[0].finish
    assert again.usage == response.usage


@each(STREAMS)
def test_a_stream_says_the_same_however_it_is_cut(path: Path) -> None:
    raw = path.read_bytes()
    found = fed(DECODER(asked()), raw)

    keeps_the_grammar(found)
    if not any(_is_unnamed(event) for event in found):
        assert fed(DECODER(asked()), *(raw[at : at + 1] for at in range(len(raw)))) == found


def _is_unnamed(event: ir.Event) -> bool:
    """A call whose name is made up, another one each time."""
    if not isinstance(event, ir.BlockStart) or not isinstance(event.block, ir.ToolCall):
        return False
    return event.block.id.startswith("call_") and len(event.block.id) > 20


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(path=st.sampled_from(STREAMS), cuts=CUTS)
def test_a_stream_says_the_same_at_any_cuts(path: Path, cuts: list[int]) -> None:
    raw = path.read_bytes()
    found = fed(DECODER(asked()), raw)
    if any(_is_unnamed(event) for event in found):
        return

    assert fed(DECODER(asked()), *cut(raw, cuts)) == found


@each(STREAMS)
@pytest.mark.parametrize("own", [True, False])
def test_a_stream_is_legal_for_a_client(path: Path, own: bool) -> None:
    found = fed(DECODER(asked()), path.read_bytes())
    raw, _ = told_to(asked(), found if own else of_another(found))

    if not own and isinstance(found[-1], ir.ResponseEnd | ir.StreamError):
        legal(raw)
    numbers = [payload["sequence_number"] for payload in payloads(raw)]
    assert numbers == list(range(len(numbers)))


@each(STREAMS)
def test_a_stream_ends_with_what_the_whole_answer_says(path: Path) -> None:
    found = of_another(fed(DECODER(asked()), path.read_bytes()))
    fold = whole(found)
    if not (fold.ended and fold.response.id):
        return

    last = payloads(told_to(asked(), found)[0])[-1]["response"]
    body = orjson.loads(ANSWER(fold.response, asked(), Loss()))

    for made in (last, body):
        made.pop("completed_at")
    assert last == body


@each(STREAMS)
def test_the_library_adds_a_stream_up_to_the_same_answer(path: Path) -> None:
    found = of_another(fed(DECODER(asked()), path.read_bytes()))
    raw, _ = told_to(asked(), found)
    if payloads(raw)[-1]["type"] != "response.completed":
        return

    response = accumulated(raw)

    texts = [
        block.text
        for choice in whole(found).response.choices
        for block in choice.blocks
        if isinstance(block, ir.Text)
    ]
    assert response.output_text == "".join(texts)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(body=mutated(BODIES))
def test_a_request_of_any_shape_is_read_or_refused(body: bytes) -> None:
    try:
        request = PARSE(body)
    except ProxyError:
        return

    RENDER(request, Target("gpt-5.2"), Loss())


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(body=mutated(ANSWERS))
def test_an_answer_of_any_shape_is_read_or_is_none(body: bytes) -> None:
    try:
        response = READ(body, asked())
    except ValueError:
        return

    response.origin = "x"
    ANSWER(response, asked(), Loss())


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(events=st.lists(mutated(EVENTS) | st.sampled_from(EVENTS), max_size=12))
def test_events_of_any_shape_and_order_keep_the_grammar(events: list[bytes]) -> None:
    found = fed(DECODER(asked()), b"".join(b"data: %b\n\n" % event for event in events))

    keeps_the_grammar(found)
    told_to(asked(), of_another(found))


@given(noise=st.binary(max_size=40))
def test_noise_is_no_event_and_no_answer(noise: bytes) -> None:
    DECODER(asked()).feed(noise, noise)
    with pytest.raises(ValueError):  # noqa: PT011 - whatever it says
        READ(noise, asked())
