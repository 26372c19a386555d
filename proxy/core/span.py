"""A span that is over, in plain values: what is handed from the loop to the thread that sends it."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

Attributes = dict[str, Any]
"""Names of the semantic conventions to text, numbers, or lists of text."""


class Event(Struct, frozen=True, gc=False):
    """A moment of a span."""

    name: str
    at: float
    """Unix time."""


class Content(Struct, gc=False):
    """What was asked and answered, as it came: whoever sends it shortens it and takes secrets out."""

    asked: bytes
    """The request's body."""
    said: str
    """The text of the answer."""
    finish_reason: str
    most: int
    """Characters of each that are wanted."""


class Span(Struct, gc=False):
    """Of a trace; ids as W3C writes them."""

    name: str
    server: bool
    """It was asked of us; False: by us, of somebody else."""
    trace_id: str
    span_id: str
    parent_id: str
    """Empty: the trace begins here."""
    remote: bool
    """Its parent is somebody else's."""
    flags: int
    state: str
    """`tracestate`."""
    started: float
    """Unix time."""
    ended: float
    error: bool
    attributes: Attributes
    events: tuple[Event, ...] = ()
    content: Content | None = field(default=None)
