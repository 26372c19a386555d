"""Rows say what was counted and seen since the mark, and null for what never was."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.control.admin import figures
from proxy.control.admin.figures import Marks, Row, models, requests, tokens, total
from proxy.core.clock import Hands
from proxy.core.model import Deployment, Model
from proxy.state.state import State
from tests.control.admin.counted import A, B, C, broken, finished, snapshot, state, tried, used


def rows(one: State, marks: Marks) -> list[Row]:
    return list(figures.rows(one, marks))


def test_a_worker_nobody_has_asked() -> None:
    found = rows(state(), Marks(0.0))

    assert [(row.id, row.model, row.provider) for row in found] == [
        ("m/0:first", "m", "first"),
        ("m/1:second", "m", "second"),
        ("w/*/0:first", "w/*", "first"),
    ]
    for row in found:
        assert (row.requests, row.succeeded, row.failed, row.selections) == (0, 0, 0, 0)
        assert (row.latency, row.health, row.opened) == (None, 1.0, 0)
    assert total(found).success_rate is None
    assert total(found).mean is None


def test_tries_are_counted_where_they_were_made_and_not_when_the_client_left() -> None:
    one = state()
    tried(one, A, "ok", 3)
    tried(one, A, "switch")
    tried(one, A, "cancelled", 5)
    tried(one, B, "final_error", 2)

    first, second, third = rows(one, Marks(0.0))

    assert (first.requests, first.succeeded, first.failed, first.selections) == (4, 3, 1, 9)
    assert (second.requests, second.succeeded, third.requests) == (2, 0, 0)
    assert first.latency is not None
    assert (second.latency, first.waits, first.wait) == (None, 3, 0.75)
    assert total([first, second]).success_rate == 0.5
    assert total([first, second]).mean == 0.25


def test_what_was_taken_out_is_seen() -> None:
    one = state()
    broken(one, A)

    assert [(row.health, row.opened) for row in rows(one, Marks(0.0))] == [
        (0.0, 1),
        (1.0, 0),
        (1.0, 0),
    ]


def test_tokens_are_added_without_counting_a_part_twice() -> None:
    one = state()
    used(one, A, 10, 5)
    used(one, B, 1, 2)

    assert tokens(one.metrics, Marks(0.0)) == {("m", "first"): 16, ("m", "second"): 4}


def test_requests_are_by_outcome() -> None:
    one = state()
    for status, times in ((200, 4), (429, 1), (502, 2), ("499", 3)):
        finished(one, status, times)
    used(one, A, 10, 5)

    found = requests(one.metrics, Marks(0.0))

    assert (found["requests"], found["succeeded"], found["refused"]) == (10, 4, 1)
    assert (found["failed"], found["client_gone"], found["tokens"]["input"]) == (2, 3, 10)


def test_a_reset_forgets_and_metrics_do_not(hands: Hands) -> None:
    one, marks = state(), Marks(0.0)
    tried(one, A, "ok", 3)
    used(one, A, 10, 5)
    finished(one, 200, 3)

    hands.advance(60)
    marks.reset(one)
    after = rows(one, marks)[0]
    gone = (tokens(one.metrics, marks), requests(one.metrics, marks))
    tried(one, A, "ok")
    used(one, A, 1, 1)
    finished(one, 502)

    assert marks.since == hands.now()
    assert (after.requests, after.succeeded, after.selections, after.latency) == (0, 0, 0, None)
    assert set(gone[0].values()) == {0}
    assert (gone[1]["requests"], set(gone[1]["tokens"].values())) == (0, {0})
    row = rows(one, marks)[0]
    assert (row.requests, row.selections, row.waits) == (1, 1, 1)
    assert tokens(one.metrics, marks)["m", "first"] == 3
    assert requests(one.metrics, marks)["failed"] == 1
    assert rows(one, Marks(0.0))[0].requests == 4


def test_a_deployment_that_began_anew_is_not_counted_below_nothing() -> None:
    one, marks = state(), Marks(0.0)
    tried(one, A, "ok", 3)
    marks.reset(one)

    one.live.deployments[A.id].used = 2

    assert rows(one, marks)[0].selections == 2


def test_a_model_is_there_once_under_its_own_name() -> None:
    assert list(models(snapshot())) == ["m", "w/*"]


def test_a_deployment_that_two_models_use_is_counted_for_its_own() -> None:
    one = state()
    both = Model("both", ((A, B),))
    one.snapshot = replace(one.snapshot, models={"both": both, **one.snapshot.models})
    tried(one, A, "ok", 3)

    found = rows(one, Marks(0.0))

    assert [(row.id, row.model) for row in found] == [
        ("m/0:first", "m"),
        ("m/1:second", "m"),
        ("w/*/0:first", "w/*"),
    ]
    assert total(found).requests == 3


OUTCOMES = st.sampled_from(["ok", "retry", "switch", "final_error", "cancelled"])
TRIES = st.lists(st.tuples(st.sampled_from([A, B, C]), OUTCOMES), max_size=20)


@given(TRIES, TRIES)
def test_what_is_shown_is_what_came_since_the_last_reset(
    before: list[tuple[Deployment, str]], since: list[tuple[Deployment, str]]
) -> None:
    one, marks = state(), Marks(0.0)
    for deployment, outcome in before:
        tried(one, deployment, outcome)
    marks.reset(one)
    for deployment, outcome in since:
        tried(one, deployment, outcome)

    for row, deployment in zip(rows(one, marks), (A, B, C), strict=True):
        own = [outcome for each, outcome in since if each is deployment]
        assert row.selections == len(own)
        assert row.requests == len(own) - own.count("cancelled")
        assert row.succeeded == own.count("ok")
