"""A worker that counts the Python function calls it makes: `python -m tests.cost.counted CONFIG`.

Run as a process of its own, so that nothing but the worker is counted. It prints its port, then answers every line
on standard input with the number of calls so far, and how many of them were reads of what a provider sent. Calls, not
seconds: the same code gives the same number on every machine, so a test can hold it to a budget.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import uvloop

from proxy.core.config import load
from proxy.state.snapshot import compile_snapshot
from proxy.upstream.connection import UpstreamConnection
from proxy.worker import Worker, listen

READ = UpstreamConnection.data_received.__code__

calls = 0
reads = 0


def _count(frame: FrameType, event: str, _argument: Any) -> None:
    global calls, reads
    if event == "call":
        calls += 1
        reads += frame.f_code is READ


async def main(path: Path) -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    worker = Worker(compile_snapshot(load(path).config))
    api = listen("127.0.0.1", 0)
    await worker.start(api, None)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print(api.getsockname()[1], flush=True)
    sys.setprofile(_count)
    while await reader.readline():
        sys.setprofile(None)
        print(calls, reads, flush=True)
        sys.setprofile(_count)
    sys.setprofile(None)
    await worker.close(0.1)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(Path(sys.argv[1])))
