"""The copy on disk: what the database held, for a start without it. Sealed as in the database, and sealed once more.

    headrace-copy 1
    <header, sealed>           Header: which database, how far, how many pieces, the peppers
    <piece, sealed>            up to 500 records, MessagePack; one line each

It is written in pieces so that no other thread waits for one long step, replaced as a whole, and readable to its
owner alone. The file's time is when the database last confirmed it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from proxy.core.records import Record
from proxy.core.vault import Unopened, Vault

MAGIC = b"headrace-copy 1"
PIECE = 500
"""Records sealed at once: about a millisecond."""


class Unreadable(Exception):
    """There is a copy, and it cannot be used; the text says why."""


class PepperRow(Struct, frozen=True, array_like=True):
    """A row of `peppers`, as it is."""

    id: str
    sealed: str
    created: float


class Copy(Struct, frozen=True, eq=False):
    """What is kept."""

    url: str
    """The database it is of, without the password."""
    revision: int
    records: Sequence[Record]
    peppers: Sequence[PepperRow] = ()
    confirmed: float = 0.0
    """Unix time; read from the file, not written into it."""


class Header(Struct, frozen=True):
    """The first line but one."""

    url: str
    revision: int
    pieces: int
    peppers: list[PepperRow]


_encode = msgspec.msgpack.encode
_header = msgspec.msgpack.Decoder(Header)
_piece = msgspec.msgpack.Decoder(list[Record])


def write(path: Path, copy: Copy, vault: Vault) -> None:
    """Put it in the place of the one before. Blocks. Raises OSError."""
    pieces = [copy.records[at : at + PIECE] for at in range(0, len(copy.records), PIECE)]
    header = Header(copy.url, copy.revision, len(pieces), list(copy.peppers))
    path.parent.mkdir(parents=True, exist_ok=True)
    # mkstemp: readable to the owner alone from the beginning.
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(MAGIC + b"\n")
            file.write(vault.seal(_encode(header), _place(copy.url)).encode() + b"\n")
            for index, piece in enumerate(pieces):
                place = _place(copy.url, copy.revision, index)
                file.write(vault.seal(_encode(piece), place).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def read(path: Path, url: str, vault: Vault) -> Copy | None:
    """The copy of this database; None when there is none. Blocks. Raises Unreadable."""
    try:
        with path.open("rb") as file:
            confirmed = os.fstat(file.fileno()).st_mtime
            magic, *lines = file.read().split(b"\n")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unreadable(error.strerror or "it cannot be read") from None
    if magic != MAGIC or not lines:
        raise Unreadable("it is no copy that this version reads")
    try:
        header = _header.decode(_open(vault, lines[0], _place(url)))
        if len(lines) != header.pieces + 2:  # the last line ends as well
            raise Unreadable("it is not whole")
        records = [
            record
            for index, line in enumerate(lines[1:-1])
            for record in _piece.decode(_open(vault, line, _place(url, header.revision, index)))
        ]
    except Unopened as error:
        raise Unreadable(str(error)) from None
    except msgspec.MsgspecError:
        raise Unreadable("another version has written it") from None
    return Copy(header.url, header.revision, records, header.peppers, confirmed)


def confirm(path: Path) -> None:
    """The database has just confirmed that the copy is right. Blocks; without a copy nothing happens."""
    try:
        os.utime(path)
    except OSError:
        pass


def _place(url: str, revision: int | None = None, index: int = 0) -> str:
    """A piece opens only where it was: pieces of two copies are not mixed, nor is one left out unnoticed."""
    return f"copy/{url}" if revision is None else f"copy/{url}/{revision}/{index}"


def _open(vault: Vault, line: bytes, place: str) -> bytes:
    return vault.open(line.decode("ascii", "replace"), place)


def _sync_folder(folder: Path) -> None:
    """So that the new name is there after a loss of power as well."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
