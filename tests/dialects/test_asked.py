"""Fields of a client's request, and the refusals that name them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from proxy.core.errors import ProxyError
from proxy.dialects.asked import Fields

BODY = b'{"text":"a","flag":true,"number":0.5,"count":2.0,"items":[1],"texts":["a"],"one":"b","inner":{"x":"y"},"none":null}'


def test_fields_are_taken_out_and_the_rest_remains() -> None:
    fields = Fields.of_body(BODY)

    assert fields.text("text") == "a"
    assert fields.flag("flag") is True
    assert fields.number("number") == 0.5
    assert fields.count("count") == 2
    assert fields.items("items") == [1]
    assert fields.texts("texts") == ["a"]
    assert fields.texts("one") == ["b"]
    assert fields.rest == {"inner": {"x": "y"}}


def test_a_field_that_is_null_is_as_good_as_none() -> None:
    fields = Fields.of_body(BODY)

    assert fields.text("none") == ""
    assert fields.object("none") == {}
    assert fields.inner("none") is None
    assert fields.texts("none") == []


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"a":"\\ud83d"}', b"\xff", b"[" * 5000])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(ProxyError) as raised:
        Fields.of_body(body)

    assert raised.value.ref == "bad_json"


@pytest.mark.parametrize(
    ("take", "value"),
    [
        (Fields.text, 1),
        (Fields.need, []),
        (Fields.flag, 1),
        (Fields.number, True),
        (Fields.number, "1"),
        (Fields.count, 0.5),
        (Fields.count, 2**70),
        (Fields.items, {}),
        (Fields.texts, {}),
        (Fields.object, "a"),
        (Fields.inner, []),
    ],
)
def test_a_field_of_the_wrong_type_is_named(
    take: Callable[[Fields, str], object], value: object
) -> None:
    fields = Fields({"a": value}, "messages[2]")

    with pytest.raises(ProxyError) as raised:
        take(fields, "a")

    assert raised.value.param == "messages[2].a"
    assert raised.value.code == "invalid_type"


def test_one_string_among_others_is_named_by_its_place() -> None:
    with pytest.raises(ProxyError) as raised:
        Fields({"stop": ["a", 1]}).texts("stop")

    assert raised.value.param == "stop[1]"


def test_a_field_that_must_be_there_is_missed() -> None:
    with pytest.raises(ProxyError) as raised:
        Fields({}).need("role")

    assert raised.value.code == "missing_required_parameter"
