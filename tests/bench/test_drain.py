from __future__ import annotations

from pathlib import Path

from bench.drain import QUICK, backlog, draining
from proxy.ledger.reading import Reader
from proxy.ledger.records import End


async def test_a_backlog_is_drained(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/headrace.db"

    rate, used = await draining(QUICK, url, tmp_path / "ledger", "SQLite")

    assert (rate.name, used.name) == ("drain_sqlite", "drain_cpu_sqlite")
    assert rate.value > 0


def test_a_backlog_is_as_several_workers_write_it(tmp_path: Path) -> None:
    backlog(QUICK, tmp_path)

    batch = Reader(tmp_path, whole=True).take(10 * QUICK.requests)

    assert batch is not None
    assert len(list((tmp_path / "spool").iterdir())) == 2
    assert sum(isinstance(one, End) for one in batch.records) == QUICK.requests
    assert len(batch.records) >= 2 * QUICK.requests
