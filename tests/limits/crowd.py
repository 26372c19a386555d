"""Many real processes at one table. Run as a program, which has no threads, so that it may fork:

python -m tests.limits.crowd <scenario> <path>    prints what happened, as JSON
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import msgspec

from proxy.core import clock
from proxy.core.model import Budget, Limits
from proxy.limits.accounts import Accounts, Ask, Charge, Hold, Refused, Used
from proxy.limits.subjects import Subject, subject
from proxy.limits.table import Table

WORKERS = 8
ROOT = Path(__file__).parents[2]
DEADLINE = 25.0


def run(scenario: str, path: Path) -> dict[str, Any]:
    """What a scenario of this module found, in a program of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.limits.crowd", scenario, str(path)],
        cwd=ROOT,
        capture_output=True,
        check=False,
        timeout=DEADLINE,
    )
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, Any] = msgspec.json.decode(done.stdout)
    return found


def limited(name: str, **limits: Any) -> Subject:
    made = subject("key", name, name, Limits(**limits))
    assert made is not None
    return made


def crowd(work: Callable[[int], Any], count: int = WORKERS) -> list[Any]:
    """What `work(number)` returned in each of so many processes."""
    pipes = []
    for number in range(count):
        ours, theirs = os.pipe()
        if fork(lambda number=number, out=theirs: os.write(out, msgspec.json.encode(work(number)))):  # type: ignore[misc]
            os.close(theirs)
            pipes.append(ours)
    found = []
    for pipe in pipes:
        with os.fdopen(pipe, "rb") as file:
            found.append(msgspec.json.decode(file.read()))
    for _ in pipes:
        os.wait()
    return found


