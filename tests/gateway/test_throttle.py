"""Twenty failures at once, then one every three seconds; nobody pays for anybody else; memory has an end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.gateway.throttle import ADDRESSES, BURST, INTERVAL, Throttle

ONE, OTHER = "192.0.2.1", "192.0.2.2"


def spent(now: float = 100.0) -> Throttle:
    """One where ONE has used all of its allowance."""
    throttle = Throttle()
    for _ in range(BURST):
        assert throttle.failed(ONE, now) == 0.0
    return throttle


def test_the_twenty_first_failure_has_to_wait() -> None:
    assert spent().failed(ONE, 100.0) == INTERVAL


def test_asking_on_makes_no_longer_wait() -> None:
    throttle = spent()
    for _ in range(1000):
        throttle.failed(ONE, 101.0)

    assert throttle.failed(ONE, 102.0) == 1.0
    assert throttle.failed(ONE, 103.0) == 0.0
    assert throttle.failed(ONE, 103.0) == INTERVAL


def test_after_a_minute_all_is_forgiven() -> None:
    throttle = spent()

    assert [throttle.failed(ONE, 160.0) for _ in range(BURST)] == [0.0] * BURST
    assert throttle.failed(ONE, 160.0) == INTERVAL


def test_another_address_has_its_own_allowance() -> None:
    assert spent().failed(OTHER, 100.0) == 0.0


@given(st.lists(st.floats(0, 30), max_size=200))
def test_in_no_minute_more_than_burst_and_refill(pauses: list[float]) -> None:
    throttle, now, free = Throttle(), 0.0, []
    for pause in pauses:
        now += pause
        wait = throttle.failed(ONE, now)
        assert 0.0 <= wait <= INTERVAL
        if not wait:
            free.append(now)

    for begin in free:
        inside = [moment for moment in free if begin <= moment < begin + 60.0]
        assert len(inside) <= BURST + 60.0 / INTERVAL


def test_a_subscribers_whole_network_is_one() -> None:
    throttle = Throttle()
    for host in range(BURST):
        assert throttle.failed(f"2001:db8:0:1::{host:x}", 1.0) == 0.0

    assert throttle.failed("2001:db8:0:1:ffff:ffff:ffff:ffff", 1.0) > 0.0
    assert throttle.failed("2001:db8:0:2::1", 1.0) == 0.0


def test_only_so_many_are_remembered_and_the_oldest_is_forgotten_first() -> None:
    throttle = spent()
    for _ in range(BURST):
        throttle.failed(OTHER, 100.0)
    for number in range(ADDRESSES - 2):
        throttle.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 100.0)
    throttle.failed(ONE, 100.0)
    assert len(throttle) == ADDRESSES

    throttle.failed("198.51.100.1", 100.0)

    assert len(throttle) == ADDRESSES
    assert throttle.failed(ONE, 100.0) > 0.0
    assert throttle.failed(OTHER, 100.0) == 0.0
