"""What a client says of its time, and what is still begun by then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from proxy.core.errors import Cause, ProxyError
from proxy.core.model import Price, Retry, Snapshot, Timeouts
from proxy.gateway.deadline import HEADER, HEADERS, HINTS, LATENESS, Deadline, late, read
from proxy.gateway.plan import Candidate
from proxy.state.health import CLOSED
from tests.gateway.asked import CHAT, provider, raw, snapshot
from tests.gateway.fleet import DENIED, SERVER, Fleet, error, limited, model, ordered, reference
from tests.gateway.fleet import provider as place
from tests.gateway.recorded import Ledger, recording
from tests.gateway.served import CHUNK, STREAM, STREAMED, Provider, chunk, serving, silent, whole
from tests.line.harness import read_request, scripted

STREAMING = b'{"model":"m","messages":[],"stream":true}'
BODY = b'{"model":"m","messages":[]}'
SECONDS = st.floats(0.001, 10_000.0)


def headers(*pairs: tuple[str, str]) -> CIMultiDict[str]:
    return CIMultiDict(pairs)


# --- what is read ---


def test_a_request_without_any_of_the_headers_has_no_deadline() -> None:
    assert read(headers(("host", "x")), 5.0) is None


def test_the_explicit_one_is_in_milliseconds_and_cuts() -> None:
    assert read(headers(("X-Request-Deadline-Ms", "250.5")), 10.0) == Deadline(10.2505, 10.2505)


@pytest.mark.parametrize("name", HINTS)
def test_a_hint_is_in_seconds_and_does_not(name: str) -> None:
    assert read(headers((name, "2.5")), 10.0) == Deadline(12.5, inf)


@pytest.mark.parametrize("text", ["", "abc", "NaN", "inf", "1e3", "5,6", "0x10", "1" * 13])
def test_an_explicit_one_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ProxyError) as refused:
        read(headers((HEADER, text)), 0.0)

    assert (refused.value.row.status, refused.value.code) == (400, "invalid_deadline")


def test_two_explicit_ones_are_refused() -> None:
    with pytest.raises(ProxyError):
        read(headers((HEADER, "5"), (HEADER, "6")), 0.0)


@pytest.mark.parametrize("text", ["", "abc", "NaN", "-1", "0", "1e3", "600s"])
def test_a_hint_that_is_no_time_is_as_good_as_none(text: str) -> None:
    assert read(headers((HINTS[0], text)), 0.0) is None


@given(st.lists(SECONDS, max_size=3), st.none() | st.floats(-1000.0, 1e6), st.floats(0.0, 1e6))
def test_the_shortest_counts_and_only_the_explicit_one_cuts(
    hints: list[float], explicit: float | None, started: float
) -> None:
    pairs = [(name, f"{value:.3f}") for name, value in zip(HINTS, hints, strict=False)]
    if explicit is not None:
        pairs.append((HEADER, f"{explicit:.3f}"))

    found = read(headers(*pairs), started)

    ends = [started + float(text) for name, text in pairs if name != HEADER]
    cut = inf if explicit is None else started + float(f"{explicit:.3f}") / 1000
    if not pairs:
        assert found is None
    else:
        assert found == Deadline(min([*ends, cut]), cut)


@given(SECONDS, SECONDS, SECONDS, SECONDS)
def test_what_is_usually_in_time_may_be_in_time(
    at: float, now: float, usual: float, delay: float
) -> None:
    state = Fleet(model("m", place("a"))).live.deployments["m/0:a"]
    for _ in range(20):
        state.latency.observe(now, usual)
    deadline = Deadline(at)

    assert deadline.left(now) == max(at - now, 0.0)
    assert not deadline.meets(state, now, delay) or deadline.holds(state, now, delay)
    assert deadline.holds(state, now, delay) is (now + delay + LATENESS * usual < at)
    assert not deadline.holds(state, now, delay) or deadline.holds(state, now)


def test_the_headers_are_found_however_they_are_written() -> None:
    found = CIMultiDict({"X-Request-DEADLINE-ms": "5"})

    assert not found.keys().isdisjoint(HEADERS)


def test_who_only_hinted_may_ask_again() -> None:
    assert late(Deadline(5.0, 5.0)).should_retry is False
    assert late(Deadline(5.0)).should_retry is None


def test_an_answer_that_has_begun_is_bound_by_the_explicit_one_only() -> None:
    assert Deadline(3.0, 5.0).begun() == Deadline(5.0, 5.0)
    assert Deadline(3.0).begun() is None


# --- who is asked ---


def observed(fleet: Fleet, **usual: float) -> Fleet:
    """Each of these deployments has usually taken so long."""
    for id, state in fleet.live.deployments.items():
        for _ in range(20):
            state.latency.observe(fleet.now, usual[id.partition(":")[2]])
    return fleet


def first(fleet: Fleet, seconds: float, *, hard: bool = True) -> Candidate:
    plan = fleet.plan()
    end = fleet.now + seconds
    plan.deadline = Deadline(end, end if hard else inf)
    return plan.first(fleet.now)


def test_one_that_is_usually_too_slow_is_stepped_over_while_another_is_left() -> None:
    fleet = observed(ordered("a", "b"), a=3.0, b=0.5)

    assert first(fleet, 2.0).deployment.id == "m/1:b"
    assert first(fleet, 4.0).deployment.id == "m/0:a"


def test_a_deployment_that_may_be_in_time_comes_before_another_model() -> None:
    fleet = observed(ordered("a", fallbacks=("n",)), a=3.0, c=0.1)

    assert first(fleet, 2.0).deployment.id == "m/0:a"
    assert first(fleet, 1.0).deployment.id == "n/0:c"


def test_when_nobody_can_be_in_time_that_is_said_at_once() -> None:
    fleet = observed(ordered("a", "b", fallbacks=("n",)), a=3.0, b=5.0, c=4.0)

    with pytest.raises(ProxyError) as refused:
        first(fleet, 1.0)

    assert (refused.value.ref, refused.value.should_retry) == ("late", False)
    assert fleet.in_flight() == 0


def test_a_hint_keeps_nobody_from_its_first_attempt() -> None:
    fleet = observed(ordered("a"), a=3.0)

    assert first(fleet, 1.0, hard=False).deployment.id == "m/0:a"


def test_one_of_which_nothing_is_known_may_be_in_time() -> None:
    assert first(ordered("a"), 0.01).deployment.id == "m/0:a"


def test_what_was_slow_is_tried_again_after_a_while() -> None:
    fleet = observed(ordered("a"), a=3.0)
    with pytest.raises(ProxyError):
        first(fleet, 1.0)

    fleet.now += 60.0

    assert first(fleet, 1.0).deployment.id == "m/0:a"


def test_after_a_failure_there_must_be_time_left_for_another() -> None:
    fleet = observed(ordered("a", "b", retry=Retry(count=0)), a=0.1, b=1.0)
    plan = fleet.plan()
    plan.deadline = Deadline(fleet.now + 1.5, fleet.now + 1.5)
    candidate = plan.first(fleet.now)
    fleet.now += 1.2

    step = fleet.fail(plan, candidate, SERVER)

    assert step.error is not None
    assert reference(step.error) == "late"
    assert fleet.in_flight() == 0


def test_who_was_stepped_over_is_asked_when_the_quick_one_failed() -> None:
    fleet = observed(ordered("a", "b", fallbacks=("n",)), a=3.0, b=0.1, c=0.1)
    plan = fleet.plan()
    plan.deadline = Deadline(fleet.now + 2.5, fleet.now + 2.5)
    candidate = plan.first(fleet.now)
    assert candidate.deployment.id == "m/1:b"

    step = fleet.fail(plan, candidate, DENIED)

    assert step.candidate is not None
    assert step.candidate.deployment.id == "m/0:a"


def test_a_pause_beyond_the_deadline_is_not_begun() -> None:
    fleet = Fleet(model("m", place("a")))
    plan = fleet.plan()
    plan.deadline = Deadline(fleet.now + 1.0)

    step = fleet.fail(plan, plan.first(fleet.now), limited(2.0))

    assert step.error is not None
    assert reference(step.error) == "late"


def test_the_clients_time_being_over_is_nobodys_failure() -> None:
    fleet = ordered("a", "b")
    plan = fleet.plan()
    plan.deadline = Deadline(fleet.now + 1.0, fleet.now + 1.0)
    candidate = plan.first(fleet.now)
    fleet.now += 1.0

    step = fleet.fail(plan, candidate, error(Cause.DEADLINE))

    state = fleet.live.deployments["m/0:a"]
    assert step.error is not None
    assert reference(step.error) == "late"
    assert (state.phase, state.streak, state.latency.p95) == (CLOSED, 0.0, None)
    assert state.ewma_ttft >= 1.0


def test_a_refusal_of_the_request_itself_is_still_passed_on() -> None:
    fleet = ordered("a", "b")
    plan = fleet.plan()
    plan.deadline = Deadline(fleet.now + 1.0, fleet.now + 1.0)
    refusal = error(Cause.CLIENT, 422)

    assert fleet.fail(plan, plan.first(fleet.now), refusal).error is refusal


def test_an_attempt_is_not_given_up_for_one_that_could_not_be_in_time() -> None:
    fleet = observed(ordered("a", "b"), a=0.1, b=2.0)
    plan = fleet.plan()
    plan.deadline = Deadline(fleet.now + 2.5, fleet.now + 2.5)
    candidate = plan.first(fleet.now)

    assert plan.ttft_limit(candidate) == candidate.deployment.timeouts.ttft


SHAPES = st.lists(st.tuples(st.floats(0.01, 20.0), st.booleans()), min_size=1, max_size=4)


@given(SHAPES, st.floats(0.01, 10.0), st.lists(st.floats(0.0, 3.0), min_size=1, max_size=6))
def test_nothing_is_begun_that_cannot_be_in_time(
    shapes: list[tuple[float, bool]], seconds: float, took: list[float]
) -> None:
    names = [f"p{at}" for at in range(len(shapes))]
    fleet = ordered(*names)
    for name, (usual, known) in zip(names, shapes, strict=True):
        if known:
            state = fleet.live.deployments[f"m/{names.index(name)}:{name}"]
            for _ in range(20):
                state.latency.observe(fleet.now, usual)
    plan = fleet.plan()
    plan.deadline = Deadline(fleet.now + seconds, fleet.now + seconds)
    candidate: Candidate | None = None
    with suppress(ProxyError):
        candidate = plan.first(fleet.now)
    for each in took:
        if candidate is None:
            break
        usual = candidate.state.latency.usual(fleet.now)
        assert fleet.now + LATENESS * usual < plan.deadline.at
        fleet.now += each
        candidate = fleet.fail(plan, candidate, SERVER).candidate
    if candidate is not None:
        plan.ended(candidate)
    assert fleet.in_flight() == 0


# --- the whole line ---


def ask(milliseconds: float, body: bytes = STREAMING, name: str = HEADER) -> bytes:
    return raw("POST", CHAT, body, f"{name}: {milliseconds}")


async def begun(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Begins an answer and goes no further."""
    await read_request(reader)
    writer.write(STREAM + chunk(CHUNK))
    await reader.read()


