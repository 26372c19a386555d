"""What the documentation has from the code is what the code says today."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import orjson
import pytest

from bench import alone, phases
from bench.load import Outcome
from bench.report import report, to_json
from bench.scenarios import SCENARIOS, Scenario
from bench.store import Figure
from proxy.core.config.presets import presets
from proxy.core.errors import ERRORS
from proxy.core.model import Strategy
from proxy.gateway.verdict import RULES
from tests.docs import figures, tables
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
        figures.publish(file)


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
    monkeypatch.setattr(figures, "FIGURES", tmp_path / "figures.json")

    figures.publish(file)

    assert "| **3.0** |" in figures.cost_table()
    expected = "| CPU a request, µs | 18.0 (17.5-19.0) | 54.0 (50.0-60.0) | 3.00 (2.90-3.20) |"
    assert expected in figures.run_table()
    assert "a quiet machine" in figures.run_table()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where nothing has been published."""
    for name in ("FIGURES", "TRANSLATED", "SEALED", "PHASED"):
        monkeypatch.setattr(figures, name, tmp_path / f"{name}.json")
    return tmp_path


def _quick(folder: Path, scenarios: tuple[Scenario, ...]) -> Path:
    """A file as a run of these scenarios writes it: bare and each peer as costly as its place in the list says."""
    outcomes = {
        scenario.name: {
            name: [Outcome(requests=100, tokens=100, seconds=1.0, cpu_us=1000.0 * (place + 1))]
            for place, name in enumerate(scenario.peers or ("nginx", "headrace", "litellm"))
        }
        for scenario in scenarios
    }
    facts = {"cpu": "a quiet machine", "beside": "litellm 9.9"}
    file = folder / "bench.json"
    file.write_bytes(to_json(report(scenarios, outcomes, facts)))
    return file


def test_one_run_fills_every_table(folder: Path) -> None:
    figures.publish(_quick(folder, SCENARIOS))

    assert "| times nginx | Headrace | litellm 9.9 |" in figures.others_table()
    assert "| CPU a request, µs | 2.00 | 3.00 |" in figures.others_table()
    assert "| LiteLLM 9.9 (Python) | 3.0 | 3.0 |" in figures.cost_table()
    assert "vllm-router 0.1.17" in figures.cost_table()
    assert "| 100,000 keys and 1,000 deployments against one of each |" in figures.itself_table()
    assert "load generator and simulator alone, tokens, a second" in figures.tools_table()
    assert "| CPU a request | 4.5 x nginx | 2.00 | met |" in figures.goals_table()
    assert "of each | 1.05 x Headrace | 2.00 | **missed** |" in figures.goals_table()
    assert "to bedrock" in figures.translation_table()
    assert "translat" not in figures.run_table()
    assert "| CPU a request, µs | 10.0 (10.0-10.0) | 20.0 (20.0-20.0) | 2.00 (2.00-2.00) |" in (
        figures.sealed_table()
    )
    assert "tls" not in figures.FIGURES.read_text().partition('"rows"')[2]


def test_translation_is_published_by_itself(folder: Path) -> None:
    figures.publish(_quick(folder, tuple(one for one in SCENARIOS if one.group == "translate")))

    assert not figures.FIGURES.exists()
    assert "| CPU a burst token, µs | 10.0 (10.0-10.0) | 2.00 |" in figures.translation_table()


def test_phases_are_published_and_nothing_else_that_stands_alone(folder: Path) -> None:
    every = phases.measure(phases.QUICK, lambda _: None)
    file = folder / "alone.json"
    file.write_bytes(alone.to_json([*every, Figure("drain", "drain", 1.0, "s")], {"cpu": "any"}))

    figures.publish(file)

    assert b'"drain"' not in figures.PHASED.read_bytes()
    text = figures.phases_table()
    assert "| of a request | nothing limited or recorded, µs |" in text
    assert all(label in text for label in phases.PHASES.values())


def test_before_there_is_a_run_the_tables_say_so(folder: Path) -> None:
    for name in ("run", "others", "itself", "tools", "goals", "phases", "tls", "translation"):
        assert tables.PARTS[name]() == figures.NOTHING_YET
    assert "not published yet" in figures.cost_table()
