"""One request from its first attempt to an answer or the last word, and what is remembered of it."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.errors import Cause, ProxyError, UpstreamError
from proxy.core.model import Health, Limits, Retry, Strategy, Timeouts
from proxy.gateway.plan import Candidate, Plan, Step
from proxy.limits.accounts import Refused, What
from proxy.limits.subjects import subject
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


def refused(what: What, wait: float, scope: str = "deployment") -> Refused:
    found = subject(scope, "x", "x", Limits(rpm=1))
    assert found is not None
    return Refused(found, what, wait)


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
            state.by_size.observe(fleet.now, 0, ttft)
    return fleet


def test_alone_a_deployment_has_its_whole_time() -> None:
    plan = slow_fleet("a", ttft=0.1).plan()

    assert plan.ttft_limit(plan.first(1000.0)) == 60.0


@pytest.mark.parametrize(("usual", "limit"), [(0.1, 2.0), (1.5, 4.5), (9.0, 12.0)])
def test_with_others_waiting_the_limit_is_three_times_the_usual(usual: float, limit: float) -> None:
    plan = slow_fleet("a", "b", ttft=usual).plan()

    assert plan.ttft_limit(plan.first(1000.0)) == pytest.approx(limit)


def test_what_is_usual_depends_on_the_size_of_the_prompt() -> None:
    fleet = ordered("a", "b")
    usual = {1_000: 0.1, 100_000: 3.0}
    for size, seconds in usual.items():
        for _ in range(30):
            plan = fleet.plan()
            plan.size = size
            candidate = plan.first(fleet.now)
            plan.succeeded(candidate, fleet.now, seconds)
            plan.ended(candidate)

    def limit(size: int) -> float:
        plan = fleet.plan()
        plan.size = size
        return plan.ttft_limit(plan.first(fleet.now))

    assert [limit(500), limit(10_000), limit(50_000), limit(1_000_000)] == [2.0, 9.0, 9.0, 12.0]


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
REFUSALS = st.builds(
    lambda what, wait, scope: refused(what, wait, scope),
    st.sampled_from(["rpm", "tpm", "concurrency", "quota_requests", "quota_tokens", "blind"]),
    st.sampled_from([0.0, 0.2, 5.0, 3600.0, inf]),
    st.sampled_from(["deployment", "credential"]),
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
        st.tuples(st.floats(0.0, 5.0), st.one_of(st.none(), ERRORS, REFUSALS)),
        min_size=1,
        max_size=60,
    ),
    leaves=st.integers(0, 9),
)
def test_whatever_happens_a_request_ends_and_leaves_nothing_behind(
    shape: list[tuple[str, int, int]],
    strategy: Strategy,
    keys: int,
    script: list[tuple[float, UpstreamError | Refused | None]],
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
            assert none.ref in WORDS  # noqa: PT017
            continue
        made = full = 0
        fleet.now += plan.pause
        while candidate is not None:
            made += 1
            assert made <= 6
            assert not_open_in_vain(fleet, candidate)
            _, failure = next(steps, (0.0, None))
            plan.ended(candidate)
            if isinstance(failure, Refused):
                made, full = made - 1, full + 1
                assert full <= 20  # each deployment, each credential, a few waits
                step = plan.full(candidate, failure, fleet.now)
                candidate = step.candidate
                fleet.now += step.delay
                continue
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


WORDS = frozenset({"no_up", "limit", "up_auth", "up_spent", "no_quota", "no_state"})


def not_open_in_vain(fleet: Fleet, candidate: Candidate) -> bool:
    """An open deployment is used as a last resort only, and then nobody healthy is left."""
    if candidate.probe != PANIC:
        return candidate.state.phase == CLOSED or candidate.probe == PROBE
    others = [slot for slot in fleet.plan().route.slots if slot.state is not candidate.state]
    return not any(slot.healthy(fleet.now) for slot in others)


# --- limits of ours ---


def fill(fleet: Fleet, plan: Plan, candidate: Candidate, one: Refused) -> Step:
    """There is no room at the candidate."""
    plan.ended(candidate)
    return plan.full(candidate, one, fleet.now)


def test_one_that_is_full_costs_neither_an_attempt_nor_health_nor_a_retry() -> None:
    fleet = ordered(*FIRST, retry=Retry(max_attempts=1))
    plan = fleet.plan()
    before = plan.route.budget.level
    first = plan.first(fleet.now)
    second = fill(fleet, plan, first, refused("concurrency", 0.0)).candidate
    assert second is not None
    third = fill(fleet, plan, second, refused("tpm", 3.0)).candidate

    assert third is not None
    assert [one.deployment.id for one in (first, second, third)] == ["m/0:a", "m/1:b", "m/2:c"]
    assert plan.attempts == []
    assert plan.route.budget.level == pytest.approx(before + 0.2)
    states = fleet.live.deployments.values()
    assert [(one.phase, one.streak, one.used) for one in states] == [(CLOSED, 0, 0)] * 2 + [
        (CLOSED, 0, 1)
    ]
    plan.ended(third)
    assert fleet.in_flight() == 0


@pytest.mark.parametrize("what", ["rpm", "quota_requests"])
def test_what_refuses_everybody_is_remembered_for_a_second(what: What) -> None:
    fleet = ordered("a", "b")
    plan = fleet.plan()
    fill(fleet, plan, plan.first(fleet.now), refused(what, 3600.0))

    assert fleet.serve() == "m/1:b"
    fleet.now += 1.01
    assert fleet.serve() == "m/0:a"


@pytest.mark.parametrize("what", ["tpm", "quota_tokens", "concurrency", "budget"])
def test_what_depends_on_the_request_says_nothing_to_the_next(what: What) -> None:
    fleet = ordered("a", "b")
    plan = fleet.plan()
    fill(fleet, plan, plan.first(fleet.now), refused(what, 3600.0))

    assert fleet.serve() == "m/0:a"


def test_a_full_credential_leaves_the_others_of_its_provider() -> None:
    fleet = Fleet(model("m", provider("a", keys=3), provider("b"), priorities=(1, 2)))
    plan = fleet.plan()
    candidate: Candidate | None = plan.first(fleet.now)
    tried = []
    word: ProxyError | UpstreamError | None = None
    while candidate is not None:
        tried.append(candidate.held.id)
        step = fill(fleet, plan, candidate, refused("tpm", 2.0, "credential"))
        candidate, word = step.candidate, step.error

    assert sorted(tried[:3]) == ["a#0", "a#1", "a#2"]
    assert tried[3:] == ["b#0"]
    assert isinstance(word, ProxyError)
    assert (word.ref, word.retry_after) == ("limit", 2.0)


def test_full_deployments_that_share_credentials_are_all_passed() -> None:
    shared = provider("a", keys=2)
    fleet = Fleet(model("m", shared, shared, shared, provider("b")))
    plan = fleet.plan()
    candidate: Candidate | None = plan.first(fleet.now)
    tried = 0
    while candidate is not None:
        tried += 1
        assert tried < 10
        candidate = fill(
            fleet, plan, candidate, refused("concurrency", 0.0, "credential")
        ).candidate

    assert tried == 3  # each credential once
    assert fleet.in_flight() == 0


def test_a_guess_about_a_full_credential_is_no_way_in() -> None:
    fleet = Fleet(model("m", provider("a", keys=2)))
    plan = fleet.plan()
    candidate = plan.first(fleet.now)
    step = fleet.fail(plan, candidate, limited(None))
    rounds = 0
    while step.candidate is not None:
        rounds += 1
        assert rounds < 10
        step = fill(fleet, plan, step.candidate, refused("tpm", 5.0, "credential"))

    assert isinstance(step.error, ProxyError)
    assert step.error.ref == "limit"


def test_a_failure_ends_a_guess_about_a_rate() -> None:
    """The credential rests for what another model met; a guess does not keep this one from trying again."""
    a = provider("a")
    fleet = Fleet(model("m", a), model("n", a, fallbacks=("o",)), model("o", a))
    fleet.exhaust(limited(None), name="m")
    fleet.now += 0.01
    plan = fleet.plan("n")
    step = fleet.fail(plan, plan.first(fleet.now), SERVER)

    assert step.kind == "retry"
    assert step.candidate is not None
    assert step.candidate.model.name == "n"


def test_fallbacks_serve_when_a_model_is_full() -> None:
    fleet = ordered("a", fallbacks=("n",))
    plan = fleet.plan()
    step = fill(fleet, plan, plan.first(fleet.now), refused("quota_requests", 3600.0))

    assert (step.kind, step.candidate and step.candidate.model.name) == ("fallback", "n")
    assert fleet.serve() == "n/0:c"  # remembered: not asked again


@pytest.mark.parametrize(
    ("wants", "ref", "after"),
    [
        ([("rpm", 2.5), ("rpm", 7.0)], "limit", 2.5),
        ([("tpm", 9.0), ("quota_requests", 3600.0)], "limit", 9.0),
        ([("concurrency", 0.0), ("rpm", 7.0)], "limit", 1.0),
        ([("quota_requests", 3600.0), ("quota_tokens", 60.0)], "no_quota", 60.0),
        ([("quota_tokens", 0.0), ("quota_tokens", 60.0)], "no_quota", 1.0),
        ([("budget", inf), ("budget", inf)], "no_quota", None),
        ([("tpm", inf), ("tpm", inf)], "limit", None),
        ([("blind", 5.0), ("blind", 5.0)], "no_state", 5.0),
    ],
)
def test_the_last_word_is_about_what_is_in_the_way(
    wants: list[tuple[What, float]], ref: str, after: float | None
) -> None:
    fleet = ordered("a", "b")
    plan = fleet.plan()
    first = fill(fleet, plan, plan.first(fleet.now), refused(*wants[0]))
    assert first.candidate is not None
    last = fill(fleet, plan, first.candidate, refused(*wants[1]))

    assert isinstance(last.error, ProxyError)
    assert (last.error.ref, last.error.retry_after) == (ref, after)


def test_those_who_come_after_are_told_the_true_time_too() -> None:
    fleet = ordered("a")
    plan = fleet.plan()
    fill(fleet, plan, plan.first(fleet.now), refused("quota_requests", 3600.0))
    fleet.now += 0.5

    word = raised(fleet)

    assert (word.ref, word.retry_after) == ("no_quota", 3599.5)


def test_what_was_asked_says_more_than_what_was_full() -> None:
    fleet = ordered("a", "b")
    plan = fleet.plan()
    step = fill(fleet, plan, plan.first(fleet.now), refused("rpm", 30.0))
    assert step.candidate is not None
    candidate: Candidate | None = step.candidate
    while candidate is not None:
        step = fleet.fail(plan, candidate, REFUSED)
        candidate = step.candidate

    assert isinstance(step.error, ProxyError)
    assert step.error.ref == "no_up"


def test_the_sooner_of_a_providers_limit_and_ours_is_told() -> None:
    fleet = ordered("a", "b")
    plan = fleet.plan()
    step = fill(fleet, plan, plan.first(fleet.now), refused("rpm", 30.0))
    assert step.candidate is not None
    last = fleet.fail(plan, step.candidate, limited(50.0))

    assert isinstance(last.error, ProxyError)
    assert (last.error.ref, last.error.retry_after) == ("limit", 30.0)


def test_a_probe_that_found_no_room_proves_nothing() -> None:
    fleet = ordered("a", "b")
    break_open(fleet, "m/0:a")
    fleet.now += 30.0
    plan = fleet.plan()
    probe = plan.first(fleet.now)
    assert (probe.deployment.id, probe.probe) == ("m/0:a", PROBE)

    step = fill(fleet, plan, probe, refused("concurrency", 0.0))

    assert step.candidate is not None
    assert fleet.live.deployments["m/0:a"].phase != OPEN
    again = fleet.plan().first(fleet.now)
    assert (again.deployment.id, again.probe) == ("m/0:a", PROBE)


def test_a_last_resort_is_not_sought_where_there_is_no_room() -> None:
    fleet = ordered("a")
    break_open(fleet)
    fleet.live.deployments["m/0:a"].room.fill("rpm", 0.5, fleet.now)

    assert raised(fleet).ref == "limit"


def test_a_wait_before_the_first_attempt_is_no_retry() -> None:
    """Whoever came while everything rested is tried again as often as anybody else."""
    counts = []
    for resting in (False, True):
        fleet = ordered("a", retry=Retry(count=1))
        if resting:
            earlier = fleet.plan()
            fleet.fail(earlier, earlier.first(fleet.now), limited(1.0))
        tried, _, _ = fleet.exhaust(limited(1.0))
        counts.append(len(tried))

    assert counts == [2, 2]
