"""The conversation for a provider: `instructions`, and items in the order in which things were said."""

from __future__ import annotations

from proxy.dialects import identity, ir
from proxy.dialects.ir import Json
from proxy.dialects.loss import Loss
from proxy.dialects.names import Names
from proxy.dialects.openai_responses.fields import FAMILY, NAME, TOOLS
from proxy.dialects.openai_responses.items import ITEM, call_item, reasoning_item
from proxy.dialects.openai_responses.parts import PART, write_input, write_said

_NOTHING_SAID = "."
_SYSTEM = ("system", "developer")


class Turns:
    """Writes the messages of one request."""

    __slots__ = ("_loss", "_names", "_own", "_seen", "instructions", "items")

    def __init__(self, request: ir.Request, loss: Loss) -> None:
        self._loss = loss
        self._own = request.origin == NAME
        self._names = Names(TOOLS, request)
        self._seen: set[str] = set()
        """Ids of thoughts: some providers give all thoughts of an answer the same."""
        self.items: list[Json] = []
        leading = self._leading(request)
        self.instructions = _joined(request.messages[:leading]) if leading else None
        if not self._own:
            self.instructions = self.instructions or None
        for message in request.messages[leading:]:
            self._message(message)
        if not self._own:
            self.items = _followed(self.items)
            if not self.items:
                self.items.append(_message_item("user", [_text_part(_NOTHING_SAID)]))

    def _leading(self, request: ir.Request) -> int:
        """How many messages are `instructions`."""
        if self._own:
            return int("instructions" in request.aside)
        count = 0
        for message in request.messages:
            if message.role != "system":
                break
            if not all(isinstance(block, ir.Text) for block in message.content):
                return 0
            count += 1
        return count

    def _message(self, message: ir.Message) -> None:
        if message.role == "assistant":
            self._said(message)
            return
        parts: list[Json] = []
        for block in message.content:
            if isinstance(block, ir.ToolResult):
                self._flush(message, parts)
                parts = []
                self.items.append(self._result(block))
            elif isinstance(block, ir.Opaque) and not _is_part(block):
                if self._keeps(block):
                    self._flush(message, parts)
                    parts = []
                    self.items.append(block.value)
            else:
                part = write_input(block, self._loss, own=self._own)
                if part is not None:
                    parts.append(part)
        self._flush(message, parts)

    def _flush(self, message: ir.Message, parts: list[Json]) -> None:
        if not parts:
            return
        item = _message_item(message.role, parts)
        if self._own:
            item.update(message.extras)
        if message.role in _SYSTEM and not self._own:
            # Instructions are words only.
            texts = [part for part in parts if part["type"] == "input_text"]
            for part in parts:
                if part not in texts:
                    self._loss.drop(
                        "image.data" if part["type"] == "input_image" else "document.data"
                    )
            item["content"] = texts
            if not texts:
                return
        self.items.append(item)

    def _keeps(self, block: ir.Opaque) -> bool:
        if self._own:
            return True
        if block.origin == FAMILY:  # another dialect's of this family: `survey` took it for ours
            self._loss.drop("opaque")
        return False

    # --- what the model has said ---

    def _said(self, message: ir.Message) -> None:
        open_item: Json | None = None
        for block in message.content:
            if isinstance(block, ir.Text | ir.Refusal):
                rest = block.extras.get(ITEM, {}) if self._own else {}
                if open_item is None or any(open_item.get(name) != rest[name] for name in rest):
                    open_item = {**_message_item("assistant", []), **rest}
                if block.text or self._own:
                    if not open_item["content"]:
                        self.items.append(open_item)
                    open_item["content"].append(write_said(block, self._loss, own=self._own))
                continue
            if _is_part(block):
                if self._own and open_item is not None and isinstance(block, ir.Opaque):
                    open_item["content"].append(block.value)
                continue
            item = self._item(block)
            if item is not None:
                open_item = None
                self.items.append(item)

    def _item(self, block: ir.Block) -> Json | None:
        match block:
            case ir.Reasoning():
                return self._thought(block)
            case ir.ToolCall():
                if block.signature:
                    self._loss.drop("tool_call.signature")
                item = call_item(block, self._call_id(block.id))
                item["name"] = self._names.out(block.name)
                if self._own:
                    item.update(block.extras.get(ITEM, {}))
                return item
            case ir.ToolResult():
                return self._result(block)
            case ir.Opaque():
                return block.value if self._keeps(block) else None
            case _:
                # The model has no pictures of its own here.
                self._loss.drop(f"{block.kind}.data" if isinstance(block, ir.Media) else "opaque")
                return None

    def _thought(self, block: ir.Reasoning) -> Json | None:
        is_ours = block.origin == FAMILY and bool(block.signature)
        if not (is_ours or self._own):
            # Without its seal the endpoint takes no thought back, not even one it can read.
            if block.signature:
                self._loss.drop("thinking.signature")
            if block.text:
                self._loss.drop("thinking.text")
            return None
        if self._own and block.signature and not is_ours:
            self._loss.drop("thinking.signature")
            if not block.text:
                return None
        id = block.id
        if not self._own and (not id.startswith("rs_") or id in self._seen):
            id = ""
        self._seen.add(id)
        item = reasoning_item(block, id, block.signature if is_ours else "")
        if self._own:
            extras = dict(block.extras)
            item.update(extras.pop(ITEM, {}))
            item.update(extras)
        return item

    def _call_id(self, id: str) -> str:
        return id if self._own else identity.tool_id(id)

    def _result(self, block: ir.ToolResult) -> Json:
        kind = "custom_tool_call_output" if block.custom else "function_call_output"
        item: Json = {"type": kind, "call_id": self._call_id(block.id), "output": ""}
        parts = [
            part
            for one in block.content
            if (part := write_input(one, self._loss, own=self._own)) is not None
        ]
        if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
            item["output"] = parts[0]["text"]
        elif parts:
            item["output"] = parts
        if self._own:
            item.update(block.extras.get(ITEM, {}))
        return item


def _is_part(block: ir.Block) -> bool:
    return isinstance(block, ir.Opaque) and block.kind.startswith(PART)


def _message_item(role: str, parts: list[Json]) -> Json:
    return {"type": "message", "role": role, "content": parts}


def _text_part(text: str) -> Json:
    return {"type": "input_text", "text": text}


def _joined(messages: list[ir.Message]) -> str:
    texts = [
        block.text
        for message in messages
        for block in message.content
        if isinstance(block, ir.Text)
    ]
    return "\n\n".join(text for text in texts if text)


def _followed(items: list[Json]) -> list[Json]:
    """The items without thoughts that nothing came of: the endpoint refuses them."""
    kept: list[Json] = []
    follows = False
    for item in reversed(items):
        if item["type"] == "reasoning":
            if follows:
                kept.append(item)
            continue
        follows = item.get("role") == "assistant" or item["type"] in (
            "function_call",
            "custom_tool_call",
        )
        kept.append(item)
    kept.reverse()
    return kept
