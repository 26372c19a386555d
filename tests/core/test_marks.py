"""A file that has changed looks otherwise."""

from __future__ import annotations

import os
from pathlib import Path

from proxy.core.marks import mark


def test_every_change_is_another_mark(tmp_path: Path) -> None:
    file, other, link = (tmp_path / name for name in ("file", "other", "link"))
    file.write_text("one")
    other.write_text("two")
    os.utime(other, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
    link.symlink_to(file)
    seen = [mark(str(link)), mark(str(file))]
    assert seen[0] == seen[1] is not None

    link.unlink()
    link.symlink_to(other)  # as old, and as long
    seen.append(mark(str(link)))
    file.write_text("longer")
    seen.append(mark(str(file)))
    os.utime(file, ns=(1, 1))
    seen.append(mark(str(file)))

    assert len(set(seen)) == 4


def test_what_is_not_there_has_none(tmp_path: Path) -> None:
    assert mark(str(tmp_path / "nothing")) is None
