"""What handlers of the admin API work with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from proxy.control.admin.figures import Marks
from proxy.control.admin.lockout import Door
from proxy.control.admin.turnstile import Turnstile
from proxy.control.admin.web import Problem
from proxy.core.clock import now

if TYPE_CHECKING:
    from pathlib import Path

    from proxy.control.admin.feed import Feed
    from proxy.control.sync import Sync
    from proxy.state.state import State
    from proxy.store.base import Store


class Services(Struct, eq=False):
    """One for each worker."""

    state: State
    """The snapshot in use, live state, metrics."""
    sync: Sync
    """The store, the mirror of it, the vault, the file."""
    door: Door = field(default_factory=Door)
    """Brakes on guessing."""
    tests: Turnstile = field(default_factory=Turnstile)
    """Brakes on having providers asked."""
    marks: Marks = field(default_factory=lambda: Marks(now()))
    """Where statistics begin to count."""
    ops: Path | None = None
    """Where the supervisor answers; None: there is none."""
    feeds: dict[str, Feed[Any]] = field(default_factory=dict)
    """What is watched."""
    api: str = ""
    """The URL at which this machine reaches the API's listener (`core.listeners.url_of`); empty: there is none."""

    def __post_init__(self) -> None:
        self.sync.on("stats.reset", lambda: self.marks.reset(self.state))


def needs_store(services: Services) -> Store:
    """The store. Raises Problem 503 no_store where the configuration has none."""
    store = services.sync.store
    if store is None:
        raise Problem(503, "no_store", "There is no store: set 'store.url' in the configuration.")
    return store
