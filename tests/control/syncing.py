"""Workers' syncs on a real store, without their listeners."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

from proxy.control.sync import ConfigFile, Sync
from proxy.core.config import load
from proxy.core.config.schema import Config
from proxy.core.metrics import Metrics
from proxy.core.model import Server, Snapshot
from proxy.core.records import Kind, Record
from proxy.core.tasks import spawn
from proxy.state.live import Live
from proxy.state.state import State
from proxy.store import objects, postgres, sqlite  # noqa: F401 - imported here, where it blocks no loop
from proxy.store.base import Session, Store
from proxy.store.opening import open_store

KEY = "Jq7vT2mXc9Lr4KfWz8Pb1NsYd6HgEa3U"
PATIENCE = 10.0

FILE = """
store: {{url: "{url}", snapshot: "{folder}/copy", poll: 0.1}}
secrets: {{keys: [{key}]}}
providers:
  lab: {{base_url: "http://127.0.0.1:9", allow_private: true, credentials: [upstream-secret]}}
models:
  filed: {{deployments: [{{provider: lab}}]}}
"""


class Place:
    """A configuration file and a store."""

    def __init__(self, folder: Path, url: str = "") -> None:
        self.folder = folder
        self.url = url or f"sqlite:///{folder}/h.db"
        self.path = folder / "headrace.yaml"
        self.write()

    @property
    def copy(self) -> Path:
        return self.folder / "copy"

    def write(self, more: str = "", *, key: str = KEY) -> None:
        """The file, with `more` at its end."""
        text = FILE.format(url=self.url, folder=self.folder, key=key)
        self.path.write_text(text + more)

    def read(self) -> Config:
        return load(self.path, {}).config


class Worker:
    """A sync, and what it gave."""

    def __init__(self, place: Place, name: str = "1", **options: Any) -> None:
        # One of many: the name is its number.
        self.state = State(Snapshot(server=Server(workers=64)), Live(), Metrics(name))
        self.swaps = 0
        file = ConfigFile(place.read(), place.read, **options)
        self.sync = Sync(file, self.state, self.use, name=name)
        # Several of one process, and each has a row of its own.
        self.sync._fleet.pid = int(name)

    def use(self, snapshot: Snapshot) -> None:
        self.swaps += 1
        self.state.use(snapshot)

    async def start(self, **options: Any) -> None:
        """Once it knows what to serve; it does not follow yet."""
        self.state.use(await self.sync.start(**options))

    @property
    def models(self) -> set[str]:
        return set(self.state.snapshot.models)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels."""
        words = [f'{label}="{value}"' for label, value in labels.items()]
        family = self.state.metrics.registry.snapshot()[name]
        return sum(
            value for text, value in family.values.items() if all(word in text for word in words)
        )


@asynccontextmanager
async def working(place: Place, name: str = "1", **options: Any) -> AsyncIterator[Worker]:
    """A worker that follows its store."""
    worker = Worker(place, name, **options)
    await worker.start()
    running = spawn(worker.sync.run(), name="sync")
    try:
        yield worker
    finally:
        running.cancel()
        await asyncio.wait({running})
        await worker.sync.close()


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[Store]:
    """Somebody else's connection to the same store."""
    store = open_store(place.url)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def put(
    store: Store, kind: str, name: str, spec: dict[str, Any] | None = None, **fields: Any
) -> int:
    """Write one object; its revision."""
    async with store.transaction() as session:
        return await put_in(session, kind, name, spec, **fields)


async def put_in(
    session: Session, kind: str, name: str, spec: dict[str, Any] | None = None, **fields: Any
) -> int:
    """The same as a part of something."""
    revision = await objects.lock(session) + 1
    id = fields.pop("id", revision)
    record = Record(kind, id, revision, name=name, spec=orjson.dumps(spec or {}), **fields)
    await objects.write(session, record)
    await objects.unlock(session, revision)
    return revision


async def model(store: Store, name: str, provider: str = "lab") -> int:
    """A model with one deployment; the revision it is served from."""
    async with store.transaction() as session:
        parent = await put_in(session, Kind.MODEL, name)
        return await put_in(session, Kind.DEPLOYMENT, "", {"provider": provider}, parent=parent)


async def until(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Let the loop turn until it holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


def lose(place: Place) -> None:
    """The database is a folder: nothing opens it."""
    database = place.folder / "h.db"
    for path in place.folder.glob("h.db*"):
        path.rename(path.with_name(path.name.replace("h.db", "hidden")))
    database.mkdir()


def find(place: Place) -> None:
    """It is back, with what it held."""
    (place.folder / "h.db").rmdir()
    for path in place.folder.glob("hidden*"):
        path.rename(path.with_name(path.name.replace("hidden", "h.db")))


async def copied(place: Place, *models: str) -> None:
    """A worker has kept a copy, and has left."""
    async with working(place, "0") as worker, opened(place) as store:
        for name in models:
            await model(store, name)
        await until(lambda: set(models) <= worker.models)
        place.copy.unlink(missing_ok=True)
        worker.sync._keeper.changed()
        await until(place.copy.exists)
