"""Connections of several workers, and what a request costs."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import machine, peers
from bench.spread import QUICK, chart, measure

pytestmark = pytest.mark.allow_blocking("has a loop of its own, and processes")


@pytest.mark.timeout(120)
def test_every_number_of_workers_has_its_figures_and_a_chart(tmp_path: Path) -> None:
    said: list[str] = []

    with peers.simulator(machine.share_out_cores()) as upstream:
        found = {one.name: one.value for one in measure(QUICK, upstream, tmp_path, said.append)}

    assert found["spread_2_one"] >= 1
    assert found["spread_cpu_2"] > 0
    assert found["spread_own_2"] < found["spread_pss_2"] < found["spread_rss_2"]
    assert found["spread_rss_2"] < found["spread_all_2"]
    assert len(said) == 5
    assert "2 workers, one by one" in (tmp_path / "spread.svg").read_text()


def test_a_bar_for_each_worker() -> None:
    drawn = ElementTree.fromstring(chart({(1, "at once"): [9], (3, "at once"): [1, 3, 5]}))

    bars = [one for one in drawn.iter() if one.tag.endswith("rect")]
    widths = [float(one.attrib["width"]) for one in bars]
    assert len(widths) == 4
    assert widths[0] == max(widths)
    assert widths[3] == pytest.approx(5 * widths[1], rel=0.01)
