"""Who may be asked how it is, and in which way."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.core.model import Deployment, Health, Price, Provider
from proxy.state.checks import way

PROVIDER = Provider("p", "http://p.invalid", {})
DEAR = Health(mask_above=10.0)


@pytest.mark.parametrize(
    ("settings", "price", "rules", "expected"),
    [
        ("auto", 99.0, Health(), "models"),
        ("auto", 99.0, Health(probe="completion"), "completion"),
        ("auto", 9.99, DEAR, "models"),
        ("auto", 10.0, DEAR, "masked"),
        ("auto", None, DEAR, "models"),
        ("auto", 0.0, Health(mask_above=0.0), "masked"),
        ("on", 99.0, DEAR, "models"),
        ("masked", 0.0, Health(), "masked"),
        ("off", 99.0, DEAR, "off"),
        ("on", 0.0, Health(probe="off"), "off"),
        ("masked", 0.0, Health(enabled=False), "off"),
    ],
)
def test_way(settings: str, price: float | None, rules: Health, expected: str) -> None:
    fields: dict[str, Any] = {"price": None if price is None else Price(output=price)}

    assert way(Deployment("d", PROVIDER, "m", health_check=settings, **fields), rules) == expected
