from __future__ import annotations

from pathlib import Path

from bench.crowd import fill
from bench.store import QUICK, building, looking_up, reading, settings
from proxy.core.config import parse


def test_building_and_looking_up_give_figures() -> None:
    figures = [*building(QUICK, "http://127.0.0.1:9"), *looking_up(QUICK)]

    assert [figure.name for figure in figures] == [
        "build",
        "delta_key",
        "delta_deployment",
        "lookup_1",
        f"lookup_{QUICK.size.keys}",
    ]
    assert all(figure.value > 0 for figure in figures)


async def test_reading_counts_every_row(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/headrace.db"
    made = await fill(url, QUICK.size, "http://127.0.0.1:9")

    (figure,) = await reading(QUICK, url, "SQLite")

    assert figure.name == "read_sqlite"
    assert figure.label == f"read of {len(made.records):,} rows from SQLite"


def test_what_is_measured_is_a_configuration_without_objects(tmp_path: Path) -> None:
    config = parse(settings(tmp_path, workers=2)).config

    assert (config.server.workers, config.providers, config.models) == (2, {}, {})
