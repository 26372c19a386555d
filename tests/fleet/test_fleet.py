"""Two hosts, one database, one server of shared limits and nginx: a short run of `python -m bench fleet`, which starts them all."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from bench.balancers import program
from bench.fleet import QUICK, run
from bench.machine import share_out_cores
from bench.peers import PeerError
from tests.servers.postgres import PostgresServer
from tests.servers.valkey import ValkeyServer

# Whoever comes first waits for all of it.
pytestmark = pytest.mark.timeout(90)


@pytest.fixture(scope="module")
def figures(postgres: PostgresServer) -> Iterator[dict[str, float]]:
    """By name."""
    if program("nginx") is None and os.environ.get("CI") != "true":
        pytest.skip(
            "nginx is neither on PATH nor in /usr/sbin; it comes with Debian's package of that name"
        )
    valkey, name = ValkeyServer(), postgres.create_database()
    try:
        valkey.start()
        found = run(QUICK, postgres.url(name), valkey.url, share_out_cores(), print)
        yield {one.name: one.value for one in found}
    except PeerError as error:
        pytest.fail(str(error), pytrace=False)
    finally:
        valkey.close()
        postgres.drop_database(name)


def test_what_is_made_on_one_host_is_served_by_the_other_within_a_second(
    figures: dict[str, float],
) -> None:
    assert 0 < figures["fleet_reach_most"] < 1000


def test_a_rate_holds_over_both(figures: dict[str, float]) -> None:
    assert 0 < figures["fleet_rate"] <= figures["fleet_rate_allowed"]


def test_a_strict_budget_holds_over_both(figures: dict[str, float]) -> None:
    assert 0 < figures["fleet_budget_spent"] <= figures["fleet_budget"]


def test_only_what_a_killed_host_was_at_fails(figures: dict[str, float]) -> None:
    assert figures["fleet_killed"] >= 1
    assert figures["fleet_requests"] > QUICK.clients + QUICK.streams
    assert 0 < figures["fleet_hit"] <= QUICK.clients + QUICK.streams
    assert figures["fleet_wrong"] == 0


def test_another_host_leads_when_the_leader_is_killed(figures: dict[str, float]) -> None:
    assert figures["fleet_leader"] > 0


def test_the_books_are_complete_once_the_dead_live_again(figures: dict[str, float]) -> None:
    assert figures["fleet_rows"] >= figures["fleet_requests"] - figures["fleet_hit"]
    assert figures["fleet_unknown"] >= 1
    wrong = {"fleet_open", "fleet_missing", "fleet_uncounted", "fleet_unbooked"}
    assert {name: figures[name] for name in wrong} == dict.fromkeys(wrong, 0)
