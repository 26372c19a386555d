"""A worker, and who comes after it, killed before each line of what they do when a request ends.

    python -m tests.deaths ends <folder>          between writing an end and having counted it
    python -m tests.deaths tries <folder>         while it counts what was asked in vain
    python -m tests.deaths supervisor <folder>    while it settles what a worker left

Prints a line of JSON: how many deaths there were, and at which lines of those the memory of limits differed from the
ledger first: what is wrong once stays so.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec

from proxy.control.sync import ConfigFile
from proxy.core.berths import columns
from proxy.core.clock import now
from proxy.core.config.schema import Config
from proxy.core.log import logger
from proxy.core.model import Budget, Ledger, Limits, Quota, Server, Snapshot
from proxy.host import Host
from proxy.ledger.cursor import bodies
from proxy.ledger.folder import TABLE
from proxy.ledger.records import Adjust, Charged, End, Start, Tokens, frame, parse
from proxy.ledger.segments import listed
from proxy.ledger.spool import Spool
from proxy.limits import windows
from proxy.limits.accounts import Accounts, Ask, Charge, Hold, Used
from proxy.limits.subjects import Subject, digest_of, subject

WORKERS = 2
KINDS = (windows.REQUESTS, windows.TOKENS, windows.MICRO)
SEGMENT = 64 << 10
MONEY = Budget(1e6, strict=True)


def _subject(kind: str, name: str, limits: Limits, quota: Quota | None = None) -> Subject:
    made = subject(kind, name, name, limits, quota)
    assert made is not None
    return made


SUBJECTS = (
    # With two windows, with one, and as nearly all are.
    _subject("key", "a", Limits(budget=MONEY), Quota(requests=10**9)),
    _subject("team", "b", Limits(rpm=10**9, tpm=10**9), Quota(tokens=10**9, cron="0 0 1 1 *")),
    _subject("all", "c", Limits(rpm=10**9, concurrency=100, budget=Budget(1e6, period="total"))),
)


class Worker:
    """What of it ends requests: a spool, and a column of the memory of limits."""

    def __init__(self, folder: Path, number: int = 0) -> None:
        self.accounts = Accounts.open(folder / TABLE, number, columns(WORKERS))
        self.spool = Spool(folder, str(number), size=1 << 30, segment=SEGMENT, sync=0, emergency=0)
        self.name = f"{number}.{os.urandom(6).hex()}"

    def begin(self, rid: str) -> tuple[str, Hold]:
        hold = self.accounts.admit(SUBJECTS, Ask(40, 700, 900))
        self.spool.append(frame(_record(Start, f"{self.name}.{rid}", hold)))
        return f"{self.name}.{rid}", hold

    def end(self, begun: tuple[str, Hold], used: Used) -> Callable[[], object]:
        """Ends it when it is called, as `Meter` does."""
        rid, hold = begun
        end = frame(_record(End, rid, hold, tokens=Tokens(used.tokens), cost=used.micro, tries=()))

        def act() -> None:
            self.spool.append(end, vital=True)
            self.accounts.settle(hold, used, self.spool.position)

        return act

    def tried(self, begun: tuple[str, Hold]) -> Callable[[], object]:
        """Some of the subjects were asked in vain, when it is called: as `Meter` and `Entry` do."""
        return lambda: self.accounts.drop(begun[1], SUBJECTS[:2], 1, self._requested)

    def _requested(self, charges: Sequence[Charge]) -> list[int]:
        places = []
        for one in charges:
            where = Charged(one.subject, one.window, one.ends)
            self.spool.append(frame(Adjust(os.urandom(9).hex(), now(), where, 1, 0, 0)), vital=True)
            places.append(self.spool.position)
        return places

    def close(self) -> None:
        self.spool.close()
        self.accounts.close()


def _record(kind: Any, rid: str, hold: Hold, **words: Any) -> Any:
    charges = tuple(Charged(one.subject, one.window, one.ends) for one in hold.charges)
    empty = {
        field.name: field.type() if field.type in (int, float, bool, str) else ()
        for field in msgspec.structs.fields(kind)
    }
    least = {"attempt": 1, "likely": 11, "prompt": 7} if kind is Start else {}
    return kind(**{**empty, "rid": rid, "at": now(), "charges": charges, **least, **words})


def host(folder: Path) -> Host:
    settings = Snapshot(server=Server(workers=WORKERS), ledger=Ledger(path=str(folder)))
    return Host(settings, ConfigFile(Config()))


def killed(work: Callable[[], object], before: Callable[[], object], line: int) -> bool:
    """Do `before` and `work` in another process, which is killed before it does this line of `work`. False: it has none."""
    child = os.fork()
    if not child:
        status = 1
        try:
            before()
            left = line

            def trace(_frame: FrameType, event: str, _: object) -> Any:
                nonlocal left
                if event == "line":
                    left -= 1
                    if not left:
                        os.kill(os.getpid(), signal.SIGKILL)
                return trace

            sys.settrace(trace)
            work()
            sys.settrace(None)
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), status
    return status != 0


class Books:
    """What the ledger says was used in each window, in all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sums: dict[Charged, tuple[int, int, int]] = {}

    def agree(self) -> bool:
        """Whether so much is counted, and nothing is held. What is read is gone then, as if it were shipped."""
        self._read()
        with closing(Accounts.open(self._folder / TABLE, None, columns(WORKERS))) as accounts:
            views = map(accounts.view, SUBJECTS)
            return not any(view.inflight or view.reserved for view in views) and all(
                self._counted(accounts, window) == amounts for window, amounts in self._sums.items()
            )

    def _counted(self, accounts: Accounts, of: Charged) -> tuple[int, int, int]:
        table = accounts._table
        at = windows.find(table.words, table.find(digest_of(of.subject)), of.window, of.ends)
        requests, tokens, micro = (windows.total(table.words, at, kind) for kind in KINDS)
        return requests, tokens, micro

    def _read(self) -> None:
        for own in (self._folder / "spool").iterdir():
            for name in listed(own):
                for record in map(parse, bodies(own, name)):
                    if isinstance(record, Adjust):
                        self._add(record.charge, record.requests, 0, 0)
                    elif isinstance(record, End):
                        for window in record.charges:
                            self._add(window, 1, record.tokens.total, record.cost)
                (own / name).unlink()

    def _add(self, window: Charged, requests: int, tokens: int, micro: int) -> None:
        was = self._sums.get(window, (0, 0, 0))
        self._sums[window] = was[0] + requests, was[1] + tokens, was[2] + micro


def of_a_worker(folder: Path, what: str) -> dict[str, Any]:
    """One death before each line. Every other time another worker ends a request in the same slots before anybody looks."""
    ours, books, wrong, line = _claimed(folder), Books(folder), list[int](), 0
    going = True
    while going and not wrong:
        line += 1
        acts: list[Callable[[], object]] = []

        def before(acts: list[Callable[[], object]] = acts) -> None:
            worker = Worker(folder)
            worker.end(worker.begin("whole"), Used(5, 30))()
            torn = worker.begin("torn")
            acts.append(worker.tried(torn) if what == "tries" else worker.end(torn, Used(3, 50)))

        going = killed(lambda acts=acts: acts[0](), before, line)  # type: ignore[misc]
        if line % 2:
            other = Worker(folder, 1)
            other.end(other.begin("other"), Used(1, 7))()
            other.close()
        ours.died("0")
        if not books.agree():
            wrong.append(line)
    return {"deaths": line - 1, "wrong": wrong}


def of_a_supervisor(folder: Path) -> dict[str, Any]:
    """A worker left an end that is not counted, and two requests that have none; who settles that is killed, and the next
    who does is killed at the same place; then it is done. At every sixtieth line or so."""
    ours, books, wrong, line, deaths = _claimed(folder), Books(folder), list[int](), 0, 0
    chance, going = random.Random(7), True
    while going and not wrong:
        line += chance.randrange(1, 130)
        deaths += 2
        killed(list, partial(_leave, folder), 1)
        for _ in range(2):
            going = killed(lambda: ours.died("0"), list, line)
        ours.died("0")
        if not books.agree():
            wrong.append(line)
    return {"deaths": deaths, "wrong": wrong}


def _claimed(folder: Path) -> Host:
    made = host(folder)
    made.claim()
    with closing(Accounts.open(folder / TABLE, None, columns(WORKERS))) as accounts:
        accounts.learned()
    return made


def _leave(folder: Path) -> None:
    worker = Worker(folder)
    worker.begin("open")
    worker.end(worker.begin("whole"), Used(5, 30))()
    worker.begin("open, too")
    rid, hold = worker.begin("not counted")
    end = _record(End, rid, hold, tokens=Tokens(3), cost=50, tries=())
    worker.spool.append(frame(end), vital=True)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    logger.setLevel("CRITICAL")
    what, where = sys.argv[1], Path(sys.argv[2])
    found = of_a_supervisor(where) if what == "supervisor" else of_a_worker(where, what)
    sys.stdout.buffer.write(msgspec.json.encode(found))
