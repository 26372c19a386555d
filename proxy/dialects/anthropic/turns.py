"""A conversation written for a provider.

The API demands that turns alternate, that the first is the user's, that results come first in theirs, and that no
text is empty. What a client of this dialect wrote goes out as it was; every other conversation is put in order here.
"""

from __future__ import annotations

from msgspec import Struct

from proxy.dialects import ir
from proxy.dialects.anthropic.media import render_media
from proxy.dialects.anthropic.read import FAMILY, NAME, TOOLS
from proxy.dialects.anthropic.tools import render_cache
from proxy.dialects.arguments import as_object
from proxy.dialects.claude import Model
from proxy.dialects.identity import tool_id
from proxy.dialects.ir import Json
from proxy.dialects.loss import Loss
from proxy.dialects.names import Names

_FILLER: Json = {"role": "user", "content": "."}
"""Stands where a turn of the user's must be and is none."""
_NO_CONTENT = "."


class Conversation(Struct):
    """The two places a conversation goes to."""

    system: list[Json] | str
    messages: list[Json]


def conversation(request: ir.Request, model: Model, loss: Loss) -> Conversation:
    """`system` and `messages`."""
    writer = _Writer(request, loss)
    if request.origin == NAME:
        return _as_written(request, writer)
    made = _in_order(request, model, writer)
    _begin_and_end(made.messages, model, loss)
    return made


def _as_written(request: ir.Request, writer: _Writer) -> Conversation:
    """The client's own turns. Only the first message can be `system`: the field of its own."""
    messages = request.messages
    system: list[Json] = []
    if messages and messages[0].role == "system" and not messages[0].extras:
        system = writer.blocks(messages[0])
        messages = messages[1:]
    made: list[Json] = []
    for message in messages:
        content = writer.blocks(message)
        turn = {"role": message.role, "content": _short(content), **message.extras}
        if content or message.role != "system" or not message.extras:
            made.append(turn)
        else:
            made.append({"role": message.role, **message.extras})
    return Conversation(_short(system), made)


def _short(content: list[Json]) -> list[Json] | str:
    """A lone text is written as a string."""
    if len(content) == 1 and content[0].keys() == {"type", "text"} and content[0]["type"] == "text":
        text: str = content[0]["text"]
        return text
    return content


def _in_order(request: ir.Request, model: Model, writer: _Writer) -> Conversation:
    system: list[Json] = []
    turns: list[tuple[str, list[Json]]] = []
    for number, message in enumerate(request.messages):
        content = writer.blocks(message)
        if not content:
            continue
        role = "assistant" if message.role == "assistant" else "user"
        if message.role in ("system", "developer"):
            if not (turns and model.later and _may_follow(turns[-1][0], request.messages[number:])):
                system += content
                continue
            role = "system"
        if turns and turns[-1][0] == role:
            turns[-1][1].extend(content)
        else:
            turns.append((role, content))
    made = [{"role": role, "content": _short(_results_first(content))} for role, content in turns]
    return Conversation(_short(system), made)


def _may_follow(before: str, rest: list[ir.Message]) -> bool:
    """Whether a system message may stand here: after the user's turn, and at the end or before the model's."""
    following = next((m.role for m in rest if m.role not in ("system", "developer")), "assistant")
    return before in ("user", "system") and following == "assistant"


def _results_first(content: list[Json]) -> list[Json]:
    return sorted(content, key=lambda block: block["type"] != "tool_result")


def _begin_and_end(messages: list[Json], model: Model, loss: Loss) -> None:
    if not messages or messages[0]["role"] != "user":
        messages.insert(0, dict(_FILLER))
    last = messages[-1]
    if last["role"] != "assistant":
        return
    if not model.prefill:
        loss.drop("prefill")
        messages.append(dict(_FILLER))
    elif isinstance(last["content"], str):
        # White space at the end of what is to be continued is refused.
        last["content"] = last["content"].rstrip()
    elif last["content"][-1]["type"] == "text":
        last["content"][-1]["text"] = last["content"][-1]["text"].rstrip()


