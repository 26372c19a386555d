from __future__ import annotations

import msgspec
import pytest

from bench.__main__ import main
from bench.alone import GROUPS, table, to_json
from bench.store import Figure

FIGURES = [Figure("a", "one thing", 0.5, "s"), Figure("b", "another", 12_345.6, "ns")]


def test_a_table_has_a_line_for_each_figure_and_names_the_machine() -> None:
    assert table(FIGURES, {"cpu": "two cores"}).splitlines() == [
        "one thing           0.5 s",
        "another          12,346 ns",
        "",
        "two cores",
    ]


def test_programs_read_the_same() -> None:
    content = msgspec.json.decode(to_json(FIGURES, {"cpu": "two cores"}))

    assert content["facts"] == {"cpu": "two cores"}
    assert [one["value"] for one in content["figures"]] == [0.5, 12_345.6]


@pytest.mark.parametrize("group", GROUPS)
def test_they_are_measured_beside_nothing_else(
    group: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([group, "token", "--upstream", "127.0.0.1:9"]) == 1
    assert f"not together with {', '.join(GROUPS)}: token" in capsys.readouterr().err
