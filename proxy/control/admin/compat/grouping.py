"""A group is a provider, its credentials, and one deployment for each model it serves.

    stored(record, …)     what of a group is in the store
    shown(group)          the group in the words it was made with

A model belongs to a group when no other provider serves it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from proxy.control.admin.compat import vendors
from proxy.control.admin.compat.spelled import (
    MAPPING,
    NUMBER,
    SWITCH,
    TEXT,
    TEXTS,
    WHOLE,
    Kind,
    moment,
)
from proxy.control.admin.sealing import key_of
from proxy.core.config.presets import address_of, presets
from proxy.core.records import Kind as Row
from proxy.core.records import spec_of

if TYPE_CHECKING:
    from proxy.core.config.schema import Config
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
    "description": TEXT,
}
ANSWERED = (
    "id",
    "status",
    "source",
    "keys",
    "createdAt",
    "updatedAt",
    "warnings",
    "success",
    "message",
)
"""What an answer has besides: sent back as it came, it changes nothing."""


class Place(Struct, frozen=True):
    """What of a deployment is a group's: read for all there are, so nothing else is."""

    provider: str = ""
    priority: int = 1
    weight: int = 10
    preferred: bool = False


class Served(Struct, frozen=True, eq=False):
    """One model of a group: its record, and the group's own deployments of it."""

    model: Record
    deployments: tuple[Record, ...]
    places: tuple[Place, ...]
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


_place = msgspec.json.Decoder(Place).decode


def place_of(deployment: Record) -> Place:
    """Where a deployment stands."""
    return _place(deployment.spec)


def stored(provider: Record, mirror: Mirror, vault: Vault | None) -> Group:
    """The group this provider is."""
    return group(provider, mirror, vault, served(mirror))


def group(
    provider: Record, mirror: Mirror, vault: Vault | None, serve: Mapping[str, list[Served]]
) -> Group:
    """The same, where `served` has been asked already."""
    credentials = mirror.children(Row.CREDENTIAL, provider.id)
    models = serve.get(provider.name, [])
    return Group(
        provider,
        tuple((one.id, key_of(one, vault)) for one in credentials),
        tuple(sorted(models, key=lambda one: one.deployments[0].id)),
    )


def served(mirror: Mirror) -> dict[str, list[Served]]:
    """Every provider's name to what it serves: read once for all groups."""
    found: dict[str, list[Served]] = {}
    for model in mirror.records.get(Row.MODEL, {}).values():
        own: dict[str, list[tuple[Record, Place]]] = {}
        for one in mirror.children(Row.DEPLOYMENT, model.id):
            place = _place(one.spec)
            own.setdefault(place.provider, []).append((one, place))
        for name, pairs in own.items():
            records, places = zip(*pairs, strict=True)
            found.setdefault(name, []).append(Served(model, records, places, len(own) == 1))
    return found


def shown(group: Group) -> dict[str, Any]:
    """The group as it was made, with its keys masked; null where nothing was said and the usual applies."""
    spec = group.spec
    return {
        "id": group.provider.id,
        "groupName": group.provider.name,
        "providerType": vendors.kind_of(spec),
        "baseUrl": address_of(spec),
        "apiKeys": [vendors.masked(key) for _, key in group.credentials],
        "models": [one.model.name for one in group.models],
        "retryCount": spec.get("retry", {}).get("count"),
        **in_short(spec, group.models),
        "enabled": spec.get("enabled", True),
        "parameters": spec.get("param_defaults", {}),
        "description": spec.get("note"),
        "source": "store",
        "createdAt": moment(group.provider.created),
        "updatedAt": moment(group.provider.updated),
    }


def in_short(spec: Mapping[str, Any], models: Sequence[Served]) -> dict[str, Any]:
    """Fields that are one number or word for what may be several: two timeouts, all deployments, all models."""
    timeouts = spec.get("timeouts", {})
    policies = (spec_of(one.model).get("strategy") for one in models if one.owned)
    places = (place for one in models for place in one.places)
    return {
        "balancePolicy": next(filter(None, policies), None),
        "timeout": timeouts.get("request", timeouts.get("ttft")),
        "priority": min((place.priority for place in places), default=None),
    }


def of_the_file(config: Config, name: str) -> dict[str, Any]:
    """A provider of the file as a group: to be seen, and changed in the file alone."""
    block = config.providers[name]
    served = [
        (model, deployment)
        for model, each in config.models.items()
        for deployment in each.deployments
        if deployment.provider == name
    ]
    spec = {"preset": block.preset, "base_url": block.base_url, "dialects": block.spoken}
    policies = (config.models[model].strategy for model, _ in served)
    timeouts = block.timeouts
    note = presets().get(block.preset or "", {}).get("note")
    return {
        "id": None,
        "groupName": name,
        "providerType": vendors.kind_of(spec),
        "baseUrl": block.base_url,
        "apiKeys": [vendors.masked(item.key.reveal()) for item in block.credentials],
        "models": list(dict.fromkeys(model for model, _ in served)),
        "balancePolicy": next(filter(None, policies), None),
        "retryCount": block.retry.count,
        "timeout": timeouts.ttft if timeouts.request is None else timeouts.request,
        "priority": min((deployment.priority for _, deployment in served), default=None),
        "enabled": block.enabled,
        "parameters": block.param_defaults,
        # A preset has a note of its own, on where its facts are from.
        "description": None if block.note == note else block.note,
        "source": "file",
        "createdAt": None,
        "updatedAt": None,
    }
