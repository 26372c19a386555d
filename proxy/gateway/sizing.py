"""How large a request is, from its bytes alone: the tokens of its prompt, and what its answer may have.

No tokeniser and no parsing: it is asked for each request that has a limit of tokens or money. What is base64 is no text;
a picture or a page counts what vendors' guides call usual.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import ceil
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from proxy.core.errors import ProxyError
from proxy.wire.quoted import has

if TYPE_CHECKING:
    from proxy.gateway.exchange import Exchange
    from proxy.wire.abridged import Abridged
    from proxy.wire.envelope import Envelope
    from proxy.wire.multipart import Form

WRITES = frozenset({"chat", "completions", "responses", "messages", "generate"})
"""Operations whose answer is text, as long as somebody says or it likes."""
HEARD = frozenset({"transcriptions", "translations"})
"""Operations that listen to a recording."""
FREE = frozenset({"count_tokens", "stored", "models", "model", "mcp"})
"""Operations that use no tokens."""

LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
GEMINI = ("generationConfig", "generation_config")
_GEMINI_LIMITS = ("maxOutputTokens", "max_output_tokens")
_CHOICES = ("n", "best_of")
_WANTED = ("n",)
_SEVERAL = frozenset({"chat", "completions", "generate"})
"""Operations that may be asked for several answers."""
_GEMINI_CHOICES = ("candidateCount", "candidate_count")
MOST = 10_000_000
"""Nobody's answer is longer; what says more says nothing. Nor do all answers of a request, and its prompt, come to more."""

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

_TYPE = b'"type"'
_URI, _DATA, _PDF = b";base64,", b'"data"', b"JVBERi0"
_BASE64 = re.compile(rb"[A-Za-z0-9+/_=-]{64}")
_NAMED = (b'"image_url"', b'"file_id"', b'"file_url"', b'"file_uri"', b'"fileUri"', b'"url"')
"""What is fetched by the provider, so that its size is not known here."""
_KEPT: Mapping[str, tuple[str, ...]] = {
    "openai.responses": ("previous_response_id", "conversation"),
    "gemini.generate": ("cachedContent", "cached_content"),
}
"""Fields that name what the provider keeps. So does `prompt` where it is no text."""
_NO_NAME = (None, b"null")
_HIGH = bytes(range(128, 256))
_COUNT = re.compile(r"[0-9]{1,8}")
_SEVERAL_QUESTIONS = re.compile(rb'\[\s*(["\[])')
_SECOND = 16_000
"""Bytes of a second of a recording, about: 128 kbit/s."""
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


