"""What a host has once: the folder of the ledger, what the dead left in it, and who ships."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest

from proxy.control.sync import ConfigFile
from proxy.core.clock import now
from proxy.core.config.schema import Config
from proxy.core.model import Budget, Ledger, Server, Snapshot
from proxy.core.periods import of_budget
from proxy.host import Host
from proxy.ledger.folder import TABLE
from proxy.ledger.reading import Reader
from proxy.ledger.records import Charged, End, Start, frame
from proxy.ledger.spool import Spool
from proxy.limits import table
from proxy.limits.accounts import Accounts, Ask
from proxy.limits.subjects import Subject, digest_of

ROOT = Path(__file__).resolve().parents[1]
SLOTS = Subject("key", "a", "key:a", digest_of("key:a"), concurrency=2)
BUDGET = Budget(1.0, "total")
MONEY = Subject("key", "b", "key:b", digest_of("key:b"), budget=BUDGET)


def host(folder: Path, workers: int = 2) -> Host:
    settings = Snapshot(server=Server(workers=workers), ledger=Ledger(path=str(folder)))
    return Host(settings, ConfigFile(Config()))


def child(code: str, folder: Path) -> subprocess.Popen[str]:
    """Another process that does this to the folder, and says so in a line."""
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


CLAIMS = """
import sys
from pathlib import Path
sys.path.insert(0, ".")
from tests.test_host import host
one = host(Path(sys.argv[1]))
one.claim()
print("claimed", flush=True)
sys.stdin.readline()
"""
WORKS = """
import sys
from pathlib import Path
sys.path.insert(0, ".")
from tests.test_host import at_work
held = at_work(Path(sys.argv[1]))
print("working", flush=True)
sys.stdin.readline()
"""
HANGS = """
import sys
from pathlib import Path
sys.path.insert(0, ".")
from tests.test_host import alone
held = alone(Path(sys.argv[1]))
print("kept", flush=True)
sys.stdin.readline()
"""


def alone(folder: Path) -> object:
    """A worker without another, which keeps the lock and looks no more whether somebody asks for it."""
    accounts = Accounts.open(folder / TABLE, 0, 2)
    accounts.alone(True)
    return accounts, accounts.admit([SLOTS], Ask())


def at_work(folder: Path) -> object:
    """A worker in the middle of a request that has a slot and a reservation."""
    accounts = Accounts.open(folder / TABLE, 0, 4)
    spool = Spool(folder, "0", size=1 << 30)
    hold = accounts.admit([SLOTS], Ask())
    money = accounts.admit([MONEY], Ask(likely=400_000))
    spool.append(frame(started()))
    return accounts, spool, hold, money


def started() -> Start:
    window = of_budget(BUDGET, now())
    charges = (Charged(MONEY.id, window.start, window.ends),)
    words = dict.fromkeys(Start.__struct_fields__, "")
    return Start(
        **{
            **words,
            "rid": "r-1",
            "at": now() + 60.0,
            "attempt": 1,
            "stream": True,
            "reserved": 400_000,
            "likely": 1_500,
            "prompt": 30,
            "charges": charges,
        }  # type: ignore[arg-type]
    )


def test_a_folder_belongs_to_one_gateway_until_that_one_dies(tmp_path: Path) -> None:
    other = child(CLAIMS, tmp_path)
    assert other.stdout is not None
    assert other.stdin is not None
    assert other.stdout.readline() == "claimed\n"

    with pytest.raises(ValueError, match="in use by another gateway"):
        host(tmp_path).claim()

    other.kill()
    other.wait()
    other.stdout.close()
    other.stdin.close()
    host(tmp_path).claim()


def test_a_folder_that_cannot_be_used_is_a_problem_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(ValueError, match=r"ledger\.path"):
        host(tmp_path / "file" / "ledger").claim()


def test_what_a_dead_worker_held_is_free_and_what_it_began_is_ended(tmp_path: Path) -> None:
    ours = host(tmp_path)
    ours.claim()
    worker = child(WORKS, tmp_path)
    assert worker.stdout is not None
    assert worker.stdin is not None
    assert worker.stdout.readline() == "working\n"
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    worker.stdout.close()
    worker.stdin.close()

    ours.died("0")

    accounts = Accounts.open(tmp_path / TABLE, 1, 4)
    assert accounts.view(SLOTS).inflight == 0
    assert accounts.view(MONEY).reserved == 0
    accounts.close()
    batch = Reader(tmp_path).take()
    assert batch is not None
    [end] = [one for one in batch.records if isinstance(one, End)]
    assert (end.rid, end.outcome, end.cost) == ("r-1", "unknown", 1_500)


def test_what_a_dead_worker_held_is_free_although_what_it_began_cannot_be_ended_yet(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ours = host(tmp_path)
    ours.claim()
    worker = child(WORKS, tmp_path)
    assert worker.stdout is not None
    assert worker.stdin is not None
    assert worker.stdout.readline() == "working\n"
    worker.kill()
    worker.wait()
    worker.stdout.close()
    worker.stdin.close()
    in_the_way = tmp_path / "spool" / "0" / "a.new"
    in_the_way.mkdir()

    ours.died("0")

    assert "what worker 0 left cannot be settled" in caplog.text
    accounts = Accounts.open(tmp_path / TABLE, 1, 4)
    assert accounts.view(SLOTS).inflight == 0
    assert accounts.view(MONEY).reserved == 0
    accounts.close()
    in_the_way.rmdir()
    ours.died("0")
    batch = Reader(tmp_path, whole=True).take()
    assert batch is not None
    assert [type(one) for one in batch.records] == [Start, End]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("what", ["ends", "tries", "supervisor"])
def test_what_is_counted_is_what_the_ledger_says_whoever_is_killed_before_whatever_line(
    what: str, tmp_path: Path
) -> None:
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as folder:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "tests.deaths", what, folder],
            cwd=ROOT,
            capture_output=True,
            check=False,
            timeout=50,
        )
    assert done.returncode == 0, done.stderr.decode()
    found = msgspec.json.decode(done.stdout)
    assert found["deaths"] >= 60
    assert found["wrong"] == []


def test_a_start_settles_what_was_left_by_all_before(tmp_path: Path) -> None:
    worker = child(WORKS, tmp_path)
    assert worker.stdout is not None
    assert worker.stdin is not None
    assert worker.stdout.readline() == "working\n"
    worker.kill()
    worker.wait()
    worker.stdout.close()
    worker.stdin.close()

    host(tmp_path).claim()

    accounts = Accounts.open(tmp_path / TABLE, 1, 4)
    assert accounts.view(SLOTS).inflight == 0
    accounts.close()
    batch = Reader(tmp_path, whole=True).take()
    assert batch is not None
    assert [type(one) for one in batch.records] == [Start, End]


def test_several_workers_have_memory_in_which_they_tell_each_other_of_health(
    tmp_path: Path,
) -> None:
    one = host(tmp_path)
    one.claim()
    board = one._file.board
    assert board is not None
    with board.locked():
        board.write(b"a" * 16, [2.0, float("inf")])

    one.died("1")

    with board.locked():
        assert (board.read(b"a" * 16) or [])[:2] == [0.0, 0.0]


@pytest.mark.parametrize("alone", [False, True])
def test_one_worker_has_it_if_another_may_take_its_place(tmp_path: Path, alone: bool) -> None:
    one = host(tmp_path, workers=1)
    one.claim(alone=alone)

    assert (one._file.board is None) is alone


def test_a_folder_of_one_run_is_made_once_and_is_gone_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, made = tmp_path / "here", tmp_path / "made"
    for folder in (here, made):
        folder.mkdir()
    (here / "mine").touch()
    monkeypatch.chdir(here)
    monkeypatch.setattr(tempfile, "tempdir", str(made))
    settings = Snapshot(server=Server(workers=2), ledger=Ledger(path=""))
    first, restarted, never = (Host(settings, ConfigFile(Config())) for _ in range(3))

    first.claim()
    restarted.take(str(first.folder), first.lock, None)
    never.leave()

    assert list(made.iterdir()) == [first.folder]
    restarted.leave()
    assert list(made.iterdir()) == []
    assert [each.name for each in here.iterdir()] == ["mine"]


def test_a_worker_that_hangs_with_the_lock_does_not_have_the_supervisor_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(table, "PATIENCE", 0.05)
    ours = host(tmp_path, workers=1)
    ours.claim()
    with child(HANGS, tmp_path) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "kept\n"

        ours.died("1")

        assert "what worker 1 left cannot be settled: a worker keeps its lock" in caplog.text
        worker.kill()
    ours.died("0")
    accounts = Accounts.open(tmp_path / TABLE, 1, 2)
    assert accounts.view(SLOTS).inflight == 0
    accounts.close()
