"""What a host has once, however many workers it runs: the folder of the ledger, the recovery of the dead, the shipper.

claim    before anything is served: nobody else has the folder, and what an earlier run left is in order
died     a worker is gone: what it held is free again, what it had begun is ended for it
ship     in a process of its own: bring the spool to the database
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.core import berths
from proxy.core.log import logger
from proxy.core.process import rename
from proxy.ledger.folder import TABLE, Lock
from proxy.ledger.records import End
from proxy.ledger.recovery import recover
from proxy.limits.accounts import Accounts, Charge, Used, column_of
from proxy.limits.board import Board

if TYPE_CHECKING:
    from proxy.control.sync import ConfigFile
    from proxy.core.model import Snapshot
    from proxy.ledger.records import Adjust

SHIPPER = "shipper"


class Host:
    """One for each start. Blocks; nothing here is on the way of a request."""

    def __init__(self, settings: Snapshot, file: ConfigFile) -> None:
        self._file = file
        self._workers = settings.server.workers
        self._columns = berths.columns(self._workers)
        self.records = bool(settings.ledger.path)
        """Something is to be shipped."""
        self.folder = Path(settings.ledger.path)
        """Of the ledger, or one that is made by `claim` and gone after this run."""
        self._lock = Lock(self.folder, "gateway")

    def claim(self, *, alone: bool = False) -> None:
        """Raises ValueError when another gateway has the folder, or it cannot be used. `alone`: no worker but one will ever be."""
        if not alone:
            self._file.board = Board.make(self._columns)
        try:
            if not self.records:
                self.folder = Path(tempfile.mkdtemp(prefix="headrace-"))
                self._lock = Lock(self.folder, "gateway")
            self._file.table = self.folder / TABLE
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._lock.take():
                raise ValueError(
                    f"ledger.path: {self.folder} is in use by another gateway: stop that one, or name another folder"
                )
            with self._accounts() as accounts:
                spools = self.folder / "spool"
                for each in sorted(spools.iterdir()) if spools.is_dir() else ():
                    self._end(each.name, accounts)
                for column in range(self._columns):
                    accounts.clear(column)
                if not self.records:
                    accounts.learned()
        except OSError as error:
            raise ValueError(f"ledger.path: {self.folder}: {error.strerror}") from None

    def take(
        self, folder: str, lock: int, board: tuple[int, str] | None, bells: Sequence[int] = ()
    ) -> None:
        """Go on where the program before this one left off: its workers run."""
        self.folder = Path(folder)
        self._file.table = self.folder / TABLE
        self._lock = Lock(self.folder, "gateway", lock)
        if board is not None:
            self._file.board = Board.take(board[0], bytes.fromhex(board[1]), bells)

    @property
    def lock(self) -> int:
        """The descriptor that the folder is held by."""
        return self._lock.fd

    @property
    def board(self) -> tuple[int, str] | None:
        """The descriptor of the memory about health, and its key in hexadecimal digits."""
        board = self._file.board
        return None if board is None else (board.fd, board.key.hex())

    @property
    def bells(self) -> Sequence[int]:
        """Descriptors of its bells."""
        return () if self._file.board is None else self._file.board.bells

    def died(self, name: str) -> None:
        """A worker is gone, in whatever way. Called before another takes its name."""
        if self._file.board is not None:
            self._file.board.clear(int(name))
        try:
            with self._accounts() as accounts:
                # In this order, or a budget would have room for a moment that it has not.
                try:
                    self._end(name, accounts)
                finally:
                    # Or it is held until the next of that name is gone, which is when the rest is settled.
                    accounts.clear(column_of(name, self._columns))
        except OSError as error:
            logger.error("what worker %s left cannot be settled: %s", name, error.strerror)

    def leave(self) -> None:
        """Nobody serves any more."""
        if not self.records and self._lock.fd >= 0:  # else it is not ours, or none yet
            shutil.rmtree(self.folder, ignore_errors=True)

    def ship(self, ready: Callable[[], None]) -> None:
        """Until told to stop. In the process that is to do it."""
        from proxy import shipping

        # Who is left when the gateway died finishes its batch, and must not keep the next one from starting.
        self._lock.release()
        rename("headrace-ship")
        shipping.run(self._file, ready)

    def _accounts(self) -> closing[Accounts]:
        # Not kept: a process may have the file open once only, and this one may become a worker.
        return closing(Accounts.open(self.folder / TABLE, None, self._columns))

    def _end(self, name: str, accounts: Accounts) -> None:
        column = column_of(name, self._columns)

        def settled(record: End | Adjust, position: int) -> None:
            if isinstance(record, End):
                booked, used = record.charges, Used(record.tokens.total, max(record.cost, 0))
            else:
                booked, used = (record.charge,), Used(record.tokens, record.cost, record.requests)
            charges = tuple(Charge(one.subject, one.window, one.ends) for one in booked)
            accounts.charge(charges, used, record.at, column, position)

        ended = recover(self.folder, name, settled)
        if ended:
            logger.warning("worker %s left %d requests unfinished, booked as unknown", name, ended)
