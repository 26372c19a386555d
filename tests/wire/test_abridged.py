"""What is short is as well-formed as what it stands for, and becomes that again."""

from __future__ import annotations

import base64
import json
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.core.errors import ProxyError
from proxy.wire import abridged, envelope
from proxy.wire.abridged import EDGE, LARGE, MARK, abridge
from proxy.wire.envelope import Envelope

if TYPE_CHECKING:
    from collections.abc import Iterator

PICTURE = base64.b64encode(Random(1).randbytes(LARGE)).decode()
BODY = json.dumps(
    {
        "model": "m",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": 'What is\n"this"? ' * 40}]},
            {"role": "user", "content": [{"url": "data:image/png;base64," + PICTURE}]},
            {"role": "user", "content": [{"url": "data:image/png;base64," + PICTURE[::-1]}]},
        ],
        "stream": True,
    }
).encode()


def of(text: bytes) -> bytes:
    """A body of which this is a value."""
    return b'{"model":"m","a":%b}' % text


# --- what is cut ---


def test_pictures_are_cut_out() -> None:
    short = abridge(BODY)

    assert short is not None
    assert len(short.text) < len(BODY) / 20
    assert short.text.count(MARK) == len(short.runs) == 2
    assert short.restored(short.text) == BODY
    assert short.missing(short.text) == len(BODY) - len(short.text)
    assert short.missing(short.text[:500]) == 0


