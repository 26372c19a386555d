"""The folder of the ledger: who has it, and which host it is of."""

from __future__ import annotations

import fcntl
import os
import uuid
from pathlib import Path

from proxy.core.naming import name_once
from proxy.ledger.segments import make_folder

TABLE = "limits.shm"
"""The file of `limits.table`."""
CONTENT = "content"
"""A ledger in the ledger, for what was asked and answered: its spools may lose."""


class Lock:
    """`flock` on a file of the folder: freed by death. `gateway` for those who write (shared by the workers of one
    supervisor, who inherit it), `shipper` for whoever reads."""

    __slots__ = ("_fd", "_path")

    def __init__(self, folder: Path, name: str, fd: int = -1) -> None:
        """`fd` has it already."""
        self._path = folder / f"{name}.lock"
        self._fd = fd

    @property
    def fd(self) -> int:
        """-1: it is not ours."""
        return self._fd

    def take(self) -> bool:
        """Whether it is ours now. Raises OSError when the file cannot be made."""
        if self._fd >= 0:
            return True
        make_folder(self._path.parent)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        except OSError:
            os.close(fd)
            raise
        self._fd = fd
        return True

    def release(self) -> None:
        """Give back our part: it is free once all who share it have done so, or died."""
        if self._fd >= 0:
            os.close(self._fd)  # not LOCK_UN, which would free it for all who inherited it
            self._fd = -1


def host_id(folder: Path) -> str:
    """The name of this host in the database: made once, kept in `<folder>/host`, moved with the folder.

    Raises OSError, and ValueError when the file holds something else.
    """
    path = folder / "host"
    if not path.exists():
        make_folder(folder)
        made = folder / f"host.{uuid.uuid4().hex}"
        try:
            write_whole(made, str(uuid.uuid4()).encode() + b"\n")
            name_once(made, path)  # or another process was quicker
        finally:
            made.unlink(missing_ok=True)
    try:
        return str(uuid.UUID(path.read_text("ascii").strip()))
    except ValueError:
        raise ValueError(f"{path} does not hold the id of a host") from None


def write_whole(path: Path, data: bytes) -> None:
    """A new file, on the disk when this returns. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(fd, rest) :]
        os.fsync(fd)
    finally:
        os.close(fd)


def replace(path: Path, data: bytes) -> None:
    """The file is the old one or the new one, whenever the power fails. Raises OSError; then it is the old one."""
    made = path.with_name(path.name + ".new")
    try:
        write_whole(made, data)
        made.rename(path)
    except OSError:
        made.unlink(missing_ok=True)
        raise
