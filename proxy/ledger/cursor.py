"""One place in the spool of one worker, which goes on from whole frame to whole frame and from segment to segment."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final
from zlib import crc32

from proxy.core.log import logger
from proxy.ledger.segments import (
    FIRST,
    FRAME,
    SEALS,
    VERSION,
    Found,
    listed,
    look,
    mark_of,
    seal,
    version,
)

CHUNK: Final = 256 << 10
PIECE: Final = 16 << 10
"""Bytes that are read at once where only lengths are looked for: most of a segment is still to be written."""
_PASSING: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN})
"""Why nothing can be opened just now: no fault of the file's."""


class Cursor:
    """Reads while the worker writes. No bytes, whatever they are, make it raise; that nothing can be opened does, OSError, and
    it is tried again the next time. A segment that is beyond reach by itself is passed over once its worker has left it.

    `name` and `at` say where it is: behind the last frame that `next` gave. `finished` are the segments behind it, which
    nothing will be added to; `damaged` those of them, or the current one, with bytes that are no frames; `unread`
    those that could not be opened. `bad` counts places of damage, and of the others each as one.
    """

    def __init__(self, folder: Path, offsets: Mapping[str, int]) -> None:
        """`offsets`: where to begin in a segment, by its name; else at its first frame."""
        self.folder = folder
        self.name = ""
        self.at = FIRST
        self.finished: list[str] = []
        self.damaged: set[str] = set()
        self.unread: set[str] = set()
        self.bad = 0
        self.opened: Callable[[str, int], None] = lambda name, at: None
        """Told each segment it begins to read, and where."""
        self._offsets = offsets
        self._names: list[str] = []
        self._fd = -1
        self._mark = b""
        self._data = b""
        self._base = 0
        self._closed = False

    def refresh(self) -> None:
        """Look which segments there are now."""
        self._names = listed(self.folder)

    def next(self) -> bytes | None:
        """The body of the next whole frame; None: nothing more now."""
        begin = self.at - self._base + FRAME.size
        if begin <= len(self._data):
            # What is true of nearly every frame, without a detour. (The length of a seal goes beyond the end.)
            mark, length, crc = FRAME.unpack_from(self._data, begin - FRAME.size)
            body = self._data[begin : begin + length]
            if mark == self._mark and length == len(body) > 0 and crc32(body) == crc:
                self.at += FRAME.size + len(body)
                return body
        while self._fd >= 0 or self._open():
            found = self._step()
            if found is not None:
                return found
            if not self._closed:
                return None
            self._leave()
        return None

    def run(self, most: int) -> list[tuple[bytes, int]]:
        """The next whole frames of one segment, so many at most and those at hand: each body, and where its frame ends.

        As `next` gives them, in a third of the time; empty: nothing more now.
        """
        body = self.next()
        if body is None:
            return []
        data, base, mark, at = self._data, self._base, self._mark, self.at
        found = [(body, at)]
        unpack, head, last = FRAME.unpack_from, FRAME.size, len(data) - FRAME.size
        at -= base
        while at <= last and len(found) < most:
            is_mark, length, crc = unpack(data, at)
            begin = at + head
            body = data[begin : begin + length]
            if is_mark != mark or length != len(body) or not length or crc32(body) != crc:
                break  # `next` will find out what this is
            at = begin + length
            found.append((body, base + at))
        self.at = base + at
        return found

    def spoil(self, name: str = "") -> None:
        """A frame that `next` gave, of the segment of that name or this one, makes no sense, though its checksum is right."""
        self.bad += 1
        self.damaged.add(name or self.name)

    def close(self) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    @property
    def waiting(self) -> int:
        """Bytes from here to the end of what is written, about: seals, and what is left free of full segments, count."""
        total = 0
        for name in self._names:
            if name in self.finished:
                continue
            begin = self.at if name == self.name else self._offsets.get(name, FIRST)
            total += max(_end(self.folder / name, begin, name in self._names[-2:]) - begin, 0)
        return total

    def _open(self) -> bool:
        done = set(self.finished)
        for name in self._names:
            if name in done:
                continue
            mark = mark_of(name)
            assert mark is not None
            try:
                self._fd = os.open(self.folder / name, os.O_RDONLY)
            except FileNotFoundError:
                # There is nothing to be had from it. From one that is beyond reach there may be: it must not be deleted unread.
                self.finished.append(name)
                continue
            except OSError as error:
                if error.errno in _PASSING:
                    raise
                self._cannot_read(name, error)
                if not self._is_left(name):
                    return False  # its worker may write in it still
                self.finished.append(name)
                continue
            self.unread.discard(name)
            self.name, self._mark = name, mark
            self.at = max(self._offsets.get(name, FIRST), FIRST)
            self._closed = False
            self._data, self._base = b"", self.at
            written = version(self._read(0, FIRST))
            if written is not None and written != VERSION:
                self.spoil()
                self._closed = True
                self._leave()
                continue
            self.opened(name, self.at)
            return True
        return False

    def _cannot_read(self, name: str, error: OSError) -> None:
        if name not in self.unread:
            self.unread.add(name)
            self.bad += 1
            logger.error("%s cannot be read: %s", self.folder / name, error.strerror)

    def _leave(self) -> None:
        self.close()
        self.finished.append(self.name)

    def _step(self) -> bytes | None:
        """One frame of this segment, whatever stands before it. None: `_closed` says whether more may come."""
        found, end = look(self._data, self.at - self._base, self._mark)
        if found is not Found.WHOLE:
            # Whether it is closed is asked first, and its bytes are read again then: what is missing now never comes.
            self._closed = self._is_closed()
            found, end = self._look_again()
            if found is Found.SEAL:
                self._closed = True
                return None
            if found is not Found.WHOLE:
                if not self._closed or not self._resume():
                    return None
                return self._step()
        begin = self.at - self._base + FRAME.size
        self.at = self._base + end
        return self._data[begin:end]

    def _look_again(self) -> tuple[Found, int]:
        want = CHUNK
        while True:
            self._data, self._base = self._read(self.at, want), self.at
            found, end = look(self._data, 0, self._mark)
            if found is not Found.SHORT or end <= want or len(self._data) < want:
                return found, end
            want = end

    def _resume(self) -> bool:
        """Go to the next whole frame, or the seal, behind bytes that are neither; False: there is none."""
        rest = self._read(self.at, os.fstat(self._fd).st_size - self.at)
        at = rest.find(self._mark, 1)
        while at >= 0:
            if look(rest, at, self._mark)[0] in (Found.WHOLE, Found.SEAL):
                self.spoil()
                self.at += at
                self._data, self._base = rest[at:], self.at
                return True
            at = rest.find(self._mark, at + 1)
        return False

    def _is_closed(self) -> bool:
        if self.name not in self._names or self._is_left(self.name):
            return True
        tail = self._read(os.fstat(self._fd).st_size - FRAME.size, FRAME.size)
        return tail in [seal(self._mark, kind) for kind in SEALS]

    def _is_left(self, name: str) -> bool:
        """Whether its worker has gone on to another one."""
        return any(map(self._is_begun, self._names[self._names.index(name) + 1 :]))

    def _is_begun(self, name: str) -> bool:
        try:
            with (self.folder / name).open("rb") as file:
                file.seek(FIRST)
                return any(file.read(FRAME.size))
        except OSError:
            return False  # as far as can be known

    def _read(self, at: int, size: int) -> bytes:
        if size <= 0:
            return b""
        try:
            return os.pread(self._fd, size, max(at, 0))
        except OSError:
            # The disk does not give it: as if it were damaged.
            self.damaged.add(self.name)
            return b""


