"""An answer as data, before anything goes wrong with it.

    Whole     one body
    Stream    events: opening, blocks of tokens, then finish, usage and end, which a fault can leave out

Either is played as steps: bytes to send, seconds to wait, or an `Act`. With each step the counter `sent` says
how many tokens are out once it is sent (one more than there are: the answer is over), so that a fault can
strike before any of them.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw, Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from proxy.simulator.grammar import Steer
    from proxy.simulator.words import Source


class Act(Enum):
    """What a step does when it is neither bytes nor a pause."""

    TURN = 1
    """Send what there is and go on in the next turn of the loop."""
    FIN = 2
    RST = 3
    STALL = 4
    """Nothing more, until the client has gone."""
    DOOM = 5
    """The next request on this connection is met with a reset."""


Step = bytes | float | Act


ABSENT = Raw()
"""What a field is that was not sent: one object, so that asking for it costs next to nothing."""


class Ask(Struct, rename={"generation_config": "generationConfig", "tool_config": "toolConfig"}):
    """The fields of a request that change the answer, of all dialects; the rest is not decoded."""

    model: str = ""
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    n: int | None = None
    store: bool | None = None
    tools: Raw = ABSENT
    functions: Raw = ABSENT
    tool_choice: Raw = ABSENT
    thinking: Raw = ABSENT
    thread: Raw = ABSENT
    reasoning: Raw = ABSENT
    reasoning_effort: str | None = None
    include: list[str] | None = None
    text: Raw = ABSENT
    output_config: Raw = ABSENT
    output_format: Raw = ABSENT
    input: Raw = ABSENT
    prompt: Raw = ABSENT
    documents: Raw = ABSENT
    requests: Raw = ABSENT
    previous_response_id: str | None = None
    encoding_format: str | None = None
    dimensions: int | None = None
    response_format: Raw = ABSENT
    top_n: int | None = None
    generation_config: Raw = ABSENT
    tool_config: Raw = ABSENT


def decoded(raw: Raw) -> Any:
    """A field that only some operations read; JSON of any shape, None when it was not sent."""
    return msgspec.json.decode(raw) if raw is not ABSENT and bytes(raw) else None


def member(value: Any, camel: str, snake: str) -> Any:
    """A member of a JSON object in Gemini's dialect, where either spelling is right."""
    return value.get(camel, value.get(snake)) if isinstance(value, dict) else None


class Call(Struct, frozen=True, eq=False):
    """What an operation needs to know to answer."""

    ask: Ask
    steer: Steer
    serial: bytes
    """Unique in this process, fixed width; the end of every id."""
    parameter: str = ""
    """The id in the path, or Gemini's verb."""
    query: bytes = b""
    head: bytes = b""
    """The request's head, lower case."""
    store: dict[str, bytes] = {}
    """Responses kept for GET."""
    body: bytes = b""

    def content(self) -> Any:
        """The whole request, decoded; None when it is no JSON."""
        try:
            return msgspec.json.decode(self.body)
        except msgspec.DecodeError:
            return None


class Block(Struct, eq=False):
    """A run of tokens with the events around it."""

    opening: bytes
    count: int
    source: Source
    wrap: Callable[[bytes, int], bytes]
    """Text and number of a token to its event."""
    closing: bytes = b""
    width: int = 1
    """Tokens in one event."""


def wrapped(before: bytes, after: bytes) -> Callable[[bytes, int], bytes]:
    """Events that differ in their text only."""
    return lambda text, index: before + text + after


class Whole:
    """An answer in one piece."""

    __slots__ = ("body", "content_type", "sent", "tokens")

    def __init__(
        self,
        body: bytes,
        tokens: int = 0,
        content_type: bytes = b"application/json",
    ) -> None:
        self.content_type = content_type
        self.body = body
        self.tokens = tokens
        self.sent = 0

    def steps(self, steer: Steer) -> Iterator[Step]:
        """The body in two halves, for a fault between them."""
        if steer.first:
            yield steer.first
        half = len(self.body) // 2
        yield self.body[:half]
        self.sent = self.tokens + 1
        yield self.body[half:]


class Stream:
    """An answer in events."""

    __slots__ = (
        "blocks", "content_type", "end", "error", "finish", "opening", "ping", "sent", "tokens",
        "usage",
    )  # fmt: skip

    def __init__(
        self,
        blocks: list[Block],
        *,
        opening: bytes = b"",
        finish: bytes = b"",
        usage: bytes = b"",
        end: bytes = b"",
        error: Callable[[int], bytes],
        ping: bytes = b": ping\n\n",
        content_type: bytes = b"text/event-stream; charset=utf-8",
    ) -> None:
        self.content_type = content_type
        self.opening = opening
        self.blocks = blocks
        self.finish = finish
        self.usage = usage
        self.end = end
        self.error = error
        self.ping = ping
        self.sent = 0
        self.tokens = sum(block.count * block.width for block in blocks)

    def steps(self, steer: Steer) -> Iterator[Step]:
        """Every event in order, each token after its pause."""
        if self.opening:
            yield self.opening
        pause, gap = steer.first, steer.gap
        for block in self.blocks:
            source, wrap, width = block.source, block.wrap, block.width
            if block.opening:
                yield block.opening
            for index in range(block.count):
                if pause:
                    yield pause
                pause = gap
                self.sent += width
                yield wrap(source(index), index)
            if block.closing:
                yield block.closing
        self.sent = self.tokens + 1
        if last := self.finish + self.usage + self.end:
            yield last

    def event(self, text: bytes) -> bytes:
        """One more token's event, with a text of the caller's."""
        return self.blocks[-1].wrap(text, self.tokens)


Answer = Whole | Stream
