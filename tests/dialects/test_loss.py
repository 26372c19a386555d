"""What a translation leaves out."""

from __future__ import annotations

import pytest

from proxy.dialects import DIALECTS
from proxy.dialects.loss import FEATURES, Loss, unsupported


def test_nothing_is_lost_until_something_is_dropped() -> None:
    loss = Loss()
    assert not loss

    loss.drop("top_k")
    loss.drop("unknown", "frobnicate")

    assert loss
    assert loss.names == {"top_k": "top_k", "frobnicate": "unknown"}


def test_only_features_can_be_dropped() -> None:
    with pytest.raises(AssertionError):
        Loss().drop("frobnicate")


def test_a_refusal_names_the_field_and_says_why() -> None:
    error = unsupported("previous_response_id", "The provider keeps it.")

    assert error.row.status == 400
    assert (error.code, error.param) == ("translation_not_supported", "previous_response_id")
    assert error.message.endswith("The provider keeps it.")
    assert "'background'" in unsupported("background").message


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda dialect: dialect.name)
def test_every_dialect_spells_known_features_only(dialect: object) -> None:
    codec = getattr(dialect, "codec", None)

    assert not codec or not codec.fields.keys() - FEATURES.keys()
    assert not codec or all(codec.fields.values())
