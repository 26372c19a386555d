from __future__ import annotations

from pathlib import Path

import pytest

from bench import line
from bench.accounts import LINES, WAYS, settings_of
from proxy.ledger.cursor import bodies
from proxy.ledger.records import End, parse
from proxy.ledger.segments import listed


def _settings(folder: Path) -> dict[str, str]:
    return {
        name: settings_of(WAYS[name], folder, folder / name, "http://127.0.0.1:1") for name in LINES
    }


def test_every_way_serves_the_same_requests_and_two_write_them_down(tmp_path: Path) -> None:
    recorded = frozenset({"ledger", "limits"})

    costs = line.measure(_settings(tmp_path), recorded, tmp_path, 2)

    assert {name: len(values) for name, values in costs.items()} == dict.fromkeys(LINES, 2)
    assert not (tmp_path / "off").exists()
    for name in recorded:
        spool = tmp_path / name / "spool" / "0"
        records = [parse(body) for each in listed(spool) for body in bodies(spool, each)]
        ends = [one for one in records if isinstance(one, End)]
        assert len(ends) == (line.WARM + 2) * line.BATCH
        assert {(one.outcome, one.tokens.output, one.cost) for one in ends} == {("ok", 16, 248)}
        assert {len(one.charges) for one in ends} == {1 if name == "limits" else 0}


def test_bytecodes_are_counted_and_the_same_each_time(tmp_path: Path) -> None:
    recorded = frozenset({"ledger", "limits"})
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()

    first = line.bytecodes(_settings(tmp_path / "1"), recorded, tmp_path / "1")
    second = line.bytecodes(_settings(tmp_path / "2"), recorded, tmp_path / "2")

    assert 1000 < first["off"] < first["ledger"] < first["limits"]
    assert all(abs(first[name] - second[name]) < 30 for name in LINES)


def test_an_answer_that_is_none_is_not_measured(tmp_path: Path) -> None:
    settings = {"off": _settings(tmp_path)["off"].replace('"sim*"', '"other*"')}

    with pytest.raises(RuntimeError, match="the line answered 404"):
        line.measure(settings, frozenset(), tmp_path, 1)
