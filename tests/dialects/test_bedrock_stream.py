"""Answers of Converse, whole and streamed, read into the same blocks."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects import DIALECTS, ir
from proxy.dialects.bedrock.reading import closed, opened
from proxy.dialects.bedrock.words import TOOLS
from proxy.dialects.fold import Fold

CASES = Path(__file__).parent / "fixtures" / "bedrock"
REQUEST = ir.Request(model="sonnet", tools=[ir.Tool("math.add"), ir.Tool("get_weather")])
CODEC = DIALECTS["bedrock.converse"].codec
assert CODEC is not None


def parse(case: str, request: ir.Request = REQUEST) -> ir.Response:
    assert CODEC is not None
    return CODEC.parse_response((CASES / f"{case}.response.json").read_bytes(), request)


def fed(*events: tuple[str, Any], request: ir.Request = REQUEST) -> list[ir.Event]:
    assert CODEC is not None
    decoder = CODEC.decoder(request)
    found: list[ir.Event] = []
    for name, data in events:
        found += decoder.feed(
            name.encode(), data if isinstance(data, bytes) else orjson.dumps(data)
        )
    return found + decoder.end()


def stream(case: str) -> Fold:
    fold = Fold()
    events = orjson.loads((CASES / f"{case}.stream.json").read_bytes())
    fold.add(
        fed(
            *(
                ("error", {"type": one["event"], **one["data"]})
                if one["event"].endswith("Exception")
                else (one["event"], one["data"])
                for one in events
            )
        )
    )
    return fold


def blocks(response: ir.Response) -> list[ir.Block]:
    (choice,) = response.choices
    return choice.blocks


BOTH = sorted(
    path.name.partition(".")[0]
    for path in CASES.glob("*.stream.json")
    if path.with_name(path.name.replace(".stream.", ".response.")).exists()
)


def kinds(response: ir.Response) -> list[str]:
    return [type(block).__name__ for block in blocks(response)]


@pytest.mark.parametrize("case", [case for case in BOTH if case not in ("citations", "image")])
def test_a_stream_has_the_blocks_of_the_whole_answer(case: str) -> None:
    whole, streamed = parse(case), stream(case)

    assert kinds(streamed.response) == kinds(whole)
    assert streamed.response.choices[0].finish == whole.choices[0].finish
    assert streamed.response.model == whole.model == "sonnet"
    assert streamed.response.origin == whole.origin == "bedrock.converse"


@pytest.mark.parametrize(
    ("case", "finish", "sequence"),
    [
        ("text", "stop", ""),
        ("stop_sequence", "stop", "3"),
        ("stop_sequence_unsaid", "stop", ""),
        ("max_tokens", "length", ""),
        ("context", "context", ""),
        ("tool", "tool_calls", ""),
        ("content_filtered", "content_filter", ""),
        ("guardrail", "content_filter", ""),
        ("malformed_output", "error", ""),
        ("malformed_tool_use", "error", ""),
        ("reason_unknown", "stop", ""),
    ],
)
def test_every_reason_has_its_word(case: str, finish: str, sequence: str) -> None:
    (choice,) = parse(case).choices

    assert (choice.finish, choice.stop_sequence) == (finish, sequence)
    assert choice.reason


def test_a_call_has_arguments_as_text() -> None:
    text, call = blocks(parse("tool"))
    streamed = blocks(stream("tool").response)[1]

    assert text == ir.Text("Let me look.")
    assert isinstance(call, ir.ToolCall)
    assert isinstance(streamed, ir.ToolCall)
    assert orjson.loads(call.arguments) == {"city": "Paris", "days": 2}
    assert streamed.arguments == '{"city": "Paris"}'
    assert (call.id, call.name) == (streamed.id, streamed.name)
    assert call.name == "get_weather"


def test_calls_that_overlap_are_told_apart() -> None:
    first, second = blocks(stream("tool_interleaved").response)

    assert isinstance(first, ir.ToolCall)
    assert isinstance(second, ir.ToolCall)
    assert (first.arguments, second.arguments) == ('{"city":"Paris"}', '{"q":1}')


def test_no_arguments_are_none() -> None:
    for response in (parse("tool_no_arguments"), stream("tool_no_arguments").response):
        (call,) = blocks(response)
        assert isinstance(call, ir.ToolCall)
        assert call.arguments == ""


def test_a_call_nobody_named_is_none_and_one_without_an_id_gets_one() -> None:
    assert blocks(stream("tool_without_start").response) == []
    (call,) = blocks(stream("tool_without_id").response)

    assert isinstance(call, ir.ToolCall)
    assert call.id.startswith("call_")
    assert call.arguments == "{}"


def test_a_tool_is_called_by_the_name_its_client_gave() -> None:
    use = {"toolUseId": "t", "name": TOOLS.made("math.add")}
    events = fed(("contentBlockStart", {"contentBlockIndex": 0, "start": {"toolUse": use}}))

    (start,) = [event for event in events if isinstance(event, ir.BlockStart)]
    assert isinstance(start.block, ir.ToolCall)
    assert start.block.name == "math.add"


def test_thoughts_keep_their_seal() -> None:
    for response in (parse("reasoning"), stream("reasoning").response):
        thought, said = blocks(response)
        assert thought == ir.Reasoning("The user greets.", "EqoBCkgIBRAB==", "anthropic")
        assert said == ir.Text("Hi!")


@pytest.mark.parametrize("case", ["reasoning_redacted", "reasoning_redacted_pieces"])
def test_sealed_thoughts_of_a_claude_are_what_anthropic_takes(case: str) -> None:
    thought = blocks(stream(case).response)[0]

    assert thought == ir.Reasoning("", "EmcKAhgBEgxabc=", "anthropic", redacted=True)


def test_sealed_thoughts_of_others_stay_as_they_are() -> None:
    assert blocks(parse("reasoning_redacted_own"))[0] == ir.Reasoning(
        "", "/v7/AAECAw==", "bedrock", redacted=True
    )
    assert opened("no base64!") == ("no base64!", "bedrock")


@given(st.binary(min_size=1, max_size=40))
def test_a_seal_is_closed_as_it_was_opened(raw: bytes) -> None:
    sealed = b64encode(raw).decode()

    assert closed(*opened(sealed)) == sealed


def test_sources_are_cited() -> None:
    said, cited, _ = blocks(parse("citations"))
    (web,) = blocks(parse("citations_web"))
    (streamed,) = blocks(stream("citations").response)

    assert said == ir.Text("In short: ")
    assert isinstance(cited, ir.Text)
    assert isinstance(web, ir.Text)
    assert isinstance(streamed, ir.Text)
    assert (cited.text, cited.citations[0].text, cited.citations[0].url) == (
        "sales rose",
        "Sales rose.",
        "",
    )
    assert web.text == "It turns slowly"
    assert [one.url for one in web.citations] == [
        "https://example.com/mill#1",
        "https://example.org/s",
    ]
    assert [one.title for one in streamed.citations] == ["report", "The mill"]
    assert streamed.text == "Sales rose."


def test_media_of_an_answer_are_read() -> None:
    for response in (parse("image"), stream("image").response):
        image = blocks(response)[-1]
        assert isinstance(image, ir.Media)
        assert (image.kind, image.mime) == ("image", "image/png")
        assert image.data.startswith("iVBORw0K")
    (stored,) = blocks(parse("image_s3"))
    (film,) = blocks(parse("video"))
    (sound,) = blocks(parse("audio"))
    assert isinstance(stored, ir.Media)
    assert isinstance(film, ir.Media)
    assert isinstance(sound, ir.Media)
    assert stored.url == "s3://bucket/a.jpg"
    assert (film.mime, sound.mime) == ("video/3gpp", "audio/wav")


def test_what_only_bedrock_knows_is_kept() -> None:
    call, result, said = blocks(parse("tool_server"))
    streamed = blocks(stream("tool_server").response)

    assert isinstance(call, ir.Opaque)
    assert isinstance(result, ir.Opaque)
    assert (call.kind, result.kind, said) == ("toolUse", "toolResult", ir.Text("Mills turn."))
    assert isinstance(streamed[0], ir.Opaque)
    assert streamed[0].value["input"] == '{"query":"mills"}'
    assert isinstance(streamed[1], ir.Opaque)
    assert streamed[1].value["content"] == [{"text": "fo"}, {"text": "und"}]
    assert blocks(parse("unknown_fields"))[1] == ir.Opaque("bedrock", "futureContent", {"x": [1]})


def test_usage_does_not_count_the_cached_twice() -> None:
    expected = ir.Usage(input=3, cache_read=1000, cache_write=36, output=9)

    assert parse("usage_cached").usage == stream("usage_cached").response.usage == expected
    assert parse("usage_missing").usage is None
    odd = parse("usage_odd").usage
    assert odd is not None
    assert odd.suspect


def test_what_else_an_answer_says_is_kept() -> None:
    response = parse("tier")

    assert response.service_tier == "flex"
    assert response.extras["performanceConfig"] == {"latency": "optimized"}


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"<html>", b'{"message":"no"}', b'{"output":{"message":7}}', b"[" * 9000]
)
def test_a_body_that_is_no_answer_is_refused(body: bytes) -> None:
    assert CODEC is not None
    with pytest.raises(ValueError):  # noqa: PT011 - nothing is said but that
        CODEC.parse_response(body, REQUEST)


def test_broken_text_is_mended() -> None:
    assert CODEC is not None
    raw = b'{"output":{"message":{"content":[{"text":"a\xffb"}]}}}'

    assert blocks(CODEC.parse_response(raw, REQUEST)) == [ir.Text("a\ufffdb")]


@pytest.mark.parametrize(
    ("case", "status", "code"),
    [
        ("error_first", 429, "throttlingException"),
        ("error_inside", 500, "modelStreamErrorException"),
        ("error_validation", 400, "validationException"),
        ("error_unavailable", 503, "serviceUnavailableException"),
        ("error_internal", 500, "internalServerException"),
    ],
)
def test_an_exception_ends_a_stream(case: str, status: int, code: str) -> None:
    fold = stream(case)

    assert fold.error is not None
    assert (fold.error.status, fold.error.code) == (status, code)
    assert fold.error.message
    assert not fold.ended


def test_a_stream_that_breaks_off_has_no_end() -> None:
    fold = stream("cut")

    assert not fold.ended
    assert blocks(fold.response) == [ir.Text("It bre")]


@pytest.mark.parametrize(
    "case",
    ["no_metadata", "no_stop_reason", "no_message_start", "no_block_stops", "usage_before_the_end", "usage_missing"],
)  # fmt: skip
def test_an_end_is_an_end_whatever_is_missing(case: str) -> None:
    fold = stream(case)

    assert fold.ended
    assert blocks(fold.response)[0] == ir.Text("Ok.")


def test_a_report_alone_ends_a_stream_too() -> None:
    use = {"toolUseId": "t", "name": "f"}
    events = fed(
        ("contentBlockStart", {"contentBlockIndex": 0, "start": {"toolUse": use}}),
        ("metadata", {"usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}}),
    )

    assert isinstance(events[-1], ir.ResponseEnd)
    assert [event.finish for event in events if isinstance(event, ir.ChoiceEnd)] == ["tool_calls"]


def test_nothing_follows_the_end() -> None:
    stop: tuple[str, Any] = ("messageStop", {"stopReason": "end_turn"})
    events = fed(stop, ("metadata", {}), stop, ("contentBlockDelta", {"delta": {"text": "late"}}))

    assert [type(event).__name__ for event in events] == [
        "ResponseStart",
        "ChoiceEnd",
        "ResponseEnd",
    ]


def test_a_text_is_one_event_a_delta() -> None:
    events = fed(
        *(
            ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": t}, "p": "x"})
            for t in "ab"
        )
    )

    assert events[2:] == [ir.TextDelta(0, "a"), ir.TextDelta(0, "b")]


def test_broken_events_are_left_out() -> None:
    events = fed(
        ("contentBlockDelta", b"{oops"),
        ("contentBlockDelta", b'{"contentBlockIndex":0,"delta":{"text":"a\xff"}}'),
        ("metadata", b"[]"),
        ("nothing", b""),
    )

    assert events[-1] == ir.TextDelta(0, "a\ufffd")


JSON = ir.Request(model="sonnet", format=ir.Format("json"))
PATCH = ir.Request(model="sonnet", tools=[ir.Tool("apply.patch", custom=True)])


def used(name: str, *pieces: str, reason: str = "tool_use") -> list[tuple[str, Any]]:
    """A stream that is nothing but one call."""
    use = {"toolUseId": "t", "name": name}
    deltas = [
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"toolUse": {"input": piece}}})
        for piece in pieces
    ]
    return [
        ("contentBlockStart", {"contentBlockIndex": 0, "start": {"toolUse": use}}),
        *deltas,
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("messageStop", {"stopReason": reason}),
        ("metadata", {}),
    ]


def whole(name: str, given: object, request: ir.Request) -> ir.Choice:
    content = [{"toolUse": {"toolUseId": "t", "name": name, "input": given}}]
    body = {"output": {"message": {"content": content}}, "stopReason": "tool_use"}
    assert CODEC is not None
    return CODEC.parse_response(orjson.dumps(body), request).choices[0]


@pytest.mark.parametrize(("pieces", "text"), [(('{"a"', ":1}"), '{"a":1}'), ((), "{}")])
def test_a_call_of_the_tool_that_takes_json_is_the_answer(
    pieces: tuple[str, ...], text: str
) -> None:
    fold = Fold()
    fold.add(fed(*used("json_response", *pieces), request=JSON))

    for choice in (*fold.response.choices, whole("json_response", orjson.loads(text), JSON)):
        assert choice.blocks == [ir.Text(text)]
        assert (choice.finish, choice.reason) == ("stop", "")


def test_that_tools_name_is_a_tool_like_any_where_no_json_was_asked_for() -> None:
    fold = Fold()
    fold.add(fed(*used("json_response", "{}")))

    for choice in (*fold.response.choices, whole("json_response", {}, REQUEST)):
        assert isinstance(choice.blocks[0], ir.ToolCall)
        assert choice.finish == "tool_calls"


def test_free_text_comes_out_of_its_argument_while_it_streams() -> None:
    name = TOOLS.made("apply.patch")
    events = fed(*used(name, '{"input": "*** Be', "gin\\", 'n+x"', "}"), request=PATCH)
    fold = Fold()
    fold.add(events)

    said = [event.text for event in events if isinstance(event, ir.ArgumentsDelta)]
    assert said == ["*** Be", "gin", "\n+x"]
    expected = ir.ToolCall("t", "apply.patch", "*** Begin\n+x", custom=True)
    assert blocks(fold.response) == [expected]
    assert whole(name, {"input": "*** Begin\n+x"}, PATCH).blocks == [expected]


def test_free_text_under_another_name_is_told_in_the_end() -> None:
    fold = Fold()
    fold.add(fed(*used(TOOLS.made("apply.patch"), '{"patch":', ' "x"}'), request=PATCH))

    (call,) = blocks(fold.response)
    assert isinstance(call, ir.ToolCall)
    assert (call.custom, call.arguments) == (True, '{"patch": "x"}')
