"""What the responses of a session used is added up."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.dialects.realtime import DIALECT, RealtimeTap


def done(**usage: Any) -> bytes:
    return orjson.dumps({"type": "response.done", "response": {"status": "done", "usage": usage}})


def test_each_response_is_added() -> None:
    tap = RealtimeTap()
    details = {"cached_tokens": 3, "audio_tokens": 2, "cached_tokens_details": {"text_tokens": 3}}
    for _ in range(2):
        tap.message(done(input_tokens=10, output_tokens=5, input_token_details=details))

    usage = tap.usage
    assert usage is not None
    assert (usage.input + usage.cache_read, usage.output, usage.cache_read) == (20, 10, 6)
    assert (tap.responses, tap.finish_reason) == (2, "done")


@pytest.mark.parametrize(
    "text",
    [
        b'{"type": "response.created", "response": {"usage": {"input_tokens": 1}}}',
        b'{"type": "other", "note": "response.done"}',
        b'{"type": "response.done", "response": {"usage": null}}',
        b"no json",
        b'{"type": "response.done", "response": 7}',
        b'{"type": "response.done", "response": {"usage": {"input_tokens": "many", "output_tokens": true}}}',
    ],
)
def test_nothing_else_is(text: bytes) -> None:
    tap = RealtimeTap()
    tap.message(text)

    assert tap.usage is None


def test_a_tap_of_it_watches_no_answer() -> None:
    tap = DIALECT.tap()

    assert tap.body(b"anything") == tap.event(b"", b"x") == tap.oversized(b"", b"")
