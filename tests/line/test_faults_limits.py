"""What holds limits and the ledger together when time, the disk, or the server of shared limits does not.

Real workers in this process, so that both clocks can be held; a real file system and a real server.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

# Imported here: it takes longer than the loop may be blocked.
import redis.asyncio  # noqa: F401
import yaml

from proxy.core.clock import Hands, held
from proxy.core.config import load
from proxy.core.periods import of_budget
from proxy.ledger.cursor import bodies
from proxy.ledger.records import End, parse
from proxy.ledger.segments import listed
from proxy.limits import shared
from proxy.limits.accounts import View
from proxy.limits.breaker import Circuit
from proxy.limits.subjects import Subject, of_key
from proxy.state.snapshot import compile_snapshot
from proxy.worker import Worker, listen
from tests.gateway.served import COMPLETION, Provider, whole
from tests.ledger.samples import disk, fill
from tests.line.harness import (
    KEY,
    Answer,
    Proxy,
    config,
    read_request,
    scripted,
    serving,
    until,
)
from tests.servers.valkey import ValkeyServer

COST = 9
"""Micro-dollars of an answer: 7 tokens in, 2 out."""
PRICES = {"sim*": {"input": 1, "output": 1}}
BODY = {"model": "sim", "messages": [], "max_tokens": 2}


@asynccontextmanager
async def fleet(content: dict[str, Any], folder: Path) -> AsyncIterator[list[Proxy]]:
    """Two workers with one ledger, as their supervisor would start them."""
    path = folder / "headrace.yaml"
    path.write_text(yaml.safe_dump(content))
    snapshot = compile_snapshot(load(path).config)
    async with AsyncExitStack() as stack:
        found = []
        for name in ("0", "1"):
            worker, api = Worker(snapshot, name), listen("127.0.0.1", 0)
            await worker.start(api, None)
            stack.push_async_callback(worker.close, 0.2)
            found.append(Proxy(worker, api.getsockname()[1]))
        yield found


def key_of(proxy: Proxy) -> Subject:
    [key] = proxy.worker.state.snapshot.keys.values()
    found = of_key(key)
    assert found is not None
    return found


def view(proxy: Proxy) -> View:
    accounts = proxy.worker.state.accounts
    assert accounts is not None
    return accounts.view(key_of(proxy))


def learned(proxy: Proxy) -> None:
    """There is no database that could say what was spent: nothing."""
    accounts = proxy.worker.state.accounts
    assert accounts is not None
    accounts.learned()


def ends(ledger: Path) -> list[End]:
    """Of all workers."""
    records = [
        parse(body)
        for worker in (ledger / "spool").iterdir()
        for name in listed(worker)
        for body in bodies(worker, name)
    ]
    return [one for one in records if isinstance(one, End)]


async def ask(proxy: Proxy) -> Answer:
    return await proxy.chat("sim", stream=False, max_tokens=2)


# --- windows of budgets ---


def at(text: str, tz: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(tz)).timestamp()


BERLIN = "Europe/Berlin"
MIDNIGHTS = {
    "a day": ("day", "UTC", at("2026-11-28")),
    "a day of 23 hours": ("day", BERLIN, at("2026-03-30", BERLIN)),
    "a day of 25 hours": ("day", BERLIN, at("2026-10-26", BERLIN)),
    "a week": ("week", BERLIN, at("2026-03-30", BERLIN)),
    "a month": ("month", "UTC", at("2026-12-01")),
    "a month with a leap day": ("month", BERLIN, at("2028-03-01", BERLIN)),
}


@pytest.fixture
def hands() -> Iterator[Hands]:
    with held(0.0) as both:
        yield both


@pytest.mark.parametrize("name", MIDNIGHTS)
async def test_a_budget_begins_once_for_all_workers_and_late_usage_stays_where_it_began(
    name: str, hands: Hands, tmp_path: Path
) -> None:
    period, tz, midnight = MIDNIGHTS[name]
    late = asyncio.Event()
    held_back = 0

    async def provider(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal held_back
        while True:
            _, body = await read_request(reader)
            if b"wait" in body:
                held_back += 1
                await late.wait()
            writer.write(whole(COMPLETION))

    hands.set_wall(midnight - 2)
    async with scripted(provider) as url:
        budget = {"usd": 40e-6, "period": period, "tz": tz}
        content = config(
            url,
            server={"workers": 2},
            ledger={"path": str(tmp_path / "ledger")},
            prices=PRICES,
            keys=[{"name": "test", "key": KEY, "budget": budget}],
        )
        async with fleet(content, tmp_path) as (one, other):
            before = of_budget(key_budget(one), midnight - 2)
            for proxy in (one, other):
                assert (await ask(proxy)).status == 200
            waiting = asyncio.ensure_future(
                other.chat("sim", stream=False, max_tokens=2, user="wait")
            )
            await until(lambda: held_back == 1)
            assert view(one).spent == view(other).spent == 2 * COST
            assert view(one).window == view(other).window == before.start

            hands.advance(2)  # the clock strikes
            assert view(one).spent == view(other).spent == 0
            assert view(one).window == midnight == before.ends
            assert (await ask(one)).status == 200
            late.set()
            assert (await waiting).status == 200
            assert view(one).spent == view(other).spent == COST

            statuses = [(await ask(proxy)).status for _ in range(4) for proxy in (other, one)]
            assert Counter(statuses)[200] <= 4
            spent = view(one).spent
            assert spent == (1 + Counter(statuses)[200]) * COST
            for hours in (
                1,
                2,
                3,
            ):  # among them the hour that comes twice, and the one that is left out
                hands.advance(3600 * hours)
                assert (await ask(one)).status == (await ask(other)).status == 429
                assert view(one).spent == view(other).spent == spent
            hands.set_wall(midnight - 1)  # a step back opens nothing twice
            assert view(one).spent == view(other).spent == 3 * COST
            assert (await ask(one)).status in (200, 429)

        booked: Counter[int] = Counter()
        for end in ends(tmp_path / "ledger"):
            for charge in end.charges:
                booked[charge.window] += end.cost
    assert booked[int(midnight)] == spent
    assert 3 * COST <= booked[int(before.start)] <= 4 * COST


def key_budget(proxy: Proxy) -> Any:
    return key_of(proxy).budget


# --- a disk that is full ---


@pytest.mark.parametrize("emergency", [True, False])
async def test_a_full_disk_stops_no_request_but_what_must_be_recorded_and_cannot(
    emergency: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    upstream = Provider(whole(COMPLETION))
    strict = {"usd": 1, "strict": True}
    with disk(tmp_path / "disk", 96 << 20) as mounted:
        ledger = mounted / "ledger"
        async with scripted(upstream) as url:
            content = config(
                url,
                ledger={"path": str(ledger)},
                prices=PRICES,
                keys=[
                    {"name": "test", "key": KEY},
                    {"name": "strict", "key": "sk-strict", "budget": strict},
                ],
            )
            async with serving(content, tmp_path) as proxy:
                # The folder is made, its emergency room, and that of the key in the table of limits.
                learned(proxy)
                assert (await strictly(proxy)).status == 200
            if not emergency:
                (ledger / "emergency").unlink()
            other = await asyncio.to_thread(fill, mounted)
            async with serving(content, tmp_path) as proxy:
                answers = [await ask(proxy) for _ in range(30)]
                answer = await strictly(proxy)

                assert {one.status for one in answers} == {200}
                assert proxy.metric("headrace_spool_full") == 1
                dropped = proxy.metric("headrace_spool_records_total", state="dropped")
                if emergency:  # which is for ends: those of the other requests are recorded with it
                    assert answer.status == 200
                    assert dropped <= 1
                    assert len(ends(ledger)) == 32
                else:
                    assert answer.status == 503
                    assert "cannot record what is used" in answer.json["error"]["message"]
                    assert dropped == 61
                    assert len(ends(ledger)) == 1
                said = [line for line in caplog.messages if "no room for more" in line]
                assert len(said) == 2  # of requests, and of what was said in them

                other.unlink()
                await until(lambda: proxy.metric("headrace_spool_full") == 0)
                before = len(ends(ledger))
                assert (await ask(proxy)).status == (await strictly(proxy)).status == 200
                assert len(ends(ledger)) == before + 2


async def strictly(proxy: Proxy) -> Answer:
    """An answer for the key with the strict budget."""
    return await proxy.post("/v1/chat/completions", BODY, key="sk-strict")


# --- a server of shared limits that is frozen ---


async def test_a_frozen_server_of_limits_holds_up_no_request(
    valkey: ValkeyServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(shared, "SETTLES", 0.0)  # nobody else has anything to tell it
    caplog.set_level(logging.INFO, "headrace")
    upstream = Provider(whole(COMPLETION))
    async with scripted(upstream) as url:
        content = config(
            url,
            shared={"url": valkey.url, "timeout": 0.05},
            ledger={"path": str(tmp_path / "ledger")},
            prices=PRICES,
            keys=[
                {"name": "test", "key": KEY, "rpm": 600_000, "budget": {"usd": 5}},
                {"name": "strict", "key": "sk-strict", "budget": {"usd": 5, "strict": True}},
            ],
        )
        async with serving(content, tmp_path) as proxy:
            assert (await ask(proxy)).status == 200
            await until(lambda: proxy.metric("headrace_shared_up") == 1)
            shares = proxy.worker.state.shares
            assert shares is not None
            valkey.freeze()
            statuses = [(await ask(proxy)).status for _ in range(20)]
            while shares.circuit is not Circuit.OPEN:
                statuses.append((await ask(proxy)).status)
            timeouts = dict(shares.operations())["timeout",]
            statuses += [(await ask(proxy)).status for _ in range(20)]
            strict = await strictly(proxy)
            assert proxy.metric("headrace_shared_up") == 0
            valkey.thaw()
            await until(lambda: proxy.metric("headrace_shared_up") == 1)
            assert (await ask(proxy)).status == 200

            assert set(statuses) == {200}
            assert timeouts <= 5
            assert (strict.status, strict.json["error"]["code"]) == (503, "state_unavailable")
            away, back = (
                [line for line in caplog.messages if words in line]
                for words in ("the server is away", "answers again")
            )
            assert len(away) == len(back) == 1
    assert len(ends(tmp_path / "ledger")) == len(statuses) + 3