def fork(work: Callable[[], object]) -> int:
    """A process that does this and ends."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)


def admitted(accounts: Accounts, one: Subject, ask: Ask, tries: int) -> list[Hold]:
    holds = []
    for _ in range(tries):
        try:
            holds.append(accounts.admit((one,), ask))
        except Refused:
            pass
    return holds


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        os.sched_yield()


def barrier(count: int = WORKERS) -> Barrier:
    return multiprocessing.get_context("fork").Barrier(count)


# --- scenarios ---------------------------------------------------------------------------------------------------


def rate(path: Path) -> dict[str, Any]:
    """100 a minute, 10 at once: 1,000 asks at one instant, and then ten of each process every 0.6 s of a minute."""
    together, one = barrier(), limited("a", rpm=100, burst=10)

    def work(number: int) -> list[int]:
        accounts = Accounts.open(path, number, WORKERS)
        with clock.held(monotonic=1_000.0) as hands:
            together.wait(DEADLINE)
            counts = [len(admitted(accounts, one, Ask(), 1000 // WORKERS))]
            for _ in range(100):
                together.wait(DEADLINE)
                # A nanosecond more, for what is lost of sums of 0.6.
                hands.advance(0.600000001)
                counts.append(len(admitted(accounts, one, Ask(), 10)))
        return counts

    steps = [sum(step) for step in zip(*crowd(work), strict=True)]
    return {"at_once": steps[0], "then": steps[1:]}


def slots(path: Path) -> dict[str, Any]:
    """One process has all ten slots and is killed."""
    one = limited("a", concurrency=10)
    ours, theirs = os.pipe()

    def work() -> None:
        accounts = Accounts.open(path, 3, WORKERS)
        admitted(accounts, one, Ask(), 12)
        os.write(theirs, b".")
        signal.pause()

    child = fork(work)
    os.read(ours, 1)
    accounts = Accounts.open(path, 0, WORKERS)
    inflight = accounts.view(one).inflight
    before = len(admitted(accounts, one, Ask(), 1))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    cleared = accounts.clear(3)
    after = len(admitted(accounts, one, Ask(), 12))
    return {"inflight": inflight, "before": before, "cleared": cleared, "after": after}


def bursts(path: Path) -> dict[str, Any]:
    """100 budgets of $0.45, each asked by eight processes five times at once, for $0.15 each time."""
    together, count = barrier(), 100
    keys = [
        limited(str(n), budget=Budget(0.45, strict=n % 2 == 0, period="total"))
        for n in range(count)
    ]
    ask, used = Ask(likely=150_000, worst=150_000), Used(micro=150_000)
    opened = Accounts.open(path, None, WORKERS)
    opened.learned()

    def work(number: int) -> list[int]:
        accounts = Accounts.open(path, number, WORKERS)
        counts = []
        for one in keys:
            together.wait(DEADLINE)
            holds = admitted(accounts, one, ask, 5)
            together.wait(DEADLINE)
            for hold in holds:
                accounts.settle(hold, used)
            counts.append(len(holds) + len(admitted(accounts, one, ask, 0)))
        return counts

    counts = [sum(each) for each in zip(*crowd(work), strict=True)]
    views = [opened.view(one) for one in keys]
    return {
        "admitted": counts,
        "spent": [view.spent for view in views],
        "reserved": [view.reserved for view in views],
    }


def killed(path: Path) -> dict[str, Any]:
    """Fifty times one of four processes is killed while all admit and settle as fast as they can."""
    keys = [limited(str(n), rpm=60_000_000, concurrency=1000, budget=Budget(1e6)) for n in range(3)]
    count, rng = 4, random.Random(5)
    board = memoryview(mmap.mmap(-1, 4096)).cast("q")
    host = Accounts.open(path, None, WORKERS)
    host.learned()

    def work(number: int) -> None:
        accounts = Accounts.open(path, number, WORKERS)
        while not board[100]:
            try:
                hold = accounts.admit(keys, Ask(10, 7, 7))
            except Refused:
                continue
            board[number] += 1
            accounts.settle(hold, Used(10, 7))
            board[number + 10] += 1

    children = {number: fork(lambda number=number: work(number)) for number in range(count)}  # type: ignore[misc]
    for turn in range(50):
        number = turn % count
        goal = board[number] + rng.randrange(20, 60)
        wait_for(lambda number=number, goal=goal: board[number] >= goal)  # type: ignore[misc]
        os.kill(children[number], signal.SIGKILL)
        os.waitpid(children[number], 0)
        host.clear(number)
        children[number] = fork(lambda number=number: work(number))  # type: ignore[misc]
    board[100] = 1
    for child in children.values():
        os.waitpid(child, 0)
    views = [host.view(one) for one in keys]
    return {
        "begun": sum(board[:10]) * 7,
        "ended": sum(board[10:20]) * 7,
        "spent": [view.spent for view in views],
        "left": [view.inflight + view.reserved for view in views],
    }


def locked(path: Path) -> dict[str, Any]:
    """Fifty processes die inside the lock of a slot, and inside that of claims."""
    one = limited("a", concurrency=1000)
    accounts = Accounts.open(path, 0, WORKERS)
    accounts.admit((one,), Ask())

    def work(inside: str) -> None:
        table = Table(path, WORKERS)
        table.enter(table.lock_of(table.find(one.digest)) if inside == "slot" else 1)
        os.kill(os.getpid(), signal.SIGKILL)

    served = 0
    for turn in range(50):
        child = fork(lambda turn=turn: work("claim" if turn % 2 else "slot"))  # type: ignore[misc]
        os.waitpid(child, 0)
        holds = admitted(accounts, one, Ask(), 1)
        holds += admitted(accounts, limited(str(turn), concurrency=1), Ask(), 1)
        served += len(holds)
    return {"served": served}


def crowded(path: Path) -> dict[str, Any]:
    """48 subjects that all belong into the same 32 slots, each with one slot, asked for by all processes."""
    keys = []
    for number in range(48):
        made = limited(str(number), concurrency=1)
        digest = bytes([5, 0, 0, 0, 6, 0, 0, 0, *number.to_bytes(8, "big")])
        keys.append(msgspec.structs.replace(made, digest=digest))
    board = memoryview(mmap.mmap(-1, 4096)).cast("q")
    together = barrier()

    def work(number: int) -> list[int]:
        accounts, rng = Accounts.open(path, number, WORKERS), random.Random(number)
        together.wait(DEADLINE)
        served = doubled = 0
        for _ in range(1500):
            mine = rng.sample(range(len(keys)), 3)
            for each in mine:
                try:
                    hold = accounts.admit((keys[each],), Ask())
                except Refused:
                    continue
                if hold.parts:
                    served += 1
                    doubled += board[each] != 0
                    board[each] = 1
                    os.sched_yield()
                    board[each] = 0
                accounts.settle(hold, Used())
        return [served, doubled, accounts.crowded]

    counts = crowd(work)
    host = Accounts.open(path, None, WORKERS)
    return {
        "served": sum(count[0] for count in counts),
        "doubled": sum(count[1] for count in counts),
        "left": sum(host.view(key).inflight for key in keys),
    }


def guests(path: Path) -> dict[str, Any]:
    """One worker, which keeps its lock, and two guests who book and learn in between."""
    one = limited("a", concurrency=10, budget=Budget(1e6, period="total"))
    charge = Charge(one.id, 0, 0)
    host = Accounts.open(path, None, 1)
    host.learned()
    board = memoryview(mmap.mmap(-1, 4096)).cast("q")

    def worker() -> None:
        accounts = Accounts.open(path, 0, 1)
        board[0] = 1
        while board[1] < 2:
            accounts.settle(accounts.admit((one,), Ask(likely=3)), Used(micro=3))
            board[2] += 1
        board[0] = 2
        while not board[3]:
            accounts.tick()
            os.sched_yield()
        board[0] = 3
        signal.pause()

    def guest(number: int) -> None:
        wait_for(lambda: board[0] > 0)
        accounts = Accounts.open(path, None, 1)
        for _ in range(300):
            accounts.charge((charge,), Used(micro=5))
        board[4 + number] = 1

    child = fork(worker)
    for number in range(2):
        fork(lambda number=number: guest(number))  # type: ignore[misc]
    wait_for(lambda: board[4] + board[5] == 2)
    board[1] = 2
    wait_for(lambda: board[0] == 2)
    host.charge((charge,), Used(micro=11))  # the worker is idle, but ticks
    board[3] = 1
    wait_for(lambda: board[0] == 3)
    os.kill(child, signal.SIGKILL)
    host.charge((charge,), Used(micro=13))  # it is dead
    return {"spent": host.view(one).spent, "expected": board[2] * 3 + 600 * 5 + 24}


def idle(path: Path) -> dict[str, Any]:
    """One worker, which has nothing to do but to tick."""
    one = limited("a", concurrency=10, budget=Budget(1e6, period="total"))
    host = Accounts.open(path, None, 1)
    host.learned()
    board = memoryview(mmap.mmap(-1, 4096)).cast("q")

    def worker() -> None:
        accounts = Accounts.open(path, 0, 1)
        accounts.settle(accounts.admit((one,), Ask(likely=3)), Used(micro=3))
        board[0] = 1
        while not board[1]:
            accounts.tick()
            os.sched_yield()

    child = fork(worker)
    wait_for(lambda: board[0] == 1)
    host.charge((Charge(one.id, 0, 0),), Used(micro=5))
    board[1] = 1
    os.waitpid(child, 0)
    return {"spent": host.view(one).spent}


if __name__ == "__main__":
    found = globals()[sys.argv[1]](Path(sys.argv[2]))
    sys.stdout.write(msgspec.json.encode(found).decode())
