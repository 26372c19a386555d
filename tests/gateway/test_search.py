"""Who is asked next after each way of failing, up to the last."""

from __future__ import annotations

from contextlib import suppress
from heapq import heappop, heappush
from random import Random
from typing import TYPE_CHECKING

import pytest

from proxy.core.errors import Cause, ProxyError, UpstreamError
from proxy.core.model import Health, Retry
from proxy.state.health import CLOSED
from proxy.state.rests import Refusal
from tests.gateway.fleet import (
    DENIED,
    REFUSED,
    SERVER,
    SILENT,
    Fleet,
    error,
    limited,
    model,
    ordered,
    provider,
    reference,
)

if TYPE_CHECKING:
    from proxy.gateway.plan import Candidate, Plan

A, B, C = provider("a"), provider("b"), provider("c")


def seconds(fleet: Fleet, *errors: UpstreamError) -> float:
    began = fleet.now
    fleet.exhaust(*errors)
    return fleet.now - began


def raised(fleet: Fleet, name: str = "m") -> ProxyError:
    with pytest.raises(ProxyError) as caught:
        fleet.plan(name).first(fleet.now)
    return caught.value


def break_open(fleet: Fleet, *ids: str) -> None:
    for id in ids or tuple(fleet.live.deployments):
        for _ in range(5):
            fleet.live.deployments[id].bad(fleet.now, 1.0, 0, fleet.rng)


# --- the server's fault ---


def test_a_lone_deployment_is_tried_again_with_full_jitter() -> None:
    fleet = ordered("a")

    tried, kinds, word = fleet.exhaust(SERVER)

    assert tried == ["m/0:a"] * 3
    assert kinds == ["retry", "retry", "stop"]
    assert isinstance(word, ProxyError)
    assert (word.ref, word.should_retry) == ("up_spent", None)
    assert "3 attempts: http_5xx, http_5xx, http_5xx" in word.message


def test_the_pause_before_a_retry_is_bounded() -> None:
    assert all(
        0.0 <= seconds(Fleet(model("m", A), seed=seed), SERVER) <= 0.25 + 0.5 for seed in range(20)
    )


def test_one_retry_is_enough_when_a_healthy_sibling_waits() -> None:
    tried, kinds, _ = ordered("a", "b").exhaust(SERVER)

    assert tried == ["m/0:a", "m/0:a", "m/1:b", "m/1:b", "m/1:b"]
    assert kinds == ["retry", "switch", "retry", "retry", "stop"]


def test_a_sibling_that_is_out_does_not_wait() -> None:
    fleet = ordered("a", "b")
    break_open(fleet, "m/1:b")

    assert fleet.exhaust(SERVER)[0] == ["m/0:a"] * 3


def test_no_attempt_is_made_beyond_the_limit() -> None:
    tried, _, word = ordered("a", "b", "c", "d").exhaust(SERVER)

    assert len(tried) == 6
    assert reference(word) == "up_spent"


def test_another_model_comes_last_and_each_only_once() -> None:
    fleet = Fleet(
        model("m", A, fallbacks=("n",), retry=Retry(count=0)),
        model("n", B, fallbacks=("m", "o"), retry=Retry(count=0)),
        model("o", C, fallbacks=("n", "m"), retry=Retry(count=0)),
    )

    tried, kinds, _ = fleet.exhaust(SERVER)

    assert tried == ["m/0:a", "n/0:b", "o/0:c"]
    assert kinds == ["fallback", "fallback", "stop"]


def test_a_switch_is_immediate() -> None:
    assert seconds(ordered("a", "b", retry=Retry(count=0)), SERVER) == 0.0


def test_a_single_plain_refusal_is_passed_on() -> None:
    assert ordered("a", retry=Retry(count=0)).exhaust(SERVER)[2] is SERVER


# --- not reached, not answered ---


def test_a_refused_connection_goes_to_a_sibling_at_once() -> None:
    fleet = ordered("a", "b")

    tried, kinds, word = fleet.exhaust(REFUSED)

    assert tried[:2] == ["m/0:a", "m/1:b"]
    assert kinds[0] == "switch"
    assert reference(word) == "no_up"


