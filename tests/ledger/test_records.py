from __future__ import annotations

import zlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.ledger.records import (
    HEAD,
    Adjust,
    Charged,
    Content,
    Record,
    Tokens,
    encode,
    frame,
    parse,
)
from tests.ledger.samples import end, progress, start


@pytest.mark.parametrize(
    "record",
    [
        start("a"),
        progress("a", 5),
        end("a"),
        Adjust("a", 1.0, Charged("key:1", 0, 0), -3, -100, -5),
        Content("a", 1.0, "question", "answer"),
    ],
    ids=lambda record: type(record).__name__,
)
def test_a_record_comes_back(record: Record) -> None:
    data = frame(record)
    length, crc = HEAD.unpack_from(data)

    assert length == len(data) - HEAD.size
    assert crc == zlib.crc32(data[HEAD.size :])
    assert parse(data[HEAD.size :]) == record
    assert parse(memoryview(data)[HEAD.size :]) == record


def test_a_start_is_small() -> None:
    rid = "0" * 36
    assert len(frame(start(rid))) < 250
    assert len(frame(end(rid))) < 350


@given(st.text(st.characters(), max_size=20))
def test_text_that_is_none_does_not_lose_the_record(agent: str) -> None:
    record = end("a", agent=agent)
    found: Any = parse(encode(record))

    assert msgspec.structs.replace(found, user_agent="") == end("a", agent="")
    assert found.user_agent == agent.encode("utf-8", "replace").decode()
    assert found.tries == record.tries


def test_a_later_version_may_add_words() -> None:
    record = progress("a", 5)
    words = msgspec.msgpack.decode(encode(record))
    assert parse(msgspec.msgpack.encode([*words, "more"])) == record


@pytest.mark.parametrize(
    "body", [b"", b"\xc0", msgspec.msgpack.encode(["Z", "a"]), b"\x92\xa1P\xa1a"]
)
def test_what_no_version_wrote_is_refused(body: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        parse(body)


def test_every_token_counts_once() -> None:
    assert Tokens(1, 2, 4, 8, reasoning=5, audio_input=3).total == 15
