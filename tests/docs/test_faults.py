"""Every row of the page about faults is shown by tests that are there, and no row is left out."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT

ROW = re.compile(r"^\| (?P<row>[A-C]\d+) \|.*\| (?P<tests>[^|]+) \|$", re.MULTILINE)
NAME = re.compile(r"`([a-z0-9_/]+)`")
SHOWN = {found["row"]: found["tests"] for found in ROW.finditer((DOCS / "faults.md").read_text())}
GROUPS = {"A": 12, "B": 23, "C": 27}


@cache
def names_in(file: Path) -> list[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    tree = ast.parse(file.read_bytes())
    return [one.name for one in ast.walk(tree) if isinstance(one, kinds)]


def named(cell: str) -> Iterator[tuple[Path, str]]:
    """(file, beginning of the name of a test)."""
    for name in NAME.findall(cell):
        place, _, test = name.rpartition("/")
        if "/" not in place:
            place = f"line/test_faults_{place}"
        yield ROOT / "tests" / f"{place}.py", f"test_{test}"


@pytest.mark.parametrize("row", SHOWN)
def test_a_row_is_shown_by_tests_that_are_there(row: str) -> None:
    found = list(named(SHOWN[row]))

    assert found, "no test shows it"
    for file, begin in found:
        assert file.exists(), file.name
        assert [name for name in names_in(file) if name.startswith(begin)], f"{file.name}: {begin}"


@pytest.mark.parametrize("group", GROUPS)
def test_no_row_is_left_out(group: str) -> None:
    rows = [f"{group}{number}" for number in range(1, GROUPS[group] + 1)]

    assert [row for row in rows if row not in SHOWN] == []
