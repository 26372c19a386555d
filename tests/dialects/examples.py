"""What the laws are tried on: every fixture, and conversations, answers and streams made up by hypothesis.

A fixture is one file `<case>.request.json`, `<case>.response.json` or `<case>.stream.sse` in the folder of its
dialect; a stream of Bedrock is `<case>.stream.json`, a list of `{"event": name, "data": …}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from hypothesis import strategies as st

from proxy.dialects import DIALECTS, ir
from proxy.dialects.base import Codec, Dialect
from proxy.wire import eventstream

FOLDERS: Mapping[str, str] = {
    "chat": "openai.chat",
    "completions": "openai.completions",
    "responses": "openai.responses",
    "messages": "anthropic.messages",
    "gemini": "gemini.generate",
    "bedrock": "bedrock.converse",
}
MODELS: Mapping[str, tuple[str, ...]] = {
    "openai.chat": ("gpt-4.1", "gpt-5.2", "deepseek-chat"),
    "openai.responses": ("gpt-4.1", "gpt-5.2"),
    "anthropic.messages": ("claude-sonnet-4-5", "claude-opus-4-6"),
    "gemini.generate": ("gemini-2.5-flash", "gemini-3-pro-preview"),
    "bedrock.converse": ("anthropic.claude-sonnet-4-5-20250929-v1:0", "amazon.nova-pro-v1:0"),
}
"""What each is asked for: how a request is written depends on the model."""
QUESTIONS: Mapping[str, dict[str, Any]] = {
    "openai.chat": {"model": "m", "messages": [{"role": "user", "content": "Hi"}]},
    "openai.completions": {"model": "m", "prompt": "Hi"},
    "openai.responses": {"model": "m", "input": "Hi"},
    "anthropic.messages": {
        "model": "m",
        "max_tokens": 64,
        "messages": [{"role": "user", "content": "Hi"}],
    },
    "gemini.generate": {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]},
}
"""The shortest question a client of each can ask."""


class Fixture(NamedTuple):
    """One file."""

    dialect: str
    case: str
    kind: str
    data: bytes
    question: bytes | None
    """The request of the same case."""

    @property
    def label(self) -> str:
        return f"{self.dialect}-{self.case}"


def codec(name: str) -> Codec:
    """The codec of a dialect that has one."""
    found = DIALECTS[name].codec
    assert found is not None
    return found


def with_codec() -> list[Dialect]:
    """Dialects that can be translated."""
    return [dialect for dialect in DIALECTS.values() if dialect.codec is not None]


CLIENTS = [name.name for name in with_codec() if codec(name.name).parse_request is not None]
PROVIDERS = [name.name for name in with_codec() if codec(name.name).render_request is not None]


@cache
def fixtures(kind: str) -> list[Fixture]:
    """All of `request`, `response` or `stream`, of dialects with a codec."""
    found: list[Fixture] = []
    for folder, name in FOLDERS.items():
        if name not in DIALECTS or DIALECTS[name].codec is None:
            continue
        for path in sorted((Path(__file__).parent / "fixtures" / folder).glob(f"*.{kind}.*")):
            case = path.name.partition(".")[0]
            question = path.with_name(f"{case}.request.json")
            data = path.read_bytes()
            if path.name.endswith(".stream.json"):
                data = _framed(data)
            asked = question.read_bytes() if question.exists() else None
            found.append(Fixture(name, case, kind, data, asked))
    return found


def _framed(data: bytes) -> bytes:
    return b"".join(
        (eventstream.exception if event["event"].endswith("Exception") else eventstream.event)(
            event["event"], orjson.dumps(event["data"])
        )
        for event in orjson.loads(data)
    )


def question(name: str, **fields: Any) -> ir.Request:
    """The shortest question in a dialect, read; Bedrock's, which no client asks, as if it came from nowhere."""
    parse = codec(name).parse_request
    if parse is None:
        return ir.Request(model="m", messages=[ir.Message("user", [ir.Text("Hi")])], **fields)
    request = parse(orjson.dumps(QUESTIONS[name]))
    for field, value in fields.items():
        setattr(request, field, value)
    return request


