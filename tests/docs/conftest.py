"""A demo that runs, and a folder in which the commands of the documentation can be run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from tests.docs.stand_in import COMMANDS, alone

KEPT = (
    "bench",
    "conf",
    "deploy",
    "docs",
    "proxy",
    "tests",
    "Dockerfile",
    "README.md",
    "pyproject.toml",
)


class Demo:
    """`headrace demo` on a free port, as `scripts/run` starts it."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "proxy", "demo", "--port", "0"],
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert self.process.stderr is not None
        self.lines: list[str] = []
        for line in self.process.stderr:
            self.lines.append(line)
            if "Ctrl-C stops" in line:
                break
        said = "".join(self.lines)
        # What it says from now on must not fill the pipe.
        self._drain = threading.Thread(target=self._read, daemon=True)
        self._drain.start()
        self.api = self._found(r"listening on http://(\S+)", said)
        self.admin = self._found(r"admin on http://(\S+)", said)
        self.token = self._found(r"admin token.*: (\S+)", said)

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.lines.extend(self.process.stderr)

    @staticmethod
    def _found(pattern: str, said: str) -> str:
        match = re.search(pattern, said)
        assert match, f"the demo said {said!r}"
        return match[1]

    def here(self, text: str) -> str:
        """`text` with this demo in place of one on the usual ports, and its quick model in place of the slow one."""
        text = re.sub(r"(?:localhost|127\.0\.0\.1):8000", self.api, text)
        text = re.sub(r"(?:localhost|127\.0\.0\.1):8001", self.admin, text)
        return re.sub(r"""("model": |model[=:] ?|models/)("?)demo\b(?!-)""", r"\1\2demo-fast", text)

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        assert self.process.wait(20) == 0
        self._drain.join(5)
        assert self.process.stderr is not None
        self.process.stderr.close()


@pytest.fixture(scope="session")
def demo() -> Iterator[Demo]:
    """One demo for all tests of the documentation."""
    with alone():
        demo = Demo()
    yield demo
    demo.stop()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder that looks like a fresh checkout after `scripts/run`, with stand-ins where a command would stay."""
    for name in KEPT:
        (tmp_path / name).symlink_to(ROOT / name)
    for name in COMMANDS:
        places = [name] if "/" in name else [f"bin/{name}"]
        for place in [*places, *([".venv/bin/headrace"] if name == "headrace" else [])]:
            path = tmp_path / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(
                f'#!/bin/sh\nexec {sys.executable} -m tests.docs.stand_in {name} "$@"\n'
            )
            path.chmod(0o755)
    return tmp_path


@pytest.fixture
def environment(checkout: Path, demo: Demo) -> dict[str, str]:
    """The variables that commands of the documentation see."""
    kept = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}
    return {
        **kept,
        "PATH": f"{checkout / 'bin'}:/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": str(ROOT),
        "HEADRACE_ADMIN_TOKEN": demo.token,
    }
