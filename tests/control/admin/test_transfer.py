from __future__ import annotations

from proxy.control.admin.transfer import Stock
from tests.control.admin.stocked import PEPPER, VAULT, Stocked


def test_a_stock_stays_as_it_was() -> None:
    one = Stocked()
    one.take_text("models: {a: {}}")
    stock = Stock.of(one.mirror, VAULT, [PEPPER])

    one.take_text("models: {b: {}}")

    assert list(stock.named("model")) == ["a"]
    assert stock.named("provider") == {}


def test_children_are_in_the_order_they_were_made() -> None:
    one = Stocked()
    one.take_text(
        "providers: {p: {base_url: 'https://p.example', credentials: [key-0001, key-0002]}}"
    )
    (provider,) = one.mirror.records["provider"]

    families = Stock.of(one.mirror, VAULT, [PEPPER]).families("credential")

    assert [len(found) for found in families.values()] == [2]
    assert families[provider] == sorted(families[provider], key=lambda record: record.id)
