"""Streams for taps: made here, cut anywhere, fed as the network would."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import strategies as st

from proxy.dialects.base import BAD, CONTENT, ERROR, FINISH, USAGE_ONLY, Dialect, Tap
from proxy.wire.sse import events, last_boundary

NAMES = {CONTENT: "C", FINISH: "F", ERROR: "E", USAGE_ONLY: "U", BAD: "B"}
CUTS = st.lists(st.integers(0, 4000), max_size=12)


def data(*payloads: Any, name: str = "", newline: bytes = b"\n") -> bytes:
    """One event for each payload: bytes as they are, anything else as JSON."""
    head = f"event: {name}".encode() + newline if name else b""
    made = [
        payload if isinstance(payload, bytes) else orjson.dumps(payload) for payload in payloads
    ]
    return b"".join(head + b"data: " + payload + newline * 2 for payload in made)


def named(*payloads: dict[str, Any]) -> bytes:
    """One event for each payload, named by its type."""
    return b"".join(data(payload, name=payload["type"]) for payload in payloads)


def letters(flags: int) -> str:
    """Flags as a word: C content, F finish, E error, U usage only, B bad, `-` for none."""
    return "".join(letter for flag, letter in NAMES.items() if flags & flag) or "-"


def feed(dialect: Dialect, *pieces: bytes) -> tuple[Tap, str]:
    """(tap, flags of each event) after a stream that came in `pieces`."""
    tap = dialect.tap()
    seen: list[str] = []
    held = b""
    for piece in pieces:
        held += piece
        end = last_boundary(held)
        seen += _flags(tap, held[:end])
        held = held[end:]
    seen += _flags(tap, held)
    return tap, " ".join(seen)


def _flags(tap: Tap, block: bytes) -> list[str]:
    return [
        letters(tap.event(event.name, event.data))
        for event in events(block)
        if event.data is not None
    ]


def cut(stream: bytes, cuts: list[int]) -> list[bytes]:
    """`stream` in pieces."""
    ends = [*sorted(at % (len(stream) + 1) for at in cuts), len(stream)]
    return [stream[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def known(tap: Tap) -> tuple[object, ...]:
    """All that a tap has learnt."""
    error = tap.error and (tap.error.cause, tap.error.status)
    return (tap.usage, tap.finish_reason, error, tap.bad, tap.sequence, tap.closing, tap.complete())


def holds_for_every_cut(dialect: Dialect, stream: bytes, cuts: list[int]) -> None:
    """The chunk law: whole, byte by byte and cut anywhere, a stream says the same."""
    whole, flags = feed(dialect, stream)
    for pieces in ([stream[at : at + 1] for at in range(len(stream))], cut(stream, cuts)):
        tap, seen = feed(dialect, *pieces)
        assert seen == flags
        assert known(tap) == known(whole)
