"""A group is a provider, its credentials, and one deployment for each model it serves.

    stored(record, …)     what of a group is in the store
    shown(group)          the group in the words it was made with

A model belongs to a group when no other provider serves it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson
from msgspec import Struct

from proxy.control.admin import vendors
from proxy.control.admin.spelled import (
    MAPPING,
    NUMBER,
    SWITCH,
    TEXT,
    TEXTS,
    WHOLE,
    Kind,
)
from proxy.core.records import Kind as Row

if TYPE_CHECKING:
    from proxy.core.records import Record
    from proxy.core.vault import Vault
    from proxy.state.mirror import Mirror

FIELDS: Mapping[str, Kind] = {
    "groupName": TEXT,
    "providerType": TEXT,
    "baseUrl": TEXT,
    "apiKeys": TEXTS,
    "models": TEXTS,
    "balancePolicy": TEXT,
    "retryCount": WHOLE,
    "timeout": NUMBER,
    "priority": WHOLE,
    "weight": WHOLE,
    "enabled": SWITCH,
    "parameters": MAPPING,
    "allowPrivate": SWITCH,
    "allowHttp": SWITCH,
    # What an answer has besides: sent back as it came, it changes nothing.
    "id": WHOLE,
    "status": TEXT,
    "source": TEXT,
    "keys": MAPPING,
    "createdAt": NUMBER,
    "updatedAt": NUMBER,
    "warnings": TEXTS,
    "success": SWITCH,
    "message": TEXT,
}


class Served(Struct, frozen=True, eq=False):
    """One model of a group: its record, and the group's own deployments of it."""

    model: Record
    deployments: tuple[Record, ...]
    owned: bool
    """No other provider serves it."""


class Group(Struct, frozen=True, eq=False):
    """What of one is in the store."""

    provider: Record
    credentials: tuple[tuple[int, str | None], ...] = ()
    """Id and key; None for one that cannot be opened."""
    models: tuple[Served, ...] = ()

    @property
    def spec(self) -> dict[str, Any]:
        return spec_of(self.provider)


def spec_of(record: Record) -> dict[str, Any]:
    """A record's fields."""
    spec: dict[str, Any] = orjson.loads(record.spec)
    return spec


def stored(provider: Record, mirror: Mirror, vault: Vault | None) -> Group:
    """The group this provider is."""
    served: list[Served] = []
    for model in mirror.records.get(Row.MODEL, {}).values():
        every = mirror.children(Row.DEPLOYMENT, model.id)
        own = tuple(one for one in every if spec_of(one).get("provider") == provider.name)
        if own:
            served.append(Served(model, own, owned=len(own) == len(every)))
    served.sort(key=lambda one: one.deployments[0].id)
    credentials = mirror.children(Row.CREDENTIAL, provider.id)
    return Group(
        provider,
        tuple((one.id, vendors.key_of(one, vault)) for one in credentials),
        tuple(served),
    )


def shown(group: Group) -> dict[str, Any]:
    """The group as it was made, with its keys masked; null where nothing was said and the usual applies."""
    spec = group.spec
    places = [spec_of(each) for one in group.models for each in one.deployments]
    timeouts = spec.get("timeouts", {})
    policies = [spec_of(one.model).get("strategy") for one in group.models if one.owned]
    return {
        "id": group.provider.id,
        "groupName": group.provider.name,
        "providerType": vendors.kind_of(spec),
        "baseUrl": vendors.address_of(spec),
        "apiKeys": [vendors.masked(key) for _, key in group.credentials],
        "models": [one.model.name for one in group.models],
        "balancePolicy": next(filter(None, policies), None),
        "retryCount": spec.get("retry", {}).get("count"),
        "timeout": timeouts.get("request", timeouts.get("ttft")),
        "priority": min((place.get("priority", 1) for place in places), default=None),
        "enabled": spec.get("enabled", True),
        "parameters": spec.get("param_defaults", {}),
    }