def one(url: str, **fields: float) -> Snapshot:
    return snapshot(provider(url), timeouts=Timeouts(**fields))


@pytest.mark.parametrize("body", [BODY, STREAMING], ids=["whole", "stream"])
async def test_a_provider_that_says_nothing_is_left_in_time(body: bytes) -> None:
    async with scripted(silent) as url, serving(one(url)) as served:
        answer = await served.ask(ask(50, body))

        assert (answer.status, answer.json["error"]["code"]) == (504, "deadline_exceeded")
        assert answer.headers["x-should-retry"] == "false"
        state = served.state.live.deployments["m/0:p"]
        assert state.streak == 0.0
        exceeded = served.state.metrics.deadline_exceeded
        assert exceeded.child("m", "waiting").value == 1


async def test_a_stream_ends_with_an_error_when_the_time_is_over() -> None:
    async with scripted(begun) as url, serving(one(url)) as served:
        answer = await served.ask(ask(700))

        assert (answer.status, answer.complete) == (200, False)
        assert answer.text == "hello"
        assert answer.events[-1]["error"]["code"] == "deadline_exceeded"
        assert served.state.live.deployments["m/0:p"].streak == 0.0


async def test_a_hint_does_not_cut_what_has_begun() -> None:
    async with scripted(begun) as url, serving(one(url, idle=1.0)) as served:
        answer = await served.ask(ask(0.7, name=HINTS[0]))

        assert answer.events[-1]["error"]["code"] == "upstream_idle_timeout"


