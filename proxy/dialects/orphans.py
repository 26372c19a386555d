"""Results of tools that the model never called, which every provider refuses.

A client that shortens its history, or one whose dialect knows no such rule, may give a result whose call is not in
the model's last turn, or a second one to the same call. What it says is kept, as words of the user's.
"""

from __future__ import annotations

import msgspec

from proxy.dialects import ir
from proxy.dialects.loss import Loss


def mended(request: ir.Request, dialect: str, loss: Loss) -> ir.Request:
    """`request` without such results. A client that speaks the provider's own `dialect` is not corrected."""
    if request.origin == dialect:
        return request
    waiting: set[str] = set()
    messages: list[ir.Message] = []
    before = ""
    for message in request.messages:
        if message.role == "assistant":
            waiting = waiting if before == message.role else set()
            waiting |= {block.id for block in message.content if isinstance(block, ir.ToolCall)}
            messages.append(message)
        else:
            messages.append(_mended(message, waiting, loss))
        before = message.role
    if all(new is old for new, old in zip(messages, request.messages, strict=True)):
        return request
    return msgspec.structs.replace(request, messages=messages)


def _mended(message: ir.Message, waiting: set[str], loss: Loss) -> ir.Message:
    content: list[ir.Block] = []
    found = False
    for block in message.content:
        if not isinstance(block, ir.ToolResult):
            content.append(block)
        elif block.id in waiting:
            waiting.remove(block.id)
            content.append(block)
        else:
            found = True
            loss.drop("tool_result")
            content += [part for part in block.content if not isinstance(part, ir.Opaque)]
    return msgspec.structs.replace(message, content=content) if found else message
