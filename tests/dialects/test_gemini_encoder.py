"""A client's stream, written from events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from proxy.dialects import ir
from proxy.dialects.base import Usage
from proxy.dialects.fold import unfold
from proxy.dialects.identity import seal
from tests.dialects.checkers import gemini as checker
from tests.dialects.contents import (
    STREAMS,
    chunks_of,
    decoded,
    encoded,
    fixture,
    folded,
    name,
    without_ids,
)

START = ir.ResponseStart("r", "g", 5, origin="openai.chat")
ENDS: list[ir.Event] = [
    ir.ChoiceEnd("stop"),
    ir.UsageReport(Usage(10, 3, 0, 5, 2)),
    ir.ResponseEnd(),
]
UNFINISHED = ("truncated", "empty", "error_first", "error_inside")


def written(*found: ir.Event, start: ir.ResponseStart = START) -> list[Any]:
    """The chunks of an answer with these events in it, the last one left out."""
    stream, _ = encoded([start, *found, *ENDS])
    assert checker.check_stream(stream) == []
    return chunks_of(stream)


def parts(*found: ir.Event) -> list[Any]:
    """The parts of all chunks but the last."""
    return [
        part
        for chunk in written(*found)[:-1]
        for part in chunk["candidates"][0]["content"]["parts"]
    ]


@pytest.mark.parametrize("array", [False, True], ids=["events", "array"])
@pytest.mark.parametrize("path", STREAMS, ids=name)
def test_a_stream_is_the_same_after_a_journey_through_the_hub(path: Path, array: bool) -> None:
    found = decoded(path.read_bytes())
    if name(path) in (*UNFINISHED, "unknown_fields"):  # what is unknown of a text is not told twice
        return

    stream, dropped = encoded(found, array=array)

    if folded(found).usage is not None:
        assert checker.check_stream(stream) == []
    if array:
        stream = b"".join(b"data: %b\n\n" % orjson.dumps(chunk) for chunk in orjson.loads(stream))
    again, before = without_ids(folded(decoded(stream))), without_ids(folded(found))
    again.id = before.id
    assert again == before
    assert not dropped


@pytest.mark.parametrize("path", STREAMS, ids=name)
def test_a_stream_from_elsewhere_is_legal(path: Path) -> None:
    response = folded(decoded(path.read_bytes()))
    if not response.choices or response.choices[0].finish is None:
        return
    if name(path) == "unknown_fields":
        response.choices[0].blocks.pop(1)
    response.origin, response.usage = "anthropic.messages", Usage(1, 0, 0, 1)

    stream, _ = encoded(unfold(response))

    assert checker.check_stream(stream) == []


def test_a_text_goes_out_as_it_comes() -> None:
    found = written(
        ir.BlockStart(0, ir.Text()), ir.TextDelta(0, "日"), ir.TextDelta(0, '"\n'), ir.BlockEnd(0)
    )

    content = {"parts": [{"text": "日"}], "role": "model"}
    assert found[0] == {
        "candidates": [{"content": content, "index": 0}],
        "modelVersion": "g",
        "responseId": "r",
    }
    assert found[1]["candidates"][0]["content"]["parts"] == [{"text": '"\n'}]


def test_the_last_chunk_holds_reason_and_usage() -> None:
    found = written(ir.BlockStart(0, ir.Text("a")), ir.BlockEnd(0))

    assert found[-1] == {
        "candidates": [
            {
                "content": {"parts": [{"text": ""}], "role": "model"},
                "finishReason": "STOP",
                "index": 0,
            }
        ],
        "usageMetadata": {
            "promptTokenCount": 13,
            "candidatesTokenCount": 3,
            "totalTokenCount": 18,
            "cachedContentTokenCount": 3,
            "thoughtsTokenCount": 2,
        },
        "modelVersion": "g",
        "responseId": "r",
        "createTime": "1970-01-01T00:00:05Z",
    }


def test_thoughts_are_marked_and_their_state_is_sealed() -> None:
    assert parts(
        ir.BlockStart(0, ir.Reasoning()),
        ir.ReasoningDelta(0, "Hm"),
        ir.SignatureDelta(0, "EqAB", "anthropic"),
        ir.BlockEnd(0),
        ir.BlockStart(1, ir.Reasoning(signature="c2ln", origin="gemini", redacted=True)),
        ir.BlockEnd(1),
    ) == [
        {"text": "Hm", "thought": True},
        {"text": "", "thought": True, "thoughtSignature": seal("anthropic", "EqAB")},
        {"text": "", "thought": True, "thoughtSignature": "c2ln"},
    ]


def test_calls_that_come_interleaved_go_out_whole_and_in_the_order_they_began() -> None:
    assert parts(
        ir.BlockStart(0, ir.ToolCall("call_1", "a")),
        ir.BlockStart(1, ir.ToolCall("call_2", "b", signature="c2ln", origin="gemini")),
        ir.ArgumentsDelta(0, '{"x"'),
        ir.ArgumentsDelta(1, ""),
        ir.ArgumentsDelta(0, ": 1}"),
        ir.BlockEnd(1),
        ir.BlockEnd(0),
    ) == [
        {"functionCall": {"id": "call_1", "name": "a", "args": {"x": 1}}},
        {"functionCall": {"id": "call_2", "name": "b", "args": {}}, "thoughtSignature": "c2ln"},
    ]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_arguments_written_on_several_lines_are_one_line_of_a_stream(newline: str) -> None:
    arguments = newline.join(["{", "", '  "path": "a\\nb"', "}"])

    stream, _ = encoded(
        [
            START,
            ir.BlockStart(0, ir.ToolCall(id="c", name="f")),
            ir.ArgumentsDelta(0, arguments),
            ir.BlockEnd(0),
            *ENDS,
        ]
    )

    assert all(line.startswith(b"data: ") for line in stream.splitlines() if line)
    call = chunks_of(stream)[0]["candidates"][0]["content"]["parts"][0]["functionCall"]
    assert call["args"] == {"path": "a\nb"}


def test_pictures_refusals_and_signed_texts_have_their_parts() -> None:
    found: list[ir.Event] = [
        ir.BlockStart(0, ir.Media("image", "image/png", "AA")),
        ir.DataDelta(0, "AA"),
        ir.TextDelta(0, "a transcript"),
        ir.BlockEnd(0),
        ir.BlockStart(1, ir.Refusal()),
        ir.TextDelta(1, "No."),
        ir.BlockEnd(1),
        ir.BlockStart(2, ir.Text("")),
        ir.SignatureDelta(2, "c2ln", "gemini"),
        ir.BlockEnd(2),
        ir.BlockStart(3, ir.Opaque("anthropic", "x", {"type": "x"})),
        ir.BlockEnd(3),
    ]

    assert parts(*found) == [
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
        {"text": "No."},
        {"text": "", "thoughtSignature": "c2ln"},
    ]
    assert list(encoded([START, *found, *ENDS])[1]) == ["refusal", "opaque"]


def test_a_picture_in_pieces_that_were_encoded_by_themselves_is_one() -> None:
    (part,) = parts(
        ir.BlockStart(0, ir.Media("image", "image/png")),
        ir.DataDelta(0, "YWJjZA=="),
        ir.DataDelta(0, "ZWZnaA=="),
        ir.BlockEnd(0),
    )

    assert part["inlineData"]["data"] == "YWJjZGVmZ2g="


def test_citations_and_probabilities_are_in_the_last_chunk() -> None:
    cited = ir.Citation("https://a.example", "A", start=1, end=2)
    token = {"token": "b", "logprob": -1.0, "bytes": [98], "top_logprobs": []}

    last = written(
        ir.BlockStart(0, ir.Text()),
        ir.TextDelta(0, "日b"),
        ir.CitationDelta(0, cited),
        ir.LogprobsDelta(0, [token]),
        ir.BlockEnd(0),
    )[-1]["candidates"][0]

    assert last["groundingMetadata"] == {
        "groundingChunks": [{"web": {"uri": "https://a.example", "title": "A"}}],
        "groundingSupports": [
            {
                "segment": {"startIndex": 3, "endIndex": 4, "text": "b"},
                "groundingChunkIndices": [0],
            }
        ],
    }
    assert last["logprobsResult"]["chosenCandidates"] == [{"token": "b", "logProbability": -1.0}]


def test_an_answer_without_a_word_still_has_an_end() -> None:
    assert chunks_of(encoded([START, ir.ChoiceEnd("content_filter"), ir.ResponseEnd()])[0]) == [
        {
            "candidates": [{"finishReason": "SAFETY", "index": 0}],
            "modelVersion": "g",
            "responseId": "r",
            "createTime": "1970-01-01T00:00:05Z",
        }
    ]
    assert (
        chunks_of(encoded([START, ir.ResponseEnd()])[0])[0]["candidates"][0]["finishReason"]
        == "STOP"
    )


def test_a_blocked_prompt_stays_one() -> None:
    stream, _ = encoded(decoded(fixture("blocked.stream.sse")))

    (chunk,) = chunks_of(stream)
    assert chunk["promptFeedback"] == {"blockReason": "SAFETY"}
    assert "candidates" not in chunk


def test_an_error_is_the_last_thing_said() -> None:
    failed = ir.StreamError(529, "Too much.", "overloaded")
    begun: list[ir.Event] = [START, ir.BlockStart(0, ir.Text("a"))]

    stream, _ = encoded([*begun, failed])
    array, _ = encoded([*begun, failed], array=True)

    error = {"error": {"code": 529, "message": "Too much.", "status": "UNAVAILABLE"}}
    assert chunks_of(stream)[-1] == error
    assert orjson.loads(array)[-1] == error
    assert checker.check_stream(stream) == []
    odd = encoded([START, ir.StreamError(0, "m", "INTERNAL")])[0]
    assert chunks_of(odd)[0]["error"] == {"code": 500, "message": "m", "status": "INTERNAL"}


def test_a_ping_says_nothing() -> None:
    assert encoded([ir.Ping()])[0] == b"\n\n"
    array, _ = encoded(
        [
            START,
            ir.Ping(),
            ir.BlockStart(0, ir.Text("a")),
            ir.Ping(),
            ir.TextDelta(0, "b"),
            ir.BlockEnd(0),
            *ENDS,
        ],
        array=True,
    )
    assert len(orjson.loads(array)) == 3


def test_events_of_blocks_never_begun_are_left_out() -> None:
    stray: list[ir.Event] = [
        ir.TextDelta(7, "x"),
        ir.DataDelta(7, "x"),
        ir.SignatureDelta(7, "x", "gemini"),
        ir.CitationDelta(7, ir.Citation()),
        ir.LogprobsDelta(7, []),
        ir.BlockEnd(7),
    ]

    assert encoded([START, *stray])[0] == b""
