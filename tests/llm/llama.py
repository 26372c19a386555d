"""A real model on this machine: llama.cpp's server in a process and an environment of its own."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import msgspec

from tests.line.harness import ROOT

SERVE = Path(__file__).with_name("serve.py")


class Ready(msgspec.Struct, frozen=True):
    """What the server says when it listens."""

    url: str
    model: str
    version: str
    size: int


class Llama:
    """The server, until `stop`."""

    def __init__(self, folder: Path) -> None:
        home = installed()
        self.log = folder / "llama.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [home / "env" / "bin" / "python", SERVE, home / "model.gguf"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log.read_text(errors="replace")[-4000:]
        self.ready = msgspec.json.decode(line, type=Ready)
        self.url = self.ready.url

    def stop(self) -> None:
        """End its standard input, and with it the process."""
        self.process.communicate(timeout=20)


def wanted() -> list[str]:
    """The extra `llm`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra: list[str] = project["optional-dependencies"]["llm"]
    return extra


def installed() -> Path:
    """The folder with llama.cpp, kept in the environment of the tests and made by whoever comes first."""
    recipe = "\n".join([sys.version, *wanted()])
    home = Path(sys.prefix) / "llm" / hashlib.sha256(recipe.encode()).hexdigest()[:16]
    home.mkdir(parents=True, exist_ok=True)
    done = home / "installed"
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            install(home / "env", wanted())
            done.touch()
    return home


def install(environment: Path, packages: list[str]) -> None:
    """Make an environment with these packages, wheels only."""
    python = environment / "bin" / "python"
    uv = shutil.which("uv")
    if uv:
        run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, environment])
        run([uv, "pip", "install", "--python", python, "--only-binary", ":all:", *packages])
    else:
        run([sys.executable, "-m", "venv", "--clear", environment])
        run([python, "-m", "pip", "install", "--only-binary", ":all:", *packages])


def run(command: list[str | Path]) -> None:
    """Run a program; a failure says all that it said."""
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
