"""The hot path's price in Python function calls, held to a budget.

`budget.json` holds what a request and a streamed token may cost. More than 5 % above it fails; so does 5 % below, so
that a gain is written down and not lost again, with the Python whose calls they are. Whoever raises the budget says why in the commit.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.line.harness import ROOT, Simulator, config, request

BUDGET = Path(__file__).with_name("budget.json")
TOLERANCE = 0.05
EXACT = sys.version_info < (3, 12)
"""Whether the budget is of this Python. Later ones call no function for a comprehension (PEP 709), so they only keep below it."""
REQUESTS = 50
WARM = 25
"""Requests after which it is known what they usually come to (`limits.history`)."""
SHORT, LONG = 5, 25
"""Tokens of the answers that are compared."""
ANSWERS, TRIES = 6, 50
"""Answers that are wanted of each length, with as many reads as any; after so many it has to do."""


class Counted:
    """The counting worker."""

    def __init__(self, content: dict[str, Any], folder: Path) -> None:
        path = folder / "counted.yaml"
        path.write_text(yaml.safe_dump(content))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.cost.counted", str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def calls(self) -> tuple[int, int]:
        """How many so far, and how many of them were reads of what a provider sent."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        calls, reads = map(int, self.process.stdout.readline().split())
        return calls, reads

    def stop(self) -> None:
        """End it."""
        self.process.communicate(timeout=20)


@pytest.fixture
def sim() -> Any:
    simulator = Simulator()
    yield simulator
    simulator.stop()


def ask(connection: Any, model: str, *, stream: bool) -> bytes:
    """One chat completion on a kept connection; the bytes of its answer."""
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    connection.sendall(request("POST", "/v1/chat/completions", json.dumps(body).encode()))
    received = b""
    while not (received.endswith(b"0\r\n\r\n") if stream else _whole(received)):
        part = connection.recv(1 << 16)
        assert part
        received += part
    assert received.startswith(b"HTTP/1.1 200")
    return received


def _whole(received: bytes) -> bool:
    head, mark, body = received.partition(b"\r\n\r\n")
    if not mark:
        return False
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return len(body) == int(length)


def test_the_hot_path_stays_within_its_budget(sim: Simulator, tmp_path: Path) -> None:
    worker = Counted(config(sim.url), tmp_path)
    try:
        with socket.create_connection(("127.0.0.1", worker.port)) as connection:
            measured = {
                "calls per request": _per_request(worker, connection),
                "calls per streamed token": _per_token(worker, connection),
            }
    finally:
        worker.stop()

    _hold(measured)


def test_what_is_written_down_of_a_request_stays_within_its_budget(
    sim: Simulator, tmp_path: Path
) -> None:
    prices = {"sim*": {"input": 1.0, "output": 2.0}}
    content = config(sim.url, ledger={"path": str(tmp_path / "ledger")}, prices=prices)
    worker = Counted(content, tmp_path)
    try:
        with socket.create_connection(("127.0.0.1", worker.port)) as connection:
            measured = {
                "calls per recorded request": _per_request(worker, connection),
                "calls per recorded token": _per_token(worker, connection),
            }
    finally:
        worker.stop()
    segments = list((tmp_path / "ledger" / "spool" / "0").glob("*.wal"))
    assert segments  # it was written down

    _hold(measured)


LIMITS = {"rpm": 10**8, "concurrency": 1000, "budget": {"usd": 10**6, "period": "day"}}
PRICE = {"input": 1, "output": 2}


def test_limits_and_a_budget_stay_within_their_budget(sim: Simulator, tmp_path: Path) -> None:
    content = config(sim.url, ledger={"path": str(tmp_path / "ledger")})
    content["models"]["sim*"]["deployments"][0]["price"] = PRICE
    content["keys"][0] |= LIMITS
    worker = Counted(content, tmp_path)
    try:
        with socket.create_connection(("127.0.0.1", worker.port)) as connection:
            measured = {
                "calls per limited request": _per_request(worker, connection),
                "calls per limited token": _per_token(worker, connection),
            }
    finally:
        worker.stop()

    _hold(measured)


@pytest.mark.parametrize("dialect", ["anthropic.messages", "gemini.generate", "openai.responses"])
def test_a_translated_token_stays_within_its_budget(
    dialect: str, sim: Simulator, tmp_path: Path
) -> None:
    worker = Counted(config(sim.url, providers={"p0": {"dialects": [dialect]}}), tmp_path)
    try:
        with socket.create_connection(("127.0.0.1", worker.port)) as connection:
            _hold({f"calls per token from {dialect}": _per_token(worker, connection)})
    finally:
        worker.stop()


def _hold(measured: dict[str, float]) -> None:
    budget = json.loads(BUDGET.read_text())
    for name, calls in measured.items():
        allowed = budget[name]
        assert calls <= allowed * (1 + TOLERANCE), (
            f"{name}: {calls:.2f}, budget {allowed}. A dearer hot path needs a reason: "
            f"raise {BUDGET.name} in a commit that gives it."
        )
        assert not EXACT or calls >= allowed * (1 - TOLERANCE) - 0.05, (
            f"{name}: {calls:.2f}, budget {allowed}. It became cheaper: lower {BUDGET.name} to keep it so."
        )


def _per_request(worker: Counted, connection: Any) -> float:
    for _ in range(WARM):
        ask(connection, "sim-n4", stream=False)
    before, _ = worker.calls()
    for _ in range(REQUESTS):
        ask(connection, "sim-n4", stream=False)
    return (worker.calls()[0] - before) / REQUESTS


def _per_token(worker: Counted, connection: Any) -> float:
    """Of answers that were read token by token the one of fewest calls: into others comes a tick of the worker's own, once a second,
    of up to 40 calls; and on a machine that is busy two tokens are one read here and there."""
    costs = []
    for tokens in (SHORT, LONG):
        ask(connection, f"sim-n{tokens}-d5", stream=True)
        counted: dict[int, list[int]] = {0: []}
        tries = 0
        while len(counted[max(counted)]) < ANSWERS and tries < TRIES:
            calls, reads = worker.calls()
            ask(connection, f"sim-n{tokens}-d5", stream=True)
            calls_after, reads_after = worker.calls()
            counted.setdefault(reads_after - reads, []).append(calls_after - calls)
            tries += 1
        costs.append(min(counted[max(counted)]))
    return (costs[1] - costs[0]) / (LONG - SHORT)
