"""What was spent in a window, here and on other hosts."""

from __future__ import annotations

import pytest

from proxy.ledger.records import Charged
from proxy.limits.accounts import Charge, Used
from proxy.store.ledger import windows
from proxy.store.ledger.booking import book
from proxy.store.ledger.windows import Counted, Spent, current, elsewhere, spend
from proxy.store.opening import Database
from tests.store.ledger.made import AT, end

TODAY = Charged("key:7", int(AT), int(AT) + 86400)
YESTERDAY = Charged("key:7", int(AT) - 86400, int(AT))
EVER = Charged("team:blue", 0, 0)


async def fill(store: Database) -> None:
    await book(store, "here", [end("a", charges=(TODAY, EVER)), end("b", charges=(YESTERDAY,))])
    await book(store, "there", [end("c", charges=(TODAY,)), end("d", charges=(TODAY,))])
    await book(store, "yonder", [end("e", charges=(TODAY, EVER))])


@pytest.mark.parametrize("size", [1, 2, 2000])
async def test_a_host_learns_windows_that_have_not_ended(
    store: Database, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows, "PAGE", size)
    await fill(store)
    one, two, three = Used(70, 70, 1), Used(140, 140, 2), Used(210, 210, 3)
    today, ever = Charge("key:7", int(AT), int(AT) + 86400), Charge("team:blue", 0, 0)

    assert await current(store, "here", AT) == [Counted(today, one, three), Counted(ever, one, one)]
    assert await elsewhere(store, "here", AT) == [(today, three), (ever, one)]
    assert await elsewhere(store, "there", AT) == [(today, two), (ever, two)]
    assert await elsewhere(store, "there", AT + 86400) == [(ever, two)]
    assert (await current(store, "new", AT))[0].own == Used(0, 0, 0)


async def test_what_a_subject_spent_is_added_up_over_hosts(store: Database) -> None:
    await fill(store)

    assert await spend(store, "key:7") == [
        Spent(int(AT), int(AT) + 86400, 4, 280, 280),
        Spent(int(AT) - 86400, int(AT), 1, 70, 70),
    ]
    assert await spend(store, "key:none") == []
