"""A whole answer of Converse, read."""

from __future__ import annotations

import msgspec

from proxy.dialects import ir
from proxy.dialects import usage as reports
from proxy.dialects.bedrock import reading
from proxy.dialects.bedrock.words import NAME
from proxy.dialects.lenient import mended, object_at

_encode = msgspec.json.Encoder().encode
_KNOWN = frozenset({"output", "stopReason", "usage", "serviceTier"})


def parse_response(body: bytes, request: ir.Request) -> ir.Response:
    """The answer to `request`. Raises ValueError when it is none.

    It does not say which model wrote it: that is the one the client asked for.
    """
    found = object_at(body)
    if found is None:
        found = object_at(mended(body))
    if found is None:
        raise ValueError("no JSON object")
    message = reading.obj(reading.obj(found.get("output")).get("message"))
    if not message:
        raise ValueError("no message in the output")
    tools = reading.Tools(request)
    blocks = [reading.block(value, tools) for value in reading.array(message.get("content"))]
    reason = reading.text(found.get("stopReason"))
    called = any(isinstance(block, ir.ToolCall) for block in blocks)
    if tools.answers and reason == "tool_use" and not called:
        reason = ""
    choice = ir.Choice(
        blocks=[block for block in blocks if block is not None],
        finish=reading.finish(reason),
        stop_sequence=reading.stop_sequence(found.get("additionalModelResponseFields")),
        reason=reason,
    )
    return ir.Response(
        model=request.model,
        choices=[choice],
        usage=reports.bedrock(_encode(found.get("usage"))),
        service_tier=reading.tier(found.get("serviceTier")),
        origin=NAME,
        extras={name: value for name, value in found.items() if name not in _KNOWN},
    )
