"""The store's records read as the file's sections are, and put beside them.

A record is read once for each of its revisions. The file wins: what it says of a name, a setting or an alias stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import orjson
from msgspec import Struct

from proxy.core.config import stored
from proxy.core.config.schema import Credential, Deployment, Model, Provider
from proxy.core.model import Credential as Held
from proxy.core.records import Kind, place
from proxy.core.vault import Unopened
from proxy.state import snapshot
from proxy.state.targets import Account, Public

if TYPE_CHECKING:
    from proxy.core.config.schema import Config
    from proxy.core.records import Record
    from proxy.core.vault import Vault
    from proxy.state.mirror import Mirror


class Merged(Struct, frozen=True, eq=False):
    """File and store together, ready to be compiled."""

    config: Config
    """The file's, with the store's settings under it."""
    accounts: Mapping[str, Account]
    public: Mapping[str, Public]
    problems: tuple[str, ...]


class _Left(Struct, frozen=True):
    """Stands for a record that cannot be read."""

    why: str


class Merging:
    """Keeps what was read of records. One thread at a time."""

    __slots__ = (
        "_file",
        "_generation",
        "_problems",
        "_read",
        "_settings",
        "_vault",
    )

    def __init__(self) -> None:
        self._read: dict[tuple[str, int], tuple[int, str, Any]] = {}
        """Kind and id of a record to its revision, the name it was read for, and what it is."""
        self._vault: Vault | None = None
        self._generation = -1
        self._file: tuple[Config | None, dict[str, Account], dict[str, Public]] = (None, {}, {})
        self._settings: tuple[tuple[Any, ...], Config, list[str]] | None = None
        self._problems: list[str] = []

    def merge(self, config: Config, mirror: Mirror, vault: Vault | None) -> Merged:
        """Everything that can be read; what cannot is in the problems."""
        if vault is not self._vault or mirror.generation != self._generation:
            self._read.clear()
            self._settings = None
            self._vault, self._generation = vault, mirror.generation
        self._prune(mirror)
        if self._file[0] is not config:
            self._file = (config, snapshot.accounts(config), snapshot.public(config))
        self._problems = []
        whole = self._with_settings(config, mirror)
        accounts = dict(self._file[1])
        lost = self._providers(mirror, accounts)
        public = self._models(mirror, accounts, lost)
        return Merged(whole, accounts, public, tuple(self._problems))

    # --- reading ---

    def _once(self, record: Record, name: str, read: Callable[..., Any], *arguments: Any) -> Any:
        """What a record is; read again only when it has changed, or is of another name."""
        key = record.kind, record.id
        kept = self._read.get(key)
        if kept is not None and kept[0] == record.revision and kept[1] == name:
            return kept[2]
        try:
            found = read(record, *arguments)
        except Unopened as error:
            found = _Left(f"its secrets do not open: {error}")
        except ValueError as error:
            found = _Left(str(error))
        self._read[key] = record.revision, name, found
        return found

    def _section(self, record: Record) -> Any:
        return stored.section(record.kind, record.name, self._fields(record))

    def _fields(self, record: Record) -> dict[str, Any]:
        """Spec and secrets. Raises ValueError, Unopened."""
        fields = orjson.loads(record.spec)
        if record.sealed:
            if self._vault is None:
                raise Unopened("there is no master key")
            opened = self._vault.open(record.sealed, place(record.kind, record.id))
            fields = {**fields, **orjson.loads(opened)}
        if not isinstance(fields, dict):
            raise ValueError("its record cannot be read")
        return fields

    def _prune(self, mirror: Mirror) -> None:
        """Forget records that are gone, now and then."""
        living = sum(len(mirror.records[kind]) for kind in Kind if kind != Kind.KEY)
        if len(self._read) > 2 * living + 100:
            self._read = {
                (kind, id): kept
                for (kind, id), kept in self._read.items()
                if id in mirror.records[kind]
            }

    # --- settings ---

    def _with_settings(self, config: Config, mirror: Mirror) -> Config:
        records = sorted(mirror.records[Kind.SETTING].values(), key=lambda record: record.id)
        made_of = (config, *((record.id, record.revision) for record in records))
        kept = self._settings
        if kept is None or kept[0][0] is not config or kept[0][1:] != made_of[1:]:
            problems: list[str] = []
            sections = {}
            for record in records:
                try:
                    said = (
                        getattr(config, record.name).model_dump(exclude_unset=True)
                        if (record.name in stored.SETTINGS)
                        else {}
                    )
                    fields = {
                        name: value
                        for name, value in self._fields(record).items()
                        if (record.name, name) not in stored.FILE_ONLY
                    }
                    over = {**fields, **said} if record.name == "prices" else _over(fields, said)
                    sections[record.name] = stored.section(record.kind, record.name, over)
                except (ValueError, Unopened) as error:
                    problems.append(f"setting {record.name!r} is not used: {error}")
            whole = config.model_copy(update=sections) if sections else config
            kept = self._settings = made_of, whole, problems
        self._problems += kept[2]
        return kept[1]

    # --- providers ---

    def _providers(self, mirror: Mirror, accounts: dict[str, Account]) -> set[str]:
        """Add the store's; the names of those that were left out."""
        lost: set[str] = set()
        for record in _ordered(mirror, Kind.PROVIDER):
            if record.name in self._file[1]:
                self._left(record, "left out, the configuration file has a provider of this name")
                continue
            block = self._once(record, "", self._section)
            if isinstance(block, _Left):
                self._left(record, f"left out, {block.why}")
                lost.add(record.name)
                continue
            accounts[record.name] = self._account(record, block, mirror)
        return lost

    def _account(self, record: Record, block: Provider, mirror: Mirror) -> Account:
        held: list[Held] = []
        children = mirror.children(Kind.CREDENTIAL, record.id)
        for child in children:
            found = self._once(child, record.name, self._held, record)
            if isinstance(found, _Left):
                self._problems.append(
                    f"credential {child.id} of provider {record.name!r}: left out, {found.why}"
                )
            else:
                held.append(found)
        account = Account(block, tuple(held))
        if children and not held and not account.usable and block.enabled:
            self._left(record, "disabled, none of its credentials can be used")
        return account

    def _held(self, child: Record, provider: Record) -> Held:
        section = stored.section(child.kind, "", self._fields(child))
        assert isinstance(section, Credential)
        if not section.key.reveal():
            raise ValueError("it is empty")
        return snapshot.credential(f"{provider.name}#{child.id}", section)

    # --- models ---

    def _models(
        self, mirror: Mirror, accounts: Mapping[str, Account], lost: set[str]
    ) -> dict[str, Public]:
        file = self._file[2]
        owners = {alias: name for name, item in file.items() for alias in item.aliases}
        owners.update(zip(file, file, strict=True))
        readable: list[tuple[Record, Model]] = []
        for record in _ordered(mirror, Kind.MODEL):
            block = self._once(record, "", self._section)
            if record.name in owners:
                self._left(
                    record,
                    f"left out, {_whose(record.name, owners)} in the configuration file",
                )
            elif isinstance(block, _Left):
                self._left(record, f"left out, {block.why}")
            else:
                readable.append((record, block))
        owners.update((record.name, record.name) for record, _ in readable)
        public = dict(file)
        for record, block in readable:
            deployments = self._deployments(record, mirror, accounts, lost)
            aliases = self._aliases(record, block, owners)
            public[record.name] = Public(block, deployments, aliases)
        return public

    def _aliases(self, record: Record, block: Model, owners: dict[str, str]) -> tuple[str, ...]:
        aliases = []
        for alias in block.aliases:
            if alias in owners:
                self._left(
                    record, f"its alias {alias!r} is left out, {_whose(alias, owners)} already"
                )
            elif alias.endswith("*") != record.name.endswith("*") or not alias:
                self._left(
                    record, f"its alias {alias!r} is left out, only one of the two ends in '*'"
                )
            else:
                owners[alias] = record.name
                aliases.append(alias)
        return tuple(aliases)

    def _deployments(
        self, record: Record, mirror: Mirror, accounts: Mapping[str, Account], lost: set[str]
    ) -> tuple[tuple[str, Deployment], ...]:
        found = []
        for child in mirror.children(Kind.DEPLOYMENT, record.id):
            item = self._once(child, "", self._section)
            if isinstance(item, _Left):
                why = item.why
            elif item.provider in accounts:
                found.append((f"{record.name}/{child.id}:{item.provider}", item))
                continue
            elif item.provider in lost:
                continue
            else:
                why = f"there is no provider {item.provider!r}"
            self._problems.append(
                f"deployment {child.id} of model {record.name!r}: left out, {why}"
            )
        return tuple(found)

    def _left(self, record: Record, what: str) -> None:
        self._problems.append(f"{record.kind} {record.name!r}: {what}")


def _ordered(mirror: Mirror, kind: str) -> list[Record]:
    return sorted(mirror.records[kind].values(), key=lambda record: record.id)


def _whose(name: str, owners: Mapping[str, str]) -> str:
    owner = owners[name]
    return "a model has this name" if owner == name else f"it is an alias of {owner!r}"


_WHOLE = frozenset({"budget", "price_unknown"})
"""What somebody says as a whole: half of a price or of a budget and half of another are neither."""


def _over(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of both; `own` wins, inside mappings too."""
    result = dict(base)
    for name, value in own.items():
        below = result.get(name)
        both = isinstance(below, dict) and isinstance(value, dict) and name not in _WHOLE
        result[name] = _over(below, value) if both else value  # type: ignore[arg-type]
    return result
