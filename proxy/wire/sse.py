"""Server-sent events: where one ends, and what it says (WHATWG HTML 9.2.6), on bytes.

A line ends in LF, CR LF or CR, and providers use them all; an event ends with a blank line. Nothing here keeps
state: the caller cuts its stream with `last_boundary` and hands whole events on, so that the common read, exactly
one event, costs two slices (`single`).
"""

from __future__ import annotations

import re

from msgspec import Struct

_BOM = b"\xef\xbb\xbf"
_NEWLINES = b"\r\n"
_LINE = re.compile(rb"([^\r\n]*)(?:\r\n|\n|\r|\Z)")
_FIELDS = frozenset({b"data", b"event", b"id", b"retry"})
_BEGINNINGS = (b"data:", b"event:", b":", b"id:", b"retry:", b"\n", b"\r", _BOM)
_LONGEST_BEGINNING = 6


class Event(Struct, frozen=True, gc=False):
    """One event, or a block that is none: a comment, a lone `event:`, stray blank lines."""

    name: bytes
    data: bytes | None
    """Its data lines joined by LF; None when it has none, so that no client would dispatch it."""
    start: int
    end: int
    """`block[start:end]` are its bytes, the blank line included. The events of a block leave no gap."""
    is_sse: bool
    """Every line is a comment or a known field."""


def begins(data: bytes) -> bool:
    """Whether these first bytes can be the start of an event stream."""
    if data.startswith(_BEGINNINGS):
        return True
    return len(data) < _LONGEST_BEGINNING and any(start.startswith(data) for start in _BEGINNINGS)


def last_boundary(data: bytes) -> int:
    """Index just past the last blank line in `data`, which begins where an event may begin; 0 if there is none.

    A CR at the very end counts as a line end: should its LF follow, that is an empty line of no meaning.
    """
    if data.endswith((b"\n\n", b"\r\n\r\n")):
        return len(data)
    # -1 + 2 is 1 when nothing is found: below two, which is the least an end can be.
    end = data.rfind(b"\n\n") + 2
    if b"\r" in data:
        for mark in (b"\n\r", b"\r\r"):
            after = data.rfind(mark) + 2
            if after > 1 and data.startswith(b"\n", after):
                after += 1
            end = max(end, after)
    return end if end > 1 else len(data) - len(data.lstrip(_NEWLINES))


def single(data: bytes) -> tuple[bytes, bytes] | None:
    """(name, data) when `data` is exactly one event of one `data: ` line, a first `event: ` line or not; else None."""
    lines = data.splitlines()
    count = len(lines)
    if count == 2:
        data_line, blank = lines
        if not blank and data_line.startswith(b"data: "):
            return b"", data_line[6:]
    elif count == 3:
        event_line, data_line, blank = lines
        if not blank and event_line.startswith(b"event: ") and data_line.startswith(b"data: "):
            return event_line[7:], data_line[6:]
    return None


def events(block: bytes) -> list[Event]:
    """The events of `block`, which begins and ends where events do.

    A last event without its blank line is read as if it had one: whether that is fair is the caller's to know.
    """
    if b"\r" not in block:
        return _split(block, b"\n")
    pairs = block.count(b"\r\n")
    if pairs == block.count(b"\r") == block.count(b"\n"):
        return _split(block, b"\r\n")
    return _scan(block)


def _split(block: bytes, newline: bytes) -> list[Event]:
    """`events` of a block in which every line ends in the same way."""
    found: list[Event] = []
    blank = newline + newline
    step = len(newline)
    size = len(block)
    start = at = 0
    while block.startswith(newline, at):
        at += step
    while at < size:
        stop = block.find(blank, at)
        if stop < 0:
            stop = size - step if block.endswith(newline) else size
        end = min(stop + 2 * step, size)
        while block.startswith(newline, end):
            end += step
        if block.startswith(b"data: ", at) and block.find(newline, at, stop) < 0:
            found.append(Event(b"", block[at + 6 : stop], start, end, True))
        else:
            found.append(_read(block[at:stop].split(newline), start, end))
        start = at = end
    if not found and block:
        found.append(Event(b"", None, 0, size, True))
    return found


def _scan(block: bytes) -> list[Event]:
    """`events` of a block with line ends of several kinds."""
    found: list[Event] = []
    lines: list[bytes] = []
    ended = False
    start = 0
    size = len(block)
    at = 0
    while at < size:
        match = _LINE.match(block, at)
        assert match is not None  # it matches the empty string too
        line = match[1]
        if line and ended:
            found.append(_read(lines, start, at))
            lines, ended, start = [], False, at
        if line:
            lines.append(line)
        elif lines:
            ended = True
        at = match.end()
    found.append(_read(lines, start, size))
    return found


def _read(lines: list[bytes], start: int, end: int) -> Event:
    """One event from its lines."""
    name = b""
    data: list[bytes] = []
    is_sse = True
    if lines and lines[0].startswith(_BOM):
        lines[0] = lines[0][3:]
    for line in lines:
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value[1:] if value.startswith(b" ") else value)
        elif field == b"event":
            name = value[1:] if value.startswith(b" ") else value
        elif field and field not in _FIELDS:
            is_sse = False
    return Event(name, b"\n".join(data) if data else None, start, end, is_sse)