# --- conversations ------------------------------------------------------------------------------------------

WORDS = st.text('abc xyz,.\n日本語é🙂"\\{}', min_size=1, max_size=12).map(lambda text: f"w{text}w")
"""Never empty, never white space at either end: what some vendors refuse is not what is tried here."""
_NAMES = ("get_weather", "search", "do-it_2")
_SCHEMA: ir.Json = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "Where"}},
    "required": ["city"],
}
_SCALARS = st.none() | st.booleans() | st.integers(-(10**6), 10**6) | WORDS
ARGUMENTS = st.dictionaries(
    st.sampled_from(["city", "days", "ünit"]), _SCALARS | st.lists(_SCALARS, max_size=2), max_size=3
).map(lambda value: orjson.dumps(value).decode())
_STATES = st.sampled_from(
    [("anthropic", "RXJVQg=="), ("gemini", "Q2dRQg=="), ("openai", "Z0FBQQ==")]
)
IMAGES = st.sampled_from(
    [
        ir.Media("image", mime="image/png", data="iVBORw0KGgo="),
        ir.Media("image", url="https://example.com/a.png"),
        ir.Media("document", mime="application/pdf", data="JVBERi0=", name="a.pdf"),
    ]
)


@st.composite
def reasonings(draw: st.DrawFn) -> ir.Reasoning:
    origin, state = draw(_STATES)
    if draw(st.booleans()):
        return ir.Reasoning(text=draw(WORDS), signature=state, origin=origin)
    if draw(st.booleans()):
        return ir.Reasoning(text=draw(WORDS))
    return ir.Reasoning(signature=state, origin=origin, redacted=True)


@st.composite
def calls(draw: st.DrawFn, id: str) -> ir.ToolCall:
    call = ir.ToolCall(id, draw(st.sampled_from(_NAMES)), draw(ARGUMENTS | st.just("")))
    if draw(st.booleans()):
        call.signature, call.origin = "Q2dRQg==", "gemini"
    return call


@st.composite
def results(draw: st.DrawFn, call: ir.ToolCall) -> ir.ToolResult:
    content: list[ir.Text | ir.Media | ir.Opaque] = [ir.Text(draw(WORDS))]
    if draw(st.integers(0, 4)) == 0:
        content.append(ir.Media("image", mime="image/png", data="iVBORw0KGgo="))
    return ir.ToolResult(call.id, call.name, content, is_error=draw(st.booleans()))


def _blocks_of(draw: st.DrawFn, first: int, many: int = 2) -> list[ir.Block]:
    """Thoughts, text and calls of one turn of the model, in this order, never none."""
    blocks: list[ir.Block] = list(draw(st.lists(reasonings(), max_size=1)))
    made = draw(st.integers(0, many))
    if not made or draw(st.booleans()):
        blocks.append(ir.Text(draw(WORDS)))
    blocks += [draw(calls(f"call_{first + number}")) for number in range(made)]
    return blocks


