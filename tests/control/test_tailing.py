"""The end of the log, as a process that ships tells it: the same as who looks themselves finds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec
import pytest

from proxy.control.showing import COLUMNS
from proxy.control.tailing import NOTHING, Beside, Here, Teller, Told, Wanted
from proxy.core import unix
from proxy.store.base import StoreDown
from proxy.store.ledger.booking import book
from proxy.store.ledger.requests import Filters
from proxy.store.opening import Database, open_store
from tests.store.ledger.made import AT, HOST, end

RIDS = Wanted(Filters(), ("rid",))
FAILED = Wanted(Filters(failed=True, statuses=(500, 600)), ("state", "rid", "cost"))
ALL = Wanted(Filters(), tuple(COLUMNS))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Database]:
    one = open_store(f"sqlite:///{tmp_path}/h.db")
    await one.open()
    yield one
    await one.close()


@pytest.fixture
async def teller(tmp_path: Path, store: Database) -> AsyncIterator[Teller]:
    one = Teller(store)
    await one.listen(tmp_path / unix.TAIL)
    yield one
    await one.close()


def items(told: Sequence[Told] | None) -> list[object]:
    assert told is not None
    return [(msgspec.json.decode(one.items), one.shown, one.more) for one in told]


async def test_both_tell_the_same(tmp_path: Path, store: Database, teller: Teller) -> None:
    here, beside = Here(store), Beside(tmp_path / unix.TAIL)
    wanted = (RIDS, FAILED, ALL)
    assert await here.next(wanted) is None
    assert await beside.next(wanted) is None

    assert await beside.next(wanted) == [NOTHING] * 3
    await book(store, HOST, [end("a", AT), end("b", AT + 1, status=503)])
    told = items(await beside.next(wanted))

    assert told == items(await here.next(wanted))
    assert told[:2] == [
        ([{"rid": "b"}, {"rid": "a"}], 2, 0),
        ([{"state": "ended", "rid": "b", "cost": 0.00007}], 1, 0),
    ]
    assert await beside.next(()) == []
    beside.close()


async def test_two_have_each_a_tail(tmp_path: Path, store: Database, teller: Teller) -> None:
    one, two = Beside(tmp_path / unix.TAIL), Beside(tmp_path / unix.TAIL)
    await one.next((RIDS,))
    await book(store, HOST, [end("a", AT)])
    await two.next((RIDS,))
    await book(store, HOST, [end("b", AT + 1)])

    assert items(await one.next((RIDS,))) == [([{"rid": "b"}, {"rid": "a"}], 2, 0)]
    assert items(await two.next((RIDS,))) == [([{"rid": "b"}], 1, 0)]
    one.close()
    assert await one.next((RIDS,)) is None
    one.close()
    two.close()


async def test_a_database_that_is_away_is_said_and_nothing_is_missed(
    tmp_path: Path, store: Database, teller: Teller
) -> None:
    beside = Beside(tmp_path / unix.TAIL)
    await beside.next((RIDS,))
    await book(store, HOST, [end("a", AT)])
    await store.execute("ALTER TABLE requests RENAME TO gone")
    with pytest.raises(StoreDown):
        await beside.next((RIDS,))
    await store.execute("ALTER TABLE gone RENAME TO requests")

    assert items(await beside.next((RIDS,))) == [([{"rid": "a"}], 1, 0)]
    beside.close()


async def test_where_nobody_listens_any_more_it_is_said_and_begun_anew(
    tmp_path: Path, store: Database, teller: Teller
) -> None:
    beside = Beside(tmp_path / unix.TAIL)
    await beside.next((RIDS,))
    await teller.close()
    with pytest.raises(OSError, match="does not answer"):
        await beside.next((RIDS,))
    await teller.listen(tmp_path / unix.TAIL)

    assert await beside.next((RIDS,)) is None
    beside.close()


async def test_nothing_is_left_of_where_it_was_told(tmp_path: Path, store: Database) -> None:
    one = Teller(store)
    await one.listen(tmp_path / unix.TAIL)
    await one.close()
    await one.close()

    assert not (tmp_path / unix.TAIL).exists()


@pytest.mark.parametrize(
    "said", [b"nothing\n", b'[{"filters": {}, "fields": ["phase"]}]\n', b"x" * 2_000_000]
)
async def test_who_says_something_else_is_left(tmp_path: Path, teller: Teller, said: bytes) -> None:
    sock = unix.connect(tmp_path / unix.TAIL)
    reader, writer = await asyncio.open_unix_connection(sock=sock)
    writer.write(b"[]\n" + said)
    async with asyncio.timeout(20):
        try:
            assert (await reader.read())[:6] == b"\0\0\0\x02[]"
        except ConnectionError:
            assert len(said) > 1_000_000  # of which some was never read
    writer.close()
