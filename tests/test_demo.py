"""The first minute: one command, and every line it prints works when it is pasted."""

from __future__ import annotations

import asyncio
import os
import re
import select
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import aiohttp
import pytest

from proxy import demo
from tests.docs.stand_in import alone
from tests.line.harness import ROOT, children


class Demo:
    """`headrace demo`, started anywhere."""

    def __init__(self, folder: Path, *arguments: str, options: Sequence[str] = ()) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.said = ""
        with alone():
            self.process = subprocess.Popen(
                [sys.executable, *options, "-m", "proxy", "demo", *arguments],
                cwd=folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            assert self.process.stderr is not None
            for line in self.process.stderr:
                self.said += line
                if "Ctrl-C stops" in line:
                    break
        self._rest = threading.Thread(target=self._read, daemon=True)
        self._rest.start()

    def _read(self) -> None:
        # What it says from now on must not fill the pipe.
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said += line

    @property
    def lines(self) -> list[list[str]]:
        """The commands it says to paste, as a shell would split them."""
        return [
            shlex.split(line) for line in self.said.splitlines() if line.strip().startswith("curl")
        ]

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Leave as Ctrl-C does; the exit code."""
        self.process.send_signal(number)
        code = self.process.wait(20)
        self._rest.join(5)
        assert self.process.stderr is not None
        assert self.process.stdout is not None
        self.process.stderr.close()
        self.process.stdout.close()
        return code


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The demo on free ports."""
    one = Demo(tmp_path_factory.mktemp("demo"), "--port", "0")
    yield one
    assert one.stop() == 0


async def paste(command: list[str]) -> str:
    """What curl would print."""
    assert command[:2] == ["curl", "-N"]
    options = list(zip(command[3::2], command[4::2], strict=True))
    headers = dict(value.split(": ", 1) for name, value in options if name == "-H")
    [data] = [value for name, value in options if name == "-d"]
    async with (
        aiohttp.ClientSession() as session,
        session.post(command[2], headers=headers, data=data) as answer,
    ):
        assert answer.status == 200
        assert answer.content_type == "text/event-stream"
        return await answer.text()


ENDS = {
    "/v1/chat/completions": "data: [DONE]",
    "/v1/messages": "event: message_stop",
    ":streamGenerateContent": '"finishReason"',
}


async def test_every_line_that_is_pasted_streams_an_answer(running: Demo) -> None:
    answers = await asyncio.gather(*map(paste, running.lines))

    assert len(answers) == len(ENDS)
    for answer, (path, end), line in zip(answers, ENDS.items(), running.lines, strict=True):
        assert path in line[2]
        assert answer.count("data: ") > 20
        assert end in answer


async def test_the_pages_it_names_are_there(running: Demo) -> None:
    pages = re.findall(r"http://\S+/(?:health|metrics)\b", running.said)

    assert len(pages) == 2
    async with aiohttp.ClientSession() as session:
        for page in pages:
            async with session.get(page) as answer:
                assert answer.status == 200


async def test_without_its_key_nobody_is_served(running: Demo) -> None:
    [command] = [line for line in running.lines if "/v1/chat/completions" in line[2]]

    async with (
        aiohttp.ClientSession() as session,
        session.post(command[2], json={"model": "demo"}) as answer,
    ):
        assert answer.status == 401
    assert demo.KEY in running.said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_when_it_ends_nothing_is_left_running(tmp_path: Path, number: signal.Signals) -> None:
    one = Demo(tmp_path, "--port", "0")
    started = children(one.process.pid)
    assert len(started) == 2  # who provides, and who ships

    assert one.stop(number) == 0

    assert not any(Path(f"/proc/{pid}").exists() for pid in started)
    assert "Traceback" not in one.said


def test_when_it_is_killed_nothing_is_left_running(tmp_path: Path) -> None:
    one = Demo(tmp_path, "--port", "0")
    started = {pid: os.pidfd_open(pid) for pid in children(one.process.pid)}
    assert len(started) == 2  # who provides, and who ships

    one.process.kill()
    one.process.wait(20)

    left = [pid for pid, end in started.items() if not select.select([end], [], [], 20)[0]]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    for end in started.values():
        os.close(end)
    one.stop(signal.SIGKILL)
    assert not left


def test_a_usual_port_that_is_taken_does_no_harm(tmp_path: Path) -> None:
    # One of two that run at once, or whatever else listens there, takes the usual port.
    first, second = Demo(tmp_path), Demo(tmp_path)

    addresses = [line[2].partition("/v1")[0] for one in (first, second) for line in one.lines[:1]]
    assert len(set(addresses)) == 2
    assert [one.stop() for one in (first, second)] == [0, 0]


def test_a_folder_that_is_called_as_the_program_is_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "proxy").mkdir()
    (tmp_path / "proxy" / "__init__.py").write_text("raise SystemExit('another program')\n")

    one = Demo(tmp_path, "--port", "0", options=["-P"])  # as the script `headrace` is started

    assert one.stop() == 0, one.said
    assert "another program" not in one.said


def test_the_usual_port_is_looked_at_where_it_is_to_listen() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        port = taken.getsockname()[1]
        assert demo._free_port("::1", port) == 0
    assert demo._free_port("::1", port) == port


def test_a_place_where_it_cannot_listen_is_a_failure(tmp_path: Path) -> None:
    one = Demo(tmp_path, "--host", "192.0.2.1")

    assert one.process.wait(20) == 1
    assert "headrace: " in one.said
    assert "Traceback" not in one.said
    assert one.process.stdout is not None
    assert one.process.stdout.read() == "", "it ends when nobody has it any more whom it started"
    one.stop()
