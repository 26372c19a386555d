"""Our own errors, in the words of each family."""

from __future__ import annotations

import orjson
import pytest

from proxy.core.errors import ERRORS, ProxyError
from proxy.dialects import DIALECTS
from proxy.dialects.render import FAMILIES, openai_stream_error, render_error

ID = "req-1"
JSON = (b"content-type", b"application/json; charset=utf-8")


def test_openai_clients_get_their_shape() -> None:
    error = ProxyError("bad_req", "The field 'n' is odd.", code="invalid_field", param="n")

    status, headers, body = render_error("openai", error, ID)

    assert status == 400
    assert headers == [JSON]
    assert orjson.loads(body) == {
        "error": {
            "message": "The field 'n' is odd.",
            "type": "invalid_request_error",
            "param": "n",
            "code": "invalid_field",
        }
    }


def test_anthropic_clients_get_theirs() -> None:
    status, headers, body = render_error("anthropic", ProxyError("no_model"), ID)

    assert status == 404
    assert headers == [JSON, (b"request-id", b"req-1")]
    assert orjson.loads(body) == {
        "type": "error",
        "error": {"type": "not_found_error", "message": ERRORS["no_model"].message},
        "request_id": ID,
    }


def test_gemini_clients_get_theirs() -> None:
    status, headers, body = render_error("gemini", ProxyError("limit"), ID)

    assert status == 429
    assert headers == [JSON]
    assert orjson.loads(body) == {
        "error": {
            "code": 429,
            "message": ERRORS["limit"].message,
            "status": "RESOURCE_EXHAUSTED",
        }
    }


@pytest.mark.parametrize("ref", ["no_up", "shed", "drain"])
def test_anthropic_has_a_status_of_its_own_for_overload(ref: str) -> None:
    assert render_error("anthropic", ProxyError(ref), ID)[0] == 529
    assert render_error("openai", ProxyError(ref), ID)[0] == 503


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("ref", sorted(ERRORS))
def test_every_error_is_rendered_in_every_family(family: str, ref: str) -> None:
    status, headers, body = render_error(family, ProxyError(ref), ID)

    assert 400 <= status <= 599
    assert headers[0] == JSON
    assert isinstance(orjson.loads(body)["error"], dict)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_missing_key_is_asked_for(family: str) -> None:
    assert (b"www-authenticate", b"Bearer") in render_error(family, ProxyError("no_auth"), ID)[1]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (1.2, [(b"retry-after", b"2"), (b"retry-after-ms", b"1200")]),
        (0.0001, [(b"retry-after", b"1"), (b"retry-after-ms", b"1")]),
        (60, [(b"retry-after", b"60"), (b"retry-after-ms", b"60000")]),
        (
            60.5,
            [
                (b"retry-after", b"61"),
                (b"retry-after-ms", b"60500"),
                (b"x-should-retry", b"false"),
            ],
        ),
    ],
)
def test_a_wait_is_rounded_up_and_a_long_one_is_not_to_be_tried(
    seconds: float, expected: list[tuple[bytes, bytes]]
) -> None:
    assert render_error("openai", ProxyError("limit", retry_after=seconds), ID)[1] == [
        JSON,
        *expected,
    ]


@pytest.mark.parametrize(
    ("should", "expected"),
    [(True, [(b"x-should-retry", b"true")]), (False, [(b"x-should-retry", b"false")])],
)
def test_whether_to_retry_is_said_when_it_is_known(
    should: bool, expected: list[tuple[bytes, bytes]]
) -> None:
    assert render_error("openai", ProxyError("oops", should_retry=should), ID)[1] == [
        JSON,
        *expected,
    ]


def test_text_that_is_no_ascii_is_rendered() -> None:
    _, _, body = render_error("openai", ProxyError("bad_req", 'Kein "ü".'), ID)

    assert orjson.loads(body)["error"]["message"] == 'Kein "ü".'


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_every_dialect_renders_as_its_family_does(name: str) -> None:
    dialect = DIALECTS[name]
    error = ProxyError("up_auth")

    # Nobody is answered in Bedrock's.
    family = "openai" if dialect.family == "bedrock" else dialect.family
    assert dialect.render_error(error, ID) == render_error(family, error, ID)


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_every_dialect_ends_a_broken_stream_with_one_event(name: str) -> None:
    event = DIALECTS[name].render_stream_error("upstream_truncated", "It broke.\n\n", ID, 3)

    assert event.count(b"\n\n") == 1
    assert event.endswith(b"\n\n")
    assert b"[DONE]" not in event


def test_the_common_event_is_a_chunk_with_an_error() -> None:
    event = openai_stream_error("stream_limit", "Too long.", ID, 0)

    assert event.startswith(b'data: {"error":{')
