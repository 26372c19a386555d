"""What a client has of one streamed answer, and whether an answer like that can be continued.

Only plain text is: one choice, no call, no JSON, nothing beside the words. Whatever else was seen in the request or in
the answer, an answer that breaks off ends as it would without all this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.dialects import DIALECTS, ir
from proxy.dialects.loss import Loss
from proxy.gateway.translation import asked, codec_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from proxy.dialects.base import Decoder, Encoder
    from proxy.gateway.exchange import Exchange

MOST_HOPS = 2
_MANY = 256
"""Events kept as they came before they are taken apart: a burst of a millisecond now and then."""
_MARKS: Mapping[str, tuple[bytes, ...]] = {
    "anthropic.messages": (b"content_block_start",),
    "openai.responses": (b"response.output_item.added", b"response.content_part.added"),
}
"""Events that number the blocks of an answer."""


class Sent:
    """Of one exchange, through all who had a part in its answer.

    An answer that passed as it came is told in events of the wire (`note`), which are kept until somebody needs what is
    in them; one that was translated, in those of the hub (`add`).
    """

    __slots__ = (
        "_decoder",
        "_exchange",
        "_kept",
        "_marks",
        "_numbered",
        "_parts",
        "_plain",
        "_prefix",
        "_thinking",
        "encoder",
        "hops",
        "model",
        "next",
        "open",
        "started",
        "thought",
        "usage",
    )

    def __init__(self, exchange: Exchange, encoder: Encoder | None = None) -> None:
        """`encoder` writes for the client. None: the answer passes as it came, until it is continued."""
        self._exchange = exchange
        self._decoder: Decoder | None = None
        self._kept: list[tuple[bytes, bytes]] = []
        self._marks = _MARKS.get(exchange.endpoint.dialect, ())
        dialect = exchange.endpoint.dialect
        self._prefix = "resp_" if encoder is None and dialect == "openai.responses" else ""
        """What an id has to begin with, for an encoder to keep it."""
        self._numbered = 0
        """Blocks the client has been told of, less those that `encoder` has written."""
        self._parts: list[str] = []
        self._plain = True
        self._thinking: set[int] = set()
        self.encoder = encoder
        self.hops = 0
        """How often it has been continued."""
        self.started = False
        self.thought = False
        """There were thoughts in it."""
        self.open = -1
        """The block of text that has begun and not ended."""
        self.next = 0
        """Index of the next block."""
        self.usage: ir.Usage | None = None
        """What was reported of it, which may be the prompt alone."""

    @property
    def text(self) -> str:
        """All of it that the client has."""
        if len(self._parts) > 1:
            self._parts = ["".join(self._parts)]
        return self._parts[0] if self._parts else ""

    def spoil(self) -> None:
        """The client was given something that was not understood."""
        self._plain = False

    def note(self, name: bytes, data: bytes) -> None:
        """One event that passed."""
        if self._plain:
            self._kept.append((name, data))
            if len(self._kept) > _MANY:
                self._digest()

    def add(self, events: Iterable[ir.Event]) -> None:
        """What the client was told."""
        for event in events:
            if type(event) is ir.TextDelta:
                if event.index == self.open:
                    self._parts.append(event.text)
                else:
                    self._plain = False
            else:
                self._other(event)

    def fits(self) -> bool:
        """Whether it can go on."""
        if self.hops >= MOST_HOPS:
            return False
        if self._kept or self.encoder is None:
            self._digest()
            self._conclude()
        request = self._exchange.asked
        return (
            self._plain
            and not self._thinking
            and not self._numbered
            and request is not None
            and is_plain(request)
        )

    # ---

    def _digest(self) -> None:
        """Take apart what was kept, and bring an encoder to where the provider's own was."""
        exchange = self._exchange
        codec = codec_of(DIALECTS[exchange.endpoint.dialect])
        if self._decoder is None:
            assert codec.encoder is not None
            request = asked(exchange, lenient=True)
            self._decoder = codec.decoder(request)
            self.encoder = codec.encoder(request, Loss())
        assert self.encoder is not None
        kept, self._kept = self._kept, []
        for name, data in kept:
            events = self._decoder.feed(name, data)
            self.add(events)
            out = b"".join(map(self.encoder.encode, events))
            for event in events:
                if isinstance(event, ir.BlockStart) and isinstance(event.block, ir.Text):
                    # Some begin a block with its first text; the client has been told of this one.
                    out += self.encoder.encode(ir.TextDelta(event.index, ""))
            for mark in self._marks:
                self._numbered += (name == mark) - out.count(b"event: %b\n" % mark)

    def _conclude(self) -> None:
        """A decoder may wait with a call until it is complete: what is in it must not be taken for nothing."""
        if self._decoder is not None:
            for event in (*self._decoder.feed(b"", b"[DONE]"), *self._decoder.end()):
                if isinstance(event, ir.BlockStart):
                    self._plain = False

    def _other(self, event: ir.Event) -> None:
        match event:
            case ir.BlockStart(index=index, block=block, choice=choice):
                self.next = max(self.next, index + 1)
                self._begin(index, block)
                self._plain = self._plain and not choice
            case ir.BlockEnd(index=index):
                self._thinking.discard(index)
                if index == self.open:
                    self.open = -1
            case ir.ResponseStart(id=id, usage=usage):
                self.started, self.usage = True, usage or self.usage
                # Else our end of it would be that of another answer.
                self._plain = self._plain and id.startswith(self._prefix)
            case ir.UsageReport(usage=usage):
                self.usage = usage
            case ir.SignatureDelta(index=index) if index in self._thinking:
                pass
            case ir.ReasoningDelta() | ir.Ping() | ir.StreamError():
                pass  # an error is kept back as long as somebody may go on
            case _:
                # Citations, probabilities, data, arguments; and the end, behind which nothing follows.
                self._plain = False

    def _begin(self, index: int, block: ir.Block) -> None:
        match block:
            case ir.Text(text=text):
                again = self.open >= 0 or bool(self._parts)
                extra = block.citations or block.logprobs or block.signature
                if again or extra:
                    self._plain = False
                self.open = index
                self._parts.append(text)
            case ir.Reasoning():
                self.thought = True
                self._thinking.add(index)
            case _:
                self._plain = False


def is_plain(request: ir.Request) -> bool:
    """A request for one plain text, which may be asked for twice."""
    return (
        request.n in (None, 1)
        and (request.format is None or request.format.kind == "text")
        and not request.logprobs
        and not request.top_logprobs
        and set(request.modalities) <= {"text"}
        and not request.musts
        and not request.array
        and not request.functions
        and not any(isinstance(tool, ir.ServerTool) for tool in request.tools)
        and (request.origin != "openai.responses" or request.aside.get("store") is False)
    )
