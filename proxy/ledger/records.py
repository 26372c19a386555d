"""What is written down of a request: its start, its progress, its end.

A record is one frame of a spool: `length u32 | crc32 u32 | msgpack`, little endian, behind the mark of its segment
(`segments.py`). `Start` is written before anything is
sent to a provider, `Progress` every few seconds of a stream, `End` before the client sees the end of its answer. The
id of the request is the key of all of them, so delivering one twice changes nothing.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any, Union

import msgspec
from msgspec import Struct

HEAD = struct.Struct("<II")
VERSION = 1


class Tokens(Struct, frozen=True, array_like=True, gc=False):
    """Disjoint parts, but for `reasoning`, audio and `cache_write_1h`, which are parts of others."""

    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    audio_input: int = 0
    audio_output: int = 0
    images: int = 0
    seconds: float = 0.0
    cache_write_1h: int = 0

    @property
    def total(self) -> int:
        """Every token once."""
        return self.input + self.cache_read + self.cache_write + self.output


class Charged(Struct, frozen=True, array_like=True, gc=False):
    """Where it is booked: as `limits.accounts.Charge`."""

    subject: str
    window: int
    ends: int


class Start(Struct, frozen=True, array_like=True, tag="S", gc=False):
    """A request is about to be sent. Again for each further attempt, with its number."""

    rid: str
    at: float
    """Unix time at which the request came."""
    attempt: int
    key_id: str
    key: str
    team: str
    owner: str
    route: str
    operation: str
    dialect: str
    stream: bool
    asked: str
    """The model as the client named it."""
    model: str
    deployment: str
    provider: str
    upstream_model: str
    reserved: int
    """Micro-dollars."""
    likely: int
    """Micro-dollars of the prompt alone, should nothing more become known; -1: no price."""
    prompt: int
    """Tokens of the prompt, estimated."""
    charges: tuple[Charged, ...]


class Progress(Struct, frozen=True, array_like=True, tag="P", gc=False):
    """A stream goes on."""

    rid: str
    at: float
    tokens: Tokens
    """So far, estimated or reported."""
    cost: int
    """Micro-dollars so far; -1: no price."""


class Try(Struct, frozen=True, array_like=True, gc=False):
    """One attempt. Times in milliseconds; -1 is never."""

    number: int
    """From 1."""
    deployment: str
    provider: str
    credential: str
    upstream_model: str
    dialect: str
    status: int
    """HTTP, as the provider said; 0: nothing."""
    outcome: str
    """`ok`, or as the label of `headrace_upstream_attempts_total`."""
    cause: str
    started_ms: float
    """After the request had come."""
    connect_ms: float
    ttft_ms: float
    total_ms: float
    cost: int
    """Micro-dollars the provider will charge for it, also where the client is not billed; -1: unknown."""


class End(Struct, frozen=True, array_like=True, tag="E", gc=False):
    """A request is over: everything that is to be known of it, so that no other record is needed."""

    rid: str
    at: float
    key_id: str
    key: str
    team: str
    owner: str
    route: str
    operation: str
    dialect: str
    stream: bool
    asked: str
    model: str
    """The configured name of the model that answered; that was asked for, when none did."""
    deployment: str
    provider: str
    upstream_model: str
    status: int
    outcome: str
    """`ok`, `truncated`, `client_gone`, `deadline` (the client's), `upstream_error`, `rejected`, `refused`, `failed`, `unknown` (its worker died)."""
    cause: str
    finish: str
    """Why the answer ended, in the provider's word."""
    queue_ms: float
    connect_ms: float
    ttft_ms: float
    total_ms: float
    overhead_ms: float
    """-1: never."""
    tokens: Tokens
    source: str
    """`reported`, `estimated`, `suspect` (estimated, because what was reported cannot be true), or `none`."""
    cost: int
    """Micro-dollars billed to the client; -1: unknown. 0 where an estimate is not charged."""
    estimate: int
    """Micro-dollars estimated where nothing was reported; -1: nothing was estimated."""
    cost_upstream: int
    """Micro-dollars of all attempts together; -1: unknown."""
    bytes_in: int
    bytes_out: int
    client: str
    user_agent: str
    tries: tuple[Try, ...]
    charges: tuple[Charged, ...]


class Adjust(Struct, frozen=True, array_like=True, tag="A", gc=False):
    """A counter is changed by hand: a quota or a budget was reset."""

    rid: str
    at: float
    charge: Charged
    requests: int
    tokens: int
    cost: int


class Content(Struct, frozen=True, array_like=True, tag="C", gc=False):
    """What was asked and answered, cut to the length the configuration allows. In a spool of its own that may lose."""

    rid: str
    at: float
    request: str
    response: str


Record = Union[Start, Progress, End, Adjust, Content]  # noqa: UP007 - msgspec wants one

_encoder = msgspec.msgpack.Encoder()
_encode = _encoder.encode
_decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(Record)


def encode(record: Record | tuple[object, ...]) -> bytes:
    """The body of a frame, or fields of one. What is no text in UTF-8 (headers may be anything) is replaced by `?`."""
    try:
        return _encoder.encode(record)
    except UnicodeEncodeError:
        return _encoder.encode(_clean(record))


def frame(record: Record) -> bytes:
    """The bytes of one record in a spool, but for the mark."""
    try:
        body = _encode(record)
    except UnicodeEncodeError:
        body = encode(record)
    return HEAD.pack(len(body), zlib.crc32(body)) + body


def parse(body: bytes | memoryview) -> Record:
    """Raises msgspec.MsgspecError for what no version has written."""
    record: Record = _decoder.decode(body)
    return record


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, tuple):
        return tuple(map(_clean, value))
    if isinstance(value, Struct):
        return type(value)(*(_clean(getattr(value, name)) for name in value.__struct_fields__))
    return value
