"""Names are asked in threads of their own, once each, and failures are remembered for a moment."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from proxy.core.clock import Hands
from proxy.upstream import names
from proxy.upstream.names import NEGATIVE, THREADS, Address, Names, system
from tests.line.harness import until
from tests.upstream.threadless import threadless

FOUND = [(socket.AF_INET, "192.0.2.1")]


class Server:
    """A resolver that can be told what to say, and to hang."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.most = 0
        self.failing: set[str] = set()
        self.open = threading.Event()
        self._lock = threading.Lock()
        self._inside = 0

    def __call__(self, name: str) -> Sequence[Address]:
        with self._lock:
            self.asked[name] += 1
            self._inside += 1
            self.most = max(self.most, self._inside)
        if name.startswith("slow"):
            self.open.wait(10)
        with self._lock:
            self._inside -= 1
        if name in self.failing:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return FOUND


@contextmanager
def asking() -> Iterator[tuple[Names, Server]]:
    server = Server()
    try:
        yield Names(server), server
    finally:
        server.open.set()


async def test_a_name_is_asked_once_for_all_who_wait() -> None:
    with asking() as (asked, server):
        waiting = [asyncio.ensure_future(asked.look_up("slow.example")) for _ in range(20)]
        await until(lambda: server.asked["slow.example"] == 1)
        server.open.set()

        assert await asyncio.gather(*waiting) == [FOUND] * 20
        assert server.asked["slow.example"] == 1
        await asked.look_up("slow.example")
        assert server.asked["slow.example"] == 2, "what is found is kept by who asked"


async def test_a_name_that_does_not_resolve_is_not_asked_again_for_a_while(hands: Hands) -> None:
    with asking() as (asked, server):
        server.failing.add("gone.example")
        for _ in range(3):
            with pytest.raises(socket.gaierror, match="not known"):
                await asked.look_up("gone.example")
        assert server.asked["gone.example"] == 1

        hands.advance(NEGATIVE - 0.01)
        with pytest.raises(socket.gaierror):
            await asked.look_up("gone.example")
        assert server.asked["gone.example"] == 1

        hands.advance(0.02)
        server.failing.clear()
        assert await asked.look_up("gone.example") == FOUND


async def test_what_failed_is_asked_again_when_it_is_to_be_forgotten() -> None:
    with asking() as (asked, server):
        server.failing.add("gone.example")
        with pytest.raises(socket.gaierror):
            await asked.look_up("gone.example")
        server.failing.clear()
        asked.forget()

        assert await asked.look_up("gone.example") == FOUND


async def test_a_resolver_that_hangs_costs_the_first_a_moment_and_the_others_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(names, "PATIENCE", 0.05)
    with asking() as (asked, server):
        with pytest.raises(TimeoutError):
            await asked.look_up("slow.example")
        monkeypatch.setattr(names, "PATIENCE", 60.0)
        with pytest.raises(TimeoutError):
            await asked.look_up("slow.example")  # at once, or this test does not end
        assert await asked.look_up("quick.example") == FOUND

        assert server.asked["slow.example"] == 1
        server.open.set()
        await until(lambda: not asked._failed)
        assert await asked.look_up("slow.example") == FOUND


async def test_no_more_threads_than_there_may_be_and_none_of_the_loops_own() -> None:
    with asking() as (asked, server):
        many = [f"slow{number}.example" for number in range(THREADS + 4)]
        waiting = [asyncio.ensure_future(asked.look_up(name)) for name in many]
        await until(lambda: server.asked.total() == THREADS)

        # The loop's threads have nothing to do with it, however many names hang.
        async with asyncio.timeout(5):
            await asyncio.to_thread(lambda: None)
        assert server.asked.total() == server.most == THREADS

        server.open.set()
        assert await asyncio.gather(*waiting) == [FOUND] * len(many)
        assert server.most == THREADS


async def test_a_machine_without_threads_fails_what_is_asked_then_and_nothing_later(
    hands: Hands,
) -> None:
    with asking() as (asked, server):
        many = [f"name{number}.example" for number in range(THREADS + 4)]
        with threadless():
            waiting = asyncio.gather(*map(asked.look_up, many), return_exceptions=True)
            async with asyncio.timeout(1):  # nobody waits until PATIENCE is over
                failed = await waiting

        assert {type(error) for error in failed} == {OSError}
        assert {getattr(error, "errno", 0) for error in failed} == {errno.ENOMEM}
        assert not server.asked
        hands.advance(NEGATIVE)
        assert await asyncio.gather(*map(asked.look_up, many)) == [FOUND] * len(many)


async def test_who_leaves_takes_nobody_along() -> None:
    with asking() as (asked, server):
        first, second = (asyncio.ensure_future(asked.look_up("slow.example")) for _ in range(2))
        await until(lambda: server.asked["slow.example"] == 1)
        first.cancel()
        await asyncio.wait([first])
        server.open.set()

        assert await second == FOUND


async def test_what_is_no_name_is_an_error_of_the_system() -> None:
    with pytest.raises(OSError, match="not the name of a host"):
        await Names(lambda name: [(socket.AF_INET, name.encode("idna").decode())]).look_up("a" * 70)


def test_a_loop_that_is_gone_is_not_told() -> None:
    """The process leaves in the middle of a question."""
    with asking() as (asked, server):
        loop = asyncio.new_event_loop()
        loop.close()
        asked._ask(loop, "quick.example")

        assert server.asked == {"quick.example": 1}


def test_the_system_knows_this_machine() -> None:
    found = system("localhost")

    assert {address for _, address in found} <= {"127.0.0.1", "::1"}
    assert found


def test_an_address_keeps_its_zone() -> None:
    try:
        found = system("fe80::1%lo")
    except OSError:
        pytest.skip("this machine has no IPv6")

    assert found == [(socket.AF_INET6, "fe80::1%lo")]
