"""Records, spools and small disks for the tests of this room."""

from __future__ import annotations

import ctypes
import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy.ledger.reading import Reader
from proxy.ledger.records import Charged, End, Progress, Record, Start, Tokens, Try
from proxy.ledger.segments import listed

SEGMENT = 64 << 10
SIZE = 1 << 30
CHARGES = (Charged("key:1", 1_800_000_000, 1_800_086_400),)


def start(rid: str, attempt: int = 1, *, likely: int = 70, at: float = 1000.0) -> Start:
    return Start(
        rid=rid, at=at, attempt=attempt, key_id="k1", key="one", team="t", owner="o", route="chat", operation="chat",
        dialect="openai", stream=True, asked="fast", model="small", deployment=f"d{attempt}", provider="p",
        upstream_model="small-1", reserved=900, likely=likely, prompt=12, charges=CHARGES,
    )  # fmt: skip


def progress(rid: str, output: int, cost: int = 90) -> Progress:
    return Progress(rid, 1005.0, Tokens(input=12, output=output), cost)


def end(rid: str, *, at: float = 1000.0, agent: str = "curl/8") -> End:
    return End(
        rid=rid, at=at, key_id="k1", key="one", team="t", owner="o", route="chat", operation="chat", dialect="openai",
        stream=True, asked="fast", model="small", deployment="d1", provider="p", upstream_model="small-1", status=200,
        outcome="ok", cause="", finish="stop", queue_ms=0.1, connect_ms=-1.0, ttft_ms=5.0, total_ms=9.0,
        overhead_ms=0.2, tokens=Tokens(input=12, output=30), source="reported", cost=123, estimate=-1,
        cost_upstream=123, bytes_in=100, bytes_out=200, client="127.0.0.1", user_agent=agent,
        tries=(Try(1, "d1", "p", "c", "small-1", "openai", 200, "ok", "", 0.1, -1.0, 5.0, 9.0, 123),),
        charges=CHARGES,
    )  # fmt: skip


def drained(folder: Path, most: int = 500) -> list[Record]:
    """Everything that stands there, booked by a new reader."""
    reader = Reader(folder, whole=True)
    found: list[Record] = []
    while (batch := reader.take(most)) is not None:
        found.extend(batch.records)
        reader.done(batch)
    reader.close()
    return found


def segments(folder: Path, worker: str = "0") -> list[Path]:
    own = folder / "spool" / worker
    return [own / name for name in listed(own)]


def until(holds: Callable[[], object], what: str, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.002)


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """No file of this process may grow beyond that: the system says EFBIG, as a failing disk says EIO."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def no_descriptors() -> Iterator[None]:
    """This process has none left: the system says EMFILE."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def disk(where: Path, size: int) -> Iterator[Path]:
    """A real file system of `size` bytes; the test is skipped where this process may not mount one."""
    with _mounted(where, b"tmpfs", b"size=%d" % size):
        yield where


@contextmanager
def layered(where: Path, below: Path) -> Iterator[Path]:
    """A file system over a folder, of a kind of which it is not known that what it promised can be written."""
    for name in ("lower", "upper", "work"):
        (below / name).mkdir()
    options = f"lowerdir={below}/lower,upperdir={below}/upper,workdir={below}/work"
    with _mounted(where, b"overlay", options.encode()):
        yield where


@contextmanager
def _mounted(where: Path, kind: bytes, options: bytes) -> Iterator[None]:
    libc = ctypes.CDLL(None, use_errno=True)
    where.mkdir()
    mount = getattr(libc, "mount", None)
    if mount is None or mount(kind, bytes(where), kind, 0, options) != 0:
        pytest.skip(f"{kind.decode()} cannot be mounted: {os.strerror(ctypes.get_errno())}")
    try:
        yield
    finally:
        libc.umount2(bytes(where), 2)  # detached now, gone once its files are closed


def fill(folder: Path) -> Path:
    """Take all that is left of a file system; the file that has it."""
    path = folder / "other"
    with path.open("ab", buffering=0) as file:
        for piece in (1 << 20, 4096, 1):
            try:
                while file.write(b"x" * piece) == piece:
                    pass
            except OSError:
                continue
    return path
