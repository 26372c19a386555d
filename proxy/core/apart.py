"""What takes much memory to make and little to keep, made by a process that is gone afterwards."""

from __future__ import annotations

import os
from collections.abc import Callable

from proxy.core.log import logger


def apart(make: Callable[[], bytes]) -> bytes:
    """What `make` returns, in a process forked for it: what it imported went with that. Blocks.

    Only where there is no thread and no loop, as neither is on the other side of a fork. Raises OSError when there is no
    room for a process, or it came to nothing, which is in the log.
    """
    ours, its = os.pipe()
    try:
        pid = os.fork()
    except OSError:
        os.close(ours)
        os.close(its)
        raise
    if not pid:
        _make(make, ours, its)
    os.close(its)
    with os.fdopen(ours, "rb") as pipe:
        made = pipe.read()
    _, status = os.waitpid(pid, 0)
    if status:
        raise ChildProcessError(f"process {pid} made nothing")
    return made


def _make(make: Callable[[], bytes], ours: int, its: int) -> None:
    """Does not return."""
    code = 1
    try:
        os.close(ours)
        with os.fdopen(its, "wb") as pipe:
            pipe.write(make())
        code = 0
    except Exception:
        logger.exception("what a process was forked for failed")
    finally:
        os._exit(code)
