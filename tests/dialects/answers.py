"""What tests of the Responses API share: the library that reads it, and streams made of a few events."""

from __future__ import annotations

from typing import Any

import orjson
from openai._models import construct_type_unchecked
from openai._types import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from proxy.dialects import ir
from proxy.dialects.fold import Fold
from proxy.dialects.openai_responses import DIALECT
from proxy.wire.sse import events
from tests.dialects.checkers.responses import check_response, check_stream
from tests.dialects.choices import fed, told

NAME = "openai.responses"
CODEC = DIALECT.codec
assert CODEC is not None

_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def asked(**fields: Any) -> ir.Request:
    """The request of a client of this dialect."""
    assert CODEC is not None
    assert CODEC.parse_request is not None
    return CODEC.parse_request(orjson.dumps({"model": "m", "input": "Hi", **fields}))


def items(*values: Any) -> list[ir.Message]:
    """The messages that an input is read as."""
    return asked(input=list(values)).messages


def answered(*output: Any, **fields: Any) -> ir.Response:
    """A provider's whole answer."""
    assert CODEC is not None
    body = {"id": "resp_1", "model": "m", "status": "completed", "output": list(output), **fields}
    return CODEC.parse_response(orjson.dumps(body), asked())


def sse(*payloads: dict[str, Any]) -> bytes:
    """A provider's stream; numbers are of no meaning to who reads it."""
    return b"".join(b"data: %b\n\n" % orjson.dumps(payload) for payload in payloads)


def decoded(*payloads: dict[str, Any]) -> list[ir.Event]:
    """The events of a provider's stream."""
    assert CODEC is not None
    return fed(CODEC.decoder(asked()), sse(*payloads))


def whole(found: list[ir.Event]) -> Fold:
    """The same as an answer."""
    fold = Fold()
    fold.add(found)
    return fold


def blocks(found: list[ir.Event]) -> list[ir.Block]:
    """The blocks of a stream of one choice."""
    return [block for choice in whole(found).response.choices for block in choice.blocks]


def stream(*parts: ir.Event, origin: str = "x", finish: ir.Finish = "stop") -> list[ir.Event]:
    """A whole stream around the events of its blocks."""
    start = ir.ResponseStart("r1", "m", 1_786_400_000, origin=origin)
    return [start, *parts, ir.ChoiceEnd(finish), ir.ResponseEnd()]


def whole_block(index: int, block: ir.Block) -> list[ir.Event]:
    """A block that is known from the start."""
    return [ir.BlockStart(index, block), ir.BlockEnd(index)]


def payloads(raw: bytes) -> list[dict[str, Any]]:
    """The JSON of a stream's events."""
    return [orjson.loads(event.data) for event in events(raw) if event.data is not None]


def legal(raw: bytes) -> list[dict[str, Any]]:
    """The same of a stream that the library and the reference take."""
    assert check_stream(raw) == []
    found = payloads(raw)
    for payload in found:
        _EVENT.validate_python(payload)
    return found


def written(
    *parts: ir.Event, request: ir.Request | None = None, **how: Any
) -> list[dict[str, Any]]:
    """The events a client is told."""
    assert CODEC is not None
    assert CODEC.encoder is not None
    raw, _ = told_to(request or asked(), stream(*parts, **how))
    return legal(raw)


def told_to(request: ir.Request, found: list[ir.Event]) -> tuple[bytes, list[str]]:
    """A stream for the client of `request`, and the features that could not be said."""
    assert CODEC is not None
    values = {name: getattr(request, name) for name in request.__struct_fields__}
    raw, loss = told(CODEC, found, **values)
    return raw, list(loss.names.values())


def kinds(found: list[dict[str, Any]]) -> list[str]:
    """What the events are, without the name of the dialect."""
    return [str(payload["type"]).removeprefix("response.") for payload in found]


def checked(body: bytes) -> dict[str, Any]:
    """A whole answer that the library and the reference take."""
    assert check_response(body) == []
    Response.model_validate_json(body)
    found: dict[str, Any] = orjson.loads(body)
    return found


def accumulated(raw: bytes) -> Response:
    """What the library's own stream helper makes of a stream."""
    state: Any = ResponseStreamState(input_tools=[], text_format=omit)
    for payload in payloads(raw):
        state.handle_event(construct_type_unchecked(type_=ResponseStreamEvent, value=payload))
    found: Response = state._completed_response
    return found
