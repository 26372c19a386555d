"""A gateway that writes down what it serves, and what it has written."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from proxy.core.model import Snapshot
from proxy.ledger.cursor import bodies
from proxy.ledger.records import Content, End, Progress, Record, Start, parse
from proxy.ledger.segments import listed
from proxy.ledger.spool import Spool
from tests.gateway.served import Served, serving
from tests.line.harness import until

MUCH = 1 << 26


class Ledger:
    """The records of one worker, oldest first."""

    def __init__(self, folder: Path) -> None:
        self._folders = [folder / "requests", folder / "contents"]
        self.spool, self.contents = (
            Spool(one, "0", size=MUCH, segment=1 << 20, emergency=0) for one in self._folders
        )

    @property
    def records(self) -> list[Record]:
        """All there are by now, as they lie on the disk."""
        return [
            parse(body)
            for folder in self._folders
            for name in listed(folder / "spool" / "0")
            for body in bodies(folder / "spool" / "0", name)
        ]

    @property
    def starts(self) -> list[Start]:
        return [one for one in self.records if isinstance(one, Start)]

    @property
    def progress(self) -> list[Progress]:
        return [one for one in self.records if isinstance(one, Progress)]

    @property
    def ends(self) -> list[End]:
        return [one for one in self.records if isinstance(one, End)]

    @property
    def kept(self) -> list[Content]:
        return [one for one in self.records if isinstance(one, Content)]

    async def end(self) -> End:
        """The one end there is, once it is there."""
        await until(lambda: bool(self.ends))
        [end] = self.ends
        return end

    def close(self) -> None:
        self.spool.close()
        self.contents.close()


@asynccontextmanager
async def recording(snapshot: Snapshot, ledger: Ledger) -> AsyncIterator[Served]:
    """A gateway that serves `snapshot` and writes down what it serves."""
    async with serving(snapshot) as served:
        served.state.spool, served.state.contents = ledger.spool, ledger.contents
        yield served
