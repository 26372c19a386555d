"""The output of a response while it is told: its items, and its events by number."""

from __future__ import annotations

from proxy.dialects import identity, ir
from proxy.dialects.ir import Json
from proxy.dialects.openai_responses.fields import encode


class Item:
    """One item of the output while it is told."""

    __slots__ = ("ends", "id", "index", "open", "own", "parts", "value")

    def __init__(self, index: int, value: Json, own: Json) -> None:
        self.index = index
        self.id: str = value["id"]
        self.value = value
        self.own = own
        """What it had where it came from."""
        self.parts: list[Json] = []
        self.open = 0
        """Blocks of it that have not ended."""
        self.ends = False
        """Nothing more begins in it."""


class Open:
    """One block while it is told: the item it is in, and the bytes before and after each delta."""

    __slots__ = (
        "block",
        "citations",
        "delta",
        "item",
        "part",
        "pieces",
        "place",
        "signature",
        "tokens",
    )

    def __init__(self, item: Item, block: ir.Block) -> None:
        self.item = item
        self.block = block
        self.place: Json = {"item_id": item.id, "output_index": item.index}
        self.part: Json = {}
        self.delta = b""
        self.pieces: list[str] = []
        self.tokens: list[Json] = []
        self.citations: list[ir.Citation] = []
        self.signature = ("", "")


class Output:
    """Items in the order they began, and the number of the next event."""

    __slots__ = ("ids", "items", "sequence")

    def __init__(self) -> None:
        self.sequence = 0
        self.ids = ""
        """What the ids of items are made of."""
        self.items: list[Item] = []

    def event(self, kind: str, fields: Json) -> bytes:
        """One event."""
        number = self.sequence
        self.sequence = number + 1
        data = encode({"type": kind, "sequence_number": number, **fields})
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)

    def more(self, opened: Open, text: str) -> bytes:
        """A delta; this runs once a token."""
        if not text:
            return b""
        opened.pieces.append(text)
        number = self.sequence
        self.sequence = number + 1
        return b'%b%b,"sequence_number":%d}\n\n' % (opened.delta, encode(text), number)

    def begin(self, value: Json, prefix: str, own_id: str = "", own: Json | None = None) -> Item:
        """A new item; its id is its own, or made of the response's."""
        index = len(self.items)
        id = identity.renamed(own_id, prefix) if own_id else f"{prefix}{self.ids}_{index}"
        if any(item.id == id for item in self.items):
            id = f"{id}_{index}"
        item = Item(index, {"id": id, **value}, own or {})
        self.items.append(item)
        return item

    def added(self, item: Item) -> bytes:
        """The event with which an item begins."""
        fields = {"output_index": item.index, "item": item.value}
        return self.event("response.output_item.added", fields)

    def done(self, item: Item) -> bytes:
        """The event with which it ends."""
        fields = {"output_index": item.index, "item": item.value}
        return self.event("response.output_item.done", fields)

    def tell(self, value: Json) -> bytes:
        """A finished item, in two events."""
        item = Item(len(self.items), value, {})
        self.items.append(item)
        begun = {**value, "status": "in_progress"} if "status" in value else value
        fields = {"output_index": item.index, "item": begun}
        return self.event("response.output_item.added", fields) + self.done(item)


def delta_head(kind: str, place: Json) -> bytes:
    """What stands before the text of every delta of a block."""
    data = encode({"type": kind, **place})
    return b'event: %b\ndata: %b,"delta":' % (kind.encode(), data[:-1])
