"""How large a request is, from its bytes alone: the tokens of its prompt, and what its answer may have.

No tokeniser and no parsing: it is asked for each request that has a limit of tokens or money. What is base64 is no text;
a picture or a page counts what vendors' guides call usual.
"""

from __future__ import annotations

import re
from math import ceil
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.gateway.exchange import Exchange
    from proxy.wire.envelope import Envelope

WRITES = frozenset({"chat", "completions", "responses", "messages", "generate"})
"""Operations whose answer is text, as long as somebody says or it likes."""
FREE = frozenset({"count_tokens", "stored", "models", "model"})
"""Operations that use no tokens."""

LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
GEMINI = ("generationConfig", "generation_config")
_GEMINI_LIMITS = ("maxOutputTokens", "max_output_tokens")
_CHOICES = ("n", "best_of")
_GEMINI_CHOICES = ("candidateCount", "candidate_count")
_MOST = 10_000_000
"""Nobody's answer is longer; what says more says nothing."""

_ASCII, _OTHER = 3.5, 2.0
"""Bytes of text a token, as `dialects.estimate` has it."""
_FRAME = 2048
"""Tokens that a provider may put around what it was sent, for tools above all."""
_PICTURE, _PICTURE_MOST = 1200, 50_000
"""Tokens of a picture, a recording or a document whose size says nothing; and the dearest we know of."""
_PAGE, _PAGE_BYTES = 1500, 40_000
"""Tokens of a page of a PDF, and its bytes of base64."""
_STORED = 1_000_000
"""Tokens at most of what the provider keeps and the request only names: the largest window there is."""
_SHORT = 256
"""Bytes of base64 that are not worth taking out."""

_URI, _DATA, _PDF = b";base64,", b'"data"', b"JVBERi0"
_BASE64 = re.compile(rb"[A-Za-z0-9+/_=-]{64}")
_NAMED = (b'"image_url"', b'"file_id"', b'"file_url"', b'"file_uri"', b'"fileUri"', b'"url"')
"""What is fetched by the provider, so that its size is not known here."""
_KEPT = ("previous_response_id", "conversation", "cachedContent", "cached_content")
_HIGH = bytes(range(128, 256))
_AUDIO_USUAL, _AUDIO_MOST = 1600, 100
"""Bytes of a recording a token, usually and at least: 128 kbit/s and 8 kbit/s at ten tokens a second."""

_decode_map = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_integer = msgspec.json.Decoder(int).decode


class Size(Struct, frozen=True, gc=False):
    """Tokens of one request."""

    prompt: int
    """About."""
    most: int
    """It has no more than these."""
    limit: int | None
    """Of one answer, as the client set it; None: it set none."""
    answers: int = 1


NOTHING = Size(0, 0, 0)


def size(exchange: Exchange) -> Size:
    """Of a request that has been read."""
    operation = exchange.endpoint.operation
    body = exchange.body
    if operation in FREE:
        return NOTHING
    envelope = exchange.envelope
    if envelope is None:
        return Size(len(body) // _AUDIO_USUAL + 1, len(body) // _AUDIO_MOST + _PICTURE_MOST, None)
    prompt, most = _prompt(body)
    if any(name in envelope for name in _KEPT) or _is_object(envelope.raw("prompt")):
        most += _STORED
    if exchange.endpoint.family != "gemini":
        return Size(prompt, most, _largest(envelope, LIMITS), _largest(envelope, _CHOICES) or 1)
    settings = _settings(envelope)
    limit = max(
        filter(None, (_number(settings.get(name)) for name in _GEMINI_LIMITS)), default=None
    )
    answers = max(
        filter(None, (_number(settings.get(name)) for name in _GEMINI_CHOICES)), default=1
    )
    return Size(prompt, most, limit, answers)


def _prompt(body: bytes) -> tuple[int, int]:
    """(tokens about, tokens at most)."""
    media_bytes = pictures = 0
    tokens = 0.0
    for start, end in _inline(body):
        length = end - start
        media_bytes += length
        pages = ceil(length / _PAGE_BYTES) if body.startswith(_PDF, start) else 0
        tokens += pages * _PAGE or _PICTURE
        pictures += max(length, _PICTURE_MOST)
    named = sum(map(body.count, _NAMED))
    text = len(body) - media_bytes
    other = 0 if body.isascii() else len(body) - len(body.translate(None, _HIGH))
    about = (text - other) / _ASCII + other / _OTHER + tokens
    # A picture of OpenAI's is named twice: by its type and by its field.
    about += _PICTURE * ((named + 1) // 2 if not media_bytes else 0)
    return ceil(about), text + pictures + named * _PICTURE_MOST + _FRAME


def _inline(body: bytes) -> list[tuple[int, int]]:
    """Where base64 begins and ends."""
    found: list[tuple[int, int]] = []
    if len(body) < _SHORT:
        return found
    for mark in (_URI, _DATA):
        at = body.find(mark)
        while at >= 0:
            start = at + len(mark)
            if mark is _DATA:
                start = body.find(b'"', start, start + 8) + 1 or start
            end = body.find(b'"', start)
            if end - start >= _SHORT and _BASE64.match(body, start):
                found.append((start, end))
                start = end
            at = body.find(mark, start)
    return found


def _largest(envelope: Envelope, names: tuple[str, ...]) -> int | None:
    largest = None
    for name in names:
        if name in envelope:
            value = envelope.integer(name)
            if value is not None and 0 < value <= _MOST and value > (largest or 0):
                largest = value
    return largest


def _settings(envelope: Envelope) -> Mapping[str, msgspec.Raw]:
    for name in GEMINI:
        raw = envelope.raw(name)
        if raw is not None:
            try:
                return _decode_map(raw)
            except ValueError:
                return {}
    return {}


def _number(raw: msgspec.Raw | None) -> int | None:
    if raw is None:
        return None
    try:
        value = _decode_integer(raw)
    except ValueError:
        return None
    return value if 0 < value <= _MOST else None


def _is_object(raw: bytes | None) -> bool:
    return raw is not None and raw.startswith(b"{")


def limit_in(params: Mapping[str, object]) -> int | None:
    """The limit of an answer among parameters of the configuration."""
    settings = next((params[name] for name in GEMINI if name in params), None)
    found = [params.get(name) for name in LIMITS]
    if isinstance(settings, dict):
        found += [settings.get(name) for name in _GEMINI_LIMITS]
    return max((value for value in found if isinstance(value, int) and value > 0), default=None)
