from __future__ import annotations

import logging

import pytest
from msgspec.structs import replace

from proxy.control import memory
from proxy.control.memory import GIVE_BACK, MUCH, QUIET, Watcher
from proxy.core.memory import Limit
from proxy.core.metrics import Metrics
from proxy.core.model import Server, Snapshot
from proxy.state.live import Live
from proxy.state.memory import ENOUGH, FULL, TIGHT
from proxy.state.state import State


class Machine:
    """Says how much is used."""

    def __init__(self) -> None:
        self.used = 0
        self.size = 1000

    def limit(self, _server: Server) -> Limit | None:
        return Limit(self.size, lambda: self.used) if self.size else None


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr(memory, "limit_of", made.limit)
    return made


@pytest.fixture
def state() -> State:
    return State(Snapshot(), Live(), Metrics())


def test_each_change_is_said_once(
    machine: Machine, state: State, caplog: pytest.LogCaptureFixture
) -> None:
    watcher = Watcher(state, lambda: False)
    with caplog.at_level(logging.WARNING, "headrace"):
        for used in (100, 870, 880, 950, 960, 100):
            machine.used = used
            watcher.look(0.0)

    words = [one.getMessage().rpartition(": ")[2] for one in caplog.records]
    assert words == ["large bodies are refused", "every new request is refused", "enough again"]


def test_what_was_freed_is_given_back_now_and_then(machine: Machine, state: State) -> None:
    watcher = Watcher(state, lambda: False)
    machine.used = 100
    assert not watcher.look(10.0)
    machine.used = 870

    assert watcher.look(20.0)
    assert not watcher.look(20.0 + GIVE_BACK / 2)
    assert watcher.look(20.0 + GIVE_BACK)


@pytest.mark.parametrize("size", [0, 1000])
def test_what_bodies_took_is_given_back_when_there_are_none_any_more(
    machine: Machine, state: State, size: int
) -> None:
    busy = [True]
    machine.size = size
    watcher = Watcher(state, lambda: not busy[0])

    def read(size: int) -> None:
        state.memory.end(size)
        state.memory.coming += size

    read(MUCH // 2)
    assert not watcher.look(10.0)
    assert not watcher.look(20.0 + QUIET)  # it was not much
    read(MUCH // 2)
    assert not watcher.look(50.0)
    assert not watcher.look(50.0 + QUIET)  # one is under way
    busy[0] = False
    assert watcher.look(50.0 + QUIET)
    assert not watcher.look(90.0)

    read(MUCH)
    assert not watcher.look(100.0)
    read(1)
    assert not watcher.look(100.0 + QUIET)  # another has come
    assert watcher.look(100.0 + 2 * QUIET)


def test_kept_answers_are_forgotten_when_it_is_full(
    machine: Machine, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    cleared: list[int] = []
    monkeypatch.setattr(type(state.replies), "clear", lambda _: cleared.append(1))
    watcher = Watcher(state, lambda: False)
    machine.used = 870
    watcher.look(10.0)
    assert cleared == []

    machine.used = 930
    watcher.look(20.0)
    assert cleared == [1]


def test_another_limit_holds_from_its_configuration_on(machine: Machine, state: State) -> None:
    watcher = Watcher(state, lambda: False)
    machine.used = 950
    watcher.look(0.0)
    assert state.memory.level == FULL

    machine.size = 1100
    state.snapshot = replace(state.snapshot, server=Server(timing=True))
    watcher.look(0.0)
    assert (state.memory.level, state.memory.size) == (TIGHT, 1100)
    machine.size = 0
    state.snapshot = replace(state.snapshot, server=Server())
    watcher.look(0.0)
    assert (state.memory.level, state.memory.size) == (ENOUGH, 0)


def test_what_is_configured_goes_before_what_the_container_says() -> None:
    found = memory.limit_of(Server(workers=2, memory_limit=1 << 30))

    assert found is not None
    assert found.size == 1 << 29
    assert found.used() > 0
