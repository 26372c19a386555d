"""Another name for the model in an answer: every other byte stays as it came.

Where the name stands: `model` of OpenAI's and Anthropic's answers, `modelVersion` of Google's, and `model` of the `response`
or the `message` that an event of a stream brings along. Only there: what a model wrote may hold the same words.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw

from proxy.wire.sse import events

_MARK = b'"model'
_NAMES = ("model", "modelVersion")
_AROUND = ("response", "message")
_TEXT = ord('"')

_decode = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.Encoder().encode


def named(body: bytes, name: bytes) -> bytes:
    """An answer with `name` (a JSON string) in the place of the model's; what is no JSON object stays as it is."""
    if _MARK not in body:
        return body
    found = _named(Raw(body), name)
    return body if found is None else bytes(found)


def named_events(data: bytes, name: bytes) -> bytes:
    """The same in each whole event of a stream. What is no event, or has no end, stays as it is."""
    if _MARK not in data:
        return data
    pieces: list[bytes] = []
    for event in events(data):
        piece = data[event.start : event.end]
        if event.is_sse and event.data is not None and _MARK in event.data:
            # Data of several lines is not found in one piece: nobody who names a model sends such.
            piece = piece.replace(event.data, named(event.data, name), 1)
        pieces.append(piece)
    return b"".join(pieces)


def _named(raw: Raw, name: bytes, depth: int = 0) -> Raw | None:
    """None: there is no name in it."""
    try:
        fields = _decode(raw)
    except (ValueError, RecursionError):
        return None
    changed = False
    for key in _NAMES:
        value = fields.get(key)
        if value is not None and memoryview(value)[0] == _TEXT:
            fields[key] = Raw(name)
            changed = True
    if not depth:
        for key in _AROUND:
            value = fields.get(key)
            inner = None if value is None or _MARK not in bytes(value) else _named(value, name, 1)
            if inner is not None:
                fields[key] = inner
                changed = True
    return Raw(_encode(fields)) if changed else None
