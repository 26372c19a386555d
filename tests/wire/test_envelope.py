"""The top level of a request body: refused when it is not one JSON object, untouched where nobody edits it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.errors import ProxyError
from proxy.wire.envelope import MAX_DEPTH, Envelope

BODY = b'{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"stream":true}'

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=8,
)


def refused(body: bytes) -> bool:
    try:
        Envelope.parse(body)
    except ProxyError as error:
        return error.ref == "bad_json"
    return False


def nested(levels: int, opening: bytes = b"[", closing: bytes = b"]") -> bytes:
    """An object with `levels` levels, itself included."""
    return b'{"a":' + opening * (levels - 1) + b"1" + closing * (levels - 1) + b"}"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"hello",
        b"[]",
        b'"text"',
        b"12",
        b"null",
        b"{",
        b'{"a":1',
        b'{"a":1}}',
        b'{"a":1} x',
        b'{"a":1}{"a":1}',
        b'{"a":1}\0',
        b'{"a":1,}',
        b'{"a":[1,]}',
        b'{"a":1 "b":2}',
        b"{a:1}",
        b"{'a':1}",
        b'{"a":1}// note',
        b'{/* note */"a":1}',
        b'{"a":01}',
        b'{"a":+1}',
        b'{"a":.5}',
        b'{"a":NaN}',
        b'{"a":[NaN]}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":1e999}',
        b'{"a":-1e999}',
        b'{"a":{"b":[1e999]}}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":-' + b"9" * 5000 + b"}",
        b'{"a":"\xff"}',
        b'{"a":["\xc0\xaf"]}',
        b'{"a":{"b":"\xed\xa0\x80"}}',
        b'{"\xff":1}',
        b'{"a":"\xe4\xbd"}',
        b'\xef\xbb\xbf{"a":1}',
        '{"a":1}'.encode("utf-16"),
        b'{"a":"\x01"}',
        b'{"a":"line\nbreak"}',
        b'{"a":"\\q"}',
        b'{"a":"\\ud83d"}',
        b'{"a":"\\ude00"}',
    ],
)
def test_what_is_not_one_json_object_is_refused(body: bytes) -> None:
    assert refused(body)


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b' \t\r\n{ "a" : 1 } \n',
        b'{"a":-0}',
        b'{"a":18446744073709551616}',
        b'{"a":1e308}',
        b'{"a":1e-999}',
        b'{"a":"\\u0000"}',
        b'{"a":"\\ud83d\\ude00"}',
        '{"ä":"\U0001f600"}'.encode(),
    ],
)
def test_unusual_but_well_formed_objects_are_taken(body: bytes) -> None:
    assert json.loads(Envelope.parse(body).encode()) == json.loads(body)


@pytest.mark.parametrize(
    ("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}"), (b'[{"b":', b"}]")]
)
def test_depth_is_limited_exactly(opening: bytes, closing: bytes) -> None:
    step = opening.count(b"[") + opening.count(b"{")
    most = (MAX_DEPTH - 1) // step

    fitting = b'{"a":' + opening * most + b"1" + closing * most + b"}"
    over = b'{"a":' + opening * (most + 1) + b"1" + closing * (most + 1) + b"}"

    assert not refused(fitting)
    assert refused(over)


@pytest.mark.parametrize("levels", [65, 100, 900, 2_000, 1_000_000])
def test_towers_of_brackets_are_refused(levels: int) -> None:
    assert refused(nested(levels))
    assert refused(nested(levels, b'{"a":', b"}"))


def test_brackets_in_strings_do_not_count() -> None:
    noise = b'"' + b"[{" * 200 + b'\\"' + b"[[" * 100 + b'\\\\"'

    assert not refused(b'{"a":[' + noise + b',{"b":' + noise + b"}]}")
    assert refused(b'{"a":[' + noise + b"," + b"[" * 64 + b"]" * 64 + b"]}")


def test_closing_brackets_in_strings_hide_no_depth() -> None:
    deep = b'["]}",' * 70 + b"1" + b"]" * 70

    assert refused(b'{"a":' + deep + b"}")
    assert refused(b'{"a":[{"b":' + deep + b"}]}")


@pytest.mark.parametrize("pair", [(b"[", b"]"), (b'{"a":', b"}")], ids=["lists", "objects"])
def test_a_tower_is_refused_at_every_height(pair: tuple[bytes, bytes]) -> None:
    opener, closer = pair
    for height in range(MAX_DEPTH, 1200):
        assert refused(b'{"a":' + opener * height + b"1" + closer * height + b"}"), height


def test_wide_bodies_are_not_deep() -> None:
    assert not refused(b'{"a":[' + b'{"b":[1]},' * 10_000 + b"{}]}")
    assert not refused(b'{"a":{"b":[' + b'{"b":[1]},' * 10_000 + b"{}]}}")


def depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


@settings(deadline=None)
@given(
    st.recursive(
        st.sampled_from(["", "[", "]]", "{{", '"}', "\\", 1]),
        lambda inner: (
            st.lists(inner, min_size=1, max_size=3)
            | st.dictionaries(st.sampled_from("[a"), inner, min_size=1)
        ),
        max_leaves=40,
    ),
    st.integers(0, 66),
    st.integers(0, 80),
)
def test_only_depth_decides(value: Any, wraps: int, siblings: int) -> None:
    for _ in range(wraps):
        value = [value]
    whole = {"a": value, "b": [[]] * siblings, "c": "[" * 80}

    assert refused(json.dumps(whole).encode()) == (depth(whole) > MAX_DEPTH)


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=8), JSON, max_size=4), st.sampled_from([None, 1]))
def test_what_goes_in_comes_out(fields: dict[str, Any], indent: int | None) -> None:
    body = json.dumps(fields, indent=indent, ensure_ascii=False).encode()

    envelope = Envelope.parse(body)

    assert json.loads(envelope.encode()) == fields
    assert list(json.loads(envelope.encode())) == list(fields)


@given(st.binary(max_size=40))
def test_any_bytes_parse_or_are_refused(body: bytes) -> None:
    refused(body)


def test_nested_bytes_stay_as_they_are() -> None:
    nested = b'{ "big": 123456789012345678901234567890, "float": 1.50e+2, "text": "\\u00e9\\/" }'
    envelope = Envelope.parse(b'{"model": "a", "extra": ' + nested + b"}")

    envelope.set("model", b'"b"')

    assert envelope.encode() == b'{"model":"b","extra":' + nested + b"}"


def test_a_key_given_twice_collapses_to_its_last_value() -> None:
    envelope = Envelope.parse(b'{"model":"a","x":1,"mod\\u0065l":"b"}')

    assert envelope.duplicates
    assert envelope.text("model") == "b"
    assert envelope.encode() == b'{"model":"b","x":1}'


@pytest.mark.parametrize("body", [b"{}", BODY, b'{"a":{ "b": 1 },"c":[ ]}'])
def test_a_compact_body_certainly_has_no_duplicates(body: bytes) -> None:
    assert not Envelope.parse(body).duplicates


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", "ä", '"']), st.integers(0, 200)), max_size=5),
    st.booleans(),
    st.booleans(),
)
def test_duplicates_are_never_missed(
    pairs: list[tuple[str, int]], spaced: bool, escaped: bool
) -> None:
    comma, colon = (", ", ": ") if spaced else (",", ":")
    body = (
        "{"
        + comma.join(
            json.dumps(key, ensure_ascii=escaped) + colon + str(value) for key, value in pairs
        )
        + "}"
    )

    envelope = Envelope.parse(body.encode())

    if len(dict(pairs)) < len(pairs):
        assert envelope.duplicates


def test_values_are_read_by_type() -> None:
    envelope = Envelope.parse(b'{"s":"a\\u00e9","t":true,"f":false,"n":null,"i":12,"x":1.5}')

    assert envelope.text("s") == "aé"
    assert envelope.text("i") is None
    assert envelope.text("missing") is None
    assert envelope.integer("i") == 12
    assert envelope.integer("x") is None
    assert envelope.integer("missing") is None
    assert [envelope.flag(name) for name in ("t", "f", "n", "s", "missing")] == [True] + [False] * 4
    assert envelope.raw("n") == b"null"
    assert envelope.raw("missing") is None
    assert "n" in envelope
    assert "missing" not in envelope


def test_an_edit_is_noticed_and_keeps_the_order() -> None:
    envelope = Envelope.parse(BODY)

    envelope.set("model", b'"other"')
    envelope.set("n", b"2")
    envelope.drop("stream")

    assert envelope.edited
    assert envelope.body == BODY
    assert list(json.loads(envelope.encode())) == ["model", "messages", "n"]


def test_dropping_what_is_not_there_is_no_edit() -> None:
    envelope = Envelope.parse(BODY)

    envelope.drop("temperature")

    assert not envelope.edited


def test_a_copy_is_edited_apart() -> None:
    envelope = Envelope.parse(BODY)

    envelope.copy().set("model", b'"other"')

    assert envelope.text("model") == "gpt-4o"
    assert not envelope.edited


def test_defaults_fill_only_what_is_absent() -> None:
    envelope = Envelope.parse(b'{"temperature":0,"top_p":null}')

    envelope.merge_defaults({"temperature": 1, "top_p": 0.5, "stop": ["a", {"b": None}]})

    assert json.loads(envelope.encode()) == {
        "temperature": 0,
        "top_p": None,
        "stop": ["a", {"b": None}],
    }


def test_overrides_win_and_none_removes() -> None:
    envelope = Envelope.parse(b'{"temperature":0,"user":"me"}')

    envelope.merge_overrides({"temperature": 1, "user": None, "absent": None, "n": 2})

    assert json.loads(envelope.encode()) == {"temperature": 1, "n": 2}


@pytest.mark.parametrize(
    ("sent", "other"),
    [("max_tokens", "max_completion_tokens"), ("max_completion_tokens", "max_tokens")],
)
def test_the_two_names_of_one_limit_never_come_together(sent: str, other: str) -> None:
    filled = Envelope.parse(b'{"%b":50}' % sent.encode())
    filled.merge_defaults({other: 2000})
    forced = filled.copy()
    forced.merge_overrides({other: 10})
    untouched = filled.copy()
    untouched.merge_overrides({other: None})
    both = filled.copy()
    both.merge_overrides({other: 10, sent: 20})

    assert json.loads(filled.encode()) == {sent: 50}
    assert json.loads(forced.encode()) == {other: 10}
    assert json.loads(untouched.encode()) == {sent: 50}
    assert json.loads(both.encode()) == {sent: 20, other: 10}


def test_whole_numbers_are_picked_out_of_several_fields() -> None:
    envelope = Envelope.parse(b'{"a": 3, "b": "4", "c": 1.5, "d": null, "e": -7}')

    assert envelope.integers(("e", "a", "b", "c", "d", "f")) == [-7, 3]


def test_a_copy_of_all_fields_is_apart_from_the_envelope() -> None:
    envelope = Envelope.parse(b'{"a": 1.0, "b": [ ]}')

    fields = envelope.fields()
    del fields["a"]

    assert {name: bytes(value) for name, value in fields.items()} == {"b": b"[ ]"}
    assert "a" in envelope
