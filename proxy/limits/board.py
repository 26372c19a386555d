"""The memory in which the workers of one host tell each other what has become of deployments and credentials.

One is made before workers are forked, and each inherits it: there is no file to find again, and nothing outlives the
supervisor. It has a row for each subject that ever was in trouble; whoever is well has none, and costs nothing.

    head: generation, number of rows | journal: the rows that changed last | rows: digest (16 bytes), 14 numbers

Rows are written and read under one lock, a byte range of the memory's file, which the kernel frees when its holder dies.
To learn that there is nothing new takes no lock: one look at the generation. Nobody has to look either, where the system has
`eventfd`: each seat has a bell, and whoever writes rings those of the others.

The first number of a row is who holds the subject's lease: the worker's seat and 1, or 0. What else there is, and in
which order, is a matter of `state.sharing`; the second is when the subject may be used again, and 0 once a lease is free.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

NUMBERS = 14
ROWS = 1 << 16
"""Subjects beyond these are each worker's own affair."""
LEASE, UNTIL = 0, 1

_PAGE = 4096
_JOURNAL = 1 << 12
_WORDS = 2 + NUMBERS
_FIRST = (_PAGE + _JOURNAL * 8) // 8
"""The word at which the first row begins."""
_SIZE = (_FIRST + ROWS * _WORDS) * 8
_GENERATION, _COUNT = 0, 1
_LOCK_ROWS, _LOCK_LEAD = 0, 1
_BELL = getattr(os, "EFD_NONBLOCK", 0) | getattr(os, "EFD_CLOEXEC", 0)


