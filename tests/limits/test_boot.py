"""Which start of the machine this is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from proxy.limits.boot import boot_id


def test_it_is_the_same_in_every_process() -> None:
    other = subprocess.run(
        [sys.executable, "-c", "from proxy.limits.boot import boot_id; print(boot_id().hex())"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )

    assert other.stdout.strip() == boot_id().hex()


def test_it_is_what_the_system_says() -> None:
    assert len(boot_id()) == 64
    assert boot_id().strip(b"\0")
    if sys.platform == "linux":
        said = Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()
        assert boot_id().rstrip(b"\0") == said
