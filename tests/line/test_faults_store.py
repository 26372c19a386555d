"""What databases do: die, freeze, come back, forget to call. No request fails for it, and none waits."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import orjson
import pytest
import yaml

from proxy.core.records import Kind, Record
from proxy.core.secret import Secret
from proxy.core.tasks import spawn
from proxy.core.vault import Vault
from proxy.core.virtual_key import kept, mint, private
from proxy.store import objects, peppers
from proxy.store.base import Store
from proxy.store.opening import open_store
from tests.line.harness import (
    KEY,
    Answer,
    Process,
    Raw,
    Simulator,
    config,
    is_shed,
    merged,
    request,
)
from tests.servers.postgres import PostgresServer

MASTER = "Jq7vT2mXc9Lr4KfWz8Pb1NsYd6HgEa3U"
PATIENCE = 15.0
QUICK, LONG = "sim-n4-d1-f1", "sim-n200-d10-f1"

pytestmark = pytest.mark.timeout(60)


class Fleet:
    """`headrace serve` on a database, and somebody else who writes into it."""

    def __init__(self, folder: Path, provider: str, url: str, workers: int) -> None:
        self.url = url
        self.folder = folder
        self.workers = workers
        self.content = config(
            provider,
            server={"workers": workers},
            store={"url": url, "snapshot": str(folder / "copy"), "poll": 0.5},
            secrets={"keys": [MASTER]},
        )
        self.process: Process | None = None
        self._store: Store | None = None

    @property
    def port(self) -> int:
        assert self.process is not None
        return int(self.process.url.rpartition(":")[2])

    async def start(self) -> None:
        self.process = await asyncio.to_thread(Process, self.content, self.folder)

    async def stop(self) -> None:
        if self.process is not None:
            process, self.process = self.process, None
            assert await asyncio.to_thread(process.stop) == 0, "".join(process.lines)

    async def write(self, **changes: Any) -> None:
        """Another file; it is read at the next SIGHUP."""
        content = merged(merged(self.content, {"admin": {"port": 0}}), changes)
        path = self.folder / "process.yaml"
        await asyncio.to_thread(path.write_text, yaml.safe_dump(content))

    def hang_up(self) -> None:
        assert self.process is not None
        self.process.process.send_signal(signal.SIGHUP)

    async def store(self) -> Store:
        """Our own connection to it."""
        if self._store is None:
            self._store = open_store(self.url)
            await self._store.open()
        return self._store

    async def close(self) -> None:
        if self._store is not None:
            await self._store.close()
        await self.stop()


Start = Callable[..., Coroutine[Any, Any, Fleet]]


@pytest.fixture
async def fleet(sim: Simulator, tmp_path: Path) -> AsyncIterator[Start]:
    """`await fleet(url, workers=2)`; with `later=True` it is not started."""
    made: list[Fleet] = []

    async def start(url: str, *, workers: int = 2, later: bool = False) -> Fleet:
        one = Fleet(tmp_path, sim.url, url, workers)
        made.append(one)
        if not later:
            await one.start()
        return one

    yield start
    for one in made:
        await one.close()


@pytest.fixture
def database(spare_postgres: PostgresServer) -> str:
    """A database that may be killed."""
    return spare_postgres.url(spare_postgres.create_database())


class Key:
    """A virtual key in the store."""

    def __init__(self, key: str, record: Record) -> None:
        self.key = key
        self._record = record

    @classmethod
    async def make(cls, store: Store, name: str = "stored") -> Self:
        """Written, and so to be served soon."""
        [pepper, *_], _ = peppers.opened(
            await peppers.ensure(store, Vault([Secret(MASTER)])), Vault([Secret(MASTER)])
        )
        key = mint()
        async with store.transaction() as session:
            revision = await objects.lock(session) + 1
            digests = private([kept(key, pepper)])
            record = Record(Kind.KEY, revision, revision, name=name, private=digests)
            await objects.write(session, record)
            await objects.unlock(session, revision)
        return cls(key.reveal(), record)

    async def revoke(self, store: Store) -> None:
        async with store.transaction() as session:
            revision = await objects.lock(session) + 1
            gone = Record(Kind.KEY, self._record.id, revision, name="stored", deleted=True)
            await objects.write(session, gone)
            await objects.unlock(session, revision)


def chat(model: str, key: str) -> bytes:
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    return request("POST", "/v1/chat/completions", orjson.dumps(body), key=key)


async def get(port: int, path: str) -> Answer:
    client = await Raw.open(port)
    try:
        client.send(request("GET", path, None))
        return await client.answer()
    finally:
        client.close()


async def metric(port: int, name: str, **labels: str) -> float | None:
    """Of whichever worker answers."""
    page = (await get(port, "/metrics/worker")).body.decode()
    for line in page.splitlines():
        if re.match(rf"{name}(\{{| )", line) and all(
            f'{label}="{value}"' in line for label, value in labels.items()
        ):
            return float(line.rpartition(" ")[2])
    return None


async def until(ask: Callable[[], Coroutine[Any, Any, bool]], seconds: float = PATIENCE) -> None:
    """Asks again and again."""
    async with asyncio.timeout(seconds):
        while not await ask():
            await asyncio.sleep(0.01)


async def heard(client: Raw, data: bytes) -> Answer:
    """The answer to this; asks again while the gateway has too much to do, which is none of the database's making."""
    async with asyncio.timeout(PATIENCE):
        while True:
            client.send(data)
            answer = await client.answer()
            if not is_shed(answer.body):
                return answer
            await asyncio.sleep(0.02)


