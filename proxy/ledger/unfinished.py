"""Requests that have begun and, as far as was read, not ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
from msgspec import Struct

from proxy.ledger.records import Progress, Start, parse


class Key(Struct, frozen=True, array_like=True, gc=False):
    """The first words of every record: enough to know of a start, or of progress, until it is to be booked."""

    tag: str
    rid: str
    at: float


key_of: Final = msgspec.msgpack.Decoder(Key).decode
"""Of a record's body. Raises msgspec.MsgspecError for what no version has written."""


class Begun(Struct, gc=False):
    """What is known of one: the bodies of its records."""

    sequence: int
    """Of the segment in which it began."""
    starts: list[bytes]
    """One for each attempt."""
    progress: bytes | None = None


class Unfinished:
    """Those of one worker. Its records are shown in the order they were written; again does no harm."""

    __slots__ = ("_begun",)

    def __init__(self, begun: dict[str, Begun] | None = None) -> None:
        self._begun: dict[str, Begun] = begun or {}

    def __len__(self) -> int:
        return len(self._begun)

    def see(self, body: bytes, sequence: int) -> str:
        """Its tag. What no version has written is passed over: empty."""
        try:
            key = key_of(body)
        except msgspec.MsgspecError:
            return ""
        self.note(key.tag, key.rid, body, sequence)
        return key.tag

    def note(self, tag: str, rid: str, body: bytes, sequence: int) -> None:
        """As `see`, for who knows its words."""
        if tag == "E":
            self._begun.pop(rid, None)
        elif tag == "S":
            one = self._begun.get(rid)
            if one is None:
                one = self._begun[rid] = Begun(sequence, [])
            if body not in one.starts:
                one.starts.append(body)
        elif tag == "P":
            one = self._begun.get(rid)
            if one is not None:
                one.progress = body

    def end(self, rids: Iterable[str]) -> None:
        """Their ends were seen."""
        for rid in rids:
            self._begun.pop(rid, None)

    def forget(self, sequence: int) -> None:
        """Those that began in this segment or before are known to be settled."""
        for rid in [rid for rid, one in self._begun.items() if one.sequence <= sequence]:
            del self._begun[rid]

    def began(self, sequence: int) -> bool:
        """Whether any of them began in this segment."""
        return any(one.sequence == sequence for one in self._begun.values())

    def stored(self) -> dict[str, Begun]:
        """For a file."""
        return self._begun

    def records(self) -> Iterator[tuple[list[Start], Progress | None]]:
        """The starts of each, in the order of attempts, and how far it was. Whole frames only were shown."""
        for one in self._begun.values():
            starts = _starts(one.starts)
            if starts:
                yield starts, _progress(one.progress)


def _starts(bodies: Iterable[bytes]) -> list[Start]:
    found: dict[int, Start] = {}
    for body in bodies:
        try:
            record = parse(body)
        except msgspec.MsgspecError:
            continue
        if isinstance(record, Start):
            found[record.attempt] = record
    return [found[attempt] for attempt in sorted(found)]


def _progress(body: bytes | None) -> Progress | None:
    try:
        record = parse(body) if body is not None else None
    except msgspec.MsgspecError:
        return None
    return record if isinstance(record, Progress) else None
