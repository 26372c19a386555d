"""Records that the database refuses: set aside, so that those behind them are booked.

One line of JSON each in `<folder>/dead-letters.ndjson`: when, why, what it says for a person, and the bytes of the record
from which it can be booked again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from proxy.core.clock import now
from proxy.ledger.records import Record, encode, parse
from proxy.ledger.segments import make_folder

NAME: Final = "dead-letters.ndjson"


class DeadLetter(Struct, frozen=True):
    """One record, and why it was not booked."""

    at: float
    """Unix time at which it was set aside."""
    reason: str
    record: Record


class _Line(Struct, frozen=True):
    at: float
    reason: str
    kind: str
    says: dict[str, Any]
    record: bytes


_line: Final = msgspec.json.Decoder(_Line)


def bury(folder: Path, record: Record, reason: str) -> None:
    """On the disk when this returns. Raises OSError; then the record is still to be booked."""
    line = _Line(now(), reason, type(record).__name__, _said(record), encode(record))
    make_folder(folder)
    fd = os.open(folder / NAME, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        data = msgspec.json.encode(line) + b"\n"
        size = os.fstat(fd).st_size
        if size and os.pread(fd, 1, size - 1) != b"\n":
            data = b"\n" + data  # the last one was cut off
        try:
            if os.write(fd, data) != len(data):
                raise OSError(28, "No space left on device")
            os.fsync(fd)
        except OSError:
            os.ftruncate(fd, size)
            raise
    finally:
        os.close(fd)


def dead_letters(folder: Path) -> Iterator[DeadLetter]:
    """The oldest first. Lines that are none (a write was cut off) are passed over. Raises OSError."""
    try:
        file = (folder / NAME).open("rb")
    except (FileNotFoundError, NotADirectoryError):
        return
    with file:
        for words in file:
            try:
                line = _line.decode(words)
                yield DeadLetter(line.at, line.reason, parse(line.record))
            except msgspec.MsgspecError:
                continue


def _said(record: Record | Struct) -> dict[str, Any]:
    return {name: _plain(getattr(record, name)) for name in record.__struct_fields__}


def _plain(value: Any) -> Any:
    if isinstance(value, Struct):
        return _said(value)
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value
