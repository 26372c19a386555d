"""The conversation for a provider: turns of `user` and `model` by turns, results before anything else.

Since Gemini 3 a call of the current turn must carry the signature it came with. One that another model made, or whose
signature a client lost, gets the word that Google documents for it, once for each step.
"""

from __future__ import annotations

from proxy.dialects import identity, ir
from proxy.dialects.arguments import as_object
from proxy.dialects.gemini.media import write_media
from proxy.dialects.gemini.models import signs_calls
from proxy.dialects.gemini.names import FAMILY, NAME, TOOLS
from proxy.dialects.gemini.parts import with_extras
from proxy.dialects.ir import Json
from proxy.dialects.loss import Loss
from proxy.dialects.names import Names

UNSIGNED = "skip_thought_signature_validator"
_START = "."
"""What the user says in a conversation that does not begin with one."""


class Turns:
    """Writes the messages of one request."""

    __slots__ = ("_looks", "_loss", "_names", "_same", "contents", "system")

    def __init__(self, request: ir.Request, model: str, loss: Loss) -> None:
        self._loss = loss
        self._same = request.origin == NAME
        self._names = Names(TOOLS, request)
        self._looks = signs_calls(model)
        self.system: list[Json] = []
        self.contents: list[Json] = []
        for message in request.messages:
            self._message(message)
        if not self._same:
            self._begin()
        if self._looks:
            _sign(self.contents)

    def _message(self, message: ir.Message) -> None:
        if message.role in ("system", "developer"):
            self._instruct(message)
            return
        parts: list[Json] = []
        beside: list[Json] = []
        for block in message.content:
            parts += self._parts(block, beside)
        if not self._same:
            parts = _results_first(parts, beside)
        self._turn("model" if message.role == "assistant" else "user", parts, message.extras)

    def _instruct(self, message: ir.Message) -> None:
        """The system's words have a place of their own, what it shows has not."""
        shown: list[Json] = []
        for block in message.content:
            parts = self._parts(block, shown)
            is_said = self._same or isinstance(block, ir.Text | ir.Refusal)
            (self.system if is_said else shown).extend(parts)
        self._turn("user", shown, {})

    def _turn(self, role: str, parts: list[Json], extras: Json) -> None:
        if self._same:
            if parts or extras:
                self.contents.append({"role": role, "parts": parts, **extras})
            return
        if not parts:
            return
        if self.contents and self.contents[-1]["role"] == role:
            last: list[Json] = self.contents[-1]["parts"]
            self.contents[-1]["parts"] = _results_first(last + parts, [])
        else:
            self.contents.append({"role": role, "parts": parts})

    def _begin(self) -> None:
        if not self.contents or self.contents[0]["role"] == "model":
            self.contents.insert(0, {"role": "user", "parts": [{"text": _START}]})

    def _parts(self, block: ir.Block, beside: list[Json]) -> list[Json]:
        """The parts a block becomes; what goes behind the results of its turn is added to `beside`."""
        match block:
            case ir.Text():
                return self._text(block)
            case ir.Refusal(text=text):
                return [{"text": text}] if text else []
            case ir.Media():
                part = write_media(block, self._loss, same=self._same, looks=self._looks)
                return [part] if part else []
            case ir.Reasoning():
                return self._thought(block)
            case ir.ToolCall():
                return [self._call(block)]
            case ir.ToolResult():
                return [self._result(block, beside)]
            case ir.Opaque(origin=origin, value=value):
                return [value] if origin == FAMILY else []

    def _text(self, block: ir.Text) -> list[Json]:
        part: Json = {"text": block.text}
        self._seal(part, block, "text")
        if self._same:
            part.update(block.extras)
        return [part] if self._same or block.text or len(part) > 1 else []

    def _thought(self, block: ir.Reasoning) -> list[Json]:
        part: Json = {"text": block.text, "thought": True}
        self._seal(part, block, "thinking")
        if self._same:
            part.update(block.extras)
        is_told = block.text or "thoughtSignature" in part
        return [part] if is_told or (self._same and not block.signature) else []

    def _seal(self, part: Json, block: ir.Text | ir.Reasoning | ir.ToolCall, feature: str) -> None:
        if not block.signature:
            return
        if block.origin == FAMILY:
            part["thoughtSignature"] = block.signature
        else:
            self._loss.drop(f"{feature}.signature")

    def _call(self, block: ir.ToolCall) -> Json:
        arguments = as_object(block.arguments, custom=block.custom)
        name = self._names.out(block.name)
        part: Json = {"functionCall": {"name": name, "args": arguments}}
        if self._same and not block.arguments:
            del part["functionCall"]["args"]
        if block.id:
            part["functionCall"]["id"] = identity.tool_id(block.id)
        self._seal(part, block, "tool_call")
        return with_extras(part, block.extras, "functionCall") if self._same else part

    def _result(self, block: ir.ToolResult, beside: list[Json]) -> Json:
        said = "\n".join(part.text for part in block.content if isinstance(part, ir.Text))
        made: Json = {"name": self._names.out(block.name or "tool")}
        if block.id:
            made["id"] = identity.tool_id(block.id)
        made["response"] = {"error" if block.is_error else "output": said}
        inside: list[Json] = []
        for item in block.content:
            if not isinstance(item, ir.Media):
                if isinstance(item, ir.Opaque) and item.origin == FAMILY:
                    inside.append(item.value)
                continue
            part = write_media(item, self._loss, same=self._same, looks=False)
            if part is not None:
                is_inside = self._same or (self._looks and "inlineData" in part)
                (inside if is_inside else beside).append(part)
        if inside:
            made["parts"] = inside
        part = {"functionResponse": made}
        return with_extras(part, block.extras, "functionResponse") if self._same else part


def _results_first(parts: list[Json], beside: list[Json]) -> list[Json]:
    results = [part for part in parts if "functionResponse" in part]
    if not results:
        return [*parts, *beside]
    return [*results, *beside, *(part for part in parts if "functionResponse" not in part)]


def _sign(contents: list[Json]) -> None:
    """The documented word on the first call of each step since the user last spoke, where there is no signature."""
    for content in reversed(contents):
        parts: list[Json] = content["parts"]
        if content["role"] == "user":
            if not any("functionResponse" in part for part in parts):
                return
            continue
        for part in parts:
            if "functionCall" in part:
                part.setdefault("thoughtSignature", UNSIGNED)
                break
