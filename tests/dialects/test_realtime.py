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
        b'{"type": "other", "note": "conversation.item.input_audio_transcription.completed"}',
        b'{"type": "conversation.item.input_audio_transcription.completed", "usage": 7}',
        b'{"type": "conversation.item.input_audio_transcription.completed", "usage": null}',
        b'{"type": "response.done", "response": {"usage": {"input_tokens": "many", "output_tokens": true}}}',
    ],
)
def test_nothing_else_is(text: bytes) -> None:
    tap = RealtimeTap()
    tap.message(text)

    assert tap.usage is None


def heard(**usage: Any) -> bytes:
    kind = "conversation.item.input_audio_transcription.completed"
    return orjson.dumps({"type": kind, "transcript": "Hello.", "usage": usage})


def test_a_session_that_only_writes_down_reports_its_transcripts() -> None:
    tap = RealtimeTap()
    for _ in range(2):
        tap.message(
            heard(
                type="tokens",
                total_tokens=30,
                input_tokens=20,
                input_token_details={"text_tokens": 4, "audio_tokens": 16},
                output_tokens=10,
            )
        )

    usage = tap.usage
    assert usage is not None
    assert (usage.input, usage.audio_input, usage.output) == (40, 32, 20)
    assert not usage.suspect


def test_or_how_long_what_it_heard_was() -> None:
    tap = RealtimeTap()
    for seconds in (1, 2.5):
        tap.message(heard(type="duration", seconds=seconds))

    usage = tap.usage
    assert usage is not None
    assert (usage.seconds, usage.input, usage.output) == (3.5, 0, 0)


def test_transcripts_of_a_conversation_have_another_price() -> None:
    tap = RealtimeTap()
    tap.message(heard(type="tokens", input_tokens=20, output_tokens=10, total_tokens=30))
    tap.message(done(input_tokens=1, output_tokens=2))
    tap.message(heard(type="duration", seconds=9.0))

    usage = tap.usage
    assert usage is not None
    assert (usage.input, usage.output, usage.seconds) == (1, 2, 0)


def test_a_tap_of_it_watches_no_answer() -> None:
    tap = DIALECT.tap()

    assert tap.body(b"anything") == tap.event(b"", b"x") == tap.oversized(b"", b"")
