"""Names that must survive a journey through a dialect that has no place for them: ids, and sealed state.

A client keeps the conversation, not we: whatever a provider wants back must be inside what the client echoes. Sealed
state (a signature) of a family the client's dialect does not know is wrapped, so that it can be told apart when it
comes back, and goes out again only to the family it came from.
"""

from __future__ import annotations

import hashlib
import os
import re
from base64 import b64encode, urlsafe_b64decode
from binascii import Error

from proxy.dialects import ir

_MARK = b"hr1:"
"""Begins whatever we sealed: version 1."""
SEALED = b'"aHIxO'
"""How a sealed state begins in JSON: what base64 makes of the mark."""
_UNSIGNED = "unsigned"
_SAFE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PREFIX = re.compile(r"(?:chatcmpl|cmpl|msg|resp|gen|req|rs|fc|call|toolu|tooluse)[-_]")


def seal(origin: str, state: str) -> str:
    """`state` of `origin` as standard base64, recognisable by `unseal`. Raises nothing."""
    return b64encode(_MARK + origin.encode() + b":" + state.encode()).decode("ascii")


def unseal(text: str, family: str) -> tuple[str, str]:
    """(origin, state) of what a client gave back. What we did not seal is the state of the client's own `family`."""
    if not text.startswith("aHIxO"):  # what base64 makes of the mark
        return family, text
    padded = text + "=" * (-len(text) % 4)
    try:
        plain = urlsafe_b64decode(padded.replace("+", "-").replace("/", "_"))
        mark, origin, state = plain.decode().split(":", 2)
    except (Error, ValueError):
        return family, text
    if mark != "hr1":
        return family, text
    return (family, "") if origin == _UNSIGNED else (origin, state)


def sealed(signature: str, origin: str, family: str) -> str:
    """A signature as a client of `family` is given it: its own as it is, another's sealed, none as ""."""
    if not signature or origin == family:
        return signature
    return seal(origin, signature)


def sealed_anyhow(signature: str, origin: str, family: str) -> str:
    """The same for a client that gives thoughts back only if they are signed: unsigned ones get an empty seal."""
    return sealed(signature, origin, family) or seal(_UNSIGNED, "")


def tool_id(id: str, prefix: str = "call_") -> str:
    """`id` if every dialect takes it (64 letters, digits, `_`, `-`), else a name made of it, the same every time."""
    if _SAFE.fullmatch(id):
        return id
    return prefix + hashlib.sha256(id.encode()).hexdigest()[:24]


def new_id(prefix: str) -> str:
    """A name nobody else has."""
    return prefix + os.urandom(12).hex()


def renamed(id: str, prefix: str) -> str:
    """The id of an answer with another dialect's prefix: `chatcmpl-abc` to `msg_abc`. A new one when there is none."""
    if not id:
        return new_id(prefix)
    if id.startswith(prefix):
        return id
    return prefix + _PREFIX.sub("", id, count=1)


def kept(id: str, prefix: str, *, own: bool) -> str:
    """The id of an answer: of one in the client's `own` dialect as it is, of any other `renamed`."""
    return id if own and id else renamed(id, prefix)


def complete(messages: list[ir.Message]) -> None:
    """Give every call an id and every result the id and name of its call, in place.

    For dialects without ids: a call without one is named by its place in the conversation, so it is called the same
    whenever the conversation is sent again and prompt caches keep working; a result without one answers the first
    call of its name, since the last answer of the model, that has no result yet.
    """
    names: dict[str, str] = {}
    waiting: list[ir.ToolCall] = []
    made = 0
    for turn, message in enumerate(messages):
        calls = [block for block in message.content if isinstance(block, ir.ToolCall)]
        if calls and not any(isinstance(block, ir.ToolResult) for block in message.content):
            waiting = [call for call in waiting if turn and messages[turn - 1].role == message.role]
        for block in message.content:
            if isinstance(block, ir.ToolCall):
                if not block.id:
                    block.id = f"call_{made}_{_slug(block.name)}"
                made += 1
                names[block.id] = block.name
                waiting.append(block)
            elif isinstance(block, ir.ToolResult):
                _match(block, waiting, names)


def _match(result: ir.ToolResult, waiting: list[ir.ToolCall], names: dict[str, str]) -> None:
    for call in waiting:
        if (result.id and call.id == result.id) or (
            not result.id and result.name in ("", call.name)
        ):
            waiting.remove(call)
            result.id, result.name = call.id, call.name
            return
    result.id = result.id or f"call_{_slug(result.name)}"
    result.name = result.name or names.get(result.id, "")


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:40]


def carriers(block: ir.Block) -> tuple[ir.Reasoning | None, ir.Reasoning | None]:
    """What goes before and after `block`, given to a client whose dialect has no place on it for sealed state."""
    if not isinstance(block, ir.Text | ir.ToolCall) or not block.signature:
        return None, None
    place = "/next" if isinstance(block, ir.ToolCall) else "/last"
    carrier = ir.Reasoning(signature=block.signature, origin=block.origin + place, redacted=True)
    return (carrier, None) if place == "/next" else (None, carrier)


def attach(blocks: list[ir.Block]) -> list[ir.Block]:
    """The blocks of one turn without `carriers`, what they carried put back on its block."""
    kept: list[ir.Block] = []
    waiting = ("", "")
    for block in blocks:
        origin, _, place = (
            block.origin.partition("/") if isinstance(block, ir.Reasoning) else ("",) * 3
        )
        if place and isinstance(block, ir.Reasoning):
            if place == "next":
                waiting = block.signature, origin
                continue
            for old in reversed(kept):
                if isinstance(old, ir.Text):
                    old.signature, old.origin = block.signature, origin
                    break
            continue
        if waiting[0] and isinstance(block, ir.ToolCall):
            block.signature, block.origin = waiting
            waiting = ("", "")
        kept.append(block)
    return kept
