"""What the laws are said with: streams read and written as the relay does, and what two requests must agree on."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any
from unittest import mock

import orjson

from proxy.core import clock
from proxy.dialects import DIALECTS, identity, ir
from proxy.dialects.base import Decoder
from proxy.dialects.fold import Fold
from proxy.dialects.loss import Loss
from tests.dialects.checkers import bedrock, chat, completions, gemini, messages, responses
from tests.dialects.examples import codec

CHECKERS: Mapping[str, ModuleType] = {
    "openai.chat": chat,
    "openai.completions": completions,
    "openai.responses": responses,
    "anthropic.messages": messages,
    "gemini.generate": gemini,
    "bedrock.converse": bedrock,
}


@contextmanager
def steady() -> Iterator[None]:
    """Time stands still, and new names are the same every time."""
    count = itertools.count()

    def urandom(size: int) -> bytes:
        return next(count).to_bytes(size, "big")

    with clock.held(), mock.patch("os.urandom", urandom):
        yield


# --- streams ------------------------------------------------------------------------------------------------


def decoded(name: str, request: ir.Request, *pieces: bytes) -> list[ir.Event]:
    """The events of a stream that came in `pieces`, cut and fed as the relay does."""
    framing = DIALECTS[name].framing
    decoder = codec(name).decoder(request)
    found: list[ir.Event] = []
    held = b""
    for piece in pieces:
        held += piece
        end = framing.last_boundary(held)
        if end:
            found += _fed(name, decoder, held[:end])
            held = held[end:]
    found += _fed(name, decoder, held)
    return found + decoder.end()


def _fed(name: str, decoder: Decoder, block: bytes) -> list[ir.Event]:
    found: list[ir.Event] = []
    for event in DIALECTS[name].framing.events(block):
        if event.data is not None:
            found += decoder.feed(event.name, event.data)
    return found


def encoded(name: str, request: ir.Request, events: list[ir.Event], loss: Loss) -> bytes:
    """The bytes of a stream."""
    make = codec(name).encoder
    assert make is not None
    encoder = make(request, loss)
    return b"".join(encoder.encode(event) for event in events)


def folded(events: list[ir.Event]) -> Fold:
    """A stream as a whole answer."""
    fold = Fold()
    fold.add(events)
    return fold


def grammar(events: list[ir.Event]) -> list[str]:
    """Every way in which events break the grammar at the top of `ir`."""
    problems: list[str] = []
    open_blocks: set[int] = set()
    started = 0
    seen = [event for event in events if not isinstance(event, ir.Ping | ir.UsageReport)]
    for place, event in enumerate(seen):
        begins = isinstance(event, ir.ResponseStart)
        if begins != (place == 0) and not isinstance(event, ir.StreamError):
            problems.append(f"{place}: {event!r} where the answer begins, or again")
        match event:
            case ir.StreamError():
                return problems if event is seen[-1] else [*problems, "a StreamError ends nothing"]
            case ir.BlockStart(index=index):
                if index != started:
                    problems.append(f"{place}: block {index} is not the next")
                started += 1
                open_blocks.add(index)
            case ir.ChoiceEnd() | ir.ResponseEnd() if open_blocks:
                problems.append(f"{place}: blocks {open_blocks} are still open")
            case ir.ChoiceEnd() | ir.ResponseEnd() | ir.ResponseStart():
                pass
            case _:
                problems += _inside(place, event, open_blocks)
    return problems + _close([type(event) for event in seen])


def _inside(place: int, event: Any, open_blocks: set[int]) -> list[str]:
    if event.index not in open_blocks:
        return [f"{place}: {event!r} is of a block that is not open"]
    if isinstance(event, ir.BlockEnd):
        open_blocks.discard(event.index)
    return []


def _close(kinds: list[type]) -> list[str]:
    if not kinds or kinds[-1] is not ir.ResponseEnd:
        return []
    ends = [kind for kind in kinds if kind is ir.ChoiceEnd]
    if not ends or kinds[-1 - len(ends) : -1] != ends:
        return ["the choices do not end right before the answer"]
    return []


# --- requests -----------------------------------------------------------------------------------------------


def normal(request: ir.Request, model: str, stream: bool) -> ir.Request:
    """A request with what stands in the address of some, and not in the body."""
    request.model, request.stream = model, stream
    request.include_usage = request.functions = False
    for message in request.messages:
        without_spelling(message.content)
    return request


def without_spelling(blocks: list[ir.Block]) -> None:
    """No arguments and empty ones are the same."""
    for block in blocks:
        if isinstance(block, ir.ToolCall) and not block.custom:
            block.arguments = block.arguments or "{}"


def settled(response: ir.Response) -> ir.Response:
    """An answer without what is made up where nothing was given: its name, its time, and the names of calls.

    And without what only the provider's own clients would look at: words for its end, fields nobody knows.
    """
    response.id, response.created = "", 0
    for choice in response.choices:
        without_spelling(choice.blocks)
        choice.reason = ""
        for block in choice.blocks:
            if isinstance(block, ir.ToolCall) and block.id.startswith("call_0000"):
                block.id = ""
            if isinstance(block, ir.Text):
                found = [ir.Citation(url=one.url, title=one.title) for one in block.citations]
                block.citations = found
                # Responses streams less of a probability than it answers.
                block.logprobs = [
                    {"token": one["token"], "logprob": one["logprob"]} for one in block.logprobs
                ]
            if not isinstance(block, ir.Opaque):
                block.extras = {}
    return response


def unsealed(blocks: list[ir.Block]) -> list[ir.Block]:
    """What a client would give back, as it is read then."""
    for block in blocks:
        if isinstance(block, ir.Reasoning | ir.ToolCall | ir.Text) and block.signature:
            block.origin, block.signature = identity.unseal(block.signature, block.origin)
    return identity.attach(blocks)


Part = tuple[object, ...]
Found = Iterator[tuple[str, Part]]
"""(feature, what is said of it)."""


def said(request: ir.Request) -> dict[str, Counter[Part]]:
    """What a request says, feature by feature, whatever its turns are cut into."""
    found: dict[str, Counter[Part]] = {}
    for feature, part in itertools.chain(_parameters(request), _tools(request), _turns(request)):
        found.setdefault(feature, Counter())[part] += 1
    return found


_PLAIN = (
    "max_tokens", "temperature", "top_p", "top_k", "seed", "presence_penalty",
    "frequency_penalty", "top_logprobs", "user", "cache_key", "verbosity",
)  # fmt: skip


def _parameters(request: ir.Request) -> Found:
    for name in _PLAIN:
        value = getattr(request, name)
        # What is the default anyway need not be said.
        if value not in (None, "") and not (name in ("temperature", "top_p") and value == 1):
            yield name, (value,)
    for word in request.stop:
        yield "stop", (word,)
    if request.n is not None and request.n > 1:
        yield "n", (request.n,)
    wanted = request.format
    if wanted is not None and wanted.kind != "text":
        yield f"format.{wanted.kind}", ()
    if request.parallel_tool_calls is False and request.tools:
        yield "parallel_tool_calls", ()


def _tools(request: ir.Request) -> Found:
    for tool in request.tools:
        if isinstance(tool, ir.Tool):
            yield "tool.custom" if tool.custom else "tool", (tool.name, tool.description)
    choice = request.tool_choice
    if choice is not None and choice.mode != "auto" and request.tools:
        # Some name one tool by allowing that one alone.
        is_one = choice.mode == "allowed" and choice.required and len(choice.names) == 1
        mode = "tool" if is_one else choice.mode
        yield f"tool_choice.{mode}", tuple(sorted(choice.names))


def _turns(request: ir.Request) -> Found:
    order: Counter[str] = Counter()
    texts: dict[str, list[str]] = {}
    for message in request.messages:
        role: str = "system" if message.role in ("system", "developer") else message.role
        for block in message.content:
            if isinstance(block, ir.Text | ir.Refusal):
                # What is put where a turn must not be missing says nothing.
                is_filler = block.text == "." and role == "user"
                texts.setdefault(role, []).append("" if is_filler else block.text)
            elif isinstance(block, ir.Reasoning) and block.text:
                texts.setdefault("thinking", []).append(block.text)
            for feature, part in _block(block):
                order[feature] += 1
                yield feature, (order[feature], *part)
            yield from _media(block)
    features = {"system": "system", "thinking": "thinking.text"}
    for role, words in texts.items():
        if text := "".join("".join(words).split()):
            yield features.get(role, "text"), (role, text)


def _block(block: ir.Block) -> Found:
    match block:
        case ir.ToolCall():
            arguments: object = block.arguments if block.custom else _json(block.arguments)
            yield "tool.custom" if block.custom else "tool_call", (block.name, arguments)
            # A word that Google documents stands where there is no state.
            if block.signature and "skip" not in block.signature:
                yield "tool_call.signature", _state(block)
        case ir.ToolResult():
            text = "".join(part.text for part in block.content if isinstance(part, ir.Text))
            yield "tool_result", ("".join(text.split()),)
            if block.is_error:
                yield "tool_result.error", (block.name,)
        case ir.Reasoning() if block.signature:
            yield "thinking.signature", _state(block)
        case _:
            pass


def _media(block: ir.Block) -> Found:
    """What is seen or heard, wherever it stands: some have no place for it inside a result."""
    inside = block.content if isinstance(block, ir.ToolResult) else [block]
    for part in inside:
        if isinstance(part, ir.Media):
            source = "text" if part.text else "file" if part.file_id else "url" if part.url else "data"  # fmt: skip
            yield f"{part.kind}.{source}", (part.data or part.url or part.file_id or part.text,)


def _state(block: ir.Reasoning | ir.ToolCall) -> Part:
    """Whose state it is, and which; sealed or not."""
    origin, state = identity.unseal(block.signature, block.origin)
    return (origin, state)


def _json(arguments: str) -> str:
    try:
        return orjson.dumps(orjson.loads(arguments or "{}"), option=orjson.OPT_SORT_KEYS).decode()
    except ValueError:
        return arguments


def differences(one: Any, other: Any, where: str = "") -> list[str]:
    """Where two structures differ."""
    if type(one) is not type(other):
        return [f"{where}: {one!r} is not {other!r}"]
    if hasattr(one, "__struct_fields__"):
        names = one.__struct_fields__
        pairs = [(f"{where}.{name}", getattr(one, name), getattr(other, name)) for name in names]
    elif isinstance(one, dict):
        pairs = [
            (f"{where}[{key!r}]", one.get(key, "(missing)"), other.get(key, "(missing)"))
            for key in {**one, **other}
        ]
    elif isinstance(one, list) and len(one) == len(other):
        pairs = [
            (f"{where}[{at}]", *items) for at, items in enumerate(zip(one, other, strict=True))
        ]
    else:
        return [] if one == other else [f"{where}: {one!r} is not {other!r}"]
    return [problem for place, a, b in pairs for problem in differences(a, b, place)]


def check(name: str, kind: str) -> Callable[[bytes], list[str]]:
    """One of the three checks of a dialect."""
    found: Any = getattr(CHECKERS[name], f"check_{kind}")
    return found  # type: ignore[no-any-return]
