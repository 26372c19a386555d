from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from bench.failover import QUICK, WORDS, Verdict, _read, primary, table
from bench.failover_judges import JUDGES, Answer
from bench.peers import ROOT
from proxy.simulator.faults import FAULTS
from proxy.simulator.grammar import parse


def test_every_scenario_has_a_judge_and_a_fault() -> None:
    assert set(WORDS) == set(JUDGES)
    for name in WORDS:
        steer = parse(primary(name, QUICK), FAULTS)
        assert steer.tokens == 60
        assert steer.fault or steer.first > QUICK.ttft


def test_a_stream_is_read_as_a_client_reads_it() -> None:
    answer = Answer(status=200)
    for event in (
        b": hello",
        b'data: {"model":"m","choices":[{"delta":{"role":"assistant","content":""}}]}',
        b'data: {"model":"m","choices":[{"delta":{"content":"down"}}]}',
        b'data: {"model":"m","choices":[{"delta":{},"finish_reason":"stop"}]}',
        b'data: {"model":"m","choices":[],"usage":{"total_tokens":3}}',
        b"data: [DONE]",
    ):
        _read(answer, event)

    assert answer == Answer(200, "down", "stop", True, {"total_tokens": 3}, "m")


@pytest.mark.parametrize("event", [b'data: {"error":{"code":"x"}}', b'data: {"choices":'])
def test_an_error_in_a_stream_is_seen(event: bytes) -> None:
    answer = Answer(status=200)
    _read(answer, event)

    assert answer.error


def test_a_failure_is_told_with_its_reason() -> None:
    said = table([Verdict("S04", "503 for ever", ("asked 9 times",), 1.0, 9, 1)])

    assert "FAILED" in said
    assert "asked 9 times" in said


@pytest.mark.timeout(120)
def test_all_sixteen_pass(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    done = subprocess.run(
        [sys.executable, "-m", "bench", "failover", "--quick", "--json", str(figures)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    found = {
        one["name"]: one["value"] for one in msgspec.json.decode(figures.read_bytes())["figures"]
    }
    assert found["failover_passed"] == len(WORDS)
