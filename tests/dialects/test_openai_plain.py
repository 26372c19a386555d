"""The small OpenAI endpoints, streamed and not."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.dialects import DIALECTS
from proxy.dialects.base import BAD, CONTENT, ERROR, FINISH, Dialect, Usage
from proxy.dialects.openai_plain import ALL
from tests.dialects.streams import CUTS, data, feed, holds_for_every_cut, letters, named

COMPLETIONS = DIALECTS["openai.completions"]
EMBEDDINGS = DIALECTS["openai.embeddings"]
IMAGES = DIALECTS["openai.images"]
AUDIO = DIALECTS["openai.audio"]
RERANK = DIALECTS["openai.rerank"]

TEXT = data(
    {"choices": [{"index": 0, "text": "", "finish_reason": None}], "usage": None},
    {"choices": [{"index": 0, "text": "Hallo 日本", "logprobs": None, "finish_reason": None}]},
    {"choices": [{"index": 0, "text": "", "finish_reason": "length"}]},
    {"choices": [], "usage": {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}},
    b"[DONE]",
)
SPEECH = data(
    {"type": "speech.audio.delta", "audio": "UklGRg=="},
    {
        "type": "speech.audio.done",
        "usage": {"input_tokens": 3, "output_tokens": 40, "total_tokens": 43},
    },
)
TRANSCRIPT = data(
    {"type": "transcript.text.delta", "delta": "Hallo"},
    {"type": "transcript.text.delta", "delta": ""},
    {
        "type": "transcript.text.done",
        "text": "Hallo",
        "usage": {
            "type": "tokens",
            "input_tokens": 14,
            "input_token_details": {"text_tokens": 0, "audio_tokens": 14},
            "output_tokens": 5,
            "total_tokens": 19,
        },
    },
)
PICTURES = named(
    {"type": "image_generation.partial_image", "b64_json": "AAAA", "partial_image_index": 0},
    {
        "type": "image_generation.completed",
        "b64_json": "AAAA",
        "usage": {"input_tokens": 9, "output_tokens": 272, "total_tokens": 281},
    },
)
STREAMS: list[tuple[Dialect, bytes, str, Usage]] = [
    (COMPLETIONS, TEXT, "- C - U F", Usage(input=2, output=3)),
    (AUDIO, SPEECH, "C F", Usage(input=3, output=40)),
    (AUDIO, TRANSCRIPT, "C - CF", Usage(input=14, output=5, audio_input=14)),
    (IMAGES, PICTURES, "C CF", Usage(input=9, output=272, images=1)),
    (
        IMAGES,
        PICTURES.replace(b"image_generation.", b"image_edit."),
        "C CF",
        Usage(input=9, output=272, images=1),
    ),
    (IMAGES, PICTURES * 2, "C CF C CF", Usage(input=18, output=544, images=2)),
]


@pytest.mark.parametrize(("dialect", "stream", "flags", "usage"), STREAMS)
def test_each_stream_is_followed_to_its_end(
    dialect: Dialect, stream: bytes, flags: str, usage: Usage
) -> None:
    tap, seen = feed(dialect, stream)

    assert seen == flags
    assert tap.complete()
    assert tap.usage == usage
    assert tap.closing == b""


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(STREAMS), CUTS)
def test_no_cut_changes_what_a_stream_says(
    case: tuple[Dialect, bytes, str, Usage], cuts: list[int]
) -> None:
    holds_for_every_cut(case[0], case[1], cuts)


@pytest.mark.parametrize("dialect", ALL, ids=lambda dialect: dialect.name)
def test_errors_in_streams_are_errors(dialect: Dialect) -> None:
    error = {"error": {"message": "m", "code": "rate_limit_exceeded"}}

    tap, flags = feed(
        dialect, data(error), data(b"words", name="error"), data(b"words"), b"data:\n\n"
    )

    assert flags == "E E B -"
    assert tap.error is not None
    assert not tap.complete()


def test_a_typed_error_event_is_one() -> None:
    tap, flags = feed(IMAGES, named({"type": "error", "message": "m", "code": "server_error"}))

    assert flags == "E"
    assert tap.error is not None
    assert tap.error.status == 500


def test_done_ends_any_of_them() -> None:
    assert feed(AUDIO, data(b"[DONE]"))[0].complete()


def test_odd_text_chunks_are_forgiven() -> None:
    tap, flags = feed(COMPLETIONS, data({"choices": [{"text": "a", "index": None}]}))

    assert flags == "C"
    assert tap.bad == 0


def test_a_text_completion_may_end_in_an_error() -> None:
    assert feed(COMPLETIONS, data({"choices": [{"text": "", "finish_reason": "error"}]}))[1] == "E"


BODIES: list[tuple[Dialect, Any, Usage | None]] = [
    (
        EMBEDDINGS,
        {
            "object": "list",
            "data": [{"embedding": [0.1, -2e-5], "index": 0}],
            "usage": {"prompt_tokens": 8, "total_tokens": 8},
        },
        Usage(input=8),
    ),
    (EMBEDDINGS, {"object": "list", "data": []}, None),
    (IMAGES, {"created": 1, "data": [{"url": "u"}, {"b64_json": "AA"}]}, Usage(images=2)),
    (
        IMAGES,
        {"data": [{"b64_json": "AA"}], "usage": {"input_tokens": 5, "output_tokens": 7}},
        Usage(input=5, output=7, images=1),
    ),
    (AUDIO, {"text": "hi"}, None),
    (AUDIO, {"text": "hi", "duration": 8.5, "segments": []}, Usage(seconds=8.5)),
    (AUDIO, {"text": "hi", "usage": {"type": "duration", "seconds": 9}}, Usage(seconds=9)),
    (
        AUDIO,
        {"text": "hi", "usage": {"type": "tokens", "input_tokens": 14, "output_tokens": 5}},
        Usage(input=14, output=5),
    ),
    (DIALECTS["openai.moderations"], {"id": "m", "results": [{"flagged": False}]}, None),
    (RERANK, {"results": [], "usage": {"total_tokens": 15}}, Usage(input=15)),
    (
        RERANK,
        {"results": [], "meta": {"tokens": {"input_tokens": 5, "output_tokens": 0}}},
        Usage(input=5),
    ),
    (RERANK, [{"index": 0, "score": 0.5}], None),
]


@pytest.mark.parametrize(("dialect", "payload", "usage"), BODIES)
def test_each_body_is_an_answer(dialect: Dialect, payload: Any, usage: Usage | None) -> None:
    tap = dialect.tap()

    assert tap.body(orjson.dumps(payload)) == CONTENT | FINISH
    assert tap.complete()
    assert tap.usage == usage


@pytest.mark.parametrize("dialect", ALL, ids=lambda dialect: dialect.name)
@pytest.mark.parametrize(
    ("raw", "flags"),
    [
        (b'{"error":{"message":"m","code":400}}', ERROR),
        (b'{"error":"m"}', ERROR),
        (b'{"error":"m","usage":3,"duration":"x","meta":1,"choices":1}', ERROR),
        (b"<html>", BAD),
        (b"", BAD),
        (b"12", BAD),
        (b"[1", BAD),
    ],
)
def test_errors_and_garbage_are_no_answer(dialect: Dialect, raw: bytes, flags: int) -> None:
    assert dialect.tap().body(raw) == flags


@pytest.mark.parametrize("dialect", [EMBEDDINGS, IMAGES, AUDIO])
def test_a_list_is_no_answer_of_the_others(dialect: Dialect) -> None:
    assert dialect.tap().body(b"[{}]") == BAD


def test_a_body_of_odd_types_is_forgiven() -> None:
    tap = AUDIO.tap()

    assert (
        tap.body(b'{"text":"hi","duration":"8.5","usage":{"input_tokens":2}}') == CONTENT | FINISH
    )
    assert tap.usage == Usage(input=2)


def test_a_picture_too_long_to_hold_is_read_from_both_ends() -> None:
    head = b'event: image_generation.completed\ndata: {"type":"image_generation.completed","b64_'
    tail = b'AAAA","usage":{"input_tokens":9,"output_tokens":272,"total_tokens":281}}\n\n'
    tap = IMAGES.tap()

    assert letters(tap.oversized(head, tail)) == "CF"
    assert tap.usage == Usage(input=9, output=272, images=1)


def test_each_of_several_pictures_too_long_to_hold_counts() -> None:
    head = b'event: image_generation.completed\ndata: {"type":"image_generation.completed","b64_'
    tail = b'AAAA","usage":{"input_tokens":9,"output_tokens":272,"total_tokens":281}}\n\n'
    tap = IMAGES.tap()

    for end in (tail, b'AAAA"}\n\n', tail):
        tap.oversized(head, end)

    assert tap.usage == Usage(input=18, output=544, images=3)


def test_a_part_too_long_to_hold_ends_nothing() -> None:
    tap = AUDIO.tap()

    assert (
        letters(tap.oversized(b'data: {"type":"speech.audio.delta","audio":"', b'AA"}\n\n')) == "C"
    )
    assert not tap.complete()


@settings(deadline=None)
@given(st.sampled_from(ALL), st.binary(max_size=50), st.sampled_from([b"", b"error", b"x.done"]))
def test_any_bytes_get_flags(dialect: Dialect, payload: bytes, name: bytes) -> None:
    tap = dialect.tap()

    assert tap.event(name, payload) in range(32)
    assert tap.body(payload) in (BAD, ERROR, CONTENT | FINISH)
    tap.oversized(payload, payload)
