"""The words of the admin API."""

from __future__ import annotations

import pytest

from proxy.control.admin.web import Answer, Fault, Problem, Route


def test_a_route_cannot_be_written_without_a_permission() -> None:
    with pytest.raises(TypeError, match="permission"):
        Route(method="GET", path="/a", handler=None, summary="")  # type: ignore[call-arg,arg-type]


def test_a_problem_keeps_its_own_headers() -> None:
    given = {"allow": "GET"}
    problem = Problem(405, "method_not_allowed", "No.", (Fault("a", "b"),), given)
    given["allow"] = "POST"

    assert (problem.headers, str(problem)) == ({"allow": "GET"}, "No.")


def test_an_answer_is_json_unless_it_says_else() -> None:
    assert (Answer().status, Answer().kind) == (200, "application/json; charset=utf-8")
