"""The table of virtual keys, file and store together. A key that changes costs a copy of the table, not a new one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec
import orjson
from msgspec import Struct

from proxy.core.model import Budget, VirtualKey
from proxy.core.periods import PERIODS, check_budget_cron
from proxy.core.records import Kind
from proxy.core.virtual_key import Digest, digests
from proxy.state import snapshot

if TYPE_CHECKING:
    from proxy.core.config.schema import Config
    from proxy.core.records import Record
    from proxy.core.virtual_key import Pepper
    from proxy.state.mirror import Mirror

_PERIODS = frozenset({*PERIODS, "total"})
_SHOWN = 5
"""Names that one sentence lists."""
_REMEMBERED = 4096
"""Specs that are not read again: many keys say the same."""

Table = Mapping[bytes, VirtualKey]


class _Rules(Struct, gc=False):
    """A spec as it is usually written. One that is not is read by the schema, which takes more forms."""

    models: tuple[str, ...] = ("*",)
    routes: tuple[str, ...] = ()
    cidrs: tuple[Any, ...] = ()
    enabled: bool = True
    expires: float | None = None
    owner: str | None = None
    team: str | None = None
    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    budget: Budget | None = None


_decode = msgspec.json.Decoder(_Rules).decode


class VirtualKeys:
    """Keeps the table from one compilation to the next. One thread at a time."""

    __slots__ = (
        "_digests",
        "_file",
        "_made_of",
        "_peppers",
        "_revision",
        "_rules",
        "_table",
        "_wrong",
    )

    def __init__(self) -> None:
        self._made_of: tuple[Any, ...] = ()
        self._peppers: frozenset[str] = frozenset()
        self._revision = 0
        self._table: dict[bytes, VirtualKey] = {}
        self._file: Table = {}
        self._digests: dict[int, tuple[bytes, ...]] = {}
        """Record to its places in the table; none for one that was left out."""
        self._wrong: dict[int, tuple[str, str]] = {}
        """Record to its name and why it was left out."""
        self._rules: dict[bytes, _Rules] = {}

    def table(self, config: Config, mirror: Mirror, peppers: Sequence[Pepper]) -> Table:
        """Digest to key; the same object as before when nothing has changed."""
        made_of = (config.keys, mirror, mirror.generation, peppers)
        same = len(made_of) == len(self._made_of) and all(
            one is other or one == other for one, other in zip(made_of, self._made_of, strict=True)
        )
        if not same:
            self._begin(config, peppers)
            self._made_of = made_of
        records = mirror.records[Kind.KEY]
        changed = list(mirror.since(Kind.KEY, self._revision))
        new = sum(record.id not in self._digests for record in changed)
        # What is neither new nor here any more was deleted.
        gone = (
            self._digests.keys() - records.keys()
            if len(self._digests) + new != len(records)
            else ()
        )
        self._revision = mirror.revision
        if changed or gone:
            if same:
                # The old table belongs to a snapshot that is in use.
                self._table = self._table.copy()
            for id in gone:
                self._remove(id)
            names = {key.name for key in config.keys}
            for record in reversed(changed):
                self._remove(record.id)
                self._add(record, names)
        return self._table

    @property
    def any(self) -> bool:
        """Whether there is a key, in the file or in the store, usable or not."""
        return bool(self._file or self._digests)

    @property
    def problems(self) -> list[str]:
        """One sentence for each reason why keys of the store are left out."""
        reasons: dict[str, list[str]] = {}
        for name, reason in self._wrong.values():
            reasons.setdefault(reason, []).append(repr(name))
        return [f"key {_listed(names)}: {reason}" for reason, names in reasons.items()]

    def _begin(self, config: Config, peppers: Sequence[Pepper]) -> None:
        self._peppers = frozenset(pepper.id for pepper in peppers)
        self._file = snapshot.keys(config, peppers[0])
        self._table, self._digests, self._wrong = dict(self._file), {}, {}
        self._revision = 0

    def _remove(self, id: int) -> None:
        text = str(id)
        for digest in self._digests.pop(id, ()):
            kept = self._table.get(digest)
            if kept is not None and kept.id == text and digest not in self._file:
                del self._table[digest]
        self._wrong.pop(id, None)

    def _add(self, record: Record, names: set[str]) -> None:
        try:
            if record.name in names:
                raise ValueError("left out, the configuration file has a key of this name")
            keys = self._read(record)
        except ValueError as error:
            self._digests[record.id] = ()
            self._wrong[record.id] = record.name, str(error)
            return
        self._digests[record.id] = tuple(key.digest for key in keys)
        for key in keys:
            if key.digest not in self._file:
                self._table[key.digest] = key

    def _read(self, record: Record) -> list[VirtualKey]:
        """A key for each digest. Raises ValueError."""
        rules = self._rules.get(record.spec)
        if rules is None:
            if len(self._rules) >= _REMEMBERED:
                self._rules.clear()
            rules = self._rules[record.spec] = _rules(record)
        kept = digests(record.private)
        if not kept:
            raise ValueError("left out, nothing is stored to know it by")
        keys = [_key(record, one, rules) for one in kept if one.pepper in self._peppers]
        if not keys:
            raise ValueError("unknown, the secret it was made with is not here")
        return keys


def _rules(record: Record) -> _Rules:
    """What a key may do. Raises ValueError."""
    try:
        rules = _decode(record.spec)
        if not rules.cidrs and (rules.budget is None or _is_plain(rules.budget)):
            return rules
    except msgspec.ValidationError:
        pass
    # Late: the data path imports this package, and must not bring pydantic with it.
    from proxy.core.config import stored

    fields = orjson.loads(record.spec)
    if not isinstance(fields, dict):
        raise ValueError("left out, its record cannot be read")
    try:
        return _Rules(**snapshot.rules(stored.key(record.name, fields)))
    except stored.Unfit as error:
        raise ValueError(f"left out, {error}") from None


def _is_plain(budget: Budget) -> bool:
    """Whether it is as the data plane has it: the schema takes other spellings, and says what is wrong with others."""
    return budget.period in _PERIODS and _begins(budget.cron or PERIODS["day"], budget.tz)


@lru_cache(maxsize=4096)
def _begins(cron: str, tz: str) -> bool:
    """Whether a window can be found: of many keys few say another than all others."""
    try:
        check_budget_cron(cron, tz)
    except ValueError:
        return False
    return True


def _key(record: Record, one: Digest, rules: _Rules) -> VirtualKey:
    expires = rules.expires
    if one.until is not None and (expires is None or one.until < expires):
        expires = one.until
    return VirtualKey(
        record.name,
        bytes.fromhex(one.digest),
        rules.models,
        rules.enabled,
        expires,
        str(record.id),
        rules.routes,
        rules.cidrs,
        rules.owner or "",
        rules.team or "",
        rules.rpm or 0,
        rules.tpm or 0,
        rules.concurrency or 0,
        rules.budget,
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown
