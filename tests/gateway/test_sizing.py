"""The size of a request from its bytes."""

from __future__ import annotations

import base64
import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.gateway.exchange import Exchange
from proxy.gateway.sizing import Size, awaited, limits_in, size
from proxy.wire import envelope, multipart
from proxy.wire.envelope import Envelope
from tests.gateway.asked import CHAT, exchange, raw

PICTURE = base64.b64encode(b"\x89PNG" + bytes(range(256)) * 400).decode()
PDF = base64.b64encode(b"%PDF-1.7" + bytes(range(256)) * 400).decode()
GEMINI = "/v1beta/models/m:generateContent"
TRANSCRIPTIONS = "/v1/audio/transcriptions"


async def sized(path: str = CHAT, **fields: Any) -> Size:
    found = size(of_body(path, orjson.dumps({"model": "m", **fields})), strict=True)
    plain = size(of_body(path, orjson.dumps({"model": "m", **fields})))
    assert (plain.prompt, plain.limit) == (found.prompt, found.limit)
    return found


def of_body(path: str, body: bytes) -> Exchange:
    """An exchange that has been read, however long its body is."""
    one = exchange(raw("POST", path, b"{}"))
    one.body, one.envelope = body, Envelope.parse(body)
    return one


@pytest.mark.parametrize(
    ("path", "fields", "wanted"),
    [
        (CHAT, {}, 1),
        (CHAT, {"n": 3}, 3),
        (CHAT, {"n": None}, 1),
        (CHAT, {"n": -3}, 1),
        (CHAT, {"n": "3"}, 1),
        (GEMINI, {"generationConfig": {"candidateCount": 2}}, 2),
        (GEMINI, {"generation_config": {"candidate_count": 2}}, 2),
        (GEMINI, {"n": 2}, 1),
        ("/v1/messages", {"n": 2}, 1),
        ("/v1/completions", {"prompt": "a", "n": 2}, 2),
        ("/v1/completions", {"prompt": ["a", "b", "c"], "n": 2}, 6),
        ("/v1/completions", {"prompt": [1, 2, 3]}, 1),
        ("/v1/completions", {"prompt": [[1, 2], [3]]}, 2),
        ("/v1/completions", {"prompt": []}, 1),
    ],
)
async def test_as_many_answers_as_are_asked_for(
    path: str, fields: dict[str, Any], wanted: int
) -> None:
    assert awaited(of_body(path, orjson.dumps({"model": "m", **fields}))) == wanted


@given(
    st.one_of(
        st.lists(st.text('a\\\\"[],{}é'), min_size=1),
        st.lists(st.lists(st.integers(0, 99), min_size=1), min_size=1),
    ),
    st.sampled_from([None, 1]),
)
async def test_each_question_is_answered_however_it_is_written(
    questions: list[Any], indent: int | None
) -> None:
    body = json.dumps({"model": "m", "prompt": questions}, indent=indent).encode()

    assert awaited(of_body("/v1/completions", body)) == len(questions)


def saying(content: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}]}


@pytest.mark.parametrize(
    ("path", "content"),
    [
        (CHAT, [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}}]),
        (CHAT, [{"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}"}}]),
        (CHAT, [{"type": "text", "text": f"see data:image/png;base64,{PICTURE} and {PDF}"}]),
        (CHAT, [{"type": "text", "text": PICTURE + f";base64,{PICTURE}"}]),
        (CHAT, "word " * 30_000),
        (CHAT, "语" * 3 + "word " * 30_000),
        ("/v1/messages", [{"type": "image", "source": {"type": "base64", "data": PICTURE}}]),
        (GEMINI, [{"inlineData": {"mimeType": "application/pdf", "data": PDF}}]),
    ],
)
@pytest.mark.parametrize("strict", [False, True])
async def test_a_large_body_is_sized_as_a_whole(
    path: str, content: Any, strict: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = {"model": "m", **saying(content)}
    for body in (orjson.dumps(fields), json.dumps(fields).encode()):
        found = size(of_body(path, body), strict=strict)
        monkeypatch.setattr(envelope, "LARGE", len(body) + 1)

        assert size(of_body(path, body), strict=strict) == found
        monkeypatch.undo()


async def test_text_is_three_and_a_half_bytes_a_token() -> None:
    short, long = await sized(**saying("a" * 100)), await sized(**saying("a" * 3600))

    assert long.prompt - short.prompt == 1000
    assert long.most - short.most == 3500


async def test_what_is_not_ascii_takes_more_tokens() -> None:
    plain, other = await sized(**saying("a" * 300)), await sized(**saying("語" * 100))

    assert (len("語".encode()), other.prompt > 1.5 * plain.prompt * 0.9) == (3, True)
    assert other.most == plain.most


@pytest.mark.parametrize(
    ("path", "content"),
    [
        (CHAT, [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}}]),
        (
            "/v1/messages",
            [{"type": "image", "source": {"type": "base64", "media_type": "x", "data": PICTURE}}],
        ),
        (GEMINI, [{"inlineData": {"mimeType": "image/png", "data": PICTURE}}]),
        (CHAT, [{"type": "input_audio", "input_audio": {"data": PICTURE, "format": "mp3"}}]),
    ],
)
async def test_base64_is_no_text(path: str, content: Any) -> None:
    found = await sized(path, **saying(content))

    assert 1200 <= found.prompt < 1400
    assert found.most >= len(PICTURE)


async def test_each_page_of_a_document_counts() -> None:
    source = {"type": "base64", "media_type": "application/pdf", "data": PDF}
    found = await sized("/v1/messages", **saying([{"type": "document", "source": source}]))

    assert 4 * 1500 <= found.prompt < 4 * 1500 + 100


