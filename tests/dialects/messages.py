"""What tests of the Messages API share: its fixtures, its streams, and its own library to read them with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

from proxy.dialects import ir
from proxy.dialects.anthropic import DIALECT
from proxy.dialects.base import Target
from proxy.dialects.loss import Loss
from proxy.wire.sse import events

FIXTURES = Path(__file__).parent / "fixtures" / "messages"
REQUESTS = sorted(FIXTURES.glob("*.request.json"))
RESPONSES = sorted(FIXTURES.glob("*.response.json"))
STREAMS = sorted(FIXTURES.glob("*.stream.sse"))

assert DIALECT.codec is not None
CODEC = DIALECT.codec

_any_event: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)


def name(path: Path) -> str:
    """The case a fixture is of."""
    return path.name.partition(".")[0]


def fixture(name: str) -> bytes:
    """The bytes of a fixture."""
    return (FIXTURES / name).read_bytes()


def parsed(**fields: Any) -> ir.Request:
    """A client's request with these fields."""
    body = {
        "model": "m",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "Hi"}],
        **fields,
    }
    assert CODEC.parse_request is not None
    return CODEC.parse_request(orjson.dumps(body))


def rendered(request: ir.Request, model: str = "claude-sonnet-4-5", **target: Any) -> Any:
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


def decoded(stream: bytes, request: ir.Request | None = None) -> list[ir.Event]:
    """The events of a whole stream."""
    decoder = CODEC.decoder(request or ir.Request())
    found: list[ir.Event] = []
    for event in events(stream):
        if event.data is not None:
            found += decoder.feed(event.name, event.data)
    return found + decoder.end()


def encoded(told: list[ir.Event], request: ir.Request | None = None) -> tuple[bytes, Loss]:
    """The bytes a client is sent, and what was dropped."""
    assert CODEC.encoder is not None
    loss = Loss()
    encoder = CODEC.encoder(request or ir.Request(model="m"), loss)
    return b"".join(map(encoder.encode, told)), loss


def payloads(stream: bytes) -> list[Any]:
    """The data of each event; its name must be its type."""
    found = []
    for event in events(stream):
        assert event.data is not None
        payload = orjson.loads(event.data)
        assert event.name.decode() == payload["type"]
        found.append(payload)
    return found


def accumulated(stream: bytes) -> Message:
    """The message the vendor's own library makes of a stream, each event of it checked."""
    message: Any = None
    pieces: dict[int, bytes] = {}
    for payload in payloads(stream):
        if payload["type"] in ("ping", "error"):
            continue
        event = _any_event.validate_python(payload)
        message = accumulate_event(event=event, current_snapshot=message, json_bufs=pieces)
    return Message.model_validate(message.to_dict())
