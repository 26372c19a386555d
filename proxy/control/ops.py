"""Pages of the supervisor, as a worker gets them for whoever asked it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from proxy.core import unix

PATIENCE: Final = 2.0
"""Seconds for the whole answer."""
MOST: Final = 256 << 20
"""Bytes of it."""


async def ask(listener: Path, path: str) -> bytes:
    """The page at `path`, as whoever listens there has it now.

    Raises OSError (TimeoutError is one) when nobody answers in time, or says something else than 200.
    """
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_unix_connection(sock=unix.connect(listener), limit=MOST)
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nhost: ops\r\n\r\n".encode())
            try:
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.read()
            except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                raise ConnectionError("the answer is none of HTTP") from None
        finally:
            writer.close()
    status, _, fields = head.partition(b"\r\n")
    if status.split(b" ")[1:2] != [b"200"]:
        raise ConnectionError(f"{path} is not to be had: {status.decode('latin-1')}")
    if b"\r\ncontent-length: %d\r\n" % len(body) not in b"\r\n" + fields.lower():
        raise ConnectionError("the answer is cut off")
    return body
