from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from bench import machine
from bench.accounts import LINES, QUICK, WAYS, figures, scaled, settings_of
from bench.peers import ROOT
from proxy.core.config import parse


def test_a_difference_is_of_the_least_and_the_median_of_those_within_rounds() -> None:
    costs = {name: [10.0, 12.0, 30.0] for name in WAYS} | {"ledger": [21.0, 19.0, 33.0]}

    found = {one.name: one.value for one in figures("request", costs)}

    assert found["request_ledger"] == 19.0
    assert found["request_ledger_off"] == 9.0
    assert found["request_ledger_off_p50"] == 7.0
    assert found["request_limits_off"] == 0.0


def test_only_the_ledger_and_the_limits_differ() -> None:
    def made(name: str) -> dict[str, Any]:
        text = settings_of(WAYS[name], Path("/f"), Path("/l"), "http://u", 1)
        assert parse(text).config.providers
        content: dict[str, Any] = yaml.safe_load(text)
        return content

    with_all, without = made("limits"), made("off")
    with_all["admin"].pop("port")
    without["admin"].pop("port")  # a free one each
    (key,) = with_all.pop("keys")
    (plain,) = without.pop("keys")

    assert {"rpm", "concurrency", "budget"} == set(key) - set(plain)
    assert (with_all.pop("ledger"), without.pop("ledger")) == ({"path": "/l"}, {"path": ""})
    assert with_all == without


def test_rounds_and_their_length_can_be_chosen() -> None:
    plan = scaled(QUICK, 3, 0.1)

    assert plan.rounds == 3
    assert {load.seconds for load in plan.loads.values()} == {0.1}
    assert scaled(QUICK, None, None) == QUICK


def test_a_process_is_found_by_the_name_it_gave_itself_and_moved() -> None:
    code = "open('/proc/self/comm', 'w').write('headrace-ship'); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        core = min(os.sched_getaffinity(process.pid))

        found = machine.named("headrace-ship", machine.tree(os.getpid()))
        machine.move(process.pid, frozenset({core}))

        assert found == [process.pid]
        assert os.sched_getaffinity(process.pid) == {core}
        process.communicate(b"\n")


@pytest.mark.timeout(120)
def test_a_quick_run_measures_every_way(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    command = [sys.executable, "-m", "bench", "accounts", "--quick", "--json", str(file)]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "WRONG" not in done.stderr
    values = {
        one["name"]: one["value"] for one in msgspec.json.decode(file.read_bytes())["figures"]
    }
    assert all(values[f"{what}_{name}"] > 0 for what in QUICK.loads for name in WAYS)
    assert all(values[f"line_{name}"] > 0 for name in LINES)
    assert values["limits_ship"] > 0
