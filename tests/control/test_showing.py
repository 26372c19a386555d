"""Requests as they are shown, whole or some fields of them."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import asdict

from proxy.control.showing import COLUMNS, dollars, shown, some
from proxy.store.ledger.requests import Entry

ENTRY = msgspec.convert(
    dict.fromkeys(Entry.__struct_fields__, "1"), Entry, strict=False
)  # each field is its type's 1


def test_a_request_is_shown_by_fields_of_its_columns() -> None:
    made = shown(ENTRY)

    assert made.keys() == COLUMNS.keys()
    assert (made["state"], made["stream"], made["cost"]) == ("started", True, 0.000001)
    assert (made["cost_micro"], made["estimate_micro"], made["rid"]) == (1, 1, "1")
    assert "phase" not in made


@pytest.mark.parametrize("names", [("rid",), ("cost", "state", "rid", "stream"), tuple(COLUMNS)])
def test_some_fields_are_as_in_the_whole(names: tuple[str, ...]) -> None:
    values = asdict(ENTRY)
    row = tuple(values[COLUMNS[name]] for name in names)

    assert list(some(names)(row).items()) == [(name, shown(ENTRY)[name]) for name in names]


def test_an_unknown_price_is_none() -> None:
    assert (dollars(None), dollars(1_500_000)) == (None, 1.5)
