"""The chart: well-formed whatever the report holds."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.chart import WIDTH, chart
from bench.load import Latency, Outcome
from bench.report import Report, report
from bench.scenarios import SCENARIOS

SVG = "{http://www.w3.org/2000/svg}"


def made(costs: dict[str, float], facts: dict[str, str] | None = None) -> Report:
    peers = {
        name: [Outcome(requests=1000, seconds=1.0, cpu_us=cost * 1000)]
        for name, cost in costs.items()
    }
    return report(SCENARIOS, {"request": peers, "large": peers}, facts or {})


@given(
    st.floats(min_value=0.001, max_value=1e6),
    st.floats(min_value=0.001, max_value=1e6),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])),
)
def test_a_chart_is_well_formed(headrace: float, nginx: float, words: str) -> None:
    drawn = chart(made({"nginx": nginx, "headrace": headrace, "a<b&\"c'": nginx}, {"cpu": words}))

    assert ElementTree.fromstring(drawn.encode()).tag == f"{SVG}svg"


@pytest.mark.parametrize("costs", [{}, {"nginx": 10.0}, {"headrace": 10.0}])
def test_a_chart_without_anything_to_compare_is_well_formed(costs: dict[str, float]) -> None:
    assert ElementTree.fromstring(chart(made(costs))).tag == f"{SVG}svg"


def test_bars_are_as_long_as_their_ratios_and_stay_inside() -> None:
    root = ElementTree.fromstring(chart(made({"nginx": 10, "headrace": 40, "other": 80})))

    bars = {bar.attrib["class"]: float(bar.attrib["width"]) for bar in root.iter(f"{SVG}rect")}

    assert bars["other"] == pytest.approx(2 * bars["subject"], rel=0.01)
    assert bars["other"] < WIDTH


def test_tails_are_in_the_table_alone() -> None:
    peers = {
        name: [Outcome(requests=1, seconds=1.0, latency=Latency(p50=1.0, p99=2.0, p999=300.0))]
        for name in ("nginx", "headrace")
    }

    said = chart(report(SCENARIOS, {"latency": peers}, {}))

    assert "latency p50" in said
    assert "p99" not in said


def test_a_chart_has_words_for_those_who_do_not_see_it() -> None:
    root = ElementTree.fromstring(chart(made({"nginx": 10, "headrace": 40})))

    said = root.findtext(f"{SVG}desc")

    assert said is not None
    assert "headrace 4.0 times nginx" in said
