"""What tests of OpenAI's two formats of choices share: fixtures, streams, and the official library to read them with."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
from hypothesis import strategies as st
from openai.lib.streaming._deltas import accumulate_delta
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from proxy.dialects import ir
from proxy.dialects.base import Codec, Decoder, Target
from proxy.dialects.fold import Fold
from proxy.dialects.loss import Loss
from proxy.wire.sse import events, last_boundary

FIXTURES = Path(__file__).parent / "fixtures"


def cases(name: str, kind: str) -> list[Path]:
    """The fixtures of a dialect that end in `kind`."""
    return sorted((FIXTURES / name).glob(f"*.{kind}"))


def fixture(name: str) -> bytes:
    """`chat/text.request.json`."""
    return (FIXTURES / name).read_bytes()


def fed(decoder: Decoder, *pieces: bytes) -> list[ir.Event]:
    """The events of a stream that came in `pieces`."""
    found: list[ir.Event] = []
    held = b""
    for piece in pieces:
        held += piece
        end = last_boundary(held)
        found += _events(decoder, held[:end])
        held = held[end:]
    found += _events(decoder, held)
    return [*found, *decoder.end()]


def _events(decoder: Decoder, block: bytes) -> list[ir.Event]:
    return [
        found
        for event in events(block)
        if event.data is not None
        for found in decoder.feed(event.name, event.data)
    ]


def folded(found: Iterable[ir.Event]) -> ir.Response:
    """A stream as a whole answer."""
    fold = Fold()
    fold.add(found)
    return fold.response


def told(codec: Codec, found: Iterable[ir.Event], **request: Any) -> tuple[bytes, Loss]:
    """A stream for a client, and what could not be said."""
    loss = Loss()
    assert codec.encoder is not None
    encoder = codec.encoder(ir.Request(**request), loss)
    return b"".join(encoder.encode(event) for event in found), loss


def rendered(codec: Codec, request: ir.Request, model: str = "m", **target: Any) -> dict[str, Any]:
    """A request for a provider."""
    return lossy(codec, request, model, **target)[0]


def lossy(
    codec: Codec, request: ir.Request, model: str = "m", **target: Any
) -> tuple[dict[str, Any], list[str]]:
    """The same, and the features that were left out."""
    loss = Loss()
    assert codec.render_request is not None
    body = orjson.loads(codec.render_request(request, Target(model, **target), loss))
    return body, list(loss.names.values())


def chunks(stream: bytes) -> list[dict[str, Any]]:
    """The JSON of a stream's events, `[DONE]` apart."""
    return [
        orjson.loads(event.data)
        for event in events(stream)
        if event.data is not None and event.data != b"[DONE]"
    ]


def validated(stream: bytes) -> list[dict[str, Any]]:
    """The same, each a chunk by the library's own model."""
    found = chunks(stream)
    for chunk in found:
        ChatCompletionChunk.model_validate(chunk, strict=False)
    return found


def completion(body: bytes) -> dict[str, Any]:
    """A whole answer that the library takes."""
    ChatCompletion.model_validate_json(body, strict=False)
    found: dict[str, Any] = orjson.loads(body)
    return found


def text_completion(body: bytes) -> dict[str, Any]:
    """A whole legacy answer that the library takes."""
    Completion.model_validate_json(body, strict=False)
    found: dict[str, Any] = orjson.loads(body)
    return found


def accumulated(stream: bytes) -> dict[int, dict[str, Any]]:
    """Each choice's message as the library adds it up."""
    messages: dict[int, dict[Any, Any]] = {}
    for chunk in chunks(stream):
        for choice in chunk.get("choices", ()):
            at = choice["index"]
            messages[at] = accumulate_delta(messages.get(at, {}), choice["delta"])
    return messages


def keeps_the_grammar(found: list[ir.Event]) -> None:
    """A stream is told as `ir` says it is."""
    if not found:
        return
    if isinstance(found[0], ir.StreamError):
        assert len(found) == 1
        return
    assert isinstance(found[0], ir.ResponseStart)
    started = 0
    open_blocks: set[int] = set()
    ended = 0
    over = (ir.ResponseEnd, ir.StreamError)
    assert not any(isinstance(event, over) for event in found[:-1])
    for event in found[1:]:
        if isinstance(event, ir.BlockStart):
            assert event.index == started
            assert not ended
            started += 1
            open_blocks.add(event.index)
        elif isinstance(event, ir.BlockEnd):
            open_blocks.remove(event.index)
        elif isinstance(event, ir.ChoiceEnd):
            ended += 1
        elif hasattr(event, "index"):
            assert event.index in open_blocks
    last = found[-1]
    if isinstance(last, ir.ResponseEnd):
        assert ended
        assert not open_blocks


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=4,
)
"""What may stand anywhere."""


@st.composite
def mutated(draw: st.DrawFn, bodies: list[bytes]) -> bytes:
    """One of `bodies` with some of its values replaced."""
    value = orjson.loads(draw(st.sampled_from(bodies)))
    for _ in range(draw(st.integers(1, 3))):
        value = _mutate(draw, value)
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)


def _mutate(draw: st.DrawFn, value: Any) -> Any:
    if isinstance(value, dict) and value and draw(st.integers(0, 5)):
        key = draw(st.sampled_from(sorted(value)))
        return {**value, key: _mutate(draw, value[key])}
    if isinstance(value, list) and value and draw(st.integers(0, 5)):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], _mutate(draw, value[at]), *value[at + 1 :]]
    return draw(JSON)
