"""A body fits the provider that takes some fields otherwise, and nothing else of it changes."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.model import Fit
from proxy.wire.envelope import Envelope
from proxy.wire.fitting import fit


def fitted(body: Any, how: Fit) -> Any:
    edited = Envelope.parse(orjson.dumps(body))
    fit(edited, how)
    return orjson.loads(edited.encode())


@pytest.mark.parametrize(
    ("body", "how", "expected"),
    [
        ({"a": 1, "b": 2}, Fit(rename={"a": "c"}), {"b": 2, "c": 1}),
        ({"a": 1, "c": 2}, Fit(rename={"a": "c"}), {"c": 2}),
        ({"b": 2}, Fit(rename={"a": "c"}), {"b": 2}),
        ({"a": 1, "b": 2}, Fit(drop=("a", "z")), {"b": 2}),
        ({"t": 2}, Fit(clamp={"t": (0, 1)}), {"t": 1}),
        ({"t": -0.5}, Fit(clamp={"t": (0.01, 1)}), {"t": 0.01}),
        ({"t": 0.5}, Fit(clamp={"t": (0, 1)}), {"t": 0.5}),
        ({"t": "2"}, Fit(clamp={"t": (0, 1)}), {"t": "2"}),
        ({"t": None}, Fit(clamp={"t": (0, 1)}), {"t": None}),
        ({"t": True}, Fit(clamp={"t": (5, 6)}), {"t": True}),
        ({}, Fit(clamp={"t": (0, 1)}), {}),
        ({"t": 2}, Fit(rename={"t": "heat"}, clamp={"heat": (0, 1)}), {"heat": 1}),
        ({"model": "m"}, Fit(drop=("model",), set={"version": "v"}), {"version": "v"}),
        ({"a": 1}, Fit(set={"a": None}), {}),
    ],
)
def test_a_body_is_made_to_fit(body: Any, how: Fit, expected: Any) -> None:
    assert fitted(body, how) == expected


@given(
    st.dictionaries(st.sampled_from("abcd"), st.integers(-9, 9) | st.text(max_size=3)),
    st.permutations("abcd"),
)
def test_what_is_not_named_stays_as_it_is(body: dict[str, Any], names: list[str]) -> None:
    old, new, gone, kept = names
    found = fitted(body, Fit(rename={old: new}, drop=(gone,), clamp={new: (-1, 1)}))

    assert found.get(kept) == body.get(kept)
    assert old not in found
    assert gone not in found
    number = found.get(new)
    assert not isinstance(number, int) or -1 <= number <= 1


def test_a_number_is_written_as_it_was_sent_where_it_fits() -> None:
    edited = Envelope.parse(b'{"t": 1.50, "n": 12345678901234567890123}')
    fit(edited, Fit(clamp={"t": (0, 2)}))

    assert edited.encode() == b'{"t":1.50,"n":12345678901234567890123}'


@pytest.mark.parametrize("value", [b"9" * 400, b"-" + b"9" * 400])
def test_what_is_beyond_any_number_goes_to_the_provider_as_it_is(value: bytes) -> None:
    edited = Envelope.parse(b'{"t":%b}' % value)
    fit(edited, Fit(clamp={"t": (0, 2)}))

    assert edited.encode() == b'{"t":%b}' % value