def _end(path: Path, begin: int, is_open: bool) -> int:
    try:
        size = path.stat().st_size
        if not is_open:
            return size
        with path.open("rb", buffering=0) as file:
            # Only lengths are followed, which is quick and near enough.
            mark = mark_of(path.name)
            at = base = begin
            data = b""
            while at + FRAME.size <= size:
                if at - base + FRAME.size > len(data):
                    file.seek(at)
                    data, base = file.read(PIECE), at
                    if len(data) < FRAME.size:
                        break
                found, length, _ = FRAME.unpack_from(data, at - base)
                if found != mark or length in SEALS or at + FRAME.size + length > size:
                    break
                at += FRAME.size + length
            return at
    except OSError:
        return begin


def bodies(folder: Path, name: str, until: int | None = None) -> Iterator[bytes]:
    """Of every whole frame of one segment, as far as `until`; damage is stepped over. Raises FileNotFoundError."""
    return (body for body, _ in frames(folder, name, until))


def frames(folder: Path, name: str, until: int | None = None) -> Iterator[tuple[bytes, int]]:
    """The same, and where each frame ends."""
    mark = mark_of(name)
    assert mark is not None
    data = (folder / name).read_bytes()[:until]
    at = FIRST
    while at >= 0:
        found, end = look(data, at, mark)
        if found is Found.WHOLE:
            yield data[at + FRAME.size : end], end
            at = end
        elif found is Found.SEAL:
            return
        else:
            at = data.find(mark, at + 1)
