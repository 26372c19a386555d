"""What a database has to offer: SQL in one dialect that both understand, in transactions, with deadlines.

The statements are written once, with `$1`, `$2`, … as parameters; tables are in `proxy/store/sql`. Values are texts,
whole numbers, floats, bytes and None on both sides: times are Unix times as floats, JSON is text, truth is 0 or 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from proxy.store.bulk import Insert
    from proxy.store.contest import Contest

Row = tuple[Any, ...]

CALL_TIMEOUT = 2.0
"""Seconds for one statement of the kind a worker lives by."""
ADMIN_TIMEOUT = 5.0
"""Seconds for one statement of a page for people."""
BULK_TIMEOUT = 60.0
"""Seconds for reading everything."""


class StoreDown(Exception):
    """The database cannot be reached, does not answer in time, is read-only for now or is being replaced: try later."""


class Unusable(StoreDown):
    """It is down for a reason that does not pass by itself: a damaged file, a right that was not granted.

    Opening it raises StoreBroken instead.
    """


class StoreBroken(Exception):
    """It answers, and cannot be used: a schema of another major version, a damaged file. The text is for an operator."""


class StoreDamaged(StoreBroken):
    """Its file is damaged. A copy of it may still be served, and nothing is written."""


class Duplicate(Exception):
    """A row with this name, or this key, is there already."""


class Session(Protocol):
    """Statements one after the other."""

    async def fetch(self, sql: str, *values: Any, timeout: float = CALL_TIMEOUT) -> list[Row]:
        """All rows. Raises StoreDown, Duplicate."""
        ...

    async def execute(self, sql: str, *values: Any, timeout: float = CALL_TIMEOUT) -> int:
        """How many rows it changed. Raises StoreDown, Duplicate."""
        ...

    async def each(
        self, sql: str, rows: Sequence[Row], *, timeout: float = CALL_TIMEOUT
    ) -> list[Row]:
        """The same statement for each of these, in one way there and back; all that they return. All or nothing.

        Raises StoreDown, Duplicate.
        """
        ...

    async def insert(
        self, what: Insert, rows: Sequence[Row], *, timeout: float = CALL_TIMEOUT
    ) -> list[Row]:
        """As `each`, for thousands of rows.

        Raises StoreDown, Duplicate.
        """
        ...


class Store(Session, Protocol):
    """One database. Outside of `transaction` every statement is a transaction of its own.

    After StoreDown the next call connects anew; a store is never in a state that needs another object.
    """

    url: str
    """Where it is, without the password."""
    backend: str
    """`sqlite` or `postgresql`."""

    async def open(self) -> None:
        """Connect, apply the migrations (one process at a time) and check what is there.

        Raises StoreDown, StoreBroken.
        """
        ...

    async def close(self) -> None:
        """Let go of every connection. A later call connects anew."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[Session]:
        """All or nothing; commits at the end of the block, and not when it raises.

        Its first error ends it, even one that is caught within the block: RuntimeError for whatever follows. When
        the commit itself raises StoreDown it may have been done: only the answer is known to be missing.

        A transaction that takes the revision (see `store.objects`) is alone in the whole fleet until it ends.
        """
        ...

    async def listen(self, wake: Callable[[], None]) -> None:
        """Call `wake` (on this loop) when another connection may have written, until the store is closed.

        PostgreSQL listens, and listens again after its connection was lost (calling `wake` then); SQLite watches
        its file. Both call it as soon as they have begun to. Returns at once. Nobody may rely on it: it saves
        waiting for the next poll.
        """
        ...

    def contend(self) -> Contest | None:
        """A new contest with all hosts of this database for who leads them. None: it is one host's, which leads."""
        ...
