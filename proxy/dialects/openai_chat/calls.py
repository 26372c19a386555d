"""Tool calls put together from fragments, whichever way a provider cuts them.

A fragment belongs to the call of its `index`, where it has one, else to that of its `id`, else to the last. Names and
ids come in the first fragment, in every one, or in pieces; a call without end is followed by another under the same
index. So a call begins for the client only when its arguments do, or when nothing more can come of its name.
"""

from __future__ import annotations

from proxy.dialects import identity, ir
from proxy.dialects.arguments import FreeText
from proxy.dialects.ir import Json
from proxy.dialects.openai_chat.answer import call_of, is_complete, number


class Call:
    """One call while it is being told."""

    __slots__ = ("arguments", "block", "ended", "free", "given", "index", "pending")

    def __init__(self, block: ir.ToolCall) -> None:
        self.block = block
        self.arguments = ""
        self.pending = ""
        """Arguments not yet given on."""
        self.index = -1
        """Of its block, once that has begun."""
        self.given = ""
        """The signature that is known to the client."""
        self.ended = False
        self.free: FreeText | None = None
        """Of a function that stands for a tool which takes free text."""

    def said(self) -> str:
        """What is to be given on now."""
        text, self.pending = self.pending, ""
        return text if self.free is None else self.free.feed(text)

    def rest(self) -> str:
        """What is left of that when the call is complete."""
        return "" if self.free is None else self.free.end()


class Calls:
    """The calls of one choice. `take` says which call a fragment belongs to; the decoder tells the client."""

    __slots__ = ("_by_index", "_last", "all")

    def __init__(self) -> None:
        self.all: list[Call] = []
        self._by_index: dict[int, Call] = {}
        self._last: Call | None = None

    def take(self, value: Json) -> Call:
        """The call of a fragment, which now has it."""
        piece = call_of(value)
        index = number(value.get("index"))
        call = self._find(piece, index)
        if call is None or _is_another(call, piece):
            call = Call(ir.ToolCall(custom=piece.custom))
            self.all.append(call)
            if index is not None:
                self._by_index[index] = call
        self._last = call
        _grow(call, piece)
        return call

    def _find(self, piece: ir.ToolCall, index: int | None) -> Call | None:
        if index is not None:
            return self._by_index.get(index)
        if piece.id:
            return next((call for call in self.all if call.block.id == piece.id), None)
        return self._last

    def ids(self, call: Call) -> None:
        """A call gets an id of its own if it has none, or another's."""
        taken = {other.block.id for other in self.all if other is not call and other.index >= 0}
        if not call.block.id or call.block.id in taken:
            call.block.id = identity.new_id("call_")


def _is_another(call: Call, piece: ir.ToolCall) -> bool:
    """Whether a fragment that came under the name of `call` begins a new one."""
    block = call.block
    whole = is_complete(call.arguments)
    if piece.id and block.id and piece.id != block.id:
        # An id in pieces has no name with it.
        return whole or bool(piece.name and (not call.arguments or piece.name != block.name))
    if not piece.name or not whole or call.block.custom:
        return False
    return piece.name != block.name or (not piece.id and is_complete(piece.arguments))


def _grow(call: Call, piece: ir.ToolCall) -> None:
    block = call.block
    if call.index < 0:
        if piece.id and not block.id:
            block.id = piece.id
        elif piece.id != block.id and not call.arguments and not piece.name:
            block.id += piece.id
        if piece.name != block.name:
            block.name += piece.name
        block.custom = block.custom or piece.custom
    call.arguments += piece.arguments
    call.pending += piece.arguments
    if piece.signature:
        block.signature, block.origin = piece.signature, piece.origin