async def test_a_hint_bounds_what_is_waited_for() -> None:
    async with scripted(silent) as url, serving(one(url)) as served:
        answer = await served.ask(ask(0.05, name=HINTS[1]))

        assert (answer.status, answer.json["error"]["code"]) == (504, "deadline_exceeded")
        assert "x-should-retry" not in answer.headers


async def test_no_time_at_all_is_answered_without_asking_anybody() -> None:
    upstream = Provider(whole())
    async with scripted(upstream) as url, serving(one(url)) as served:
        answer = await served.ask(ask(0, BODY))

        assert (answer.status, upstream.requests) == (504, [])
        assert served.state.metrics.deadline_exceeded.child("m", "queued").value == 1


async def test_a_number_that_cannot_be_read_is_the_clients_mistake() -> None:
    async with serving(snapshot(provider())) as served:
        answer = await served.ask(raw("POST", CHAT, BODY, f"{HEADER}: soon"))

        assert (answer.status, answer.json["error"]["code"]) == (400, "invalid_deadline")


async def test_there_is_time_enough() -> None:
    async with scripted(Provider(STREAMED)) as url, serving(one(url)) as served:
        answer = await served.ask(ask(60_000))

        assert (answer.status, answer.complete, answer.text) == (200, True, "hello")


REFUSALS: dict[str, Callable[[], bytes]] = {
    "/v1/messages": lambda: b'{"type":"error","error":{"type":"timeout_error"',
    "/v1beta/models/m:generateContent": lambda: b'"status":"DEADLINE_EXCEEDED"',
}


@pytest.mark.parametrize("path", REFUSALS)
async def test_each_family_is_told_in_its_own_words(path: str) -> None:
    async with scripted(silent) as url, serving(one(url)) as served:
        body = b'{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}'
        answer = await served.ask(raw("POST", path, body, f"{HEADER}: 0"))

        assert answer.status == 504
        assert REFUSALS[path]() in answer.body


async def test_what_was_cut_is_charged_as_what_its_client_left(ledger: Ledger) -> None:
    async with scripted(begun) as url:
        settings = snapshot(provider(url), price=Price(input=3.0, output=15.0))
        async with recording(settings, ledger) as served:
            answer = await served.ask(ask(700))
            end = await ledger.end()

    assert answer.events[-1]["error"]["code"] == "deadline_exceeded"
    assert (end.status, end.outcome, end.source, end.cause) == (200, "deadline", "estimated", "")
    assert [(one.outcome, one.cause) for one in end.tries] == [("cancelled", "")]
    assert end.cost > 0
