"""What is compressed grows back to what it was, and not without end."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.inflating import FREE, RATIO, Inflating, inflating

CODINGS = {b"gzip": 31, b"X-Gzip": 31, b" deflate ": 15}


def packed(plain: bytes, bits: int = 31) -> bytes:
    packer = zlib.compressobj(wbits=bits)
    return packer.compress(plain) + packer.flush()


def inflate(coding: bytes = b"gzip") -> Inflating:
    found = inflating(coding)
    assert found is not None
    return found


@given(st.binary(max_size=2000), st.sampled_from(sorted(CODINGS)), st.integers(1, 40))
def test_wherever_it_is_cut_it_is_what_it_was(plain: bytes, coding: bytes, step: int) -> None:
    data = packed(plain, CODINGS[coding])
    one = inflate(coding)
    parts = []
    for start in range(0, len(data), step):
        assert start == 0 or not one.whole
        parts.append(one.feed(data[start : start + step]))

    assert b"".join(parts) == plain
    assert one.whole


@pytest.mark.parametrize("coding", [b"", b"identity", b"br", b"zstd", b"gzip, gzip", b"sim"])
def test_other_codings_are_not_known(coding: bytes) -> None:
    assert inflating(coding) is None


@pytest.mark.parametrize(
    "data", [b"plain", packed(b"x")[:5] + b"x" * 20, packed(b"x") + b"more", packed(b"x", 15)]
)
def test_what_is_no_such_coding_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        inflate().feed(data)


def test_nothing_is_whole() -> None:
    one = inflate()

    assert one.whole
    assert one.feed(packed(b"x")[:4]) == b""
    assert not one.whole


def test_a_megabyte_is_free() -> None:
    assert len(inflate().feed(packed(bytes(FREE)))) == FREE


def size_of(data: bytes, step: int) -> int:
    """Of what it has grown to, read in such steps."""
    one = inflate()
    return sum(len(one.feed(data[start : start + step])) for start in range(0, len(data), step))


@pytest.mark.parametrize("step", [100, 100_000])
def test_a_bomb_is_found_before_it_has_grown(step: int) -> None:
    bomb = packed(bytes(8 << 20))

    assert len(bomb) * RATIO < FREE
    with pytest.raises(ValueError, match="grows"):
        size_of(bomb, step)


def test_text_is_no_bomb() -> None:
    text = b"".join(b"%d and %d. " % (number, number * number) for number in range(100_000))

    assert size_of(packed(text), 65536) == len(text) > FREE
