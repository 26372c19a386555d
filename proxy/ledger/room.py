"""Where the bytes of spools come from: the share of the disk that was allowed, and what is kept free for the worst case.

`<folder>/emergency` is a file of zeros that has its blocks. Nothing is ever written into it: when the disk is full it is cut
by as much as a segment needs, piece by piece, for ends of requests alone. It is filled up again before anything else may grow.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from proxy.ledger.segments import Segment, allocate, dependable, listed, make_folder

NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class Room:
    """For one worker. Every method raises OSError, EDQUOT where our own limit is reached."""

    def __init__(
        self, folder: Path, *, size: int, segment: int, emergency: int, spare: Path | None
    ) -> None:
        """`spare`: the folder of a spool that may lose; its closed segments go when the disk is full."""
        self._folder = folder
        self._size = size
        self._segment = segment
        self._emergency = emergency
        self._spare = spare
        self._mapped: bool | None = None

    def make(self, worker: str, sequence: int, *, vital: bool = False) -> Segment:
        """One more segment, which readers find. A `vital` one may take the emergency room."""
        allowed = self._size + (self._emergency if vital else 0)
        if not vital:
            self._fill()
        if used(self._folder) + self._segment > allowed:
            raise OSError(errno.EDQUOT, "ledger.size is reached")
        while True:
            try:
                return self._create(worker, sequence)
            except OSError as error:
                if error.errno not in NO_SPACE:
                    raise
                if not (self._sacrifice() or (vital and release(self._folder, self._segment))):
                    raise

    def check(self) -> None:
        """Raises unless everything is as it should be again."""
        self._fill()
        if used(self._folder) > self._size:
            raise OSError(errno.EDQUOT, "ledger.size is reached")

    def _create(self, worker: str, sequence: int) -> Segment:
        own = self._folder / "spool" / worker
        if self._mapped is None:
            make_folder(own)
            self._mapped = dependable(own)
        made = Segment(own, worker, self._segment, mapped=self._mapped)
        try:
            made.publish(sequence)
        except OSError:
            made.discard()
            raise
        return made

    def _fill(self) -> None:
        """Emergency room that was used is made again first."""
        if not self._emergency:
            return
        make_folder(self._folder)
        fd = os.open(self._folder / "emergency", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if os.fstat(fd).st_size >= self._emergency:
                return
            fcntl.flock(fd, fcntl.LOCK_EX)
            before = os.fstat(fd).st_size
            try:
                allocate(fd, self._emergency)
            except OSError as error:
                os.ftruncate(fd, before)
                if error.errno not in NO_SPACE or not self._sacrifice():
                    raise
                allocate(fd, self._emergency)
        finally:
            os.close(fd)

    def _sacrifice(self) -> bool:
        """Delete one segment of the spool that may lose, not those in use and ready; whether there was one."""
        if self._spare is None:
            return False
        for folder in workers(self._spare):
            for name in listed(folder)[:-2]:
                (folder / name).unlink(missing_ok=True)
                return True
        return False


def workers(folder: Path) -> list[Path]:
    """The folders of all workers that ever wrote in this one."""
    try:
        return sorted(one for one in (folder / "spool").iterdir() if one.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def used(folder: Path) -> int:
    """Bytes of all segments, also of those prepared."""
    return sum(_sizes(folder))


def _sizes(folder: Path) -> Iterator[int]:
    for own in workers(folder):
        with os.scandir(own) as entries:
            for entry in entries:
                try:
                    yield entry.stat().st_size
                except FileNotFoundError:  # it has just been read through
                    continue


def release(folder: Path, size: int) -> bool:
    """Cut the emergency room by `size`; False: there is none left."""
    try:
        fd = os.open(folder / "emergency", os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        have = os.fstat(fd).st_size
        os.ftruncate(fd, max(have - size, 0))
        return have > 0
    finally:
        os.close(fd)