class Workers:
    """A connection to each worker of a fleet: who is at the other end says so in its metrics."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.clients: dict[str, Raw] = {}

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.timeout(PATIENCE):
                while len(self.clients) < self._fleet.workers:
                    await self._meet()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def _meet(self) -> None:
        client = await Raw.open(self._fleet.port)
        try:
            page = (await heard(client, request("GET", "/metrics/worker", None))).body.decode()
            found = re.search(r'headrace_worker_up\{worker="(\w+)"\}', page)
            assert found, page
        except BaseException:
            client.close()
            raise
        if self.clients.setdefault(found[1], client) is not client:
            client.close()

    async def __aexit__(self, *_: object) -> None:
        for client in self.clients.values():
            client.close()

    async def all(self, data: bytes) -> list[Answer]:
        """What each says to a request."""
        return await asyncio.gather(*(heard(client, data) for client in self.clients.values()))

    async def statuses(self, key: str) -> set[int]:
        return {answer.status for answer in await self.all(chat(QUICK, key))}

    async def stores(self) -> set[tuple[int, str]]:
        """Whether each is ready, and what it says of its store."""
        answers = await self.all(request("GET", "/health/ready", None))
        return {(answer.status, answer.json["store"]) for answer in answers}


class Load:
    """Clients that ask one after the other, on connections they keep."""

    def __init__(self, port: int, *keys: str, clients: int = 8) -> None:
        self._port = port
        self._keys = keys
        self._clients = clients
        self._tasks: list[asyncio.Task[None]] = []
        self.answers = 0
        self.failures: list[str] = []

    async def __aenter__(self) -> Self:
        for index in range(self._clients):
            key = self._keys[index % len(self._keys)]
            self._tasks.append(spawn(self._ask(key), name="load"))
        await self.more(50)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    async def more(self, number: int) -> None:
        """Until so many more have been answered."""
        wanted = self.answers + number
        async with asyncio.timeout(PATIENCE):
            while self.answers < wanted and not self.failures:
                await asyncio.sleep(0.005)

    async def _ask(self, key: str) -> None:
        client = await Raw.open(self._port)
        try:
            while True:
                answer = await heard(client, chat(QUICK, key))
                if answer.status != 200 or not answer.complete or answer.events[-1] != "[DONE]":
                    self.failures.append(repr(answer))
                self.answers += 1
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError) as error:
            self.failures.append(repr(error))
        finally:
            client.close()


@asynccontextmanager
async def streams(fleet: Fleet, *keys: str, number: int = 8) -> AsyncIterator[list[Raw]]:
    """Long streams that have begun."""
    clients = [await Raw.open(fleet.port) for _ in range(number)]
    try:
        asked = (chat(LONG, keys[index % len(keys)]) for index in range(number))
        await asyncio.gather(*map(begun, clients, asked))
        yield clients
    finally:
        for client in clients:
            client.close()


async def begun(client: Raw, data: bytes) -> None:
    """Once its first content is there."""
    while True:
        client.send(data)
        head = (await client.head()).lower()
        length = re.search(rb"content-length: (\d+)", head)
        if length is None:
            break
        refused = await client.reader.readexactly(int(length[1]))
        assert is_shed(refused), refused
        await asyncio.sleep(0.02)
    await client.reader.readuntil(b'"content"')


async def ended(clients: list[Raw]) -> list[bool]:
    """Whether each stream came to its own end."""
    return [(await client.reader.readuntil(b"0\r\n\r\n")).find(b"[DONE]") > 0 for client in clients]


# G1, G5


async def test_a_database_that_dies_costs_no_request(
    fleet: Start, database: str, spare_postgres: PostgresServer
) -> None:
    one = await fleet(database)
    store = await one.store()
    key = await Key.make(store)
    async with Workers(one) as workers:
        await until(lambda: knows(workers, key.key))
        async with streams(one, key.key, KEY) as clients, Load(one.port, key.key, KEY) as load:
            await asyncio.to_thread(spare_postgres.kill)
            await until(lambda: says(workers, "degraded"))
            await load.more(300)

            assert await metric(one.port, "headrace_store_up") == 0
            assert await workers.statuses("sk-unknown") == {401}
            assert load.failures == []
            assert await ended(clients) == [True] * 8

            await asyncio.to_thread(spare_postgres.start)
            await until(lambda: says(workers, "ok"))
            later = await Key.make(store, "later")
            await until(lambda: knows(workers, later.key), 5.0)
            assert load.failures == []
        assert await metric(one.port, "headrace_store_up") == 1


async def knows(workers: Workers, key: str) -> bool:
    return await workers.statuses(key) == {200}


async def says(workers: Workers, word: str) -> bool:
    """Ready they are in any case."""
    found = await workers.stores()
    assert {status for status, _ in found} == {200}
    return {store for _, store in found} == {word}


# G2


async def test_a_database_that_freezes_lets_no_request_wait(
    fleet: Start, database: str, spare_postgres: PostgresServer
) -> None:
    one = await fleet(database)
    key = await Key.make(await one.store())
    async with Workers(one) as workers:
        await until(lambda: knows(workers, key.key))
        async with streams(one, key.key) as clients, Load(one.port, key.key, KEY) as load:
            await asyncio.to_thread(spare_postgres.freeze)
            # It stays so until all of this has been answered: whoever waited for it would wait for ever.
            await load.more(300)
            await until(lambda: says(workers, "degraded"))
            await load.more(300)

            assert load.failures == []
            assert await ended(clients) == [True] * 8
            await asyncio.to_thread(spare_postgres.thaw)
            await until(lambda: says(workers, "ok"))


# G3


@pytest.mark.parametrize("workers", [1, 2])
async def test_without_its_database_it_begins_from_the_copy(
    fleet: Start, database: str, spare_postgres: PostgresServer, workers: int
) -> None:
    one = await fleet(database, workers=workers)
    store = await one.store()
    key = await Key.make(store)
    async with Workers(one) as all:
        await until(lambda: knows(all, key.key))
    await until(lambda: copied(one, revision=1))
    await one.stop()
    await asyncio.to_thread(spare_postgres.kill)

    await one.start()

    process = one.process
    assert process is not None

    async def said() -> bool:
        return any("serving the copy on disk" in line for line in process.lines)

    await until(said)  # another thread writes the log
    async with Workers(one) as all:
        assert await all.statuses(key.key) == {200}
        assert await all.statuses("sk-unknown") == {401}
        assert await says(all, "degraded")
        assert await metric(one.port, "headrace_config_age_seconds") is not None

        await asyncio.to_thread(spare_postgres.start)
        await until(lambda: says(all, "ok"))
        later = await Key.make(store, "later")
        await until(lambda: knows(all, later.key), 5.0)


async def copied(one: Fleet, revision: int) -> bool:
    from proxy.store import disk

    path = Path(one.content["store"]["snapshot"])
    store = await one.store()
    found = await asyncio.to_thread(disk.read, path, store.url, Vault([Secret(MASTER)]))
    return found is not None and found.revision >= revision


# G4


async def test_without_database_and_copy_nobody_is_called_unknown(
    fleet: Start, database: str, spare_postgres: PostgresServer
) -> None:
    one = await fleet(database, later=True)
    store = await one.store()
    key = await Key.make(store)
    await asyncio.to_thread(spare_postgres.kill)

    await one.start()

    async with Workers(one) as workers:
        assert await workers.statuses(KEY) == {200}
        answers = await workers.all(chat(QUICK, key.key))
        assert {(one.status, one.json["error"]["code"]) for one in answers} == {
            (503, "state_unavailable")
        }

        await asyncio.to_thread(spare_postgres.start)
        await until(lambda: knows(workers, key.key))
        assert await workers.statuses("sk-unknown") == {401}


# G9


async def test_a_change_that_nobody_told_of_is_served(
    fleet: Start, database: str, spare_postgres: PostgresServer
) -> None:
    one = await fleet(database)
    store = await one.store()
    await store.execute("DROP TRIGGER revision_is_told ON revision")

    key = await Key.make(store)

    async with Workers(one) as workers:
        await until(lambda: knows(workers, key.key), 5.0)


async def test_connections_that_are_cut_are_made_again(
    fleet: Start, database: str, spare_postgres: PostgresServer
) -> None:
    one = await fleet(database)
    store = await one.store()
    name = database.rpartition("/")[2]
    await asyncio.to_thread(
        spare_postgres.sql,
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        f" WHERE datname = '{name}' AND pid <> pg_backend_pid()",
    )

    async with Workers(one) as workers:
        key = await again(lambda: Key.make(store))
        await until(lambda: knows(workers, key.key), 5.0)


async def again(work: Callable[[], Coroutine[Any, Any, Key]]) -> Key:
    """Our own connections were cut as well, as many as there are."""
    from proxy.store.base import StoreDown

    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await work()
            except StoreDown:
                await asyncio.sleep(0.01)


# F6


async def test_reloading_again_and_again_breaks_no_stream(fleet: Start, store_url: str) -> None:
    one = await fleet(store_url)
    key = await Key.make(await one.store())
    async with Workers(one) as workers:
        await until(lambda: knows(workers, key.key))
        async with streams(one, key.key, KEY) as clients, Load(one.port, key.key, KEY) as load:
            for number in range(10):
                await one.write(models={f"new-{number}": {"deployments": [{"provider": "p0"}]}})
                one.hang_up()
                await load.more(60)

            assert load.failures == []
            assert await ended(clients) == [True] * 8
        await until(lambda: serves(workers, "new-9"))


async def serves(workers: Workers, model: str) -> bool:
    answers = await workers.all(request("GET", "/v1/models", None))
    return all(model in {one["id"] for one in answer.json["data"]} for answer in answers)


# F7


async def test_a_bad_file_is_refused_by_every_worker(fleet: Start, store_url: str) -> None:
    one = await fleet(store_url)
    async with Workers(one) as workers:
        await one.write(nonsense=1)
        one.hang_up()
        await until(lambda: rejected(workers))

        assert await workers.statuses(KEY) == {200}
        await one.write(models={"new": {"deployments": [{"provider": "p0"}]}})
        one.hang_up()
        await until(lambda: serves(workers, "new"))


async def rejected(workers: Workers) -> bool:
    answers = await workers.all(request("GET", "/metrics/worker", None))
    line = b'headrace_config_reloads_total{outcome="rejected"} 1'
    return all(line in answer.body for answer in answers)


# F8


async def test_a_key_that_is_revoked_ends_no_stream_and_begins_none(
    fleet: Start, store_url: str
) -> None:
    one = await fleet(store_url)
    store = await one.store()
    key = await Key.make(store)
    async with Workers(one) as workers:
        await until(lambda: knows(workers, key.key))
        async with streams(one, key.key) as clients:
            await key.revoke(store)
            # A second, and what a busy machine adds.
            await until(lambda: refuses(workers, key.key), 2.0)

            assert await ended(clients) == [True] * 8
            assert await workers.statuses(KEY) == {200}


async def refuses(workers: Workers, key: str) -> bool:
    return await workers.statuses(key) == {401}