class Board:
    """One process's view. `Board.make` before the workers are forked, `seat` in each of them."""

    __slots__ = (
        "_fd",
        "_held",
        "_known",
        "_memory",
        "_numbers",
        "_places",
        "_seen",
        "_words",
        "bells",
        "key",
        "seat",
    )

    def __init__(
        self,
        fd: int,
        memory: mmap.mmap,
        words: memoryview[int],
        numbers: memoryview[float],
        key: bytes,
        seat: int,
        bells: Sequence[int],
    ) -> None:
        self.key = key
        """What digests of subjects are made with: those of credentials are made of secrets."""
        self.seat = seat
        """Whose view it is, from 0 on; -1: nobody's who could hold a lease."""
        self.bells = bells
        """Descriptors, by seat; none where there is nothing of the kind."""
        self._fd = fd
        self._memory = memory
        self._words, self._numbers = words, numbers
        self._places: dict[bytes, int] = {}
        self._known = 0
        self._seen = 0
        self._held = 0

    @classmethod
    def make(cls, seats: int = 0) -> Board:
        """New memory, all zeros, and bells for so many. Raises OSError when there is none."""
        if hasattr(os, "memfd_create"):
            fd = os.memfd_create("headrace-health")
            os.ftruncate(fd, _SIZE)
        else:
            with tempfile.TemporaryFile() as file:
                # Written, not only made so long: where a disk has no room, a write to mapped memory kills the process.
                file.write(bytes(_SIZE))
                file.flush()
                fd = os.dup(file.fileno())
        memory = mmap.mmap(fd, _SIZE)
        words, numbers = memoryview(memory).cast("q"), memoryview(memory).cast("d")
        bells = [os.eventfd(0, _BELL) for _ in range(seats)] if hasattr(os, "eventfd") else []
        return cls(fd, memory, words, numbers, secrets.token_bytes(32), -1, bells)

    @classmethod
    def take(cls, fd: int, key: bytes, bells: Sequence[int] = ()) -> Board:
        """What was made by the program before this one."""
        memory = mmap.mmap(fd, _SIZE)
        words, numbers = memoryview(memory).cast("q"), memoryview(memory).cast("d")
        return cls(fd, memory, words, numbers, key, -1, bells)

    @property
    def fd(self) -> int:
        """Of its memory."""
        return self._fd

    def sit(self, seat: int) -> Board:
        """The view of a worker. What one who had the seat before held is free."""
        view = Board(self._fd, self._memory, self._words, self._numbers, self.key, seat, self.bells)
        view.clear(seat)
        return view

    # --- rows --------------------------------------------------------------------------------------------------

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else reads or writes rows meanwhile. May be nested."""
        if not self._held:
            fcntl.lockf(self._fd, fcntl.LOCK_EX, 1, _LOCK_ROWS)
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            if not self._held:
                fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, _LOCK_ROWS)

    @property
    def empty(self) -> bool:
        """Nobody is, or ever was, in trouble."""
        return not self._words[_COUNT]

    def read(self, digest: bytes) -> list[float] | None:
        """The row of a subject; None: it has none. Under the lock."""
        row = self._find(digest)
        return None if row < 0 else self._row(row)

    def write(self, digest: bytes, numbers: Sequence[float]) -> None:
        """The row of a subject, which is made if there is none and there is room. Under the lock."""
        row = self._find(digest)
        if row < 0:
            row = self._words[_COUNT]
            if row >= ROWS:
                return
            at = self._at(row) * 8
            self._memory[at : at + 16] = digest
            self._words[_COUNT] = row + 1
        at = self._at(row) + 2
        for index, number in enumerate(numbers):
            self._numbers[at + index] = number
        self._tell(row)
        self._ring()

    def changes(self) -> dict[bytes, list[float]]:
        """The subjects that were written since this was last asked, by whomever, and their rows."""
        if self._words[_GENERATION] == self._seen:
            return {}
        with self.locked():
            begun, self._seen = self._seen, self._words[_GENERATION]
            if self._seen - begun > _JOURNAL:
                rows = set(range(self._words[_COUNT]))
            else:
                rows = {self._words[_PAGE // 8 + n % _JOURNAL] for n in range(begun, self._seen)}
            places = ((row, self._at(row) * 8) for row in rows)
            return {self._memory[at : at + 16]: self._row(row) for row, at in places}

    def clear(self, seat: int) -> None:
        """Free every lease of a worker that is gone."""
        with self.locked():
            for row in range(self._words[_COUNT]):
                at = self._at(row) + 2
                if self._numbers[at + LEASE] == seat + 1:
                    self._numbers[at + LEASE] = self._numbers[at + UNTIL] = 0.0
                    self._tell(row)
                    self._ring()

    def _find(self, digest: bytes) -> int:
        count = self._words[_COUNT]
        while self._known < count:
            at = self._at(self._known) * 8
            self._places[self._memory[at : at + 16]] = self._known
            self._known += 1
        return self._places.get(digest, -1)

    def _row(self, row: int) -> list[float]:
        at = self._at(row)
        return list(self._numbers[at + 2 : at + _WORDS])

    def _at(self, row: int) -> int:
        return _FIRST + row * _WORDS

    def _tell(self, row: int) -> None:
        generation = self._words[_GENERATION]
        self._words[_PAGE // 8 + generation % _JOURNAL] = row
        self._words[_GENERATION] = generation + 1

    @property
    def bell(self) -> int:
        """The descriptor that can be read (`answer`) once another has written; -1: there is none, and one has to look."""
        return self.bells[self.seat] if 0 <= self.seat < len(self.bells) else -1

    def answer(self) -> None:
        """Have the bell be silent until something is written anew."""
        try:
            os.eventfd_read(self.bell)
        except BlockingIOError:
            pass

    def _ring(self) -> None:
        for seat, bell in enumerate(self.bells):
            if seat != self.seat:
                try:
                    os.eventfd_write(bell, 1)
                except BlockingIOError:
                    pass  # it has rung often enough

    # --- who checks --------------------------------------------------------------------------------------------

    def lead(self) -> bool:
        """Whether this process is the one that does what one of them does. It stays so until it dies, or closes."""
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _LOCK_LEAD)
        except OSError:
            return False
        return True

    def resign(self) -> None:
        """Let another one lead."""
        fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, _LOCK_LEAD)

    def close(self) -> None:
        """Nobody of this process looks at it any more, from whatever seat."""
        self._words.release()
        self._numbers.release()
        self._memory.close()
        for fd in (self._fd, *self.bells):
            os.close(fd)
