"""After a worker died: what it had begun and not ended is ended for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from proxy.ledger.records import End

Settled = Callable[[End], None]


def recover(folder: Path, worker: str, settled: Settled | None = None) -> int:
    """Write an `End` with outcome `unknown` for every request of this (dead) worker that has none; how many.

    It is charged with its last `Progress`, or with its prompt alone. `settled` is told each, so that live counters learn of
    it. Blocks. Called by the supervisor before another worker takes the place, and for every worker at the start.
    """
    raise NotImplementedError
