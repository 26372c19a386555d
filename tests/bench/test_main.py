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


NOBODY = ("--peers", "", "--upstream", "127.0.0.1:9")


@pytest.mark.parametrize("name", ["--seconds", "--minutes", "--rate", "--outage", "--rounds"])
def test_a_number_that_measures_nothing_is_refused(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in ("0", "-1", "nan", "x"):
        with pytest.raises(SystemExit):
            main([name, number])

        assert f"argument {name}: expected " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense"], "no such group: nonsense"),
        (["--peers", "apache", "--upstream", "127.0.0.1:9"], "no such peer: apache"),
        (["--peers", "", "--upstream", "127.0.0.1:9"], "nothing to measure"),
        (["--upstream", "localhost"], "--upstream: expected HOST:PORT, found 'localhost'"),
        ([*NOBODY, "--peer", "other"], "--peer: expected NAME=COMMAND, found 'other'"),
        ([*NOBODY, "--target", "x=http://a:1,b"], "the number of a process after ',', found 'b'"),
        ([*NOBODY, "--target", "x=localhost:8000"], "http://HOST:PORT, found 'localhost:8000'"),
        ([*NOBODY, "--target", "https://a"], "http://HOST:PORT, found 'https://a'"),
        (["--json", "/dev/null/a.json"], "/dev/null/a.json cannot be written: "),
        (["--chart", "/"], "/ cannot be written: Is a directory"),
    ],
)
def test_a_wrong_word_is_named(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    assert said in capsys.readouterr().err
