"""The line without sockets gives what the one with sockets gives."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path

import pytest

from bench.accounts import WAYS, settings_of
from bench.wires import Wires
from proxy.core.config import parse
from proxy.ledger.cursor import bodies
from proxy.ledger.records import End
from proxy.ledger.records import parse as record
from proxy.ledger.segments import listed
from proxy.state.snapshot import compile_snapshot


def test_requests_and_streams_are_answered_and_written_down(tmp_path: Path) -> None:
    text = settings_of(WAYS["limits"], tmp_path, tmp_path, "http://127.0.0.1:1")

    async def run() -> None:
        with ExitStack() as stack:
            wires = Wires(compile_snapshot(parse(text).config), tmp_path, stack)
            await wires.whole()
            await wires.stream()
            await wires.whole()
            await wires.close()

    asyncio.run(run())

    spool = tmp_path / "spool" / "0"
    found = [record(body) for each in listed(spool) for body in bodies(spool, each)]
    ends = [one for one in found if isinstance(one, End)]
    assert [(one.outcome, one.tokens.output) for one in ends] == [("ok", 16)] * 3


def test_an_answer_that_is_none_is_told(tmp_path: Path) -> None:
    text = settings_of(WAYS["off"], tmp_path, tmp_path, "http://127.0.0.1:1")
    text = text.replace('"sim*"', '"other*"')

    async def run() -> None:
        with ExitStack() as stack:
            wires = Wires(compile_snapshot(parse(text).config), None, stack)
            try:
                with pytest.raises(RuntimeError, match="model_not_found"):
                    await wires.whole()
            finally:
                await wires.close()

    asyncio.run(run())
