"""What a person types, as they type it: exit codes, and what goes to which stream."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from proxy import __version__, cli
from tests.line.harness import KEY, ROOT, Process, config, free_port

SECRET = "upstream-secret-p0"
COMMANDS = {
    (): ["serve", "setup", "demo", "simulate", "config", "db", "secrets", "usage", "keys"],
    ("serve",): ["--config", "--host", "--port", "--workers", "--reload"],
    ("setup",): ["--config", "--force"],
    ("usage", "import"): ["--config", "--json"],
    ("demo",): ["--host", "--port"],
    ("simulate",): ["--host", "--port"],
    ("config",): ["check", "show", "schema"],
    ("config", "check"): ["--config"],
    ("config", "show"): ["--config", "--json"],
    ("config", "schema"): ["--help"],
    ("db",): ["upgrade", "status"],
    ("db", "upgrade"): ["--config"],
    ("db", "status"): ["--config", "--json"],
    ("secrets",): ["rotate"],
    ("secrets", "rotate"): ["--config", "--json"],
    ("keys",): ["create", "list", "revoke"],
    ("keys", "create"): ["--config", "--json", "--name", "--models", "--expires", "--rpm"],
    ("keys", "list"): ["--config", "--json"],
    ("keys", "revoke"): ["--config", "--json"],
}


def environment(**changes: str) -> dict[str, str]:
    """The test's own, without what would choose a configuration."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    return {**kept, "PYTHONPATH": str(ROOT), **changes}


