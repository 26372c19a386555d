"""A file that several processes may make, once: whoever finds its name finds all of it, and the same as the others."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path


def name_once(made: Path, path: Path) -> bool:
    """Give a whole file, on the disk already, its name beside it; False when there is one of this name.

    `made` may still be there afterwards. Blocks. Raises OSError.
    """
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        try:
            os.link(made, path)
        except FileExistsError:
            return False
        except OSError:
            # FAT, some shares and volumes of containers have no links. Who is first is said by a lock there.
            fcntl.flock(folder, fcntl.LOCK_EX)
            if path.exists():
                return False
            made.rename(path)
        # So that the name is there after a loss of power as well; those file systems need not know how.
        with suppress(OSError):
            os.fsync(folder)
        return True
    finally:
        os.close(folder)
