"""A conversation, written for Converse.

Turns alternate and the first is the user's, results come first in theirs, no text is blank, and a document stands
beside some text. A mark of the cache is a block of its own behind the block it is about.
"""

from __future__ import annotations

from msgspec import Struct

from proxy.dialects import ir
from proxy.dialects.arguments import as_object
from proxy.dialects.bedrock.media import Media
from proxy.dialects.bedrock.models import Model
from proxy.dialects.bedrock.reading import closed
from proxy.dialects.bedrock.words import CLAUDE, FAMILY, TOOLS
from proxy.dialects.identity import tool_id
from proxy.dialects.ir import Json
from proxy.dialects.loss import Loss
from proxy.dialects.names import Names

_FILLER: Json = {"text": "."}
"""Stands where something must be and is nothing."""


class Conversation(Struct):
    """The two places a conversation goes to."""

    system: list[Json]
    messages: list[Json]


def conversation(request: ir.Request, model: Model, loss: Loss) -> Conversation:
    """`system` and `messages`."""
    writer = _Writer(model, Names(TOOLS, request), loss)
    system: list[Json] = []
    turns: list[Json] = []
    for message in request.messages:
        if message.role in ("system", "developer"):
            system += writer.instructions(message)
        else:
            turns.append({"role": message.role, "content": writer.blocks(message)})
    turns = _joined(turns)
    for turn in turns:
        # Thoughts may not be the end of a turn: those of one that was broken off are of no use.
        while (
            turn["role"] == "assistant"
            and turn["content"]
            and "reasoningContent" in turn["content"][-1]
        ):
            turn["content"].pop()
            loss.drop("thinking.signature")
    turns = _joined(turns)
    for turn in turns:
        if turn["role"] == "user":
            turn["content"] = _in_order(turn["content"])
    _begin_and_end(turns, model, loss)
    return Conversation(system, turns)


def _joined(turns: list[Json]) -> list[Json]:
    """Neighbours of one role as one turn, and none that is empty."""
    made: list[Json] = []
    for turn in turns:
        if made and turn["content"] and made[-1]["role"] == turn["role"]:
            made[-1]["content"] += turn["content"]
        elif turn["content"]:
            made.append(turn)
    return made


def _in_order(content: list[Json]) -> list[Json]:
    """A turn of the user's: results first, and a text beside documents."""
    if any("toolResult" in block for block in content):
        content = _results_first(content)
    if any("document" in block for block in content) and not any("text" in b for b in content):
        content = [*content, dict(_FILLER)]
    return content


def _results_first(content: list[Json]) -> list[Json]:
    """Results, each with the mark behind it, before everything else."""
    results: list[Json] = []
    others: list[Json] = []
    into = others
    for block in content:
        if "cachePoint" not in block:
            into = results if "toolResult" in block else others
        into.append(block)
    return results + others


def _begin_and_end(messages: list[Json], model: Model, loss: Loss) -> None:
    if not messages or messages[0]["role"] != "user":
        messages.insert(0, {"role": "user", "content": [dict(_FILLER)]})
    last = messages[-1]
    if last["role"] != "assistant":
        return
    if model.claude is not None and not model.claude.prefill:
        loss.drop("prefill")
        messages.append({"role": "user", "content": [dict(_FILLER)]})
    elif "text" in last["content"][-1]:
        # White space at the end of what is to be continued is refused.
        last["content"][-1]["text"] = last["content"][-1]["text"].rstrip()


