"""Who gave out budgets is told where they cannot be spent."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from proxy.core.config import parse, report
from proxy.core.model import Budget, Limits, Snapshot
from proxy.state.snapshot import compile_snapshot
from proxy.state.unpriced import models, of_key, remarks

FILE = """\
providers:
  p: {base_url: "https://api.openai.com/v1", credentials: [k]}
  off: {base_url: "https://b.example", credentials: [k], enabled: false}
models:
  known: {deployments: [{provider: p, model: gpt-4o}]}
  own: {deployments: [{provider: p, price: {input: 1}}]}
  listed: {deployments: [{provider: p}]}
  "w/*": {deployments: [{provider: p, model: "*"}]}
  gone: {fallbacks: [known], deployments: [{provider: off}]}
  mine:
    deployments:
      - {provider: p, model: gpt-4o}
      - {provider: p, model: my-own-7b}
prices: {listed: {output: 1}}
"""
BUDGET = "keys: [{name: k, key: sk-application, budget: {usd: 1}}]\n"


def said(text: str) -> list[str]:
    return [str(problem) for problem in remarks(parse(text, "h.yaml", {}))]


def test_a_deployment_of_no_price_is_named_where_it_stands() -> None:
    assert said(FILE + BUDGET) == [
        "h.yaml:13:9: models.mine.deployments[1]: no price is known of 'my-own-7b': keys with a budget are refused; "
        "give it a price, or set defaults.price_unknown"
    ]


def test_a_budget_of_a_team_or_of_everything_is_one_of_its_keys_too() -> None:
    team = "keys: [{name: k, key: sk-application, team: rich}]\nteams: {rich: {budget: {usd: 1}}}\n"

    assert said(FILE + team) == said(FILE + BUDGET)
    assert said(FILE + team.replace("team: rich", "team: poor")) == []
    (everything,) = said(FILE + "limits: {budget: {usd: 1}}\n")
    assert "of 'my-own-7b': requests for it are refused, as limits.budget is set; " in everything


@pytest.mark.parametrize(
    "text",
    [
        FILE,
        FILE + BUDGET.replace(", budget: {usd: 1}", ", rpm: 5"),
        FILE + BUDGET + "defaults: {price_unknown: {input: 1}}",
        FILE.replace("listed: {output", "my-*: {input: 1}, listed: {output") + BUDGET,
    ],
)
def test_where_nobody_is_refused_nothing_is_said(text: str) -> None:
    assert said(text) == []


def test_a_check_of_the_file_says_it_too(tmp_path: Path) -> None:
    (tmp_path / "h.yaml").write_text(FILE + BUDGET)
    out = io.StringIO()

    assert report.check(tmp_path / "h.yaml", {}, out, remarks) == 0

    assert out.getvalue().count("no price is known") == 1
    assert out.getvalue().endswith("2 warnings\n")


def compiled(text: str = FILE) -> Snapshot:
    return compile_snapshot(parse(text, "h.yaml", {}).config)


def test_names_that_a_budget_cannot_be_spent_on() -> None:
    text = FILE.replace("listed: {deployments", "listed: {fallbacks: [known, mine], deployments")
    text = text.replace('"w/*"', '"x/*": {deployments: [{provider: p, model: my-own-7b}]}\n  "w/*"')

    assert models(compiled()) == {"mine": ("my-own-7b",)}
    # A request may go on to a fallback, whose price has to be known too.
    assert models(compiled(text)) == dict.fromkeys(("listed", "mine", "x/*"), ("my-own-7b",))
    assert models(compiled(FILE + "defaults: {price_unknown: {input: 1}}")) == {}


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"budget": {"usd": 1}}, True),
        ({"budget": {"usd": 1}, "models": ["*"]}, True),
        ({"budget": {"usd": 1}, "models": ["known", "mi*"]}, True),
        ({"budget": {"usd": 1}, "models": ["x/one"]}, True),
        ({"budget": {"usd": 1}, "models": ["known", "mine2", "m"]}, False),
        ({"rpm": 5}, False),
        ({"team": "rich"}, True),
        ({"team": "poor"}, False),
        ({"team": None, "budget": None}, False),
    ],
)
def test_a_key_is_told_of_what_it_may_use(spec: dict[str, Any], told: bool) -> None:
    teams = {"rich": Limits(budget=Budget(5.0)), "poor": Limits(rpm=5)}
    found = of_key(
        spec, {"mine": ("my-own-7b",), "x/*": ("my-own-7b",)}, replace(compiled(), teams=teams)
    )

    assert found == (WORDS,) * told


def test_a_budget_of_everything_is_one_of_every_key() -> None:
    limited = replace(compiled(), limits=Limits(budget=Budget(5.0)))

    (found,) = of_key({"rpm": 5}, {"mine": ("my-own-7b",)}, limited)

    assert "requests for it are refused" in found
    assert of_key({"rpm": 5}, {"mine": ("my-own-7b",)}, replace(limited, limits=Limits(5))) == ()


WORDS = (
    "no price is known of 'my-own-7b': keys with a budget are refused; "
    "give it a price, or set defaults.price_unknown"
)
