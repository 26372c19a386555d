"""What this process takes from the machine: processor time, memory, open files.

The names are the ones every Prometheus client uses, so ready-made dashboards fit. Where the system has no `/proc`
the numbers that need it are missing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

from proxy.core.clock import now
from proxy.core.series import Reading, Registry, Rule

_PROC = Path("/proc")


def watch_process(registry: Registry, name: str, proc: Path = _PROC) -> None:
    """Declare `process_*` in `registry`, with the label `process`; they are read at each scrape."""
    own = proc / "self"
    label = ("process",)
    mine = (name,)
    gauge = registry.gauge

    def resident() -> Iterable[Reading]:
        yield mine, _pages(own, 1)

    def virtual() -> Iterable[Reading]:
        yield mine, _pages(own, 0)

    def files() -> Iterable[Reading]:
        yield mine, len(os.listdir(own / "fd"))

    def limit() -> Iterable[Reading]:
        import resource

        yield mine, resource.getrlimit(resource.RLIMIT_NOFILE)[0]

    def processor() -> Iterable[Reading]:
        yield mine, time.process_time()

    registry.counter(
        "process_cpu_seconds_total", "Processor time spent, user and system.", label
    ).watch(processor)
    gauge("process_max_fds", "Files that may be open.", label, rule=Rule.MIN).watch(limit)
    if own.exists():
        begun = _start_time(own)
        started = gauge(
            "process_start_time_seconds", "Unix time of the start.", label, rule=Rule.MIN
        )
        started.child(name).set(begun)
        gauge("process_resident_memory_bytes", "Memory in RAM.", label).watch(resident)
        gauge("process_virtual_memory_bytes", "Address space.", label).watch(virtual)
        gauge("process_open_fds", "Open files and sockets.", label).watch(files)


def _pages(own: Path, field: int) -> int:
    words = (own / "statm").read_bytes().split()
    return int(words[field]) * os.sysconf("SC_PAGE_SIZE")


def _start_time(own: Path) -> float:
    # The command's name is in brackets and may hold spaces and brackets itself: count from the last one.
    stat = (own / "stat").read_bytes().rpartition(b")")[2].split()
    after_boot = int(stat[19]) / os.sysconf("SC_CLK_TCK")
    return now() - (time.clock_gettime(time.CLOCK_BOOTTIME) - after_boot)


def rename(name: str) -> None:
    """What `ps -e` and `top` call this process; at most 15 characters. Only where the system has `/proc`."""
    try:
        (_PROC / "self" / "comm").write_text(name)
    except OSError:
        pass
