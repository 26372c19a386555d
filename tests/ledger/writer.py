"""A process that forks, on demand, processes that write a spool or recover one, and kills them.

python -m tests.ledger.writer      a line in, a line out

write <folder> <worker> <life> <count> <acknowledged>   -> pid   `life.n` is noted in the last file once it is in
recover <folder> <worker>                               -> pid
hold <folder> <name>                                    -> pid   has the lock, and so has this process's child
kill <pid>                                              -> dead
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from proxy.ledger.records import frame
from proxy.ledger.recovery import recover
from proxy.ledger.spool import Spool
from tests.ledger.samples import SEGMENT, SIZE, end, start


class Writers:
    """The other side of it, for a test."""

    def __enter__(self) -> Writers:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.ledger.writer"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate()

    def write(self, folder: Path, worker: str, life: int, count: int, acknowledged: Path) -> int:
        return int(self._ask("write", folder, worker, life, count, acknowledged))

    def recover(self, folder: Path, worker: str) -> int:
        return int(self._ask("recover", folder, worker))

    def kill(self, pid: int) -> None:
        assert self._ask("kill", pid) == "dead"

    def _ask(self, *words: object) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()


def _write(folder: str, worker: str, life: str, count: str, acknowledged: str) -> None:
    """Starts and ends in turn: the last start is left open whenever it is killed behind it."""
    noted = os.open(acknowledged, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    spool = Spool(Path(folder), worker, size=SIZE, segment=SEGMENT, sync=0.01, emergency=0)
    for n in range(int(count)):
        rid = f"{worker}.{life}.{n}"
        spool.append(frame(start(rid, at=float(n))))
        os.write(noted, f"S {rid}\n".encode())
        spool.append(frame(end(rid, at=float(n))), vital=True)
        os.write(noted, f"E {rid}\n".encode())
    spool.close()


def _recover(folder: str, worker: str) -> None:
    recover(Path(folder), worker)


_ACTS: dict[str, Callable[..., None]] = {"write": _write, "recover": _recover}


def _main() -> None:
    for line in sys.stdin:
        word, *rest = line.split()
        if word == "kill":
            os.kill(int(rest[0]), signal.SIGKILL)
            os.waitpid(int(rest[0]), 0)
            said = "dead"
        else:
            pid = os.fork()
            if not pid:
                try:
                    _ACTS[word](*rest)
                finally:
                    os._exit(0)
            said = str(pid)
        sys.stdout.write(said + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main()
