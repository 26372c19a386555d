from __future__ import annotations

import pytest

from proxy.core.errors import ERRORS, ProxyError


@pytest.mark.parametrize("ref", ERRORS)
def test_every_row_makes_an_error_with_a_message_for_people(ref: str) -> None:
    error = ProxyError(ref)

    assert error.message.endswith((".", "'."))
    assert 400 <= error.row.status <= 599
    assert error.row.anthropic_status in (0, 402, 529)


def test_what_is_given_goes_before_the_row() -> None:
    error = ProxyError(
        "bad_req", "No.", code="why", param="model", retry_after=3, should_retry=True
    )

    assert (error.message, error.code, error.param) == ("No.", "why", "model")
    assert (error.retry_after, error.should_retry) == (3, True)


def test_errors_about_framing_close_the_connection() -> None:
    closing = {ref for ref, row in ERRORS.items() if row.close}

    assert closing == {"bad_http", "slow_req", "too_big", "hdr_big", "drain"}
