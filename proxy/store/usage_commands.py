"""`headrace usage import`: what another gateway has counted of quotas, booked as used here.

Read is what AI API Gateway answers at `/admin/stats`, `{model: {provider: {requests, tokens, last_reset}}}`, and files in a folder
(`data/usage`) that have it, or a part of it: of one model, named by the file or by a field, or of one provider of it. It goes into
the window that runs, once: a second import of the same window counts nothing. What was counted before that window began is
over, and is said. Gives the exit code, as `headrace keys` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_OID, uuid5
from zoneinfo import ZoneInfo

import orjson
from msgspec import Struct

from proxy.core import clock, periods
from proxy.core.config.problem import printable
from proxy.ledger.records import Adjust, Charged
from proxy.limits.subjects import of_deployment
from proxy.state.snapshot import compile_snapshot
from proxy.store.base import Store, StoreBroken, StoreDown
from proxy.store.console import DOWN, OK, UNUSABLE, answer, say
from proxy.store.ledger.booking import book
from proxy.store.opening import open_store

if TYPE_CHECKING:
    from proxy.core.config.schema import Config
    from proxy.core.model import Deployment, Snapshot

HOST = "import"
"""Whose rows these are in the table of counters: no host is called so, and each adds what others counted."""
_LONGEST = 1 << 24
"""Bytes of one file."""
_TABLES = ("usage", "data", "stats")
"""Names under which a file may have all of it."""


class Counted(Struct, frozen=True):
    """What one provider of a model was used for, since it was last begun anew."""

    model: str
    provider: str
    requests: int
    tokens: int
    since: str = ""
    """ISO 8601, in the zone of the quota unless it says another; empty: not said."""


def read(place: Path) -> list[Counted]:
    """A file, or all `*.json` of a folder. Raises ValueError for what is none of these."""
    if not place.is_dir():
        return list(_counted(_json(place), _names(place.stem)))
    files = sorted(place.glob("*.json"))
    if not files:
        raise ValueError(f"{place}: there is no *.json")
    return [one for file in files for one in _counted(_json(file), _names(file.stem))]


def _json(file: Path) -> Any:
    try:
        with file.open("rb") as opened:
            raw = opened.read(_LONGEST + 1)
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror}") from None
    if len(raw) > _LONGEST:
        raise ValueError(f"{file}: larger than {_LONGEST} bytes")
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise ValueError(f"{file}: no JSON") from None


def _names(stem: str) -> tuple[str, ...]:
    return (stem,)


def _counted(found: Any, around: tuple[str, ...]) -> Iterator[Counted]:
    """Every object with `requests` and `tokens`, by the two names above it: those of a file count where there are fewer."""
    if not isinstance(found, dict):
        return
    if "requests" in found or "tokens" in found:
        model, provider = _place(found, around)
        yield Counted(
            model,
            provider,
            _number(found.get("requests")),
            _number(found.get("tokens")),
            str(found.get("last_reset") or found.get("window_start") or ""),
        )
        return
    for name, inner in found.items():
        yield from _counted(inner, around if name in _TABLES else (*around, str(name)))


def _place(found: dict[str, Any], around: tuple[str, ...]) -> tuple[str, str]:
    names = [*around[-2:]] if len(around) > 1 else ["", around[0]]
    return str(found.get("model") or names[0]), str(found.get("provider") or names[1])


def _number(value: object) -> int:
    return int(value) if isinstance(value, int | float) and 0 <= value < 1e15 else 0


def matching(snapshot: Snapshot, one: Counted) -> Deployment | None:
    """The deployment it is about; None: there is none, or more than one that could be meant."""
    found = [
        deployment
        for model in {id(model): model for model in snapshot.models.values()}.values()
        for deployment in model.own
        if deployment.quota is not None and _is(model.name, deployment.provider.name, one)
    ]
    return found[0] if len(found) == 1 else None


def _is(model: str, provider: str, one: Counted) -> bool:
    # Two providers of one name in different models have got the model's beside it.
    called = provider in (one.provider, f"{one.provider} ({model})")
    if one.model == model or not one.model:
        # A file is named after both, in one way or another.
        return called or (not one.model and one.provider in _joined(model, provider))
    return False


def _joined(model: str, provider: str) -> set[str]:
    plain = provider.partition(" (")[0]
    return {
        f"{a}{mark}{b}".replace("/", over)
        for a, b in ((model, plain), (plain, model))
        for mark in ("_", "-", ":", ".", "__")
        for over in ("/", "_", "-")
    }


def adjustment(deployment: Deployment, one: Counted) -> Adjust | None:
    """What books it; None: it was counted before the window that runs."""
    subject, quota = of_deployment(deployment), deployment.quota
    assert subject is not None
    assert quota is not None
    now = clock.now()
    window = periods.of_quota(quota, now)
    if one.since and not _at(one.since, quota.tz) >= window.start:
        return None
    rid = str(uuid5(NAMESPACE_OID, f"headrace usage {subject.id} {window.start}"))
    charge = Charged(subject.id, window.start, window.ends)
    return Adjust(rid, now, charge, one.requests, one.tokens, 0)


def _at(text: str, zone: str) -> float:
    """Raises ValueError for what is no time."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        expected = "a time such as 2027-01-31T00:00:00"
        raise ValueError(f"last_reset: expected {expected}, found {printable(text)!r}") from None
    return (found if found.tzinfo else found.replace(tzinfo=ZoneInfo(zone))).timestamp()


def take(config: Config, place: Path, *, as_json: bool = False) -> int:
    """Book what a file or a folder says."""
    try:
        counted = read(place)
        snapshot = compile_snapshot(config)
        made: dict[str, Adjust] = {}
        for one in counted:
            name = f"{one.model or '?'}, {one.provider}"
            deployment = matching(snapshot, one)
            if deployment is None:
                say(f"not taken: {name}: no deployment with a quota is called so")
                continue
            try:
                record = adjustment(deployment, one)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
            if record is None:
                say(f"not taken: {name}: its period has ended since {one.since}")
                continue
            made[deployment.id] = record
        booked = asyncio.run(_book(config, list(made.values()))) if made else 0
    except StoreDown as error:
        say(f"the database does not answer: {error}")
        return DOWN
    except (StoreBroken, ValueError) as error:
        say(str(error))
        return UNUSABLE
    for id, record in made.items():
        say(f"{id}: {record.requests} requests, {record.tokens} tokens")
    if booked < len(made):
        say(f"{len(made) - booked} had been taken before, and count once")
    if as_json:
        answer({"taken": {id: [one.requests, one.tokens] for id, one in made.items()}})
    return OK if made or not counted else UNUSABLE


async def _book(config: Config, records: list[Adjust]) -> int:
    """How many of them were new."""
    store: Store = open_store(config.store.url)
    try:
        await store.open()
        async with store.transaction() as session:
            before = await session.fetch(_COUNT, HOST)
        await book(store, HOST, records)
        async with store.transaction() as session:
            after = await session.fetch(_COUNT, HOST)
    finally:
        await store.close()
    return int(after[0][0]) - int(before[0][0])


_COUNT = "SELECT count(*) FROM counters WHERE host = $1"
