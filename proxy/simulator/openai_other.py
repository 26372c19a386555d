"""What OpenAI-compatible providers serve beside chat: embeddings, moderations, rerank, images, audio, models."""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode
from typing import Any

import orjson

from proxy.simulator import words
from proxy.simulator.answers import Answer, Block, Call, Stream, Whole, decoded, wrapped
from proxy.simulator.errors import Refused, chat_event
from proxy.simulator.openai_chat import CREATED, DONE, inputs
from proxy.simulator.vectors import vector

MODELS = ("sim", "sim-n64-d20", "sim-embed", "gpt-4o", "claude-sonnet-4-5", "gemini-2.5-flash")
_SINCE = "2025-06-15T15:06:40Z"
_MOST_DIMENSIONS = 65_536
"""More than any vendor's model has: a number by mistake costs no memory."""


def embeddings(call: Call) -> Answer:
    """POST /embeddings"""
    ask, steer = call.ask, call.steer
    size = ask.dimensions or 16
    if not 0 < size <= _MOST_DIMENSIONS:
        said = f"'dimensions' must be between 1 and {_MOST_DIMENSIONS}."
        raise Refused(said, "dimensions")
    data = [
        {"object": "embedding", "index": index, "embedding": _embedding(index, size, call)}
        for index in range(inputs(decoded(ask.input)))
    ]
    usage = {"prompt_tokens": steer.input, "total_tokens": steer.input}
    body: dict[str, Any] = {"object": "list", "data": data, "model": ask.model}
    if steer.fault != "no_usage":
        body["usage"] = usage
    return Whole(orjson.dumps(body))


def _embedding(index: int, size: int, call: Call) -> Any:
    values = vector(index, size)
    if call.ask.encoding_format == "base64":
        return b64encode(struct.pack(f"<{size}f", *values)).decode()
    return values


_CATEGORIES = (
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit",
    "illicit/violent", "self-harm", "self-harm/instructions", "self-harm/intent", "sexual",
    "sexual/minors", "violence", "violence/graphic",
)  # fmt: skip


def moderations(call: Call) -> Answer:
    """POST /moderations"""
    result = {
        "flagged": False,
        "categories": dict.fromkeys(_CATEGORIES, False),
        "category_scores": dict.fromkeys(_CATEGORIES, 0.0001),
        "category_applied_input_types": {name: ["text"] for name in _CATEGORIES},
    }
    results = [result] * inputs(decoded(call.ask.input))
    body = {"id": f"modr-{call.serial.decode()}", "model": call.ask.model, "results": results}
    return Whole(orjson.dumps(body))


def rerank(call: Call) -> Answer:
    """POST /rerank, as Jina, Cohere and vLLM answer it."""
    documents = decoded(call.ask.documents) or []
    # The shortest text is the best, so that the order is known and is not the one they came in.
    order = sorted(range(len(documents)), key=lambda index: (len(str(documents[index])), index))
    results = [
        {
            "index": index,
            "relevance_score": 1 / (rank + 1),
            "document": _document(documents[index]),
        }
        for rank, index in enumerate(order[: call.ask.top_n or len(order)])
    ]
    body = {
        "id": f"rerank-{call.serial.decode()}",
        "model": call.ask.model,
        "results": results,
        "usage": {"prompt_tokens": call.steer.input, "total_tokens": call.steer.input},
        "meta": {"billed_units": {"search_units": 1}},
    }
    return Whole(orjson.dumps(body))


def _document(document: Any) -> dict[str, Any]:
    return document if isinstance(document, dict) else {"text": str(document)}


def _png() -> bytes:
    """A real picture: one pixel of river blue."""

    def part(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixel = zlib.compress(b"\0\x2a\x7f\xb8")
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + part(b"IHDR", header) + part(b"IDAT", pixel) + part(b"IEND", b"")


PNG = _png()
_PICTURE = b64encode(PNG).decode()


def images(call: Call) -> Answer:
    """POST /images/generations and /images/edits"""
    steer = call.steer
    usage = {
        "input_tokens": steer.input,
        "input_tokens_details": {"text_tokens": steer.input, "image_tokens": 0},
        "output_tokens": steer.tokens,
        "total_tokens": steer.input + steer.tokens,
    }
    if call.ask.stream:
        return _image_events(call, usage)
    as_link = decoded(call.ask.response_format) == "url"
    picture = {"url": f"data:image/png;base64,{_PICTURE}"} if as_link else {"b64_json": _PICTURE}
    data = [picture] * min(max(call.ask.n or 1, 1), 16)
    body = {"created": CREATED, "data": data, "output_format": "png", "size": "1024x1024"}
    return Whole(orjson.dumps(body | {"usage": usage}), steer.tokens)


def _image_events(call: Call, usage: dict[str, Any]) -> Stream:
    kind = "image_generation" if call.parameter == "generations" else "image_edit"
    about = {
        "b64_json": _PICTURE,
        "created_at": CREATED,
        "size": "1024x1024",
        "quality": "high",
        "background": "opaque",
        "output_format": "png",
    }

    def event(name: str, members: dict[str, Any]) -> bytes:
        data = orjson.dumps({"type": f"{kind}.{name}"} | about | members)
        return f"event: {kind}.{name}\ndata: ".encode() + data + b"\n\n"

    partial = event("partial_image", {"partial_image_index": 0})
    return Stream(
        [Block(b"", 1, lambda _: b"", wrapped(partial, b""), width=call.steer.tokens)],
        end=event("completed", {"usage": usage}),
        error=lambda _: chat_event(),
    )


# A frame of silence: MPEG-1 layer III, 128 kbit/s, 44.1 kHz, 417 bytes, 26 ms.
_MP3_FRAME = b"\xff\xfb\x90\x00".ljust(417, b"\0")
_SAMPLES = 24_000 * 2 // 40
"""Bytes in 25 ms of 16-bit mono at 24 kHz."""


def speech(call: Call) -> Answer:
    """POST /audio/speech: a frame of sound for each token, streamed without a length."""
    form = decoded(call.ask.response_format) or "mp3"
    silence = bytes(_SAMPLES)
    opening, frame, kind = {
        "wav": (_wav_header(call.steer.tokens * _SAMPLES), silence, b"audio/wav"),
        "pcm": (b"", silence, b"audio/pcm"),
    }.get(form, (b"", _MP3_FRAME, b"audio/mpeg"))
    return Stream(
        [Block(b"", call.steer.tokens, lambda _: frame, wrapped(b"", b""))],
        opening=opening,
        error=lambda _: b"",
        ping=frame,
        content_type=kind,
    )


def _wav_header(size: int) -> bytes:
    about = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 24_000, 48_000, 2, 16)
    return (
        struct.pack("<4sI4s", b"RIFF", 36 + size, b"WAVE")
        + about
        + b"data"
        + (struct.pack("<I", size))
    )


