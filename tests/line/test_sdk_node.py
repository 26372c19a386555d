"""The official JavaScript clients in front, the simulated provider behind.

Each script of `node/` makes its checks in one process and prints a line for each; here every line is a test.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.line.harness import KEY

SCRIPTS = Path(__file__).parent / "node"
CHECKS = {
    "openai": [
        "chat",
        "chat_stream",
        "chat_stream_with_usage",
        "tools",
        "tools_stream",
        "completions_stream",
        "responses",
        "responses_stream",
        "embeddings",
        "images",
        "errors",
        "chat_cut",
        "responses_cut",
    ],
    "anthropic": [
        "messages",
        "bearer",
        "final_message",
        "raw_events",
        "tools",
        "tools_stream",
        "thinking",
        "count_tokens",
        "errors",
        "cut",
        "cut_raw_events",
    ],
}
MISSING = [name for name in ("node", "npm") if shutil.which(name) is None]

Outcomes = dict[str, Any]

if MISSING and not os.environ.get("CI"):
    pytest.skip(f"not on PATH: {', '.join(MISSING)}", allow_module_level=True)

pytestmark = pytest.mark.timeout(120)  # the first run downloads the clients


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts, beside the packages they import."""
    assert not MISSING, f"not on PATH: {', '.join(MISSING)}"
    home = tmp_path_factory.mktemp("node") / "scripts"
    shutil.copytree(SCRIPTS, home)
    (home / "node_modules").symlink_to(installed(home))
    return home


def installed(project: Path) -> Path:
    """The folder with the packages of a project, kept in the environment and made by whoever comes first."""
    wanted = [project / name for name in ("package.json", "package-lock.json")]
    digest = hashlib.sha256(b"".join(one.read_bytes() for one in wanted)).hexdigest()[:16]
    cache = Path(sys.prefix) / "node" / digest
    cache.mkdir(parents=True, exist_ok=True)
    done = cache / "installed"
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            for one in wanted:
                shutil.copy(one, cache)
            command = ["npm", "ci", "--prefix", str(cache), "--no-audit", "--no-fund"]
            run([*command, "--ignore-scripts", "--omit=peer"], cache)
            done.touch()
    return cache / "node_modules"


def run(command: list[str | Path], folder: Path) -> str:
    """What a program prints, or a failure with all it said."""
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="session")
def outcomes(folder: Path, proxy_process: str) -> Callable[[str], Outcomes]:
    """What a client's script said of each of its checks; it runs once."""

    @cache
    def outcomes(client: str) -> Outcomes:
        lines = run(["node", f"{client}.mjs", proxy_process, KEY], folder).splitlines()
        found = [orjson.loads(line) for line in lines]
        return {one["check"]: one.get("error") for one in found}

    return outcomes


@pytest.mark.parametrize(
    ("client", "check"), [(client, check) for client, checks in CHECKS.items() for check in checks]
)
def test_the_client_is_content(
    client: str, check: str, outcomes: Callable[[str], Outcomes]
) -> None:
    found = outcomes(client)

    assert check in found
    assert found[check] is None, found[check]


@pytest.mark.parametrize("client", CHECKS)
def test_every_check_is_known_here(client: str, outcomes: Callable[[str], Outcomes]) -> None:
    assert list(outcomes(client)) == CHECKS[client]


def test_the_lock_names_no_address() -> None:
    assert "://" not in (SCRIPTS / "package-lock.json").read_text()
