"""A file that many make is one file, also where there are no links."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from proxy.core.naming import name_once


@pytest.fixture
def linkless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without hard links, as FAT is one."""

    def link(source: object, target: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)


def first_of_eight(folder: Path) -> None:
    path = folder / "file"
    together = Barrier(8)

    def make(number: int) -> tuple[bool, str]:
        made = folder / f"made.{number}"
        made.write_text(str(number))
        together.wait()
        return name_once(made, path), path.read_text()

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(make, range(8)))

    assert [first for first, _ in results].count(True) == 1
    assert {text for _, text in results} == {str([first for first, _ in results].index(True))}


def test_the_first_one_names_it(tmp_path: Path) -> None:
    first_of_eight(tmp_path)


@pytest.mark.usefixtures("linkless")
def test_so_it_is_without_links(tmp_path: Path) -> None:
    first_of_eight(tmp_path)


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        name_once(tmp_path / "made", tmp_path / "nowhere" / "file")


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        name_once(tmp_path / "made", tmp_path / "file")
    assert list(tmp_path.iterdir()) == []