def transcriptions(call: Call) -> Answer:
    """POST /audio/transcriptions and /audio/translations"""
    steer = call.steer
    text = words.whole(steer, steer.tokens)
    usage = {
        "type": "tokens",
        "input_tokens": steer.input,
        "input_token_details": {"text_tokens": 0, "audio_tokens": steer.input},
        "output_tokens": steer.tokens,
        "total_tokens": steer.input + steer.tokens,
    }
    form = decoded(call.ask.response_format) or "json"
    if call.ask.stream:
        return _transcript_events(call, text, usage)
    if form in ("text", "srt", "vtt"):
        return Whole(_subtitles(form, text), steer.tokens, b"text/plain; charset=utf-8")
    body: dict[str, Any] = {"text": text, "usage": usage}
    if form == "verbose_json":
        body = {
            "task": "transcribe" if call.parameter == "transcriptions" else "translate",
            "language": "english",
            "duration": 1.5,
            "text": text,
            "segments": [_segment(text)],
            "usage": {"type": "duration", "seconds": 2},
        }
    return Whole(orjson.dumps(body), steer.tokens)


def _subtitles(form: str, text: str) -> bytes:
    start, stop = ("00:00:00,000", "00:00:01,500") if form == "srt" else ("00:00.000", "00:01.500")
    before = {"text": "", "srt": f"1\n{start} --> {stop}\n"}
    return (before.get(form, f"WEBVTT\n\n{start} --> {stop}\n") + text + "\n").encode()


def _segment(text: str) -> dict[str, Any]:
    return {
        "id": 0,
        "seek": 0,
        "start": 0.0,
        "end": 1.5,
        "text": text,
        "tokens": [50364],
        "temperature": 0.0,
        "avg_logprob": -0.25,
        "compression_ratio": 1.0,
        "no_speech_prob": 0.01,
    }


def _transcript_events(call: Call, text: str, usage: dict[str, Any]) -> Stream:
    delta = b'data: {"type":"transcript.text.delta","delta":"'
    done = {"type": "transcript.text.done", "text": text, "usage": usage}
    block = Block(b"", call.steer.tokens, words.source(call.steer), wrapped(delta, b'"}\n\n'))
    return Stream(
        [block],
        finish=b"data: " + orjson.dumps(done) + b"\n\n",
        end=DONE,
        error=lambda _: chat_event(),
    )


def models(call: Call) -> Answer:
    """GET /models in the shape of whoever asks, told by path and headers."""
    if _is_gemini(call):
        every = [_gemini_model(name) for name in MODELS]
        return Whole(orjson.dumps({"models": every}))
    if b"\r\nanthropic-version:" in call.head:
        data = [_anthropic_model(name) for name in MODELS]
        ends = {"first_id": MODELS[0], "last_id": MODELS[-1], "has_more": False}
        return Whole(orjson.dumps({"data": data} | ends))
    data = [_openai_model(name) for name in MODELS]
    return Whole(orjson.dumps({"object": "list", "data": data}))


def model(call: Call) -> Answer:
    """GET /models/{id}: every name is a model here."""
    name = call.ask.model
    if _is_gemini(call):
        return Whole(orjson.dumps(_gemini_model(name)))
    if b"\r\nanthropic-version:" in call.head:
        return Whole(orjson.dumps(_anthropic_model(name)))
    return Whole(orjson.dumps(_openai_model(name)))


def _is_gemini(call: Call) -> bool:
    return call.parameter == "gemini" or b"\r\nx-goog-api-key:" in call.head


def _openai_model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "simulator"}


def _anthropic_model(name: str) -> dict[str, Any]:
    return {"type": "model", "id": name, "display_name": name, "created_at": _SINCE}


def _gemini_model(name: str) -> dict[str, Any]:
    return {
        "name": f"models/{name}",
        "version": "001",
        "displayName": name,
        "inputTokenLimit": 1_048_576,
        "outputTokenLimit": 65_536,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
    }