def test_a_refused_connection_without_a_sibling_is_tried_again() -> None:
    assert ordered("a", fallbacks=("n",)).exhaust(REFUSED)[0][:4] == ["m/0:a"] * 3 + ["n/0:c"]


def test_refused_connections_cost_no_retry_tokens() -> None:
    fleet = ordered("a", "b")
    before = fleet.live.budgets["m"].level

    fleet.exhaust(REFUSED)

    assert fleet.live.budgets["m"].level >= before


@pytest.mark.parametrize("cause", [Cause.TIMEOUT_TTFT, Cause.TIMEOUT_CONNECT, Cause.TIMEOUT_IDLE])
def test_a_silent_deployment_is_never_asked_again(cause: Cause) -> None:
    assert ordered("a").exhaust(error(cause))[0] == ["m/0:a"]

    tried, kinds, word = ordered("a", "b", fallbacks=("n",)).exhaust(error(cause))
    assert tried == ["m/0:a", "m/1:b", "n/0:c"]
    assert kinds == ["switch", "fallback", "stop"]
    assert reference(word) == "up_time"


def test_a_silent_deployment_is_not_asked_again_with_a_key_that_was_cooling() -> None:
    fleet = Fleet(model("m", provider("a", 2)))
    fleet.live.accounts["a#0"].state("up").cool(
        Refusal(Cause.RATE_LIMIT, fleet.now, 429, 1.0), fleet.now, fleet.rng
    )

    assert fleet.exhaust(SILENT)[0] == ["m/0:a"]


def test_a_sibling_that_cools_for_a_moment_is_waited_for_when_nobody_else_is_left() -> None:
    fleet = ordered("a", "b")
    fleet.live.accounts["a#0"].state("up").cool(
        Refusal(Cause.RATE_LIMIT, fleet.now, 429, 1.0), fleet.now, fleet.rng
    )

    assert fleet.exhaust(SILENT)[0] == ["m/1:b", "m/0:a"]


def test_a_pool_without_a_free_connection_goes_to_a_sibling_and_then_sheds() -> None:
    tried, _, word = ordered("a", "b", fallbacks=("n",)).exhaust(error(Cause.POOL, sent=False))

    assert tried == ["m/0:a", "m/1:b"]
    assert reference(word) == "shed"


def test_a_bad_certificate_and_a_redirect_are_tried_elsewhere_only() -> None:
    for cause, status in ((Cause.TLS, 0), (Cause.REDIRECT, 302)):
        tried, _, word = ordered("a", "b").exhaust(error(cause, status))
        assert tried == ["m/0:a", "m/1:b"]
        assert reference(word) == "bad_up"


# --- rate limits ---


def test_a_short_rate_limit_is_waited_for_when_there_is_no_sibling() -> None:
    fleet = ordered("a", fallbacks=("n",))
    plan = fleet.plan()
    candidate = plan.first(fleet.now)

    step = fleet.fail(plan, candidate, limited(2.0))

    assert step.kind == "retry"
    assert 2.0 <= step.delay <= 2.4
    assert step.candidate is not None
    plan.succeeded(step.candidate, fleet.now, 0.1)
    assert fleet.live.accounts["a#0"].state("up").remaining(fleet.now) == 0.0


def test_a_rate_limit_that_does_not_end_leads_to_another_model_after_one_wait() -> None:
    tried, kinds, word = ordered("a", fallbacks=("n",)).exhaust(limited(2.0))

    assert tried[:3] == ["m/0:a", "m/0:a", "n/0:c"]
    assert kinds[:2] == ["retry", "fallback"]
    assert reference(word) == "limit"


def test_a_long_rate_limit_leads_to_another_model_at_once() -> None:
    tried, kinds, _ = ordered("a", fallbacks=("n",)).exhaust(limited(30.0))

    assert tried[:2] == ["m/0:a", "n/0:c"]
    assert kinds[0] == "fallback"


def test_another_credential_comes_before_a_sibling_and_that_before_any_wait() -> None:
    fleet = Fleet(model("m", provider("a", 2), B, priorities=(1, 2)))

    plan = fleet.plan()
    steps = [fleet.fail(plan, plan.first(fleet.now), limited(2.0))]
    for _ in range(2):
        candidate = steps[-1].candidate
        assert candidate is not None
        steps.append(fleet.fail(plan, candidate, limited(2.0)))

    ids = [step.candidate.deployment.id for step in steps if step.candidate is not None]
    assert ids == ["m/0:a", "m/1:b", "m/0:a"] or ids == ["m/0:a", "m/1:b", "m/1:b"]
    assert [step.delay > 0.0 for step in steps] == [False, False, True]


