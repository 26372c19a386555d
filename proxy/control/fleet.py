"""Which workers there are, by what each writes down about itself."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

from proxy.core.clock import now

if TYPE_CHECKING:
    from proxy.store.base import Session

ALIVE = 15.0
"""Seconds after its last word in which a worker is taken for alive: three times it had to say something."""
FORGOTTEN = 3600.0
"""Seconds after which a row is cleared away."""
PROBLEM = 4000
"""Characters of a problem that are kept."""

_FIELDS = ("host", "pid", "name", "revision", "config", "problem", "seen")
_REPORT = (
    "INSERT INTO workers (host, pid, name, revision, config, problem, seen)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7)"
    " ON CONFLICT (host, pid) DO UPDATE SET name = excluded.name, revision = excluded.revision,"
    " config = excluded.config, problem = excluded.problem, seen = excluded.seen"
)
_ALIVE = (
    "SELECT host, pid, name, revision, config, problem, seen FROM workers WHERE seen > $1"
    " ORDER BY host, name, pid"
)


class Fleet:
    """This worker's row, and the others'. What takes a session raises StoreDown."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.host = socket.gethostname()
        self.pid = os.getpid()

    def row(self, revision: int, config: int, problem: str) -> dict[str, Any]:
        """What this worker says of itself: it serves `revision`, and the `config`-th version of its file."""
        said = (self.host, self.pid, self.name, revision, str(config), problem[:PROBLEM], now())
        return dict(zip(_FIELDS, said, strict=True))

    async def report(self, session: Session, row: dict[str, Any]) -> None:
        """Write it down."""
        await session.execute(_REPORT, *row.values())

    async def leave(self, session: Session) -> None:
        """Take this worker's row away, and what is left of those that could not."""
        await session.execute(
            "DELETE FROM workers WHERE host = $1 AND pid = $2", self.host, self.pid
        )
        await session.execute("DELETE FROM workers WHERE seen < $1", now() - FORGOTTEN)

    async def alive(self, session: Session) -> list[dict[str, Any]]:
        """Every worker that has reported lately: host, pid, name, revision, config, problem, seen."""
        rows = await session.fetch(_ALIVE, now() - ALIVE)
        return [dict(zip(_FIELDS, row, strict=True)) for row in rows]
