"""`headrace db`: what a database has, and bringing it up to date.

Each gives the exit code: 0, 1 for a database that is not there or not up to date, 2 for one that cannot be used.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from proxy.store import migrations
from proxy.store.base import StoreBroken, StoreDown, Unusable
from proxy.store.console import DOWN, OK, UNUSABLE, answer, say, tell
from proxy.store.migrations import NOTHING, State
from proxy.store.opening import Database, open_store, sqlite_path


def upgrade(url: str) -> int:
    """Apply every migration that is pending, one to a new major version too; says on stderr which."""

    async def work(database: Database) -> int:
        applied = await database.upgrade()
        for migration in applied:
            tell(f"applied {migration.name}, schema {migration.version}")
        if not applied:
            tell(f"nothing to do: schema {(await database.state()).version}")
        return OK

    return _with(url, work)


def status(url: str, as_json: bool) -> int:
    """What is applied and what is not, on stdout; changes nothing, and makes no file.

    1 if something is pending, 2 for a database of a later program.
    """

    async def work(database: Database) -> int:
        found = await _state(database, url)
        known = database.known
        pending = [migration.name for migration in found.pending(known)]
        content = {
            "url": database.url,
            "backend": database.backend,
            "schema": str(found.version),
            "newest": str(known[-1].version),
            "applied": len(found.applied),
            "pending": pending,
        }
        if as_json:
            answer(content)
        else:
            content["pending"] = ", ".join(pending) or "nothing"
            width = max(map(len, content))
            answer("\n".join(f"{name:<{width}}  {value}" for name, value in content.items()))
        migrations.check(found, known)
        return DOWN if pending else OK

    return _with(url, work)


async def _state(database: Database, url: str) -> State:
    if database.backend == "sqlite" and not sqlite_path(url).exists():
        return State(NOTHING, {})
    return await database.state()


def _with(url: str, work: Callable[[Database], Awaitable[int]]) -> int:
    async def run() -> int:
        database = open_store(url)
        try:
            return await work(database)
        finally:
            await database.close()

    try:
        return asyncio.run(run())
    except (StoreBroken, Unusable, ValueError) as error:
        say(str(error))
        return UNUSABLE
    except StoreDown as error:
        say(str(error))
        return DOWN
