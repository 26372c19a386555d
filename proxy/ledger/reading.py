"""Reading spools: whole records in order, from where the last reader stopped.

The tail of the newest segment may be torn (its worker was killed in the middle of a copy) or not yet written: reading
stops there and is tried again. A bad frame elsewhere is stepped over to the next one that is whole, counted, and the
file is kept for inspection.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from proxy.ledger.records import Record


class Batch(Struct, frozen=True):
    """Some records, and what to say once they are booked."""

    records: Sequence[Record]
    mark: object
    """For `done`."""


class Reader:
    """Of one host's spools: the oldest records first, over all workers. One at a time on a host (`Lock`)."""

    def __init__(self, folder: Path) -> None:
        raise NotImplementedError

    def take(self, most: int = 500) -> Batch | None:
        """The next records; None: nothing new. Blocks on the disk only."""
        raise NotImplementedError

    def done(self, batch: Batch) -> None:
        """They are booked: remember it (by rename), and delete segments that are read through and closed."""
        raise NotImplementedError

    @property
    def lag(self) -> int:
        """Bytes not yet booked."""
        raise NotImplementedError


class Lock:
    """`flock` on the folder: freed by death. `gateway` for those who write (shared by the workers of one supervisor,
    who inherit it), `shipper` for whoever reads."""

    def __init__(self, folder: Path, name: str) -> None:
        raise NotImplementedError

    def take(self) -> bool:
        """Whether it is ours now."""
        raise NotImplementedError

    def release(self) -> None:
        """Give it back."""
        raise NotImplementedError
