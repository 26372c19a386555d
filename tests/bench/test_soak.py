from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import aiohttp
import msgspec
import psutil
import pytest
from msgspec.structs import replace

from bench.load import Outcome
from bench.machine import Cores
from bench.peers import ROOT, free_port
from bench.soak import QUICK, Seen, _figures, _lags, _one, _soak, scaled


def seen() -> Seen:
    one = Seen()
    one.answered = {10: 1.0, 11: 2.0}
    one.served = {"0": [(0.9, 10), (2.0, 11)], "1": [(1.0, 9), (1.5, 10), (2.3, 12)]}
    return one


def test_a_write_is_everywhere_once_the_last_worker_serves_it() -> None:
    assert _lags(seen()) == pytest.approx([0.5, 0.3])


def test_a_write_that_a_worker_never_served_is_not_forgotten() -> None:
    one = seen()
    one.served["1"].pop()

    assert _lags(one)[1] == float("inf")


def test_what_went_wrong_is_among_the_figures() -> None:
    one = seen()
    one.refused.append("503")

    figures = {f.name: f.value for f in _figures(QUICK, one, Outcome(errors=2, truncated=1))}

    assert figures["soak_refused"] == 1
    assert figures["soak_failed"] == 3


async def test_a_write_without_an_answer_has_failed() -> None:
    async def closed(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    one = Seen()
    async with await asyncio.start_server(closed, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with aiohttp.ClientSession(url) as http:
            await _one(0, QUICK, http, one)

    assert one.writes == []
    assert len(one.refused) == 1


def test_the_load_ends_with_a_soak_that_cannot_go_on() -> None:
    nobody = Cores(frozenset(), frozenset(), frozenset())

    with pytest.raises(ConnectionRefusedError):
        asyncio.run(_soak(replace(QUICK, minutes=5.0), free_port(), free_port(), nobody))

    there = [one.cmdline() for one in psutil.Process().children()]
    assert [words for words in there if "bench.load" in words] == []


def test_its_length_can_be_chosen() -> None:
    assert scaled(QUICK, 7.0).minutes == 7.0
    assert scaled(QUICK, None) is QUICK


@pytest.mark.timeout(120)
def test_a_quick_run_writes_beside_streams(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    command = [sys.executable, "-m", "bench", "soak", "--quick", "--json", str(file)]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    figures = {
        one["name"]: one["value"] for one in msgspec.json.decode(file.read_bytes())["figures"]
    }
    assert figures["soak_writes"] > 10
    assert figures["soak_tokens"] > 0
    assert (figures["soak_refused"], figures["soak_failed"]) == (0, 0), done.stderr