@st.composite
def conversations(draw: st.DrawFn) -> list[ir.Message]:
    """Messages that end with the user, every call answered right after it."""
    messages: list[ir.Message] = []
    if draw(st.booleans()):
        messages.append(ir.Message("system", [ir.Text(draw(WORDS))]))
    made = 0
    for _ in range(draw(st.integers(0, 3))):
        media = draw(st.lists(IMAGES, max_size=1))
        messages.append(ir.Message("user", [*media, ir.Text(draw(WORDS))]))
        blocks = _blocks_of(draw, made)
        messages.append(ir.Message("assistant", blocks))
        open_calls = [block for block in blocks if isinstance(block, ir.ToolCall)]
        made += len(open_calls)
        if open_calls:
            answers: list[ir.Block] = [draw(results(call)) for call in open_calls]
            cut = draw(st.integers(0, len(answers)))
            # Some say something before a result, or between two; others give each a message of its own.
            said: list[ir.Block] = [ir.Text(draw(WORDS))] if draw(st.booleans()) else []
            pieces = (answers[:cut], said, answers[cut:])
            messages += [ir.Message("user", piece) for piece in pieces if piece]
            if draw(st.booleans()):
                messages.append(ir.Message("assistant", [ir.Text(draw(WORDS))]))
    if not messages or messages[-1].role in ("assistant", "system"):
        messages.append(ir.Message("user", [ir.Text(draw(WORDS))]))
    return messages


_CHOICES = st.sampled_from(
    [
        None,
        ir.ToolChoice("auto"),
        ir.ToolChoice("none"),
        ir.ToolChoice("required"),
        ir.ToolChoice("tool", ["search"]),
        ir.ToolChoice("allowed", ["search", "get_weather"], required=True),
    ]
)
_THINKING = st.sampled_from(
    [
        None,
        ir.Thinking(effort="low"),
        ir.Thinking(effort="high", visible=True),
        ir.Thinking(budget=2048),
        ir.Thinking(budget=-1, visible=True),
        ir.Thinking(effort="none"),
    ]
)
_FORMATS = st.sampled_from(
    [
        None,
        ir.Format("text"),
        ir.Format("json"),
        ir.Format(
            "schema", "answer", schema={**_SCHEMA, "additionalProperties": False}, strict=True
        ),
    ]
)


@st.composite
def requests(draw: st.DrawFn) -> ir.Request:
    """A request that means something: tools where there are calls, a choice where there are tools."""
    request = ir.Request(
        model="m",
        messages=draw(conversations()),
        thinking=draw(_THINKING),
        format=draw(_FORMATS),
        max_tokens=draw(st.none() | st.integers(1, 9000)),
        temperature=draw(st.none() | st.sampled_from([0.0, 0.3, 1.0, 1.7])),
        top_p=draw(st.none() | st.sampled_from([0.1, 0.97, 1.0])),
        top_k=draw(st.none() | st.integers(1, 50)),
        stop=draw(st.lists(WORDS, max_size=6, unique=True)),
        seed=draw(st.none() | st.integers(0, 10)),
        presence_penalty=draw(st.none() | st.sampled_from([-2.0, 0.5])),
        user=draw(st.sampled_from(["", "user-1"])),
        metadata=draw(st.sampled_from([{}, {"team": "a"}])),
        stream=draw(st.booleans()),
        origin=draw(st.sampled_from(CLIENTS)),
    )
    if draw(st.booleans()) or any(
        isinstance(block, ir.ToolCall) for message in request.messages for block in message.content
    ):
        bare = request.origin not in ("anthropic.messages", "openai.responses")
        request.tools = [
            ir.Tool(name, description=name, schema=None if name == "search" and bare else _SCHEMA)
            for name in _NAMES
        ]
        request.tool_choice = draw(_CHOICES)
        if request.tool_choice is None or request.tool_choice.mode != "none":
            request.parallel_tool_calls = draw(st.none() | st.booleans())
    return request


# --- answers ------------------------------------------------------------------------------------------------


@st.composite
def usages(draw: st.DrawFn) -> ir.Usage:
    output = draw(st.integers(1, 500))
    return ir.Usage(
        input=draw(st.integers(0, 500)),
        cache_read=draw(st.sampled_from([0, 64])),
        cache_write=draw(st.sampled_from([0, 32])),
        output=output,
        reasoning=draw(st.integers(0, output)),
    )


