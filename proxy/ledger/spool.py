"""The spool of one worker: records on the disk before the client has its answer, whatever becomes of the worker.

Segments `<path>/spool/<worker>/<sequence>.wal` are made of their full size (so that a full disk is noticed then, not in
the middle of a record) and mapped into memory: an append is a copy, which outlives the process. A thread writes them
through to the disk every `sync` seconds, which bounds what a loss of power takes.
"""

from __future__ import annotations

from pathlib import Path

SEGMENT = 4 << 20
EMERGENCY = 64 << 20
"""Bytes kept free for ends of requests, when all else is full."""


class Full(Exception):
    """There is no room for this record."""


class Spool:
    """Appends for one worker. Nothing here awaits; nothing here raises but Full, and OSError when it is opened."""

    def __init__(
        self, folder: Path, worker: str, *, size: int, segment: int = SEGMENT, sync: float = 0.2
    ) -> None:
        """`folder` is the ledger's; `size` bounds all workers' segments together, as far as this one can see."""
        raise NotImplementedError

    def append(self, frame: bytes, *, vital: bool = False) -> None:
        """Raises Full. A `vital` record (the end of a request) may use the emergency room."""
        raise NotImplementedError

    @property
    def full(self) -> bool:
        """Whether the next record that is not vital would raise Full: asked before a request is admitted."""
        raise NotImplementedError

    def wake(self) -> None:
        """After a `Full`: look again whether there is room. Called once a second by whoever owns it."""
        raise NotImplementedError

    def close(self) -> None:
        """Cut the segment to what is in it and sync: nothing follows."""
        raise NotImplementedError
