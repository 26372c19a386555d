"""How a file looks from outside: what is different after a change, without reading it."""

from __future__ import annotations

import os

Mark = tuple[int, int, int] | None
"""Of a file as it is: time, size and inode; None: it is not there, or not for us."""


def mark(path: str) -> Mark:
    """Of the file that is there in the end: also a link that leads elsewhere by now is a change."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