@st.composite
def choices(draw: st.DrawFn, number: int) -> ir.Choice:
    blocks = _blocks_of(draw, 10 * number)
    if any(isinstance(block, ir.ToolCall) for block in blocks):
        return ir.Choice(blocks, "tool_calls")
    finish: ir.Finish = draw(st.sampled_from(["stop", "length", "content_filter", "refusal"]))
    if finish == "stop" and draw(st.booleans()):
        return ir.Choice(blocks, finish, stop_sequence="END")
    return ir.Choice(blocks, finish)


@st.composite
def responses(draw: st.DrawFn) -> ir.Response:
    """A whole answer; sometimes two choices."""
    count = draw(st.sampled_from([1, 1, 1, 2]))
    return ir.Response(
        id=draw(st.sampled_from(["", "chatcmpl-abc", "msg_abc", "resp_abc", "xyz"])),
        model="some-model",
        created=draw(st.sampled_from([0, 1_750_000_000])),
        choices=[draw(choices(number)) for number in range(count)],
        usage=draw(st.none() | usages()),
        origin=draw(st.sampled_from(PROVIDERS)),
    )


def _told(draw: st.DrawFn, block: ir.Block) -> tuple[ir.Block, list[ir.Event]]:
    """(what a block begins with, its deltas), the index of which is still to be set."""

    def cut(text: str) -> list[str]:
        ends = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
        return [text[a:b] for a, b in zip([0, *ends], [*ends, len(text)], strict=True) if a < b]

    match block:
        case ir.Text(text=text):
            return ir.Text(), [ir.TextDelta(-1, piece) for piece in cut(text)]
        case ir.ToolCall(arguments=text):
            start = ir.ToolCall(
                block.id, block.name, signature=block.signature, origin=block.origin
            )
            return start, [ir.ArgumentsDelta(-1, piece) for piece in cut(text)]
        case ir.Reasoning(text=text) if not block.redacted:
            deltas: list[ir.Event] = [ir.ReasoningDelta(-1, piece) for piece in cut(text)]
            if block.signature:
                deltas.append(ir.SignatureDelta(-1, block.signature, block.origin))
            return ir.Reasoning(), deltas
        case _:
            return block, []


def _at(event: ir.Event, index: int) -> ir.Event:
    fields = {name: getattr(event, name) for name in event.__struct_fields__}
    made: ir.Event = type(event)(**{**fields, "index": index})
    return made


@st.composite
def streams(draw: st.DrawFn, *, overlapping: tuple[type, ...] = (object,)) -> list[ir.Event]:
    """A legal stream, by the grammar at the top of `ir`; blocks of these types may overlap."""
    response = draw(responses())
    waiting = [
        (number, block) for number, choice in enumerate(response.choices) for block in choice.blocks
    ]
    events: list[ir.Event] = [
        ir.ResponseStart(response.id, response.model, response.created, origin=response.origin)
    ]
    started: list[int] = []
    left: dict[int, list[ir.Event]] = {}
    open_: dict[int, ir.Block] = {}
    while waiting or left:
        may_overlap = waiting and all(
            isinstance(block, overlapping) for block in (waiting[0][1], *(open_[i] for i in left))
        )
        begin = waiting and (not left or (may_overlap and draw(st.integers(0, 3)) == 0))
        if begin:
            number, block = waiting.pop(0)
            index = len(started)
            started.append(index)
            first, deltas = _told(draw, block)
            events.append(ir.BlockStart(index, first, number))
            left[index], open_[index] = deltas, block
            continue
        index = draw(st.sampled_from(sorted(left)))
        if left[index]:
            events.append(_at(left[index].pop(0), index))
        else:
            events.append(ir.BlockEnd(index))
            del left[index]
        if draw(st.integers(0, 9)) == 0:
            events.append(ir.Ping())
    for number, choice in enumerate(response.choices):
        assert choice.finish is not None
        events.append(ir.ChoiceEnd(choice.finish, number, choice.stop_sequence))
    if response.usage is not None:
        events.append(ir.UsageReport(response.usage))
    return [*events, ir.ResponseEnd()]
