"""Circuits open on failures of the provider's making, close on proof, and never for long."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.model import Health
from proxy.state.health import (
    CLOSED,
    HALF_OPEN,
    NO_PROBE,
    OPEN,
    PANIC,
    PROBE,
    Circuit,
    Latency,
    Window,
)


def circuit(**rules: float) -> Circuit:
    return Circuit(Health(**rules))  # type: ignore[arg-type]


def break_it(circuit: Circuit, now: float, rng: Random) -> None:
    for _ in range(5):
        circuit.bad(now, 1.0, NO_PROBE, rng)


@pytest.fixture
def rng() -> Random:
    return Random(5)


def test_five_failures_in_a_row_open_a_circuit(rng: Random) -> None:
    one = circuit()

    for _ in range(4):
        one.bad(10.0, 1.0, NO_PROBE, rng)
    assert one.phase == CLOSED

    one.bad(10.0, 1.0, NO_PROBE, rng)
    assert one.phase == OPEN
    assert 10.8 <= one.until <= 11.2
    assert one.health == 0.0


def test_since_when_it_is_out_is_known_until_it_is_out_again(rng: Random) -> None:
    one = circuit(recover_after=1)
    break_it(one, 10.0, rng)
    assert one.take_probe(20.0)
    one.bad(21.0, 1.0, PROBE, rng)
    assert (one.phase, one.since) == (OPEN, 10.0)

    assert one.take_probe(60.0)
    one.good(60.0, PROBE)
    break_it(one, 70.0, rng)
    assert (one.phase, one.since) == (OPEN, 70.0)


def test_a_success_between_failures_keeps_it_closed(rng: Random) -> None:
    one = circuit()

    for second in range(19):
        one.bad(second, 1.0, NO_PROBE, rng)
        one.good(second)
        one.good(second)

    assert one.phase == CLOSED


def test_half_of_twenty_in_thirty_seconds_opens_it(rng: Random) -> None:
    one = circuit(max_errors=1000)

    for at in range(10):
        one.good(at)
        one.bad(at, 1.0, NO_PROBE, rng)

    assert one.phase == OPEN


def test_old_failures_do_not_open_it(rng: Random) -> None:
    one = circuit(max_errors=1000)

    for at in range(19):
        one.bad(at, 1.0, NO_PROBE, rng)
    one.bad(100.0, 1.0, NO_PROBE, rng)

    assert one.phase == CLOSED


def test_a_tenth_of_failures_degrades_and_a_good_minute_restores(rng: Random) -> None:
    one = circuit()

    for at in range(20):
        one.good(at)
    for _ in range(3):
        one.bad(20.0, 1.0, NO_PROBE, rng)
    assert one.health == 0.5
    assert one.factor(20.0) == 0.5

    assert one.factor(90.0) == 1.0


def test_each_failed_probe_doubles_the_timer_up_to_its_limit(rng: Random) -> None:
    one = circuit(open_base=1, open_max=3600)
    break_it(one, 0.0, rng)
    pauses = [one.until]

    for _ in range(8):
        now = one.until
        one.take_probe()
        one.bad(now, 1.0, PROBE, rng)
        pauses.append(one.until - now)

    assert all(0.8 * 2**at <= pause <= 1.2 * 2**at for at, pause in enumerate(pauses[:4]))
    assert all(19.0 <= pause < 30.0 for pause in pauses[5:])


def test_open_max_shortens_the_timer(rng: Random) -> None:
    one = circuit(open_base=5, open_max=2)

    break_it(one, 0.0, rng)

    assert one.until <= 2.4


def test_a_probe_is_alone_until_it_is_back(rng: Random) -> None:
    one = circuit()
    break_it(one, 0.0, rng)

    one.take_probe()
    assert one.until > 1e9
    assert one.phase == HALF_OPEN

    one.good(3.0, PROBE)
    assert one.until == 0.0
    assert one.phase == HALF_OPEN

    one.take_probe()
    one.good(3.1, PROBE)
    assert one.phase == CLOSED


def test_a_probe_without_a_verdict_makes_room_for_another(rng: Random) -> None:
    one = circuit()
    break_it(one, 0.0, rng)
    one.take_probe()

    one.release_probe()

    assert one.until == 0.0
    assert one.phase == HALF_OPEN


def test_late_news_from_before_the_trip_changes_nothing(rng: Random) -> None:
    one = circuit()
    break_it(one, 0.0, rng)
    until = one.until

    one.bad(0.5, 1.0, NO_PROBE, rng)
    one.good(0.5, NO_PROBE)
    one.good(0.5, NO_PROBE)

    assert (one.phase, one.until) == (OPEN, until)


def test_a_last_resort_that_works_counts_as_proof_and_one_that_fails_changes_nothing(
    rng: Random,
) -> None:
    one = circuit()
    break_it(one, 0.0, rng)
    until = one.until

    one.bad(0.1, 1.0, PANIC, rng)
    assert one.until == until

    one.good(0.2, PANIC)
    one.good(0.3, PANIC)
    assert one.phase == CLOSED


def test_a_recovered_deployment_starts_slowly(rng: Random) -> None:
    one = circuit(recover_after=1)
    break_it(one, 0.0, rng)
    one.take_probe()
    one.good(10.0, PROBE)

    assert one.factor(10.0) == pytest.approx(0.1)
    assert one.factor(25.0) == pytest.approx(0.5)
    assert one.factor(41.0) == 1.0


def test_five_healthy_minutes_forgive_earlier_trips(rng: Random) -> None:
    one = circuit(recover_after=1)
    for now in (0.0, 10.0, 20.0):
        break_it(one, now, rng)
        one.take_probe()
        one.good(now + 5.0, PROBE)

    break_it(one, 400.0, rng)

    assert one.until - 400.0 <= 1.2


def test_disabled_health_never_opens(rng: Random) -> None:
    one = circuit(enabled=False)

    for _ in range(50):
        one.bad(0.0, 1.0, NO_PROBE, rng)

    assert one.phase == CLOSED


def test_switching_health_off_ends_a_probe_under_way(rng: Random) -> None:
    one = circuit()
    break_it(one, 0.0, rng)
    one.take_probe()

    one.rules = Health(enabled=False)
    one.bad(2.0, 1.0, PROBE, rng)

    assert (one.phase, one.until) == (CLOSED, 0.0)


def test_ten_answers_cut_in_a_row_open_it(rng: Random) -> None:
    one = circuit()

    for _ in range(10):
        streak = one.streak
        one.good(1.0)
        one.cut(1.0, 0.5, streak, rng)

    assert one.phase == OPEN


def test_a_cut_answer_is_no_success() -> None:
    one = circuit(max_errors=1000)

    for _ in range(40):
        one.good(1.0)
        one.cut(1.0, 0.5, 0.0, Random(1))

    assert one.phase == OPEN


def test_a_window_forgets_after_a_minute() -> None:
    window = Window()
    window.add(3.0, 5.0, 5.0)

    assert window.share(3.0, 20) == (10.0, 0.5)
    assert window.share(59.0, 20) == (10.0, 0.5)
    assert window.share(63.5, 20) == (0.0, 0.0)


@given(
    st.lists(
        st.tuples(st.floats(0.0, 40.0), st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 1.0])),
        max_size=60,
    )
)
def test_a_window_counts_what_a_list_would(steps: list[tuple[float, float, float]]) -> None:
    window, seen, now = Window(), [], 0.0
    for wait, good, bad in steps:
        now += wait
        window.add(now, good, bad)
        seen.append((int(now / 3.0), good, bad))

    recent = [(good, bad) for bucket, good, bad in seen if bucket > int(now / 3.0) - 10]
    total = sum(good + bad for good, bad in recent)
    failures = sum(bad for _, bad in recent)
    assert window.share(now, 10) == (total, failures / total if total else 0.0)


def test_latency_hears_bad_news_at_once_and_good_news_slowly() -> None:
    latency = Latency()
    latency.observe(1.0, 0.3)

    latency.observe(2.0, 4.0)
    assert latency.value == 4.0

    latency.observe(3.0, 0.3)
    assert 3.5 < latency.value < 4.0


def test_what_people_are_told_of_a_latency_is_what_was_seen() -> None:
    latency, said = Latency(), []
    said.append(latency.mean)
    for at, seconds in enumerate((0.3, 4.3, *([0.3] * 57))):
        latency.observe(float(at), seconds)
        said.append(latency.mean)

    # Neither the guess that balancing begins with nor, for long, the peak.
    assert said[:3] == [None, 0.3, pytest.approx(0.7)]
    assert said[-1] == pytest.approx(0.3, abs=0.01)


def test_latency_fades_while_nothing_is_seen() -> None:
    latency = Latency()
    latency.observe(0.0, 3.0)

    assert latency.estimate(30.0) == pytest.approx(3.0 / 2.718281828)
    assert latency.estimate(1e9) > 0.0


def test_p95_waits_for_twenty_samples_and_follows_the_last_hundred() -> None:
    latency = Latency()
    for at in range(19):
        latency.observe(float(at), 9.0)
    assert latency.p95 is None

    for at in range(19, 200):
        latency.observe(float(at), 0.1 + (at % 100) / 100)
    assert latency.p95 == pytest.approx(1.05)


@given(st.lists(st.floats(0.0, 100.0), min_size=20, max_size=250))
def test_p95_is_that_of_the_last_hundred(samples: list[float]) -> None:
    latency = Latency()
    for at, sample in enumerate(samples):
        latency.observe(float(at), sample)

    recent = sorted(samples[-100:])
    assert latency.p95 == recent[int(len(recent) * 0.95)]
