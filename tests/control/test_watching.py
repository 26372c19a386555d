from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.control import watching
from proxy.core.marks import Mark, mark
from proxy.core.tasks import spawn


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():
            await asyncio.sleep(0.005)


async def test_a_file_is_read_again_when_it_has_changed_and_not_before(tmp_path: Path) -> None:
    file = tmp_path / "headrace.yaml"
    file.write_text("one")
    read: list[str] = []

    async def reload() -> None:
        read.append(file.read_text())
        if read[-1] == "broken":
            raise ValueError("no configuration")

    keep = watching.keep(str(file), mark(str(file)), reload, 0.01)
    task = spawn(keep, name="watch")
    try:
        file.write_text("two")
        await until(lambda: read == ["two"])
        file.write_text("broken")
        await until(lambda: read == ["two", "broken"])
        # As editors and Kubernetes do it: another file in its place, or none for a while.
        file.unlink()
        await until(lambda: mark(str(file)) is None)
        other = tmp_path / "new"
        other.write_text("three")
        os.replace(other, file)
        await until(lambda: read == ["two", "broken", "three"])
        os.utime(file)
        await until(lambda: len(read) == 4)
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_whatever_goes_wrong_with_one_change_the_next_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "headrace.yaml"
    file.write_text("one")
    read: list[str] = []

    async def reload() -> None:
        read.append(file.read_text())
        if read[-1] == "broken":
            raise RuntimeError("nobody thought of it")

    keep = watching.keep(str(file), mark(str(file)), reload, 0.01)
    task = spawn(keep, name="watch")
    try:
        file.write_text("broken")
        await until(lambda: read == ["broken"])
        file.write_text("three")
        await until(lambda: read == ["broken", "three"])
    finally:
        task.cancel()
        await asyncio.wait({task})
    assert f"{file} cannot be taken in" in caplog.text
    assert "nobody thought of it" in caplog.text


A, B, C = (1, 1, 1), (2, 2, 1), (3, 3, 1)


@pytest.mark.parametrize(
    ("looks", "reads"),
    [
        ([A, A, A], []),
        ([B, B, B], [1]),
        # One that goes on is waited out.
        ([B, C, B, C, C, C], [4]),
        ([B, B, A, A], [1, 3]),
        # One that is gone is no change, until there is another.
        ([None, None, A, A], []),
        ([None, B, None, B, B], [4]),
        ([B, A, A], []),
    ],
)
def test_a_change_is_read_once_when_it_is_over(looks: list[Mark], reads: list[int]) -> None:
    seen = watching.Looks(A)

    assert [at for at, look in enumerate(looks) if seen.changed(look)] == reads
