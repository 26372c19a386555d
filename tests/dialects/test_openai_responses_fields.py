"""How an answer ended, in both directions."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.dialects.ir import Finish
from proxy.dialects.openai_responses.fields import finish_in, finish_out, objects, word


@pytest.mark.parametrize(
    ("status", "why", "calls", "finish", "reason"),
    [
        ("completed", None, False, "stop", "completed"),
        ("completed", None, True, "tool_calls", "completed"),
        ("incomplete", "max_output_tokens", True, "length", "max_output_tokens"),
        ("incomplete", "content_filter", False, "content_filter", "content_filter"),
        ("incomplete", "moon_phase", False, "stop", "moon_phase"),
        ("incomplete", None, False, "length", "incomplete"),
        ("cancelled", None, False, "error", "cancelled"),
        (None, None, False, "stop", ""),
    ],
)
def test_a_status_is_understood(
    status: Any, why: Any, calls: bool, finish: Finish, reason: str
) -> None:
    response = {"status": status, "incomplete_details": {"reason": why}}

    assert finish_in(response, calls=calls) == (finish, reason)


@pytest.mark.parametrize(
    ("finish", "status", "why"),
    [
        ("stop", "completed", ""),
        ("tool_calls", "completed", ""),
        ("pause", "completed", ""),
        ("length", "incomplete", "max_output_tokens"),
        ("context", "incomplete", "max_output_tokens"),
        ("content_filter", "incomplete", "content_filter"),
        ("refusal", "incomplete", "content_filter"),
        ("error", "failed", ""),
    ],
)
def test_an_end_has_a_status(finish: Finish, status: str, why: str) -> None:
    assert finish_out(finish, "", own=False, refused=False) == (status, why)


def test_a_refusal_that_was_said_is_a_complete_answer() -> None:
    assert finish_out("refusal", "", own=False, refused=True) == ("completed", "")


def test_its_own_reason_is_given_back() -> None:
    assert finish_out("stop", "steered", own=True, refused=False) == ("incomplete", "steered")
    assert finish_out("stop", "steered", own=False, refused=False) == ("completed", "")


def test_odd_values_are_none() -> None:
    assert word({"a": 1}, "a") == ""
    assert objects([{}, 1, None]) == [{}]
    assert objects("x") == []
