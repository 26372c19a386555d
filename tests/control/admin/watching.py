"""Somebody who watches: server-sent events of the admin API, one by one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson

from tests.control.admin.desk import OWNER, Desk, Who

PATIENCE = 20.0


class Watcher:
    """One."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer

    async def event(self, *names: str) -> tuple[str, Any]:
        """The next one with one of these names, whatever they are where none is said; `("", None)` at the end."""
        async with asyncio.timeout(PATIENCE):
            while True:
                said = b""
                while line := await self.answer.content.readline():
                    if line in (b"\n", b"\r\n"):
                        break
                    said += line
                else:
                    return "", None
                lines = dict(one.split(b": ", 1) for one in said.splitlines() if b": " in one)
                name = lines.get(b"event", b"").decode()
                if name in names or (name and not names):
                    return name, orjson.loads(lines[b"data"])

    async def data(self, name: str) -> Any:
        """Of the next event of this name."""
        found, data = await self.event(name)
        assert found == name, "the stream is over"
        return data


@asynccontextmanager
async def watching(desk: Desk, path: str, who: Who = OWNER) -> AsyncIterator[Watcher]:
    """Until the end of the block."""
    async with desk.http.get(desk.url + path, headers=dict(who.headers)) as answer:
        assert answer.status == 200, await answer.read()
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-accel-buffering"] == "no"
        yield Watcher(answer)
