"""What is PostgreSQL's alone: it goes away, comes back, becomes read-only, hangs; and others use it too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from proxy.core.records import Record
from proxy.store import objects
from proxy.store.base import ADMIN_TIMEOUT, BULK_TIMEOUT, CALL_TIMEOUT, StoreBroken, StoreDown
from proxy.store.opening import Database, open_store
from tests.servers.postgres import PostgresServer

SLEEP = "SELECT 1 FROM (SELECT pg_sleep($1)) AS slept"
PEPPER = "INSERT INTO peppers (id, sealed, created) VALUES ($1, '', 0)"


@pytest_asyncio.fixture
async def store(postgres_url: str) -> AsyncIterator[Database]:
    store = open_store(postgres_url)
    await store.open()
    yield store
    await store.close()


Open = Callable[[str], Database]


@pytest_asyncio.fixture
async def another() -> AsyncIterator[Open]:
    """Makes stores, and closes them."""
    made: list[Database] = []

    def make(url: str) -> Database:
        made.append(open_store(url))
        return made[-1]

    yield make
    for store in made:
        await store.close()


@pytest_asyncio.fixture
async def doomed(spare_postgres: PostgresServer) -> AsyncIterator[Database]:
    """A store on a server that may be killed."""
    name = await asyncio.to_thread(spare_postgres.create_database)
    store = open_store(spare_postgres.url(name))
    await store.open()
    yield store
    await store.close()


def name_of(url: str) -> str:
    return urlsplit(url).path[1:]


async def sql(server: PostgresServer, statement: str) -> str:
    return await asyncio.to_thread(server.sql, statement)


async def write(store: Database) -> int:
    async with store.transaction() as session:
        revision = await objects.lock(session) + 1
        await objects.write(session, Record("key", revision, revision, f"k{revision}"))
        await objects.unlock(session, revision)
    return revision


async def eventually(ask: Callable[[], Awaitable[object]], answer: object) -> None:
    """Until it is answered so; a store that is down is no answer."""
    found: object = None
    async with asyncio.timeout(15):
        while found != answer:
            try:
                found = await ask()
            except StoreDown as error:
                found = error
            await asyncio.sleep(0.02)


async def down(*calls: Awaitable[object]) -> None:
    """Every call says that the store is down, and no later than it promised."""
    for call in calls:
        with pytest.raises(StoreDown):
            async with asyncio.timeout(2 * CALL_TIMEOUT + 2):
                await call


async def test_a_killed_server_is_down_until_it_is_back(
    doomed: Database, spare_postgres: PostgresServer
) -> None:
    assert await write(doomed) == 1

    await asyncio.to_thread(spare_postgres.kill)
    await down(objects.mark(doomed), doomed.execute(PEPPER, "a"), write(doomed))
    await asyncio.to_thread(spare_postgres.start)

    assert (await objects.mark(doomed)).revision == 1
    assert await write(doomed) == 2


async def test_a_restart_costs_at_most_one_call(
    doomed: Database, spare_postgres: PostgresServer
) -> None:
    await write(doomed)

    await asyncio.to_thread(spare_postgres.restart)

    try:
        await objects.mark(doomed)
    except StoreDown:
        pass
    assert (await objects.mark(doomed)).revision == 1


async def test_a_frozen_server_costs_no_more_than_the_deadline(
    doomed: Database, spare_postgres: PostgresServer
) -> None:
    await write(doomed)
    fetch = "SELECT 1"

    await asyncio.to_thread(spare_postgres.freeze)
    # The first on a connection that is there, the second on one that is not.
    await down(doomed.fetch(fetch, timeout=0.2), doomed.fetch(fetch, timeout=0.2), write(doomed))
    await asyncio.to_thread(spare_postgres.thaw)

    assert (await objects.mark(doomed)).revision == 1
    assert await write(doomed) == 2


async def test_a_call_on_a_frozen_server_may_be_cancelled(
    doomed: Database, spare_postgres: PostgresServer
) -> None:
    await objects.mark(doomed)
    await asyncio.to_thread(spare_postgres.freeze)
    calls = [asyncio.ensure_future(call) for call in (objects.mark(doomed), write(doomed))]
    await asyncio.sleep(0.05)

    for call in calls:
        call.cancel()
    async with asyncio.timeout(5):
        done, _ = await asyncio.wait(calls)

    assert all(call.cancelled() for call in done)
    await asyncio.to_thread(spare_postgres.thaw)
    assert (await objects.mark(doomed)).revision == 0


async def test_closing_does_not_wait_for_a_frozen_server(
    doomed: Database, spare_postgres: PostgresServer
) -> None:
    woken = asyncio.Event()
    await doomed.listen(woken.set)
    await asyncio.wait_for(woken.wait(), 10)
    await write(doomed)

    await asyncio.to_thread(spare_postgres.freeze)

    async with asyncio.timeout(1):
        await doomed.close()


async def test_a_read_only_database_is_down_for_writers_until_it_is_not(
    store: Database, postgres: PostgresServer, postgres_url: str, another: Open
) -> None:
    name = name_of(postgres_url)
    await write(store)
    await sql(postgres, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await sql(  # as a failover does: 57P01
        postgres,
        f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{name}'",
    )

    async def revision() -> int:
        return (await objects.mark(store)).revision

    await eventually(revision, 1)
    for call in (write(store), store.execute(PEPPER, "a")):
        with pytest.raises(StoreDown, match="read-only"):
            await call
    late = another(postgres_url)
    await late.open()  # there is nothing to migrate
    assert (await objects.mark(late)).revision == 1

    await sql(postgres, f"ALTER DATABASE {name} RESET default_transaction_read_only")

    assert await write(store) == 2


async def test_an_empty_read_only_database_is_down(
    postgres: PostgresServer, postgres_url: str, another: Open
) -> None:
    name = name_of(postgres_url)
    await sql(postgres, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    store = another(postgres_url)

    with pytest.raises(StoreDown, match="read-only"):
        await store.open()
    await sql(postgres, f"ALTER DATABASE {name} RESET default_transaction_read_only")

    await store.open()
    assert await write(store) == 1


async def test_slow_pages_delay_no_poll(store: Database, postgres: PostgresServer) -> None:
    slow = [asyncio.ensure_future(store.fetch(SLEEP, 60.0, timeout=2.1)) for _ in range(2)]
    running = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE query LIKE 'SELECT 1 FROM (SELECT pg_sleep%' AND state = 'active'"
    )
    await eventually(lambda: sql(postgres, running), "2")

    for _ in range(10):
        await objects.mark(store)
        await store.execute(PEPPER + " ON CONFLICT DO NOTHING", "a")
    assert not any(page.done() for page in slow)

    for page in slow:
        with pytest.raises(StoreDown):
            await page
    # The server has given up as well.
    await eventually(lambda: sql(postgres, running), "0")
    assert await write(store) == 1


async def test_a_third_page_waits_no_longer_than_its_deadline(store: Database) -> None:
    slow = [asyncio.ensure_future(store.fetch(SLEEP, 60.0, timeout=60.0)) for _ in range(2)]
    await asyncio.sleep(0)

    with pytest.raises(StoreDown, match="all connections are busy"):
        await store.fetch("SELECT 1", timeout=2.01)

    for page in slow:
        page.cancel()
    await asyncio.wait(slow)
    assert await write(store) == 1


async def test_the_server_keeps_our_deadlines_within_a_transaction_alone(store: Database) -> None:
    asked = (
        "SELECT current_setting('statement_timeout'),"
        " current_setting('idle_in_transaction_session_timeout')"
    )

    async with store.transaction() as session:
        begun = await session.fetch(asked)
        longer = await session.fetch(asked, timeout=BULK_TIMEOUT)
    async with store.transaction() as session:
        again = await session.fetch(asked)

    assert begun == again == [("5s", "10s")]
    assert longer == [("1min", "10s")]
    assert await store.fetch(asked, timeout=ADMIN_TIMEOUT) == [("5s", "10s")]
    assert await store.fetch(asked) == [("0", "0")]


async def test_nothing_is_prepared_that_a_pooler_could_lose(store: Database) -> None:
    asked = "SELECT count(*) FROM pg_prepared_statements WHERE name <> $1"

    for _ in range(3):
        assert await store.fetch(asked, "") == [(0,)]
        await store.execute("DISCARD ALL")


async def test_who_listens_listens_again_when_its_connection_is_lost(
    store: Database, postgres: PostgresServer, postgres_url: str
) -> None:
    woken = asyncio.Event()
    await store.listen(woken.set)
    await asyncio.wait_for(woken.wait(), 10)
    woken.clear()

    lost = await sql(
        postgres,
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        f" WHERE datname = '{name_of(postgres_url)}' AND query LIKE 'LISTEN%'",
    )

    assert lost == "1"
    await asyncio.wait_for(woken.wait(), 10)  # for what it may have missed
    woken.clear()
    await write(store)
    await asyncio.wait_for(woken.wait(), 10)


async def test_who_listens_survives_a_killed_server(
    doomed: Database, spare_postgres: PostgresServer
) -> None:
    woken = asyncio.Event()
    await doomed.listen(woken.set)
    await asyncio.wait_for(woken.wait(), 10)

    await asyncio.to_thread(spare_postgres.kill)
    woken.clear()
    await asyncio.to_thread(spare_postgres.start)
    await asyncio.wait_for(woken.wait(), 20)
    woken.clear()

    await write(doomed)
    await asyncio.wait_for(woken.wait(), 10)


async def test_who_listens_goes_on_after_an_error_that_nobody_knows(another: Open) -> None:
    """As a pooler may give it: an internal error instead of a connection."""
    words = b"SFATAL\0CXX000\0Mno server is there\0\0"
    again = asyncio.Event()
    asked = count()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big") - 4)
        if next(asked):
            again.set()
        writer.write(b"E" + (4 + len(words)).to_bytes(4, "big") + words)
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        store = another(f"postgresql://u:p@127.0.0.1:{port}/d?sslmode=disable")
        await store.listen(lambda: None)

        await asyncio.wait_for(again.wait(), 10)
        await store.close()


async def test_only_a_new_revision_is_told(
    store: Database, postgres: PostgresServer, postgres_url: str, another: Open
) -> None:
    other = another(postgres_url)
    woken: asyncio.Queue[None] = asyncio.Queue()
    await other.listen(lambda: woken.put_nowait(None))
    await asyncio.wait_for(woken.get(), 10)

    await store.execute(PEPPER, "a")
    async with store.transaction() as session:
        await objects.lock(session)
    await write(store)
    await asyncio.wait_for(woken.get(), 10)
    await write(store)
    await asyncio.wait_for(woken.get(), 10)

    assert woken.empty()


@pytest.fixture
def poor(postgres: PostgresServer, postgres_url: str) -> str:
    """The URL for a user who may do little."""
    role = f"poor_{name_of(postgres_url)}"
    postgres.sql(f"CREATE ROLE {role} LOGIN PASSWORD 'a-brook'")
    return postgres_url.replace("headrace:a-river", f"{role}:a-brook")


async def test_a_password_may_hold_what_means_something_in_a_url(
    postgres: PostgresServer, poor: str, another: Open
) -> None:
    password = "p@s/s:w#o?r[d%"
    await sql(postgres, f"ALTER ROLE {urlsplit(poor).username} PASSWORD '{password}'")

    await another(poor.replace("a-brook", password)).state()


async def test_a_missing_right_is_named(poor: str, another: Open) -> None:
    store = another(poor)

    with pytest.raises(StoreBroken, match="permission denied for schema public: grant it"):
        await store.open()


async def test_a_user_who_may_not_even_read_is_told_so(
    store: Database, poor: str, another: Open
) -> None:
    theirs = another(poor)

    with pytest.raises(StoreBroken, match="permission denied for table"):
        await theirs.open()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("a-river", "a-lake"), "password authentication failed"),
        (("/test_", "/absent_"), "does not exist"),
    ],
)
async def test_a_login_that_fails_is_a_store_that_is_down(
    postgres_url: str, another: Open, change: tuple[str, str], words: str
) -> None:
    store = another(postgres_url.replace(*change))

    with pytest.raises(StoreDown, match=words) as caught:
        await store.open()

    assert "a-lake" not in str(caught.value)


async def test_too_many_connections_are_a_store_that_is_down(
    postgres: PostgresServer, postgres_url: str, poor: str, another: Open
) -> None:
    await sql(postgres, f"ALTER DATABASE {name_of(postgres_url)} CONNECTION LIMIT 0")

    with pytest.raises(StoreDown, match="too many connections"):
        await another(poor).open()


async def test_another_encoding_is_refused(postgres: PostgresServer, another: Open) -> None:
    await sql(postgres, "CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0")
    store = another(postgres.url("ascii"))

    with pytest.raises(StoreBroken, match="encoding SQL_ASCII"):
        await store.open()
    await asyncio.to_thread(postgres.drop_database, "ascii")


async def test_a_worker_has_no_more_than_four_connections(
    store: Database, postgres: PostgresServer, postgres_url: str
) -> None:
    await store.listen(lambda: None)

    await asyncio.gather(
        *(objects.mark(store) for _ in range(20)),
        *(store.fetch("SELECT 1", timeout=ADMIN_TIMEOUT) for _ in range(20)),
        *(write(store) for _ in range(20)),
    )

    asked = (
        "SELECT count(*) FROM pg_stat_activity"
        f" WHERE datname = '{name_of(postgres_url)}' AND application_name = 'headrace'"
    )
    assert 1 <= int(await sql(postgres, asked)) <= 4
