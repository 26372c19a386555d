"""What a shared answer comes to, for whoever asked and for the ledger."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec.structs import replace

from proxy.core.model import Cache, Coalesce, Deployment, Model, Price, Rule, Snapshot, When
from proxy.gateway.reuse.flight import LAG, MOST
from proxy.hooks import Point, Request, Trial
from proxy.hooks.chain import Hooks
from proxy.limits.accounts import Accounts
from tests.gateway.asked import CHAT, provider, raw, snapshot
from tests.gateway.hooks.made import hook
from tests.gateway.recorded import Ledger, recording
from tests.gateway.served import (
    CHUNK,
    COMPLETION,
    FINISH,
    STREAM,
    Provider,
    chunk,
    serving,
    virtual_key,
    whole,
)
from tests.line.harness import Raw, read_request, scripted, until

BODY = b'{"model":"m","temperature":0,"messages":[{"role":"user","content":"hi"}]}'
USED = 7 * 3 + 2 * 15
KEY = "sk-test-key-0009"
AUTHORIZED = (f"Authorization: Bearer {KEY}",)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    one = Ledger(tmp_path)
    yield one
    one.close()


class Patient:
    """A provider that answers when told to."""

    def __init__(self, answer: bytes = COMPLETION) -> None:
        self.answer = answer
        self.asked = 0
        self.go = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            self.asked += 1
            await self.go.wait()
            writer.write(whole(self.answer))


def shared(url: str, **fields: Any) -> Snapshot:
    made = snapshot(provider(url), price=Price(input=3.0, output=15.0))
    models = {"m": replace(made.models["m"], **fields)}
    keys = {name: replace(key, rpm=100) for name, key in virtual_key(KEY).items()}
    return replace(made, models=models, keys=keys, require_auth=True)


@pytest.mark.parametrize(("bill", "charged"), [("leader", 1), ("all", 3)])
async def test_who_pays_for_one_answer_that_three_are_given(
    ledger: Ledger, bill: str, charged: int
) -> None:
    patient = Patient()
    async with scripted(patient) as url:
        content = shared(url, coalesce=Coalesce("all", bill=bill))
        async with recording(content, ledger) as served:
            served.state.accounts = Accounts.memory()
            asked = [
                asyncio.ensure_future(served.ask(raw("POST", CHAT, BODY, *AUTHORIZED)))
                for _ in range(3)
            ]
            await until(lambda: any(len(f.passengers) == 3 for f in served.state.flights.values()))
            patient.go.set()
            answers = await asyncio.gather(*asked)
            await until(lambda: len(ledger.ends) == 3)

    assert patient.asked == 1
    assert {answer.body for answer in answers} == {COMPLETION}
    ends = ledger.ends
    assert sum(end.cost for end in ends) == USED * charged
    assert sum(end.cost_upstream for end in ends) == USED
    assert sorted(end.cause for end in ends) == ["", "coalesced", "coalesced"]
    assert {(end.status, end.outcome) for end in ends} == {(200, "ok")}
    assert len({end.rid for end in ends}) == 3


async def test_an_answer_that_is_kept_costs_nothing_and_is_a_request(ledger: Ledger) -> None:
    patient = Patient()
    patient.go.set()
    async with (
        scripted(patient) as url,
        recording(shared(url, cache=Cache(60.0)), ledger) as served,
    ):
        served.state.accounts = Accounts.memory()
        answers = [await served.ask(raw("POST", CHAT, BODY, *AUTHORIZED)) for _ in range(3)]
        await until(lambda: len(ledger.ends) == 3)

    assert patient.asked == 1
    remaining = [int(answer.headers["x-ratelimit-remaining-requests"]) for answer in answers]
    assert remaining == sorted(remaining, reverse=True)
    assert len(set(remaining)) == 3
    assert [(end.cost, end.cause) for end in ledger.ends] == [
        (USED, ""),
        (0, "cache"),
        (0, "cache"),
    ]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        (
            {"rules": (Rule("n", When(metadata={"tier": ("gold",)})),)},
            'X-Headrace-Metadata: {"tier":"gold"}',
        ),
        ({"preferences": True}, "X-Headrace-Only: b"),
    ],
    ids=["a rule", "a preference"],
)
@pytest.mark.parametrize(
    "how", [{"cache": Cache(60.0)}, {"coalesce": Coalesce("all")}], ids=["cache", "coalesce"]
)
async def test_what_is_for_somebody_else_is_not_the_same(
    how: dict[str, Any], changes: dict[str, Any], field: str
) -> None:
    a, b = Patient(COMPLETION), Patient(COMPLETION.replace(b"hello", b"other"))
    async with scripted(a) as first, scripted(b) as second:
        one, other = provider(first, "a"), provider(second, "b")
        of_b = Deployment("m/b", other, "up")
        made = snapshot(one)
        m = made.models["m"]
        both = (*m.tiers, (of_b,)) if "preferences" in changes else m.tiers
        models = {"m": replace(m, tiers=both, **changes, **how), "n": Model("n", ((of_b,),), **how)}
        async with serving(replace(made, models=models)) as served:
            asked = [asyncio.ensure_future(served.ask(raw("POST", CHAT, BODY, field)))]
            await until(lambda: b.asked == 1)
            if "cache" in how:
                b.go.set()
                await asked[0]
            asked.append(asyncio.ensure_future(served.ask(raw("POST", CHAT, BODY))))
            await until(lambda: a.asked == 1)
            a.go.set()
            b.go.set()
            answers = await asyncio.gather(*asked)

    assert [answer.body for answer in answers] == [b.answer, a.answer]


async def test_where_the_time_went_is_told_of_ones_own_request(ledger: Ledger) -> None:
    patient = Patient()
    how = {"cache": Cache(60.0), "coalesce": Coalesce("all")}
    timed = (*AUTHORIZED, "X-Headrace-Timing: 1")
    async with (
        scripted(patient) as url,
        recording(shared(url, **how), ledger) as served,
    ):
        served.state.accounts = Accounts.memory()
        asked = [asyncio.ensure_future(served.ask(raw("POST", CHAT, BODY, *timed)))]
        await until(lambda: patient.asked == 1)
        asked.append(asyncio.ensure_future(served.ask(raw("POST", CHAT, BODY, *AUTHORIZED))))
        await until(lambda: any(len(f.passengers) == 2 for f in served.state.flights.values()))
        patient.go.set()
        first, joined = await asyncio.gather(*asked)
        hit, asking = [
            await served.ask(raw("POST", CHAT, BODY, *fields)) for fields in (AUTHORIZED, timed)
        ]

    for answer in (first, asking):
        assert {"server-timing", "x-headrace-overhead-ms"} <= answer.headers.keys()
    for answer in (joined, hit):
        assert {"server-timing", "x-headrace-overhead-ms"}.isdisjoint(answer.headers)
    assert not first.headers["server-timing"].startswith("upstream;dur=0.000,")
    assert asking.headers["server-timing"].startswith("upstream;dur=0.000,")


async def test_whoever_has_a_deadline_shares_with_nobody(ledger: Ledger) -> None:
    patient = Patient()
    async with (
        scripted(patient) as url,
        recording(shared(url, coalesce=Coalesce("all")), ledger) as served,
    ):
        served.state.accounts = Accounts.memory()
        hurried = (*AUTHORIZED, "X-Request-Deadline-Ms: 60000")
        asked = [
            asyncio.ensure_future(served.ask(raw("POST", CHAT, BODY, *fields)))
            for fields in (hurried, AUTHORIZED, hurried)
        ]
        await until(lambda: patient.asked == 3)
        patient.go.set()
        answers = await asyncio.gather(*asked)

    assert {answer.body for answer in answers} == {COMPLETION}


async def test_who_asks_again_when_the_last_one_has_left_is_answered(ledger: Ledger) -> None:
    """A hook that tidies up keeps the flight of a client that is gone from ending at once: nobody boards it any more."""
    patient, began, tidied, left = Patient(), asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def tidy(request: Request, trial: Trial) -> None:
        if began.is_set():
            return
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            left.set()
            await tidied.wait()

    hooks = Hooks([hook(Point.BEFORE_ATTEMPT, tidy, timeout=60.0)])
    async with scripted(patient) as url:
        content = replace(shared(url, coalesce=Coalesce("all")), hooks=hooks)
        async with recording(content, ledger) as served:
            served.state.accounts = Accounts.memory()
            first = await served.client()
            first.send(raw("POST", CHAT, BODY, *AUTHORIZED))
            await began.wait()
            first.reset()
            await left.wait()
            again = asyncio.ensure_future(served.ask(raw("POST", CHAT, BODY, *AUTHORIZED)))
            await until(lambda: patient.asked == 1)
            tidied.set()
            await until(lambda: len(ledger.ends) == 1)
            assert served.state.flights, "the end of the first takes nobody else's along"
            patient.go.set()
            answer = await again
            await until(lambda: len(ledger.ends) == 2)

    assert answer.body == COMPLETION
    assert [end.outcome for end in ledger.ends] == ["client_gone", "ok"]
    assert not served.state.flights


async def test_a_large_answer_is_no_lag_of_who_has_it_in_one_piece(ledger: Ledger) -> None:
    body = COMPLETION.replace(b"hello", b"x" * 3 * LAG)
    async with (
        scripted(Provider(whole(body))) as url,
        recording(shared(url, coalesce=Coalesce("all")), ledger) as served,
    ):
        served.state.accounts = Accounts.memory()
        answer = await served.ask(raw("POST", CHAT, BODY, *AUTHORIZED))

    assert answer.complete
    assert answer.body == body


async def test_what_who_boards_late_has_missed_is_no_lag_either(ledger: Ledger) -> None:
    """Its socket takes little, and it reads nothing before the answer is over."""
    event = CHUNK.replace(b"hello", b"x" * (32 << 10))
    asked = BODY[:-1] + b',"stream":true}'
    go = asyncio.Event()

    async def streams(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(STREAM + chunk(event) * (MOST // len(event) - 4) + chunk(CHUNK))
        await go.wait()
        writer.write(chunk(FINISH) + b"0\r\n\r\n")

    async with (
        scripted(streams) as url,
        recording(shared(url, coalesce=Coalesce("all")), ledger) as served,
    ):
        served.state.accounts = Accounts.memory()
        first = await served.client()
        first.send(raw("POST", CHAT, asked, *AUTHORIZED))
        await first.reader.readuntil(CHUNK)
        (flight,) = served.state.flights.values()
        late = await narrow(served.port)
        served.clients.append(late)
        late.send(raw("POST", CHAT, asked, *AUTHORIZED))
        await until(lambda: len(flight.passengers) == 2)
        go.set()
        await first.reader.readuntil(b"[DONE]")
        cast("asyncio.Transport", late.writer.transport).resume_reading()
        answer = await late.answer()

    assert answer.complete
    assert answer.body.count(event) == MOST // len(event) - 4
    assert answer.body.endswith(b"data: [DONE]\n\n")


async def narrow(port: int) -> Raw:
    """A client whose socket takes 16 KiB at once, and that reads when it is told to."""
    end = socket.socket()
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 10)
    end.connect(("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=end, limit=1 << 26)
    cast("asyncio.Transport", writer.transport).pause_reading()
    return Raw(reader, writer)
