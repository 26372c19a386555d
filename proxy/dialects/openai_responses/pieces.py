"""What a decoder remembers of an item and its blocks, so that nothing is said twice."""

from __future__ import annotations

from proxy.dialects import ir
from proxy.dialects.ir import Json
from proxy.dialects.lenient import probabilities
from proxy.dialects.openai_responses import items, parts
from proxy.dialects.openai_responses.fields import encode, objects, word

_CALLS = ("function_call", "custom_tool_call")


class Block:
    """One block of the stream."""

    __slots__ = ("citations", "closed", "index", "pieces", "tokens")

    def __init__(self, index: int) -> None:
        self.index = index
        self.pieces: list[str] = []
        self.tokens = 0
        self.citations = 0
        self.closed = False

    def rest(self, whole: str) -> str:
        """What of the whole text has not been said; nothing when the two are not the same text."""
        said = "".join(self.pieces)
        return whole[len(said) :] if whole.startswith(said) else ""

    def say(self, text: str, out: list[ir.Event]) -> None:
        """More of a text or a refusal."""
        if text and not self.closed:
            self.pieces.append(text)
            out.append(ir.TextDelta(self.index, text))

    def argue(self, text: str, out: list[ir.Event]) -> None:
        """More of a call's arguments."""
        if text and not self.closed:
            self.pieces.append(text)
            out.append(ir.ArgumentsDelta(self.index, text))

    def weigh(self, tokens: list[Json], out: list[ir.Event]) -> None:
        """Probabilities."""
        if tokens and not self.closed:
            self.tokens += len(tokens)
            out.append(ir.LogprobsDelta(self.index, tokens))

    def cite(self, notes: list[Json], out: list[ir.Event]) -> None:
        """Annotations."""
        for note in notes:
            if not self.closed:
                self.citations += 1
                out.append(ir.CitationDelta(self.index, parts.read_citation(note)))

    def finish(self, part: Json, out: list[ir.Event]) -> None:
        """Say what of the whole part has not been said."""
        if word(part, "type") == "refusal":
            self.say(self.rest(word(part, "refusal")), out)
            return
        self.say(self.rest(word(part, "text")), out)
        if not self.tokens:
            self.weigh(probabilities(part.get("logprobs")), out)
        self.cite(objects(part.get("annotations"))[self.citations :], out)

    def close(self, out: list[ir.Event]) -> None:
        """It is complete."""
        if not self.closed:
            self.closed = True
            out.append(ir.BlockEnd(self.index))


class Item:
    """One item of the output."""

    __slots__ = (
        "_rest",
        "_thoughts",
        "blocks",
        "call_id",
        "done",
        "id",
        "kind",
        "name",
        "raw",
        "waiting",
    )

    def __init__(self, kind: str, id: str) -> None:
        self.kind = kind
        self.id = id
        self.call_id = ""
        self.name = ""
        self.blocks: dict[int, Block] = {}
        """By the number of their part."""
        self.done = False
        self.raw = False
        """What comes of a thought is the thought itself, not a summary."""
        self.waiting: list[str] = []
        """Arguments of a call whose name is not known yet."""
        self._thoughts: dict[int, list[str]] = {}
        self._rest: Json = {}

    @property
    def is_call(self) -> bool:
        """Whether it is a call of a tool of the client's."""
        return self.kind in _CALLS

    def learn(self, value: Json) -> None:
        """Note what an item says of itself."""
        self.id = self.id or word(value, "id")
        self.call_id = self.call_id or word(value, "call_id") or word(value, "id")
        self.name = self.name or word(value, "name")
        if self.kind == "message":
            self._rest = items.message_rest({**value, "status": None})
        elif self.is_call:
            self._rest = items.rest_of(value, "call_id", "name", "arguments", "input", "status")

    def extras(self) -> Json:
        """What a block of this item keeps of it."""
        return {items.ITEM: self._rest} if self._rest else {}

    def matches(self, value: Json, *, at_its_place: bool = False) -> bool:
        """Whether this is the item that a whole output has as `value`."""
        if word(value, "type") != self.kind:
            return False
        if self.is_call:
            call_id = word(value, "call_id") or word(value, "id")
            return not self.call_id or not call_id or self.call_id == call_id
        # Some give an item another id in every event.
        return self.kind in ("message", "reasoning") or at_its_place or self.id == word(value, "id")

    def whole_arguments(self, value: Json) -> str:
        """The arguments of a finished call."""
        if self.kind == "custom_tool_call":
            return word(value, "input")
        arguments = value.get("arguments")
        if isinstance(arguments, dict):
            return encode(arguments).decode()
        return word(value, "arguments")

    def whole(self, value: Json) -> list[ir.Block]:
        """The blocks of a finished item."""
        return items.read_item(value)

    def part(self, part: Json) -> ir.Block:
        """The block of a finished part."""
        block = parts.read_part(part)
        if self._rest and isinstance(block, ir.Text | ir.Refusal):
            block.extras[items.ITEM] = self._rest
        return block

    def think(self, number: int, text: str, out: list[ir.Event], *, whole: bool) -> None:
        """More of part `number` of a thought, or (`whole`) all of it."""
        block = self.blocks[0]
        part = self._thoughts.setdefault(number, [])
        if whole:
            said = "".join(part)
            text = text[len(said) :] if text.startswith(said) else ""
        if not text or block.closed:
            return
        if not part and block.pieces:
            out.append(ir.ReasoningDelta(block.index, items.JOIN))
        part.append(text)
        block.pieces.append(text)
        out.append(ir.ReasoningDelta(block.index, text))
