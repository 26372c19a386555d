"""Every row of the page about five gateways is shown by tests that are there, and no row is left out."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT

TEXT = (DOCS / "features-of-five.md").read_text()
ROW = re.compile(r"^\| ([A-E]\d+) \| (.+) \| (.+) \| ([^|]+) \|$", re.MULTILINE)
ROWS = {row: (what, here, tests) for row, what, here, tests in ROW.findall(TEXT)}
NAME = re.compile(r"`([a-z0-9_/]+)`")
GROUPS = {"A": 51, "B": 33, "C": 31, "D": 35, "E": 15}
MISSING: frozenset[str] = frozenset()
"""Rows of which there is nothing to show yet."""


@cache
def in_place(place: str) -> frozenset[str]:
    """Names of the tests in a file, or in a folder, without their `test_`."""
    path = ROOT / "tests" / place
    files = [*path.rglob("test_*.py")] if path.is_dir() else [path.with_suffix(".py")]
    assert files, place
    return frozenset(name for file in files for name in _names(file))


def _names(file: Path) -> list[str]:
    assert file.is_file(), file.relative_to(ROOT)
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [
        one.name.removeprefix("test_")
        for one in ast.walk(ast.parse(file.read_bytes()))
        if isinstance(one, kinds) and one.name.startswith("test_")
    ]


@pytest.mark.parametrize("row", ROWS)
def test_a_row_is_shown_by_tests_that_are_there(row: str) -> None:
    what, here, tests = ROWS[row]
    named = NAME.findall(tests)

    assert what.strip()
    assert here.strip()
    assert bool(named) is (row not in MISSING)
    for name in named:
        place, _, begin = name.rpartition("/")
        assert [one for one in in_place(place) if one.startswith(begin)], name


@pytest.mark.parametrize("group", GROUPS)
def test_no_row_is_left_out_and_all_are_in_order(group: str) -> None:
    rows = [row for row in ROWS if row.startswith(group)]

    assert rows == [f"{group}{number}" for number in range(1, GROUPS[group] + 1)]


def test_what_is_missing_says_so() -> None:
    assert all("**not yet**" in ROWS[row][1] for row in MISSING)
