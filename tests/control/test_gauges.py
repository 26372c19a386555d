"""What a scrape reads of quotas and of the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from proxy.control import exposition, gauges
from proxy.core import clock
from proxy.core.model import Budget, Limits, Quota
from proxy.ledger.spool import Full, Spool
from proxy.limits.accounts import Accounts, Ask, Used
from proxy.limits.subjects import of_credential, of_deployment, of_team
from proxy.state.state import State
from tests.gateway.asked import provider, snapshot, state

QUOTA = Quota(requests=10, tokens=1000, cron="0 0 * * *")


def page(one: State) -> str:
    gauges.watch(one.metrics, one)
    return exposition.render(one.metrics.registry.snapshot()).decode()


def test_of_a_quota_the_share_that_is_used_is_shown_and_when_it_begins_anew() -> None:
    place = provider()
    [credential] = place.credentials
    place = replace(place, credentials=(replace(credential, quota=Quota(requests=4)),))
    with clock.held(now=1_800_000_000.0):
        one = state(snapshot(place, quota=QUOTA))
        one.accounts = Accounts.memory()
        [deployment] = one.snapshot.models["m"].tiers[0]
        both = [of_deployment(deployment), of_credential(place.credentials[0])]
        hold = one.accounts.admit([found for found in both if found], Ask(100))
        one.accounts.settle(hold, Used(tokens=250))
        text = page(one)
        one.accounts.close()

    assert 'headrace_quota_used_ratio{target="m/0:p",kind="requests"} 0.1' in text
    assert 'headrace_quota_used_ratio{target="m/0:p",kind="tokens"} 0.25' in text
    assert 'headrace_quota_used_ratio{target="p#0",kind="requests"} 0.25' in text
    assert 'headrace_quota_reset_timestamp_seconds{target="m/0:p"} 1800057600' in text


def test_where_there_is_none_nothing_is_shown() -> None:
    text = page(state(snapshot(provider())))

    assert "headrace_quota_used_ratio{" not in text
    assert "headrace_spool_records_total{" not in text


def test_of_the_budgets_of_a_scope_the_one_that_is_used_most_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gauges, "PORTION", 2)
    limits = Limits(budget=Budget(usd=4))
    one = state(replace(snapshot(provider()), teams={str(n): limits for n in range(7)}))
    one.accounts = Accounts.memory()
    budgets = gauges.Budgets(one)
    assert budgets.read() == []

    def spend(name: str, micro: int) -> None:
        found = of_team(name, limits)
        assert found is not None
        assert one.accounts is not None
        one.accounts.settle(one.accounts.admit([found], Ask(0)), Used(micro=micro))

    spend("3", 1_000_000)
    spend("6", 3_000_000)
    seen = [budgets.read() for _ in range(9)]
    spend("6", 500_000)
    later = [budgets.read() for _ in range(9)]
    one.accounts.close()

    assert seen[-1] == [(("team",), 0.75)]
    assert later[-1] == [(("team",), 0.875)]


def test_without_budgets_none_is_shown() -> None:
    one = state(snapshot(provider()))
    one.accounts = Accounts.memory()

    assert [gauges.Budgets(one).read() for _ in range(3)] == [[], [], []]
    one.accounts.close()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    one = Spool(tmp_path, "0", size=1 << 18, segment=1 << 16, emergency=0)
    yield one
    one.close()


def fill(spool: Spool) -> None:
    while True:
        spool.append(b"x" * 4000)


def test_of_the_spool_what_is_written_and_what_is_lost(spool: Spool) -> None:
    one = state(snapshot(provider()))
    one.spool = spool
    for _ in range(2):
        spool.append(b"x" * 100)
    assert "headrace_spool_full 0" in page(one)
    with pytest.raises(Full):
        fill(spool)

    text = page(one)
    assert f'headrace_spool_records_total{{state="written"}} {spool.written}' in text
    assert 'headrace_spool_records_total{state="dropped"} 1' in text
    assert f"headrace_spool_bytes_total {spool.bytes}" in text
    assert "headrace_spool_full 1" in text