def size(exchange: Exchange, *, strict: bool = False) -> Size:
    """Of a request that has been read. `most` holds for what is `strict` only: pictures the provider fetches are not looked
    for otherwise."""
    endpoint, body, envelope = exchange.endpoint, exchange.body, exchange.envelope
    if endpoint.operation in FREE:
        return NOTHING
    if envelope is None:
        most = len(body) // _AUDIO_MOST + _PICTURE_MOST
        pictures = _wanted_in(exchange.form) if endpoint.operation == "images" else 1
        return Size(len(body) // _AUDIO_USUAL + 1, most, None, pictures)
    gemini = endpoint.family == "gemini"
    mark, text = _DATA if gemini else _TYPE, envelope.sought
    if strict or has(text, mark) or not text.isascii():
        prompt, most = _prompt(len(body), text, envelope.short, mark, strict=strict)
        if strict:
            most += _kept(envelope, endpoint.dialect)
    else:
        most = len(body) + _FRAME
        prompt = ceil(len(body) / _ASCII)
    if not gemini:
        choices = 1 if envelope.lacks(_CHOICES) else _largest(envelope, _CHOICES) or 1
        if endpoint.operation == "completions":
            choices *= _questions(envelope)  # each of them is answered
        return Size(prompt, most, _largest(envelope, LIMITS), choices)
    settings = _settings(envelope)
    return Size(
        prompt, most, _greatest(settings, _GEMINI_LIMITS), _greatest(settings, _GEMINI_CHOICES) or 1
    )


def awaited(exchange: Exchange) -> int:
    """Answers that come, to one question or to several. Of those made for `best_of`, which are paid for too, not all do."""
    envelope, operation = exchange.envelope, exchange.endpoint.operation
    if envelope is None or operation not in _SEVERAL:
        return 1
    if operation == "generate":
        return _greatest(_settings(envelope), _GEMINI_CHOICES) or 1
    wanted = 1 if envelope.lacks(_WANTED) else _largest(envelope, _WANTED) or 1
    return wanted * _questions(envelope) if operation == "completions" else wanted


def _questions(envelope: Envelope) -> int:
    """Of a request for text completions: a list of texts, or of lists of tokens, is as many. Counted by their marks: there may
    be millions, and to take them apart would hold up everybody else."""
    raw = envelope.raw("prompt") or b""
    several = _SEVERAL_QUESTIONS.match(raw)
    if several is None:
        return 1
    if several[1] == b"[":
        return max(len(raw) - len(raw.translate(None, b"[")) - 1, 1)
    text = raw.replace(b"\\\\", b"") if b"\\\\" in raw else raw
    return (len(text) - len(text.translate(None, b'"')) - text.count(b'\\"')) // 2


def characters(exchange: Exchange) -> int:
    """Of what is to be read aloud; 0 for all that is no speech."""
    envelope = exchange.envelope
    if exchange.endpoint.operation != "speech" or envelope is None:
        return 0
    return len(envelope.text("input") or "")


def heard(exchange: Exchange) -> float:
    """Seconds of the recording that is to be listened to, about; 0 for all that is none."""
    return len(exchange.body) / _SECOND if exchange.endpoint.operation in HEARD else 0.0


def _wanted_in(form: Form | None) -> int:
    """Pictures that a form asks for."""
    try:
        text = None if form is None else form.text("n")
    except ProxyError:  # it is there twice, or is no text: for the provider to refuse
        text = None
    count = int(text) if text is not None and _COUNT.fullmatch(text) else 1
    return count if 0 < count <= MOST else 1


def _kept(envelope: Envelope, dialect: str) -> int:
    """Tokens at most of what a request names that the provider keeps."""
    kept = _KEPT.get(dialect)
    if kept is None:
        return 0
    raw = envelope.raw("prompt")
    named = raw is not None and raw.startswith(b"{")
    return _STORED if named or any(envelope.raw(name) not in _NO_NAME for name in kept) else 0


def _prompt(
    length: int, body: bytes, short: Abridged | None, mark: bytes, *, strict: bool
) -> tuple[int, int]:
    """(tokens about, tokens at most) of a body of this length, which is here as it was abridged."""
    most = length
    tokens = 0.0
    # Every look through a body takes as long as it is. Parts that are no text have a type, but for Gemini's.
    if strict or mark in body:
        for start, end in _inline(body):
            size = end - start
            if short is not None:
                size += short.missing(body[start:end])
            length -= size
            most += max(_PICTURE_MOST - size, 0)
            pages = ceil(size / _PAGE_BYTES) if body.startswith(_PDF, start) else 0
            tokens += pages * _PAGE or _PICTURE
    if strict:
        most += sum(map(body.count, _NAMED)) * _PICTURE_MOST
    if not body.isascii():
        other = len(body) - len(body.translate(None, _HIGH))
        length -= other
        tokens += other / _OTHER
    return ceil(length / _ASCII + tokens), most + _FRAME


def _inline(body: bytes) -> list[tuple[int, int]]:
    """Where base64 begins and ends."""
    found: list[tuple[int, int]] = []
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
    values = envelope.integers(names)
    if len(values) > 1:
        values = [max((value for value in values if value <= MOST), default=0)]
    return values[0] if values and 0 < values[0] <= MOST else None


def _settings(envelope: Envelope) -> Mapping[str, msgspec.Raw]:
    for name in GEMINI:
        raw = envelope.raw(name)
        if raw is not None:
            try:
                return _decode_map(raw)
            except ValueError:
                return {}
    return {}


def _greatest(settings: Mapping[str, msgspec.Raw], names: tuple[str, ...]) -> int | None:
    largest = None
    for name in names:
        if name in settings:
            try:
                value = _decode_integer(settings[name])
            except ValueError:
                continue
            if 0 < value <= MOST and value > (largest or 0):
                largest = value
    return largest


def limits(exchange: Exchange) -> Mapping[str, int | None]:
    """By the name of their field, the limits of an answer that the client wrote down: 0 where it says there is none (null),
    None where that is no limit anybody can rely on. Gemini's are in an object, whose name it is."""
    envelope = exchange.envelope
    if envelope is None:
        return {}
    if exchange.endpoint.family != "gemini":
        return {name: _reliable(envelope.raw(name)) for name in LIMITS if name in envelope}
    found: dict[str, int | None] = {}
    for outer in GEMINI:
        raw = envelope.raw(outer)
        if raw is None:
            continue
        try:
            settings = _decode_map(raw)
        except ValueError:
            settings = {}
        inner = [_reliable(settings[name]) for name in _GEMINI_LIMITS if name in settings]
        found[outer] = None if None in inner else max(map(int, filter(None, inner)), default=0)
    return found


def _reliable(raw: bytes | msgspec.Raw | None) -> int | None:
    if raw is None or raw == b"null":
        return 0
    try:
        value = _decode_integer(raw)
    except ValueError:
        return None
    return value if 0 < value <= MOST else None


def limits_in(params: Mapping[str, object]) -> tuple[tuple[str, int], ...]:
    """The same among parameters of the configuration: all that are set, 0 where what is there is no limit."""
    found = [(name, _positive(params[name])) for name in LIMITS if name in params]
    for outer in GEMINI:
        if outer in params:
            settings = params[outer]
            inner = settings if isinstance(settings, dict) else {}
            found.append((outer, max(_positive(inner.get(name)) for name in _GEMINI_LIMITS)))
    return tuple(found)


def _positive(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0
