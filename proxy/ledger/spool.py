"""The spool of one worker: records on the disk before the client has its answer, whatever becomes of the worker.

Segments `<folder>/spool/<worker>/<sequence>-<mark>.wal` are made of their full size (so that a full disk is noticed then,
not in the middle of a record) and mapped into memory: an append is a copy, which outlives the process. One thread writes
them through to the disk every `sync` seconds, which bounds what a loss of power takes, and has the next segment ready.

What is given up first when there is no room for another segment (`tight`): records that may lose, by whoever writes them;
then starts of requests, at the last eighth of the segment (`full`); ends last, which have that eighth and the
emergency room.
"""

from __future__ import annotations

import errno
import threading
from collections import deque
from pathlib import Path
from typing import Any, Final
from zlib import crc32

from proxy.core.clock import monotonic
from proxy.core.log import logger
from proxy.ledger.records import HEAD
from proxy.ledger.room import Room
from proxy.ledger.segments import (
    CLOSED,
    FIRST,
    FRAME,
    Segment,
    following,
    listed,
    seal,
    sequence_of,
    sync_folder,
    write_through,
)

SEGMENT: Final = 4 << 20
EMERGENCY: Final = 64 << 20
"""Bytes kept free for ends of requests, when all else is full."""
PAUSE: Final = 1.0
"""Seconds between looks whether there is room again."""
DOZE: Final = 60.0
"""Seconds it sleeps while nothing is written: the next record wakes it."""
TYPICAL: Final = 1024
"""Bytes a record hardly exceeds."""