def run(*arguments: str, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    """One command, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "proxy", *arguments],
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A configuration that can be used."""
    path = tmp_path / "good.yaml"
    content = config("http://127.0.0.1:9", admin={"port": 0})
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    """One that cannot, for two reasons."""
    path = tmp_path / "bad.yaml"
    path.write_text("server: {port: many}\nnothing: 1\n")
    return path


# --- help ---


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_lists_everything(command: tuple[str, ...]) -> None:
    done = run(*command, "--help")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: headrace")
    for word in COMMANDS[command]:
        assert re.search(rf"(^|\s){re.escape(word)}\b", done.stdout, re.MULTILINE), word


def test_the_version_is_printed() -> None:
    done = run("--version")

    assert (done.returncode, done.stdout) == (0, f"headrace {__version__}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nonsense",),
        ("config",),
        ("config", "nonsense"),
        ("serve", "--nonsense"),
        ("serve", "--port", "many"),
        ("serve", "--port", "65536"),
        ("simulate", "--port", "-1"),
        ("demo", "--port", "99999"),
        ("serve", "--host", ""),
        ("demo", "--host", " "),
        ("simulate", "--host", ""),
    ],
    ids=" ".join,
)
def test_a_command_that_cannot_be_understood_exits_with_2(arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(arguments)

    assert left.value.code == 2


def test_what_was_not_understood_is_told_on_stderr() -> None:
    done = run("serve", "--port", "65536")

    assert (done.returncode, done.stdout) == (2, "")
    assert "'65536' is no port" in done.stderr
    assert "Traceback" not in done.stderr


# --- config ---


def test_a_good_configuration_is_told_to_be_good(good: Path) -> None:
    done = run("config", "check", "--config", str(good))

    assert (done.returncode, done.stdout) == (0, "")
    assert "can be used: 1 provider, 1 model, 1 key" in done.stderr


def test_every_problem_of_a_bad_one_is_told_with_its_place(bad: Path) -> None:
    done = run("config", "check", "--config", str(bad))

    assert (done.returncode, done.stdout) == (2, "")
    assert re.search(r"bad\.yaml:1:\d+: server\.port", done.stderr)
    assert re.search(r"bad\.yaml:2:\d+: .*nothing", done.stderr)
    assert "2 errors" in done.stderr


def test_the_compiled_configuration_is_shown_without_its_secrets(good: Path) -> None:
    done = run("config", "show", "--config", str(good))

    assert (done.returncode, done.stderr) == (0, "")
    assert set(yaml.safe_load(done.stdout)) >= {"providers", "models"}
    assert SECRET not in done.stdout
    assert "***" in done.stdout


def test_it_is_shown_as_json_to_programs(good: Path) -> None:
    done = run("config", "show", "--json", "--config", str(good))

    assert (done.returncode, done.stderr) == (0, "")
    assert set(orjson.loads(done.stdout)) >= {"providers", "models"}
    assert SECRET not in done.stdout


@pytest.mark.parametrize(
    ("command", "name", "text"),
    [
        (("config", "show", "--config"), "h.yaml", "keys: [{name: Schlüssel, key: sk-0123456789}]"),
        (
            ("config", "import"),
            "config.yaml",
            "model_list: [{model_name: Schlüssel, litellm_params: {model: openai/x, api_key: k}}]",
        ),
    ],
    ids=["show", "import"],
)
def test_it_is_printed_as_utf_8_whatever_the_terminal_speaks(
    command: tuple[str, ...], name: str, text: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text, "utf-8")

    done = subprocess.run(
        [sys.executable, "-m", "proxy", *command, name],
        cwd=tmp_path,
        env=environment(PYTHONIOENCODING="latin-1"),
        capture_output=True,
        check=False,
        timeout=20,
    )

    assert done.returncode == 0, done.stderr
    assert "Schlüssel" in done.stdout.decode("utf-8")


def test_of_a_bad_one_there_is_nothing_to_show(bad: Path) -> None:
    done = run("config", "show", "--config", str(bad))

    assert (done.returncode, done.stdout) == (2, "")
    assert "bad.yaml:1:" in done.stderr


def test_the_schema_is_printed_for_editors() -> None:
    done = run("config", "schema")

    assert (done.returncode, done.stderr) == (0, "")
    schema = orjson.loads(done.stdout)
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert set(schema["properties"]) >= {"server", "providers", "models", "keys"}


# --- which file ---


def test_the_environment_names_a_file(good: Path, tmp_path: Path) -> None:
    done = run("config", "check", cwd=tmp_path, HEADRACE_CONFIG=str(good))

    assert (done.returncode, "good.yaml" in done.stderr) == (0, True)


def test_an_option_wins_over_the_environment(good: Path, bad: Path) -> None:
    done = run("config", "check", "--config", str(good), HEADRACE_CONFIG=str(bad))

    assert done.returncode == 0


def test_a_file_where_files_usually_are_is_found(good: Path, tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    good.rename(tmp_path / "conf" / "headrace.yaml")

    done = run("config", "check", cwd=tmp_path)

    assert (done.returncode, "conf/headrace.yaml" in done.stderr) == (0, True)


@pytest.mark.skipif(
    Path("/etc/headrace/headrace.yaml").exists(), reason="this machine has a configuration"
)
@pytest.mark.parametrize("arguments", [("serve",), ("config", "check")], ids=" ".join)
def test_without_a_file_there_is_nothing_to_serve(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    done = run(*arguments, cwd=tmp_path)

    assert (done.returncode, done.stdout) == (2, "")
    assert "--config" in done.stderr
    assert "headrace demo" in done.stderr


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = run("serve", "--config", str(tmp_path / "none.yaml"))

    assert (done.returncode, "none.yaml" in done.stderr) == (2, True)
    assert "Traceback" not in done.stderr


# --- serve ---


def test_a_bad_configuration_is_not_served(bad: Path) -> None:
    done = run("serve", "--config", str(bad))

    assert (done.returncode, done.stdout) == (2, "")
    assert re.search(r"bad\.yaml:1:\d+: server\.port", done.stderr)


def test_a_number_of_workers_that_is_none_is_refused(good: Path) -> None:
    done = run("serve", "--config", str(good), "--workers", "many")

    assert done.returncode == 2
    assert "--workers" in done.stderr


@pytest.mark.parametrize("command", ["serve", "simulate"])
def test_a_port_that_is_taken_is_a_failure(command: str, good: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        options = ["--config", str(good)] if command == "serve" else []
        done = run(command, *options, "--host", "127.0.0.1", "--port", port)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("headrace: ")
    assert "Traceback" not in done.stderr


@pytest.fixture
def content() -> dict[str, Any]:
    return config("http://127.0.0.1:9")


def test_workers_of_the_command_line_go_over_those_of_the_file(
    content: dict[str, Any], tmp_path: Path
) -> None:
    content["server"] = {**content.get("server", {}), "workers": 1}
    one = Process(content, tmp_path, "--workers", "3")
    wanted = ["0", "1", "2"]
    named: list[str] = []
    until = time.monotonic() + 10.0
    try:
        while (
            named != wanted and time.monotonic() < until
        ):  # the first of them answers before the last is ready
            with urllib.request.urlopen(f"{one.url}/metrics", timeout=5) as answer:
                shown = answer.read().decode()
            named = sorted(
                re.findall(r'^headrace_config_revision\{worker="(\d+)"\}', shown, re.MULTILINE)
            )
    finally:
        assert one.stop() == 0

    assert named == wanted


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_says_where_it_is_and_ends_well(
    content: dict[str, Any], tmp_path: Path, number: signal.Signals
) -> None:
    port = free_port()
    one = Process(content, tmp_path, "--host", "127.0.0.1", "--port", str(port))
    assert one.url == f"http://127.0.0.1:{port}"

    one.process.send_signal(number)

    assert one.process.wait(20) == 0
    assert one.stop() == 0
    said = "".join(one.lines)
    assert re.search(r"^admin on http://127\.0\.0\.1:\d+$", said, re.MULTILINE)
    assert re.search(r"^admin token, for this run only: \S{20,}$", said, re.MULTILINE)
    assert "Traceback" not in said


def test_a_token_of_the_configuration_is_not_printed(
    content: dict[str, Any], tmp_path: Path
) -> None:
    content["admin"] = {"token": "an-admin-token-of-ours"}

    one = Process(content, tmp_path)

    assert one.stop() == 0
    assert "admin token" not in "".join(one.lines)


# --- simulate ---


@pytest.fixture
def simulator() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The simulated provider, and the first line it says."""
    process = subprocess.Popen(
        [sys.executable, "-m", "proxy", "simulate", "--port", "0"],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert process.stdout is not None
    yield process, process.stderr.readline()
    process.kill()
    process.wait()
    process.stderr.close()
    process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_simulated_provider_says_where_it_is_and_ends_well(
    simulator: tuple[subprocess.Popen[str], str], number: signal.Signals
) -> None:
    process, line = simulator
    found = re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)\n", line)
    assert found
    socket.create_connection(("127.0.0.1", int(found[1]))).close()

    process.send_signal(number)

    out, error = process.communicate(timeout=20)
    assert (process.returncode, out, error) == (0, "", "")


# --- reload ---


def test_a_file_that_changed_is_served_by_every_worker(
    content: dict[str, Any], tmp_path: Path
) -> None:
    content["server"] = {**content.get("server", {}), "port": 0, "workers": 2}
    one = Process(content, tmp_path, "--reload")
    file = tmp_path / "process.yaml"
    try:
        written = yaml.safe_load(file.read_text())
        written["models"]["added"] = {"deployments": [{"provider": "p0"}]}
        # Not as a whole: a file that is half written is not read.
        text = yaml.safe_dump(written)
        file.write_text(text[:-20])
        file.write_text(text)
        ask = urllib.request.Request(
            f"{one.url}/v1/models",
            headers={"authorization": f"Bearer {KEY}", "connection": "close"},
        )
        deadline, row = time.monotonic() + 15, 0
        # One connection after the other goes to either of them.
        while row < 6:
            with urllib.request.urlopen(ask, timeout=5) as answer:
                row = row + 1 if b'"added"' in answer.read() else 0
            assert time.monotonic() < deadline, "".join(one.lines)
            time.sleep(0.02)
    finally:
        assert one.stop() == 0
    assert "configuration reloaded" in "".join(one.lines)


def test_a_reload_needs_nobody_who_reads_what_it_warns_of(
    content: dict[str, Any], tmp_path: Path
) -> None:
    log, file = tmp_path / "log", tmp_path / "short.yaml"
    content |= {"admin": {"port": 0, "token": "short"}, "logging": {"file": str(log)}}
    file.write_text(yaml.safe_dump({**content, "store": {"url": ""}}))
    process = subprocess.Popen(
        [sys.executable, "-m", "proxy", "serve", "--config", str(file)],
        cwd=ROOT,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        assert any(line.startswith("dashboard at") for line in process.stderr)
        process.stderr.close()

        process.send_signal(signal.SIGHUP)

        deadline = time.monotonic() + 20
        while "configuration reloaded" not in log.read_text():
            assert "task reload failed" not in log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert "than 16 characters: easy to guess" in log.read_text()
    finally:
        process.terminate()
        assert process.wait(20) == 0
