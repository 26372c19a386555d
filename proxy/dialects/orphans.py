"""Results of tools that the model never called, and calls of two turns with one id: every provider refuses some of them.

A client that shortens its history, or one whose dialect knows no such rule, may give a result whose call is not in
the model's last turn, or a second one to the same call. What it says is kept, as words of the user's. Providers that
count calls from 0 in each answer leave a history in which one id stands for many: a later call is given another, the
same every time, and so is its result.
"""

from __future__ import annotations

import msgspec

from proxy.dialects import ir
from proxy.dialects.loss import Loss


def mended(request: ir.Request, dialect: str, loss: Loss) -> ir.Request:
    """`request` without such. A client that speaks the provider's own `dialect` is not corrected."""
    if request.origin == dialect:
        return request
    taken: dict[str, int] = {}
    waiting: dict[str, list[str]] = {}
    messages: list[ir.Message] = []
    before = ""
    for message in request.messages:
        if message.role == "assistant":
            waiting = waiting if before == message.role else {}
            messages.append(_named(message, taken, waiting))
        else:
            messages.append(_mended(message, waiting, loss))
        before = message.role
    if all(new is old for new, old in zip(messages, request.messages, strict=True)):
        return request
    return msgspec.structs.replace(request, messages=messages)


def _named(message: ir.Message, taken: dict[str, int], waiting: dict[str, list[str]]) -> ir.Message:
    """A turn of the model's whose calls have ids of their own; each then waits for its result under the client's."""
    content: list[ir.Block] = []
    found = False
    for block in message.content:
        if isinstance(block, ir.ToolCall):
            id = _unused(block.id, taken)
            waiting.setdefault(block.id, []).append(id)
            if id != block.id:
                found = True
                block = msgspec.structs.replace(block, id=id)
        content.append(block)
    return msgspec.structs.replace(message, content=content) if found else message


def _unused(id: str, taken: dict[str, int]) -> str:
    """`id`, or one made of it if it is taken: how often each was is counted."""
    made = id
    while made in taken:
        taken[id] += 1
        made = f"{id}_{taken[id]}"
    taken[made] = 1
    return made


def _mended(message: ir.Message, waiting: dict[str, list[str]], loss: Loss) -> ir.Message:
    content: list[ir.Block] = []
    found = False
    for block in message.content:
        if not isinstance(block, ir.ToolResult):
            content.append(block)
        elif waiting.get(block.id):
            id = waiting[block.id].pop(0)
            found = found or id != block.id
            content.append(block if id == block.id else msgspec.structs.replace(block, id=id))
        else:
            found = True
            loss.drop("tool_result")
            content += [part for part in block.content if not isinstance(part, ir.Opaque)]
    return msgspec.structs.replace(message, content=content) if found else message
