"""What the documentation has from the code is what the code says today."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import orjson
import pytest

from proxy.core.config.presets import presets
from proxy.core.errors import ERRORS
from proxy.core.model import Strategy
from proxy.gateway.verdict import RULES
from tests.docs import tables
from tests.docs.pages import DOCS, PAGES, ROOT, generated

HERE = [(page, name) for page in PAGES for name in generated(page)]
AGAIN = "run: python -m tests.docs.tables"


@pytest.mark.parametrize(("page", "name"), HERE, ids=lambda one: getattr(one, "name", one))
def test_a_generated_part_is_up_to_date(page: Path, name: str) -> None:
    assert generated(page)[name] == tables.PARTS[name](), AGAIN


def test_every_generated_part_has_a_place() -> None:
    assert {name for _, name in HERE} == set(tables.PARTS)


def test_every_error_is_explained() -> None:
    page = (DOCS / "errors.md").read_text().partition("## When")[2].partition("## Every body")[0]

    assert [ref for ref in ERRORS if f"| `{ref}` |" not in page] == []


def codes() -> set[str]:
    """Every `code="…"` that the program gives to an error of its own."""
    modules = [
        path for room in ("gateway", "wire") for path in (ROOT / "proxy" / room).glob("*.py")
    ]
    keywords = [
        node
        for path in modules
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.keyword) and node.arg == "code"
    ]
    values = [one.value.value for one in keywords if isinstance(one.value, ast.Constant)]
    return {value for value in values if isinstance(value, str)}


def test_every_code_of_an_error_is_explained() -> None:
    page = (DOCS / "errors.md").read_text()

    assert codes() >= {"missing_field", "key_expired"}
    assert [code for code in codes() if f"`{code}`" not in page] == []


def test_every_cause_has_its_meaning() -> None:
    assert tables.MEANINGS.keys() == RULES.keys()


def test_every_strategy_is_explained() -> None:
    page = (DOCS / "routing.md").read_text()

    assert [name for name in Strategy if f"`{name}`" not in page] == []


def test_the_number_of_presets_is_right() -> None:
    for page in ("README.md", "CHANGELOG.md"):
        text = (ROOT / page).read_text()
        numbers = re.findall(r"(\d+) (?:\[?providers|presets)", text)

        assert numbers == [str(len(presets()))], page


def test_a_noisy_run_is_not_published(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    file.write_bytes(orjson.dumps({"complaints": [], "noise": "a neighbour", "outcomes": {}}))

    with pytest.raises(AssertionError, match="a neighbour"):
        tables.publish(file)


def test_a_run_fills_both_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spread = {"median": 54.0, "least": 50.0, "most": 60.0}
    row = {
        "metric": "request",
        "label": "CPU a request",
        "unit": "µs",
        "is_cost": True,
        "figures": {"nginx": {"median": 18.0, "least": 17.5, "most": 19.0}, "headrace": spread},
        "ratios": {"headrace": {"median": 3.0, "least": 2.9, "most": 3.2}},
    }
    run = {"facts": {"cpu": "a quiet machine"}, "rows": [row], "complaints": [], "noise": ""}
    file = tmp_path / "bench.json"
    file.write_bytes(orjson.dumps({**run, "outcomes": {}}))
    monkeypatch.setattr(tables, "FIGURES", tmp_path / "figures.json")

    tables.publish(file)

    assert "| **3.0** |" in tables.cost_table()
    expected = "| CPU a request, µs | 18.0 (17.5-19.0) | 54.0 (50.0-60.0) | 3.00 (2.90-3.20) |"
    assert expected in tables.run_table()
    assert "a quiet machine" in tables.run_table()
