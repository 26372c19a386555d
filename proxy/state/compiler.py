"""The snapshot that file and store make together.

Work is done for what changed: a new key costs a copy of the table of keys, not a compilation of the providers.
What cannot serve (a sealed value that does not open, a name the file has too) is left out and reported in
`problems`: one bad row takes nothing else with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import is_
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct

from proxy.core.model import Snapshot
from proxy.core.records import Kind
from proxy.state import snapshot
from proxy.state.targets import Builder, Targets
from proxy.state.virtual_keys import VirtualKeys

if TYPE_CHECKING:
    from proxy.core.config.schema import Config
    from proxy.core.vault import Vault
    from proxy.core.virtual_key import Pepper
    from proxy.state.mirror import Mirror

T = TypeVar("T")

KINDS = frozenset({Kind.PROVIDER, Kind.CREDENTIAL, Kind.MODEL, Kind.DEPLOYMENT, Kind.SETTING})
"""What providers and models are made of."""


class Compiled(Struct, frozen=True, eq=False):
    """What a compilation gives."""

    snapshot: Snapshot
    problems: tuple[str, ...] = ()
    """What was left out, and why; for the log and for `/admin/status`."""


class Compiler:
    """Compiles again and again; keeps what has not changed. Runs in a thread; one run at a time."""

    def __init__(self) -> None:
        # Late: it brings pydantic, which a worker without a store may start without.
        from proxy.state.merging import Merging

        self._merging = Merging()
        self._builder = Builder()
        self._keys = VirtualKeys()
        self._made_of: tuple[object, ...] = ()
        self._generation = -1
        self._config: Config | None = None
        self._targets = Targets({}, {}, (), {})
        self._sections: dict[str, Any] = {}
        self._problems: tuple[str, ...] = ()

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
        Providers, models and their tables are the same objects as in the last snapshot where nothing has changed.
        """
        peppers = tuple(peppers) or (snapshot.OWN_PEPPER,)
        made_of = (config, vault, mirror)
        same = self._generation == mirror.generation and all(map(is_, self._made_of, made_of))
        if self._config is None or not same or not KINDS.isdisjoint(changed):
            self._rebuild(config, mirror, vault)
            self._made_of, self._generation = made_of, mirror.generation
        assert self._config is not None
        whole, targets = self._config, self._targets
        keys = self._keys.table(config, mirror, peppers)
        return Compiled(
            Snapshot(
                **self._sections,
                providers=targets.providers,
                models=targets.models,
                wildcards=targets.wildcards,
                mcp=targets.mcp,
                keys=keys,
                # Nobody knows whether a store that was never read has keys: as long as that is so, it may.
                require_auth=snapshot.require_auth(whole, self._keys.any or not complete),
                peppers=peppers,
                complete=complete,
                revision=mirror.revision,
            ),
            (*self._problems, *self._keys.problems),
        )

    def _rebuild(self, config: Config, mirror: Mirror, vault: Vault | None) -> None:
        merged = self._merging.merge(config, mirror, vault)
        self._config, self._problems = merged.config, merged.problems
        # What is alike stays the same object: what is known of a team is found by it.
        self._sections = {
            name: _same_or_new(self._sections.get(name), section)
            for name, section in snapshot.sections(merged.config).items()
        }
        before = self._targets
        after = self._builder.build(
            merged.accounts,
            merged.public,
            merged.config.defaults,
            self._sections["prices"],
            merged.config.mcp,
        )
        self._targets = Targets(
            _same_or_new(before.providers, after.providers),
            _same_or_new(before.models, after.models),
            before.wildcards if before.wildcards == after.wildcards else after.wildcards,
            _same_or_new(before.mcp, after.mcp),
        )


def _same_or_new(before: T | None, after: T) -> T:
    return before if before is not None and before == after else after
