"""A line is written at once, or not at all: who forks must not wait for whoever reads."""

from __future__ import annotations

import fcntl
import logging
import os
import pty
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from proxy.core import log, model
from proxy.core.bare import Bare
from proxy.core.lines import to_json
from proxy.core.output import Output


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Of the smallest size."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    yield reader, writer
    os.close(reader)
    os.close(writer)


def record(
    message: str, *arguments: object, error: BaseException | None = None
) -> logging.LogRecord:
    info = None if error is None else (type(error), error, error.__traceback__)
    return logging.LogRecord("headrace", logging.WARNING, "", 0, message, arguments, info)


def test_a_line_is_there_when_it_has_been_said(pipe: tuple[int, int]) -> None:
    reader, writer = pipe

    Bare(Output(writer), to_json).emit(record("odd: %s", "sk-abcdefgh12345678"))

    assert orjson.loads(os.read(reader, 4096))["message"] == "odd: ***"


def test_what_a_pipe_does_not_take_is_dropped_and_counted(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    bare = Bare(Output(writer), to_json)
    before = log.dropped()

    for number in range(100):
        bare.emit(record("line %d", number))

    os.set_blocking(reader, False)
    taken = [orjson.loads(line)["message"] for line in os.read(reader, 1 << 16).splitlines()]
    assert taken == [f"line {number}" for number in range(len(taken))]
    assert 0 < len(taken) < 100
    assert log.dropped() - before == 100 - len(taken)


def test_a_line_that_no_pipe_takes_in_one_piece_loses_its_traceback(pipe: tuple[int, int]) -> None:
    reader, writer = pipe

    Bare(Output(writer), to_json).emit(record("failed", error=ValueError("x" * 10_000)))

    said = orjson.loads(os.read(reader, 1 << 16))
    assert said["message"] == "failed"
    assert "error" not in said


def test_a_reader_that_went_away_costs_lines_and_nothing_else() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    before = log.dropped()

    Bare(Output(writer), to_json).emit(record("x"))

    assert log.dropped() == before + 1
    os.close(writer)


def test_standard_error_gets_what_suits_it(monkeypatch: pytest.MonkeyPatch) -> None:
    outer, inner = pty.openpty()
    monkeypatch.setattr("proxy.core.bare.STDERR", inner)

    Bare().emit(record("odd"))

    assert b"headrace: odd" in os.read(outer, 4096)
    os.close(outer)
    os.close(inner)


def test_a_file_is_written_as_by_everybody_else(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    level = logging.getLogger().level
    log.bare(model.Logging(file=str(path), level="warning"))
    try:
        log.logger.info("not this")
        log.logger.warning("this")
    finally:
        log.close()
        logging.getLogger().setLevel(level)
    log.logger.warning("not this either")

    assert [orjson.loads(line)["message"] for line in path.read_bytes().splitlines()] == ["this"]
