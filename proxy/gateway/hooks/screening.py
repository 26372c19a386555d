"""The text of an answer through all its screens: each is given what the one before it let go, and may hold some back.

What is held back is bounded twice: by characters (more than that goes out unseen) and by time (then the screen is asked
once more, and nothing is held after that). A screen that failed, where a request goes on without it, lets everything go.

What a screen cannot see, and could give away what it took out, is left out: probabilities of tokens.
"""

from __future__ import annotations

from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from proxy.dialects import ir
from proxy.gateway.hooks.calling import FAILED, blunder, call
from proxy.hooks.points import Piece, Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from proxy.gateway.hooks.hooked import Hooked
    from proxy.hooks.chain import Call
    from proxy.hooks.words import Kind

Delta = ir.TextDelta | ir.ReasoningDelta | ir.ArgumentsDelta


class Stage:
    """One screen at one block of text."""

    __slots__ = ("_before", "_hooked", "_kind", "_made", "held", "since")

    def __init__(self, hooked: Hooked, made: Call, kind: Kind) -> None:
        self._hooked = hooked
        self._made = made
        self._kind: Kind = kind
        self._before = ""
        self.held = ""
        self.since = inf
        """From when on some of it has been held."""

    @property
    def due(self) -> float:
        """When it may hold nothing any more."""
        return self.since + self._made.hook.seconds

    async def take(self, text: str, *, final: bool) -> str:
        """What goes on. Raises ProxyError."""
        window = self.held + text
        if not window:
            return ""
        hook = self._made.hook
        out, held = await self._ask(window, final=final)
        if final:
            out, held = out + held, ""
        elif len(held) > hook.characters:
            over = len(held) - hook.characters
            out, held = out + held[:over], held[over:]
        if not held:
            self.since = inf
        elif len(held) <= len(text) or self.since == inf:
            self.since = monotonic()  # else some of it has been here before
        self.held = held
        if hook.characters:
            self._before = (self._before + out)[-hook.characters :]
        return out

    async def _ask(self, text: str, *, final: bool) -> tuple[str, str]:
        made, hooked = self._made, self._hooked
        window = Window(text, self._before, final, self._kind)
        piece = await call(made, hooked.state, hooked.request(made.hook), window)
        if piece is not None and piece is not FAILED and not _is_piece(piece):
            piece = blunder(made, hooked.state, "returned what is no Piece")
        return (piece.text, piece.held) if isinstance(piece, Piece) else (text, "")


def _is_piece(piece: Any) -> bool:
    if not isinstance(piece, Piece):
        return False
    text: Any = piece.text
    held: Any = piece.held
    return all(isinstance(one, str) and _is_whole(one) for one in (text, held))


def _is_whole(text: str) -> bool:
    """Without half of a surrogate pair, which no client can be written."""
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


class Stages:
    """All screens at one block."""

    __slots__ = ("all", "delta")

    def __init__(
        self, hooked: Hooked, screens: Sequence[Call], kind: Kind, delta: type[Delta]
    ) -> None:
        self.all = [Stage(hooked, made, kind) for made in screens]
        self.delta = delta

    async def take(self, text: str, *, final: bool = False) -> str:
        """More of the text, or the end of it."""
        for stage in self.all:
            text = await stage.take(text, final=final)
        return text

    async def late(self, now: float) -> str:
        """What has been held for as long as it may be."""
        text = ""
        for stage in self.all:
            text = await stage.take(text, final=stage.due <= now)
        return text

    @property
    def due(self) -> float:
        return min(stage.due for stage in self.all)


class Screening:
    """One streamed answer, in events of the hub."""

    __slots__ = ("_blocks", "_hooked", "_screens")

    def __init__(self, hooked: Hooked, screens: Sequence[Call]) -> None:
        self._hooked = hooked
        self._screens = screens
        self._blocks: dict[int, Stages] = {}

    @property
    def due(self) -> float:
        """The monotonic time from which on `late` has something to do."""
        return min((block.due for block in self._blocks.values()), default=inf)

    async def take(self, events: Iterable[ir.Event], out: list[ir.Event]) -> None:
        """Put into `out` what the client is told of these events. Raises ProxyError; then `out` is what comes before."""
        for event in joined(events):
            match event:
                case ir.TextDelta() | ir.ReasoningDelta() | ir.ArgumentsDelta():
                    await self._text(event, out)
                case ir.BlockStart():
                    await self._begin(event, out)
                case ir.BlockEnd(index=index):
                    await self._end(index, out)
                    out.append(event)
                case ir.LogprobsDelta(index=index) if index in self._blocks:
                    pass
                case _:
                    out.append(event)

    async def late(self, now: float, out: list[ir.Event]) -> None:
        """The same of what has been held for as long as it may be."""
        for index, block in self._blocks.items():
            if block.due <= now:
                text = await block.late(now)
                if text:
                    out.append(block.delta(index, text))

    async def _text(self, event: Delta, out: list[ir.Event]) -> None:
        block = self._blocks.get(event.index)
        if block is None:  # of a block that never began
            out.append(event)
            return
        text = await block.take(event.text)
        if text:
            out.append(block.delta(event.index, text))

    async def _begin(self, event: ir.BlockStart, out: list[ir.Event]) -> None:
        """What a block begins with is text like any other."""
        begun = _emptied(event.block)
        if begun is None:
            out.append(event)
            return
        block, text, kind, delta = begun
        stages = self._blocks[event.index] = Stages(self._hooked, self._screens, kind, delta)
        out.append(replace(event, block=block))
        if text:
            said = await stages.take(text)
            if said:
                out.append(delta(event.index, said))

    async def _end(self, index: int, out: list[ir.Event]) -> None:
        block = self._blocks.get(index)
        if block is not None:
            text = await block.take("", final=True)
            del self._blocks[index]
            if text:
                out.append(block.delta(index, text))


def _emptied(block: ir.Block) -> tuple[ir.Block, str, Kind, type[Delta]] | None:
    """The block without its words, and these; None: it has none that could be screened."""
    match block:
        case ir.Text(text=text):
            return replace(block, text="", logprobs=[]), text, "text", ir.TextDelta
        case ir.Refusal(text=text):
            return replace(block, text=""), text, "text", ir.TextDelta
        case ir.Media(transcript=text):
            return replace(block, transcript=""), text, "text", ir.TextDelta
        case ir.Reasoning(text=text):
            return replace(block, text=""), text, "reasoning", ir.ReasoningDelta
        case ir.ToolCall(arguments=text):
            return replace(block, arguments=""), text, "arguments", ir.ArgumentsDelta
        case _:
            return None


def joined(events: Iterable[ir.Event]) -> list[ir.Event]:
    """Pieces of one text that follow each other, as one."""
    found: list[ir.Event] = []
    for event in events:
        last = found[-1] if found else None
        if (
            isinstance(event, ir.TextDelta | ir.ReasoningDelta | ir.ArgumentsDelta)
            and type(last) is type(event)
            and last.index == event.index
        ):
            found[-1] = replace(last, text=last.text + event.text)
        else:
            found.append(event)
    return found
