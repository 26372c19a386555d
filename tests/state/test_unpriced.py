"""Who gave out budgets is told where they cannot be spent."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from proxy.core.config import parse, report
from proxy.state.unpriced import remarks

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
