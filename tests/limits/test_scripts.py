"""What the scripts promise, asked of a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from random import Random

import pytest

# Imported here: it takes longer than the loop may be blocked.
from redis.crc import key_slot

from proxy.limits.link import Link
from proxy.limits.scripts import BEAT, HOLD, RATE, key
from tests.servers.valkey import ValkeyServer


@pytest.fixture
async def link(valkey: ValkeyServer) -> AsyncIterator[Link]:
    link = Link(valkey.url, 1.0)
    await link.connect()
    yield link
    await link.close()


class Host:
    """One that speaks of `t:held`, as it may be asked to."""

    def __init__(self, link: Link, name: str, limit: int, *, lasts: int = 0) -> None:
        self.link = link
        self.name = name
        self.limit = limit
        self.lasts = lasts
        self.holds = 0
        self.number = 0

    async def say(
        self, wanted: int = 0, *, slice: int = 0, elsewhere: int = 0, own: int = 0, give: int = 1
    ) -> int:
        self.number += 1
        given, self.refused = await self.link.call(
            HOLD, "t:held", self.name, self.number, self.limit, self.holds, wanted, slice, 1,
            self.lasts, elsewhere, own, give, 0,
        )  # fmt: skip
        self.holds += max(0, given)
        return given


# rates


async def test_a_rate_gives_its_burst_and_then_says_when(link: Link) -> None:
    # One in ten seconds: the clock gives none while this runs.
    given = [await link.call(RATE, "t:rate", 6, 5, 1, 0, 0, -1) for _ in range(7)]

    assert [answer[0] for answer in given] == [1, 1, 1, 1, 1, 0, 0]
    assert 0 < given[5][1] <= 10_000_000
    assert 0 < given[6][1] <= given[5][1]


async def test_a_slice_is_given_where_there_is_as_much_and_else_what_there_is(link: Link) -> None:
    assert await link.call(RATE, "t:rate", 6, 10, 1, 4, 0, -1) == [4, 0]
    assert await link.call(RATE, "t:rate", 6, 10, 1, 4, 0, -1) == [4, 0]
    assert await link.call(RATE, "t:rate", 6, 10, 1, 4, 0, -1) == [2, 0]
    # More than a slice may be wanted, but not more than there is.
    given, wait = await link.call(RATE, "t:rate", 6, 10, 3, 4, 0, -1)
    assert (given, 20_000_000 < wait <= 30_000_000) == (0, True)


async def test_what_is_given_back_can_be_had_again_and_what_was_overdrawn_can_not(
    link: Link,
) -> None:
    assert await link.call(RATE, "t:rate", 6, 10, 10, 0, 0, -1) == [10, 0]
    assert await link.call(RATE, "t:rate", 6, 10, 3, 0, 3, -1) == [3, 0]
    assert (await link.call(RATE, "t:rate", 6, 10, 1, 0, 0, -1))[0] == 0
    # Overdrawn by two: those come first.
    _, wait = await link.call(RATE, "t:rate", 6, 10, 1, 0, -2, -1)
    assert 20_000_000 < wait <= 30_000_000


async def test_giving_back_too_much_gains_nothing(link: Link) -> None:
    await link.call(RATE, "t:rate", 6, 10, 0, 0, 1_000, -1)

    assert (await link.call(RATE, "t:rate", 6, 10, 10, 0, 0, -1))[0] == 10
    assert (await link.call(RATE, "t:rate", 6, 10, 1, 0, 0, -1))[0] == 0


async def test_what_is_more_than_the_burst_is_given_when_nothing_else_was(link: Link) -> None:
    assert (await link.call(RATE, "t:rate", 6, 10, 25, 0, 0, -1))[0] == 25
    # All of it has to be there again.
    _, wait = await link.call(RATE, "t:rate", 6, 10, 25, 0, 0, -1)
    assert 240_000_000 < wait <= 250_000_000


async def test_a_rate_nobody_knows_of_can_be_taken_to_be_used(link: Link) -> None:
    assert (await link.call(RATE, "t:rate", 6, 10, 4, 0, 0, 3))[0] == 0
    assert (await link.call(RATE, "t:rate", 6, 10, 3, 0, 0, 10))[0] == 3


async def test_a_rate_nobody_used_leaves_nothing_behind(link: Link, valkey: ValkeyServer) -> None:
    # Half a second until it is whole again.
    await link.call(RATE, "t:rate", 600, 10, 5, 0, 0, -1)
    assert valkey.command("EXISTS", "t:rate") == b":1"
    async with asyncio.timeout(5):
        while valkey.command("EXISTS", "t:rate") != b":0":
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("limit", [7, 7_000, 1_000_003, 2_000_000_000])
async def test_no_rate_gives_more_than_its_burst_and_the_time_that_went_by(
    link: Link, valkey: ValkeyServer, limit: int
) -> None:
    random = Random(limit)
    burst = max(1, limit // 10)
    began = server_time(valkey)
    given = 0
    for _ in range(300):
        wanted = random.randint(1, max(1, burst // 4))
        back = random.randint(0, given) if random.random() < 0.1 else 0
        got, _ = await link.call(RATE, "t:rate", limit, burst, wanted, burst // 3, back, -1)
        given += got - back
        assert got == 0 or got >= wanted
    took = server_time(valkey) - began
    assert burst * 0.9 <= given <= burst + limit * took / 60 + 1


def server_time(valkey: ValkeyServer) -> float:
    return float(valkey.info("server_time_usec")) / 1e6


# what is held


async def test_all_hosts_together_never_get_more_than_there_is(link: Link) -> None:
    random = Random(5)
    hosts = [Host(link, name, 1_000) for name in "abc"]
    for _ in range(400):
        host = random.choice(hosts)
        if random.random() < 0.3:
            host.holds = random.randint(0, host.holds)
        wanted = random.randint(1, 60)
        free = 1_000 - sum(each.holds for each in hosts)
        given = await host.say(wanted, slice=5)
        assert given == (0 if wanted > free else min(max(wanted, -(-free // 20), 5), free))
        assert sum(each.holds for each in hosts) <= 1_000


async def test_a_lost_answer_is_mended_by_the_next_word(link: Link) -> None:
    host, other = Host(link, "a", 100), Host(link, "b", 100)
    assert await host.say(60) == 60
    host.holds = 0

    assert await other.say(60) == 0
    assert await host.say() == 0
    assert await other.say(60) == 60


async def test_a_word_that_was_overtaken_is_not_heard(link: Link) -> None:
    host, other = Host(link, "a", 100), Host(link, "b", 100)
    assert await host.say(10) == 10
    host.number -= 1
    assert await host.say(50) == -1

    assert await other.say(91) == 0
    assert await other.say(90) == 90


async def test_whoever_was_refused_is_heard_of_by_the_others(link: Link) -> None:
    host, other = Host(link, "a", 100), Host(link, "b", 100)
    await host.say(60)
    assert host.refused == 0
    assert await other.say(60) == 0

    await host.say()

    assert host.refused == 1


async def test_what_a_silent_host_held_is_free_after_its_time(link: Link) -> None:
    dead, living = Host(link, "a", 10, lasts=1), Host(link, "b", 10, lasts=1)
    assert await dead.say(10) == 10
    assert await living.say(1) == 0
    async with asyncio.timeout(5):
        while await living.say(10) != 10:
            await asyncio.sleep(0.02)
    # It was only thought dead: what it says it holds is true, also where that is too much.
    assert await dead.say() == 0
    living.holds = 0
    assert await living.say(1) == 0


async def test_a_server_that_lost_its_memory_has_it_back_from_what_hosts_say(
    link: Link, valkey: ValkeyServer
) -> None:
    host, other = Host(link, "a", 100), Host(link, "b", 100)
    await host.say(60)
    await other.say(30)
    valkey.command("FLUSHALL")

    # As long as not all had their say, nothing is given.
    assert await other.say(50, give=0) == 0
    assert await host.say(give=0) == 0

    assert await other.say(50) == 0
    assert await other.say(10) == 10


async def test_what_was_spent_by_hosts_that_are_gone_is_not_given_again(link: Link) -> None:
    # The database knows: `a` spent 10, `b` 20, and another, which is no more, 30.
    host, other = Host(link, "a", 100), Host(link, "b", 100)
    host.holds, other.holds = 10, 20

    assert await host.say(41, elsewhere=50, own=10) == 0
    assert await host.say(40, elsewhere=50, own=10) == 40

    # Now that `b` speaks for itself, what it spent does not count twice.
    assert await other.say(1, elsewhere=40, own=20) == 0
    host.holds = 10
    await host.say(elsewhere=50, own=10)
    assert await other.say(41, elsewhere=40, own=20) == 0
    assert await other.say(40, elsewhere=40, own=20) == 40


async def test_what_a_host_does_not_know_of_itself_is_as_it_was(link: Link) -> None:
    host, other = Host(link, "a", 100), Host(link, "b", 100)
    await host.say(60)

    assert await link.call(HOLD, "t:held", "a", 2, 100, "", 10, 0, 1, 0, 0, 0, 1, 0) == [10, 0]

    assert await other.say(31) == 0
    assert await other.say(30) == 30


async def test_what_all_hosts_had_spent_can_be_forgiven_by_one(link: Link) -> None:
    host, other = Host(link, "a", 100), Host(link, "b", 100)
    await host.say(10)
    await other.say(90)

    host.holds = -90
    await host.say()

    assert await other.say(100) == 100
    assert await other.say(1) == 0


# hosts


async def test_hosts_are_counted_as_long_as_they_are_heard(link: Link) -> None:
    assert await link.call(BEAT, "t:hosts", "a", 1) == [1]
    assert await link.call(BEAT, "t:hosts", "a", 1) == [1]
    assert await link.call(BEAT, "t:hosts", "b", 1) == [2]
    async with asyncio.timeout(5):
        while await link.call(BEAT, "t:hosts", "b", 1) != [1]:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("subject", ["key:1", "deployment:gpt/0:up{x}y", "model:a}b", "team:{}"])
def test_keys_of_a_subject_are_in_one_slot_of_a_cluster(subject: str) -> None:
    kinds = ("rpm", "tpm", "slots", "budget:1")

    assert len({key_slot(key("headrace", subject, kind).encode()) for kind in kinds}) == 1
    assert key_slot(key("headrace", "key:1", "rpm").encode()) == key_slot(b"key:1")
