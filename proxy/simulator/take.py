"""One answer being given: the script, how far it has got, and the HTTP around it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from proxy.simulator.answers import Act, Answer, Step, Stream
from proxy.simulator.http import LAST_CHUNK, chunk, status_line

if TYPE_CHECKING:
    from proxy.simulator.grammar import Steer


class Take:
    """One answer being given: the script, and how far it has got."""

    __slots__ = ("answer", "family", "head", "held", "location", "serial", "steer", "steps")

    def __init__(
        self, answer: Answer, steer: Steer, family: str, serial: bytes, location: bytes = b""
    ) -> None:
        self.answer = answer
        self.steer = steer
        self.family = family
        self.serial = serial
        self.location = location
        self.held: Step | None = None
        self.steps: Iterator[Step] = answer.steps(steer)

    @property
    def cut(self) -> int:
        """Tokens before the fault."""
        tokens = self.answer.tokens
        return tokens // 2 if self.steer.at < 0 else min(self.steer.at, tokens)

    def until_cut(self) -> Iterator[Step]:
        """Play up to the cut; the next event stays in `held`."""
        cut = self.cut
        for step in self.steps:
            if self.answer.sent > cut:
                self.held = step
                return
            yield step

    def half(self) -> bytes:
        """Half of the held event."""
        held = self.held if isinstance(self.held, bytes) else b""
        return held[: len(held) // 2]

    def rest(self) -> Iterator[Step]:
        """Play on after the cut."""
        if self.held is not None:
            yield self.held
            self.held = None
        yield from self.steps

    def tokens_sent(self) -> int:
        if self.held is not None:
            return self.cut
        return min(self.answer.sent, self.answer.tokens)

    def body(self) -> bytes:
        """The whole body at once, without pauses."""
        return b"".join(step for step in self.rest() if isinstance(step, bytes))

    def opening(self, extra: bytes = b"") -> bytes:
        """Status line and headers, without the framing and the empty line."""
        return head(self.family, 200, self.answer.content_type, self.serial) + extra


Fault = Callable[[Take], Iterator[Step]]
"""A way to give an answer: every byte, every pause, and how it ends."""


_REQUEST_ID = {"anthropic": b"request-id", "bedrock": b"x-amzn-requestid"}


def head(family: str, status: int, content_type: bytes, serial: bytes) -> bytes:
    """A response head without framing and empty line."""
    name = _REQUEST_ID.get(family, b"x-request-id")
    return b"%bcontent-type: %b\r\n%b: req_%b\r\n" % (
        status_line(status),
        content_type,
        name,
        serial,
    )


def sized(opening: bytes, body: bytes, length: int | None = None) -> bytes:
    """A complete response of known (or pretended) length."""
    return b"%bcontent-length: %d\r\n\r\n%b" % (
        opening,
        len(body) if length is None else length,
        body,
    )


def framed(
    take: Take, body: Iterable[Step], extra: bytes = b"", *, last: bool = True
) -> Iterator[Step]:
    """A body in chunks behind its head."""
    yield take.opening(extra) + b"transfer-encoding: chunked\r\n\r\n"
    split = take.steer.split
    for step in body:
        if not isinstance(step, bytes):
            yield step
        elif not split:
            if step:
                yield chunk(step)
        else:
            for start in range(0, len(step), split):
                yield chunk(step[start : start + split])
                yield Act.TURN
    if last:
        yield LAST_CHUNK


def answered(take: Take, extra: bytes = b"") -> Iterator[Step]:
    """The whole good answer, with `extra` header lines."""
    answer = take.answer
    if isinstance(answer, Stream) or take.steer.split:
        yield from framed(take, take.steps, extra)
        return
    if take.steer.first:
        yield take.steer.first
    answer.sent = answer.tokens + 1
    yield sized(take.opening(extra), answer.body)
