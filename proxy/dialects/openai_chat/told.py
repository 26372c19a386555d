"""What a client has been told of a stream so far, and of the blocks that are open."""

from __future__ import annotations

from proxy.dialects import ir


class Spoken:
    """What a choice has been told so far."""

    __slots__ = ("calls", "citations", "details", "images", "length", "sound")

    def __init__(self) -> None:
        self.calls = 0
        self.details = 0
        self.images = 0
        self.length = 0
        """Characters of text."""
        self.citations: list[tuple[ir.Citation, int, int]] = []
        """With where its text begins, and its block."""
        self.sound = False


class Block:
    """An open block: how it is told, and where its pieces go."""

    __slots__ = ("begin", "block", "choice", "data", "entry", "filled", "head", "length", "tail")

    def __init__(self, block: ir.Block, choice: int) -> None:
        self.block = block
        self.choice = choice
        self.head = b""
        self.tail = b""
        self.begin = 0
        self.length = 0
        self.entry = -1
        """Index in `reasoning_details`, or in `tool_calls`."""
        self.data: list[str] = []
        self.filled = False
        """Something of it has been sent."""