class _Writer:
    """Writes the blocks of one request."""

    __slots__ = ("_loss", "_names", "_own")

    def __init__(self, request: ir.Request, loss: Loss) -> None:
        self._own = request.origin == NAME
        self._names = Names(TOOLS, request)
        self._loss = loss

    def blocks(self, message: ir.Message) -> list[Json]:
        """Those blocks of a message that can be said here."""
        made: list[Json] = []
        for block in message.content:
            if isinstance(block, ir.Media) and message.role != "user" and not self._own:
                written = self._spoken(block)
            else:
                written = self._block(block)
            if written is not None:
                made.append(written)
            if isinstance(block, ir.ToolResult) and self._only_text(block):
                rest = [part for part in block.content if isinstance(part, ir.Media)]
                made += [shown for part in rest if (shown := self._media(part)) is not None]
        return made

    def _only_text(self, block: ir.ToolResult) -> bool:
        """A failed call may show nothing: what it would show comes after it."""
        return block.is_error and not self._own

    def _block(self, block: ir.Block) -> Json | None:
        match block:
            case ir.Text():
                return self._text(block)
            case ir.Refusal(text=text):
                return {"type": "text", "text": text} if text.strip() else None
            case ir.Media():
                return self._media(block)
            case ir.Reasoning():
                return self._reasoning(block)
            case ir.ToolCall():
                return self._call(block)
            case ir.ToolResult():
                return self._result(block)
            case ir.Opaque():
                return block.value if block.origin == FAMILY else None

    def _text(self, block: ir.Text) -> Json | None:
        if not self._own and not block.text.strip():
            return None
        made: Json = {"type": "text", "text": block.text}
        cited = [one.own for one in block.citations if one.origin == FAMILY]
        if len(cited) < len(block.citations):
            self._loss.drop("citations")
        if cited:
            made["citations"] = cited
        return self._finished(made, block)

    def _finished(
        self, made: Json, block: ir.Text | ir.Media | ir.ToolCall | ir.ToolResult
    ) -> Json:
        """With what all blocks can have."""
        if block.cache is not None:
            made["cache_control"] = render_cache(block.cache)
        if self._own:
            made.update({k: v for k, v in block.extras.items() if k != "source"})
        return made

    def _media(self, block: ir.Media) -> Json | None:
        made = render_media(block, self._loss, own=self._own)
        if made is None:
            return self._spoken(block)
        return (
            made if "search_result" in block.extras and self._own else self._finished(made, block)
        )

    def _spoken(self, block: ir.Media) -> Json | None:
        """What a sound says, where the sound itself has no place."""
        if block.transcript.strip():
            return {"type": "text", "text": block.transcript}
        if block.kind == "image":
            self._loss.drop(
                "image.data" if block.data else "image.url" if block.url else "image.file"
            )
        return None

    def _reasoning(self, block: ir.Reasoning) -> Json | None:
        known = bool(block.signature) and block.origin == FAMILY
        extras = block.extras if self._own else {}
        if known and block.redacted:
            return {"type": "redacted_thinking", "data": block.signature, **extras}
        if known or (self._own and not block.signature and not block.redacted):
            return {
                "type": "thinking",
                "thinking": block.text,
                "signature": block.signature,
                **extras,
            }
        # Thoughts that nobody signed are refused, and are no text: they go.
        if block.signature:
            self._loss.drop("thinking.signature")
        if block.text:
            self._loss.drop("thinking.text")
        return None

    def _call(self, block: ir.ToolCall) -> Json:
        made: Json = {
            "type": "tool_use",
            "id": block.id if self._own else tool_id(block.id, "toolu_"),
            "name": self._names.out(block.name),
            "input": as_object(block.arguments, custom=block.custom),
        }
        return self._finished(made, block)

    def _result(self, block: ir.ToolResult) -> Json:
        made: Json = {
            "type": "tool_result",
            "tool_use_id": block.id if self._own else tool_id(block.id, "toolu_"),
        }
        inside = block.content
        if self._only_text(block):
            inside = [part for part in inside if isinstance(part, ir.Text)]
        content = [written for part in inside if (written := self._block(part)) is not None]
        if content:
            made["content"] = _short(content)
        elif block.is_error and not self._own:
            made["content"] = _NO_CONTENT  # an error without a word is refused
        if block.is_error:
            made["is_error"] = True
        return self._finished(made, block)
