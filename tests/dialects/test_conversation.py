"""What every service that keeps conversations has in common."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from proxy.core.errors import Cause, ProxyError
from proxy.core.model import Provider
from proxy.core.surfaces import CONVERSATION
from proxy.dialects import DIALECTS, spoken_by
from proxy.dialects.conversation import dialect
from tests.dialects.services import PLAIN, service


def test_a_service_has_one_dialect_and_another_service_another() -> None:
    assert dialect(PLAIN) is dialect(PLAIN)
    assert dialect(PLAIN) is not dialect(service())


def test_each_provider_means_its_own() -> None:
    one = Provider("p", "https://a.example", {CONVERSATION: "/c"}, conversation=PLAIN)

    assert spoken_by(one, CONVERSATION) is dialect(PLAIN)
    assert spoken_by(one, "openai.chat") is DIALECTS["openai.chat"]
    assert spoken_by(replace(one, conversation=None), CONVERSATION) is None
    assert CONVERSATION not in DIALECTS


def test_a_provider_is_asked_in_it_and_no_client_asks() -> None:
    codec = dialect(PLAIN).codec

    assert codec is not None
    assert codec.render_request is not None
    assert (codec.parse_request, codec.render_response, codec.encoder) == (None, None, None)
    assert codec.count is None


@pytest.mark.parametrize(
    ("status", "body", "cause"),
    [
        (401, b'{"msg": "token expired"}', Cause.AUTH),
        (429, b"slow down", Cause.RATE_LIMIT),
        (502, b"<html>", Cause.SERVER),
    ],
)
def test_refusals_are_understood_as_those_of_any_provider(
    status: int, body: bytes, cause: Cause
) -> None:
    assert dialect(PLAIN).parse_error(status, [], body).cause is cause


def test_our_own_errors_look_like_those_of_openai() -> None:
    assert b'"error"' in dialect(PLAIN).render_error(ProxyError("oops"), "id")[2]
    assert dialect(PLAIN).render_stream_error("c", "m", "id", 0).startswith(b"data: ")
