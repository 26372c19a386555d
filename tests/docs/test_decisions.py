"""Decision records have the form that the first of them gives."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, prose

RECORDS = sorted((DOCS / "decisions").glob("*.md"))
PARTS = [
    "## What was open",
    "## What was decided",
    "## Why, and what else was tried",
    "## What follows",
]
STATE = re.compile(r"\d{4}-\d\d-\d\d · (?:accepted|replaced by \d{4})(?:;.*)?")


def test_numbers_have_no_gap() -> None:
    numbers = [int(path.name[:4]) for path in RECORDS]

    assert numbers == list(range(1, len(RECORDS) + 1))


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_record_has_every_part(path: Path) -> None:
    title, _, state, *_ = path.read_text().splitlines()

    assert title.startswith(f"# {int(path.name[:4])}. ")
    assert STATE.fullmatch(state), state
    assert re.findall(r"^## .*", prose(path), re.MULTILINE) == PARTS


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_the_name_says_what_was_decided(path: Path) -> None:
    title = path.read_text().partition(". ")[2].partition("\n")[0]

    words = re.findall(r"[a-z0-9]+", title.replace("'", "").lower())
    assert set(path.stem[5:].split("-")) <= set(words)
