"""What one worker finds out, the others know; together they send one probe at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)

from proxy.core.clock import Hands
from proxy.core.errors import Cause
from proxy.core.model import Credential, Deployment, Health, Model, Provider, Snapshot
from proxy.core.secret import Secret
from proxy.limits.board import Board
from proxy.state.health import CLOSED, HALF_OPEN, NO_PROBE, OPEN, PANIC, PROBE
from proxy.state.live import DeploymentState, Live
from proxy.state.rests import Refusal
from proxy.state.sharing import Sharing

RNG = Random(3)


def snapshot(secret: str = "one", models: int = 1, health: Health | None = None) -> Snapshot:
    """Models `m0`, `m1`, …, each at the host `p`, and at a host of its own."""
    provider = Provider("p", "http://p.invalid", {}, (Credential("p#0", Secret(secret)),))
    found = {}
    for at in range(models):
        spare = Provider(f"q{at}", f"http://q{at}.invalid", {})
        tier = (
            Deployment(f"m{at}/0:p", provider, f"up{at}"),
            Deployment(f"m{at}/1:q{at}", spare, "up"),
        )
        found[f"m{at}"] = Model(f"m{at}", (tier,))
    return Snapshot(models=found, providers={"p": provider}, health=health or Health())


@pytest.fixture
def board() -> Iterator[Board]:
    one = Board.make()
    yield one
    one.close()


def worker(board: Board, seat: int, served: Snapshot | None = None) -> Live:
    return Live(served or snapshot(), Sharing(board.sit(seat)))


def look(*workers: Live) -> None:
    for one in workers:
        assert one.sharing is not None
        one.sharing.look()


def break_it(state: DeploymentState, now: float, failures: int = 5) -> None:
    for _ in range(failures):
        state.bad(now, 1.0, NO_PROBE, RNG)


def at(live: Live, name: str = "m0/0:p") -> DeploymentState:
    return live.deployments[name]


def test_who_is_well_is_not_written_down(board: Board) -> None:
    one = worker(board, 0)
    at(one).good(1.0)
    one.accounts["p#0"].state("up0").worked(1.0)
    at(one).refresh()

    assert board.sit(1).changes() == {}


def test_a_circuit_that_one_opens_is_open_for_all(board: Board) -> None:
    one, other = worker(board, 0), worker(board, 1)

    break_it(at(one), 10.0)
    look(other)

    assert (at(other).phase, at(other).until, at(other).trips) == (OPEN, at(one).until, 1)
    assert (at(one).opened, at(other).opened) == (1, 0)


def test_since_when_it_is_out_is_known_to_all(board: Board, hands: Hands) -> None:
    one, other = worker(board, 0), worker(board, 1)
    break_it(at(one), hands.monotonic())
    hands.advance(0.05)
    look(other)
    begun = at(other).since
    assert begun - at(one).since == pytest.approx(0.05)

    hands.advance(60.0)
    assert at(one).take_probe(hands.monotonic())
    at(one).bad(hands.monotonic(), 1.0, PROBE, RNG)
    look(other)
    assert (at(other).phase, at(other).since) == (OPEN, begun)


def test_who_was_not_told_yet_makes_one_attempt_more(board: Board) -> None:
    one, other = worker(board, 0), worker(board, 1)
    break_it(at(one), 10.0)
    until = at(one).until

    at(other).bad(10.1, 1.0, NO_PROBE, RNG)

    assert (at(other).phase, at(other).until) == (OPEN, until)


def test_failures_in_a_row_are_counted_together(board: Board) -> None:
    one, other = worker(board, 0), worker(board, 1)

    break_it(at(one), 10.0, failures=4)
    break_it(at(other), 10.0, failures=1)

    assert at(other).phase == OPEN


def test_a_success_of_one_ends_a_row_of_all(board: Board) -> None:
    one, other = worker(board, 0), worker(board, 1)
    break_it(at(one), 10.0, failures=4)
    look(other)

    at(other).good(10.1)
    break_it(at(one), 10.2, failures=1)

    assert at(one).phase == CLOSED


def test_one_probe_for_all(board: Board) -> None:
    one, other = worker(board, 0), worker(board, 1)
    break_it(at(one), 10.0)
    look(other)

    assert at(one).take_probe(20.0)
    assert not at(other).take_probe(20.0)
    assert at(other).until == inf

    at(one).release_probe()
    assert at(other).take_probe(20.0)


def test_a_probe_is_given_back_by_who_has_it(board: Board) -> None:
    one, other = worker(board, 0), worker(board, 1)
    break_it(at(one), 10.0)
    at(one).take_probe(20.0)

    at(other).release_probe()

    assert not at(other).take_probe(20.0)


def test_a_last_resort_that_works_leaves_the_probe_of_another_alone(board: Board) -> None:
    one, other = worker(board, 0), worker(board, 1)
    break_it(at(one), 10.0)
    at(one).take_probe(20.0)
    look(other)

    at(other).good(20.0, PANIC)

    assert at(other).until == inf
    at(one).good(20.1, PROBE)
    look(other)
    assert at(other).phase == CLOSED


def test_proofs_are_counted_together_and_all_start_slowly(board: Board) -> None:
    one, other = worker(board, 0), worker(board, 1)
    break_it(at(one), 10.0)
    look(other)

    assert at(one).take_probe(20.0)
    at(one).good(20.0, PROBE)
    assert at(other).take_probe(20.0)
    at(other).good(20.0, PROBE)
    look(one)

    assert (at(one).phase, at(one).until) == (CLOSED, 0.0)
    assert at(one).factor(20.0) == pytest.approx(0.1)


def test_the_probe_of_a_worker_that_dies_is_free(board: Board) -> None:
    one, other = worker(board, 0), worker(board, 1)
    break_it(at(one), 10.0)
    at(one).take_probe(20.0)
    look(other)

    board.clear(0)
    look(other)

    assert (at(other).phase, at(other).until) == (HALF_OPEN, 0.0)
    assert at(other).take_probe(20.0)


def test_a_new_worker_begins_with_what_is_known(board: Board) -> None:
    one = worker(board, 0)
    break_it(at(one), 10.0)
    one.accounts["p#0"].state("up0").cool(Refusal(Cause.AUTH, 9.0), 10.0, RNG)
    at(one, "m0/1:q0").cooldown.cool(Refusal(Cause.RATE_LIMIT, 9.0, hint=5.0), 10.0, RNG)

    new = worker(board, 1)

    assert at(new).until == at(one).until
    assert new.accounts["p#0"].state("up0").until == 310.0
    assert at(new, "m0/1:q0").cooldown.until == at(one, "m0/1:q0").cooldown.until > 15.0


def test_a_credential_rests_for_all_and_works_for_all(board: Board) -> None:
    one, other = worker(board, 0), worker(board, 1)
    mine, theirs = one.accounts["p#0"].state("up0"), other.accounts["p#0"].state("up0")

    mine.cool(Refusal(Cause.RATE_LIMIT, 9.0), 10.0, RNG)
    look(other)
    assert (theirs.until, theirs.reason, theirs.soft) == (mine.until, Cause.RATE_LIMIT, True)

    theirs.worked(11.0)
    look(one)
    assert (mine.until, mine.reason, mine.soft) == (0.0, None, False)


def test_each_model_has_its_own_limits_and_all_have_the_same_account(board: Board) -> None:
    one, other = worker(board, 0), worker(board, 1)
    one.accounts["p#0"].state("up0").cool(Refusal(Cause.RATE_LIMIT, 9.0, hint=30.0), 10.0, RNG)
    theirs = [other.accounts["p#0"].state(name) for name in ("up0", "up1")]
    look(other)
    assert [state.reason for state in theirs] == [Cause.RATE_LIMIT, None]

    one.accounts["p#0"].state("up1").cool(Refusal(Cause.AUTH, 9.0), 10.0, RNG)
    look(other)
    assert [state.until for state in theirs] == [310.0, 310.0]

    theirs[1].worked(11.0)
    look(one)
    mine = [one.accounts["p#0"].state(name).reason for name in ("up0", "up1")]
    assert mine == [Cause.RATE_LIMIT, None]


def test_pauses_grow_whoever_meets_them(board: Board) -> None:
    one, other = worker(board, 0), worker(board, 1)
    one.accounts["p#0"].state("up0").cool(Refusal(Cause.AUTH, 9.0), 10.0, RNG)

    other.accounts["p#0"].state("up0").cool(Refusal(Cause.AUTH, 400.0), 401.0, RNG)

    assert other.accounts["p#0"].state("up0").until == 401.0 + 1800.0


def test_another_secret_is_another_credential(board: Board) -> None:
    one = worker(board, 0)
    one.accounts["p#0"].state("up0").cool(Refusal(Cause.AUTH, 9.0), 10.0, RNG)

    assert worker(board, 1, snapshot(secret="fresh")).accounts["p#0"].state("up0").until == 0.0


def test_a_last_resort_goes_out_once_for_all(board: Board) -> None:
    one, other = worker(board, 0), worker(board, 1)

    assert at(one).take_last_resort(10.0, 1.0)
    assert not at(other).take_last_resort(10.5, 1.0)
    assert at(other).take_last_resort(11.0, 1.0)


def test_checks_are_known_to_all(board: Board) -> None:
    one, other = worker(board, 0), worker(board, 1)

    at(one).note_check(10.0, 1)
    look(other)

    assert (at(other).checked_at, at(other).checked) == (10.0, 1)


def test_the_outage_of_a_host_is_one_for_all(board: Board) -> None:
    served = snapshot(models=3)
    one, other = worker(board, 0, served), worker(board, 1, served)
    break_it(at(one, "m0/0:p"), 10.0)
    break_it(at(one, "m1/0:p"), 10.0)
    look(other)

    states = [at(each, f"m{n}/0:p") for each in (one, other) for n in range(3)]
    assert {state.phase for state in states} == {OPEN}
    assert len({state.until for state in states}) == 1

    assert at(other, "m2/0:p").take_probe(40.0)
    assert not at(one, "m0/0:p").take_probe(40.0)
    assert at(one, "m0/0:p").until == inf

    at(other, "m2/0:p").good(40.0, PROBE)
    assert at(one, "m2/0:p").take_probe(40.0)
    at(one, "m2/0:p").good(41.0, PROBE)
    look(one, other)
    assert {(state.phase, state.until) for state in states} == {(CLOSED, 0.0)}
    new = worker(board, 2, served)
    assert {at(new, f"m{n}/0:p").phase for n in range(3)} == {CLOSED}
    # The host, and those that failed themselves.
    assert len(board.sit(3).changes()) == 3


def test_who_has_not_heard_of_an_outage_sends_no_second_probe(board: Board) -> None:
    served = snapshot(models=3)
    one, other = worker(board, 0, served), worker(board, 1, served)
    break_it(at(one, "m0/0:p"), 10.0)
    look(other)
    break_it(at(one, "m1/0:p"), 10.0)
    assert at(one, "m2/0:p").take_probe(40.0)

    assert not at(other, "m0/0:p").take_probe(40.0)


@dataclass
class Attempt:
    """One under way: how it was sent, and of whom it is the probe."""

    seat: int
    name: str
    probe: int
    place: str = ""


class Workers(RuleBasedStateMachine):
    """Two workers, two models at one host; requests come and go in any order, and workers die."""

    def __init__(self) -> None:
        super().__init__()
        self.board = Board.make()
        self.rng = Random(1)
        self.served = snapshot(models=2, health=Health(max_errors=1))
        self.now = 1000.0
        self.workers = [worker(self.board, seat, self.served) for seat in range(2)]
        self.out: list[Attempt] = []

    def teardown(self) -> None:
        self.all_agree_when_they_have_looked()
        self.board.close()

    seats = st.integers(0, 1)
    names = st.sampled_from(["m0/0:p", "m1/0:p"])

    @rule(seat=seats, name=names)
    def begin(self, seat: int, name: str) -> None:
        state = at(self.workers[seat], name)
        if state.until > self.now:
            return
        if state.phase == CLOSED:
            self.out.append(Attempt(seat, name, NO_PROBE))
        elif state.take_probe(self.now):
            if state.phase == CLOSED:
                self.out.append(Attempt(seat, name, NO_PROBE))
                return
            place = name if state.outage is None else state.outage.address
            assert place not in [one.place for one in self.out]
            self.out.append(Attempt(seat, name, PROBE, place))

    @rule(seat=seats, name=names)
    def begin_a_last_resort(self, seat: int, name: str) -> None:
        state = at(self.workers[seat], name)
        if state.phase != CLOSED and state.take_last_resort(self.now, 1.0):
            self.out.append(Attempt(seat, name, PANIC))

    @precondition(lambda self: self.out)
    @rule(which=st.integers(0, 99), outcome=st.sampled_from(["good", "bad", "none"]))
    def end(self, which: int, outcome: str) -> None:
        one = self.out.pop(which % len(self.out))
        state = at(self.workers[one.seat], one.name)
        if outcome == "good":
            state.good(self.now, one.probe)
            if one.probe == PANIC:
                # It may have closed the circuit: what was its probe is an attempt as any other.
                for each in self.out:
                    each.place = ""
        elif outcome == "bad":
            state.bad(self.now, 1.0, one.probe, self.rng)
        elif one.probe == PROBE:
            state.release_probe()

    @rule(seconds=st.sampled_from([0.1, 40.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(seat=seats)
    def look_around(self, seat: int) -> None:
        look(self.workers[seat])

    @rule(seat=seats)
    def die(self, seat: int) -> None:
        self.board.clear(seat)
        self.out = [one for one in self.out if one.seat != seat]
        self.workers[seat] = worker(self.board, seat, self.served)

    @rule()
    def all_agree_when_they_have_looked(self) -> None:
        look(*self.workers)
        new = worker(self.board, 9, self.served)
        for name in ("m0/0:p", "m1/0:p"):
            found = {(at(one, name).phase, at(one, name).until) for one in (*self.workers, new)}
            assert len(found) == 1, found
            phase, until = found.pop()
            assert (until == 0.0) if phase == CLOSED else (until < inf or self._probing())

    def _probing(self) -> bool:
        return any(one.probe == PROBE for one in self.out)


def test_workers_agree_whatever_happens() -> None:
    run_state_machine_as_test(
        Workers, settings=settings(max_examples=60, stateful_step_count=40, deadline=None)
    )
