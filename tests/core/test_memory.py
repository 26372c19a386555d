"""Where the kernel writes what there is of memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.core.memory import configured, give_back, of_container, resident

MIB = 1024**2


class Kernel:
    """Files as a kernel shows them."""

    def __init__(self, folder: Path) -> None:
        self.proc = folder / "proc"
        self.mount = folder / "cgroup"
        self.proc.mkdir()
        self.mount.mkdir()

    def of(self, line: str) -> None:
        (self.proc / "cgroup").write_text(f"12:cpu:/\n{line}\n")

    def write(self, path: str, **files: str) -> None:
        place = self.mount / path
        place.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (place / name.replace("__", ".")).write_text(text)


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)


def test_the_second_version_as_a_container_sees_it(kernel: Kernel) -> None:
    kernel.of("0::/")
    kernel.write(
        "",
        memory__max=f"{512 * MIB}\n",
        memory__current=f"{300 * MIB}\n",
        memory__stat=f"anon 1\ninactive_file {100 * MIB}\nactive_file 7\n",
    )

    found = of_container(kernel.proc, kernel.mount)

    assert found is not None
    assert (found.size, found.used()) == (512 * MIB, 200 * MIB)
    kernel.write("", memory__current=f"{450 * MIB}\n")
    assert found.used() == 350 * MIB


def test_the_tightest_of_all_groups_around_it_counts(kernel: Kernel) -> None:
    kernel.of("0::/system.slice/headrace.service")
    kernel.write("system.slice/headrace.service", memory__max="max\n", memory__current="5\n")
    kernel.write("system.slice", memory__max=f"{64 * MIB}\n", memory__current="7\n")
    kernel.write("", memory__max=f"{640 * MIB}\n", memory__current="9\n")

    found = of_container(kernel.proc, kernel.mount)

    assert found is not None
    assert (found.size, found.used()) == (64 * MIB, 7)


def test_the_first_version(kernel: Kernel) -> None:
    kernel.of("4:memory:/docker/abc")
    place = "memory/docker/abc"
    kernel.write(
        place,
        memory__limit_in_bytes=f"{256 * MIB}",
        memory__usage_in_bytes=f"{90 * MIB}",
        memory__stat=f"inactive_file 1\ntotal_inactive_file {10 * MIB}\n",
    )
    kernel.write("memory", memory__limit_in_bytes="9223372036854771712", memory__usage_in_bytes="1")

    found = of_container(kernel.proc, kernel.mount)

    assert found is not None
    assert (found.size, found.used()) == (256 * MIB, 80 * MIB)


@pytest.mark.parametrize("line", ["0::/", "4:memory:/docker/abc", "1:name=systemd:/"])
def test_without_a_limit_there_is_none(kernel: Kernel, line: str) -> None:
    kernel.of(line)
    kernel.write("", memory__max="max\n", memory__current="5\n")

    assert of_container(kernel.proc, kernel.mount) is None


def test_where_there_are_no_groups_there_is_no_limit(kernel: Kernel) -> None:
    assert of_container(kernel.proc, kernel.mount) is None


def test_what_is_configured_is_shared_by_the_workers(kernel: Kernel) -> None:
    (kernel.proc / "statm").write_text("900 300 5 1 0 2 0\n")

    found = configured(400 * MIB, 4, kernel.proc)

    assert (found.size, found.used()) == (100 * MIB, 300 * os.sysconf("SC_PAGE_SIZE"))
    assert configured(MIB, 1, kernel.proc / "nothing").used() == 0


def test_what_was_freed_goes_back_to_the_system() -> None:
    held = [bytes([number]) * 1000 for number in range(256) for _ in range(400)]
    last = held.pop()
    before = resident()
    del held
    give_back()

    assert last
    assert resident() < before - 50 * MIB


_LARGE_BLOCKS = """
import resource
from proxy.core.memory import share_heap
share_heap()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
held = [b"x" * (8 << 20)]
held.clear()
before = faults()
for _ in range(50):
    held = [b"x" * (2 << 20) for _ in range(4)]
    held.clear()
print(faults() - before)
"""


def test_large_blocks_have_their_pages_from_those_before_them() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LARGE_BLOCKS], capture_output=True, check=True, text=True
    )

    assert int(done.stdout) < 50 * 4 * 512 / 10
