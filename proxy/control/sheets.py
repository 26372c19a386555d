"""The memory in which the processes of one instance write what they count, for one page about all of them.

    names     a log of families and series: any process adds to its end (`catalogue`)
    seats     two copies of each process's numbers: the one that is not the newest is written over

It is made before processes are forked, and each inherits it; nothing outlives the supervisor. A process may be killed at
any moment: a record of the log counts once its checksum is right, and a copy of numbers once its head is, which is written
last. Everything is read and written by calls, not by mapped memory: where there is no room a call fails, and nobody is
killed.
"""

from __future__ import annotations

import fcntl
import os
import struct
import tempfile
import zlib
from array import array
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from proxy.control.catalogue import Catalogue, Entry

MOST: Final = 1 << 20
"""Places of all kinds together. A series beyond them is not shown."""

_FRAME: Final = struct.Struct("<II")
"""Before a record of the log: its bytes, and the checksum of them and of where they are."""
_HEAD: Final = struct.Struct("<QdIIII")
"""Before a copy: generation, when the copying began, numbers of each kind, checksum."""
_COPY: Final = 1 << 28
"""Where the copies begin, and what each may have: addresses, of which only those in use are memory."""
_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(list[Entry])


class Numbers(Struct, frozen=True, eq=False):
    """What one process counts, by places. What a lane does not reach has nothing yet."""

    counts: array[int]
    totals: array[float]
    levels: array[float]
    """NaN: this process has none."""
    generation: int = 0
    at: float = 0.0
    """When the copying of it began, by the monotonic clock."""


class Sheets:
    """One process's view."""

    __slots__ = ("_end", "_fd", "_generations", "catalogue")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._end = 0
        """How far the log is read."""
        self._generations: dict[int, int] = {}
        self.catalogue = Catalogue()

    @classmethod
    def make(cls) -> Sheets:
        """New and empty. Raises OSError."""
        if hasattr(os, "memfd_create"):
            return cls(os.memfd_create("headrace-metrics"))
        with tempfile.TemporaryFile() as file:
            return cls(os.dup(file.fileno()))

    @property
    def fd(self) -> int:
        """Of the memory."""
        return self._fd

    def view(self) -> Sheets:
        """As another process would see it that has just begun."""
        return Sheets(os.dup(self._fd))

    def close(self) -> None:
        """This process looks at it no more."""
        os.close(self._fd)

    # --- names -------------------------------------------------------------------------------------------------

    def look(self) -> bool:
        """Learn the next that was added to the log, which is what somebody added at once; False: there is no more."""
        record = self._record()
        if record is None:
            return False
        self._end += _FRAME.size + len(record)
        for entry in _decoder.decode(record):
            self.catalogue.learn(entry)
        return True

    @property
    def full(self) -> bool:
        """There are no more places."""
        return self.catalogue.size >= MOST

    def add(self, wanted: Sequence[Entry]) -> bool:
        """Have places for all of these. False: another process adds something just now, or there are too many.

        Raises OSError when there is no memory.
        """
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1)
        except (BlockingIOError, PermissionError):
            return False
        try:
            while self.look():
                pass
            if self.full:
                return False
            new = [entry for entry in wanted if not self.catalogue.knows(entry)]
            if new:
                body = _encoder.encode(new)
                _write(self._fd, self._frame(body) + body, self._end)
                self.look()
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN, 1)
        return True

    def _record(self) -> bytes | None:
        head = os.pread(self._fd, _FRAME.size, self._end)
        if len(head) < _FRAME.size or not any(head):
            return None
        body = os.pread(self._fd, _FRAME.unpack(head)[0], self._end + _FRAME.size)
        # One whose writer was killed is written over by the next.
        return body if head == self._frame(body) else None

    def _frame(self, body: bytes) -> bytes:
        return _FRAME.pack(len(body), zlib.crc32(body, self._end & 0xFFFFFFFF))

    # --- numbers -----------------------------------------------------------------------------------------------

    def write(self, seat: int, numbers: Numbers) -> None:
        """From now on these are the numbers of a seat, which this process alone writes. Raises OSError when there is no
        memory; then it has those of before."""
        generation = self._generations.get(seat) or self._newest(seat)[0]
        at = _at(seat, generation + 1)
        lanes = numbers.counts, numbers.totals, numbers.levels
        _write(self._fd, bytes(_HEAD.size), at)
        _write(self._fd, b"".join(lane.tobytes() for lane in lanes), at + _HEAD.size)
        head = _HEAD.pack(generation + 1, numbers.at, *(len(lane) for lane in lanes), 0)
        _write(self._fd, _sealed(head), at)
        self._generations[seat] = generation + 1

    def read(self, seat: int) -> Numbers | None:
        """The newest numbers of a seat; None: there are none, or it writes faster than they are read."""
        for _ in range(3):
            generation, head = self._newest(seat)
            if not generation:
                return None
            at = _at(seat, generation)
            _, when, counts, totals, levels, _ = _HEAD.unpack(head)
            data = os.pread(self._fd, 8 * (counts + totals + levels), at + _HEAD.size)
            if os.pread(self._fd, _HEAD.size, at) == head:
                middle, end = 8 * counts, 8 * (counts + totals)
                return Numbers(
                    array("q", data[:middle]),
                    array("d", data[middle:end]),
                    array("d", data[end:]),
                    generation,
                    when,
                )
        return None

    def newest(self, seat: int) -> tuple[int, float]:
        """(generation, when the copying of them began) of its newest numbers; generation 0: it has none."""
        generation, head = self._newest(seat)
        return (generation, _HEAD.unpack(head)[1]) if generation else (0, 0.0)

    def clear(self, seat: int) -> None:
        """It has no numbers. Nobody writes any."""
        for generation in (0, 1):
            _write(self._fd, bytes(_HEAD.size), _at(seat, generation))

    def _newest(self, seat: int) -> tuple[int, bytes]:
        """(generation, head), which are zero and nothing where there is no whole copy."""
        best, found = 0, b""
        for copy in (0, 1):
            head = os.pread(self._fd, _HEAD.size, _at(seat, copy))
            if len(head) == _HEAD.size and any(head) and head == _sealed(head):
                generation = _HEAD.unpack(head)[0]
                if generation > best:
                    best, found = generation, head
        return best, found


def _at(seat: int, generation: int) -> int:
    return (1 + 2 * seat + generation % 2) * _COPY


def _sealed(head: bytes) -> bytes:
    said = head[:-4]
    return said + zlib.crc32(said).to_bytes(4, "little")


def _write(fd: int, data: bytes, at: int) -> None:
    rest = memoryview(data)
    while rest:
        done = os.pwrite(fd, rest, at)
        rest, at = rest[done:], at + done
