"""What a process of its own makes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from proxy.core.apart import apart

MAKES = """
import sys
from proxy.core.apart import apart

def make():
    import colorsys
    return (b"x" * 3_000_000) + str("colorsys" in sys.modules).encode()

made = apart(make)
assert len(made) > 3_000_000
assert made.endswith(b"True")
assert "colorsys" not in sys.modules
assert apart(bytes) == b""
"""
FAILS = """
import os, signal
from proxy.core.apart import apart

def nothing():
    raise ValueError("no such thing")

for make in (nothing, lambda: os.kill(os.getpid(), signal.SIGKILL)):
    try:
        apart(make)
    except OSError:
        continue
    raise SystemExit(1)
try:  # nobody is left
    os.waitpid(-1, 0)
except ChildProcessError:
    raise SystemExit(7)
"""


@pytest.mark.parametrize(("code", "expected"), [(MAKES, 0), (FAILS, 7)])
def test_what_is_made_comes_back_and_what_was_needed_for_it_does_not(
    code: str, expected: int
) -> None:
    # In a program of its own: this one has threads.
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)

    assert done.returncode == expected, done.stderr.decode()
    assert (b"no such thing" in done.stderr) is (expected == 7)


def test_where_there_is_no_room_for_a_process_no_descriptor_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none() -> int:
        raise BlockingIOError

    before = os.listdir("/proc/self/fd")
    monkeypatch.setattr(os, "fork", none)

    with pytest.raises(BlockingIOError):
        apart(bytes)

    assert os.listdir("/proc/self/fd") == before
