"""A provider's chunks, as events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.dialects import ir
from proxy.dialects.base import Usage
from proxy.dialects.gemini.names import TOOLS
from tests.dialects.contents import (
    CODEC,
    STREAMS,
    USAGE,
    chunk,
    decoded,
    fixture,
    folded,
    name,
    streamed,
    without_ids,
)
from tests.dialects.streams import CUTS, cut, data

_OF_A_BLOCK = (
    ir.TextDelta, ir.ReasoningDelta, ir.ArgumentsDelta, ir.SignatureDelta, ir.DataDelta, ir.CitationDelta,
    ir.LogprobsDelta, ir.BlockEnd,
)  # fmt: skip


def grammatical(found: list[ir.Event]) -> None:
    """The grammar of a stream, as the hub has it."""
    opened: dict[int, int] = {}
    begun: list[int] = []
    ended: set[int] = set()
    for at, event in enumerate(found):
        assert (type(event) is ir.ResponseStart) == (at == 0) or type(event) is ir.StreamError
        if type(event) is ir.BlockStart:
            assert event.choice not in ended
            begun.append(event.index)
            opened[event.index] = event.choice
        elif isinstance(event, _OF_A_BLOCK):
            assert event.index in opened
            if type(event) is ir.BlockEnd:
                del opened[event.index]
        elif type(event) is ir.ChoiceEnd:
            assert event.choice not in opened.values()
            ended.add(event.choice)
        elif type(event) in (ir.ResponseEnd, ir.StreamError):
            assert at == len(found) - 1
    assert begun == list(range(len(begun)))
    if found and type(found[-1]) is ir.ResponseEnd:
        assert ended
        assert not opened


def same(one: list[ir.Event], other: list[ir.Event]) -> None:
    """Two tellings of one stream; calls that came without a name have been given one each."""
    assert without_ids(folded(one)) == without_ids(folded(other))
    assert [type(event) for event in one] == [type(event) for event in other]


@pytest.mark.parametrize("path", STREAMS, ids=name)
def test_every_stream_is_grammatical(path: Path) -> None:
    grammatical(decoded(path.read_bytes()))


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(STREAMS), CUTS)
def test_no_cut_changes_what_a_stream_says(path: Path, cuts: list[int]) -> None:
    stream = path.read_bytes()
    whole = decoded(stream)

    same(decoded(*[stream[at : at + 1] for at in range(len(stream))]), whole)
    same(decoded(*cut(stream, cuts)), whole)


def test_a_text_is_told_piece_by_piece() -> None:
    assert decoded(fixture("text.stream.sse")) == [
        ir.ResponseStart(
            "resp-1", "gemini-2.5-flash", 0, "", "gemini.generate", {}, Usage(input=10)
        ),
        ir.BlockStart(0, ir.Text()),
        ir.TextDelta(0, "Hi"),
        ir.TextDelta(0, " there"),
        ir.TextDelta(0, "."),
        ir.BlockEnd(0),
        ir.ChoiceEnd("stop", reason="STOP"),
        ir.UsageReport(Usage(input=10, output=5)),
        ir.ResponseEnd(),
    ]


def blocks(case: str) -> list[ir.Block]:
    return folded(decoded(fixture(f"{case}.stream.sse"))).choices[0].blocks


def test_a_signature_in_an_empty_text_belongs_to_the_text_before() -> None:
    assert blocks("thoughts_back") == [
        ir.Reasoning("Doubling."),
        ir.Text("16", signature="c2lnbmF0dXJl", origin="gemini"),
    ]


def test_or_to_the_call_before() -> None:
    (call,) = blocks("signature_after_call")

    assert isinstance(call, ir.ToolCall)
    assert (call.arguments, call.signature) == ('{"a":1}', "c2lnbmF0dXJl")


def test_or_to_nothing_at_all() -> None:
    assert blocks("signature_first") == [
        ir.Text("", signature="c2lnbmF0dXJl", origin="gemini"),
        ir.Text("A", signature="c2lnbmF0dXJl", origin="gemini"),
        ir.Text("B"),
    ]


def test_calls_come_whole_and_get_ids() -> None:
    text, first, second = blocks("tools_parallel")

    assert text == ir.Text("Both.")
    assert isinstance(first, ir.ToolCall)
    assert isinstance(second, ir.ToolCall)
    assert first.id == "call-a"
    assert second.id.startswith("call_")
    assert second.arguments == '{"city":"Paris"}'
    assert folded(decoded(fixture("tools_parallel.stream.sse"))).choices[0].finish == "tool_calls"


def test_arguments_in_pieces_are_put_together() -> None:
    call, text = blocks("fragments")

    assert isinstance(call, ir.ToolCall)
    assert orjson.loads(call.arguments) == {
        "city": "Rome",
        "stops": [None, {"days": 2}],
        "is": True,
        "none": None,
    }
    assert (call.id, call.signature) == ("p1", "c2lnbmF0dXJl")
    assert text == ir.Text("Ok.")


def test_arguments_in_pieces_that_break_off_are_ended_with_their_call() -> None:
    found = streamed(
        chunk({"functionCall": {"name": "f", "willContinue": True}}),
        chunk({"functionCall": {"name": "g", "args": {}}}, finish="STOP"),
    )

    arguments = [
        block.arguments
        for block in folded(found).choices[0].blocks
        if isinstance(block, ir.ToolCall)
    ]
    assert arguments == ["{}", "{}"]


def test_a_custom_tool_gets_its_free_text() -> None:
    request = ir.Request(tools=[ir.Tool("write", custom=True)])

    found = streamed(
        chunk({"functionCall": {"name": "write", "args": {"input": "free"}}}),
        chunk({"functionCall": {"name": "write", "args": {"odd": 1}}}, finish="STOP"),
        request=request,
    )

    first, second = folded(found).choices[0].blocks
    assert isinstance(first, ir.ToolCall)
    assert isinstance(second, ir.ToolCall)
    assert (first.custom, first.arguments) == (True, "free")
    assert (second.custom, second.arguments) == (True, '{"odd":1}')


def test_a_tool_has_its_name_back_and_its_text_though_it_came_in_pieces() -> None:
    request = ir.Request(tools=[ir.Tool("9 patch", custom=True)])
    call = {"name": TOOLS.made("9 patch"), "willContinue": True}
    piece = {"partialArgs": [{"jsonPath": "$.input", "stringValue": "*** Begin"}]}

    found = streamed(
        chunk({"functionCall": call}),
        chunk({"functionCall": {**piece, "willContinue": True}}),
        chunk({"functionCall": {}}, finish="STOP"),
        request=request,
    )

    (block,) = folded(found).choices[0].blocks
    assert isinstance(block, ir.ToolCall)
    assert (block.name, block.custom, block.arguments) == ("9 patch", True, "*** Begin")


def test_what_only_google_understands_is_kept_as_it_is() -> None:
    first, code, result, last = blocks("code_execution")

    assert first == ir.Text("Run")
    assert isinstance(code, ir.Opaque)
    assert isinstance(result, ir.Opaque)
    assert (code.kind, result.kind) == ("executableCode", "codeExecutionResult")
    assert last == ir.Text("One.")


def test_a_picture_is_shown_and_one_only_thought_of_is_not() -> None:
    thought, text, picture = blocks("image_out")

    assert isinstance(thought, ir.Opaque)
    assert text == ir.Text("Here:")
    assert isinstance(picture, ir.Media)
    assert (picture.kind, picture.data) == ("image", "iVBORw0KGgo=")


def test_candidates_are_told_side_by_side() -> None:
    response = folded(decoded(fixture("two_candidates.stream.sse")))

    assert [choice.blocks for choice in response.choices] == [[ir.Text("One")], [ir.Text("T!wo")]]
    assert [choice.finish for choice in response.choices] == ["stop", "stop"]


def test_candidates_end_when_all_of_them_are_told() -> None:
    kinds = [type(event) for event in decoded(fixture("two_candidates.stream.sse"))]

    assert kinds[-4:-2] == [ir.ChoiceEnd, ir.ChoiceEnd]
    assert ir.ChoiceEnd not in kinds[:-4]


def test_writing_goes_on_after_a_reason_and_the_last_one_counts() -> None:
    response = folded(decoded(fixture("recitation.stream.sse")))

    (choice,) = response.choices
    assert (choice.finish, choice.reason) == ("content_filter", "RECITATION")
    (text,) = choice.blocks
    assert isinstance(text, ir.Text)
    assert text.text == "Copied words"
    assert [(cited.url, cited.start, cited.end) for cited in text.citations] == [
        ("https://c.example", 0, 12)
    ]


def test_citations_in_the_last_chunk_count_characters() -> None:
    (text,) = blocks("search")

    assert isinstance(text, ir.Text)
    assert [(cited.url, text.text[cited.start : cited.end]) for cited in text.citations] == [
        ("https://a.example/1", "日本が勝った"),
        ("https://a.example/1", "Yes, é!"),
        ("gs://b/2", "Yes, é!"),
    ]


def test_citations_of_a_text_that_has_ended_are_said_of_the_one_that_has_not() -> None:
    grounding = {
        "groundingChunks": [{"web": {"uri": "u"}}],
        "groundingSupports": [
            {"segment": {"endIndex": 1, "text": "a"}, "groundingChunkIndices": [0]}
        ],
    }
    code = {"executableCode": {"code": "1"}}

    shown = streamed(
        chunk({"text": "a"}, code, {"text": "b"}, finish="STOP", groundingMetadata=grounding)
    )
    hidden = streamed(chunk({"text": "a"}, code, finish="STOP", groundingMetadata=grounding))

    (cited,) = [event for event in shown if isinstance(event, ir.CitationDelta)]
    assert (cited.index, cited.citation.start) == (2, None)
    assert not [event for event in hidden if isinstance(event, ir.CitationDelta)]
    assert folded(hidden).choices[0].extras == {"groundingMetadata": grounding}


def test_probabilities_come_with_their_text() -> None:
    (text,) = blocks("logprobs")

    assert isinstance(text, ir.Text)
    assert [token["token"] for token in text.logprobs] == ["H", "é"]


def test_a_blocked_prompt_is_filtered_content() -> None:
    found = decoded(fixture("blocked.stream.sse"))

    assert ir.ChoiceEnd("content_filter", reason="SAFETY") in found
    assert type(found[-1]) is ir.ResponseEnd
    assert folded(found).usage == Usage(input=7)


@pytest.mark.parametrize("case", ["truncated", "empty"])
def test_a_stream_without_a_reason_has_no_end(case: str) -> None:
    found = decoded(fixture(f"{case}.stream.sse"))

    assert not [event for event in found if isinstance(event, ir.ChoiceEnd | ir.ResponseEnd)]


def test_an_error_ends_the_stream() -> None:
    found = decoded(fixture("error_inside.stream.sse"))

    assert found[-1] == ir.StreamError(500, "Internal error", "INTERNAL")
    assert folded(found).choices[0].blocks == [ir.Text("So")]
    assert decoded(fixture("error_first.stream.sse")) == [
        ir.StreamError(503, "The model is overloaded.", "UNAVAILABLE")
    ]
    assert streamed([{"error": {"code": 400, "message": "m"}}]) == [ir.StreamError(400, "m")]
    assert streamed({"error": "odd"}) == [ir.StreamError(502, "odd")]


def test_reports_that_count_nothing_are_passed_over() -> None:
    counted = {**chunk({"text": "a"}), "usageMetadata": USAGE}
    empty = {**chunk({"text": "b"}), "usageMetadata": {"trafficType": "ON_DEMAND"}}

    found = streamed(counted, empty, empty, chunk(finish="STOP"))

    assert folded(found).usage == Usage(input=10, output=5)


@pytest.mark.parametrize("more", [{}, {"usageMetadata": None}])
def test_a_text_about_reports_is_none(more: dict[str, Any]) -> None:
    counted = {**chunk({"text": "a"}), "usageMetadata": USAGE}
    about = {**chunk({"text": "promptTokenCount"}), **more}

    found = streamed(chunk({"text": "Tell: "}), counted, about, chunk(finish="STOP"))

    assert folded(found).usage == Usage(input=10, output=5)


def test_unknown_fields_are_kept() -> None:
    response = folded(decoded(fixture("unknown_fields.stream.sse")))

    assert response.extras == {"newTop": 3, "newEvent": 1, "later": 5}
    assert response.choices[0].extras == {"newCandidate": 4}
    assert response.choices[0].blocks[0] == ir.Text("Hi", extras={"newPart": 1})


def test_a_text_whose_parts_have_the_same_unknown_field_is_one() -> None:
    found = streamed(
        chunk({"text": "a", "new": 1}),
        chunk({"text": "b", "new": 1}),
        chunk({"text": "c", "new": 2}, finish="STOP"),
    )

    assert folded(found).choices[0].blocks == [
        ir.Text("ab", extras={"new": 1}),
        ir.Text("c", extras={"new": 2}),
    ]


def test_damaged_and_empty_chunks_are_passed_over() -> None:
    response = folded(decoded(fixture("odd_chunks.stream.sse")))

    assert response.choices[0].blocks == [ir.Text("AB")]
    assert response.choices[0].finish == "stop"


def test_nothing_comes_after_the_end() -> None:
    decoder = CODEC.decoder(ir.Request())
    decoder.feed(b"", orjson.dumps(chunk({"text": "a"}, finish="STOP")))
    decoder.end()

    assert decoder.feed(b"", orjson.dumps(chunk({"text": "b"}))) == []
    assert decoder.end() == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def damage(body: Any, draw: st.DataObject) -> Any:
    """One value somewhere in `body` replaced by another."""
    place = body
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return body
        key = draw.draw(st.sampled_from(keys))
        if isinstance(place[key], dict | list) and draw.draw(st.booleans()):
            place = place[key]
            continue
        place[key] = draw.draw(JSON)
        return body


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(STREAMS), st.data())
def test_a_damaged_stream_is_read_as_far_as_it_goes(path: Path, draw: st.DataObject) -> None:
    chunks = [orjson.loads(line[5:]) for line in path.read_bytes().splitlines() if parses(line)]

    found = decoded(data(*damage(chunks, draw))) if chunks else []

    grammatical(found)


def parses(line: bytes) -> bool:
    try:
        return line.startswith(b"data:") and isinstance(orjson.loads(line[5:]), dict)
    except ValueError:
        return False


@settings(deadline=None, max_examples=100)
@given(st.lists(st.binary(max_size=40) | JSON.map(orjson.dumps), max_size=5))
def test_any_bytes_are_taken(events: list[bytes]) -> None:
    decoder = CODEC.decoder(ir.Request())

    for event in events:
        decoder.feed(b"", event)
        decoder.feed(b"error", event)
    decoder.end()
