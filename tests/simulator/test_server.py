"""The process."""

from __future__ import annotations

import asyncio
import signal

import pytest

from proxy.simulator.server import start
from tests.simulator.raw import Simulator, request


async def test_it_runs_inside_another_loop() -> None:
    simulator = await start("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(simulator.host, simulator.port)

    writer.write(request("POST", "/v1/chat/completions", {"model": "sim-n1"}, connection="close"))
    answer = await reader.read()

    assert b'"content":"The"' in answer
    assert simulator.world.ledger.finished == 1
    writer.close()
    simulator.close()
    await simulator.wait_closed()


async def test_closing_cuts_what_is_open() -> None:
    simulator = await start("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(simulator.host, simulator.port)
    writer.write(request("POST", "/v1/chat/completions", {"model": "sim-no_first"}))
    await reader.readuntil(b"\r\n\r\n")

    simulator.close()

    assert await reader.read() == b""
    assert simulator.world.ledger.aborted == 1
    writer.close()
    await simulator.wait_closed()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly(number: signal.Signals) -> None:
    simulator = Simulator()
    with simulator.wire() as wire:
        wire.send(request("POST", "/v1/messages", {"model": "sim-stall", "stream": True}))
        wire.until(b"turns")

        assert simulator.stop(number) == (0, "")
        while wire.receive():
            pass
