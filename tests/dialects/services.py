"""Descriptions of chat services that keep conversations."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from proxy.core.model import Conversation, Create, Done
from proxy.dialects import ir

PLAIN = Conversation(
    create=Create("/conversations", ("data", "id")),
    body={"prompt": "{messages}", "stream": "{stream}"},
    text=(("delta",), ("message", "text")),
    done=Done(("type",), "end"),
)


def service(**changes: Any) -> Conversation:
    """The plain one, changed."""
    return replace(PLAIN, **changes)


def said(*turns: tuple[ir.Role, str], **rest: Any) -> ir.Request:
    """A request of a chat client."""
    messages = [ir.Message(role, [ir.Text(text)]) for role, text in turns]
    return ir.Request(model="m", messages=messages, origin="openai.chat", **rest)
