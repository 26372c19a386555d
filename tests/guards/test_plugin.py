"""The guard against blocking the loop, tried on a small suite of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Each test starts an interpreter, and they must come out right on a machine that is busy beyond reason.
pytestmark = pytest.mark.timeout(120)

CASES = """
import asyncio, os, subprocess, sys, threading, time
import pytest

async def test_sleeps_in_a_blocking_call():
    time.sleep(0.4)

async def test_computes():
    end = time.thread_time() + 0.4
    while time.thread_time() < end:
        pass

async def test_blocks_in_a_compiled_callback():
    asyncio.get_running_loop().call_soon(time.sleep, 0.4)
    await asyncio.sleep(0.01)

async def test_blocks_from_another_task():
    async def elsewhere():
        await asyncio.sleep(0.01)
        time.sleep(0.4)
    await asyncio.create_task(elsewhere())

@pytest.fixture
async def slow_fixture():
    time.sleep(0.4)

async def test_has_a_blocking_fixture(slow_fixture):
    pass

async def test_awaits():
    await asyncio.sleep(0.2)

async def test_waits_in_a_thread():
    await asyncio.to_thread(time.sleep, 0.2)

def test_has_no_loop():
    time.sleep(0.2)

async def test_waits_for_a_thread_to_begin():
    class Slow(threading.Thread):
        def _bootstrap(self):
            time.sleep(0.4)
            super()._bootstrap()
    one = Slow(target=int)
    one.start()
    one.join()

async def test_runs_many_short_callbacks_in_one_turn():
    loop = asyncio.get_running_loop()
    for _ in range(60):
        loop.call_soon(lambda: time.sleep(0.003))
    await asyncio.sleep(0.01)

@pytest.mark.allow_blocking("shows that it may")
async def test_is_allowed_to():
    time.sleep(0.2)

async def test_fails_by_itself():
    time.sleep(0.2)
    raise LookupError("its own")

async def test_runs_on_uvloop():
    assert type(asyncio.get_running_loop()).__module__.startswith("uvloop")

async def test_is_stopped_with_its_whole_process():
    signals = f"kill -STOP {os.getpid()}; sleep 0.3; kill -CONT {os.getpid()}"
    last, gap = time.monotonic(), 0.0
    stopper = subprocess.Popen(["sh", "-c", signals])
    while stopper.poll() is None:
        turn = time.thread_time() + 0.01
        while time.thread_time() < turn:
            now = time.monotonic()
            last, gap = now, max(gap, now - last)
        await asyncio.sleep(0)
    # The standstill may have been in the last look at the other process.
    gap = max(gap, time.monotonic() - last)
    assert gap > 0.2
"""

STARVED = '''
import asyncio, os, subprocess, threading, time
import pytest

@pytest.fixture
def crowd():
    """The loop's thread alone shares its core with twenty others."""
    tid = threading.get_native_id()
    cores = os.sched_getaffinity(tid)
    os.sched_setaffinity(tid, {min(cores)})
    others = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(20)]
    yield
    for other in others:
        other.kill()
    os.sched_setaffinity(tid, cores)
    for other in others:
        other.wait()

async def test_is_starved(crowd):
    begun, end = time.monotonic(), time.thread_time() + 0.02
    while time.thread_time() < end:
        pass
    elapsed = time.monotonic() - begun
    assert elapsed > 0.1, f"it was not starved: {elapsed}"
'''

LEAVES = """
import asyncio
import pytest

asked = []

async def answer(reader, writer):
    await reader.read(1)
    writer.close()

async def test_leaves_connections_open_when_it_fails():
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"?")
    await reader.read()
    asked.append(1)
    assert len(asked) == 2
    writer.close()
    server.close()
"""


def run(folder: Path, text: str, *options: str) -> tuple[dict[str, str], str]:
    """Each test's outcome, and everything printed."""
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    file = folder / "test_inner.py"
    file.write_text(text)
    command = [
        sys.executable,
        "-m",
        "pytest",
        # Other plugins take longer to begin than the tests take.
        "--disable-plugin-autoload",
        *("-p", "pytest_asyncio.plugin"),
        *("-p", "tests.guards.plugin"),
        *("-p", "no:cacheprovider"),
    ]
    command += ["-c", str(folder / "pytest.ini"), "-rA", "--strict-markers", *options, str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    printed = done.stdout + done.stderr
    outcomes = re.findall(r"^(PASSED|FAILED|ERROR) .*::(test_\w+)", printed, re.MULTILINE)
    return {name: outcome for outcome, name in outcomes}, printed


def report(printed: str, test: str) -> str:
    """What was said about one failed test."""
    title = rf"^_+ (?:ERROR at setup of )?{test} _+$"
    found = re.search(rf"{title}(.*?)^[_=]{{5,}} ", printed, re.MULTILINE | re.DOTALL)
    assert found is not None, printed
    return found[1]


def test_a_blocked_loop_fails_the_test_and_says_where(tmp_path: Path) -> None:
    outcomes, printed = run(tmp_path, CASES)

    assert outcomes == {
        "test_sleeps_in_a_blocking_call": "FAILED",
        "test_computes": "FAILED",
        "test_blocks_in_a_compiled_callback": "FAILED",
        "test_blocks_from_another_task": "FAILED",
        "test_has_a_blocking_fixture": "ERROR",
        "test_awaits": "PASSED",
        "test_waits_in_a_thread": "PASSED",
        "test_waits_for_a_thread_to_begin": "PASSED",
        "test_has_no_loop": "PASSED",
        "test_runs_many_short_callbacks_in_one_turn": "PASSED",
        "test_is_allowed_to": "PASSED",
        "test_fails_by_itself": "FAILED",
        "test_runs_on_uvloop": "PASSED",
        "test_is_stopped_with_its_whole_process": "PASSED",
    }, printed
    assert "time.sleep(0.4)" in report(printed, "test_sleeps_in_a_blocking_call")
    assert "while time.thread_time() < end" in report(printed, "test_computes")
    assert "in elsewhere" in report(printed, "test_blocks_from_another_task")
    assert "in slow_fixture" in report(printed, "test_has_a_blocking_fixture")
    assert "its own" in report(printed, "test_fails_by_itself")


@pytest.mark.skipif(sys.platform != "linux", reason="pins and starves one thread as Linux does")
def test_a_starved_loop_is_not_to_blame(tmp_path: Path) -> None:
    outcomes, printed = run(tmp_path, STARVED)

    assert outcomes == {"test_is_starved": "PASSED"}, printed


def test_what_a_failed_test_left_open_is_not_said_of_its_second_time(tmp_path: Path) -> None:
    again = "-p", "pytest_rerunfailures", "--reruns", "1"
    strict = "-W", "error::ResourceWarning", "-W", "error::pytest.PytestUnraisableExceptionWarning"

    outcomes, printed = run(tmp_path, LEAVES, *again, *strict)

    assert outcomes == {"test_leaves_connections_open_when_it_fails": "PASSED"}, printed
    assert "1 passed, 1 rerun" in printed


def test_permission_to_block_needs_a_reason(tmp_path: Path) -> None:
    text = "import pytest\n\n@pytest.mark.allow_blocking\nasync def test_it():\n    pass\n"

    outcomes, printed = run(tmp_path, text)

    assert not outcomes
    assert "allow_blocking needs a reason" in printed
