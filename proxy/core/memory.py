"""Memory: how much there may be of it, and how much is used.

A container has a limit of its own (cgroups, version 2 or 1). What counts there is what the kernel cannot take back at
once: usage without the inactive part of the page cache, which is what Kubernetes evicts by, too. Where the limit was
configured, each worker looks at its own part.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

_PROC = Path("/proc/self")
_MOUNT = Path("/sys/fs/cgroup")
_ARENA_MAX, _MMAP_THRESHOLD, _TRIM_THRESHOLD = -8, -3, -1
"""`M_ARENA_MAX` and so on, of malloc.h."""
_MAPPED = 32 * 1024 * 1024
"""Bytes from which on a block has pages of its own. It is the most that glibc takes."""
_KEPT = 64 * 1024 * 1024
"""Bytes at the end of the heap that are kept when they are free."""
_NO_LIMIT = 1 << 50
"""Version 1 writes a very large number where there is none."""


class Limit(Struct, frozen=True):
    """Bytes. `used` reads a file or two of the kernel: some 20 µs."""

    size: int
    used: Callable[[], int]


def configured(size: int, workers: int, proc: Path = _PROC) -> Limit:
    """`size` for all workers together."""
    return Limit(size // workers, lambda: resident(proc))


def of_container(proc: Path = _PROC, mount: Path = _MOUNT) -> Limit | None:
    """The limit of the cgroup that leaves least, of this process's own and those around it."""
    try:
        lines = (proc / "cgroup").read_text().splitlines()
    except OSError:
        return None
    found: list[Limit] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            found += _limits(mount, path, "memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            found += _limits(
                mount / "memory",
                path,
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                "total_inactive_file",
            )
    return min(found, key=lambda one: one.size, default=None)


def _limits(mount: Path, path: str, most: str, now: str, reclaimable: str) -> list[Limit]:
    """Of the group and all above it, as far as they are to be seen."""
    found = []
    place = mount / path.lstrip("/")
    for folder in (place, *place.parents):
        size = _number(folder / most)
        if size is not None and size < _NO_LIMIT and _number(folder / now) is not None:
            found.append(Limit(size, _reader(folder, now, reclaimable)))
        if folder == mount:
            break
    return found


def _reader(folder: Path, now: str, reclaimable: str) -> Callable[[], int]:
    def used() -> int:
        total = _number(folder / now) or 0
        try:
            lines = (folder / "memory.stat").read_text().splitlines()
        except OSError:
            return total
        for line in lines:
            name, _, value = line.partition(" ")
            if name == reclaimable:
                return max(total - int(value), 0)
        return total

    return used


def _number(path: Path) -> int | None:
    """None: there is no such file, or no limit."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def resident(proc: Path = _PROC) -> int:
    """Bytes of this process in RAM; 0 where the system does not say."""
    try:
        return int((proc / "statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def share_heap() -> None:
    """From now on all threads allocate from one heap: each has one of its own otherwise, which keeps what it freed. Threads of
    ours take turns at the interpreter anyway. And it keeps what a few large bodies take: else each has its pages from the system, 256
    a megabyte, and they go back with it, a quarter of what such a request costs. `give_back` is for when there are none any more.

    Only with glibc, and before there are threads."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_ARENA_MAX, 1)
        mallopt(_MMAP_THRESHOLD, _MAPPED)
        mallopt(_TRIM_THRESHOLD, _KEPT)


def give_back() -> None:
    """Return to the system what was freed: the C library keeps it, and the kernel counts it as used. Takes milliseconds;
    other threads run on meanwhile. Only with glibc.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
