"""Finds out that the event loop was blocked, by whom, and whether it was to blame.

A thread posts a heartbeat into the running loop and looks every few milliseconds whether it came out. While it does
not, the time that the *same* callback has been running is added up: a long row of short callbacks is load, not a
blocked loop. Time in which the machine let nobody run is not counted, or a busy machine would fail good tests:

    the loop's thread used CPU time        that CPU time counts (it was computing)
    it used none and could have run        nothing counts (it was starved)
    it used none and waited for the disk   nothing counts (how long that takes is the machine's affair)
    it waits for a thread it has started   nothing counts (that one was starved, and `to_thread` cannot do without)
    it used none and was asleep            the time counts (it was in a blocking call), but never more for one look
                                           than a look should take: a late watcher has been starved itself
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FrameType

import uvloop

LIMIT, UNSEEN = 0.050, 0.150
"""Seconds; where no callback is seen, so that it may also be a machine that gave its processor to another."""
TICK = 0.005
LOOK_AT_MOST = 0.010
"""Counted at most for one look at a sleeping thread, however late the look."""
COMPUTING = 0.1
"""The share of the time between two looks from which on a thread counts as computing."""

# The frames that run a loop: what they call is uvloop's compiled code, and above that stands the callback.
BORDER: frozenset[CodeType] = frozenset(
    function.__code__
    for function in (
        asyncio.Runner.run,
        asyncio.Runner.close,
        asyncio.runners._cancel_all_tasks,  # type: ignore[attr-defined]
    )
)


class Block:
    """The loop was blocked for about `seconds`, and this is where it was when that became too long."""

    __slots__ = ("seconds", "stack")

    def __init__(self, stack: list[traceback.FrameSummary]) -> None:
        self.seconds = 0.0
        self.stack = stack

    def __str__(self) -> str:
        where = "".join(traceback.format_list(self.stack)) or "  (compiled code)\n"
        return f"the event loop was blocked for about {self.seconds * 1000:.0f} ms here:\n{where}"


class Patient:
    """One loop being watched. Created by the thread that will run it, examined by the watcher."""

    __slots__ = (
        "_blamed",
        "_block",
        "_clock",
        "_counted",
        "_cpu",
        "_frames",
        "_looked",
        "_stat",
        "_thread",
        "_waiting",
        "loop",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._thread = threading.get_ident()
        self._clock = _cpu_clock(self._thread)
        self._stat = f"/proc/self/task/{threading.get_native_id()}/stat"
        self._waiting = False
        self._blamed: FrameType | None = None
        self._block: Block | None = None
        self._frames: list[FrameType | None] = []
        self._counted = self._cpu = self._looked = 0.0

    def look(self) -> Block | None:
        """Examine once; the block, at the moment its time is up."""
        now = time.perf_counter()
        elapsed, self._looked = now - self._looked, now
        cpu = self._used()
        spent, self._cpu = cpu - self._cpu, cpu
        if not self.loop.is_running():
            self._counted = 0.0
            self._block = None
        elif not self._waiting:
            self._post()
        else:
            self._count(self._to_blame(spent, elapsed))
            if self._block is not None:
                self._block.seconds = self._counted
            elif self._counted > (UNSEEN if self._blamed is None else LIMIT):
                self._block = Block(_stack(self._thread))
                self._block.seconds = self._counted
                return self._block
        return None

    def _post(self) -> None:
        self._counted = 0.0
        self._block = None
        self._waiting = True
        try:
            self.loop.call_soon_threadsafe(self._beat)
        except RuntimeError:  # closed since we asked
            self._waiting = False

    def _beat(self) -> None:
        """Runs in the loop: it turns. What the watcher held of its frames is let go here, in their own thread."""
        self._waiting = False
        self._blamed = None
        self._frames.clear()

    def _count(self, seconds: float) -> None:
        """Add to the account of the callback now running, or open its account."""
        callback = _callback(self._thread)
        self._frames.append(callback)  # held, so that its identity is not given to the next one
        if not self._waiting:  # it beat while we looked, and cannot clear what we have just added
            self._frames.clear()
            return
        if callback is not self._blamed:
            self._blamed = callback
            self._counted = 0.0
            self._block = None
        self._counted += seconds

    def _to_blame(self, spent: float, elapsed: float) -> float:
        """How much of the time since the last look the thread is answerable for."""
        if self._clock is None:
            return min(elapsed, LOOK_AT_MOST)
        if spent > elapsed * COMPUTING:
            return spent
        if self._kept_waiting() or _starts_a_thread(self._thread):
            return spent
        return min(elapsed, LOOK_AT_MOST)

    def _used(self) -> float:
        return 0.0 if self._clock is None else time.clock_gettime(self._clock)

    def _kept_waiting(self) -> bool:
        """It would run if the machine, or its disk, let it."""
        try:
            with open(self._stat, "rb") as stat:
                return stat.read().rpartition(b")")[2].split(maxsplit=1)[0] in {b"R", b"D"}
        except OSError:
            return False


class Watch:
    """Makes loops and watches them. One for a process."""

    def __init__(self) -> None:
        self._patients: list[Patient] = []
        self._blocks: list[Block] = []
        self._lock = threading.Lock()
        self._called = threading.Event()
        self._stopped = False
        self._thread: threading.Thread | None = None

    def new_loop(self) -> asyncio.AbstractEventLoop:
        loop = uvloop.new_event_loop()
        # The CPU clock of a thread that may have ended must not be read; the main thread never has.
        if self._thread is not None and threading.current_thread() is threading.main_thread():
            with self._lock:
                self._patients.append(Patient(loop))
            self._called.set()
        return loop

    def take(self) -> list[Block]:
        """The blocks since the last time."""
        with self._lock:
            blocks, self._blocks = self._blocks, []
        return blocks

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="loop-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        if self._thread is not None:
            self._stopped = True
            self._called.set()
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while not self._stopped:
            self._called.wait()
            time.sleep(TICK)
            with self._lock:
                for patient in self._patients:
                    with _no_collection():
                        block = patient.look()
                    if block is not None:
                        self._blocks.append(block)
                if any(patient.loop.is_closed() for patient in self._patients):
                    self._patients = [p for p in self._patients if not p.loop.is_closed()]
                if not self._patients and not self._stopped:
                    self._called.clear()


@contextmanager
def _no_collection() -> Iterator[None]:
    """Collect no garbage meanwhile: until CPython 3.12 a collection may begin where a frame is made for us, finalizers let
    the other thread go on, and the frame we are being given is one that has returned: a segmentation fault.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _starts_a_thread(thread: int) -> bool:
    """It waits for another one to begin: `Thread.start` does, in a condition within an event."""
    frame = sys._current_frames().get(thread)
    for _ in range(3):
        if frame is None:
            return False
        if frame.f_code is threading.Thread.start.__code__:
            return True
        frame = frame.f_back
    return False


def _cpu_clock(thread: int) -> int | None:
    if sys.platform == "linux" and os.path.exists("/proc/self/stat"):
        return time.pthread_getcpuclockid(thread)
    return None


def _callback(thread: int) -> FrameType | None:
    """The outermost frame of what the loop is running; None between callbacks and in compiled ones."""
    frame = sys._current_frames().get(thread)
    callback = None
    while frame is not None and frame.f_code not in BORDER:
        callback, frame = frame, frame.f_back
    return callback


def _stack(thread: int) -> list[traceback.FrameSummary]:
    """The frames above the loop, outermost first."""
    frames: list[tuple[FrameType, int]] = []
    frame = sys._current_frames().get(thread)
    while frame is not None and frame.f_code not in BORDER:
        frames.append((frame, frame.f_lineno))
        frame = frame.f_back
    return list(traceback.StackSummary.extract(reversed(frames), lookup_lines=False))
