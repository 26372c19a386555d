"""What is found is what a plain search finds, whatever the text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.quoted import SMALL, few, has

WORD = b'"aHIx'
PIECES = st.sampled_from([b'"', b'"a', b'"aHI', b"aHIx", b"x" * 700, b"y" * 5000, b"\\", WORD])


@given(st.lists(PIECES, max_size=40), st.booleans())
def test_it_is_found_as_by_a_plain_search(pieces: list[bytes], large: bool) -> None:
    text = b"".join(pieces) + b" " * (SMALL if large else 0) + b"".join(pieces[::-1])

    assert has(text, WORD) is (WORD in text)


@pytest.mark.parametrize("at", [0, 1, SMALL, 3 * SMALL - len(WORD)])
@pytest.mark.parametrize("filling", [b'"', b"z"])
def test_it_is_found_wherever_it_stands(at: int, filling: bytes) -> None:
    text = filling * at + WORD + filling * (3 * SMALL - at - len(WORD))

    assert has(text, WORD)
    assert not has(text.replace(WORD, filling * len(WORD)), WORD)


@given(st.binary(max_size=60), st.integers(0, 8))
def test_letters_are_counted(text: bytes, most: int) -> None:
    assert few(text, b"[{", most) is (text.count(b"[") + text.count(b"{") <= most)
