"""What the store keeps of the configuration: one row for each object, in the words of the configuration file.

Every write gets the next number of one sequence, its revision. Writers are serialised, so revisions become visible
in order, and who asks for everything above the last revision it has seen misses nothing. A deleted object stays for
a while as a row that says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import orjson
from msgspec import Struct


class Kind(StrEnum):
    """What a row is."""

    PROVIDER = "provider"
    CREDENTIAL = "credential"
    """Its parent is a provider."""
    MODEL = "model"
    DEPLOYMENT = "deployment"
    """Its parent is a model."""
    KEY = "key"
    SETTING = "setting"
    """A section of the configuration: `defaults`, `health`, `auth`, `logging`, `limits`, `teams`, `prices`."""
    SIGNAL = "signal"
    """Something every worker is to do once: `reload`, `stats.reset`, `cache.clear`."""


PARENTS: Mapping[str, Kind] = {Kind.CREDENTIAL: Kind.PROVIDER, Kind.DEPLOYMENT: Kind.MODEL}
"""Kinds that live in another object, and in which."""


class Record(Struct, frozen=True, eq=False, gc=False):
    """One row. `gc=False`: it holds only texts and numbers, and there may be a hundred thousand."""

    kind: str
    id: int
    """The revision that made it; so unique over all kinds."""
    revision: int
    """Of its last change: the ETag."""
    name: str = ""
    """Unique in its kind among what is not deleted; empty for credentials and deployments."""
    parent: int = 0
    """The id of the provider of a credential, or of the model of a deployment; else 0."""
    spec: bytes = b"{}"
    """A JSON object with the fields of the configuration file, without secrets and without the name."""
    sealed: str = ""
    """The fields that are secrets, as a JSON object sealed by `core.vault` for `place`."""
    private: bytes = b""
    """JSON that is neither shown nor part of the configuration: the digests of a virtual key."""
    created: float = 0.0
    updated: float = 0.0
    """Unix time."""
    deleted: bool = False


def spec_of(record: Record) -> dict[str, Any]:
    """Its fields."""
    fields: dict[str, Any] = orjson.loads(record.spec)
    return fields


def place(kind: str, id: int) -> str:
    """What the secrets of an object are sealed for."""
    return f"{kind}/{id}"


def is_id(text: str) -> bool:
    """Whether it could be a record's id."""
    return text.isascii() and text.isdecimal() and len(text) <= 18
