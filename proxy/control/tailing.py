"""What comes to the end of the log, asked for by a worker and found by the process that ships.

    Wanted      what somebody watches
    Here        finds it in this process
    Beside      has it found by whoever listens at a socket: a `Teller` in the process that ships

To find it each second and to write it as JSON takes some milliseconds, which a worker has for its clients. The other process
serves nobody. What it says is passed on as it is.

One connection is one tail: a line of JSON asks, and the answer is its length (4 bytes, big-endian) and JSON. The first answer
is empty: it says from when on nothing is missed. An answer without a length says that the database is away.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

import msgspec
from msgspec import Raw, Struct

from proxy.control.showing import COLUMNS, some
from proxy.core import unix
from proxy.core.log import logger
from proxy.core.tasks import spawn
from proxy.store.base import Session, StoreDown
from proxy.store.ledger.requests import Filters
from proxy.store.ledger.tail import Asked, Tail

PATIENCE: Final = 6.0
"""Seconds for an answer, which a database has five for."""
MOST: Final = 1 << 20
"""Bytes of a question."""
_LENGTH: Final = struct.Struct(">I")


class Wanted(Struct, frozen=True):
    """By one who watches, or several."""

    filters: Filters
    fields: tuple[str, ...]
    """Of a request, as they are shown."""

    @property
    def asked(self) -> Asked:
        """Of a database. Raises KeyError where there is no such field."""
        return Asked(self.filters, tuple(COLUMNS[name] for name in self.fields))


class Told(Struct, array_like=True, frozen=True):
    """Of what is wanted, since the last time."""

    items: Raw
    """A list as JSON, the newest first."""
    shown: int
    """How many these are."""
    more: int
    """Others."""


NOTHING: Final = Told(Raw(b"[]"), 0, 0)


class Source(Protocol):
    """Where a worker has it from."""

    async def next(self, wanted: Sequence[Wanted]) -> Sequence[Told] | None:
        """What is over since the last time, for each of these in turn; None: it has been begun, nothing is missed from now on.

        Raises StoreDown, OSError.
        """
        ...

    def close(self) -> None:
        """The next time it is begun anew."""
        ...


class Here:
    """By this process."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._tail: Tail | None = None

    async def next(self, wanted: Sequence[Wanted]) -> Sequence[Told] | None:
        if self._tail is None:
            tail = Tail()
            await tail.begin(self._session)
            self._tail = tail
            return None
        return await _found(self._tail, self._session, wanted)

    def close(self) -> None:
        self._tail = None


async def _found(tail: Tail, session: Session, wanted: Sequence[Wanted]) -> list[Told]:
    found = await tail.next(session, {one.asked for one in wanted})
    told: list[Told] = []
    for one in wanted:
        said = found.get(one.asked)
        if said is None:
            told.append(NOTHING)
            continue
        show = some(one.fields)
        items = Raw(msgspec.json.encode([show(row) for row in said.rows]))
        told.append(Told(items, len(said.rows), said.more))
    return told


# --- in the process that ships ---


class Teller:
    """Tells whoever connects."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._path = Path()
        self._server: asyncio.Server | None = None
        self._telling: set[asyncio.Task[None]] = set()

    async def listen(self, path: Path) -> None:
        """From now on. Raises OSError."""
        self._path = path
        self._server = await asyncio.start_unix_server(
            self._came, sock=unix.listen(path), limit=MOST
        )

    def _came(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = spawn(_tell(reader, writer, self._session), name="tell what is over")
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def close(self) -> None:
        """Nobody is told any more."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
            with suppress(OSError):
                unix.remove(self._path)
        for task in self._telling:
            task.cancel()
        if self._telling:
            await asyncio.wait(self._telling)


async def _tell(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, session: Session
) -> None:
    decode = msgspec.json.Decoder(tuple[Wanted, ...]).decode
    here = Here(session)
    try:
        while line := await reader.readline():
            try:
                answer = msgspec.json.encode(await here.next(decode(line)) or [])
            except StoreDown:
                answer = b""
            writer.write(_LENGTH.pack(len(answer)) + answer)
            await writer.drain()
    except (ConnectionError, ValueError, KeyError) as error:
        logger.debug("who watches the log has left: %s", error)
    finally:
        writer.transport.abort()


# --- in a worker ---


class Beside:
    """By whoever listens at this path."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._line: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._decode = msgspec.json.Decoder(list[Told]).decode

    async def next(self, wanted: Sequence[Wanted]) -> Sequence[Told] | None:
        begins = self._line is None
        try:
            async with asyncio.timeout(PATIENCE):
                answer = await self._ask(wanted)
        except (OSError, asyncio.IncompleteReadError):
            self.close()
            raise ConnectionError("the process that ships does not answer") from None
        if not answer:
            if begins:
                self.close()
            raise StoreDown("the database does not answer the process that ships")
        return None if begins else self._decode(answer)

    async def _ask(self, wanted: Iterable[Wanted]) -> bytes:
        if self._line is None:
            self._line = await asyncio.open_unix_connection(
                sock=unix.connect(self._path), limit=MOST
            )
        reader, writer = self._line
        writer.write(msgspec.json.encode(tuple(wanted)) + b"\n")
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        return await reader.readexactly(length)

    def close(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line[1].close()
