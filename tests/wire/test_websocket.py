"""Frames are read as another library writes them, however they are cut."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import SERVER, Protocol

from proxy.wire.websocket import MOST, Reader, close_frame, key_of, subprotocols

PIECES = st.lists(st.binary(max_size=300).map(lambda b: b.hex()), min_size=1, max_size=4)
MESSAGE = st.one_of(
    st.tuples(st.just("text"), PIECES),
    st.tuples(st.just("binary"), PIECES),
    st.tuples(st.just("ping"), st.just(["p"])),
)


def written(kind: str, pieces: list[str]) -> bytes:
    """As a server sends it: fragmented, and with a pong between two fragments."""
    protocol = Protocol(SERVER)
    if kind == "ping":
        protocol.send_ping(pieces[0].encode())
        return b"".join(protocol.data_to_send())
    first = Opcode.TEXT if kind == "text" else Opcode.BINARY
    for number, piece in enumerate(pieces):
        opcode = first if number == 0 else Opcode.CONT
        frame = Frame(opcode, piece.encode(), fin=number == len(pieces) - 1)
        protocol.send_frame(frame)
        protocol.send_pong(b"between")
    return b"".join(protocol.data_to_send())


@given(st.lists(MESSAGE, max_size=6), st.lists(st.integers(0, 4000), max_size=12))
def test_texts_are_told_whole_and_in_order(
    messages: list[tuple[str, list[str]]], cuts: list[int]
) -> None:
    data = b"".join(written(*message) for message in messages)
    heard: list[bytes] = []
    reader = Reader(heard.append)
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    for start, end in pairwise(places):
        reader.feed(data[start:end])

    assert heard == ["".join(pieces).encode() for kind, pieces in messages if kind == "text"]
    assert not reader.closed


@given(st.lists(st.binary(max_size=200), max_size=8))
def test_anything_at_all_harms_nobody(parts: list[bytes]) -> None:
    reader = Reader(lambda _: None)
    for part in parts:
        reader.feed(part)


def test_what_is_too_large_passes_unread() -> None:
    heard: list[bytes] = []
    reader = Reader(heard.append)
    large = written("text", ["x" * MOST, "y"]) + written("text", ["after"])
    for at in range(0, len(large), 65536):
        reader.feed(large[at : at + 65536])

    assert heard == [b"after"]


def test_the_end_is_a_frame_that_says_why() -> None:
    frame = close_frame(1012, "restart")
    reader = Reader(lambda _: None)
    reader.feed(frame)

    assert Close.parse(frame[2:]) == Close(1012, "restart")
    assert reader.closed


def test_a_key_may_be_among_the_subprotocols() -> None:
    values = ["realtime, openai-insecure-api-key.sk-1", "other"]

    assert subprotocols(values) == ["realtime", "openai-insecure-api-key.sk-1", "other"]
    assert key_of(values) == "sk-1"
    assert key_of(["realtime"]) is None
