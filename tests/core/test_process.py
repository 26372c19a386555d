"""The process numbers are the system's."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

import pytest

from proxy.core.clock import now
from proxy.core.process import watch_process
from proxy.core.series import Number, Registry

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux' /proc")


def read(registry: Registry, name: str) -> Number:
    return registry.snapshot()[name].values['{process="me"}']


@linux
def test_an_open_file_is_counted(tmp_path: Path) -> None:
    registry = Registry()
    watch_process(registry, "me")
    before = read(registry, "process_open_fds")

    with (tmp_path / "file").open("w"):
        assert read(registry, "process_open_fds") == before + 1


@linux
def test_memory_is_plausible() -> None:
    registry = Registry()
    watch_process(registry, "me")

    resident = read(registry, "process_resident_memory_bytes")

    assert 1024 * 1024 < resident < read(registry, "process_virtual_memory_bytes")


@linux
def test_the_start_is_in_the_past() -> None:
    registry = Registry()
    watch_process(registry, "me")

    assert now() - 24 * 3600 < read(registry, "process_start_time_seconds") <= now() + 0.1


@linux
def test_a_command_named_like_a_number_does_not_mislead(tmp_path: Path) -> None:
    own = tmp_path / "self"
    own.mkdir()
    ticks = os.sysconf("SC_CLK_TCK")
    fields = ["S"] + ["1"] * 18 + [str(7 * ticks), "0"]
    (own / "stat").write_text(f"1 (a) 2 (b) {' '.join(fields)}")
    early, late = Registry(), Registry()

    watch_process(early, "me", tmp_path)
    fields[19] = str(9 * ticks)
    (own / "stat").write_text(f"1 (a) 2 (b) {' '.join(fields)}")
    watch_process(late, "me", tmp_path)

    apart = read(late, "process_start_time_seconds") - read(early, "process_start_time_seconds")
    assert apart == pytest.approx(2.0, abs=0.5)


def test_processor_time_grows() -> None:
    registry = Registry()
    watch_process(registry, "me")
    before = read(registry, "process_cpu_seconds_total")

    sum(range(200_000))

    assert read(registry, "process_cpu_seconds_total") > before


def test_the_limit_of_open_files_is_shown() -> None:
    registry = Registry()
    watch_process(registry, "me")

    assert read(registry, "process_max_fds") == resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def test_without_proc_the_rest_is_there(tmp_path: Path) -> None:
    registry = Registry()

    watch_process(registry, "me", tmp_path / "absent")

    assert set(registry.snapshot()) == {"process_cpu_seconds_total", "process_max_fds"}
