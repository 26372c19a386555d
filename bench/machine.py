"""The machine under the measurement: its cores, and the CPU time and memory of process trees (Linux)."""

from __future__ import annotations

import os
import platform
import resource
import time
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PROC = Path("/proc")
SCHEDULER_CLOCK = 2  # CPUCLOCK_SCHED of the kernel's clock numbers: time on a core, in nanoseconds


class Cores(Struct, frozen=True):
    """Who runs where. Empty sets mean: not pinned, there is only one core."""

    measured: frozenset[int]
    simulator: frozenset[int]
    load: frozenset[int]


def share_out_cores() -> Cores:
    """The measured process gets the last core alone; with three cores or more, so does everyone."""
    cores = _one_thread_per_core(sorted(os.sched_getaffinity(0)))
    if len(cores) < 2:
        nothing: frozenset[int] = frozenset()
        return Cores(nothing, nothing, nothing)
    simulator = cores[1] if len(cores) > 2 else cores[0]
    return Cores(frozenset({cores[-1]}), frozenset({simulator}), frozenset({cores[0]}))


def _one_thread_per_core(threads: list[int]) -> list[int]:
    first_of: dict[str, int] = {}
    for thread in threads:
        path = Path(f"/sys/devices/system/cpu/cpu{thread}/topology/thread_siblings_list")
        siblings = path.read_text().strip() if path.exists() else str(thread)
        first_of.setdefault(siblings, thread)
    return list(first_of.values())


def pin(cores: frozenset[int]) -> Callable[[], None]:
    """A function for `preexec_fn` that puts a new process, and what it starts, on these cores."""

    def set_affinity() -> None:
        if cores:
            os.sched_setaffinity(0, cores)

    return set_affinity


def move(pid: int, cores: frozenset[int]) -> None:
    """The same for a process that runs, with the threads it has."""
    if cores:
        for thread in (PROC / str(pid) / "task").iterdir():
            os.sched_setaffinity(int(thread.name), cores)


def raise_file_limit() -> None:
    """As many open files as we may have: a held stream takes two in the measured process."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def tree(pid: int) -> list[int]:
    """A process and everything it started, directly or not."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:  # gone meanwhile
                continue
            parent = int(stat[stat.rindex(")") + 2 :].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for member in found:
        found.extend(children.get(member, []))
    return found


def named(name: str, pids: Iterable[int]) -> list[int]:
    """Those of these processes that call themselves so (15 characters at most)."""
    found = []
    for pid in pids:
        try:
            if (PROC / str(pid) / "comm").read_text() == f"{name}\n":
                found.append(pid)
        except OSError:  # gone meanwhile
            continue
    return found


def is_alive(pid: int) -> bool:
    """Still running: a zombie only waits for somebody to read its end."""
    try:
        stat = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return False
    return stat[stat.rindex(")") + 2] != "Z"


def cpu_ns(pids: list[int]) -> int:
    """Time these processes have spent on a core, user and kernel, all threads, in nanoseconds.

    Read from each process's CPU clock. Clock ticks (utime and stime) are 10 ms coarse and
    sampled; the scheduler's own account is exact, and includes threads that have ended.
    """
    total = 0
    for pid in pids:
        try:
            total += time.clock_gettime_ns((~pid << 3) | SCHEDULER_CLOCK)
        except OSError:  # gone meanwhile
            continue
    return total


def wakes(pids: Iterable[int]) -> int:
    """How often threads of these processes have slept and were woken."""
    total = 0
    for status in chain.from_iterable(map(_statuses, pids)):
        try:
            lines = status.read_text().splitlines()
        except OSError:  # gone meanwhile
            continue
        for line in lines:
            if line.startswith("voluntary_ctxt_switches:"):
                total += int(line.split()[1])
    return total


def _statuses(pid: int) -> list[Path]:
    """Where the system tells of its threads."""
    try:
        return [thread / "status" for thread in (PROC / str(pid) / "task").iterdir()]
    except OSError:  # gone meanwhile
        return []


class Memory(Struct, frozen=True):
    """Of a process, in MiB."""

    rss: float
    """In RAM."""
    pss: float
    """The same, a page of n processes counted 1/n."""
    own: float
    """Of no other process."""


def memory(pid: int) -> Memory:
    """Where the system says it (`smaps_rollup`)."""
    lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()[1:]
    kb = {name: int(value.split()[0]) for name, value in (line.split(":", 1) for line in lines)}
    own = kb["Private_Clean"] + kb["Private_Dirty"]
    return Memory(kb["Rss"] / 1024, kb["Pss"] / 1024, own / 1024)


def busy_ns(cores: Iterable[int]) -> int:
    """Time these cores have spent on anything at all, so that a noisy neighbour can be named."""
    wanted = {f"cpu{core}" for core in cores}
    tick_ns = 10**9 // os.sysconf("SC_CLK_TCK")
    total = 0
    for line in (PROC / "stat").read_text().splitlines():
        name, *fields = line.split()
        if name in wanted:
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields[:8])
            total += (user + nice + system + irq + softirq + steal) * tick_ns
    return total


def memory_kb(pids: list[int]) -> int:
    """Memory of these processes: pages shared by n of them count 1/n each (PSS), else RSS."""
    return sum(_memory_kb(pid) for pid in pids)


def _memory_kb(pid: int) -> int:
    for name, field in (("smaps_rollup", "Pss:"), ("status", "VmRSS:")):
        try:
            text = (PROC / str(pid) / name).read_text()
        except OSError:
            continue
        for line in text.splitlines():
            if line.startswith(field):
                return int(line.split()[1])
    return 0


def facts() -> dict[str, str]:
    """What a reader needs to know about the machine to place the figures."""
    model = "unknown"
    for line in (PROC / "cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return {
        "cpu": f"{model}, {len(os.sched_getaffinity(0))} usable cores",
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load": f"load average {os.getloadavg()[0]:.1f} at the start",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }
