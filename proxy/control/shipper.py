"""Brings what workers wrote down to the database: one for each host, whoever runs it.

    ship      the oldest records first, in batches; one that fails is tried again until it is booked, however long that is
    seed      what was spent before the table of limits was made: once all older records are booked
    follow    every few seconds, what other hosts spend
    clean     every hour, what is too old

A batch is acknowledged after it was committed, so one may be delivered twice, and counts once (`store.ledger.booking`).
A record that no database takes is put aside, with the reason, and the others go on.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence, Set
from contextlib import suppress
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

from proxy.core.clock import monotonic, now
from proxy.core.log import logger
from proxy.core.metrics_beside import Booked, Shipping
from proxy.ledger.records import Content
from proxy.store.base import StoreDown
from proxy.store.ledger import retention, windows
from proxy.store.ledger.booking import book, is_unfit

if TYPE_CHECKING:
    from proxy.ledger.reading import Batch, Reader
    from proxy.ledger.records import Record
    from proxy.limits.accounts import Accounts
    from proxy.store.base import Store
    from proxy.store.ledger.retention import Keep

P = ParamSpec("P")
T = TypeVar("T")

MOST, FIRST, LEAST = 5_000, 500, 20
"""Records of one transaction, without those that need not be written as their request has ended: where many wait, at first,
and where the database is too slow for more. The more there are, the fewer sums are."""
LONG: Final = {"sqlite": 0.25, "postgresql": 0.5}
"""Seconds for which a transaction should last: SQLite lets nobody else write meanwhile."""
BESIDE: Final = frozenset({"postgresql"})
"""Where the next records are read while these are booked. SQLite works in a thread of ours: both would wait for the
interpreter at each row."""
TEXT = 4 << 20
"""Characters of content in one transaction."""
PAUSE, REST = 0.2, 0.7
"""Seconds until it is looked again whether there is something new: records come together meanwhile; while nothing is written,
or little again and again."""
FEW = 200
"""Records that are not worth a transaction of their own each PAUSE: most of what that takes is the same for any number."""
RETRY_MIN, RETRY_MAX = 0.2, 4.0
"""Seconds until a batch is tried again."""
FOLLOW = 5.0
"""Seconds between two questions for what other hosts spend, at least: a fiftieth of the time at most."""
CLEAN = 3600.0
MEASURE = 2.0
"""Seconds between two looks at how much waits, at least: a hundredth of the time at most."""


class Shipper:
    """Over one store and one reader of one host's spools."""

    def __init__(
        self,
        store: Store,
        reader: Reader,
        host: str,
        keep: Keep | None,
        put_aside: Callable[[Record, str], None],
        accounts: Accounts | None = None,
        *,
        most: int = MOST,
        metrics: Booked | None = None,
    ) -> None:
        """`keep`: None deletes nothing. `put_aside` is told of each record that cannot be booked, and why; it may block, and raise OSError. `most`: fewer
        records where other things wait for this loop."""
        self.keep = keep
        """May be changed while it runs."""
        self._metrics = Shipping().of("") if metrics is None else metrics
        self._oldest = 0.0
        """Unix time of the oldest record that is taken and not booked; 0: there is none."""
        self.ended = self.repeated = self.aside = 0
        """Requests booked, ends that were there already, and records put aside."""
        self._store = store
        self._reader = reader
        self._host = host
        self._put_aside = put_aside
        self._accounts = accounts
        self._most = most
        self._size = min(FIRST, most)
        self._long = LONG[store.backend]
        self._away = False
        self._leaving = False
        self._hurry = asyncio.Event()
        self._reading = asyncio.Lock()
        """Over threads that are in the reader."""

    @property
    def up(self) -> bool:
        """Whether the database took what it was last given."""
        return not self._away

    @property
    def behind(self) -> float:
        """Seconds since what is being booked was written; 0: nothing is."""
        return max(now() - self._oldest, 0.0) if self._oldest else 0.0

    async def run(self) -> None:
        """Until cancelled; after `leave`, until nothing is left. No thread of it goes on when this returns."""
        async with asyncio.TaskGroup() as group:
            beside = [
                group.create_task(self._lasting(self._follow, FOLLOW), name="follow"),
                group.create_task(self._lasting(self._clean, CLEAN), name="clean"),
                group.create_task(self._lasting(self._measure, MEASURE), name="measure"),
            ]
            await self._ship()
            for task in beside:
                task.cancel()

    def leave(self) -> None:
        """Ship what is there, and return."""
        self._leaving = True
        self._hurry.set()

    # --- records -----------------------------------------------------------------------------------------------

    async def _ship(self) -> None:
        pause, busy = PAUSE, False
        while True:
            batch = await self._take()
            accounts = self._accounts
            if accounts is not None and not accounts.known:
                await self._seed(accounts, batch)
            if batch is not None:
                self._oldest = batch.records[0].at if batch.records else 0.0
                await asyncio.gather(self._deliver(batch.records, batch.over), self._read_on(batch))
                async with self._reading:
                    await _in_thread(self._reader.done, batch)
                self._oldest = 0.0
            elif self._leaving:
                return
            pause = pause_after(pause, 0 if batch is None else len(batch.records), busy=busy)
            busy = batch is not None
            if batch is None or not batch.more:
                await self._rest(pause)

    async def _read_on(self, batch: Batch) -> None:
        """While this one is booked. What cannot be read is said when it is taken."""
        if batch.more and self._store.backend in BESIDE:
            async with self._reading:
                with suppress(OSError):
                    await _in_thread(self._reader.read, self._size)

    async def _take(self) -> Batch | None:
        while True:
            try:
                async with self._reading:
                    return await _in_thread(self._reader.take, self._size)
            except OSError as error:
                logger.error("what waits for the database cannot be read: %s", error.strerror)
                await self._rest(RETRY_MAX)

    async def _deliver(self, records: Sequence[Record], over: Set[str]) -> None:
        """Each of them is booked or put aside when this returns. In order, as far as it goes. `over`: as of a Batch."""
        waiting = [records] if records else []
        failures = 0
        while waiting:
            part = waiting.pop()
            if len(part) > 1 and (len(part) > self._size or _text(part) > TEXT):
                waiting += _halves(part)
                continue
            began = monotonic()
            try:
                booked = await book(self._store, self._host, part, over)
            except Exception as error:
                if not is_unfit(error):
                    self._metrics.failures.inc()
                    failures += 1
                    self._failed(error)
                    # Perhaps it was too much at once for a slow one.
                    self._size = max(LEAST, len(part) // 2)
                    waiting.append(part)
                    await self._back_off(failures)
                elif len(part) > 1:
                    waiting += _halves(part)
                else:
                    await self._set_aside(part[0], str(error))
                continue
            failures = 0
            took = monotonic() - began
            self._learn(len(part), took)
            self._metrics.batches.inc()
            self._metrics.seconds.observe(took)
            self.ended += booked.ended
            self.repeated += booked.repeated
            if self._away:
                self._away = False
                logger.warning("the database takes what was used again")

    def _learn(self, number: int, seconds: float) -> None:
        """How many there should be in a transaction, from one of so many."""
        if number >= self._size:
            wanted = number * min(self._long / max(seconds, 1e-3), 2.0)
            # What a commit takes alone, smaller ones would take as well.
            self._size = min(max(round(wanted), min(FIRST, number * 2)), self._most)

    async def _set_aside(self, record: Record, reason: str) -> None:
        logger.error("request %s cannot be booked, and is put aside: %s", record.rid, reason)
        while True:
            try:
                await _in_thread(self._put_aside, record, reason)
            except OSError as error:
                logger.error("a record cannot be put aside: %s", error.strerror)
                await self._rest(RETRY_MAX)
            else:
                self.aside += 1
                self._metrics.dead_letters.inc()
                return

    def _failed(self, error: Exception) -> None:
        """Said once, until it is well again."""
        if self._away:
            return
        self._away = True
        if isinstance(error, StoreDown):
            logger.error(
                "the database %s takes nothing, so it waits on disk: %s", self._store.url, error
            )
        else:
            logger.error("what was used cannot be booked, so it waits on disk", exc_info=error)

    async def _back_off(self, failures: int) -> None:
        pause = min(RETRY_MAX, RETRY_MIN * 2.0 ** min(failures - 1, 10))
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))

    async def _rest(self, seconds: float) -> None:
        """Cut short by `leave`, once."""
        if self._leaving and self._hurry.is_set():
            self._hurry.clear()
            return
        try:
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        except TimeoutError:
            pass

    # --- limits ------------------------------------------------------------------------------------------------

    async def _seed(self, accounts: Accounts, batch: Batch | None) -> None:
        """Tell the table of limits what it does not know, as soon as everything from before it was made is booked.

        Oldest records come first, so that is when there are newer ones, or none. They are booked afterwards: what they
        used is in the table.
        """
        old: Sequence[Record] = ()
        over: Set[str] = frozenset()
        if batch is not None:
            over = batch.over
            old = [one for one in batch.records if one.at < accounts.created]
            if len(old) == len(batch.records):
                return
        await self._deliver(old, over)
        failures = 0
        while not accounts.known:
            try:
                for one in await windows.current(self._store, self._host, now()):
                    accounts.learn(one.charge, one.own, one.elsewhere)
                accounts.learned()
            except Exception as error:
                failures += 1
                self._failed(error)
                await self._back_off(failures)

    async def _follow(self) -> float:
        """Raises StoreDown."""
        began = monotonic()
        accounts = self._accounts
        if accounts is not None and accounts.known:
            for charge, used in await windows.elsewhere(self._store, self._host, now()):
                accounts.learn(charge, None, used)
        return max(FOLLOW, 50 * (monotonic() - began))

    # --- the rest ----------------------------------------------------------------------------------------------

    async def _clean(self) -> float:
        """Raises StoreDown."""
        deleted = 0 if self.keep is None else await retention.clean(self._store, self.keep)
        if deleted:
            logger.info("%d rows of the log were too old, and are deleted", deleted)
        # Not all hosts at the same moment.
        return CLEAN * random.uniform(0.8, 1.2)

    async def _measure(self) -> float:
        """Never raises."""
        began = monotonic()
        with suppress(OSError):
            async with self._reading:
                self._metrics.backlog.set(await _in_thread(lambda: self._reader.lag))
        self._metrics.damaged.set(self._reader.damaged)
        return max(MEASURE, 100 * (monotonic() - began))

    async def _lasting(self, work: Callable[[], Awaitable[float]], otherwise: float) -> None:
        """Again after the seconds it says; a failure ends nothing."""
        while True:
            pause = otherwise
            try:
                pause = await work()
            except StoreDown:
                pause = min(otherwise, 60.0)
            except Exception:
                logger.exception("what goes on beside shipping failed")
            await asyncio.sleep(pause)


def pause_after(last: float, records: int, *, busy: bool) -> float:
    """Seconds until the next look, after a batch of so many; `busy`: there was one before it, too. `last`: it was so long then."""
    if records >= FEW or (records and not busy):
        return PAUSE
    return min(last * 1.2, REST)


async def _in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Whoever is cancelled meanwhile waits for its end: another may read and write the same files as soon as this one is gone."""
    task = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        task.exception()  # there is nobody left to be told of it
        raise


def _halves(part: Sequence[Record]) -> tuple[Sequence[Record], Sequence[Record]]:
    """The second first: the last of a list is taken next."""
    middle = len(part) // 2
    return part[middle:], part[:middle]


def _text(part: Sequence[Record]) -> int:
    return sum(len(one.request) + len(one.response) for one in part if isinstance(one, Content))
