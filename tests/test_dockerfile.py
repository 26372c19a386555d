"""The Dockerfile, read as the builder would: what it copies exists, what it runs is known, what it starts starts."""

from __future__ import annotations

import ensurepip
import re
import shlex
import socket
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest

from proxy.core.tls import PLAIN

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


class Instruction(msgspec.Struct, frozen=True):
    """One line of the Dockerfile; `words` is its exec form, or its plain words."""

    name: str
    options: dict[str, str]
    text: str
    words: list[str]
    stage: int


def read(text: str) -> list[Instruction]:
    """The instructions, with continued lines joined and comments left out."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    instructions = []
    stage = -1
    for line in filter(None, map(str.strip, joined.splitlines())):
        name, _, rest = line.partition(" ")
        options = {}
        while match := re.match(r"--([a-z-]+)=(\S+)\s+", rest):
            options[match[1]] = match[2]
            rest = rest[match.end() :]
        stage += name == "FROM"
        form = rest.removeprefix("CMD ") if name == "HEALTHCHECK" else rest
        words = msgspec.json.decode(form, type=list[str]) if form[0] == "[" else shlex.split(form)
        instructions.append(Instruction(name, options, form, words, stage))
    return instructions


INSTRUCTIONS = read((ROOT / "Dockerfile").read_text())


def every(name: str) -> list[Instruction]:
    return [one for one in INSTRUCTIONS if one.name == name]


def last(name: str) -> Instruction:
    return every(name)[-1]


def sources() -> list[str]:
    """What is copied out of the repository."""
    return [
        source.rstrip("/")
        for copy in every("COPY")
        if "from" not in copy.options
        for source in copy.words[:-1]
    ]


@pytest.mark.parametrize("source", sources())
def test_what_is_copied_exists_and_is_let_in(source: str) -> None:
    ignore = (ROOT / ".dockerignore").read_text().splitlines()

    assert (ROOT / source).exists()
    assert ignore[1] == "*"
    assert source in {line[1:].rstrip("/") for line in ignore if line.startswith("!")}


def test_nothing_is_let_in_that_is_not_copied() -> None:
    ignore = (ROOT / ".dockerignore").read_text().splitlines()

    assert {line[1:].rstrip("/") for line in ignore if line.startswith("!")} == set(sources())


def test_all_of_the_wheel_is_copied() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    parts = wheel["targets"]["wheel"]["only-include"]

    assert set(parts) <= set(sources())


def test_no_instruction_needs_a_shell() -> None:
    for one in INSTRUCTIONS:
        if one.name in {"RUN", "ENTRYPOINT", "CMD", "HEALTHCHECK"}:
            assert one.text.startswith("["), one.text


def test_every_program_that_is_run_is_known() -> None:
    assert {one.words[0] for one in every("RUN")} == {"python", "install"}
    assert {tuple(one.words[1:3]) for one in every("RUN") if one.words[0] == "python"} == {
        ("-m", "pip"),
        ("-m", "venv"),
    }


def options_of_pip(command: str) -> str:
    """What `pip COMMAND --help` says: pip's own, or, in an environment without it, the one Python brings along."""
    brought = sorted((Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl"))
    for pip in (["-m", "pip"], *([f"{wheel}/pip"] for wheel in brought)):
        done = subprocess.run(
            [sys.executable, *pip, command, "--help"], capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            return done.stdout
    raise AssertionError("there is no pip here, not even the one that comes with Python")


@pytest.mark.parametrize("command", ["install", "wheel"])
def test_every_option_of_pip_exists(command: str) -> None:
    known = options_of_pip(command)
    used = {
        word
        for one in every("RUN")
        if one.words[1:3] == ["-m", "pip"] and command in one.words
        for word in one.words
        if word.startswith("--")
    }

    assert used
    assert {option for option in used if option not in known} == set()


def test_a_file_is_used_after_it_was_copied() -> None:
    copied: set[str] = set()
    for one in INSTRUCTIONS:
        if one.name == "COPY":
            copied.update(Path(word).name for word in one.words[:-1])
        if one.name == "RUN":
            used = {word for word in one.words if fnmatch(word, "*.txt")}
            assert used <= copied


def test_only_hashed_wheels_are_installed() -> None:
    for one in every("RUN"):
        if "install" in one.words[1:] and "pip" in one.words:
            assert "--require-hashes" in one.words or "--no-index" in one.words


def test_the_last_stage_takes_what_the_first_made() -> None:
    taken = [copy.words[0] for copy in every("COPY") if copy.options.get("from") == "build"]
    made = {word for one in every("RUN") for word in one.words if one.stage == 0}

    assert taken
    assert set(taken) <= made
    assert [one for one in every("RUN") if one.stage > 0] == []


def test_python_is_one_that_the_project_is_tested_with() -> None:
    (image,) = {one.words[0] for one in every("FROM")}
    version = image.removeprefix("python:").removesuffix("-slim")

    assert f"Programming Language :: Python :: {version}" in PROJECT["classifiers"]


def test_it_does_not_run_as_root_and_owns_its_data() -> None:
    user = last("USER").words[0]
    data = next(one for one in every("COPY") if one.words[-1] == "/data")

    assert user == "10001:10001"
    assert data.options["chown"] == user
    assert last("VOLUME").words == ["/data"]


def test_it_starts_a_script_of_the_project_with_a_known_subcommand() -> None:
    (script,) = last("ENTRYPOINT").words
    (command,) = last("CMD").words

    shown = subprocess.run(
        [sys.executable, "-m", "proxy", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert script in PROJECT["scripts"]
    assert re.search(rf"\b{command}\b", shown.stdout + shown.stderr)


class Health(BaseHTTPRequestHandler):
    """Answers as /health/live does, or does not."""

    status: ClassVar = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/health/live" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def health() -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), Health)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def check_health(port: int) -> int:
    """Run the container's own check against this port."""
    program, *arguments = last("HEALTHCHECK").words
    assert program == "/opt/headrace/bin/python"
    return subprocess.run(
        [sys.executable, *arguments],
        env={"HEADRACE_PORT": str(port)},
        capture_output=True,
        check=False,
    ).returncode


def test_the_health_check_passes_when_the_server_is_alive(health: HTTPServer) -> None:
    assert check_health(health.server_port) == 0


def test_the_health_check_fails_when_the_server_says_so(
    health: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Health, "status", 503)

    assert check_health(health.server_port) == 1


def test_the_health_check_passes_when_the_server_wants_tls(
    health: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Health, "status", int(PLAIN.split(b" ")[1]))

    assert check_health(health.server_port) == 0


def test_the_health_check_fails_when_nothing_listens() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))

        assert check_health(bound.getsockname()[1]) == 1


def test_its_environment_variables_are_the_programs_own() -> None:
    text = "".join(path.read_text() for path in (ROOT / "proxy").rglob("*.py"))

    assert "HEADRACE_CONFIG" in last("ENV").text
    assert "HEADRACE_CONFIG" in text
