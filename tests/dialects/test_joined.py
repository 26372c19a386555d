from __future__ import annotations

from base64 import b64decode, b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.joined import joined


def base64(data: bytes) -> str:
    return b64encode(data).decode()


@given(st.lists(st.binary(max_size=9)))
def test_pieces_encoded_by_themselves_are_one(pieces: list[bytes]) -> None:
    assert b64decode(joined(map(base64, pieces)), validate=True) == b"".join(pieces)


@given(st.binary(max_size=20), st.integers(0, 30))
def test_what_was_cut_is_whole_again(data: bytes, at: int) -> None:
    whole = base64(data)

    assert joined([whole[:at], whole[at:]]) == whole


@pytest.mark.parametrize("pieces", [["Zg=", "="], ["a=", "é"], ["Zg==", "x"]])
def test_what_is_no_base64_is_left_as_it_came(pieces: list[str]) -> None:
    assert joined(pieces) == "".join(pieces)
