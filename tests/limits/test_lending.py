"""What is said to a real server about a subject, and what its answers are worth."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from math import inf

import pytest

# Imported here: it takes longer than the loop may be blocked.
import redis.asyncio  # noqa: F401

from proxy.core.model import Budget, Limits
from proxy.limits.accounts import Accounts, Ask, Share, Used
from proxy.limits.lending import Outcome, Terms, Want, hear, slice_of, speak, still_owed
from proxy.limits.link import Link
from proxy.limits.subjects import Subject
from tests.limits.host import of
from tests.servers.valkey import ValkeyServer

TERMS = Terms("t", "a", settled=True, lost=False)
ALL = of(Limits(rpm=600, tpm=60_000, concurrency=100, budget=Budget(1.0, "total", strict=True)))


@pytest.fixture
async def link(valkey: ValkeyServer) -> AsyncIterator[Link]:
    link = Link(valkey.url, 1.0)
    await link.connect()
    yield link
    await link.close()


class Speaker:
    def __init__(self, link: Link) -> None:
        self.link = link
        self.accounts = Accounts.memory()
        self.accounts.use_shares(True)

    async def speak(
        self, who: Subject, terms: Terms = TERMS, fill: bool = True, **wants: int
    ) -> Outcome:
        lease = self.accounts.lease(who, 0.2)
        assert lease is not None
        wanted = {what: Want(amount, amount) for what, amount in wants.items()}
        words = speak(self.link, terms, who, lease, wanted, Share(), fill)  # type: ignore[arg-type]
        outcome = await hear(words)
        self.accounts.leased(who, lease.number, outcome.grants)
        return outcome


@pytest.fixture
def speaker(link: Link) -> Speaker:
    return Speaker(link)


async def test_whatever_was_short_all_kinds_are_leased_in_one_word(speaker: Speaker) -> None:
    outcome = await speaker.speak(ALL, concurrency=1, budget=1_000)

    assert outcome == Outcome(outcome.grants, {}, [])
    assert speaker.accounts.share(ALL) == Share(30, 3_000, 5, 50_000)


async def test_what_is_idle_is_not_leased_ahead(speaker: Speaker) -> None:
    await speaker.speak(ALL, fill=False, rpm=1)

    assert speaker.accounts.share(ALL) == Share(requests=30)


async def test_many_that_wait_get_as_much(speaker: Speaker) -> None:
    await speaker.speak(ALL, fill=False, rpm=45, concurrency=20)

    share = speaker.accounts.share(ALL)
    assert (share.requests, share.slots) == (45, 20)


async def test_refusals_say_for_how_long(speaker: Speaker, link: Link) -> None:
    assert (await speaker.speak(ALL, fill=False, concurrency=101)).refused == {"concurrency": 0.0}
    assert (await speaker.speak(ALL, fill=False, budget=1_000_001)).refused == {"budget": inf}
    await speaker.speak(ALL, fill=False, rpm=60)
    late = Speaker(link)
    refused = (await late.speak(ALL, fill=False, rpm=60)).refused["rpm"]
    assert 0 < refused <= 6


async def test_a_strict_budget_waits_until_the_server_is_told_and_another_does_not(
    speaker: Speaker,
) -> None:
    young = Terms("t", "a", settled=False, lost=False)
    strict, soft = ALL, of(Limits(budget=Budget(1.0, "total")), "soft")

    assert (await speaker.speak(strict, young, False, budget=1)).refused == {"budget": 1.0}
    assert (await speaker.speak(soft, young, False, budget=1)).refused == {}


async def test_a_rate_the_server_has_lost_begins_with_a_slice(speaker: Speaker) -> None:
    lost = Terms("t", "a", settled=True, lost=True)

    assert "rpm" in (await speaker.speak(ALL, lost, False, rpm=31)).refused


async def test_what_is_owed_is_told_and_owed_again_where_it_was_not(
    speaker: Speaker, valkey: ValkeyServer
) -> None:
    one = of(Limits(tpm=6_000))
    await speaker.speak(one, tpm=100)
    speaker.accounts.settle(speaker.accounts.admit([one], Ask(tokens=100)), Used(1_000))
    await asyncio.to_thread(valkey.kill)

    outcome = await speaker.speak(one, tpm=1)
    assert len(outcome.failed) == 1
    assert speaker.accounts.share(one).tokens < -500

    await asyncio.to_thread(valkey.start)
    await speaker.link.connect()
    outcome = await speaker.speak(one, tpm=1)
    assert outcome.failed == []
    assert speaker.accounts.share(one).tokens > 0


async def test_a_host_whose_clock_was_set_back_catches_up(speaker: Speaker, link: Link) -> None:
    ahead = Speaker(link)
    lease = ahead.accounts.lease(ALL, 0.2)
    assert lease is not None
    ahead.accounts.overtaken(ALL, lease.number + 10**12)
    await ahead.speak(ALL, concurrency=5)

    outcome = await speaker.speak(ALL, concurrency=5)
    assert outcome.overtaken > lease.number
    speaker.accounts.overtaken(ALL, outcome.overtaken)

    assert (await speaker.speak(ALL, concurrency=5)).overtaken == 0
    assert speaker.accounts.share(ALL).slots == 5


def test_a_slice_is_a_twentieth_and_never_nothing() -> None:
    assert [slice_of(limit) for limit in (1, 20, 21, 600)] == [1, 1, 2, 30]


def test_where_nothing_is_said_what_is_owed_stays_owed() -> None:
    accounts = Accounts.memory()
    one = of(Limits(rpm=60))
    accounts.go_blind(1.0)
    accounts.admit([one], Ask())
    accounts.use_shares(True)
    lease = accounts.lease(one, 0.2)
    assert lease is not None

    accounts.leased(one, lease.number, still_owed(lease))

    assert accounts.share(one).requests == -1
