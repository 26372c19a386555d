"""A provider's stream, read.

Every event says where it belongs: an item of the output, and a part of it. The same words come up to five times (as
deltas, and at the end of the text, of the part, of the item and of the response), and not every provider sends all of
them: whatever comes later is held against what has been said, and only the rest of it is news.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from msgspec import Struct, field

from proxy.dialects import errors, identity, ir
from proxy.dialects.ir import Json
from proxy.dialects.lenient import is_idle, mended, object_at, probabilities
from proxy.dialects.names import Names
from proxy.dialects.openai_responses.fields import NAME, TOOLS, finish_in, objects, word
from proxy.dialects.openai_responses.pieces import Block, Item
from proxy.dialects.openai_responses.response import created, extras_of, usage_of
from proxy.dialects.openai_responses.said import SAID, Said
from proxy.dialects.refusal import said_in

_TERMINAL = frozenset(
    {
        "response.completed",
        "response.incomplete",
        "response.failed",
        "response.cancelled",
        "response.done",
    }
)
_NO_ANSWER = "The provider could not complete the answer."


class _Delta(Struct, gc=False):
    """What an event must be to be read in one step."""

    type: str
    delta: str
    output_index: int
    content_index: int = 0
    logprobs: list[Json] = field(default_factory=list)


_PARTS = ("output_text", "text", "refusal")
_decode = msgspec.json.Decoder(_Delta).decode
_TEXT = "response.output_text.delta"


class ResponsesDecoder:
    """Reads one stream."""

    __slots__ = (
        "_blocks",
        "_closing",
        "_ended",
        "_items",
        "_names",
        "_next",
        "_order",
        "_started",
        "_text",
        "_text_at",
    )

    def __init__(self, request: ir.Request) -> None:
        self._names = Names(TOOLS, request)
        self._items: dict[tuple[int, str], Item] = {}
        self._order: list[Item] = []
        self._next = 0
        self._started = False
        self._ended = False
        self._closing = False
        """`[DONE]` has come, which other dialects end with."""
        self._text: Block | None = None
        """The text that is growing, at `_text_at`."""
        self._text_at = (-1, -1)

    def feed(self, name: bytes, data: bytes) -> list[ir.Event]:
        try:
            found = _decode(data)
        except (ValueError, RecursionError):
            return self._other(name, data)
        if (
            found.type == _TEXT
            and self._text is not None
            and not self._text.closed
            and (found.output_index, found.content_index) == self._text_at
            and not found.logprobs
        ):
            text = self._text
            text.pieces.append(found.delta)
            return [ir.TextDelta(text.index, found.delta)] if found.delta else []
        return self._other(name, data)

    def end(self) -> list[ir.Event]:
        if not self._closing or self._ended or not self._order:
            return []
        return self._finish({"status": "completed"})

    # --- events ---

    def _other(self, name: bytes, data: bytes) -> list[ir.Event]:
        if self._ended or is_idle(data):
            return []
        if data.strip() == b"[DONE]":
            self._closing = True
            return []
        event = object_at(data)
        if event is None:
            event = object_at(mended(data))
        if event is None:
            return []
        kind = word(event, "type") or name.decode("latin-1")
        try:
            return self._event(kind, event)
        except RecursionError:
            return []

    def _event(self, kind: str, event: Json) -> list[ir.Event]:
        if kind == "error" or (not kind.startswith("response.") and event.get("error")):
            return self._error(event)
        response = event.get("response")
        if kind in _TERMINAL:
            failed = kind == "response.failed"
            return self._finish(response if isinstance(response, dict) else {}, failed=failed)
        if isinstance(response, dict):
            return self._start(response)
        said = SAID.get(kind)
        if said is not None:
            out = self._start({})
            self._more(event, said, out)
            return out
        handle = _HANDLERS.get(kind)
        if handle is None:
            return []
        return [*self._start({}), *handle(self, event)]

    def _more(self, event: Json, said: Said, out: list[ir.Event]) -> None:
        if said.item == "message":
            self._say(event, said, out)
        elif said.item == "reasoning":
            text = word(_object(event, "part") or event, "text" if said.whole else "delta")
            self._think(event, text, out, raw=said.raw, whole=said.whole)
        else:
            self._argue(event, said, out)

    def _start(self, response: Json) -> list[ir.Event]:
        if self._started:
            return []
        self._started = True
        return [
            ir.ResponseStart(
                id=word(response, "id"),
                model=word(response, "model"),
                created=created(response),
                service_tier=word(response, "service_tier"),
                origin=NAME,
                extras=extras_of(response),
            )
        ]

    def _error(self, event: Json) -> list[ir.Event]:
        self._ended, self._text = True, None
        inner = event.get("error")
        about = inner if isinstance(inner, dict) else event
        fault = errors.fault_in({"error": {**about, "type": about.get("type", "")}})
        said = said_in({"error": about})
        code = word(about, "code")
        return [ir.StreamError(errors.status_of(fault), said.message or _NO_ANSWER, code)]

    # --- items ---

    def _item(self, event: Json, kind: str, *, begins: bool = False) -> Item:
        """The item an event is about, begun if nobody has said so."""
        index = event.get("output_index")
        if not isinstance(index, int) or isinstance(index, bool):
            id = word(event, "item_id")
            same = [one for one in self._order if one.kind == kind and (one.id == id or not id)]
            if same and (id or not same[-1].done):
                return same[-1]
            index = -1 - len(self._order)
        item = self._items.get((index, kind))
        # Who numbers every item 0 begins the next when the last is done.
        if item is None or (begins and item.done):
            item = self._items[index, kind] = Item(kind, word(event, "item_id"))
            self._order.append(item)
        return item

    def _added(self, event: Json) -> list[ir.Event]:
        value = event.get("item")
        if not isinstance(value, dict):
            return []
        about = {**event, "item_id": word(value, "id")}
        item = self._item(about, word(value, "type"), begins=True)
        out: list[ir.Event] = []
        item.learn(value)
        if item.is_call and item.name:
            self._call(item, out)
        return out

    def _done(self, event: Json) -> list[ir.Event]:
        value = event.get("item")
        if not isinstance(value, dict):
            return []
        item = self._item({**event, "item_id": word(value, "id")}, word(value, "type"))
        return self._complete(item, value)

    def _complete(self, item: Item, value: Json) -> list[ir.Event]:
        """Say what of a whole item has not been said, and end it."""
        out: list[ir.Event] = []
        if item.done:
            return out
        item.learn(value)
        item.done = True
        if item.kind == "message":
            for at, part in enumerate(_parts(value)):
                # The next of those that were begun, whatever number it was begun with.
                keys = sorted(item.blocks)
                self._part(item, keys[at] if at < len(keys) else _after(keys), part, out)
        elif item.kind == "reasoning":
            self._thought(item, value, out)
        elif item.is_call:
            self._call_done(item, item.whole_arguments(value), out)
        else:
            for block in item.whole(value):
                self._begin(item, 0, block, out)
        for opened in item.blocks.values():
            opened.close(out)
        return out

    def _begin(self, item: Item, key: int, block: ir.Block, out: list[ir.Event]) -> Block:
        opened = item.blocks[key] = Block(self._next)
        self._next += 1
        out.append(ir.BlockStart(opened.index, block))
        return opened

    # --- text and refusals ---

    def _opened(self, event: Json, *, refusal: bool, out: list[ir.Event]) -> Block:
        item = self._item(event, "message")
        key = _number(event, "content_index")
        block = item.blocks.get(key)
        if block is None:
            empty = ir.Refusal() if refusal else ir.Text()
            empty.extras = item.extras()
            for before in item.blocks.values():
                before.close(out)
            block = self._begin(item, key, empty, out)
            if not refusal:
                self._text, self._text_at = block, (_number(event, "output_index"), key)
        return block

    def _part_added(self, event: Json) -> list[ir.Event]:
        out: list[ir.Event] = []
        kind = word(_object(event, "part"), "type")
        if kind in _PARTS:
            self._opened(event, refusal=kind == "refusal", out=out)
        return out

    def _part_done(self, event: Json) -> list[ir.Event]:
        """Whole, but not ended: annotations may come yet."""
        out: list[ir.Event] = []
        part = _object(event, "part")
        kind = word(part, "type")
        if kind in _PARTS:
            self._opened(event, refusal=kind == "refusal", out=out).finish(part, out)
        elif kind == "reasoning_text":
            self._think(event, word(part, "text"), out, raw=True, whole=True)
        return out

    def _say(self, event: Json, said: Said, out: list[ir.Event]) -> None:
        block = self._opened(event, refusal=said.refusal, out=out)
        text = word(event, said.field)
        block.say(block.rest(text) if said.whole else text, out)
        if not (said.whole and block.tokens):
            block.weigh(probabilities(event.get("logprobs")), out)

    def _annotation(self, event: Json) -> list[ir.Event]:
        out: list[ir.Event] = []
        note = _object(event, "annotation")
        if note:
            self._opened(event, refusal=False, out=out).cite([note], out)
        return out

    def _part(self, item: Item, key: int, part: Json, out: list[ir.Event]) -> None:
        """Say what of a whole part has not been said."""
        block = item.blocks.get(key)
        if block is None:
            whole = item.part(part)
            if not isinstance(whole, ir.Text | ir.Refusal):
                self._begin(item, key, whole, out).close(out)
                return
            empty = ir.Refusal() if isinstance(whole, ir.Refusal) else ir.Text()
            empty.extras = whole.extras
            block = self._begin(item, key, empty, out)
        block.finish(part, out)

    # --- thoughts ---

    def _think(
        self, event: Json, text: str, out: list[ir.Event], *, raw: bool, whole: bool
    ) -> None:
        """More of a thought, or (`whole`) all of one part of it."""
        if not text:
            return
        item = self._item(event, "reasoning")
        if 0 not in item.blocks:
            self._begin(item, 0, ir.Reasoning(id=item.id, raw=raw), out)
            item.raw = raw
        if item.raw is raw:
            number = _number(event, "content_index" if raw else "summary_index")
            item.think(number, text, out, whole=whole)

    def _thought(self, item: Item, value: Json, out: list[ir.Event]) -> None:
        """The rest of a thought, and its seal."""
        block = item.blocks.get(0)
        for whole in item.whole(value):
            if not isinstance(whole, ir.Reasoning) or (block is None and whole.redacted):
                if block is None:
                    self._begin(item, 0, whole, out)
                continue
            if block is None:
                begun = ir.Reasoning(id=whole.id, raw=whole.raw, extras=whole.extras)
                block = self._begin(item, 0, begun, out)
                item.raw = whole.raw
            for at, text in enumerate(_thoughts(value, raw=item.raw)):
                item.think(at, text, out, whole=True)
            if whole.signature:
                out.append(ir.SignatureDelta(block.index, whole.signature, whole.origin))

    # --- calls ---

    def _call(self, item: Item, out: list[ir.Event]) -> Block:
        """The block of a call, with what has come of its arguments."""
        block = item.blocks.get(0)
        if block is None:
            call = ir.ToolCall(
                id=item.call_id or identity.new_id("call_"),
                name=self._names.back(item.name),
                custom=item.kind == "custom_tool_call",
                extras=item.extras(),
            )
            block = self._begin(item, 0, call, out)
            block.argue("".join(item.waiting), out)
        return block

    def _call_done(self, item: Item, arguments: str, out: list[ir.Event]) -> None:
        if not item.name:
            return
        block = self._call(item, out)
        block.argue(block.rest(arguments), out)

    def _argue(self, event: Json, said: Said, out: list[ir.Event]) -> None:
        item = self._item(event, said.item)
        text = word(event, said.field)
        item.name = item.name or word(event, "name")
        if said.whole:
            self._call_done(item, text, out)
        elif item.blocks:
            item.blocks[0].argue(text, out)
        else:
            item.waiting.append(text)  # for the name

    # --- the end ---

    def _finish(self, response: Json, *, failed: bool = False) -> list[ir.Event]:
        out = self._start(response)
        self._ended, self._text = True, None
        if failed or response.get("status") == "failed" or response.get("error"):
            return [*out, *self._error({"error": response.get("error") or {}})]
        self._reconcile(objects(response.get("output")), out)
        for item in self._order:
            for block in item.blocks.values():
                block.close(out)
        calls = any(item.is_call and item.blocks for item in self._order)
        finish, reason = finish_in(response, calls=calls)
        out.append(ir.ChoiceEnd(finish, reason=reason))
        usage = usage_of(response)
        if usage is not None:
            out.append(ir.UsageReport(usage))
        out.append(ir.ResponseEnd(extras_of(response)))
        return out

    def _reconcile(self, output: list[Json], out: list[ir.Event]) -> None:
        """Whatever of the whole output has not been streamed."""
        left = list(self._order)
        for at, value in enumerate(output):
            item = self._items.get((at, word(value, "type")))
            if item not in left or not item.matches(value, at_its_place=True):
                item = next((one for one in left if one.matches(value)), None)
            if item is None:
                item = Item(word(value, "type"), word(value, "id"))
                self._order.append(item)
            else:
                left.remove(item)
            out += self._complete(item, value)


def _number(event: Json, name: str) -> int:
    found = event.get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) else 0


def _object(event: Json, name: str) -> Json:
    found = event.get(name)
    return found if isinstance(found, dict) else {}


def _after(keys: list[int]) -> int:
    return keys[-1] + 1 if keys else 0


def _parts(value: Json) -> list[Json]:
    content = value.get("content")
    if isinstance(content, str):
        return [{"type": "output_text", "text": content}]
    return objects(content)


def _thoughts(value: Json, *, raw: bool) -> list[str]:
    return [word(part, "text") for part in objects(value.get("content" if raw else "summary"))]


_HANDLERS: Mapping[str, Callable[[ResponsesDecoder, Json], list[ir.Event]]] = {
    "response.output_item.added": ResponsesDecoder._added,
    "response.output_item.done": ResponsesDecoder._done,
    "response.content_part.added": ResponsesDecoder._part_added,
    "response.content_part.done": ResponsesDecoder._part_done,
    "response.output_text.annotation.added": ResponsesDecoder._annotation,
}
"""Events that say where something begins and ends."""
