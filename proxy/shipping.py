"""The process that ships: what workers wrote down goes from the disk of this host to the database.

It serves nobody, so nothing waits for it. When it is killed, what it had not acknowledged is shipped again by the next.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import uvloop

from proxy.control.shipper import Shipper
from proxy.control.tailing import Teller
from proxy.core import log, unix
from proxy.core.berths import columns
from proxy.core.log import logger
from proxy.core.metrics_beside import Shipping
from proxy.core.tasks import spawn
from proxy.ledger.deadletters import bury
from proxy.ledger.folder import CONTENT, TABLE, Lock, host_id
from proxy.ledger.reading import Reader
from proxy.limits.accounts import Accounts
from proxy.state.snapshot import compile_snapshot
from proxy.store.ledger.retention import Keep
from proxy.store.opening import open_store

if TYPE_CHECKING:
    from proxy.control.sync import ConfigFile
    from proxy.core.model import Ledger, Snapshot
    from proxy.store.opening import Database

NAME: Final = "shipper"
"""Of the process."""
TURN: Final = 0.5
"""Seconds between two looks whether somebody else still ships."""
FINISH: Final = 5.0
"""Seconds for what is left, when told to stop. What does not fit is shipped after the next start."""

RARELY: Final = 100_000, 50, 100
"""When circles are looked for (`gc.set_threshold`)."""
BEHIND: Final = 5
"""What it is nicer by than those who serve. Beside one of them that never rests it still has a quarter of a core, which is
some thousand requests a second: what it does cannot come to nothing, as it might with `SCHED_IDLE`."""


def run(file: ConfigFile, ready: Callable[[], None] = lambda: None) -> None:
    """Ship until told to stop: SIGTERM ships what is there, for a few seconds at most; SIGHUP reads the configuration anew
    (for how long things are kept; another database or folder takes a new start). SIGINT says nothing: a terminal sends it to
    all of its processes, and workers still write down what they let end.

    The configuration has a store and a folder of the ledger, and whoever calls has no event loop. `ready` is called as
    soon as signals are obeyed. Waits as long as another process of this host ships; a database that is away is waited
    for too. Raises OSError for a folder that cannot be used, and whatever else ends shipping.
    """
    # Records and rows are thousands at a time, and in no circles: looking for some is a tenth of the work.
    gc.freeze()
    gc.set_threshold(*RARELY)
    _let_others_go_first()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(file, ready))


def _let_others_go_first() -> None:
    """A batch takes milliseconds, for which a worker on the same core would wait with a request in its hands: when both may run,
    it is the worker that does. Nobody needs a right for that, and nobody gets it back without one."""
    with suppress(OSError):
        if hasattr(os, "sched_setscheduler"):  # not on macOS
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    with suppress(OSError):
        os.nice(BEHIND)


async def _run(file: ConfigFile, ready: Callable[[], None]) -> None:
    stop = asyncio.Event()
    hung_up = asyncio.Event()
    loop = asyncio.get_running_loop()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGHUP, hung_up.set)
    ready()
    settings = _settings(file)
    lock = Lock(Path(settings.ledger.path), "shipper")
    while not lock.take():
        if await _within(stop, TURN):
            return
    try:
        await _ship(file, settings, stop, hung_up)
    finally:
        lock.release()


async def _ship(
    file: ConfigFile, settings: Snapshot, stop: asyncio.Event, hung_up: asyncio.Event
) -> None:
    folder = Path(settings.ledger.path)
    aside = partial(bury, folder)
    host = host_id(folder)
    keep = _keep(settings.ledger)
    store = open_store(file.config.store.url)
    metrics = Shipping()
    with closing(Accounts.open(folder / TABLE, None, columns(settings.server.workers))) as accounts:
        requests = Shipper(
            store, Reader(folder), host, keep, aside, accounts, metrics=metrics.of("requests")
        )
        contents = Shipper(
            store, Reader(folder / CONTENT), host, None, aside, metrics=metrics.of("content")
        )
        shippers = [requests, contents]
        _watch(metrics, requests, contents)
        tasks = [spawn(each.run(), name="ship") for each in shippers]
        beside = [spawn(_reread(file, requests, hung_up), name="reload")]
        teller = await _tell(folder, store)
        seat = None if file.instance is None else file.instance.seat(NAME, metrics.registry)
        if seat is not None:
            beside.append(spawn(seat.keep(), name="publish metrics"))
        told = spawn(stop.wait(), name="stop")
        try:
            await asyncio.wait((told, *tasks), return_when=asyncio.FIRST_COMPLETED)
            for each in shippers:
                each.leave()
            await asyncio.wait(tasks, timeout=FINISH)
            for task in tasks:
                if task.done():
                    task.result()  # who ships no more makes room for one who does
        finally:
            told.cancel()
            await teller.close()
            for task in (*beside, *tasks):
                task.cancel()
            await asyncio.wait({*beside, *tasks})
            await store.close()
            if seat is not None:
                seat.publish()


async def _tell(folder: Path, store: Database) -> Teller:
    """Tell workers what comes to the end of the log. Where that cannot be they ask the database themselves."""
    teller = Teller(store)
    try:
        await teller.listen(folder / unix.TAIL)
    except OSError as error:
        logger.warning("workers look for what is new in the log themselves: %s", error.strerror)
    return teller


def _watch(metrics: Shipping, requests: Shipper, contents: Shipper) -> None:
    """Have read what shippers know."""
    spools = (("requests",), requests), (("content",), contents)
    metrics.up.watch(lambda: [((), int(requests.up and contents.up))])
    metrics.behind.watch(lambda: [(name, one.behind) for name, one in spools])
    metrics.requests.watch(
        lambda: [(("booked",), requests.ended), (("repeated",), requests.repeated)]
    )


async def _reread(file: ConfigFile, shipper: Shipper, hung_up: asyncio.Event) -> None:
    while True:
        await hung_up.wait()
        hung_up.clear()
        if file.read is None:
            continue
        try:
            config = await asyncio.to_thread(file.read)
        except ValueError:
            continue  # every worker says so itself
        file.config = config.model_copy(update={"store": file.config.store})
        settings = _settings(file)
        log.adjust(settings.logging)
        shipper.keep = _keep(settings.ledger)
        logger.info("shipping by the configuration as it was reloaded")


def _settings(file: ConfigFile) -> Snapshot:
    nothing: dict[str, Any] = {"providers": {}, "models": {}, "keys": []}
    return file.adjust(compile_snapshot(file.config.model_copy(update=nothing)))


def _keep(ledger: Ledger) -> Keep:
    return Keep(ledger.keep_requests, ledger.keep_content, ledger.keep_statistics)


async def _within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
