"""What the server of shared limits runs: each script on one key, by the server's own clock.

One key for each script, and all keys of a subject with the same hash tag: a cluster finds them in one place.
"""

from __future__ import annotations

from hashlib import sha1
from pathlib import Path

from msgspec import Struct


class Script(Struct, frozen=True):
    """`<name>.lua` beside this file, which says what it takes and gives."""

    text: bytes
    digest: bytes
    """By which the server knows it, once it has seen it."""


def _read(name: str) -> Script:
    text = Path(__file__).with_name(f"{name}.lua").read_bytes()
    return Script(text, sha1(text, usedforsecurity=False).hexdigest().encode())


RATE, HOLD, BEAT = _read("rate"), _read("hold"), _read("beat")


def key(prefix: str, subject: str, kind: str) -> str:
    """Where the server keeps one kind of what a subject has taken."""
    return f"{prefix}:{{{subject}}}:{kind}"
