"""Rounds: the peers take turns at going first, and a fresh scenario gets a fresh process."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest

from bench import measure
from bench.load import Load, Outcome
from bench.machine import Cores
from bench.measure import complaint, quiet
from bench.peers import Peer, Starter
from bench.scenarios import SCENARIOS, Scale, Scenario

if TYPE_CHECKING:
    from collections.abc import Iterator

NOWHERE = Cores(frozenset(), frozenset(), frozenset())


@pytest.fixture
def diary(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What `measure` does, with loads that are only noted."""
    noted: list[str] = []

    def run(load: Load, peer: Peer, cores: Cores) -> Outcome:
        noted.append(f"{peer.name} {load.shape}")
        return Outcome(requests=1, seconds=1.0)

    monkeypatch.setattr(measure, "run", run)
    return noted


def starters(diary: list[str]) -> dict[str, Starter]:
    @contextmanager
    def start(name: str) -> Iterator[Peer]:
        diary.append(f"{name} starts")
        yield Peer(name, "127.0.0.1", 1)
        diary.append(f"{name} ends")

    return {name: partial(start, name) for name in ("a", "b")}


def scenario(name: str) -> Scenario:
    return next(scenario for scenario in SCENARIOS if scenario.name == name)


def test_peers_take_turns_at_going_first(diary: list[str]) -> None:
    measure.measure(
        [scenario("request")], starters(diary), NOWHERE, Scale(rounds=2), lambda line: None
    )

    assert diary == [
        "a starts", "a loop", "b starts", "b loop", "b loop", "a loop", "b ends", "a ends"
    ]  # fmt: skip


def test_a_fresh_scenario_starts_each_peer_anew_and_warms_it_up(diary: list[str]) -> None:
    measure.measure(
        [scenario("held")], starters(diary), NOWHERE, Scale(rounds=1), lambda line: None
    )

    assert diary == [
        "a starts", "a loop", "a hold", "a ends", "b starts", "b loop", "b hold", "b ends"
    ]  # fmt: skip


def test_who_takes_no_part_in_a_group_is_not_measured_there(diary: list[str]) -> None:
    found = measure.measure(
        [scenario("request"), scenario("token")],
        starters(diary),
        NOWHERE,
        Scale(rounds=1),
        lambda line: None,
        takes_part=lambda name, group: name == "a" or group == "token",
    )

    assert {name: list(outcomes) for name, outcomes in found.items()} == {
        "request": ["a"],
        "token": ["a", "b"],
    }


def test_a_group_in_which_nobody_takes_part_is_said(diary: list[str]) -> None:
    said: list[str] = []

    found = measure.measure(
        [scenario("request")],
        starters(diary),
        NOWHERE,
        Scale(rounds=1),
        said.append,
        takes_part=lambda name, group: False,
    )

    assert found == {"request": {}}
    assert said == ["request: nobody takes part"]
    assert diary == []


def test_who_may_fail_is_left_out_when_it_does(
    diary: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(load: Load, peer: Peer, cores: Cores) -> Outcome:
        if peer.name == "b":
            raise measure.LoadError("b: nothing was answered")
        return Outcome(requests=1, seconds=1.0)

    monkeypatch.setattr(measure, "run", run)
    said: list[str] = []
    chosen, scale = [scenario("request")], Scale(rounds=2, attempts=1)

    found = measure.measure(chosen, starters(diary), NOWHERE, scale, said.append, may_fail="b")

    assert {name: len(rounds) for name, rounds in found["request"].items()} == {"a": 2}
    assert "request: b is left out: b: nothing was answered" in said
    with pytest.raises(measure.LoadError):
        measure.measure(chosen, starters(diary), NOWHERE, scale, said.append)


def test_an_outcome_without_faults_has_no_complaint() -> None:
    assert complaint(Outcome(requests=1)) == ""


def noisy(percent: float) -> Outcome:
    return Outcome(requests=1, seconds=1.0, cpu_us=1.0, others_cpu_us=percent * 1e4)


def test_a_noisy_measurement_is_repeated_until_a_quiet_one() -> None:
    attempts = iter([noisy(50), noisy(2), noisy(0)])

    assert quiet(lambda: next(attempts), 3) == noisy(2)
    assert next(attempts) == noisy(0)


def test_the_quietest_is_kept_when_all_are_noisy() -> None:
    attempts = iter([noisy(50), noisy(20), noisy(30)])

    assert quiet(lambda: next(attempts), 3) == noisy(20)


def test_an_answer_that_was_wrong_is_not_measured_away() -> None:
    wrong = Outcome(requests=1, seconds=1.0, cpu_us=1.0, others_cpu_us=50e4, errors=1)
    attempts = iter([wrong, noisy(2)])

    assert quiet(lambda: next(attempts), 3) == wrong


def test_a_load_may_go_on_for_as_long_as_it_is_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "LOAD_TIMEOUT_S", 0.0)

    with socket.create_server(("127.0.0.1", 0)) as silent:
        nobody = Peer("nobody", "127.0.0.1", silent.getsockname()[1])
        with pytest.raises(measure.LoadError, match="no result after 1 s"):
            measure.run(Load(model="sim", seconds=0.5, warm=0.5), nobody, NOWHERE)
