"""The tables that a terminal and the documentation show."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.__main__ import main
from bench.capacity import published
from bench.capacity_report import ROWS, SIZES, cases, large, measure, table


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.0104, "0.01"), (13.33, "13"), (9_090.9, "9,091"), (4.552e6, "4.55 M"), (6.28e10, "62.8 G"), (6e13, "60 T")],
)  # fmt: skip
def test_three_digits_are_enough(number: float, text: str) -> None:
    assert large(number) == text


def test_there_is_a_column_for_each_size() -> None:
    head, rows = table(published())

    assert len(head) == 1 + len(SIZES)
    assert len(rows) == 1 + len(ROWS)
    assert {len(row) for row in rows} == {len(head)}
    assert [row for row in rows if row[0] == "cores of a machine"] == [
        ["cores of a machine", "4", "16", "16"]
    ]


def test_machines_are_of_the_size_that_was_asked_for() -> None:
    assert {load.cores for load, _ in cases(["cores=64"])} == {64}


def test_a_run_prints_both_and_draws(tmp_path: Path) -> None:
    said: list[str] = []

    # A quarter of the usual number of requests and tokens, so that it is over sooner.
    figures = measure(["first=40"], 1, tmp_path, said.append)

    assert [one.name for one in figures] == [
        "capacity_1000",
        "capacity_100000",
        "capacity_10000000",
    ]
    assert "streams at once" in said[0]
    assert "a machine dies" in said[1]
    assert (tmp_path / "capacity.svg").read_text().startswith("<svg")


def test_an_assumption_that_is_none_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["capacity", "--upstream", "127.0.0.1:9", "--set", "corse=1"]) == 1
    assert "no such assumption: corse" in capsys.readouterr().err
