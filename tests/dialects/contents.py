"""What tests of `generateContent` share: its fixtures, and short ways to ask and to read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from proxy.dialects import ir
from proxy.dialects.base import Decoder, Target
from proxy.dialects.fold import Fold
from proxy.dialects.gemini import DIALECT
from proxy.dialects.loss import Loss
from proxy.wire.sse import events, last_boundary
from tests.dialects.streams import data

FIXTURES = Path(__file__).parent / "fixtures" / "gemini"
REQUESTS = sorted(FIXTURES.glob("*.request.json"))
RESPONSES = sorted(FIXTURES.glob("*.response.json"))
STREAMS = sorted(FIXTURES.glob("*.stream.sse"))

assert DIALECT.codec is not None
CODEC = DIALECT.codec

USAGE = {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}


def name(path: Path) -> str:
    """The case a fixture is of."""
    return path.name.partition(".")[0]


def fixture(name: str) -> bytes:
    """The bytes of a fixture."""
    return (FIXTURES / name).read_bytes()


def parse(body: bytes) -> ir.Request:
    """A client's body."""
    assert CODEC.parse_request is not None
    return CODEC.parse_request(body)


def parsed(**fields: Any) -> ir.Request:
    """A client's request with these fields."""
    return parse(
        orjson.dumps({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}], **fields})
    )


def turned(*parts: dict[str, Any], role: str = "user") -> list[ir.Block]:
    """The blocks of a client's only turn."""
    return parsed(contents=[{"role": role, "parts": list(parts)}]).messages[0].content


def rendered(
    request: ir.Request, model: str = "gemini-2.5-flash", **target: Any
) -> tuple[Any, dict[str, str]]:
    """(the body for a provider, what was dropped)."""
    assert CODEC.render_request is not None
    loss = Loss()
    body = CODEC.render_request(request, Target(model, **target), loss)
    return orjson.loads(body), dict(loss.names)


def asked(*messages: ir.Message, **fields: Any) -> ir.Request:
    """A request of a client of another dialect."""
    told = list(messages) or [said("Hi")]
    return ir.Request(model="m", messages=told, origin="openai.chat", **fields)


def said(text: str, role: ir.Role = "user") -> ir.Message:
    """A turn of plain text."""
    return ir.Message(role, [ir.Text(text)])


def chunk(*parts: Any, finish: str = "", **more: Any) -> dict[str, Any]:
    """A chunk with one candidate."""
    candidate: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [{**candidate, **more}], "modelVersion": "g", "responseId": "r"}


def decoded(*pieces: bytes, request: ir.Request | None = None) -> list[ir.Event]:
    """The events of a stream that came in pieces."""
    decoder = CODEC.decoder(request or ir.Request())
    found: list[ir.Event] = []
    held = b""
    for piece in pieces:
        held += piece
        end = last_boundary(held)
        found += _fed(decoder, held[:end])
        held = held[end:]
    return found + _fed(decoder, held) + decoder.end()


def _fed(decoder: Decoder, block: bytes) -> list[ir.Event]:
    return [
        told
        for event in events(block)
        if event.data is not None
        for told in decoder.feed(event.name, event.data)
    ]


def streamed(*chunks: Any, request: ir.Request | None = None) -> list[ir.Event]:
    """The events of these chunks."""
    return decoded(data(*chunks), request=request)


def folded(found: Iterable[ir.Event]) -> ir.Response:
    """The whole answer that events tell."""
    fold = Fold()
    fold.add(found)
    return fold.response


def encoded(found: Iterable[ir.Event], *, array: bool = False) -> tuple[bytes, dict[str, str]]:
    """(the stream a client gets, what was dropped)."""
    assert CODEC.encoder is not None
    loss = Loss()
    encoder = CODEC.encoder(ir.Request(model="asked", array=array), loss)
    return b"".join([encoder.encode(event) for event in found]), dict(loss.names)


def chunks_of(stream: bytes) -> list[Any]:
    """The chunks in a stream of events."""
    return [orjson.loads(event.data) for event in events(stream) if event.data is not None]


def without_ids(response: ir.Response) -> ir.Response:
    """The same answer, its calls nameless: a provider that names none has them named anew each time.

    Calls without arguments all have an empty object.
    """
    for choice in response.choices:
        for block in choice.blocks:
            if isinstance(block, ir.ToolCall) and block.id.startswith("call_"):
                block.id, block.arguments = "call", block.arguments or "{}"
    return response