async def test_text_that_is_called_data_is_text() -> None:
    source = {"type": "text", "media_type": "text/plain", "data": "two words " * 1000}

    assert (
        await sized("/v1/messages", **saying([{"type": "document", "source": source}]))
    ).prompt > 2800


async def test_what_the_provider_fetches_may_be_the_dearest_picture() -> None:
    plain = await sized(**saying("hi"))
    named = await sized(**saying([{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]))

    assert named.most >= plain.most + 50_000


@pytest.mark.parametrize(
    "field",
    [
        {"previous_response_id": "resp_1"},
        {"conversation": "conv_1"},
        {"prompt": {"id": "pmpt_1"}},
    ],
)
async def test_what_the_provider_keeps_may_be_a_whole_window(field: dict[str, Any]) -> None:
    assert (await sized("/v1/responses", input="hi", **field)).most > 1_000_000


@pytest.mark.parametrize("name", ["previous_response_id", "conversation", "prompt"])
async def test_null_names_nothing_that_the_provider_keeps(name: str) -> None:
    assert (await sized("/v1/responses", input="hi", **{name: None})).most < 3000


async def test_a_cache_that_is_null_is_none() -> None:
    assert (await sized(GEMINI, contents=[], cachedContent=None)).most < 3000
    assert (await sized(GEMINI, contents=[], cachedContent="cachedContents/1")).most > 1_000_000


async def test_a_prompt_that_is_text_is_its_text() -> None:
    assert (await sized("/v1/completions", prompt="hi")).most < 3000


@pytest.mark.parametrize(
    ("path", "fields", "limit", "answers"),
    [
        (CHAT, {}, None, 1),
        (CHAT, {"max_tokens": 10}, 10, 1),
        (CHAT, {"max_tokens": 10, "max_completion_tokens": 30, "n": 3}, 30, 3),
        (CHAT, {"max_tokens": "10", "n": None}, None, 1),
        (CHAT, {"max_tokens": -1, "n": 0}, None, 1),
        (CHAT, {"max_tokens": 10**15}, None, 1),
        ("/v1/completions", {"prompt": "x", "max_tokens": 5, "n": 2, "best_of": 4}, 5, 4),
        ("/v1/completions", {"prompt": ["x", "y", "z"], "max_tokens": 5, "best_of": 4}, 5, 12),
        ("/v1/completions", {"prompt": [[1, 2], [3]], "max_tokens": 5}, 5, 2),
        ("/v1/completions", {"prompt": [1, 2, 3], "max_tokens": 5}, 5, 1),
        (CHAT, {"prompt": ["x", "y", "z"], "max_tokens": 5}, 5, 1),
        ("/v1/responses", {"max_output_tokens": 7}, 7, 1),
        ("/v1/messages", {"max_tokens": 9}, 9, 1),
        (GEMINI, {"generationConfig": {"maxOutputTokens": 8, "candidateCount": 2}}, 8, 2),
        (GEMINI, {"generation_config": {"max_output_tokens": 8}}, 8, 1),
        (GEMINI, {"generationConfig": [8]}, None, 1),
        (GEMINI, {"max_tokens": 8}, None, 1),
    ],
)
async def test_the_limit_of_an_answer(
    path: str, fields: dict[str, Any], limit: int | None, answers: int
) -> None:
    found = await sized(path, **fields)

    assert (found.limit, found.answers) == (limit, answers)


async def test_counting_is_free() -> None:
    assert await sized("/v1/messages/count_tokens", **saying("x" * 1000)) == Size(0, 0, 0)


async def test_a_recording_counts_by_its_length() -> None:
    one = exchange(
        raw("POST", TRANSCRIPTIONS, b"--b--", "Content-Type: multipart/form-data; boundary=b")
    )
    one.body = b"x" * 160_000

    assert 100 <= size(one).prompt <= 110
    assert size(one).most >= 1600


@pytest.mark.parametrize(
    ("fields", "answers"),
    [(b"", 1), (b"3", 3), (b"x", 1), (b"0", 1), (b"-2", 1), (b"9" * 40, 1), (b"\xff", 1)],
)
async def test_a_form_says_how_many_pictures_it_wants(fields: bytes, answers: int) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="n"\r\n\r\n' + fields + b"\r\n"
    kind = "Content-Type: multipart/form-data; boundary=b"

    for parts, wanted in ((part, answers), (part + part, 1)):
        one = exchange(raw("POST", "/v1/images/edits", b"--b--\r\n", kind))
        one.form = multipart.Form.parse(parts + b"--b--\r\n", kind.partition(": ")[2])
        assert size(one).answers == wanted


@given(
    st.binary(max_size=600), st.sampled_from([b";base64,", b'"data":"', b'"data" : "', b'"data"'])
)
async def test_any_bytes_have_a_size(noise: bytes, mark: bytes) -> None:
    one = exchange(raw("POST", CHAT, b"{}"))
    one.body = mark + noise + b'"' + mark + b"A" * 300 + b'"' + mark

    found = size(one, strict=True)

    assert 0 < found.prompt <= found.most
    assert found.most > len(noise)


@pytest.mark.parametrize(
    ("params", "limits"),
    [
        ({}, ()),
        (
            {"max_tokens": 5, "max_completion_tokens": 9},
            (("max_completion_tokens", 9), ("max_tokens", 5)),
        ),
        ({"generationConfig": {"maxOutputTokens": 4}}, (("generationConfig", 4),)),
        (
            {"generationConfig": None, "max_tokens": None},
            (("max_tokens", 0), ("generationConfig", 0)),
        ),
        ({"max_tokens": "5"}, (("max_tokens", 0),)),
    ],
)
def test_the_limits_of_a_configuration(params: dict[str, Any], limits: object) -> None:
    assert limits_in(params) == limits
