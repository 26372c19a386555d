"""Error bodies."""

from __future__ import annotations

import orjson
import pytest

from proxy.simulator import errors

FAMILIES = ("openai", "anthropic", "gemini", "bedrock")


@pytest.mark.parametrize("word", [*map(str, errors.STATUSES), *errors.NAMED])
def test_every_failure_has_the_shape_of_its_dialect(word: str) -> None:
    bodies = {family: errors.body(family, word) for family in FAMILIES}

    status = bodies["openai"][0]
    assert all(found == status for found, _ in bodies.values())
    assert set(orjson.loads(bodies["openai"][1])["error"]) == {"message", "type", "param", "code"}
    assert set(orjson.loads(bodies["anthropic"][1])) == {"type", "error", "request_id"}
    assert orjson.loads(bodies["gemini"][1])["error"]["code"] == status
    assert set(orjson.loads(bodies["bedrock"][1])) == {"message"}
    assert b"Exception:http" in errors.headers("bedrock", status)
    assert errors.headers("openai", status) == b""


def test_a_daily_quota_of_gemini_is_told_in_the_details() -> None:
    _, body = errors.body("gemini", "quota")

    assert b"PerDay" in body


def test_an_error_inside_a_200_names_the_status_it_stands_for() -> None:
    assert orjson.loads(errors.inside_200("openai"))["error"]["code"] == 503
    assert orjson.loads(errors.inside_200("gemini"))["error"]["code"] == 503
    assert orjson.loads(errors.inside_200("anthropic"))["error"]["type"] == "overloaded_error"
    assert b"#ServiceUnavailableException" in errors.inside_200("bedrock")


def test_a_refusal_of_bedrocks_is_a_sentence() -> None:
    assert (
        errors.Refused("No such thing.", "a.b").body("bedrock") == b'{"message":"No such thing."}'
    )


def test_error_events_are_whole_events() -> None:
    events = (
        errors.chat_event(),
        errors.responses_event(3),
        errors.anthropic_event(),
        errors.gemini_event(),
    )

    for event in events:
        data = event.rstrip().rpartition(b"data: ")[2]
        assert orjson.loads(data)
    assert b'"sequence_number":3' in events[1]


@pytest.mark.parametrize("family", ["openai", "anthropic", "gemini"])
def test_a_refusal_is_in_the_vendors_words_and_names_the_field(family: str) -> None:
    body = orjson.loads(errors.Refused("No such thing.", "a.b").body(family))

    assert body["error"]["message"] == "No such thing."
    if family == "openai":
        assert body["error"]["param"] == "a.b"
    if family == "gemini":
        assert body["error"]["details"][0]["fieldViolations"][0]["field"] == "a.b"
