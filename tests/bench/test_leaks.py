from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.leaks import LARGE, QUICK, WORDS, Plan, Sample, figures, scaled, slope
from bench.peers import ROOT
from proxy.simulator.faults import FAULTS

MIB = 2**20


@given(st.floats(-1e3, 1e3), st.floats(-1e6, 1e6), st.integers(2, 50))
def test_the_slope_of_a_line_is_that_of_the_line(steep: float, low: float, count: int) -> None:
    points = [(float(x), low + steep * x) for x in range(count)]

    assert slope(points) == pytest.approx(steep, rel=1e-6, abs=1e-6)


def test_nothing_has_no_slope() -> None:
    assert slope([]) == slope([(1.0, 5.0)]) == slope([(1.0, 5.0), (1.0, 6.0)]) == 0.0


def test_what_grows_in_the_second_half_is_seen_and_what_grew_before_is_not() -> None:
    samples = [
        Sample(at, int((100 + min(at, 50) + 2 * max(at - 50, 0)) * MIB), 40 + (at == 60))
        for at in map(float, range(101))
    ]

    found = {one.name: one.value for one in figures(QUICK, {"worker": samples}, 7, 1, print)}

    assert found["leaks_worker_slope"] == pytest.approx(2 * 3600)
    assert found["leaks_worker_files_most"] == 41
    assert found["leaks_worker_files_last"] == 40
    assert (found["leaks_requests"], found["leaks_tracebacks"]) == (7, 1)


def test_every_fault_is_tried_but_the_large_ones() -> None:
    assert set(WORDS) | LARGE == set(FAULTS)


def test_its_length_can_be_chosen() -> None:
    assert scaled(Plan(), 3.0, 7.0, 9) == Plan(minutes=3.0, rate=7.0, seed=9)
    assert scaled(QUICK, None, None, None) == QUICK


@pytest.mark.timeout(120)
def test_a_quick_run_finds_every_process(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    command = [sys.executable, "-m", "bench", "leaks", "--quick", "--json", str(file)]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    found = {one["name"]: one["value"] for one in msgspec.json.decode(file.read_bytes())["figures"]}
    assert found["leaks_requests"] > len(WORDS) / 2
    assert found["leaks_tracebacks"] == 0
    for name in ("worker", "supervisor", "shipper"):
        assert found[f"leaks_{name}_memory"] > 10
        assert found[f"leaks_{name}_files_last"] > 5
