"""The store's objects as a worker has them in memory, and the snapshot they make together with the file.

    records  ->  Mirror.apply  ->  compile(config of the file, mirror)  ->  Snapshot

Work is done for what changed: a new key costs a copy of the table of keys, not a compilation of the providers.
What cannot serve (a sealed value that does not open, a name the file has too) is left out and reported in
`problems`: one bad row takes nothing else with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from proxy.core.config.schema import Config
    from proxy.core.model import Snapshot
    from proxy.core.records import Record
    from proxy.core.vault import Vault
    from proxy.core.virtual_key import Pepper


class Mirror:
    """Every living record, by kind and id, and by name."""

    __slots__ = ("names", "records", "revision")

    records: dict[str, dict[int, Record]]
    """Kind to id to record."""
    names: dict[str, dict[str, int]]
    """Kind to name to id."""
    revision: int
    """Of the last record applied."""

    def __init__(self) -> None:
        raise NotImplementedError

    def apply(self, changed: Iterable[Record]) -> frozenset[str]:
        """Take in what changed; the kinds that did."""
        raise NotImplementedError

    def replace(self, everything: Iterable[Record]) -> frozenset[str]:
        """Forget all and take in this; the kinds that differ."""
        raise NotImplementedError

    def get(self, kind: str, id_or_name: str) -> Record | None:
        """By id when it is a number and there is one, else by name."""
        raise NotImplementedError

    def children(self, kind: str, parent: int) -> list[Record]:
        """The credentials of a provider, the deployments of a model, in the order of their ids."""
        raise NotImplementedError


class Compiled(Struct, frozen=True, eq=False):
    """What a compilation gives."""

    snapshot: Snapshot
    problems: tuple[str, ...] = ()
    """What was left out, and why; for the log and for `/admin/status`."""


class Compiler:
    """Compiles again and again; keeps what has not changed. Runs in a thread; one run at a time."""

    def __init__(self) -> None:
        raise NotImplementedError

    def compile(
        self,
        config: Config,
        mirror: Mirror,
        changed: Iterable[str],
        vault: Vault | None,
        peppers: Sequence[Pepper],
        *,
        complete: bool = True,
    ) -> Compiled:
        """The snapshot of file and mirror. `changed` are kinds since the last run (all when the file changed).

        `complete` is False while the store has never been read: then an unknown key is not known to be wrong.
        """
        raise NotImplementedError


def clashes(config: Config, mirror: Mirror) -> list[str]:
    """One sentence for each name that both the file and the store have, naming both."""
    raise NotImplementedError


def shadow(mirror: Mirror) -> Mapping[str, object]:
    """The mirror's objects as the file would write them: what `check_object` and an export read."""
    raise NotImplementedError
