"""Passwords: hashed with Argon2id, in two threads, and never more at once than those can take.

One hash takes 19 MiB and about 20 ms. The library releases the interpreter's lock meanwhile (two threads: twice as
many), so requests go on; a flood of sign-ins waits in a short queue, and beyond that is told to come back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, TypeVar

from proxy.control.admin.refusal import too_many

if TYPE_CHECKING:
    from argon2 import PasswordHasher

T = TypeVar("T")

THREADS = 2
QUEUE = 8
SHORTEST = 12
LONGEST = 256
"""Characters of a password."""
HASHED = "$argon2id$"
"""How a hash begins."""

_DUMMY = (
    "$argon2id$v=19$m=19456,t=2,p=1$9xxaoNWzbGd9tkDR45pkew$"
    "3JXP1obtTGUOwi2oZcFr2To+bNwjZWtYiPfgGmlq34Q"
)
"""Verified for accounts that are not there, so that they take as long as those that are."""


class Gate:
    """Where the work is done. One a worker."""

    __slots__ = ("_taken", "_threads")

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="argon2")
        self._taken = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place in the queue, to be had before anything is asked of it. Raises Problem 429 when there is none."""
        if self._taken >= THREADS + QUEUE:
            raise too_many(1.0, "Too many passwords at once. Try again in a moment.")
        self._taken += 1
        try:
            yield
        finally:
            # Of somebody who gave up, work that waits for a thread is dropped; so at most two places are lent twice.
            self._taken -= 1

    async def hash(self, password: str) -> str:
        """What is kept of a password."""
        return await self._run(lambda: _hasher().hash(_bytes(password)))

    async def verify(self, kept: str | None, password: str) -> bool:
        """Whether it is the one that was hashed; None is nobody's and takes as long."""
        return await self._run(lambda: _verify(kept, password))

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def is_stale(kept: str) -> bool:
    """Whether it was hashed with less than is asked for today, and is to be hashed anew at the next sign-in."""
    return _hasher().check_needs_rehash(kept)


@cache
def _hasher() -> PasswordHasher:
    """Late: of all workers few are ever asked for a password."""
    from argon2 import PasswordHasher
    from argon2.low_level import Type

    # The least that OWASP's password storage cheat sheet asks for Argon2id.
    return PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1, type=Type.ID)


def _verify(kept: str | None, password: str) -> bool:
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        _hasher().verify(kept or _DUMMY, _bytes(password))
    except (VerificationError, InvalidHashError):
        return False
    return kept is not None


def _bytes(password: str) -> bytes:
    # A JSON text may hold half of a pair of surrogates, which UTF-8 has no bytes for.
    return password.encode("utf-8", "surrogatepass")
