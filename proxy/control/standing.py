"""What a worker knows of its store, for whoever asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.control.replica import Replica
    from proxy.core.vault import Vault
    from proxy.core.virtual_key import Pepper
    from proxy.state.mirror import Mirror
    from proxy.store.base import Store


class Standing:
    """Read only; it is as the replica is."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._left_out: tuple[str, ...] = ()
        self._refused: tuple[str, ...] = ()

    @property
    def store(self) -> Store | None:
        """None: the configuration has no store."""
        return self._replica.store

    @property
    def mirror(self) -> Mirror:
        return self._replica.mirror

    @property
    def vault(self) -> Vault | None:
        return self._replica.vault

    @property
    def peppers(self) -> tuple[Pepper, ...]:
        """The first makes digests; all are looked up. Kept sealed in the store, made by whoever is first."""
        return self._replica.peppers

    @property
    def up(self) -> bool:
        """The last call to the store was answered."""
        return self._replica.up

    @property
    def source(self) -> str:
        """Where the objects came from: `store`, `disk`, or empty."""
        return self._replica.source

    @property
    def age(self) -> float:
        """Seconds since the store last confirmed what is served."""
        return self._replica.age

    @property
    def problems(self) -> tuple[str, ...]:
        """What could not be served, and why the file was last refused."""
        return (*self._refused, *self._replica.closed, *self._left_out)

    @property
    def health(self) -> str:
        """`ok`, `degraded` while the store is away, or `none` without one."""
        if self.store is None:
            return "none"
        return "ok" if self.up else "degraded"
