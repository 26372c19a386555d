"""How the ledger writes starts and ends of requests: of fields that are the same for many, and of those that are their own.

What is the same is encoded once, and several fields in a row are one `part`. A record is then an array that is shorter than
what it says: the head of the real one takes the place of its own. What comes out is byte for byte what `records.encode`
makes of a `Start` and an `End`.

    Start   START | rid at attempt | said | reserved likely prompt charges
    End     END | rid at | said | status … user_agent | tries charges
    said    key_id key team owner route operation dialect stream asked model deployment provider upstream_model
    tries   an array of `Try`, or for one: TRY | number | target | status outcome … cost
    target  deployment provider credential upstream_model dialect
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import Raw

from proxy.ledger.records import encode

START = b"\xdc\x00\x15\xa1S"
"""An array of 21, and the tag: in the place of the first byte of an array of 15 fields and parts at most."""
END = b"\xdc\x00\x24\xa1E"
"""An array of 36, and the tag: in the place of the first three bytes of a longer array."""
TRY = Raw(b"\x91\x9e")
"""An array of one, which is an array of 14."""

fast: Callable[[object], bytes] = msgspec.msgpack.Encoder().encode
"""As `records.encode`, but for what is no text: raises UnicodeEncodeError."""


def part(*fields: object) -> Raw:
    """These, 15 at most, as they are within a record."""
    return Raw(encode(fields)[1:])


def start(own: tuple[object, ...]) -> bytes:
    """The body of a `Start`."""
    try:
        return START + fast(own)[1:]
    except UnicodeEncodeError:
        return START + encode(own)[1:]


def end(own: tuple[object, ...]) -> bytes:
    """The body of an `End`."""
    try:
        return END + fast(own)[3:]
    except UnicodeEncodeError:
        return END + encode(own)[3:]