_WAITS: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""What may be over some day, so it is no reason not to start."""


Body = bytes
Frame = bytes
_frame, _HEAD = FRAME.pack, FRAME.size


class Full(Exception):
    """There is no room for this record."""


class Spool:
    """Appends for one worker. Nothing here awaits; nothing here raises but Full, and OSError when it is opened.

    One thread appends. `written` and `dropped` count records, `bytes` what was written.
    """

    def __init__(
        self,
        folder: Path,
        worker: str,
        *,
        size: int,
        segment: int = SEGMENT,
        sync: float = 0.2,
        emergency: int = EMERGENCY,
        spare: Path | None = None,
    ) -> None:
        """`folder` is the ledger's; `size` bounds all workers' segments together, as far as this one can see.

        `spare` is the folder of another ledger, whose segments may be deleted when the disk is full: that of contents.
        A full disk does not keep it from opening; a folder that cannot be written does (OSError).
        """
        self.written = 0
        self.dropped = 0
        self._worker = worker
        self._folder = folder / "spool" / worker
        self._source = Room(folder, size=size, segment=segment, emergency=emergency, spare=spare)
        self._capacity = segment - FIRST - FRAME.size
        self._reserve = segment // 8
        self._sync = sync
        self._before = 0
        # What is written to now: the segment, its map, its mark, the next place in it, and how far it may be filled.
        self._segment: Segment | None = None
        self._data: Any = None
        self._mark = b""
        self._sequence_now = 0
        self._at = self._most = self._room = 0
        # Between the two threads. Segments are used in the order in which they were made: under `_making`.
        self._making = threading.Lock()
        self._next: Segment | None = None
        self._old: deque[tuple[Segment, int]] = deque()
        self._lock = threading.Lock()
        self._tight = False
        self._dozing = False
        """The next record is to find no room, and so to say that there is one."""
        self._again = 0.0
        self._ill = False
        self._bell = threading.Event()
        self._stop = False

        self._sequence = self._clear()
        try:
            self._go_on(self._make())
        except OSError as error:
            if error.errno not in _WAITS:
                raise
            self._be_tight(error)
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()

    def write(self, body: Body, *, vital: bool = False) -> None:
        """Raises Full. A `vital` record (the end of a request) may use the emergency room."""
        at, size = self._at, len(body)
        end = at + _HEAD + size
        if end > self._most:
            self._make_way(_HEAD + size, vital)
            at = self._at
            end = at + _HEAD + size
        try:
            self._data[at:end] = _frame(self._mark, size, crc32(body)) + body
        except OSError as error:
            self._cannot(error, _HEAD + size, vital)
            self._once_more(body)
            return
        self._at = end
        self.written += 1

    def append(self, frame: Frame, *, vital: bool = False) -> None:
        """The same of a record that has its length and its checksum."""
        self.write(frame[HEAD.size :], vital=vital)

    @property
    def bytes(self) -> int:
        """Written in all."""
        return self._before + max(self._at - FIRST, 0)

    @property
    def position(self) -> int:
        """Of the record written last (`segments.position`); 0: none can be written."""
        sequence = self._sequence_now
        return sequence << 21 | self._at >> 6 << 1 if sequence else 0

    @property
    def tight(self) -> bool:
        """No further segment is to be had. What may lose (progress, contents) should not be written now."""
        return self._tight

    @property
    def full(self) -> bool:
        """Whether the next record that is not vital would raise Full: asked before a request is admitted."""
        return self._tight and self._at + TYPICAL > self._most

    def wake(self) -> None:
        """After a `Full`: look again whether there is room, now. By itself it looks once a second."""
        self._again = 0.0
        self._bell.set()

    def close(self) -> None:
        """Cut the segment to what is in it and sync: nothing follows. Blocks."""
        if self._stop:
            return
        self._stop = True
        self._bell.set()
        self._thread.join()
        self._leave()
        self._most = self._room = self._sequence_now = 0
        self._capacity = 0
        self._finish()
        spare, self._next = self._next, None
        if spare is not None:
            self._quietly(spare.discard)

    # --- the thread that appends ---

    def _make_way(self, size: int, vital: bool) -> None:
        """Raises Full, or there is room for `size` bytes at `_at` now."""
        if self._dozing:
            self._rouse()
            if self._at + size <= self._most:
                return
        if size <= self._capacity:
            if vital and self._at + size <= self._room:
                return  # what is left of the last segment is for these
            if (vital or not self._tight) and self._another(vital):
                return
        self.dropped += 1
        raise Full

    def _another(self, vital: bool) -> bool:
        tight = self._tight
        try:
            with self._making:
                new, self._next = self._next or self._make(vital=tight), None
        except OSError as error:
            self._be_tight(error)
            # If that was not known, the emergency room may still help.
            return vital and not tight and self._another(vital)
        self._go_on(new)
        self._bell.set()
        return True

    def _go_on(self, new: Segment) -> None:
        self._leave()
        with self._lock:
            self._segment, self._data, self._mark = new, new.data, new.mark
            self._sequence_now = new.sequence
            self._at, self._room = FIRST, new.room
            self._limit()

    def _leave(self) -> None:
        old, end = self._segment, self._at
        if old is None:
            return
        self._segment = None
        self._before += end - FIRST
        self._at = FIRST
        try:
            old.data[end : end + FRAME.size] = seal(old.mark, CLOSED)
            self._old.append((old, end + FRAME.size))
        except OSError:
            self._old.append((old, end))

    def _cannot(self, error: OSError, size: int, vital: bool) -> None:
        """A record could not be written (never where memory is mapped): nothing more fits into this segment."""
        with self._lock:
            self._room = self._at
            self._limit()
        self._be_tight(error)
        self._make_way(size, vital)

    def _once_more(self, body: Body) -> None:
        end = self._at + _HEAD + len(body)
        try:
            self._data[self._at : end] = _frame(self._mark, len(body), crc32(body)) + body
        except OSError:
            self.dropped += 1
            raise Full from None
        self._at = end
        self.written += 1

    # --- either ---

    def _make(self, *, vital: bool = False) -> Segment:
        """Raises OSError."""
        sequence = following(self._sequence)
        made = self._source.make(self._worker, sequence, vital=vital)
        self._sequence = sequence
        return made

    def _limit(self) -> None:
        if self._dozing:
            self._most = 0
        else:
            self._most = max(self._room - self._reserve, 0) if self._tight else self._room

    def _doze(self) -> None:
        with self._lock:
            self._dozing = not self._tight and self._segment is not None and self._next is not None
            self._limit()

    def _rouse(self) -> None:
        with self._lock:
            self._dozing = False
            self._limit()
        self._bell.set()

    def _be_tight(self, error: OSError) -> None:
        with self._lock:
            was, self._tight = self._tight, True
            self._dozing = False
            self._again = monotonic() + PAUSE
            self._limit()
        if not was:
            logger.error("the ledger has no room for more: %s", error.strerror)

    def _be_roomy(self) -> None:
        with self._lock:
            was, self._tight = self._tight, False
            self._limit()
        if was:
            logger.warning("the ledger has room again; not recorded: %d", self.dropped)

    # --- the other thread ---

    def _run(self) -> None:
        period = self._sync if self._sync > 0 else PAUSE
        synced: tuple[Segment | None, int] = (None, 0)
        seen: tuple[Segment | None, int] = (None, 0)
        while not self._stop:
            self._finish()
            made = self._sequence
            with self._making:
                self._prepare()
            if self._sync > 0:
                if self._sequence != made or synced[0] is None:
                    self._quietly(lambda: sync_folder(self._folder))
                synced = self._write_through(synced)
            place = self._segment, self._at
            if place != seen:
                seen = place
            elif not self._dozing:
                # A record that is being copied at this moment does not find out: it is seen the next time.
                self._doze()
            else:
                self._bell.wait(DOZE)
                self._bell.clear()
            if not self._stop:
                self._bell.wait(period)
                self._bell.clear()

    def _write_through(self, before: tuple[Segment | None, int]) -> tuple[Segment | None, int]:
        """Up to where that is done now."""
        segment, at = self._segment, self._at
        if segment is None or (segment, at) == before:
            return before
        done = self._quietly(lambda: write_through(segment.fd))
        return (segment, at) if done else before

    def _prepare(self) -> None:
        if self._next is not None and not self._tight:
            return
        if self._tight and monotonic() < self._again:
            # Ends will need another one soon: not to be made while a request waits for it.
            if self._next is None and self._room - self._at < self._reserve:
                try:
                    self._next = self._make(vital=True)
                except OSError:
                    pass
            return
        try:
            if self._next is None:
                self._next = self._make()
            else:
                self._source.check()
        except OSError as error:
            self._be_tight(error)
        else:
            self._be_roomy()

    def _finish(self) -> None:
        while self._old:
            segment, end = self._old.popleft()
            self._quietly(lambda: segment.cut(end))  # noqa: B023 - called at once

    def _quietly(self, act: Any) -> bool:
        """One line when the disk begins to fail, none while it goes on."""
        try:
            act()
        except OSError as error:
            if not self._ill:
                self._ill = True
                logger.error("the ledger cannot be written through to the disk: %s", error.strerror)
            return False
        self._ill = False
        return True

    def _clear(self) -> int:
        """Delete what an earlier life of this worker had ready; its last sequence. Raises OSError."""
        for left in self._folder.glob("*.new") if self._folder.is_dir() else ():
            left.unlink(missing_ok=True)
        names = listed(self._folder)
        return sequence_of(names[-1]) if names else 0
