"""Streams of messages, read from providers and written for clients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from anthropic.types import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.dialects import identity, ir
from proxy.dialects.anthropic.read import TOOLS
from proxy.dialects.fold import Fold, unfold
from proxy.dialects.identity import unseal
from proxy.dialects.loss import Loss
from proxy.wire.sse import events, last_boundary
from tests.dialects.checkers.messages import check_stream
from tests.dialects.messages import (
    CODEC,
    RESPONSES,
    STREAMS,
    accumulated,
    decoded,
    encoded,
    fixture,
    name,
    payloads,
)
from tests.dialects.streams import CUTS, cut, data, named
from tests.dialects.test_anthropic_request import mutate

BROKEN = {"error-first", "error-inside", "truncated"}
WHOLE = [path for path in STREAMS if name(path) not in BROKEN]
ODD = BROKEN | {"bare", "no-starts", "usage-late", "compaction", "unknown-fields"}
LIKE_THE_VENDOR = [path for path in STREAMS if name(path) not in ODD]


def folded(told: list[ir.Event]) -> Fold:
    """What the events of a stream add up to."""
    fold = Fold()
    fold.add(told)
    return fold


def keeps_the_grammar(told: list[ir.Event]) -> None:
    """As `ir` describes it, for streams that end well."""
    told = [event for event in told if not isinstance(event, ir.Ping)]
    assert isinstance(told[0], ir.ResponseStart)
    assert isinstance(told[-1], ir.ResponseEnd)
    open_: set[int] = set()
    ended = started = 0
    for event in told[1:-1]:
        match event:
            case ir.BlockStart():
                assert event.index == started
                assert not ended
                open_.add(event.index)
                started += 1
            case ir.BlockEnd():
                open_.remove(event.index)
            case ir.ChoiceEnd():
                assert not open_
                ended += 1
            case ir.UsageReport():
                pass
            case _:
                assert event.index in open_  # type: ignore[union-attr]
    assert ended == 1


# --- read ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", WHOLE, ids=name)
def test_a_stream_keeps_the_grammar(path: Path) -> None:
    keeps_the_grammar(decoded(path.read_bytes()))


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in LIKE_THE_VENDOR
        if path.with_name(f"{name(path)}.response.json") in RESPONSES
    ],
    ids=name,
)
def test_a_stream_says_the_same_as_a_whole_answer(path: Path) -> None:
    streamed = folded(decoded(path.read_bytes())).response
    vendor = accumulated(path.read_bytes()).to_dict()

    whole = CODEC.parse_response(orjson.dumps(vendor), ir.Request())

    for block in [*streamed.choices[0].blocks, *whole.choices[0].blocks]:
        if isinstance(block, ir.ToolCall):
            block.arguments = orjson.loads(block.arguments)  # white space aside
    assert streamed.choices == whole.choices
    assert streamed.usage == whole.usage
    assert (streamed.id, streamed.model) == (whole.id, whole.model)


def blocks(stream: bytes) -> list[ir.Block]:
    return folded(decoded(stream)).response.choices[0].blocks


def test_calls_are_read() -> None:
    assert blocks(fixture("tool.stream.sse")) == [
        ir.Text("Let me see."),
        ir.ToolCall(
            "toolu_01A", "weather", '{"city": "Oslo"}', extras={"caller": {"type": "direct"}}
        ),
    ]


def test_thoughts_are_read() -> None:
    assert blocks(fixture("thinking-budget.stream.sse"))[0] == ir.Reasoning(
        "8*2=16", "EqcCCpMBSIG", "anthropic"
    )
    assert blocks(fixture("thinking-omitted.stream.sse"))[0] == ir.Reasoning(
        "", "EsigOmitted", "anthropic"
    )
    assert blocks(fixture("redacted.stream.sse"))[0] == ir.Reasoning(
        "", "EredData", "anthropic", redacted=True
    )


def test_tools_of_the_provider_come_in_one_piece() -> None:
    search, results, text = blocks(fixture("web-search.stream.sse"))

    assert isinstance(search, ir.Opaque)
    assert search.value["input"] == {"query": "news"}
    assert isinstance(results, ir.Opaque)
    assert results.kind == "web_search_tool_result"
    assert isinstance(text, ir.Text)
    assert text.citations[0].url == "https://example.com/n"


def test_a_summary_comes_in_one_piece() -> None:
    fold = folded(decoded(fixture("compaction.stream.sse")))

    (summary, _) = fold.response.choices[0].blocks
    assert isinstance(summary, ir.Opaque)
    assert summary.value == {"type": "compaction", "content": "So far: nothing."}
    assert fold.response.extras["context_management"] == {"applied_edits": []}


def test_the_last_report_counts() -> None:
    assert folded(decoded(fixture("usage-late.stream.sse"))).response.usage == ir.Usage(
        20, 100, 30, 5
    )


def test_imitators_leave_out_what_they_like() -> None:
    told = decoded(fixture("bare.stream.sse"))

    keeps_the_grammar(told)
    response = folded(told).response
    assert response.choices[0].blocks == [
        ir.Text("Hi"),
        ir.ToolCall("t1", "weather", '{"city":"Oslo"}'),
    ]
    assert response.choices[0].finish == "tool_calls"
    assert response.usage == ir.Usage(input=3, output=5)


def test_deltas_begin_the_blocks_whose_starts_are_missing() -> None:
    assert blocks(fixture("no-starts.stream.sse")) == [ir.Text("Hi you"), ir.Reasoning("late")]


def test_calls_may_be_told_in_turns() -> None:
    def start(index: int) -> dict[str, Any]:
        block = {"type": "tool_use", "id": f"t{index}", "name": "f", "input": {}}
        return {"type": "content_block_start", "index": index, "content_block": block}

    def more(index: int, text: str) -> dict[str, Any]:
        delta = {"type": "input_json_delta", "partial_json": text}
        return {"type": "content_block_delta", "index": index, "delta": delta}

    told = decoded(
        named(start(0), more(0, '{"a"'), start(1), more(1, "{}"), more(0, ":1}"), {
            "type": "message_stop"
        })
    )  # fmt: skip

    keeps_the_grammar(told)
    calls = folded(told).response.choices[0].blocks
    assert [block.arguments for block in calls if isinstance(block, ir.ToolCall)] == [
        '{"a":1}',
        "{}",
    ]
    stream, _ = encoded(told)
    assert check_stream(stream) == []


def test_a_call_without_an_id_is_given_one() -> None:
    block = {"type": "tool_use", "name": "f", "input": {}}
    stream = named({"type": "content_block_start", "index": 0, "content_block": block})

    (_, start) = decoded(stream)

    assert isinstance(start, ir.BlockStart)
    assert isinstance(start.block, ir.ToolCall)
    assert start.block.id.startswith("call_")


def test_an_error_ends_a_stream() -> None:
    assert decoded(fixture("error-first.stream.sse")) == [
        ir.StreamError(529, "Overloaded", "overloaded_error")
    ]
    assert decoded(fixture("error-inside.stream.sse"))[-1] == ir.StreamError(
        500, "Broken", "api_error"
    )


def test_a_stream_without_a_reason_has_not_ended() -> None:
    told = decoded(fixture("truncated.stream.sse"))

    assert not any(isinstance(event, ir.ChoiceEnd | ir.ResponseEnd) for event in told)


def test_nothing_comes_after_the_end() -> None:
    stream = fixture("text.stream.sse")

    assert decoded(stream + stream) == decoded(stream)


def test_noise_is_left_out() -> None:
    noise = data(b"", b"  ", b"nonsense", b"[1]", {"type": "later_invention"}, {"no": "type"})

    assert decoded(noise) == []


def test_broken_characters_are_mended() -> None:
    stream = named({"type": "content_block_start", "index": 0, "content_block": {"type": "text"}})
    delta = b'{"type":"content_block_delta","index":0,"delta":{"text":"a\\ud83db"}}'

    assert decoded(stream + data(delta))[-1] == ir.TextDelta(0, "a b")


def test_a_call_of_the_tool_that_takes_json_is_the_answer() -> None:
    block = {"type": "tool_use", "id": "t", "name": "json_response", "input": {}}
    piece = {"type": "input_json_delta", "partial_json": '{"a":'}
    stream = named(
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_delta", "index": 0, "delta": piece},
        {"type": "content_block_delta", "index": 0, "delta": {**piece, "partial_json": "1}"}},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}},
        {"type": "message_stop"},
    )

    (choice,) = folded(decoded(stream, ir.Request(format=ir.Format("json")))).response.choices

    assert choice.blocks == [ir.Text('{"a":1}')]
    assert (choice.finish, choice.reason) == ("stop", "")


PATCH = ir.Request(tools=[ir.Tool("apply.patch", custom=True)])


def test_free_text_comes_out_of_its_argument_while_it_streams() -> None:
    block = {"type": "tool_use", "id": "t", "name": TOOLS.made("apply.patch"), "input": {}}
    pieces = ("", '{"input": "*** Be', "gin\\", 'n+x"', "}")
    stream = named(
        {"type": "content_block_start", "index": 0, "content_block": block},
        *(
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "input_json_delta", "partial_json": piece},
            }
            for piece in pieces
        ),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}},
        {"type": "message_stop"},
    )

    told = decoded(stream, PATCH)

    assert [event.text for event in told if isinstance(event, ir.ArgumentsDelta)] == [
        "*** Be",
        "gin",
        "\n+x",
    ]
    (choice,) = folded(told).response.choices
    assert choice.blocks == [ir.ToolCall("t", "apply.patch", "*** Begin\n+x", custom=True)]
    assert choice.finish == "tool_calls"


def test_free_text_that_came_with_the_start_of_its_block_is_told_in_the_end() -> None:
    given = {"input": "*** Begin"}
    block = {"type": "tool_use", "id": "t", "name": TOOLS.made("apply.patch"), "input": given}
    stream = named(
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}},
        {"type": "message_stop"},
    )

    (choice,) = folded(decoded(stream, PATCH)).response.choices

    assert choice.blocks == [ir.ToolCall("t", "apply.patch", "*** Begin", custom=True)]


def fed(pieces: list[bytes]) -> list[ir.Event]:
    """The events of a stream that came in pieces."""
    decoder = CODEC.decoder(ir.Request())
    told: list[ir.Event] = []
    held = b""
    for piece in pieces:
        held += piece
        end = last_boundary(held)
        for event in events(held[:end]):
            told += decoder.feed(event.name, event.data) if event.data is not None else []
        held = held[end:]
    for event in events(held):
        told += decoder.feed(event.name, event.data) if event.data is not None else []
    return told + decoder.end()


@settings(max_examples=60)
@given(path=st.sampled_from(STREAMS), cuts=CUTS)
def test_a_stream_says_the_same_however_it_is_cut(path: Path, cuts: list[int]) -> None:
    stream = path.read_bytes()
    whole = decoded(stream)

    assert fed(cut(stream, cuts)) == whole
    assert fed([stream[at : at + 1] for at in range(len(stream))]) == whole


@settings(max_examples=200)
@given(path=st.sampled_from(STREAMS), choose=st.data())
def test_no_stream_of_a_provider_is_a_traceback(path: Path, choose: st.DataObject) -> None:
    found = [
        orjson.loads(event.data)
        for event in events(path.read_bytes())
        if event.data is not None and event.data.startswith(b"{")
    ]
    at = choose.draw(st.integers(0, len(found) - 1))
    found[at] = mutate(found[at], choose)
    if choose.draw(st.booleans()):
        del found[choose.draw(st.integers(0, len(found) - 1))]

    told = decoded(data(*found))
    stream, _ = encoded(told)

    if told and isinstance(told[-1], ir.ResponseEnd):
        keeps_the_grammar(told)
        assert payloads(stream)[-1] == {"type": "message_stop"}


# --- written -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", LIKE_THE_VENDOR, ids=name)
def test_a_stream_read_and_written_is_the_same_to_the_vendors_library(path: Path) -> None:
    stream, loss = encoded(decoded(path.read_bytes()))

    assert accumulated(stream).to_dict() == accumulated(path.read_bytes()).to_dict()
    assert check_stream(stream) == []
    assert not loss


def written(*told: ir.Event, finish: ir.Finish = "stop") -> tuple[Message, list[Any], Loss]:
    """(message, payloads, loss) of a stream of these blocks, from a provider of another dialect."""
    start = ir.ResponseStart("chatcmpl-1", "gpt-5", origin="openai.chat")
    stream, loss = encoded([start, *told, ir.ChoiceEnd(finish), ir.ResponseEnd()])
    assert check_stream(stream) == []
    return accumulated(stream), payloads(stream), loss


def shown(message: Message) -> list[Any]:
    return [block.to_dict() for block in message.content]


def test_a_stream_of_another_dialect_is_a_message() -> None:
    stream, _ = encoded(
        [
            ir.ResponseStart("chatcmpl-1", "gpt-5", usage=ir.Usage(input=5)),
            ir.BlockStart(0, ir.Text()),
            ir.TextDelta(0, "Hi"),
            ir.Ping(),
            ir.TextDelta(0, " “you”"),
            ir.BlockEnd(0),
            ir.ChoiceEnd("length"),
            ir.UsageReport(ir.Usage(input=5, cache_read=2, output=3, reasoning=1)),
            ir.ResponseEnd(),
        ]
    )

    assert check_stream(stream) == []
    kinds = [payload["type"] for payload in payloads(stream)]
    assert kinds == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "ping",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    message = accumulated(stream)
    assert shown(message) == [{"type": "text", "text": "Hi “you”"}]
    assert (message.id, message.stop_reason) == ("msg_1", "max_tokens")
    assert message.usage.to_dict() == {
        "input_tokens": 5,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 2,
        "output_tokens": 3,
        "output_tokens_details": {"thinking_tokens": 1},
    }


def test_overlapping_blocks_come_one_after_another() -> None:
    message, _, _ = written(
        ir.BlockStart(0, ir.ToolCall("a", "f")),
        ir.BlockStart(1, ir.ToolCall("b", "g")),
        ir.ArgumentsDelta(1, "{}"),
        ir.ArgumentsDelta(0, '{"x":'),
        ir.BlockEnd(1),
        ir.ArgumentsDelta(0, "1}"),
        ir.BlockEnd(0),
        finish="tool_calls",
    )

    assert [block["input"] for block in shown(message)] == [{"x": 1}, {}]
    assert message.stop_reason == "tool_use"


def test_the_first_piece_of_an_input_is_empty() -> None:
    _, told, _ = written(
        ir.BlockStart(0, ir.ToolCall("a", "f")),
        ir.ArgumentsDelta(0, '{"x":1}'),
        ir.BlockEnd(0),
        finish="tool_calls",
    )

    pieces = [one["delta"]["partial_json"] for one in told if one["type"] == "content_block_delta"]
    assert pieces == ["", '{"x":1}']


@pytest.mark.parametrize(
    ("pieces", "given"),
    [([], {}), (["null"], {}), (["[1", "]"], {"input": [1]}), ([" ", "{", "}"], {})],
)
def test_an_input_is_always_an_object(pieces: list[str], given: Any) -> None:
    message, _, _ = written(
        ir.BlockStart(0, ir.ToolCall("a", "f")),
        *(ir.ArgumentsDelta(0, piece) for piece in pieces),
        ir.BlockEnd(0),
        finish="tool_calls",
    )

    assert shown(message)[0]["input"] == given


def test_thoughts_end_with_one_signature() -> None:
    _, told, _ = written(
        ir.BlockStart(0, ir.Reasoning()),
        ir.SignatureDelta(0, "early", "openai"),
        ir.ReasoningDelta(0, "Hm"),
        ir.ReasoningDelta(0, "m"),
        ir.SignatureDelta(0, "enc", "openai"),
        ir.BlockEnd(0),
    )

    deltas = [one["delta"] for one in told if one["type"] == "content_block_delta"]
    assert deltas == [
        {"type": "thinking_delta", "thinking": "Hm"},
        {"type": "thinking_delta", "thinking": "m"},
        {"type": "signature_delta", "signature": identity.seal("openai", "enc")},
    ]


def test_thoughts_that_nobody_signed_have_an_empty_seal_so_that_they_are_given_back() -> None:
    message, told, _ = written(
        ir.BlockStart(0, ir.Reasoning("Hm")),
        ir.BlockEnd(0),
    )

    (thought,) = shown(message)
    assert unseal(thought["signature"], "anthropic") == ("anthropic", "")
    deltas = [one["delta"]["type"] for one in told if one["type"] == "content_block_delta"]
    assert deltas == ["thinking_delta", "signature_delta"]


def test_thoughts_that_never_get_a_text_are_redacted() -> None:
    message, _, _ = written(
        ir.BlockStart(0, ir.Reasoning()),
        ir.SignatureDelta(0, "enc", "openai"),
        ir.BlockEnd(0),
        ir.BlockStart(1, ir.Reasoning()),
        ir.BlockEnd(1),
        ir.BlockStart(2, ir.Reasoning(signature="red", origin="anthropic", redacted=True)),
        ir.BlockEnd(2),
    )

    assert shown(message) == [
        {"type": "redacted_thinking", "data": identity.seal("openai", "enc")},
        {"type": "redacted_thinking", "data": "red"},
    ]


@pytest.mark.parametrize("early", [True, False])
def test_sealed_state_goes_before_its_call_and_after_its_text(early: bool) -> None:
    sealed = ir.ToolCall("a", "f", signature="sig", origin="gemini")
    message, _, _ = written(
        ir.BlockStart(0, ir.Text()),
        ir.TextDelta(0, "Hi"),
        ir.SignatureDelta(0, "last", "gemini"),
        ir.BlockEnd(0),
        ir.BlockStart(1, sealed if early else ir.ToolCall("a", "f")),
        *([] if early else [ir.SignatureDelta(1, "sig", "gemini")]),
        ir.ArgumentsDelta(1, "{}"),
        ir.BlockEnd(1),
        finish="tool_calls",
    )

    assert [block["type"] for block in shown(message)] == [
        "text",
        "redacted_thinking",
        "redacted_thinking",
        "tool_use",
    ]
    assert shown(message)[2]["data"] == identity.seal("gemini/next", "sig")


def test_state_that_comes_too_late_for_its_call_is_dropped() -> None:
    _, _, loss = written(
        ir.BlockStart(0, ir.ToolCall("a", "f")),
        ir.ArgumentsDelta(0, "{}"),
        ir.SignatureDelta(0, "sig", "gemini"),
        ir.BlockEnd(0),
        finish="tool_calls",
    )

    assert list(loss.names) == ["tool_call.signature"]


def test_texts_that_stay_empty_are_none() -> None:
    message, _, _ = written(
        ir.BlockStart(0, ir.Text()),
        ir.BlockEnd(0),
        ir.BlockStart(1, ir.Text("Hi")),
        ir.BlockEnd(1),
    )

    assert shown(message) == [{"type": "text", "text": "Hi"}]


def test_a_refusal_is_text_and_the_reason() -> None:
    message, _, _ = written(ir.BlockStart(0, ir.Refusal()), ir.TextDelta(0, "No."), ir.BlockEnd(0))

    assert shown(message) == [{"type": "text", "text": "No."}]
    assert message.stop_reason == "refusal"


def test_citations_are_told() -> None:
    message, _, loss = written(
        ir.BlockStart(0, ir.Text()),
        ir.CitationDelta(0, ir.Citation("https://example.com", "T", "c")),
        ir.TextDelta(0, "x"),
        ir.CitationDelta(0, ir.Citation()),
        ir.BlockEnd(0),
    )

    (text,) = shown(message)
    assert [one["url"] for one in text["citations"]] == ["https://example.com"]
    assert list(loss.names) == ["citations"]


def test_what_a_client_has_no_block_for_is_dropped_and_said() -> None:
    message, _, loss = written(
        ir.BlockStart(0, ir.Media("image", "image/png")),
        ir.DataDelta(0, "aGk="),
        ir.BlockEnd(0),
        ir.BlockStart(1, ir.Media("audio")),
        ir.TextDelta(1, "Hello"),
        ir.BlockEnd(1),
        ir.BlockStart(2, ir.Opaque("openai", "k")),
        ir.BlockEnd(2),
        ir.BlockStart(3, ir.Text()),
        ir.TextDelta(3, "x"),
        ir.LogprobsDelta(3, [{"token": "x"}]),
        ir.BlockEnd(3),
        ir.BlockStart(4, ir.Text(), choice=1),
        ir.TextDelta(4, "other"),
        ir.BlockEnd(4),
        ir.ChoiceEnd("length", choice=1),
    )

    assert [block["text"] for block in shown(message)] == ["Hello", "x"]
    assert set(loss.names) == {"image.data", "audio.data", "opaque", "logprobs", "n"}
    assert message.stop_reason == "end_turn"


def test_calls_are_told_apart() -> None:
    message, _, _ = written(
        ir.BlockStart(0, ir.ToolCall("call_0", "f")),
        ir.BlockEnd(0),
        ir.BlockStart(1, ir.ToolCall("call_0", "g")),
        ir.BlockEnd(1),
        finish="tool_calls",
    )

    first, second = shown(message)
    assert first["id"] != second["id"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [(429, "rate_limit_error"), (529, "overloaded_error"), (418, "api_error")],
)
def test_an_error_ends_what_is_written(status: int, kind: str) -> None:
    stream, _ = encoded(
        [
            ir.ResponseStart("x", "m"),
            ir.BlockStart(0, ir.Text()),
            ir.TextDelta(0, "Hal"),
            ir.StreamError(status, "Broken"),
        ]
    )

    assert payloads(stream)[-1] == {"type": "error", "error": {"type": kind, "message": "Broken"}}


def test_nothing_is_written_after_the_end() -> None:
    end: list[ir.Event] = [ir.ChoiceEnd("stop"), ir.ResponseEnd()]

    stream, _ = encoded([ir.ResponseStart("x", "m"), *end, *end])

    assert check_stream(stream) == []


@pytest.mark.parametrize("path", RESPONSES, ids=name)
def test_a_whole_answer_told_as_a_stream_is_the_same_answer(path: Path) -> None:
    if name(path) in ("error", "unknown-fields", "unknown-stop"):
        return
    response = CODEC.parse_response(path.read_bytes(), ir.Request())

    stream, loss = encoded(list(unfold(response)))

    assert not loss
    told = accumulated(stream).to_dict()
    assert CODEC.render_response is not None
    whole = orjson.loads(CODEC.render_response(response, ir.Request(), Loss()))
    assert told["content"] == Message.model_validate(whole).to_dict()["content"]
    assert told["stop_reason"] == whole["stop_reason"]
