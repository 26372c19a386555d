"""A machine that has no more threads to give."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_MUCH = 1 << 46
"""Bytes of a stack that no address space has room for."""


@contextmanager
def threadless() -> Iterator[None]:
    """Threads that run go on; to start one fails, as it does at a limit of processes (`pids.max`)."""
    usual = threading.stack_size(_MUCH)
    try:
        yield
    finally:
        threading.stack_size(usual)
