"""Keeps a worker's snapshot as the store and the file say.

    start     open the store and read it, within 2 s; else the encrypted copy on disk; else the file alone
    run       woken by the store, or every second by itself: revision, changes, compile in a thread, swap one pointer
    refresh   at once, and only then return: an answer to a write is given when its worker serves by it

No request waits for any of this. A store that is away is asked again after 1 s, 2 s, then every 4 s, with jitter.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct

from proxy.control import fixed, watching
from proxy.control.fleet import Fleet
from proxy.control.keeping import Keeper
from proxy.control.replica import Replica
from proxy.control.signals import Signals
from proxy.control.standing import Standing
from proxy.core import berths
from proxy.core.clock import monotonic
from proxy.core.log import logger
from proxy.core.records import Kind
from proxy.state.compiler import Compiler
from proxy.state.mirror import clashes
from proxy.store import delta, keyring
from proxy.store.base import StoreBroken, StoreDamaged, StoreDown
from proxy.store.disk import PepperRow

if TYPE_CHECKING:
    from proxy.control.instance import Instance
    from proxy.control.renewing import Terminations
    from proxy.core.config.schema import Config
    from proxy.core.marks import Mark
    from proxy.core.model import Snapshot
    from proxy.limits.board import Board
    from proxy.state.state import State

T = TypeVar("T")

PAUSE_MIN, PAUSE_MAX = 0.02, 0.25
"""Seconds from one compilation to the next while many write."""
SHARE = 0.1
"""Of the time is spent compiling, at most, as long as that keeps to the pauses."""
REPORT = 0.25
"""Seconds between two words of a worker about itself, at least."""
RETRY_MIN, RETRY_MAX = 1.0, 4.0
"""Seconds between two questions to a store that is away. One that is back is followed again within 5 s."""
BEAT = 5.0
"""Seconds between two words of a worker about itself, at most."""
EVERYTHING = frozenset(str(kind) for kind in Kind)


def pause(took: float) -> float:
    """Seconds from the beginning of a compilation that took so many to the next, while many write."""
    return min(max(took / SHARE, PAUSE_MIN), max(PAUSE_MAX, 2 * took))


class Refused(ValueError):
    """A worker may not begin: file and store contradict each other, or the store cannot be used. Lists everything."""


class Rehearsed(Struct, frozen=True):
    """What a start has done once, so that nobody who is forked then has to: the library it takes is 5 MiB."""

    peppers: list[tuple[PepperRow, bytes]] = []
    """Opened."""
    kept: int = delta.NEVER
    """The revision of the copy on disk."""


class ConfigFile(Struct, eq=False):
    """The configuration file, as a worker needs it."""

    config: Config
    """As last read."""
    read: Callable[[], Config] | None = None
    """Reads it anew; blocks. Raises ValueError, whose text lists every problem. None: there is nothing to read."""
    adjust: Callable[[Snapshot], Snapshot] = lambda snapshot: snapshot
    """What the command line says instead."""
    taken: Callable[[], None] = lambda: None
    """Called when what was read anew is served."""
    table: Path | None = None
    """Where all workers of this start count what is taken; None: the one there is counts for itself."""
    board: Board | None = None
    """Where they tell each other of health, and one that is replaced its successor; None: there is but one, ever."""
    instance: Instance | None = None
    """Where each has what it counts put on one page; None: it has a page of its own."""
    ops: Path | None = None
    """Where the supervisor answers, which has that page; None: there is none."""
    path: str = ""
    """Where the file is, to be told; empty: there is none to be changed."""
    tls: Terminations | None = None
    """Who the listeners are, read once for all workers of this start; None: each reads it for itself."""
    rehearsed: Rehearsed = Rehearsed()
    """What was done before anybody was forked."""
    watched: Mark = None
    """How it looked before it was read: it is read anew when it looks otherwise; None: when somebody says so."""


class Sync(Standing):
    """One a worker. `use` is called with each snapshot to be served from then on."""

    def __init__(
        self, file: ConfigFile, state: State, use: Callable[[Snapshot], None], *, name: str = "0"
    ) -> None:
        self.config = file.config
        """The file as last read."""
        self.version = 1
        """How often it has been read, and taken."""
        self.revision = 0
        """Of the store, as it is served."""
        self._file = file
        self.path = file.path
        self._begun = file.config
        self._database = file.config.store
        """Which one is in use: the file may name another by now, for the next start."""
        self._use = use
        self._metrics = state.metrics
        super().__init__(Replica(file.config, dict(file.rehearsed.peppers)))
        self._compiler = Compiler()
        self._fleet = Fleet(name)
        workers = state.snapshot.server.workers
        self._first = name.isdecimal() and berths.number_of(name, workers) == 0
        """One of them keeps the copy on disk."""
        self._keeping: asyncio.Task[None] | None = None
        self._resigned = False
        self._signals = Signals(self._replica, self._fleet)
        copy = Path(file.config.store.copy_path)
        self._keeper = Keeper(self._replica, copy, file.rehearsed.kept)
        self._turns = asyncio.Lock()
        self._under_way: set[asyncio.Task[Any]] = set()
        """What goes on although whoever asked for it may have left: see `_whole`."""
        self._wake = asyncio.Event()
        self._news = asyncio.Event()
        """For the others to hear: see `_beat`."""
        self._waiting = 0
        self._next = 0.0
        """When it is time to compile again, while many write."""
        self._soon = 0.0
        """The same while only one does, and waits for each answer before its next."""
        self._pending: frozenset[str] = frozenset()
        """Kinds that changed, and are not served yet."""
        self._told: list[str] = []
        """Signals that came, and have not been followed yet."""
        self._listening = False
        self._away = False
        if self.store is not None:
            self._metrics.store_up.watch(lambda: [((), int(self.up))])
            self._metrics.config_age.watch(lambda: [((), self.age)])

    # at the start

    async def start(self, *, strict: bool = True) -> Snapshot:
        """The first snapshot.

        Raises Refused, listing every problem: a clash of file and store, a store that cannot be used, secrets without
        a key to them. Not `strict`, for a worker that takes another's place: what clashes is only left out.
        """
        if self.store is not None:
            try:
                await self._load()
                found = clashes(self.config, self.mirror) if strict else []
                if found:
                    raise ValueError("\n".join(found))
            except ValueError as error:
                await self.close()
                raise Refused(str(error)) from error
        snapshot = await self._compile(self.config, EVERYTHING)
        if not strict and self._signals.is_recent("reload"):
            # Its file was read when the other worker began, or earlier still: perhaps before this was sent.
            await self._obey("reload")
            snapshot = await self._compile(self.config, EVERYTHING)
        self._served()
        return snapshot

    async def _load(self) -> None:
        assert self.store is not None
        try:
            await self._replica.load(self.config)
        except StoreDown as error:
            self._lost(error)
        except StoreBroken as error:
            if not isinstance(error, StoreDamaged):
                raise Refused(f"store: {self.store.url}: {error}") from error
            self._lost(error)
            if not await self._replica.restore(self.config):
                raise Refused(f"store: {self.store.url}: {error}") from error
        else:
            return
        if self._replica.complete or await self._replica.restore(self.config):
            logger.warning("serving the copy on disk, %.0f s old, of %s", self.age, self.store.url)
        else:
            logger.warning("serving the configuration file alone: there is no copy of the database")

    async def rehearsed(self) -> Rehearsed:
        """After `start`: for those that begin next, with the same file and store. Keeps the copy on disk."""
        await self._keeper.keep()
        rows, opened = self._replica.pepper_rows, {one.id: one.secret for one in self.peppers}
        return Rehearsed(
            [(row, opened[row.id]) for row in rows if row.id in opened], self._keeper.kept
        )

    # while it runs

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            if self._file.watched is not None:
                keep = watching.keep(self.path, self._file.watched, self.reload)
                group.create_task(keep, name="watch")
            if self.store is None:
                return
            self._news.set()
            group.create_task(self._follow(), name="follow")
            said = "what this worker does cannot be written down"
            group.create_task(_lasting(self._beat, said), name="beat")
            if self._first and not self._resigned:
                self._keeper.changed()
                said = "the copy of the database cannot be kept"
                self._keeping = group.create_task(_lasting(self._keeper.run, said), name="keep")

    async def _follow(self) -> None:
        failures = 0
        while True:
            try:
                if self.store is not None and not self._listening and self.up:
                    await self.store.listen(self._wake.set)
                    self._listening = True
                await self._sleep(failures)
                async with self._turns:
                    await self._turn()
                failures = 0
            except StoreDown:
                failures += 1
            except Exception:
                failures += 1
                logger.exception("the database's changes cannot be taken in")

    async def _sleep(self, failures: int) -> None:
        """Until woken, or until it is time to ask; never so soon that compiling takes all the time there is."""
        pause = self.config.store.poll
        if failures:
            pause = min(RETRY_MAX, RETRY_MIN * 2.0 ** (failures - 1))
            # Full jitter above the least: a fleet that lost its store together does not come back together.
            await asyncio.sleep(RETRY_MIN * random.uniform(0.5, 1.0))
            pause = random.uniform(0.0, pause - RETRY_MIN)
        try:
            async with asyncio.timeout(pause):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()
        await asyncio.sleep(self._next - monotonic())

    async def refresh(self, revision: int = 0) -> int:
        """Catch up with the store, to `revision` at least, and swap; the revision reached. Raises StoreDown."""
        self._waiting += 1
        try:
            return await self._whole(partial(self._catch_up, revision))
        finally:
            self._waiting -= 1

    async def _catch_up(self, revision: int) -> int:
        if not 0 < revision <= self.revision:
            # Who writes alone is answered at once; of many, all wait for one compilation.
            await asyncio.sleep(self._soon - monotonic())
            if self._waiting > 1:
                await asyncio.sleep(self._next - monotonic())
            await self._turn()
        return self.revision

    async def _whole(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do it under the lock, and to its end. A client that leaves ends whoever asks on its behalf, but no thread: were the
        lock free then, another would begin beside the one that still compiles."""

        async def locked() -> T:
            async with self._turns:
                return await work()

        task = asyncio.ensure_future(locked())
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def _turn(self) -> None:
        """Take in what is new, and serve it. Under the lock."""
        began = monotonic()
        try:
            advance = await self._replica.advance(self.config)
        except StoreDown as error:
            self._lost(error)
            raise
        self._found()
        # No later step has them again: whatever fails below is for the next turn to do.
        self._pending |= advance.kinds
        self._told += self._signals.new(advance)
        if self._pending:
            await self._serve(self.config, self._pending)
            self._metrics.sync.child().observe(monotonic() - began)
        # A revision that is served says that its signals have been followed: see `Signals.followed`.
        while self._told:
            await self._obey(self._told[0])
            del self._told[0]
        self._served()

    async def _serve(self, config: Config, kinds: frozenset[str]) -> None:
        """Compile and swap."""
        self._pending |= kinds
        self._use(await self._compile(config, self._pending))
        self._pending = frozenset()

    async def _compile(self, config: Config, kinds: frozenset[str]) -> Snapshot:
        began = monotonic()
        replica = self._replica
        compiled = await asyncio.to_thread(
            self._compiler.compile,
            config,
            replica.mirror,
            kinds,
            replica.vault,
            replica.peppers,
            complete=replica.complete,
        )
        self._soon = began + PAUSE_MIN
        self._next = began + pause(monotonic() - began)
        for problem in compiled.problems:
            if problem not in self._left_out:
                logger.error("left out: %s", problem)
        self._left_out = compiled.problems
        return self._file.adjust(compiled.snapshot)

    def _served(self) -> None:
        """What the replica has is what is served."""
        revision = max(0, self._replica.revision)
        if revision != self.revision:
            self.revision = revision
            self._metrics.config_revision.set(revision)
            self._news.set()
            self._keeper.changed()

    def _lost(self, error: Exception) -> None:
        self._replica.up = False
        if self.store is not None and not self._away:
            self._away = True
            logger.error("the database %s is away: %s", self.store.url, error)

    def _found(self) -> None:
        if self._away:
            self._away = False
            logger.warning("the database answers again")
            self._news.set()

    # the file

    async def reload(self) -> int:
        """Read the file anew and swap; the version reached. Raises ValueError and nothing changes."""
        return await self._whole(self._reload)

    async def _reload(self) -> int:
        if self._file.read is None:
            return self.version
        try:
            config = await asyncio.to_thread(self._file.read)
            found = clashes(config, self.mirror)
            if found:
                raise ValueError("\n".join(found))
            if self.store is not None:
                # Its master keys may be in another file, which may say something else by now.
                here = config.model_copy(update={"store": self._database})
                sealed = self._replica.sealed
                vault = await asyncio.to_thread(keyring.replaced, self.vault, here, sealed)
                if vault is not self.vault:
                    self._replica.rekey(vault)
        except ValueError as error:
            self._refused = (str(error),)
            self._metrics.config_reloads.child("rejected").inc()
            self._news.set()
            logger.error("configuration not reloaded:\n%s", error)
            raise
        await self._serve(config, EVERYTHING)
        for name in fixed.changed(self._begun, config):
            logger.warning("%s was changed: that takes a new start, until then it stays", name)
        if config.store.url != self._database.url:
            config = config.model_copy(update={"store": self.config.store})
        self.config, self._refused = config, ()
        self.version += 1
        self._metrics.config_reloads.child("applied").inc()
        self._news.set()
        self._file.taken()
        logger.info("configuration reloaded")
        return self.version

    # the others

    async def signal(self, name: str) -> dict[str, Any]:
        """Have every worker do something once (`reload`, `stats.reset`, `cache.clear`), and wait up to 5 s for them.

        {"revision": n, "workers": [{"host", "pid", "name", "revision", "config", "problem"}], "missing": [...]}
        Raises StoreDown.
        """
        if self.store is None:
            await self._whole(partial(self._obey, name))
            return {"revision": 0, "workers": await self.workers(), "missing": []}
        revision = await self._signals.send(name)
        await self.refresh(revision)
        await self._report()
        return await self._signals.followed(revision)

    async def workers(self) -> list[dict[str, Any]]:
        """Every worker seen in the last 15 s, by what it wrote down: host, pid, name, revision, config, problem, seen.

        Raises StoreDown.
        """
        if self.store is None:
            return [self._fleet.row(self.revision, self.version, "\n".join(self.problems))]
        return await self._fleet.alive(self.store)

    def on(self, signal: str, do: Callable[[], None]) -> None:
        """What this worker does when a signal comes. It reloads by itself."""
        self._signals.on(signal, do)

    async def _obey(self, name: str) -> None:
        if name != "reload":
            self._signals.obey(name)
            return
        try:
            await self._reload()
        except ValueError:
            pass  # said already, and in this worker's row

    async def _beat(self) -> None:
        """Write down what this worker does: after each swap, at most four times a second, and every 5 s."""
        while True:
            try:
                async with asyncio.timeout(BEAT):
                    await self._news.wait()
            except TimeoutError:
                pass
            self._news.clear()
            if self.up:
                try:
                    await self._report()
                except StoreDown:
                    pass  # the next poll finds out
            await asyncio.sleep(REPORT)

    async def _report(self) -> None:
        assert self.store is not None
        row = self._fleet.row(self.revision, self.version, "\n".join(self.problems))
        await self._fleet.report(self.store, row)

    # at the end

    def resign(self) -> None:
        """Leave the copy on disk to whoever takes this worker's place."""
        self._resigned = True
        if self._keeping is not None:
            self._keeping.cancel()

    async def close(self) -> None:
        """Leave the fleet, and close the store."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        if self.store is None:
            return
        try:
            if self.up:
                async with asyncio.timeout(1.0):
                    await self._fleet.leave(self.store)
        except (StoreDown, TimeoutError):
            pass
        except Exception:
            logger.exception("this worker's row cannot be taken away")
        await self.store.close()


async def _lasting(work: Callable[[], Awaitable[None]], complaint: str) -> None:
    """Whatever goes wrong with it: following the store does not end for its sake."""
    while True:
        try:
            await work()
        except Exception:
            logger.exception(complaint)
        await asyncio.sleep(BEAT)
