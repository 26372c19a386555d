"""Sockets of this machine alone, named by a file.

A name may have some 100 bytes, and folders have longer ones: where the system has `/proc`, the folder is opened and named by
its descriptor instead.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

OPS: Final = "ops.sock"
"""Where the supervisor answers, in the folder of the ledger."""
TAIL: Final = "tail.sock"
"""Where the process that ships tells what comes to the end of the log, in the same folder."""


def listen(path: Path) -> socket.socket:
    """For this user alone. What is left of one who died is taken away. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    remove(path)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        with _short(path) as name:
            made.bind(name)
        made.listen(64)
    except BaseException:
        made.close()
        raise
    finally:
        os.umask(before)
    return made


def connect(path: Path) -> socket.socket:
    """Raises OSError; BlockingIOError when too many are waiting already."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.setblocking(False)
    try:
        with _short(path) as name:
            made.connect(name)
    except BaseException:
        made.close()
        raise
    return made


def remove(path: Path) -> None:
    """Nobody listens there any more."""
    path.unlink(missing_ok=True)


@contextmanager
def _short(path: Path) -> Iterator[str]:
    if not os.path.isdir("/proc/self/fd"):
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
