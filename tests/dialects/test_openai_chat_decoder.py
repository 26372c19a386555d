"""Streams of chat providers, told block by block, whatever they do."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.dialects import ir
from proxy.dialects.names import Names
from proxy.dialects.openai_chat.answer import parse_response
from proxy.dialects.openai_chat.calls import Calls
from proxy.dialects.openai_chat.decoder import ChatDecoder
from proxy.dialects.openai_chat.names import TOOLS
from tests.dialects.choices import fed, fixture, folded
from tests.dialects.streams import data

DONE = b"data: [DONE]\n\n"


def read(case: str) -> list[ir.Event]:
    return fed(ChatDecoder(ir.Request()), fixture(f"chat/{case}.stream.sse"))


def answer(case: str) -> ir.Response:
    return folded(read(case))


def blocks(case: str) -> list[ir.Block]:
    return answer(case).choices[0].blocks


def calls(case: str) -> list[tuple[str, str]]:
    return [
        (block.name, block.arguments) for block in blocks(case) if isinstance(block, ir.ToolCall)
    ]


def chunk(delta: Any = None, finish: Any = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return {"id": "c", "model": "m", "created": 1, "choices": [choice], **more}


def test_a_stream_is_told_in_order() -> None:
    assert read("text") == [
        ir.ResponseStart("chatcmpl-1", "gpt-4.1-mini", 1_700_000_000, origin="openai.chat"),
        ir.BlockStart(0, ir.Text()),
        ir.TextDelta(0, "Hel"),
        ir.TextDelta(0, "lo."),
        ir.BlockEnd(0),
        ir.ChoiceEnd("stop", reason="stop"),
        ir.UsageReport(ir.Usage(input=10, output=4)),
        ir.ResponseEnd(),
    ]


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("tools", [("get_weather", '{"city":"Rome"}')]),
        ("parallel", [("get_weather", '{"city":"Rome"}'), ("now", "{}")]),
        ("interleaved", [("f", '{"a":1}'), ("g", '{"b":2}')]),
        ("one_index", [("f", '{"a":1}'), ("f", '{"a":2}')]),
        ("without_index", [("f", '{"a":1}'), ("g", "{}")]),
        ("repeated_names", [("f", '{"a":1}')]),
        ("split_names", [("get_weather", "{}")]),
        ("no_arguments", [("now", "")]),
        ("legacy_functions", [("get_weather", '{"city":"Rome"}')]),
        ("google_signature", [("get_weather", '{"city":"Rome"}')]),
        ("custom", [("sql", "select 1")]),
    ],
)
def test_calls_are_put_together(case: str, expected: list[tuple[str, str]]) -> None:
    response = answer(case)

    assert calls(case) == expected
    assert response.choices[0].finish == "tool_calls"
    ids = [block.id for block in response.choices[0].blocks if isinstance(block, ir.ToolCall)]
    assert all(ids)
    assert len(set(ids)) == len(ids)


def test_calls_keep_their_order_though_the_first_has_no_arguments() -> None:
    fragments: list[dict[str, Any]] = [
        {"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}},
        {"index": 1, "id": "b", "function": {"name": "g", "arguments": "{}"}},
    ]
    stream = data(*(chunk({"tool_calls": [fragment]}) for fragment in fragments)) + DONE

    found = folded(fed(ChatDecoder(ir.Request()), stream)).choices[0].blocks

    assert found == [ir.ToolCall("a", "f"), ir.ToolCall("b", "g", "{}")]


@pytest.mark.parametrize(
    "arguments", ['{"input":"say \\"a\\"\\n"}', '{"b":1,"input":"say \\"a\\"\\n"}']
)
def test_a_function_that_stands_for_free_text_gives_the_text(arguments: str) -> None:
    request = ir.Request(tools=[ir.Tool("ns.patch", custom=True)])
    name = Names(TOOLS, request).out("ns.patch")
    head = {"index": 0, "id": "a", "type": "function", "function": {"name": name}}
    whole = {**head, "function": {"name": name, "arguments": arguments}}
    pieces = [
        {"index": 0, "function": {"arguments": arguments[at : at + 3]}}
        for at in range(0, len(arguments), 3)
    ]
    chunks = [chunk({"tool_calls": [piece]}) for piece in (head, *pieces)]
    stream = data(*chunks, chunk(finish="tool_calls")) + DONE
    body = {"choices": [{"message": {"tool_calls": [whole]}, "finish_reason": "tool_calls"}]}

    streamed = folded(fed(ChatDecoder(request), stream)).choices[0]
    at_once = parse_response(orjson.dumps(body), request).choices[0]

    assert streamed.blocks == [ir.ToolCall("a", "ns.patch", 'say "a"\n', custom=True)]
    assert at_once.blocks == streamed.blocks
    assert at_once.finish == streamed.finish == "tool_calls"


def test_an_id_in_pieces_is_one() -> None:
    call = blocks("split_names")[0]

    assert isinstance(call, ir.ToolCall)
    assert call.id == "call_1"


def test_a_call_ends_when_another_begins_unless_it_is_not_complete() -> None:
    apart = [type(event) for event in read("one_index") if getattr(event, "index", -1) >= 0]
    mixed = [type(event) for event in read("interleaved") if getattr(event, "index", -1) >= 0]

    whole = [ir.BlockStart, ir.ArgumentsDelta, ir.BlockEnd]
    assert apart == whole + whole
    assert mixed[:4] == [ir.BlockStart, ir.ArgumentsDelta] * 2
    assert mixed[-2:] == [ir.BlockEnd, ir.BlockEnd]


def test_a_signature_is_with_its_call() -> None:
    call = blocks("google_signature")[0]

    assert isinstance(call, ir.ToolCall)
    assert (call.signature, call.origin) == ("c2ln", "gemini")


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("thoughts", [ir.Reasoning("Three and three."), ir.Text("6")]),
        ("thoughts_openrouter", [ir.Reasoning("Greet.", "c2ln", "anthropic"), ir.Text("Hello")]),
        ("thoughts_sealed", [ir.Reasoning("Sum.", "Z0FB", "openai", id="rs_1"), ir.Text("6")]),
        ("thoughts_mistral", [ir.Reasoning("Hm."), ir.Text("Yes")]),
        ("refusal", [ir.Refusal("I will not.")]),
        ("late_text", [ir.Text("AB")]),
        ("odd_chunks", [ir.Text("ABC")]),
        ("whole_as_chunk", [ir.Text("Hi")]),
        ("crlf", [ir.Text("日本語 😀 é")]),
    ],
)
def test_what_is_shown_is_put_together(case: str, expected: list[ir.Block]) -> None:
    assert blocks(case) == expected


def test_citations_and_probabilities_belong_to_their_text() -> None:
    cited, probable = blocks("citations")[0], blocks("logprobs")[0]

    assert isinstance(cited, ir.Text)
    assert isinstance(probable, ir.Text)
    assert [citation.url for citation in cited.citations] == ["https://example.com/a"]
    assert [token["token"] for token in probable.logprobs] == ["Hi"]


def probable(delta: dict[str, Any], token: str) -> bytes:
    found = chunk(delta)
    logprob = {"token": token, "logprob": -0.1, "bytes": None, "top_logprobs": []}
    found["choices"][0]["logprobs"] = {"content": [logprob]}
    return data(found)


def test_the_probabilities_of_thoughts_do_not_take_them_apart() -> None:
    stream = b"".join(
        [
            probable({"role": "assistant", "reasoning_content": "Hm"}, "Hm"),
            probable({"reasoning_content": ", well"}, ", well"),
            probable({"content": "Hi"}, "Hi"),
            data(chunk(finish="stop")),
        ]
    )

    thought, text = folded(fed(ChatDecoder(ir.Request()), stream)).choices[0].blocks

    assert thought == ir.Reasoning("Hm, well")
    assert isinstance(text, ir.Text)
    assert text.text == "Hi"
    assert [token["token"] for token in text.logprobs] == ["Hi"]


def test_the_probabilities_of_a_call_do_not_end_it() -> None:
    function = {"name": "f", "arguments": '{"a"'}
    begun = {"index": 0, "id": "c", "type": "function", "function": function}
    stream = b"".join(
        [
            probable({"tool_calls": [begun]}, '{"a"'),
            probable({"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}, ":1}"),
            data(chunk(finish="tool_calls")),
        ]
    )

    (call,) = folded(fed(ChatDecoder(ir.Request()), stream)).choices[0].blocks

    assert call == ir.ToolCall("c", "f", '{"a":1}')


def test_sound_and_pictures_are_media() -> None:
    sound, picture = blocks("sound")[0], blocks("pictures")[1]

    assert isinstance(sound, ir.Media)
    assert (sound.kind, sound.data, sound.transcript) == ("audio", "UklGRg==", "Hello")
    assert isinstance(picture, ir.Media)
    assert picture.kind == "image"


def test_choices_are_kept_apart() -> None:
    one, two = answer("two_choices").choices

    assert one.blocks == [ir.Text("One!")]
    assert two.blocks == [ir.Text("Two")]
    assert (one.finish, two.finish) == ("stop", "length")


@pytest.mark.parametrize("case", ["usage_moonshot", "usage_groq", "usage_every_chunk"])
def test_usage_is_found_wherever_it_is(case: str) -> None:
    usage = answer(case).usage

    assert usage is not None
    assert usage.input + usage.cache_read == 10
    assert usage.output == 4


@pytest.mark.parametrize("case", ["no_done", "no_finish"])
def test_either_sign_of_an_end_is_one(case: str) -> None:
    events = read(case)

    assert events[-1] == ir.ResponseEnd()
    assert folded(events).choices[0].finish == "stop"


def test_a_stream_that_breaks_off_has_no_end() -> None:
    events = read("truncated")

    assert events[-1] == ir.TextDelta(0, "Hi")


@pytest.mark.parametrize(
    ("case", "status", "message"),
    [
        ("error_first", 503, "Overloaded"),
        ("error_inside", 500, "It broke"),
        ("error_named", 429, "It broke"),
        ("error_openrouter", 502, "Provider disconnected"),
    ],
)
def test_an_error_ends_the_stream(case: str, status: int, message: str) -> None:
    last = read(case)[-1]

    assert isinstance(last, ir.StreamError)
    assert (last.status, last.message) == (status, message)


def test_done_alone_is_nothing() -> None:
    assert fed(ChatDecoder(ir.Request()), DONE) == []


def test_nothing_is_told_after_the_end() -> None:
    stream = data(chunk({"content": "a"}, "stop")) + DONE + data(chunk({"content": "b"}))

    assert fed(ChatDecoder(ir.Request()), stream)[-1] == ir.ResponseEnd()


def test_a_call_after_text_ends_it() -> None:
    call = {"index": 0, "id": "x", "function": {"name": "f", "arguments": "{}"}}
    stream = data(chunk({"content": "a"}), chunk({"tool_calls": [call]}, "stop")) + DONE

    kinds = [type(event) for event in fed(ChatDecoder(ir.Request()), stream)]

    assert kinds.index(ir.BlockEnd) < kinds.index(ir.ArgumentsDelta)


def test_a_tool_is_called_by_the_clients_own_name() -> None:
    request = ir.Request(tools=[ir.Tool("ns.do")])
    call = {"index": 0, "id": "x", "function": {"name": TOOLS.made("ns.do"), "arguments": "{}"}}
    stream = data(chunk({"tool_calls": [call]}, "tool_calls")) + DONE

    block = folded(fed(ChatDecoder(request), stream)).choices[0].blocks[0]

    assert isinstance(block, ir.ToolCall)
    assert block.name == "ns.do"


def test_plain_text_takes_the_short_way_to_the_same_events() -> None:
    plain = chunk({"content": "b"})
    odd = {**plain, "error": False}  # not the shape of a piece of text

    found = [
        fed(ChatDecoder(ir.Request()), data(chunk({"content": "a"}), middle, chunk({}, "stop")))
        for middle in (plain, odd)
    ]

    assert found[0] == found[1]


@pytest.mark.parametrize(
    "fragments",
    [
        [{"index": 0, "id": "a", "function": {"name": "f"}}, {"index": 0, "id": "b", "function": {"name": "f"}}],
        [{"id": "a", "function": {"name": "f", "arguments": "{}"}}, {"id": "b", "function": {"name": "f"}}],
        [{"function": {"name": "f", "arguments": "{}"}}, {"function": {"name": "f", "arguments": "{}"}}],
        [{"index": 0, "function": {"name": "f", "arguments": "{}"}}, {"index": 0, "function": {"name": "g"}}],
    ],
)  # fmt: skip
def test_two_calls_are_told_apart(fragments: list[dict[str, Any]]) -> None:
    found = Calls()

    first, second = (found.take(orjson.loads(orjson.dumps(fragment))) for fragment in fragments)

    assert first is not second
