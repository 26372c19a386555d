"""What a section says of limits and money is what the data plane has."""

from __future__ import annotations

import pytest

from proxy.core.config import usage as written
from proxy.core.config.schema import Config, Deployment
from proxy.core.model import Budget, Ledger, Limits, Price, Quota, Shared
from proxy.state import usage
from tests.state.rows import file


def test_no_limit_is_none() -> None:
    assert usage.limits(Deployment(provider="p")) is None
    assert usage.all_limits(written.Limits()) is None
    assert usage.quota(None) is None
    assert usage.quota(written.Quota(cron="0 6 * * *")) is None
    assert usage.budget(None) is None


def test_limits_are_numbers_and_0_is_none() -> None:
    config = file(
        "limits: {rpm: 5, burst: 2, budget: {usd: 3, cron: '15 6 * * 1', tz: Europe/Berlin, strict: true}}"
    )

    assert usage.limits(Deployment(provider="p", tpm=7)) == Limits(0, 7, 0)
    assert usage.all_limits(config.limits) == Limits(
        5, 0, 0, 2, Budget(3.0, "month", "15 6 * * 1", "Europe/Berlin", True)
    )
    assert usage.quota(written.Quota(tokens=9)) == Quota(0, 9, "0 0 * * *", "UTC")


def test_a_team_without_limits_is_none() -> None:
    config = file("teams: {a: {concurrency: 3}, b: {}, schema: {budget: {usd: 1, period: Total}}}")

    assert usage.teams(config.teams) == {
        "a": Limits(concurrency=3),
        "schema": Limits(budget=Budget(1.0, "total")),
    }


# --- prices ---


def priced(text: str) -> Price | None:
    return usage.prices(file(f"prices: {{m: {text}}}").prices).get("m")


def test_tokens_are_priced_by_the_million_and_all_else_in_micro_dollars() -> None:
    assert priced("{input: 2.5, output: 10, image: 0.04, second: 0.0035, request: 1}") == Price(
        input=2.5, output=10.0, image=40_000.0, second=3500.0, request=1e6
    )


@pytest.mark.parametrize("text", ["{}", "{input: null}", "{above: {}}"])
def test_a_price_without_anything_in_it_is_unknown_and_not_free(text: str) -> None:
    assert priced(text) is None


def test_nothing_is_free_when_somebody_says_so() -> None:
    assert priced("{request: 0}") == Price()


def test_a_long_prompt_costs_what_is_said_and_else_what_a_short_one_does() -> None:
    price = priced(
        "{input: 1, cached: 0.5, output: 4, above: {1000000: {output: 9}, 200000: {input: 2, image: 1}}}"
    )

    assert price == Price(
        input=1.0,
        cached=0.5,
        output=4.0,
        above=(
            (200_000, Price(input=2.0, cached=0.5, output=4.0, image=1e6)),
            (1_000_000, Price(input=1.0, cached=0.5, output=9.0)),
        ),
    )


# --- the ledger, and what hosts share ---


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", "data/ledger"),
        ('store: {url: "sqlite:////srv/h/x.db"}', "/srv/h/ledger"),
        ('store: {url: "postgresql://u:p@h/n"}', "data/ledger"),
        ('store: {url: ""}', ""),
        ("ledger: {path: /var/spool/h}", "/var/spool/h"),
        ('ledger: {path: ""}', ""),
    ],
)
def test_the_ledger_is_where_the_store_is(text: str, path: str) -> None:
    assert usage.ledger(file(text)).path == path


def test_a_ledger_is_as_it_is_written() -> None:
    assert usage.ledger(Config()) == Ledger(path="data/ledger")
    text = (
        "ledger: {size: 1GiB, sync: 1s, on_full: Refuse, client_gone: drain, drain_seconds: 5, drain_tokens: 0, "
        "failed: estimate, keep: {requests: 1d, content: 1h, statistics: 2d}}"
    )

    assert usage.ledger(file(text)) == Ledger(
        "data/ledger",
        1024**3,
        1.0,
        "refuse",
        "drain",
        5.0,
        0,
        "estimate",
        86400.0,
        3600.0,
        172800.0,
    )


def test_hosts_share_nothing_until_a_server_is_named() -> None:
    text = "shared: {url: ' redis://:pw@h/0 ', prefix: x, timeout: 100ms}"

    assert usage.shared(Config().shared) == Shared()
    assert usage.shared(file(text).shared) == Shared("redis://:pw@h/0", "x", 0.1)
