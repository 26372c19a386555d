"""The asserts of all tests are rewritten once in a run, not once in each of its processes.

That takes most of the time of collecting where nothing is cached yet, and processes that collect in the same order do it
all at the same time. So each does its share before, and finds the others' when it collects.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from _pytest.assertion import rewrite

TESTS = Path(__file__).parent


def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    worker: dict[str, int] | None = getattr(config, "workerinput", None)
    if worker is None or sys.dont_write_bytecode or config.args != config.getini("testpaths"):
        return
    number = int(str(worker["workerid"]).removeprefix("gw"))
    for file in sorted(TESTS.rglob("test_*.py"))[number :: worker["workercount"]]:
        keep(file, config)


def keep(file: Path, config: pytest.Config) -> None:
    """Have its bytecode where pytest looks for it."""
    folder = rewrite.get_cache_dir(file)
    kept = folder / f"{file.stem}{rewrite.PYC_TAIL}"
    if not rewrite.try_makedirs(folder) or rewrite._read_pyc(file, kept) is not None:
        return
    try:
        digest, code = rewrite._rewrite_test(file, config)
    except SyntaxError:  # said when it is collected
        return
    rewrite._write_pyc(config.stash[rewrite.assertstate_key], code, digest, kept)
