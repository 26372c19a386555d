"""AWS event streams (`application/vnd.amazon.eventstream`): frames of headers and a payload, on bytes.

A frame begins with its own length, the length of its headers and a checksum of both, and ends with a checksum of it
all. The functions keep the contracts of `wire.sse`, and make the same events: the name is the frame's `:event-type`,
the data its payload. A frame that reports a failure becomes an event `error` whose data says which. There is nothing
to find the next frame by after a broken one, so whatever follows is not read any more.

https://docs.aws.amazon.com/transcribe/latest/dg/streaming-setting-up.html#streaming-event-stream
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from struct import Struct as Layout
from uuid import UUID
from zlib import crc32

import msgspec

from proxy.wire.sse import Event

_PRELUDE = Layout("!III")
_CHECKSUM = Layout("!I")
_LEAST = _PRELUDE.size + _CHECKSUM.size
_MOST_HEADERS = 128 * 1024
_MOST = _LEAST + _MOST_HEADERS + 24 * 1024 * 1024
"""A payload has 24 MiB at most."""
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode

Value = bool | int | bytes | str | datetime | UUID


class Broken(ValueError):
    """Not a frame, or one that was damaged on its way."""


def begins(data: bytes) -> bool:
    """Whether these first bytes can be the start of such a stream."""
    if len(data) < _PRELUDE.size:
        return int.from_bytes(data[:4].ljust(4, b"\0"), "big") <= _MOST
    return _length(data, 0) > 0


def last_boundary(data: bytes) -> int:
    """Index just past the last whole frame in `data`, which begins where a frame may begin; 0 if there is none.

    All of it when it holds bytes that are no frame: no more of them would make one.
    """
    at = 0
    while len(data) - at >= _PRELUDE.size:
        length = _length(data, at)
        if not length:
            return len(data)
        if at + length > len(data):
            break
        at += length
    return at


def single(data: bytes) -> tuple[bytes, bytes] | None:
    """(name, data) when `data` is exactly one good frame of an event; else None."""
    size = len(data)
    if size < _LEAST:
        return None
    length, width, _ = _PRELUDE.unpack_from(data)
    if width > _SHORT:
        return None
    # The checksum at the end is of the prelude too.
    if (
        length != size
        or width > size - _LEAST
        or crc32(data[:-4]) != int.from_bytes(data[-4:], "big")
    ):
        return None
    begin = 12 + width
    name = _event_name(data[12:begin])
    return None if name is None else (name, data[begin:-4])


def events(block: bytes) -> list[Event]:
    """The events of `block`, which begins and ends where frames do. A last frame that is not whole says nothing."""
    found: list[Event] = []
    at = 0
    size = len(block)
    while at < size:
        length = _length(block, at) if size - at >= _PRELUDE.size else _LEAST
        if not length:
            found.append(Event(b"", None, at, size, False))
            break
        end = at + length
        if end > size:
            found.append(Event(b"", None, at, size, True))
            break
        try:
            headers, payload = parse(block[at:end])
        except Broken:
            found.append(Event(b"", None, at, size, False))
            break
        name, data = _said(headers, payload)
        found.append(Event(name, data, at, end, True))
        at = end
    return found


def parse(data: bytes) -> tuple[dict[str, Value], bytes]:
    """Headers and payload of one whole frame. Raises Broken."""
    if len(data) < _LEAST or _length(data, 0) != len(data):
        raise Broken("not one whole frame")
    if crc32(data[:-4]) != _CHECKSUM.unpack_from(data, len(data) - 4)[0]:
        raise Broken("the frame's checksum is wrong")
    begin = _PRELUDE.size + int.from_bytes(data[4:8], "big")
    return _headers(data, _PRELUDE.size, begin), data[begin:-4]


def frame(headers: Mapping[str, Value], payload: bytes) -> bytes:
    """One frame. An integer is written as a long."""
    lines = b"".join([_header(name, value) for name, value in headers.items()])
    lengths = (_LEAST + len(lines) + len(payload)).to_bytes(4, "big") + len(lines).to_bytes(
        4, "big"
    )
    whole = b"%b%b%b%b" % (lengths, _CHECKSUM.pack(crc32(lengths)), lines, payload)
    return whole + _CHECKSUM.pack(crc32(whole))


def event(name: str, payload: bytes) -> bytes:
    """One frame of an event, as AWS sends it."""
    headers: dict[str, Value] = {
        ":event-type": name,
        ":content-type": "application/json",
        ":message-type": "event",
    }
    return frame(headers, payload)


def exception(name: str, payload: bytes) -> bytes:
    """One frame that reports a failure the service knows."""
    headers: dict[str, Value] = {
        ":exception-type": name,
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    return frame(headers, payload)


def _length(data: bytes, at: int) -> int:
    """Length of the frame whose prelude stands at `at`; 0 when that is no prelude."""
    total, headers, checksum = _PRELUDE.unpack_from(data, at)
    if not _LEAST <= total <= _MOST or headers > min(total - _LEAST, _MOST_HEADERS):
        return 0
    # Checked before waiting for the rest: a damaged length would have us wait for megabytes.
    return int(total) if crc32(data[at : at + 8]) == checksum else 0


def _said(headers: Mapping[str, Value], payload: bytes) -> tuple[bytes, bytes]:
    """Name and data of an event, or of the failure a frame reports."""
    kind = headers.get(":message-type", "event")
    if kind == "event":
        return _name(headers.get(":event-type")), payload
    try:
        found = _decode(payload)
    except (ValueError, RecursionError):
        found = payload.decode("utf-8", "replace")
    fields = found if isinstance(found, dict) else {"message": found} if found else {}
    word = headers.get(":exception-type", headers.get(":error-code", kind))
    fields["type"] = word if isinstance(word, str) else str(kind)
    message = headers.get(":error-message")
    if isinstance(message, str):
        fields.setdefault("message", message)
    return b"error", _encode(fields)


_SHORT = 256
"""Headers longer than this are not remembered."""


@lru_cache(256)  # the headers of a stream's events are the same bytes again and again
def _event_name(lines: bytes) -> bytes | None:
    """Name of the event these headers belong to; None when it is no event, or they cannot be read."""
    try:
        headers = _headers(lines, 0, len(lines))
    except Broken:
        return None
    if headers.get(":message-type", "event") != "event":
        return None
    return _name(headers.get(":event-type"))


def _name(value: Value | None) -> bytes:
    return value.encode() if isinstance(value, str) else b""


# --- headers ------------------------------------------------------------------------------------------------


def _headers(data: bytes, at: int, end: int) -> dict[str, Value]:
    found: dict[str, Value] = {}
    try:
        while at < end:
            begin = at + 1
            at = begin + data[at]
            name = data[begin:at].decode()
            read, width = _TYPES[data[at]]
            at += 1
            if width < 0:
                width = int.from_bytes(data[at : at + 2], "big")
                at += 2
            if at + width > end:
                raise Broken("a header is longer than the headers")
            found[name] = read(data[at : at + width])
            at += width
    except (IndexError, KeyError, UnicodeDecodeError, OverflowError) as error:
        raise Broken("a header cannot be read") from error
    return found


def _integer(data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)


def _timestamp(data: bytes) -> datetime | int:
    """Milliseconds since 1970; what no calendar has stays a number."""
    value = _integer(data)
    try:
        return datetime.fromtimestamp(value / 1000, UTC)
    except (OverflowError, OSError, ValueError):
        return value


_TYPES: Mapping[int, tuple[Callable[[bytes], Value], int]] = {
    0: (lambda data: True, 0),
    1: (lambda data: False, 0),
    2: (_integer, 1),
    3: (_integer, 2),
    4: (_integer, 4),
    5: (_integer, 8),
    6: (bytes, -1),
    7: (bytes.decode, -1),
    8: (_timestamp, 8),
    9: (lambda data: UUID(bytes=data), 16),
}
"""Type of a header value to how it is read and how long it is; -1: two bytes before it say."""


def _header(name: str, value: Value) -> bytes:
    key = name.encode()
    return b"%c%b%b" % (len(key), key, _value(value))


def _value(value: Value) -> bytes:
    if isinstance(value, bool):
        return b"\0" if value else b"\1"
    if isinstance(value, int):
        return b"\5" + value.to_bytes(8, "big", signed=True)
    if isinstance(value, datetime):
        return b"\x08" + round(value.timestamp() * 1000).to_bytes(8, "big", signed=True)
    if isinstance(value, UUID):
        return b"\x09" + value.bytes
    kind, data = (b"\7", value.encode()) if isinstance(value, str) else (b"\6", value)
    return b"%b%b%b" % (kind, len(data).to_bytes(2, "big"), data)
