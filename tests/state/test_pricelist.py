"""The list as it is kept: does it find what the list that is installed finds?"""

from __future__ import annotations

import re
from functools import cache

import pytest
from genai_prices.data import providers
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.model import Price
from proxy.state import price_reading
from proxy.state.pricelist import Clause, How, Listed, PriceList, Seller, encode, encode_models

IDS = sorted({model.id for seller in providers for model in seller.models})


@cache
def whole() -> PriceList:
    return PriceList(price_reading.read())


def compact(name: str) -> str:
    """A date as gateways write it."""
    return re.sub(r"-(20\d\d)-(\d\d)-(\d\d)", r"-\1\2\3", name)


NAMES = st.one_of(
    st.sampled_from(IDS),
    st.sampled_from(IDS).map(str.upper),
    st.sampled_from(IDS).map(compact),
    st.sampled_from(IDS).map(lambda name: name.rpartition("/")[2]),
    st.tuples(st.sampled_from(IDS), st.sampled_from(["-20251211", "-20251340", "-20250230", "-x"])).map("".join),
    st.text(max_size=20),
)  # fmt: skip


@given(st.sampled_from(providers), NAMES)
def test_a_seller_has_what_the_list_finds_there(theirs: object, name: str) -> None:
    assert isinstance(theirs, type(providers[0]))
    info = theirs.find_model(name, all_providers=providers)

    found = whole().find(whole().sellers[theirs.id], name)

    assert (found is None) is (info is None)
    if found is not None and info is not None:
        assert found == price_reading.listed(info)


def one(name: str, price: Price | None) -> Listed:
    return Listed(Clause(How.EQUALS, name), ((0, price),))


def seller(id: str, *models: Listed, others: tuple[str, ...] = ()) -> Seller:
    return Seller(id, "", None, None, others, encode_models(models))


def test_a_seller_of_what_others_make_asks_what_they_ask_one_step_far() -> None:
    own, theirs, third = Price(input=1), Price(input=2), Price(input=3)
    kept = PriceList(
        encode(
            [
                seller("all", one("a", own), others=("gone", "maker")),
                seller("maker", one("a", theirs), one("b", theirs), others=("far",)),
                seller("far", one("c", third)),
            ]
        )
    )

    found = [kept.find(kept.sellers["all"], name) for name in ("A", "b", "c")]

    assert [None if each is None else each.on(0) for each in found] == [own, theirs, None]


@pytest.mark.parametrize(("day", "expected"), [(-1, None), (0, 1), (9, 1), (10, None), (11, None), (20, 3)])  # fmt: skip
def test_a_price_holds_until_the_next_begins(day: int, expected: int | None) -> None:
    listed = Listed(
        Clause(How.EQUALS, "m"), ((0, Price(input=1)), (10, None), (20, Price(input=3)))
    )

    found = listed.on(day)

    assert (None if found is None else found.input) == expected
