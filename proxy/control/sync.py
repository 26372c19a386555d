"""Keeps a worker's snapshot as the store and the file say.

    start     open the store and read it, within 2 s; else the encrypted copy on disk; else the file alone
    run       woken by the store, or every second by itself: revision, changes, compile in a thread, swap one pointer
    refresh   at once, and only then return: an answer to a write is given when its worker serves by it

No request waits for any of this. A store that is away is asked again after 1 s, 2 s, … 30 s with jitter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proxy.core.config.schema import Config
    from proxy.core.model import Snapshot
    from proxy.core.vault import Vault
    from proxy.core.virtual_key import Pepper
    from proxy.state.mirror import Mirror
    from proxy.store.base import Store


class Sync:
    """One a worker."""

    store: Store | None
    """None: the configuration has no store."""
    mirror: Mirror
    vault: Vault | None
    peppers: tuple[Pepper, ...]
    """The first makes digests; all are looked up. Kept sealed in the store, made by whoever is first."""
    config: Config
    """The file as last read."""
    up: bool
    """The last call to the store was answered."""
    source: str
    """Where the objects came from: `store`, `disk`, or empty."""
    age: float
    """Seconds since the store last confirmed what is served."""
    problems: tuple[str, ...]
    """What could not be served, and why the file was last refused."""

    async def start(self) -> Snapshot:
        """The first snapshot. Raises ValueError, listing every problem, for a clash of file and store."""
        raise NotImplementedError

    async def run(self) -> None:
        """Until cancelled."""
        raise NotImplementedError

    async def refresh(self, revision: int = 0) -> int:
        """Catch up with the store, to `revision` at least, and swap; the revision reached. Raises StoreDown."""
        raise NotImplementedError

    async def reload(self) -> int:
        """Read the file anew and swap; the version reached. Raises ValueError and nothing changes."""
        raise NotImplementedError

    async def signal(self, name: str) -> dict[str, Any]:
        """Have every worker do something once (`reload`, `stats.reset`, `cache.clear`), and wait up to 5 s for them.

        {"revision": n, "workers": [{"host", "pid", "name", "revision", "config", "problem"}], "missing": [...]}
        """
        raise NotImplementedError

    async def workers(self) -> list[dict[str, Any]]:
        """Every worker seen in the last 15 s, by what it wrote down: host, pid, name, revision, config, seen."""
        raise NotImplementedError

    def on(self, signal: str, do: Callable[[], None]) -> None:
        """What this worker does when a signal comes."""
        raise NotImplementedError
