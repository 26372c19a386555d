"""Where log lines go: a descriptor that is ours to use, or a file.

A file that was moved away is opened again, so that logrotate needs no signal. With `rotate` it is moved away here, when a
day (UTC) is over: `headrace.log` becomes `headrace.log.2026-11-27`. Several processes write to one file; who comes first
moves it, the others find it moved.
"""

from __future__ import annotations

import fcntl
import os
import re
import select
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from proxy.core.clock import now

DAY = 86_400


class Losses:
    """Lines that were not written. Each number is changed by one thread only."""

    __slots__ = ("refused", "unwritten")

    def __init__(self) -> None:
        self.refused = 0
        self.unwritten = 0


losses = Losses()


class Output:
    """Used by one thread, but for `rotate` and `keep`."""

    __slots__ = ("_day", "_fd", "_identity", "_path", "batch", "keep", "rotate")

    def __init__(self, fd: int | None = None, path: str | None = None) -> None:
        self.rotate = False
        self.keep = 0
        """Days that files of days stay; 0: for ever."""
        self._path = path
        self._fd = -1 if fd is None else fd
        self._identity: tuple[int, int] | None = None
        self._day = 0
        """Of the first line in the file, in days since 1970, as far as that is known."""
        if path is not None:
            # Its folder, too: the other programs whose files we take name one that nobody has made, `./logs/app.log`.
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            self._open(path)
        mode = os.fstat(self._fd).st_mode
        # What a pipe takes in one piece (PIPE_BUF): lines of several workers do not end up inside each other.
        self.batch = 4096 if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else 64 * 1024

    def write(self, data: bytes, give_up: Callable[[], bool]) -> None:
        """Write all of it, however long that takes, unless `give_up` says otherwise."""
        if self._path is not None:
            if self.rotate and now() // DAY > self._day:
                self._turn(self._path)
            self._follow(self._path)
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._fd, view) :]
            except BlockingIOError:
                # Whoever shares a terminal or pipe with us may have made it non-blocking.
                poll = select.poll()
                poll.register(self._fd, select.POLLOUT)
                if not poll.poll(500) and give_up():
                    raise

    def ready(self) -> bool:
        """Whether a write of up to `batch` bytes would be taken at once."""
        if self._path is not None:
            return True
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        return any(event & select.POLLOUT for _, event in poll.poll(0))

    def close(self) -> None:
        if self._path is not None:
            os.close(self._fd)

    def _open(self, path: str) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = fd
        status = os.fstat(fd)
        self._identity = status.st_dev, status.st_ino
        self._day = int((status.st_mtime if status.st_size else now()) // DAY)

    def _follow(self, path: str) -> None:
        if self._is_at(path) is not True:
            self._open(path)

    def _is_at(self, path: str) -> bool | None:
        """Whether the file that is open is the one of that name; None: there is none."""
        try:
            status = os.stat(path)
        except FileNotFoundError:
            return None
        return (status.st_dev, status.st_ino) == self._identity

    def _turn(self, path: str) -> None:
        """A day is over: see that what was written on it has its name, and that nothing stays for too long."""
        day, self._day = self._day, int(now() // DAY)
        try:
            with _alone(Path(path).parent):
                if self._is_at(path) and os.fstat(self._fd).st_size:
                    Path(path).rename(free_name(Path(path), day))
        except OSError:
            return  # it goes on in the same file, until the next day is over
        if self.keep:
            prune(Path(path), self._day - self.keep)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """While nobody else moves a log of this folder."""
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def free_name(path: Path, day: int) -> Path:
    """What the log of that day is called: nothing that was written is written over."""
    dated = datetime.fromtimestamp(day * DAY, UTC).date().isoformat()
    name = path.with_name(f"{path.name}.{dated}")
    number = 1
    while name.exists():
        name = path.with_name(f"{path.name}.{dated}.{number}")
        number += 1
    return name


def prune(path: Path, day: int) -> None:
    """Delete the logs of days before that one."""
    named = re.compile(rf"{re.escape(path.name)}\.(\d{{4}}-\d\d-\d\d)(?:\.\d+)?")
    oldest = date(1970, 1, 1) + timedelta(days=day)
    for each in path.parent.iterdir():
        found = named.fullmatch(each.name)
        if found is None:
            continue
        try:
            if date.fromisoformat(found[1]) < oldest:
                each.unlink()
        except (ValueError, OSError):
            continue  # no day, or not ours