@pytest.mark.parametrize("at", [0, 3, LARGE // 2, LARGE])
def test_what_begins_a_string_or_with_a_semicolon_is_there(at: int) -> None:
    word = ";" + "w" * (EDGE - 2)
    short = abridge(of(json.dumps(PICTURE[:at] + word + PICTURE[at:]).encode()))

    assert short is not None
    assert b'"' + PICTURE[:at].encode()[:EDGE] in short.text
    assert word.encode() in short.text


@pytest.mark.parametrize(
    "text",
    [
        b"[%b]" % b",".join([b"12345"] * LARGE),
        b'"%b"' % (b"\\n" * LARGE),
        b'"%b"' % (b"some words\\n" * LARGE),
        b'"%b"' % (b"a = f(); " * LARGE),
        b"[%b]" % b",".join([b'"word"'] * LARGE),
        b'"%b"' % ("ü" * LARGE).encode(),
        b'"%b"' % (b"\t" * LARGE),
        b'"%b"' % (b"\xff" * LARGE),
        b" " * LARGE + b"1",
        b"",
        b'"',
        b"\\" * LARGE,
    ],
)
def test_what_has_no_long_plain_strings_is_not_abridged(text: bytes) -> None:
    assert abridge(of(text)) is None


def test_a_run_that_begins_behind_an_escape_leaves_all_of_that() -> None:
    content = "a\u1234" + PICTURE + "\u1234" + PICTURE + "\n"
    body = of(json.dumps(content).encode())
    short = abridge(body)

    assert short is not None
    assert json.loads(short.text)["a"].count("\u1234") == 2
    assert short.restored(short.text) == body


# --- what a body is read from ---


def test_a_body_with_pictures_is_read_as_it_came() -> None:
    read = Envelope.parse(BODY)
    messages = json.dumps(json.loads(BODY)["messages"]).encode()

    assert (read.text("model"), read.flag("stream"), read.body) == ("m", True, BODY)
    assert not read.edited
    assert len(read.sought) < len(BODY) / 20
    assert read.raw("messages") == messages
    assert Envelope.parse(BODY).beginning("messages", 1000) == messages[:1000]
    assert bytes(Envelope.parse(BODY).fields()["messages"]) == messages
    assert json.loads(Envelope.parse(BODY).encode()) == json.loads(BODY)


def test_a_long_text_is_read_whole() -> None:
    assert Envelope.parse(of(json.dumps(PICTURE).encode())).text("a") == PICTURE


def test_an_edit_leaves_the_pictures() -> None:
    read = Envelope.parse(BODY)
    copy = read.copy()
    copy.set("model", b'"other"')

    assert json.loads(copy.encode()) == {**json.loads(BODY), "model": "other"}
    assert read.text("model") == "m"


def test_what_was_replaced_stays_replaced() -> None:
    read = Envelope.parse(BODY)
    read.set("messages", b"[]")
    read.drop("stream")

    assert read.encode() == b'{"model":"m","messages":[]}'


def test_a_key_given_twice_is_found_beside_a_picture() -> None:
    picture = json.dumps(PICTURE).encode()
    body = b'{"a":"short","b":%b,"a":%b}' % (picture, picture[:-4] + b'abc"')

    assert Envelope.parse(body).duplicates
    assert Envelope.parse(body).encode() == b'{"a":%b,"b":%b}' % (picture[:-4] + b'abc"', picture)
    compact = b'{"a":"short","b":%b}' % picture
    assert not Envelope.parse(compact).duplicates


def test_keys_that_differ_in_what_is_cut_out_are_two() -> None:
    one, two = PICTURE, PICTURE[: LARGE // 2] + "?" + PICTURE[LARGE // 2 :]
    body = json.dumps({one: 1, two: 2}).encode()

    assert json.loads(Envelope.parse(body).encode()) == {one: 1, two: 2}


@pytest.mark.parametrize("bad", [b"\x00", b"\n", b"\x1f", b'"', b"\xff", b"\xc3", b"\\x"])
def test_what_is_wrong_in_a_picture_is_refused(bad: bytes) -> None:
    for at in (1, LARGE // 3, LARGE // 2, LARGE - 1):
        picture = PICTURE.encode()
        body = of(b'"%b%b%b"' % (picture[:at], bad, picture[at:]))

        with pytest.raises(ProxyError):
            Envelope.parse(body)


@pytest.mark.parametrize("bad", [b"%b", b"[%b]", b'"a":%b', b'"a%b', b'"\\u12%b"', b'"\\%b"'])
def test_a_picture_where_there_is_no_string_is_refused(bad: bytes) -> None:
    with pytest.raises(ProxyError):
        Envelope.parse(of(bad.replace(b"%b", b"?" + PICTURE.encode())))


# --- any text ---


@pytest.fixture(scope="module")
def small() -> Iterator[None]:
    """Sizes at which short texts are large."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(envelope, "LARGE", 0)
        patch.setattr(abridged, "STEP", 8)
        patch.setattr(abridged, "LEAST", 4)
        patch.setattr(abridged, "EDGE", 1)
        patch.setattr(abridged, "_PIECE", 5)
        yield


def outcome(body: bytes) -> tuple[Any, ...] | None:
    try:
        read = Envelope.parse(body)
    except ProxyError:
        return None
    return read.duplicates, read.encode(), read.fields(), read.text("a"), read.integer("a")


def whole(body: bytes) -> tuple[Any, ...] | None:
    """The same of all of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(envelope, "LARGE", len(body) + 1)
        return outcome(body)


PIECE = st.sampled_from(
    [
        *(b"{", b"}", b"[", b"]", b",", b":", b'"', b'"', b'"', b"\\", b"\\u12", b"\\n", b"\n"),
        *(b" ", b"\x00", b"\xc3\xbc", b"\xff", b"x" * 12, b"1" * 12, b"true", b'"a":', b'{"a":'),
        *(b'"' + b"y" * 20 + b'"', b'"key' + b"z" * 20 + b'":', b'{"a":"', b'"}', b", " * 10),
    ]
)
TEXT = st.text(st.sampled_from('ab"\\\n\u00fcxyz{}[]'), max_size=3) | st.text(
    st.sampled_from("abcdef,:"), min_size=12, max_size=60
)
VALUE = st.recursive(
    TEXT | st.integers() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.usefixtures("small")
@given(st.lists(PIECE, max_size=14).map(b"".join))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_read_as_without_it(body: bytes) -> None:
    assert outcome(body) == whole(body)


@pytest.mark.usefixtures("small")
@given(
    st.lists(st.tuples(st.just("a") | TEXT, VALUE), max_size=4),
    st.integers(0, 200),
    st.sampled_from([b"", b'"', b"\\", b"\x00", b"x", b"\xfc", b","]),
    st.booleans(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_body_is_read_as_without_it(
    fields: list[tuple[str, Any]], at: int, put: bytes, ascii_only: bool
) -> None:
    pairs = [
        f"{json.dumps(key, ensure_ascii=ascii_only)}:{json.dumps(value, ensure_ascii=ascii_only)}"
        for key, value in fields
    ]
    body = ("{" + ",".join(pairs) + "}").encode()

    assert outcome(body) == whole(body)
    assert outcome(body[:at] + put + body[at:]) == whole(body[:at] + put + body[at:])
