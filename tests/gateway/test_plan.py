"""One request from its first attempt to an answer or the last word, and what is remembered of it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.errors import Cause, ProxyError, UpstreamError
from proxy.core.model import Health, Strategy, Timeouts
from proxy.gateway.plan import Candidate
from proxy.state.health import CLOSED, OPEN, PANIC, PROBE
from tests.gateway.fleet import (
    REFUSED,
    SERVER,
    SILENT,
    Fleet,
    error,
    limited,
    model,
    ordered,
    provider,
)

A = provider("a")
FIRST = ("a", "b", "c")


def raised(fleet: Fleet, name: str = "m") -> ProxyError:
    with pytest.raises(ProxyError) as caught:
        fleet.plan(name).first(fleet.now)
    return caught.value


def break_open(fleet: Fleet, *ids: str) -> None:
    for id in ids or tuple(fleet.live.deployments):
        for _ in range(5):
            fleet.live.deployments[id].bad(fleet.now, 1.0, 0, fleet.rng)


# --- the budget ---


def test_an_outage_makes_few_more_attempts_than_requests() -> None:
    fleet = Fleet(model("m", A), health=Health(enabled=False))
    attempts = requests = 0

    for _ in range(5000):
        fleet.now += 0.01
        at = fleet.now
        attempts += len(fleet.exhaust(SERVER)[0])
        requests += 1
        fleet.now = at

    assert attempts / requests < 1.25


def test_an_empty_budget_stops_the_request_and_its_client() -> None:
    fleet = Fleet(model("m", A), health=Health(enabled=False))
    for _ in range(50):
        fleet.exhaust(SERVER)

    tried, _, word = fleet.exhaust(SERVER)

    assert len(tried) == 1
    assert isinstance(word, ProxyError)
    assert (word.ref, word.should_retry) == ("up_spent", False)


# --- health ---


def test_with_everything_out_one_request_a_second_and_deployment_is_let_through() -> None:
    fleet = ordered("a", "b")
    break_open(fleet)

    ids = {fleet.plan().first(fleet.now).deployment.id for _ in range(2)}
    word = raised(fleet)

    assert ids == {"m/0:a", "m/1:b"}
    assert word.ref == "no_up"
    assert word.retry_after is not None
    assert 1.0 <= word.retry_after <= 60.0


def test_the_last_resort_is_the_one_whose_timer_ends_first() -> None:
    fleet = ordered("a", "b")
    break_open(fleet)
    fleet.live.deployments["m/0:a"].until += 10.0

    assert fleet.plan().first(fleet.now).deployment.id == "m/1:b"


def test_another_model_is_preferred_to_a_last_resort() -> None:
    fleet = ordered("a", fallbacks=("n",))
    break_open(fleet, "m/0:a")

    assert fleet.plan().first(fleet.now).model.name == "n"


def test_a_probe_that_fails_does_not_fail_its_request() -> None:
    fleet = ordered("a", "b")
    break_open(fleet, "m/0:a")
    fleet.now += 2.0
    plan = fleet.plan()
    candidate = plan.first(fleet.now)
    assert candidate.probe == PROBE

    step = fleet.fail(plan, candidate, SERVER)

    assert step.candidate is not None
    assert step.candidate.deployment.id == "m/1:b"
    assert fleet.live.deployments["m/0:a"].phase == OPEN


def test_a_client_that_leaves_during_a_probe_makes_room_for_the_next() -> None:
    fleet = ordered("a", "b")
    break_open(fleet, "m/0:a")
    fleet.now += 2.0
    plan = fleet.plan()
    plan.ended(plan.first(fleet.now))

    assert fleet.plan().first(fleet.now).deployment.id == "m/0:a"


def test_a_rate_limited_probe_is_no_proof() -> None:
    fleet = ordered("a", "b")
    break_open(fleet, "m/0:a")
    fleet.now += 2.0
    plan = fleet.plan()

    fleet.fail(plan, plan.first(fleet.now), limited(1.0))

    assert fleet.live.deployments["m/0:a"].phase == OPEN


@pytest.mark.parametrize("outage", [5.0, 60.0, 3000.0])
def test_after_an_outage_the_first_choice_is_back_within_thirty_seconds(outage: float) -> None:
    fleet = ordered("a", fallbacks=("n",))
    began, back = fleet.now, None

    while back is None:
        fleet.now += 0.5
        down = fleet.now < began + outage
        plan = fleet.plan()
        candidate: Candidate | None = plan.first(fleet.now)
        while candidate is not None:
            plan.ended(candidate)
            if candidate.model.name == "n" or not down:
                plan.succeeded(candidate, fleet.now, 0.1)
                break
            candidate = plan.failed(candidate, SERVER, fleet.now).candidate
        assert candidate is not None, "every request is served"
        if candidate.model.name == "m":
            back = fleet.now

    assert back - began <= outage + 30.0


def test_with_all_down_recovery_is_noticed_a_second_after_it() -> None:
    fleet = ordered("a", "b")
    for _ in range(600):
        fleet.now += 0.1
        try:
            plan = fleet.plan()
            fleet.fail(plan, plan.first(fleet.now), REFUSED)
        except ProxyError as none:
            assert none.ref == "no_up"  # noqa: PT017

    recovered = fleet.now
    while fleet.now < recovered + 1.1:
        fleet.now += 0.1
        try:
            fleet.serve()
            break
        except ProxyError:
            continue

    assert fleet.now - recovered <= 1.1


def test_a_cut_answer_counts_half_and_an_error_event_whole() -> None:
    def cut(cause: Cause, times: int) -> int:
        fleet = ordered("a")
        for _ in range(times):
            plan = fleet.plan()
            candidate = plan.first(fleet.now)
            plan.succeeded(candidate, fleet.now, 0.1)
            plan.cut(candidate, error(cause), fleet.now)
            plan.ended(candidate)
        return fleet.live.deployments["m/0:a"].opened

    assert [cut(Cause.TRUNCATED, 9), cut(Cause.TRUNCATED, 10)] == [0, 1]
    assert [cut(Cause.IN_BAND, 4), cut(Cause.IN_BAND, 5)] == [0, 1]


# --- time to the first token ---


def slow_fleet(*names: str, ttft: float = 60.0) -> Fleet:
    fleet = ordered(*names)
    for state in fleet.live.deployments.values():
        for _ in range(30):
            state.latency.observe(fleet.now, ttft)
    return fleet


def test_alone_a_deployment_has_its_whole_time() -> None:
    plan = slow_fleet("a", ttft=0.1).plan()

    assert plan.ttft_limit(plan.first(1000.0)) == 60.0


@pytest.mark.parametrize(("usual", "limit"), [(0.1, 2.0), (1.5, 4.5), (9.0, 12.0)])
def test_with_others_waiting_the_limit_is_three_times_the_usual(usual: float, limit: float) -> None:
    plan = slow_fleet("a", "b", ttft=usual).plan()

    assert plan.ttft_limit(plan.first(1000.0)) == pytest.approx(limit)


def test_too_few_samples_allow_twelve_seconds_and_never_more_than_configured() -> None:
    fleet = ordered("a", "b")
    plan = fleet.plan()
    candidate = plan.first(fleet.now)
    assert plan.ttft_limit(candidate) == 12.0

    short = Candidate(
        candidate.model,
        type(candidate.deployment)("d", A, "up", timeouts=Timeouts(ttft=5.0)),
        *(None, "up", candidate.state, None, candidate.slot, candidate.held, 0.0, 0),
    )
    assert plan.ttft_limit(short) == 5.0


def test_alternatives_end_with_the_last_candidate() -> None:
    fleet = ordered("a", "b", fallbacks=("n",))
    plan = fleet.plan()
    candidate = plan.first(fleet.now)
    seen = [plan.alternatives]

    for _ in range(2):
        step = fleet.fail(plan, candidate, SILENT)
        assert step.candidate is not None
        candidate = step.candidate
        seen.append(plan.alternatives)

    assert seen == [True, True, False]


def test_a_timeout_teaches_the_usual_time() -> None:
    fleet = slow_fleet("a", "b", ttft=0.5)
    state = fleet.live.deployments["m/0:a"]
    for _ in range(3):
        plan = fleet.plan()
        candidate = plan.first(fleet.now)
        fleet.now += 4.0
        plan.ended(candidate)
        plan.failed(candidate, SILENT, fleet.now)

    assert (state.latency.p95 or 0.0) >= 4.0


# --- whatever happens ---


CAUSES = [cause for cause in Cause if cause is not Cause.LOCAL]
ERRORS = st.builds(
    lambda cause, status, after: error(cause, status, after=after),
    st.sampled_from(CAUSES),
    st.sampled_from([0, 400, 401, 404, 429, 500, 503, 529]),
    st.sampled_from([None, 0.3, 2.0, 40.0, 1e12]),
)
SHAPES = st.lists(
    st.tuples(st.sampled_from(FIRST), st.integers(1, 2), st.integers(0, 3)), min_size=1, max_size=4
)


@settings(max_examples=150, deadline=None)
@given(
    shape=SHAPES,
    strategy=st.sampled_from(list(Strategy)),
    keys=st.integers(0, 3),
    script=st.lists(
        st.tuples(st.floats(0.0, 5.0), st.one_of(st.none(), ERRORS)), min_size=1, max_size=60
    ),
    leaves=st.integers(0, 9),
)
def test_whatever_happens_a_request_ends_and_leaves_nothing_behind(
    shape: list[tuple[str, int, int]],
    strategy: Strategy,
    keys: int,
    script: list[tuple[float, UpstreamError | None]],
    leaves: int,
) -> None:
    providers = {name: provider(name, keys) for name in FIRST}
    fleet = Fleet(
        model(
            "m",
            *(providers[name] for name, _, _ in shape),
            priorities=tuple(priority for _, priority, _ in shape),
            weights=tuple(weight for _, _, weight in shape),
            strategy=strategy,
            fallbacks=("n",),
            context=("n",),
        ),
        model("n", providers["c"], fallbacks=("m",), content=("m",)),
    )
    steps = iter(script)
    for wait, _ in steps:
        fleet.now += wait
        plan = fleet.plan()
        try:
            candidate: Candidate | None = plan.first(fleet.now)
        except ProxyError as none:
            assert none.ref in ("no_up", "limit", "up_auth", "up_spent")  # noqa: PT017
            continue
        made = 0
        fleet.now += plan.pause
        while candidate is not None:
            made += 1
            assert made <= 6
            assert not_open_in_vain(fleet, candidate)
            _, failure = next(steps, (0.0, None))
            plan.ended(candidate)
            if failure is None:
                if made != leaves:  # else the client left
                    plan.succeeded(candidate, fleet.now, 0.2)
                break
            step = plan.failed(candidate, failure, fleet.now)
            assert (step.candidate is None) == (step.kind == "stop") == (step.error is not None)
            assert step.delay <= 3.6
            candidate = step.candidate
            fleet.now += step.delay
        if candidate is not None:
            plan.ended(candidate)  # twice does no harm
        assert made == len(plan.attempts) + (candidate is not None)
    assert fleet.in_flight() == 0
    assert all(state.until < 1e300 for state in fleet.live.deployments.values())


def not_open_in_vain(fleet: Fleet, candidate: Candidate) -> bool:
    """An open deployment is used as a last resort only, and then nobody healthy is left."""
    if candidate.probe != PANIC:
        return candidate.state.phase == CLOSED or candidate.probe == PROBE
    others = [slot for slot in fleet.plan()._route.slots if slot.state is not candidate.state]
    return not any(slot.healthy(fleet.now) for slot in others)
