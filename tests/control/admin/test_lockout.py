"""Brakes on guessing: how long an account is locked, and how often an address may try."""

from __future__ import annotations

import asyncio

import pytest

from proxy.control.admin.lockout import (
    ADDRESSES,
    FORGOTTEN,
    LONGEST,
    PER_MINUTE,
    Peers,
    account,
    delay,
    forgive,
    knock,
)
from proxy.control.admin.web import Problem
from proxy.core.clock import Hands
from tests.control.admin.desk import Desk


def test_an_account_is_locked_from_its_fifth_failure_twice_as_long_each_time() -> None:
    assert [delay(failures) for failures in range(1, 8)] == [0, 0, 0, 0, 1, 2, 4]
    assert delay(14) == 512
    assert delay(15) == delay(10_000) == LONGEST == 900


async def _locked(desk: Desk, name: str) -> float:
    """Seconds, as the answer says; 0 when the try was let through."""
    try:
        await knock(desk.store, name)
    except Problem as problem:
        if problem.code == "too_many":
            return float(problem.headers["retry-after"])
        raise
    return 0.0


async def test_failures_add_up_and_a_lock_ends_by_itself(either: Desk, hands: Hands) -> None:
    assert [await _locked(either, "anna") for _ in range(5)] == [0] * 5
    assert await _locked(either, "anna") == 1

    hands.advance(1.0)
    assert await _locked(either, "anna") == 0
    assert await _locked(either, "anna") == 2

    hands.advance(2.0)
    assert await _locked(either, "anna") == 0
    assert await _locked(either, "anna") == 4


async def test_who_is_locked_out_counts_no_further(either: Desk) -> None:
    for _ in range(5):
        await knock(either.store, "anna")
    for _ in range(20):
        assert await _locked(either, "anna") == 1

    rows = await either.store.fetch("SELECT count FROM login_failures")
    assert rows == [(5,)]


async def test_one_account_does_not_lock_another(either: Desk) -> None:
    for _ in range(6):
        await _locked(either, "anna")

    assert await _locked(either, "berta") == 0


async def test_being_right_forgets_them_all(either: Desk) -> None:
    for _ in range(4):
        await knock(either.store, "anna")
    await forgive(either.store, "anna")

    assert [await _locked(either, "anna") for _ in range(5)] == [0] * 5


async def test_many_at_once_are_as_many_failures(either: Desk) -> None:
    waits = await asyncio.gather(*(_locked(either, "anna") for _ in range(30)))

    assert waits.count(0) == 5


async def test_failures_are_forgotten_after_a_quiet_day(either: Desk, hands: Hands) -> None:
    for _ in range(5):
        await knock(either.store, "anna")
    hands.advance(FORGOTTEN + 1)

    assert [await _locked(either, "anna") for _ in range(5)] == [0] * 5


async def test_a_clock_that_was_set_back_locks_nobody_for_long(either: Desk, hands: Hands) -> None:
    for _ in range(6):
        await _locked(either, "anna")
    hands.set_wall(hands.now() - 7 * 86_400)

    assert await _locked(either, "anna") == 0


async def test_what_was_typed_as_a_name_is_not_kept(either: Desk) -> None:
    await knock(either.store, "hunter2-my-password")

    rows = await either.store.fetch("SELECT account FROM login_failures")
    assert rows == [(account("hunter2-my-password"),)]
    assert "hunter2" not in rows[0][0]


def test_an_address_has_so_many_tries_a_minute(hands: Hands) -> None:
    peers = Peers()
    for _ in range(PER_MINUTE):
        assert peers.wait("192.0.2.1") == 0
        peers.count("192.0.2.1")
        hands.advance(1.0)

    assert peers.wait("192.0.2.1") == 50.0
    assert peers.wait("192.0.2.2") == 0

    hands.advance(50.0)
    assert peers.wait("192.0.2.1") == 0
    peers.count("192.0.2.1")
    assert peers.wait("192.0.2.1") == 1.0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("", "unix", False),
    ],
)
def test_what_counts_as_one_address(one: str, other: str, same: bool) -> None:
    peers = Peers()
    for _ in range(PER_MINUTE):
        peers.count(one)

    assert (peers.wait(other) > 0) is same


def test_addresses_without_number_are_not_remembered_without_end() -> None:
    peers = Peers()
    for number in range(ADDRESSES + 100):
        peers.count(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")

    assert len(peers._seen) == ADDRESSES
