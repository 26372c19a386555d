"""What handlers of the admin API work with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field

from proxy.control.admin.lockout import Door

if TYPE_CHECKING:
    from proxy.control.sync import Sync
    from proxy.state.state import State


class Services(Struct, eq=False):
    """One for each worker."""

    state: State
    """The snapshot in use, live state, metrics."""
    sync: Sync
    """The store, the mirror of it, the vault, the file."""
    door: Door = field(default_factory=Door)
    """Brakes on guessing."""
