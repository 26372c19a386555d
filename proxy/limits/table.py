"""The memory that all workers of a host share: slots for subjects, found by digest, each guarded by a lock.

    header (one page) | which sets are in use (a byte each) | sets of slots

A subject may lie in either of two sets, which its digest names; a set has 16 ways, filled from the first on. A slot is
words of eight bytes, so that each is written whole or not at all, whatever becomes of the writer:

    undo (5) | digest (2) | arrival of requests, of tokens | 3 windows of counts | shares | ticket | inflight, micro, tokens,
    booked of each column

Times are nanoseconds of the monotonic clock. Columns belong to one worker each; all else is written under the lock of
its set: a byte range of the file, which the kernel frees when its owner dies. What a request used is several words, of
which the first who comes after such a death takes back what was written (`mend`). Finding a place for a new subject has a
lock of its own. With one worker (two columns at most: it may have a successor) there is one lock of everything. A worker
that is alone keeps it from one operation to the next, until somebody else asks for it, so that it costs nothing.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import struct
import time
import zlib
from pathlib import Path

from proxy.core.clock import monotonic, now
from proxy.limits.boot import boot_id

SETS = 1 << 14
WAYS = 16

UNDO = 5
"""Words before the digest, at which a slot is said to be: which window is being added to and by which column, the three
counts as they were, and the position that `booked` will have. The last is zero but while that goes on."""
REQUESTS, TOKENS = 2, 3
"""Words of a slot: theoretical arrival times."""
COUNTS, WINDOWS, WINDOW = 4, 3, 11
"""Where windows are, how many, and words of one (`windows.py`)."""
SHARES = COUNTS + WINDOWS * WINDOW
"""Four amounts (requests, tokens, slots, micro-dollars) and the times at which each ends."""
TICKET = SHARES + 8
"""Who speaks with the server of shared limits (`leases.py`)."""
COLUMNS = TICKET + 1
"""inflight, micro-dollars reserved, tokens reserved, booked: a word for each column, kind after kind."""
BOOKED = 3
"""That kind: the position in the ledger (`ledger.segments.position`) of the last end that was counted here."""

NANO = 1_000_000_000
PATIENCE = 5.0
"""Seconds in which a worker that keeps its lock has to let a guest in: one that is idle looks once a second."""

_MAGIC = b"HEADLIMS"
_VERSION = 2
_PAGE = 4096
_MOST_COLUMNS = 1 << 16
_SHAPE = struct.Struct("<8sIIIII")
_CRC, _KNOWN, _CREATED, CALLED = 8, 9, 10, 11
_BOOT = slice(128, 192)
_LOCK_SETS, _LOCK_CLAIM, _LOCK_FIRST = 0, 1, 2
_CALL = 10 * NANO


class Table:
    """One process's hold on the memory. Raises OSError when the file cannot be used."""

    def __init__(self, path: Path | None, columns: int, *, guest: bool = False) -> None:
        """A guest takes a file as it is: how many columns it has is a matter of the workers."""
        self._guest = guest
        self._fd = -1
        self._measure(columns)
        self._keeps = columns == 1 and not guest and path is not None
        self.kept = path is None
        """The lock of everything is ours, and stays."""
        if path is None:
            self.memory = mmap.mmap(-1, self._size)
            self.words = memoryview(self.memory).cast("q")
            self._format(known=True)
        else:
            self._open(path)

    def _measure(self, columns: int) -> None:
        self.columns = columns
        self.slot = -(-(UNDO + COLUMNS + 4 * columns) // 8) * 8
        """Words of one slot."""
        self._first = (_PAGE + SETS) // 8
        self._size = (self._first + SETS * WAYS * self.slot) * 8
        self._shape = _SHAPE.pack(_MAGIC, _VERSION, columns, SETS, WAYS, self.slot)
        self._single = columns <= 2

    # --- locks -------------------------------------------------------------------------------------------------

    def enter(self, lock: int) -> None:
        """Nobody else is in what this lock guards until `leave`. One at a time, but for a set's within a claim."""
        if self.kept:
            return
        if self._single and not self._keeps:
            if self._guest:
                self._call()
                return
            self.words[CALLED] = int(monotonic() * NANO) + _CALL
        fcntl.lockf(self._fd, fcntl.LOCK_EX, 1, lock)

    def leave(self, lock: int) -> None:
        """Let others in."""
        if self._keeps:
            if self.words[CALLED]:
                self._let_in()
            else:
                self.kept = True
        elif not self.kept:
            fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, lock)

    def alone(self, alone: bool) -> None:
        """By the one worker: whether there is no other, and the lock of everything may be kept. Else nothing happens."""
        if not self._single or self._guest or self._fd < 0:
            return
        if alone and not self._keeps:
            self._keeps = True
            self._keep()
        elif not alone and self._keeps:
            self._keeps = False
            if self.kept:
                self._let_in()

    def tick(self) -> None:
        """Once a second: let in whoever asks for a lock that is kept, also when there is nothing to do."""
        if self._keeps:
            self.enter(_LOCK_SETS)
            self.leave(_LOCK_SETS)

    def _let_in(self) -> None:
        self.kept = False
        if self.words[CALLED] < monotonic() * NANO:
            self.words[CALLED] = 0
        fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, _LOCK_SETS)

    def _call(self) -> None:
        """Ask the one worker, which keeps its lock, to let us in; its death does.

        Raises TimeoutError when it hangs: who could kill it may be the one that waits here.
        """
        until = monotonic() + PATIENCE
        while True:
            self.words[CALLED] = int(monotonic() * NANO) + _CALL
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _LOCK_SETS)
            except OSError:
                if monotonic() > until:
                    raise TimeoutError(errno.ETIMEDOUT, "a worker keeps its lock") from None
                time.sleep(0.0005)
            else:
                return

    def lock_of(self, at: int) -> int:
        """The lock of the slot at this word."""
        if self._single:
            return _LOCK_SETS
        return _LOCK_FIRST + (at - self._first) // (WAYS * self.slot)

    # --- places ------------------------------------------------------------------------------------------------

    def find(self, digest: bytes) -> int:
        """The word at which the slot of a subject begins; -1: it has none."""
        for number in self._sets(digest):
            if self.memory[_PAGE + number]:
                for at in self._slots(number):
                    if self.memory[at * 8 : at * 8 + 16] == digest:
                        return at
        return -1

    def claim(self, digest: bytes) -> int:
        """The same, and one is made if there is none; -1: there is no room, and no slot that is idle."""
        outer = _LOCK_SETS if self._single else _LOCK_CLAIM
        self.enter(outer)
        try:
            at = self.find(digest)
            if at < 0:
                at = self._take_free(digest)
            return at if at >= 0 else self._take_idle(digest)
        finally:
            self.leave(outer)

    def _take_free(self, digest: bytes) -> int:
        """In the set that has more room."""
        best, most = -1, 0
        for number in self._sets(digest):
            if not self._prepare(number):
                continue
            free = [at for at in self._slots(number) if not self._named(at)]
            if len(free) > most:
                best, most = free[0], len(free)
        if best >= 0:
            self._name(best, digest)
        return best

    def _take_idle(self, digest: bytes) -> int:
        for number in self._sets(digest):
            if not self.memory[_PAGE + number]:
                continue
            for at in self._slots(number):
                lock = self.lock_of(at)
                if not self._single:
                    self.enter(lock)
                try:
                    if self.idle(at):
                        self._name(at, digest)
                        return at
                finally:
                    if not self._single:
                        self.leave(lock)
        return -1

    def idle(self, at: int) -> bool:
        """Whether nothing in a slot matters any more: it would start the same from zeros."""
        words = self.words
        moment, wall = int(monotonic() * NANO), now()
        if words[at - 1]:
            return False
        if max(words[at + REQUESTS], words[at + TOKENS]) > moment:
            return False
        if any(words[at + COLUMNS : at + COLUMNS + 3 * self.columns]):
            return False
        if any(words[at + SHARES + n] and words[at + SHARES + 4 + n] > moment for n in range(4)):
            return False
        for window in range(at + COUNTS, at + SHARES, WINDOW):
            ends = words[window + 1]
            if (not ends or ends > wall) and any(words[window + 2 : window + WINDOW]):
                return False
        return True

    def _named(self, at: int) -> bool:
        return bool(self.words[at] or self.words[at + 1])

    def _name(self, at: int, digest: bytes) -> None:
        """From zeros; the name comes last, so that who dies here leaves a free slot."""
        byte, size = at * 8, (self.slot - UNDO) * 8
        self.memory[byte : byte + size] = bytes(size)
        self.memory[byte : byte + 16] = digest

    def _prepare(self, number: int) -> bool:
        """Have room on the disk for a set: without it, writing to mapped memory kills the process."""
        if self.memory[_PAGE + number]:
            return True
        if self._fd >= 0:
            size = WAYS * self.slot * 8
            try:
                _allocate(self._fd, self._first * 8 + number * size, size)
            except OSError:
                return False
        self.memory[_PAGE + number] = 1
        return True

    def _sets(self, digest: bytes) -> tuple[int, ...]:
        one = int.from_bytes(digest[:4], "little") % SETS
        other = int.from_bytes(digest[4:8], "little") % SETS
        return (one, other) if one != other else (one,)

    def _slots(self, number: int) -> range:
        size = WAYS * self.slot
        start = self._first + number * size
        return range(start + UNDO, start + size, self.slot)

    # --- all of it ---------------------------------------------------------------------------------------------

    def mend(self, at: int) -> bool:
        """Take back what a worker that died had begun to add to the counts of a slot, unless it was done but for saying so.
        Under the lock. False: there was nothing."""
        words = self.words
        position = words[at - 1]
        if not position:
            return False
        window, column = divmod(words[at - UNDO], _MOST_COLUMNS)
        if words[at + COLUMNS + BOOKED * self.columns + column] != position:
            for word in range(3):
                words[window + 2 + word] = words[at - UNDO + 1 + word]
        words[at - 1] = 0
        return True

    def clear(self, column: int) -> int:
        """Zeros in one column of every slot; how many requests it had in flight. What is booked stays: the next worker's
        positions are behind it."""
        words, columns, held = self.words, self.columns, 0
        if column >= columns:
            return 0
        number = self.memory.find(b"\x01", _PAGE, _PAGE + SETS)
        while number >= 0:
            slots = self._slots(number - _PAGE)
            lock = self.lock_of(slots[0])
            self.enter(lock)
            try:
                for at in slots:
                    self.mend(at)
                    place = at + COLUMNS + column
                    held += words[place]
                    words[place] = words[place + columns] = words[place + 2 * columns] = 0
            finally:
                self.leave(lock)
            number = self.memory.find(b"\x01", number + 1, _PAGE + SETS)
        return held

    @property
    def known(self) -> bool:
        return bool(self.words[_KNOWN])

    @known.setter
    def known(self, value: bool) -> None:
        self.words[_KNOWN] = value

    @property
    def created(self) -> float:
        return self.words[_CREATED] / NANO

    def close(self) -> None:
        """Unmap. Closing the file frees every lock this process has on it."""
        self.words.release()
        self.memory.close()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    # --- the file ----------------------------------------------------------------------------------------------

    def _open(self, path: Path) -> None:
        while True:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.lockf(fd, fcntl.LOCK_EX, 1, _LOCK_CLAIM)
                if self._use(fd, path):
                    fcntl.lockf(fd, fcntl.LOCK_UN, 1, _LOCK_CLAIM)
                    self._fd = fd
                    break
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)
        if self._keeps:
            self._keep()

    def _use(self, fd: int, path: Path) -> bool:
        """Map it, under the lock of claims. False: it is another file by now, or was of no use and is gone."""
        status = os.fstat(fd)
        page = os.pread(fd, _PAGE, 0)
        if self._guest and len(page) == _PAGE:
            asked, columns = self.columns, _SHAPE.unpack_from(page)[2]
            self._measure(min(columns, _MOST_COLUMNS))
            if not self._intact(page):
                self._measure(asked)
        try:
            if os.stat(path).st_ino != status.st_ino:
                return False
        except FileNotFoundError:
            return False
        if status.st_size == 0:
            os.ftruncate(fd, self._size)
            _allocate(fd, 0, self._first * 8)
        elif status.st_size != self._size or not self._intact(page):
            # Another process may have it mapped, and would be killed if it shrank.
            os.unlink(path)
            return False
        self.memory = mmap.mmap(fd, self._size)
        self.words = memoryview(self.memory).cast("q")
        if status.st_size == 0:
            self._format(known=False)
        elif self.memory[_BOOT] != boot_id():
            self._reboot()
        return True

    def _intact(self, page: bytes) -> bool:
        crc = int.from_bytes(page[_CRC * 8 : _CRC * 8 + 8], "little")
        return page.startswith(self._shape) and crc == zlib.crc32(self._shape)

    def _format(self, *, known: bool) -> None:
        self.words[_KNOWN] = known
        self.words[_CREATED] = int(now() * NANO)
        self.memory[_BOOT] = boot_id()
        self.memory[: len(self._shape)] = self._shape
        self.memory[_CRC * 8 : _CRC * 8 + 8] = zlib.crc32(self._shape).to_bytes(8, "little")

    def _reboot(self) -> None:
        """The machine was started again: its clock too, and nobody of before lives.

        Counts stay, but as what was known from before: a loss of power may have kept some of them from the disk, so the
        database is asked again, and what it says takes their place.
        """
        words = self.words
        words[_KNOWN] = words[CALLED] = 0
        words[_CREATED] = int(now() * NANO)
        for number in range(SETS):
            if not self.memory[_PAGE + number]:
                continue
            for at in self._slots(number):
                self.mend(at)
                words[at + REQUESTS] = words[at + TOKENS] = 0
                for word in range(at + SHARES, at + self.slot - UNDO):
                    words[word] = 0
                for window in range(at + COUNTS, at + SHARES, WINDOW):
                    for word in range(window + 2, window + 5):
                        words[word + 3] += words[word]
                        words[word] = 0
        self.memory[_BOOT] = boot_id()

    def _keep(self) -> None:
        """Have the lock from now on, unless somebody is in."""
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _LOCK_SETS)
        except OSError:
            self.words[CALLED] = int(monotonic() * NANO) + _CALL
        else:
            self.kept = True


def _allocate(fd: int, start: int, size: int) -> None:
    """Real blocks for a part of a file that is zeros. Raises OSError."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, start, size)
    else:
        os.pwrite(fd, bytes(size), start)
