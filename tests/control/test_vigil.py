"""What a worker does about health while nobody asks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from random import Random

import pytest

from proxy.control import vigil
from proxy.control.probing import Prober
from proxy.core.model import Deployment, Model, Provider, Snapshot
from proxy.limits.board import Board
from proxy.state.health import NO_PROBE, OPEN
from proxy.state.live import Live
from proxy.state.sharing import Sharing
from proxy.state.state import State
from proxy.upstream.pool import UpstreamPool
from tests.gateway.asked import state
from tests.line.harness import until

PROVIDER = Provider("p", "http://p.invalid", {})
TIER = tuple(Deployment(f"m/{at}:p", PROVIDER, f"up{at}") for at in range(2))
SERVED = Snapshot(models={"m": Model("m", (TIER,))})


class Counting(Prober):
    """It counts how often it is to look."""

    ticks = 0

    def tick(self, now: float) -> None:
        self.ticks += 1


def counting(one: State) -> Counting:
    return Counting(one, UpstreamPool())


@pytest.fixture
def board() -> Iterator[Board]:
    one = Board.make()
    yield one
    one.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vigil, "TICK", 0.002)
    monkeypatch.setattr(vigil, "LOOK", 0.001)


async def ended(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_one_worker_alone_compares_and_checks() -> None:
    live = Live(SERVED)
    prober = counting(state(SERVED))
    quick, slow = live.deployments.values()
    for at in range(6):
        quick.latency.observe(float(at), 0.1)
        slow.latency.observe(float(at), 9.0)
    quick.latency.value = 0.1

    watch = asyncio.ensure_future(vigil.keep(live, prober))
    await until(lambda: prober.ticks > 1)

    await ended(watch)


async def test_what_another_writes_is_taken_over(board: Board) -> None:
    one, other = (Live(SERVED, Sharing(board.sit(seat))) for seat in range(2))
    watch = asyncio.ensure_future(vigil.keep(other, counting(state(SERVED))))

    for _ in range(5):
        one.deployments["m/0:p"].bad(10.0, 1.0, NO_PROBE, Random(1))

    await until(lambda: other.deployments["m/0:p"].phase == OPEN)
    await ended(watch)


async def test_nobody_looks_before_something_is_written_where_there_are_bells(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vigil, "TICK", 3600.0)
    board = Board.make(2)
    one, other = (Live(SERVED, Sharing(board.sit(seat))) for seat in range(2))
    looks = 0
    look = Sharing.look

    def counted(sharing: Sharing) -> None:
        nonlocal looks
        looks += 1
        look(sharing)

    monkeypatch.setattr(Sharing, "look", counted)
    watch = asyncio.ensure_future(vigil.keep(other, counting(state(SERVED))))
    for turn in range(3):
        for _ in range(50):
            await asyncio.sleep(0)
        before = looks
        one.deployments[f"m/{turn % 2}:p"].note_check(10.0 + turn, 1)
        await until(lambda before=before: looks > before)  # type: ignore[misc]
        assert other.deployments[f"m/{turn % 2}:p"].checked_at == 10.0 + turn

    assert looks == 3
    await ended(watch)
    board.close()


async def test_who_leaves_lets_another_lead(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    given_up = []
    monkeypatch.setattr(Board, "resign", lambda self: given_up.append(self.seat))
    live = Live(SERVED, Sharing(board.sit(3)))
    prober = counting(state(SERVED))
    watch = asyncio.ensure_future(vigil.keep(live, prober))
    await until(lambda: prober.ticks > 0)

    await ended(watch)

    assert given_up == [3]
