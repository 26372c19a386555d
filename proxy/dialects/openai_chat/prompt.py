"""`messages` for a provider: the turns of a conversation as chat has them.

What came in this dialect goes out as it came. Other dialects have several blocks where chat has one string, and the
pieces of one answer in several messages: text is joined, neighbouring messages of the model become one, as do those of
the system at the start, and results come first in their turn, since every call must be answered before anything else is
said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby, takewhile

from proxy.dialects import identity, ir
from proxy.dialects.arguments import as_object
from proxy.dialects.ir import Json
from proxy.dialects.loss import Loss
from proxy.dialects.names import Names
from proxy.dialects.openai_chat import parts, thoughts
from proxy.dialects.openai_chat.fields import FAMILY, NAME, encode, thoughts_field
from proxy.dialects.openai_chat.names import TOOLS, speaker
from proxy.dialects.openai_chat.tools import takes_free_text


class Prompt:
    """Writes the messages of one request."""

    __slots__ = ("_loss", "_model", "_names", "_own", "_turns")

    def __init__(self, request: ir.Request, model: str, loss: Loss) -> None:
        self._turns = request.messages
        self._names = Names(TOOLS, request)
        self._model = model.lower()
        self._loss = loss
        self._own = request.origin == NAME

    def messages(self) -> list[Json]:
        """All of them."""
        made: list[Json] = []
        for answers, group in groupby(self._turns, key=lambda message: message.role == "assistant"):
            if not answers:
                made += self._asked(list(group))
            elif self._own:
                made += [self._answer([message]) for message in group]
            else:
                made.append(self._answer(list(group)))
        return made if self._own else _one_system(made)

    def _asked(self, group: list[ir.Message]) -> Iterator[Json]:
        """What stands between two answers: results, what of them is no text, and everything else."""
        if self._own and len(group) > 1:
            for message in group:
                yield from self._asked([message])
            return
        shown: list[Json] = []
        for message in group:
            for block in message.content:
                if isinstance(block, ir.ToolResult):
                    yield self._result(block, shown)
        if shown:
            yield {"role": "user", "content": self._joined(shown)}
        for message in group:
            content = [block for block in message.content if not isinstance(block, ir.ToolResult)]
            if content or not message.content:
                role = message.role if self._own or message.role == "user" else "system"
                yield {"role": role, "content": self._content(content), **self._more(message)}

    def _more(self, message: ir.Message) -> Json:
        more: Json = dict(message.extras) if self._own else {}
        if message.name:
            more["name"] = message.name if self._own else speaker(message.name)
        return more

    def _result(self, result: ir.ToolResult, shown: list[Json]) -> Json:
        more = dict(result.extras) if self._own else {}
        if self._own:
            content = self._content(result.content)
        else:
            texts: list[str] = []
            for part in result.content:
                if isinstance(part, ir.Text):
                    texts.append(part.text)
                    continue
                made = self._part(part)
                if made is not None and made["type"] == "text":
                    texts.append(made["text"])
                elif made is not None:
                    shown.append(made)
            content = "\n".join(texts)
        if self._own and result.name:
            more["name"] = result.name
        return {"role": "tool", "tool_call_id": self._id(result.id), "content": content, **more}

    def _id(self, id: str) -> str:
        return id if self._own else identity.tool_id(id)

    def _content(self, blocks: Iterable[ir.Block]) -> str | list[Json]:
        """One string where there is nothing but text: many providers take nothing else."""
        return self._joined(self._parts(blocks))

    def _joined(self, made: list[Json]) -> str | list[Json]:
        plain = all(part["type"] == "text" and (len(part) == 2 or not self._own) for part in made)
        if plain and (len(made) < 2 or not self._own):
            return "\n\n".join(part["text"] for part in made)
        return made

    def _parts(self, blocks: Iterable[ir.Block]) -> list[Json]:
        return [part for block in blocks if (part := self._part(block)) is not None]

    def _part(self, block: ir.Block) -> Json | None:
        extras = getattr(block, "extras", {}) if self._own else {}
        match block:
            case ir.Text():
                return {"type": "text", "text": block.text, **extras}
            case ir.Refusal():
                kind = "refusal" if self._own else "text"
                return {"type": kind, kind: block.text, **extras}
            case ir.Media():
                part = parts.render(block, own=self._own)
                if part is None:
                    self._loss.drop(_feature(block))
                return part if part is None else {**part, **extras}
            case ir.Opaque() if self._own and block.origin == FAMILY:
                return block.value
            case ir.Opaque():
                self._loss.drop("opaque")
            case ir.Reasoning() if self._own:
                return {"type": "thinking", "thinking": [{"type": "text", "text": block.text}]}
            case _:
                pass
        return None

    def _answer(self, group: list[ir.Message]) -> Json:
        """One message of the model's, from what it said up to the next question."""
        blocks = [block for message in group for block in message.content]
        made: Json = {"role": "assistant", "content": self._said(group)}
        for message in group:
            made.update(self._more(message))
        refusals = [block.text for block in blocks if isinstance(block, ir.Refusal)]
        if refusals:
            made["refusal"] = "".join(refusals)
        self._think(made, [block for block in blocks if isinstance(block, ir.Reasoning)])
        self._show(made, [block for block in blocks if isinstance(block, ir.Media)])
        calls = [self._call(block) for block in blocks if isinstance(block, ir.ToolCall)]
        if calls:
            made["tool_calls"] = calls
        if made["content"] == "" and (calls or refusals):
            made["content"] = None
        if self._own:
            self._own_state(made, blocks)
        return made

    def _said(self, group: list[ir.Message]) -> str | list[Json]:
        """The text of an answer, which dialects with citations cut in the middle of sentences."""
        texts = [
            "".join(block.text for block in message.content if isinstance(block, ir.Text))
            for message in group
        ]
        opaque = [
            block for message in group for block in message.content if isinstance(block, ir.Opaque)
        ]
        if not self._own:
            for _ in opaque:
                self._loss.drop("opaque")
            return "\n\n".join(text for text in texts if text)
        content = [block for block in group[0].content if isinstance(block, ir.Text | ir.Opaque)]
        return self._content(content)

    def _think(self, made: Json, blocks: list[ir.Reasoning]) -> None:
        text = "\n\n".join(block.text for block in blocks if block.text)
        field = "reasoning_content" if self._own else thoughts_field(self._model)
        if text and not field:
            self._loss.drop("thinking.text")
        elif text and field == "thinking":
            thinking = {"type": "thinking", "thinking": [{"type": "text", "text": text}]}
            said = made["content"]
            made["content"] = [thinking, *([{"type": "text", "text": said}] if said else [])]
        elif text:
            made[field] = text
        kept = [block for block in blocks if block.signature and self._takes(block.origin)]
        if len(kept) < sum(bool(block.signature) for block in blocks):
            self._loss.drop("thinking.signature")
        details = thoughts.details(blocks if self._own else kept)
        if details:
            made["reasoning_details"] = details

    def _takes(self, origin: str) -> bool:
        """Whether the model behind the provider can use a signature: one of its own vendor's, by way of a reseller."""
        if self._own:
            return True
        vendor = {"anthropic": "claude", "gemini": "google/gemini", "openai": "openai/"}
        mark = vendor.get(origin)
        return mark is not None and mark in self._model

    def _show(self, made: Json, blocks: list[ir.Media]) -> None:
        """Sound and images of an earlier answer."""
        images: list[Json] = []
        for block in blocks:
            if block.kind == "audio" and block.file_id and block.origin == FAMILY:
                made["audio"] = {"id": block.file_id}
                continue
            part = parts.render(block, own=True) if self._own and block.kind == "image" else None
            if part is None:
                self._loss.drop(_feature(block))
            else:
                images.append({**part, **block.extras})
        if images:
            made["images"] = images

    def _call(self, call: ir.ToolCall) -> Json:
        made: Json = {"id": self._id(call.id)}
        name = self._names.out(call.name)
        if call.custom and takes_free_text(self._model, own=self._own):
            made["type"] = "custom"
            made["custom"] = {"name": name, "input": call.arguments}
        else:
            arguments = call.arguments or ("" if self._own else "{}")
            if call.custom:
                arguments = encode(as_object(call.arguments, custom=True)).decode()
            made["type"] = "function"
            made["function"] = {"name": name, "arguments": arguments}
        if call.signature:
            if call.origin == "gemini" and (self._own or "gemini" in self._model):
                made["extra_content"] = {"google": {"thought_signature": call.signature}}
            else:
                self._loss.drop("tool_call.signature")
        return {**made, **call.extras} if self._own else made

    def _own_state(self, made: Json, blocks: list[ir.Block]) -> None:
        """What only a client of this dialect can have said."""
        cited = [
            cited.own
            for block in blocks
            if isinstance(block, ir.Text)
            for cited in block.citations
            if cited.own
        ]
        if cited:
            made["annotations"] = cited
        sealed = [
            carrier
            for block in blocks
            if isinstance(block, ir.Text)
            for carrier in identity.carriers(block)
            if carrier is not None
        ]
        if sealed:
            held = made.setdefault("reasoning_details", [])
            for carrier in sealed:
                held += thoughts.entries(carrier, len(held))


def _one_system(messages: list[Json]) -> list[Json]:
    """The same with all that the system says at the start in one message: templates of many models take no second."""
    start = list(takewhile(_is_system, messages))
    if len(start) < 2:
        return messages
    content = "\n\n".join(message["content"] for message in start if message["content"])
    return [{"role": "system", "content": content}, *messages[len(start) :]]


def _is_system(message: Json) -> bool:
    return message["role"] == "system" and isinstance(message["content"], str)


def _feature(media: ir.Media) -> str:
    source = "text" if media.text else "file" if media.file_id else "url" if media.url else "data"
    return f"{media.kind}.{source}"
