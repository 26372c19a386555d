"""The command: one short run against the simulator alone, from the command line to the files."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import msgspec
import pytest

from bench.__main__ import main
from bench.peers import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def test_a_quick_run_against_the_simulator_writes_figures_and_a_chart(tmp_path: Path) -> None:
    figures, drawing = tmp_path / "figures.json", tmp_path / "chart.svg"
    command = [sys.executable, "-m", "bench", "request", "token", "--quick", "--seconds", "0.1"]
    command += ["--peers", "bare", "--json", str(figures), "--chart", str(drawing)]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "latency p50" in done.stderr
    found = msgspec.json.decode(figures.read_bytes())
    assert found["complaints"] == []
    assert found["outcomes"]["request"]["bare"][0]["requests"] > 0
    assert found["outcomes"]["token"]["bare"][0]["tokens"] > 0
    assert ElementTree.fromstring(drawing.read_text()).tag.endswith("svg")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense"], "no such group: nonsense"),
        (["--peers", "apache", "--upstream", "127.0.0.1:9"], "no such peer: apache"),
        (["--peers", "", "--upstream", "127.0.0.1:9"], "nothing to measure"),
    ],
)
def test_a_wrong_word_is_named(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    assert said in capsys.readouterr().err