def test_a_key_is_left_alone_while_it_cools() -> None:
    fleet = Fleet(model("m", provider("a", 2)))
    plan = fleet.plan()
    candidate = plan.first(fleet.now)
    step = fleet.fail(plan, candidate, limited(2.0))
    assert step.candidate is not None
    plan.ended(step.candidate)
    cooled = candidate.credential

    until = fleet.now + 2.0
    while fleet.now < until:
        used = fleet.plan().first(fleet.now).credential
        assert used is not cooled
        fleet.now += 0.05


def test_an_exhausted_rate_limit_names_the_true_time_left() -> None:
    fleet = Fleet(model("m", provider("a", 2)))

    _, _, word = fleet.exhaust(limited(20.0), limited(10.0))

    assert isinstance(word, ProxyError)
    assert word.ref == "limit"
    assert word.retry_after is not None
    assert 10.0 <= word.retry_after <= 12.0


def test_a_wait_beyond_a_minute_tells_the_client_not_to_retry() -> None:
    _, _, word = Fleet(model("m", provider("a", 2))).exhaust(limited(200.0))

    assert isinstance(word, ProxyError)
    assert word.should_retry is False or (word.retry_after or 0.0) <= 60.0


def test_a_request_that_meets_a_short_rate_limit_waits_before_its_first_attempt() -> None:
    fleet = ordered("a", fallbacks=("n",))
    fleet.exhaust(limited(2.0), SILENT)
    fleet.now = fleet.live.accounts["a#0"].state("up").until - 1.0

    plan = fleet.plan()
    candidate = plan.first(fleet.now)

    assert candidate.deployment.id == "m/0:a"
    assert plan.pause == pytest.approx(1.0)


def test_a_request_that_meets_a_long_rate_limit_is_told_how_long() -> None:
    fleet = ordered("a")
    fleet.exhaust(limited(30.0))

    word = raised(fleet)

    assert word.ref == "limit"
    assert word.retry_after is not None
    assert 30.0 <= word.retry_after <= 36.0


def test_a_guessed_rest_does_not_take_the_last_key_from_others() -> None:
    fleet = ordered("a")
    plan = fleet.plan()
    step = fleet.fail(plan, plan.first(fleet.now), limited(None))
    assert 1.0 <= step.delay <= 2.0
    fleet.now -= step.delay

    others = fleet.plan()

    assert others.first(fleet.now).deployment.id == "m/0:a"
    assert others.pause == 0.0


def test_one_in_ten_rate_limited_without_a_hint_is_no_error_for_anybody() -> None:
    fleet, die, failed = ordered("a"), Random(4), 0
    due: list[tuple[float, int, Plan, Candidate]] = []
    for at in range(5000):
        fleet.now = 1000.0 + at / 100
        plan = fleet.plan()
        heappush(due, (fleet.now, at, plan, plan.first(fleet.now)))
        while due and due[0][0] <= fleet.now:
            now, number, plan, candidate = heappop(due)
            plan.ended(candidate)
            if die.random() >= 0.1:
                plan.succeeded(candidate, now, 0.1)
                continue
            step = plan.failed(candidate, limited(None), now)
            failed += step.candidate is None
            if step.candidate is not None:
                heappush(due, (now + step.delay, number, plan, step.candidate))

    assert failed <= 5


def test_a_rate_limit_never_opens_a_circuit() -> None:
    fleet = ordered("a")

    for _ in range(10):
        fleet.exhaust(limited(None))

    assert fleet.live.deployments["m/0:a"].phase == CLOSED


# --- credentials ---


def test_a_refused_credential_gives_way_to_the_next_and_then_to_a_sibling() -> None:
    fleet = Fleet(model("m", provider("a", 2), B, priorities=(1, 2)))

    tried, kinds, word = fleet.exhaust(DENIED)

    assert tried == ["m/0:a", "m/0:a", "m/1:b"]
    assert kinds == ["switch", "switch", "stop"]
    assert reference(word) == "up_auth"


