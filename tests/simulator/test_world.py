"""What connections share."""

from __future__ import annotations

import pytest

from proxy.core.clock import Hands
from proxy.simulator.ledger import Exchange
from proxy.simulator.world import World, early_model, steering_header


def test_a_counted_fault_is_counted_for_each_text() -> None:
    world = World()

    first = [world.steer("sim-503x1").fault for _ in range(3)]
    other = world.steer("sim-503x1-idb").fault

    assert first == ["503", "", ""]
    assert other == "503"


def test_a_fault_ends_with_time_from_the_first_request(hands: Hands) -> None:
    world = World()
    hands.advance(100)

    assert world.steer("sim-503-for60").fault == "503"
    hands.advance(59.9)
    assert world.steer("sim-503-for60").fault == "503"
    assert world.steer("sim-503-for60-idb").fault == "503"
    hands.advance(0.1)
    assert world.steer("sim-503-for60").fault == ""
    assert world.steer("sim-503-for60-idb").fault == "503"
    world.reset()
    assert world.steer("sim-503-for60").fault == "503"


def test_a_reset_begins_the_count_again() -> None:
    world = World()
    world.steer("sim-503x1")
    world.store["a"] = b""

    world.reset()

    assert world.steer("sim-503x1").fault == "503"
    assert not world.store


@pytest.mark.parametrize(
    ("body", "model"),
    [
        (b'{"model" : "sim-x", "messages": [', "sim-x"),
        (b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nsim-y\r\n--b', "sim-y"),
        (b'{"model":"sim', ""),
        (b"", ""),
    ],
)
def test_the_model_is_seen_before_the_body_is_complete(body: bytes, model: str) -> None:
    assert early_model(body) == model


def test_the_header_steers() -> None:
    head = b"POST / HTTP/1.1\r\nX-Sim: 503"

    assert steering_header(Exchange(1, 1, head, head.lower())) == "503"
    assert steering_header(Exchange(1, 1, b"POST / HTTP/1.1", b"post / http/1.1")) == ""
