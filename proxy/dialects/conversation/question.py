"""What the service is asked: the template of its provider, filled with what the client said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import quote

import msgspec

from proxy.core import template
from proxy.core.model import Conversation
from proxy.core.surfaces import CONVERSATION
from proxy.dialects import ir
from proxy.dialects.base import Headers, Opened, Target
from proxy.dialects.loss import Loss, unsupported
from proxy.dialects.survey import survey

_encode = msgspec.json.Encoder().encode
_PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))
_LABELS = {"system": "System", "developer": "System", "user": "User", "assistant": "Assistant"}

Turn = tuple[str, str]
"""Who speaks, and what."""


class Question:
    """The requests to one service."""

    __slots__ = ("_gaps", "_settings", "fields")

    def __init__(self, settings: Conversation) -> None:
        self._settings = settings
        self._gaps = frozenset(template.gaps(settings.body))
        self.fields = _fields(self._gaps)

    def render(self, request: ir.Request, target: Target, loss: Loss) -> bytes:
        """The body. Raises ProxyError when nobody asks anything in words."""
        survey(request, CONVERSATION, self.fields, loss)
        turns = _turns(request.messages)
        spoken = [turn for turn in turns if turn[0] != "System"]
        asked = next((text for who, text in reversed(spoken) if who == "User"), "")
        if not asked:
            raise unsupported("messages", "It takes text, and there is none of the user's.")
        if "messages" not in self._gaps and len(spoken) > 1:
            loss.drop("text", "messages")
        values = {
            **_names(target),
            "prompt": asked,
            "system": "\n\n".join(text for who, text in turns if who == "System"),
            "messages": _transcript(spoken if "system" in self._gaps else turns),
            "stream": target.stream,
        }
        return _encode(template.fill(self._settings.body, values))

    def headers(self, target: Target) -> Headers:
        """What goes with it: the configured headers, and the page of the conversation as the one it came from."""
        values = _names(target)
        found = [
            (name.lower(), template.fill_text(text, values, _printable))
            for name, text in self._settings.headers.items()
        ]
        if self._settings.referer:
            found.append(("referer", template.fill_text(self._settings.referer, values, _in_url)))
        return [(name.encode("latin-1"), text.encode("latin-1")) for name, text in found]


def _fields(gaps: Iterable[str]) -> Mapping[str, str]:
    """What a template has a place for."""
    gaps = set(gaps)
    fields = {"text": "{messages}" if "messages" in gaps else "{prompt}"}
    if gaps & {"system", "messages"}:
        place = "{system}" if "system" in gaps else "{messages}"
        fields |= {"system": place, "system.later": place}
    if "messages" in gaps:
        fields["prefill"] = "{messages}"
    return fields


def _names(target: Target) -> dict[str, object]:
    opened = target.opened or Opened("", "")
    return {
        "conversation_id": opened.id,
        "message_id": opened.message,
        "model": target.model,
    }


def _turns(messages: Iterable[ir.Message]) -> list[Turn]:
    """The text of every turn that has some; what one says in several messages is one turn."""
    turns: list[Turn] = []
    for message in messages:
        who = _LABELS[message.role]
        parts = [part.text for part in message.content if isinstance(part, ir.Text) and part.text]
        if not parts:
            continue
        text = "\n\n".join(parts)
        if turns and turns[-1][0] == who:
            text = f"{turns.pop()[1]}\n\n{text}"
        turns.append((who, text))
    return turns


def _transcript(turns: list[Turn]) -> str:
    """A conversation as one text. What is no conversation yet stands for itself."""
    if len(turns) == 1:
        return turns[0][1]
    return "\n\n".join(f"{who}: {text}" for who, text in turns)


def _printable(value: str) -> str:
    """`value` as it may stand in a header."""
    return quote(value, safe=_PRINTABLE)


def _in_url(value: str) -> str:
    return quote(value, safe="/:@-._~")