def test_with_every_credential_refused_one_request_a_second_tries() -> None:
    fleet = ordered("a")
    fleet.exhaust(DENIED)

    plan = fleet.plan()
    trial = plan.first(fleet.now)
    assert raised(fleet).ref == "up_auth"
    fleet.now += 1.0
    plan.succeeded(trial, fleet.now, 0.1)

    assert fleet.serve() == "m/0:a"
    assert fleet.live.accounts["a#0"].state("up").reason is None


def test_a_forbidden_request_does_not_shut_the_only_credential_to_others() -> None:
    fleet = ordered("a")
    fleet.exhaust(error(Cause.AUTH, 403))

    assert fleet.serve() == "m/0:a"


def test_a_spent_account_gives_way_and_is_named_in_the_end() -> None:
    fleet = ordered("a", "b")

    tried, _, word = fleet.exhaust(error(Cause.QUOTA, 402))

    assert tried == ["m/0:a", "m/1:b"]
    assert isinstance(word, ProxyError)
    assert (word.code, word.should_retry) == ("upstream_quota_exhausted", False)


def test_a_provider_without_credentials_cools_the_deployment() -> None:
    fleet = Fleet(model("m", provider("a", 0), provider("b", 0), priorities=(1, 2)))
    plan = fleet.plan()
    candidate = plan.first(fleet.now)
    assert (candidate.credential, candidate.credential_state) == (None, None)

    step = fleet.fail(plan, candidate, limited(20.0))

    assert step.kind == "switch"
    assert fleet.serve() == "m/1:b"
    assert fleet.live.deployments["m/0:a"].cooldown.remaining(fleet.now) >= 20.0


# --- the client's own ---


def test_a_client_error_is_passed_on_and_harms_nobody() -> None:
    fleet = ordered("a", "b", fallbacks=("n",))
    refusal = error(Cause.CLIENT, 422)

    for _ in range(20):
        tried, _, word = fleet.exhaust(refusal)
        assert (tried, word) == (["m/0:a"], refusal)

    assert fleet.live.deployments["m/0:a"].health == 1.0


def test_an_unknown_model_is_looked_for_at_the_sibling_and_then_passed_on() -> None:
    missing = error(Cause.NOT_FOUND, 404)

    tried, _, word = ordered("a", "b", fallbacks=("n",)).exhaust(missing)

    assert tried == ["m/0:a", "m/1:b"]
    assert word is missing


def test_a_sibling_that_lacks_the_model_does_not_turn_an_outage_into_a_404() -> None:
    fleet = ordered("a", "b", retry=Retry(count=0))

    assert reference(fleet.exhaust(SERVER, error(Cause.NOT_FOUND, 404))[2]) == "up_spent"


TOO_LONG = error(Cause.CONTEXT, 400)
FILTERED = error(Cause.CONTENT, 400)


def test_a_prompt_too_long_goes_to_the_models_named_for_it_else_to_any_fallback() -> None:
    big, other = model("big", B), model("other", C)

    named = Fleet(model("m", A, A, fallbacks=("other",), context=("big",)), big, other)
    assert named.exhaust(TOO_LONG, SERVER)[0][1:] == ["big/0:b"] * 3

    general = Fleet(model("m", A, A, fallbacks=("other",)), other)
    tried, _, word = general.exhaust(TOO_LONG)
    assert tried[1:] == ["other/0:c"]
    assert word is TOO_LONG

    alone = Fleet(model("m", A))
    assert alone.exhaust(TOO_LONG)[2] is TOO_LONG


def test_a_safety_refusal_is_never_routed_around_unless_models_are_named_for_it() -> None:
    tried, kinds, word = ordered("a", "b", fallbacks=("n",)).exhaust(FILTERED)
    assert (tried, kinds, word) == (["m/0:a"], ["stop"], FILTERED)

    named = Fleet(
        model("m", A, fallbacks=("other",), content=("lenient",)),
        model("lenient", B, fallbacks=("other",), retry=Retry(count=0)),
        model("other", C),
    )
    assert named.exhaust(FILTERED, SERVER)[0] == ["m/0:a", "lenient/0:b"]