class _Writer:
    """Writes the blocks of one request."""

    __slots__ = ("_loss", "_media", "_model", "_names")

    def __init__(self, model: Model, names: Names, loss: Loss) -> None:
        self._model = model
        self._names = names
        self._loss = loss
        self._media = Media(loss, plain_text=model.claude is not None)

    def instructions(self, message: ir.Message) -> list[Json]:
        """What of a system message can be said: text."""
        made: list[Json] = []
        for block in message.content:
            if isinstance(block, ir.Text) and block.text.strip():
                made += [{"text": block.text}, *mark(block.cache, self._model, self._loss)]
            elif isinstance(block, ir.Media):
                self._loss.drop("system")
        return made

    def blocks(self, message: ir.Message) -> list[Json]:
        """Those blocks of a message that can be said, with their marks."""
        made: list[Json] = []
        for block in message.content:
            written = self._block(block, message.role)
            made += written
            if written:
                made += mark(_cache(block), self._model, self._loss)
        return made

    def _block(self, block: ir.Block, role: str) -> list[Json]:
        match block:
            case ir.Text():
                return self._text(block)
            case ir.Refusal(text=text):
                return [{"text": text}] if text.strip() else []
            case ir.Media():
                return self._medium(block, role)
            case ir.Reasoning():
                return self._reasoning(block)
            case ir.ToolCall():
                return [{"toolUse": self._call(block)}]
            case ir.ToolResult():
                return self._result(block)
            case ir.Opaque():
                return [{block.kind: block.value}] if block.origin == FAMILY else []

    def _text(self, block: ir.Text) -> list[Json]:
        if not block.text.strip():
            return []
        cited = [one.own for one in block.citations if one.origin == FAMILY]
        if len(cited) < len(block.citations):
            self._loss.drop("citations")
        if cited:
            return [{"citationsContent": {"content": [{"text": block.text}], "citations": cited}}]
        return [{"text": block.text}]

    def _medium(self, block: ir.Media, role: str) -> list[Json]:
        if role == "user":
            made = self._media.render(block)
            return [] if made is None else [made]
        # The model's own turn has no place for media; what a sound says has one.
        if block.transcript.strip():
            return [{"text": block.transcript}]
        way = "file" if block.file_id else "url" if block.url else "data"
        self._loss.drop(f"{block.kind}.{way}")
        return []

    def _reasoning(self, block: ir.Reasoning) -> list[Json]:
        known = block.origin == FAMILY or (
            block.origin == CLAUDE and self._model.claude is not None
        )
        if block.signature and known:
            if block.redacted:
                sealed = closed(block.signature, block.origin)
                return [{"reasoningContent": {"redactedContent": sealed}}]
            signed = {"text": block.text, "signature": block.signature}
            return [{"reasoningContent": {"reasoningText": signed}}]
        # Thoughts that nobody signed are refused, and are no text: they go.
        if block.signature:
            self._loss.drop("thinking.signature")
        if block.text:
            self._loss.drop("thinking.text")
        return []

    def _call(self, block: ir.ToolCall) -> Json:
        return {
            "toolUseId": tool_id(block.id),
            "name": self._names.out(block.name),
            "input": as_object(block.arguments, custom=block.custom),
        }

    def _result(self, block: ir.ToolResult) -> list[Json]:
        content: list[Json] = []
        beside: list[Json] = []
        for part in block.content:
            if isinstance(part, ir.Opaque):
                content += [{part.kind: part.value}] if part.origin == FAMILY else []
                continue
            written = self._block(part, "user")
            # A sound has no place in a result, nor have citations: they follow it.
            into = (
                beside
                if written and ("audio" in written[0] or "citationsContent" in written[0])
                else content
            )
            into += written
        made: Json = {"toolUseId": tool_id(block.id), "content": content or [dict(_FILLER)]}
        if block.is_error and self._model.failed:
            made["status"] = "error"
        elif block.is_error:
            self._loss.drop("tool_result.error")
        return [{"toolResult": made}, *beside]


def mark(cache: ir.Cache | None, model: Model, loss: Loss, *, tools: bool = False) -> list[Json]:
    """The mark behind a block that has one."""
    if cache is None:
        return []
    if not (model.tool_marks if tools else model.marks):
        loss.drop("cache")
        return []
    made: Json = {"type": "default"}
    if cache.ttl in ("5m", "1h") and model.lifetimes:
        made["ttl"] = cache.ttl
    elif cache.ttl not in ("", "5m"):
        loss.drop("cache.ttl")
    return [{"cachePoint": made}]


def _cache(block: ir.Block) -> ir.Cache | None:
    """A block's mark; inside a result there is no place for one, so it goes behind it."""
    found: ir.Cache | None = getattr(block, "cache", None)
    if found is None and isinstance(block, ir.ToolResult):
        return next((part.cache for part in block.content if part.cache is not None), None)
    return found
