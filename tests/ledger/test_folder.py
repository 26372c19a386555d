from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from proxy.ledger import reading
from proxy.ledger.folder import Lock, host_id, replace, write_whole
from tests.ledger.samples import files_of_at_most, until


def test_a_second_gateway_does_not_get_the_folder(tmp_path: Path) -> None:
    """F18."""
    first, second = Lock(tmp_path / "ledger", "gateway"), Lock(tmp_path / "ledger", "gateway")

    assert first.take()
    assert first.take(), "it is ours already"
    assert not second.take()
    assert Lock(tmp_path / "ledger", "shipper").take()
    first.release()
    first.release()
    assert second.take()
    second.release()


_HOLD = """
import os, sys, time
from pathlib import Path
from proxy.ledger.folder import Lock
lock = Lock(Path(sys.argv[1]), "gateway")
assert lock.take()
pid = os.fork()
if pid:
    print(pid, flush=True)
time.sleep(60)
"""


def test_it_is_freed_by_the_death_of_all_who_inherited_it(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    lock = Lock(tmp_path, "gateway")
    try:
        assert not lock.take()
        parent.kill()
        parent.wait()
        assert not lock.take(), "its worker lives on and writes"
    finally:
        os.kill(child, signal.SIGKILL)
        parent.stdout.close()
    until(lock.take, "the lock is free")
    lock.release()


def test_a_worker_that_gives_back_its_part_frees_nothing(tmp_path: Path) -> None:
    lock = Lock(tmp_path, "gateway")
    assert lock.take()
    shared = os.dup(lock._fd)  # as a forked process has it
    lock.release()
    assert not Lock(tmp_path, "gateway").take()
    os.close(shared)
    again = Lock(tmp_path, "gateway")
    assert again.take()
    again.release()


def test_a_lock_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"Not a directory|File exists"):
        Lock(tmp_path / "file", "gateway").take()


def test_the_reader_has_it_too() -> None:
    assert reading.Lock is Lock


def test_a_host_has_one_id_whoever_asks_first(tmp_path: Path) -> None:
    folder = tmp_path / "ledger"
    together = Barrier(8)

    def ask(_: int) -> str:
        together.wait()
        return host_id(folder)

    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(ask, range(8)))

    assert len(ids) == 1
    assert uuid.UUID(ids.pop()).version == 4
    assert [one.name for one in folder.iterdir()] == ["host"]
    assert stat.S_IMODE((folder / "host").stat().st_mode) == 0o600


def test_a_host_has_an_id_where_there_are_no_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(source: object, target: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)

    assert host_id(tmp_path) == host_id(tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["host"]


def test_it_stays(tmp_path: Path) -> None:
    assert host_id(tmp_path) == host_id(tmp_path)
    assert host_id(tmp_path) != host_id(tmp_path / "other")


@pytest.mark.parametrize("text", [b"", b"no id", b"\xff"])
def test_a_file_that_holds_something_else_is_not_taken(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "host").write_bytes(text)
    with pytest.raises(ValueError, match="does not hold the id of a host"):
        host_id(tmp_path)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, b"before")
    with files_of_at_most(100), pytest.raises(OSError, match="too large"):
        replace(path, bytes(1000))
    assert path.read_bytes() == b"before"
    replace(path, bytes(1000))
    assert path.read_bytes() == bytes(1000)
    assert list(tmp_path.iterdir()) == [path]