def test_an_error_inside_a_200_counts_as_the_status_it_stands_for() -> None:
    def inside(status: int) -> UpstreamError:
        return error(Cause.IN_BAND, status)

    assert len(ordered("a").exhaust(inside(0))[0]) == 3
    assert ordered("a").exhaust(inside(400))[0] == ["m/0:a"]
    assert reference(ordered("a").exhaust(inside(401))[2]) == "up_auth"
    assert reference(ordered("a").exhaust(inside(429))[2]) == "limit"


def test_our_own_mistake_is_not_repeated() -> None:
    tried, _, word = ordered("a", "b", fallbacks=("n",)).exhaust(error(Cause.LOCAL))

    assert tried == ["m/0:a"]
    assert reference(word) == "oops"


# --- a crowd, and a host that refuses most ---


def crowded(count: int) -> float:
    """Seconds until a sibling is asked, when so many others were under way at the deployment that failed."""
    fleet = ordered("a", "b", retry=Retry(count=0))
    fleet.live.deployments["m/0:a"].inflight += count
    return seconds(fleet, SERVER)


def test_a_crowd_spreads_out_over_a_moment() -> None:
    assert crowded(0) == 0.0
    assert 0.0 < crowded(20) <= 0.02
    assert 0.0 < crowded(100_000) <= 0.05


def test_who_would_not_wait_for_a_silent_one_does_not_wait_again() -> None:
    fleet = ordered("a", "b")
    fleet.live.deployments["m/0:a"].inflight += 1000

    assert seconds(fleet, SILENT) == 0.0


def refusing(fleet: Fleet, *ids: str) -> None:
    """The hosts of these have refused nearly all of late, and are being asked."""
    for id in ids:
        acceptance = fleet.live.deployments[id].acceptance
        for _ in range(10_000):
            acceptance.sent(fleet.now)
            acceptance.refused(fleet.now)


def test_a_host_that_refuses_most_is_asked_less_while_another_is_left() -> None:
    fleet = ordered("a", "b")
    refusing(fleet, "m/0:a")

    assert {fleet.serve() for _ in range(20)} == {"m/1:b"}
    fleet.now += 1.0
    assert fleet.serve() == "m/0:a"
    assert fleet.serve() == "m/1:b"


def test_what_is_never_taken_out_is_not_passed_over() -> None:
    fleet = Fleet(model("m", A, B, priorities=(1, 2)), health=Health(enabled=False))
    refusing(fleet, "m/0:a")

    assert fleet.serve() == "m/0:a"


def test_another_model_takes_what_is_held_back() -> None:
    fleet = ordered("a", fallbacks=("n",))
    refusing(fleet, "m/0:a")

    assert fleet.serve() == "n/0:c"


def test_when_all_refuse_most_that_is_said_early() -> None:
    fleet = ordered("a", "b")
    refusing(fleet, "m/0:a", "m/1:b")

    word = raised(fleet)

    assert (word.ref, word.retry_after) == ("no_up", 1.0)
    assert fleet.in_flight() == 0
    fleet.now += 1.0
    assert fleet.serve() == "m/0:a"


def test_what_is_alone_is_never_held_back() -> None:
    fleet = ordered("a")
    refusing(fleet, "m/0:a")

    assert fleet.serve() == "m/0:a"


def test_refusals_are_counted_and_answers_with_a_head_are_none() -> None:
    fleet = Fleet(
        model("m", A, B, retry=Retry(count=0), priorities=(1, 2)), health=Health(enabled=False)
    )
    acceptance = fleet.live.deployments["m/0:a"].acceptance
    for _ in range(30):
        fleet.exhaust(error(Cause.TIMEOUT_TTFT, 200))
    assert acceptance.share(fleet.now) == 0.0

    for _ in range(100):
        with suppress(ProxyError):
            fleet.exhaust(SERVER)
    assert acceptance.share(fleet.now) > 0.3


def test_a_circuit_that_closes_forgets_what_was_refused() -> None:
    fleet = ordered("a", "b")
    break_open(fleet, "m/0:a")
    refusing(fleet, "m/0:a")
    fleet.now += 2.0

    assert [fleet.serve() for _ in range(3)] == ["m/0:a"] * 3
    assert fleet.live.deployments["m/0:a"].acceptance.share(fleet.now) == 0.0
