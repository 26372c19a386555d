"""One exchange, many clients."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from proxy.gateway.connection import CONTINUE
from proxy.gateway.exchange import Exchange
from proxy.gateway.reuse.flight import LAG, MOST, Flight, Passenger
from tests.gateway.asked import CHAT, exchange, raw
from tests.gateway.rig import Client, Wire

NOBODY: Any = None


class Flow:
    """What feeds a client: remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def pause(self) -> None:
        self.asked.append("pause")

    def resume(self) -> None:
        self.asked.append("resume")

    def gone(self) -> None:
        self.asked.append("gone")

    def restart(self) -> None:
        self.asked.append("restart")

    def probe(self) -> bytes:
        return b": probe"


def one(limits: bytes = b"") -> Exchange:
    made = exchange(raw("POST", CHAT, b'{"model":"m"}'))
    made.limits = limits
    made.transport = Wire()
    return made


def flight(limits: bytes = b"") -> tuple[Flight, Exchange]:
    """One in the air, and the exchange that flies."""
    leader = one(limits)
    made = Flight(leader, NOBODY)
    passenger = Passenger(made, leader, cast("Any", Client()), leads=True)
    leader.transport = cast("Any", made)
    made.board(passenger)
    return made, leader


def passenger(made: Flight, limits: bytes = b"") -> Passenger:
    found = Passenger(made, one(limits), cast("Any", Client()), leads=False)
    made.board(found)
    return found


def seen(one: Passenger) -> bytes:
    return cast("Wire", one.transport).written


def begin(made: Flight, leader: Exchange) -> None:
    made.write(leader.head(200, [(b"x-a", b"b")], None) + leader.frame(b"first"))


async def test_everybody_has_all_of_it_under_a_head_of_its_own() -> None:
    made, leader = flight(b"x-ratelimit-limit-requests: 5\r\n")
    early = passenger(made, b"x-ratelimit-limit-requests: 7\r\n")
    begin(made, leader)
    late = passenger(made)
    made.write(leader.frame(b"second"))

    bodies = set()
    for each in (*made.passengers,):
        head, _, body = seen(each).partition(b"\r\n\r\n")
        bodies.add(body)
        lines = head.split(b"\r\n")
        assert lines[0] == b"HTTP/1.1 200 OK"
        assert lines.count(b"x-request-id: " + each.exchange.id.encode()) == 1
        assert lines.count(b"transfer-encoding: chunked") == 1
        assert lines.count(b"x-a: b") == 1
        assert len([line for line in lines if line.startswith((b"date:", b"x-request-id:"))]) == 2
    assert bodies == {b"5\r\nfirst\r\n6\r\nsecond\r\n"}
    assert b"limit-requests: 7" in seen(early)
    assert b"limit-requests: 5" not in seen(early)
    assert b"x-ratelimit" not in seen(late)
    assert late.exchange.bytes_out == len(b"5\r\nfirst\r\n6\r\nsecond\r\n")


async def test_an_interim_answer_is_no_beginning() -> None:
    made, leader = flight()
    made.write(CONTINUE)
    begin(made, leader)

    assert seen(made.passengers[0]).startswith(b"HTTP/1.1 200")


async def test_the_provider_is_held_back_while_all_are_slow() -> None:
    made, _ = flight()
    flow = made.flow = Flow()
    other = passenger(made)
    made.passengers[0].pause()
    assert flow.asked == []
    other.pause()
    assert flow.asked == ["pause"]
    third = passenger(made)
    assert flow.asked == ["pause", "resume"]
    made.leave(third)
    assert flow.asked == ["pause", "resume", "pause"]
    other.resume()
    other.resume()
    assert flow.asked == ["pause", "resume", "pause", "resume"]


async def test_who_falls_too_far_behind_is_dropped() -> None:
    made, leader = flight()
    begin(made, leader)
    slow, quick = passenger(made), passenger(made)
    slow.pause()
    made.write(leader.frame(bytes(LAG)))
    assert not cast("Wire", slow.transport).aborted
    made.write(leader.frame(b"more"))

    assert cast("Wire", slow.transport).aborted
    assert not slow.exchange.keep_alive
    assert not cast("Wire", quick.transport).aborted


async def test_a_broken_end_is_broken_for_all() -> None:
    made, leader = flight()
    begin(made, leader)
    other = passenger(made)
    leader.abandon()

    assert cast("Wire", other.transport).closed
    assert not other.exchange.keep_alive
    assert not made.open
    assert made.reply(None, "m") is None


async def test_what_is_too_long_is_neither_joined_nor_kept() -> None:
    made, leader = flight()
    begin(made, leader)
    before = made.open
    made.write(bytes(MOST))

    assert (before, made.open) == (True, False)
    assert made.reply(None, "m") is None


async def test_only_a_good_answer_is_kept() -> None:
    made, leader = flight()
    made.write(leader.head(429, [], 2) + b"{}")

    assert made.reply(None, "m") is None


async def test_the_last_one_who_leaves_ends_it() -> None:
    made, _ = flight()
    flow = made.flow = Flow()
    made.task = asyncio.get_running_loop().create_task(asyncio.sleep(60))
    first, other = made.passengers[0], passenger(made)
    made.leave(first)
    made.leave(first)
    assert not made.task.cancelling()
    before = made.open
    made.leave(other)
    assert (before, made.open) == (True, False)

    with pytest.raises(asyncio.CancelledError):
        await made.task
    assert flow.asked == ["gone"]


async def test_to_whom_is_gone_nothing_is_written() -> None:
    """A closed transport takes no bytes and says so by an exception, which would end the answer of all others."""
    made, leader = flight()
    other = passenger(made)
    begin(made, leader)
    first = made.passengers[0]
    before = seen(first)

    first.gone()
    made.write(leader.frame(b"second"))
    made.leave(first)  # as its handler does later

    assert seen(first) == before
    assert b"second" in seen(other)
    assert made.passengers == [other]


async def test_after_it_has_landed_nothing_is_cancelled() -> None:
    made, _ = flight()
    made.task = asyncio.get_running_loop().create_task(asyncio.sleep(0))
    made.land()
    made.land()
    made.leave(made.passengers[0])
    await made.task

    assert not made.task.cancelled()


async def test_a_client_that_may_be_gone_is_asked_as_the_answer_needs_it() -> None:
    made, leader = flight()
    first = made.passengers[0]
    assert first.probe() == CONTINUE
    begin(made, leader)
    assert first.probe() == b""
    made.flow = Flow()
    assert first.probe() == b": probe"


async def test_a_restart_is_told_to_who_can_tell_it() -> None:
    made, _ = flight()
    made.task = asyncio.get_running_loop().create_task(asyncio.sleep(60))
    flow = made.flow = Flow()
    made.passengers[0].restart()
    assert flow.asked == ["restart"]
    made.flow = None
    made.passengers[0].restart()
    with pytest.raises(asyncio.CancelledError):
        await made.task
