"""What a command of the documentation does here: the same, without staying, without the network, on free ports.

`python -m tests.docs.stand_in NAME ARGUMENTS…`, called by the small programs that `conftest.py` puts on PATH.
"""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml

from tests.docs.pages import ROOT

STAYS = frozenset({"serve", "demo", "simulate"})
"""Commands that run until they are told to stop."""
_LISTENING = re.compile(r"listening on (?:http://)?(\S+)")


@contextmanager
def alone() -> Iterator[None]:
    """One demo starts at a time: two at once both find the usual ports free, and one is wrong."""
    with (Path(tempfile.gettempdir()) / "headrace-docs.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def headrace(arguments: Sequence[str]) -> int:
    """The real command; one that stays is stopped as soon as it has answered."""
    if not STAYS.intersection(arguments[:1]):
        return subprocess.call([sys.executable, "-m", "proxy", *arguments])
    with alone():
        return _visited(*arguments)


def _visited(command: str, *arguments: str) -> int:
    """The exit code of a command that was started, asked once, and told to stop."""
    rest = list(arguments)
    if command == "serve":
        rest = [*rest, "--config", str(_on_free_ports(rest))]
    process = subprocess.Popen(
        [sys.executable, "-m", "proxy", command, *rest, "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            print(line, end="")
            if found := _LISTENING.search(line):
                path = "/ledger" if command == "simulate" else "/health/live"
                with urllib.request.urlopen(f"http://{found[1]}{path}") as answer:
                    assert answer.status == 200
                break
    finally:
        process.send_signal(signal.SIGTERM)
        print(process.stderr.read(), end="")
    return process.wait(20)


def _on_free_ports(arguments: Sequence[str]) -> Path:
    """A copy of the configuration that these arguments name, listening where nobody else does."""
    named = arguments[arguments.index("--config") + 1] if "--config" in arguments else None
    path = Path(named or os.environ.get("HEADRACE_CONFIG") or "conf/headrace.yaml")
    content = yaml.safe_load(path.read_text())
    content["server"] = {**content.get("server", {}), "host": "127.0.0.1"}
    content["admin"] = {**content.get("admin", {}), "port": 0}
    copy = Path("on-free-ports.yaml")  # the folder is the checkout of one test
    copy.write_text(yaml.safe_dump(content))
    return copy


def python(arguments: Sequence[str]) -> int:
    """Python itself; the bench, which takes minutes, only reads its arguments."""
    if list(arguments[:2]) == ["-m", "bench"]:
        from bench.__main__ import parser

        parser().parse_args(arguments[2:])
        return 0
    if list(arguments[:2]) == ["-m", "tests.docs.tables"]:
        return 0  # it would write into the pages; test_generated.py runs it
    return subprocess.call([sys.executable, *arguments])


def docker(arguments: Sequence[str]) -> int:
    """Nothing is built or started, since that needs a registry: what `build` and `compose` read is there."""
    if arguments[0] == "compose":
        file = Path(arguments[arguments.index("--file") + 1])
        services = yaml.safe_load(file.read_text())["services"]
        profiles = {name for one in services.values() for name in one.get("profiles", ())}
        asked = {arguments[at + 1] for at, word in enumerate(arguments) if word == "--profile"}
        assert asked <= profiles
    if arguments[0] == "build":
        assert (ROOT / "Dockerfile").is_file()
        assert (ROOT / ".dockerignore").is_file()
    return 0


def kubectl(arguments: Sequence[str]) -> int:
    """There is no cluster: what it would read is there."""
    if "--kustomize" in arguments:
        folder = Path(arguments[arguments.index("--kustomize") + 1])
        content = yaml.safe_load((folder / "kustomization.yaml").read_text())
        for name in content["resources"]:
            assert all(one["kind"] for one in yaml.safe_load_all((folder / name).read_text()))
    return 0


def script(name: str) -> Callable[[Sequence[str]], int]:
    """A script of `scripts/` that would install things or run all tests: it is there, and can be run."""

    def run(arguments: Sequence[str]) -> int:
        assert os.access(ROOT / "scripts" / name, os.X_OK)
        return headrace(["demo", *arguments]) if name == "run" else 0

    return run


COMMANDS: Mapping[str, Callable[[Sequence[str]], int]] = {
    "headrace": headrace,
    "python": python,
    "python3": python,
    "docker": docker,
    "kubectl": kubectl,
    **{f"scripts/{path.name}": script(path.name) for path in (ROOT / "scripts").iterdir()},
}


if __name__ == "__main__":
    sys.exit(COMMANDS[sys.argv[1]](sys.argv[2:]))
