"""Who limits are for: a key, a team, a model, a deployment, a credential, or everything."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

from proxy.core.model import Limits

if TYPE_CHECKING:
    from proxy.core.model import Budget, Credential, Deployment, Model, Quota, Snapshot, VirtualKey

T = TypeVar("T")
NONE = Limits()


class Subject(Struct, frozen=True, eq=False, gc=False):
    """One that is limited, with its limits. 0 and None are no limit."""

    kind: str
    """`key`, `team`, `model`, `deployment`, `credential`, `global`: the label `scope` of metrics."""
    name: str
    """For people."""
    id: str
    """`<kind>:<id>`: what is kept is kept under it, in shared memory, the database and Redis."""
    digest: bytes
    """16 bytes of BLAKE2 of `id`."""
    rpm: int = 0
    tpm: int = 0
    concurrency: int = 0
    burst: int = 0
    budget: Budget | None = None
    quota: Quota | None = None

    @property
    def counts_tokens(self) -> bool:
        """Whether somebody has to say how many tokens a request may take."""
        return bool(self.tpm or (self.quota is not None and self.quota.tokens))


def subject(
    kind: str, name: str, id: str, limits: Limits | None, quota: Quota | None = None
) -> Subject | None:
    """None where nothing is limited."""
    limits = limits or NONE
    if limits == NONE and quota is None:
        return None
    full = f"{kind}:{id}"
    return Subject(
        kind,
        name,
        full,
        blake2b(full.encode(), digest_size=16).digest(),
        limits.rpm,
        limits.tpm,
        limits.concurrency,
        limits.burst or max(1, limits.rpm // 10),
        limits.budget,
        quota,
    )


def of_key(key: VirtualKey) -> Subject | None:
    """Under the id of its record: it keeps its account when it is renamed or its secret is rotated."""
    limits = Limits(key.rpm, key.tpm, key.concurrency, 0, key.budget)
    return subject("key", key.name, key.id, limits)


def of_team(name: str, limits: Limits) -> Subject | None:
    """Of all its keys together."""
    return subject("team", name, name, limits)


def of_model(model: Model) -> Subject | None:
    """Of a public name."""
    return subject("model", model.name, model.name, model.limits)


def of_deployment(deployment: Deployment) -> Subject | None:
    """Of one way to serve a model."""
    return subject("deployment", deployment.id, deployment.id, deployment.limits, deployment.quota)


def of_credential(credential: Credential) -> Subject | None:
    """Of what is presented to a provider."""
    return subject("credential", credential.id, credential.id, credential.limits, credential.quota)


def of_everything(snapshot: Snapshot) -> Subject | None:
    """Of the whole installation."""
    return subject("global", "global", "global", snapshot.limits)


class Subjects:
    """Subjects made once: `of(thing, make)` remembers by the identity of a compiled record, which never changes."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[int, tuple[object, Subject | None]] = {}

    def of(self, thing: T, make: Callable[[T], Subject | None]) -> Subject | None:
        """The subject of a record."""
        known = self._known.get(id(thing))
        if known is not None and known[0] is thing:
            return known[1]
        if len(self._known) > 20_000:
            self._known.clear()
        made = make(thing)
        self._known[id(thing)] = thing, made
        return made


@lru_cache(maxsize=65536)
def digest_of(id: str) -> bytes:
    """The digest of a subject by its id."""
    return blake2b(id.encode(), digest_size=16).digest()
