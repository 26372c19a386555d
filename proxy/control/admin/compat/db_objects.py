"""`/v1/db/models` and `/v1/db/providers`: what AiRouter keeps in its database, made and listed as it does.

A model is made with a provider or without one; without, it is kept and not served. The same name with another
provider is one more deployment of it. Answers to `POST` have the fields that gateway documents and no others: what of
a body is not kept stands in the header `x-headrace-not-kept`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, get_args
from urllib.parse import quote

from proxy.control.admin import body, changes
from proxy.control.admin.access import Permission
from proxy.control.admin.compat import plain
from proxy.control.admin.compat.grouping import place_of
from proxy.control.admin.compat.plain import Words
from proxy.control.admin.compat.spelled import (
    SWITCH,
    TARGET,
    TEXT,
    WHOLE,
    Kind,
    invalid,
    moment,
    read,
    renamed,
    schema,
)
from proxy.control.admin.turns import turns
from proxy.control.admin.web import Answer, Fault, Problem, Route
from proxy.core.config.fields import ModelType
from proxy.core.records import Kind as Row
from proxy.core.records import spec_of

if TYPE_CHECKING:
    from proxy.control.admin.services import Services
    from proxy.control.admin.web import Request
    from proxy.core.records import Record
    from proxy.state.mirror import Mirror

NOT_KEPT = "x-headrace-not-kept"
SHOWN, LONGEST, ROOM = 32, 64, 3000
"""Of what is not kept: fields that are named, and characters of a name and of all of them, about."""
TYPES = frozenset(get_args(ModelType))
MODEL: Mapping[str, Kind] = {
    "name": TEXT,
    "llm_type": TEXT,
    "description": TEXT,
    "provider_id": TARGET,
    "provider_weight": WHOLE,
    "is_provider_preferred": SWITCH,
}
PROVIDER: Mapping[str, Kind] = {
    "name": TEXT,
    "provider_type": TEXT,
    "api_key": TEXT,
    "base_url": TEXT,
    "description": TEXT,
    "is_enabled": SWITCH,
    "allow_private": SWITCH,
    "allow_http": SWITCH,
}
WORDS = Words(
    theirs={
        "groupName": "name",
        "providerType": "provider_type",
        "baseUrl": "base_url",
        "apiKeys": "api_key",
        "enabled": "is_enabled",
        "allowPrivate": "allow_private",
        "allowHttp": "allow_http",
    },
    fields={
        "name": "groupName",
        "provider_type": "providerType",
        "api_key": "apiKeys",
        "base_url": "baseUrl",
        "description": "description",
        "is_enabled": "enabled",
        "allow_private": "allowPrivate",
        "allow_http": "allowHttp",
    },
)
NATIVE: Mapping[str, str] = {
    "name": "name",
    "type": "llm_type",
    "description": "description",
    "provider": "provider_id",
    "weight": "provider_weight",
    "preferred": "is_provider_preferred",
}
"""What our fields of a model and of a deployment are called."""


# --- models ---


async def create_model(request: Request, services: Services) -> Answer:
    """A model, with a provider or without; or one more provider for a model that is there."""
    given = read(body.fields(request), MODEL, needed=("name",))
    name, mirror = given.get("name"), services.sync.mirror
    fields, unknown = _fields(given.get("llm_type"), given.get("description"))
    provider = _provider(given.get("provider_id"), services)
    id = mirror.names.get(Row.MODEL, {}).get(name)
    edits: list[changes.Edit] = []
    if id is None:
        edits.append(changes.Create(Row.MODEL, name, fields))
    elif provider is None:
        raise Problem(409, "conflict", f"There is a model called '{name}' already.")
    elif any(place_of(each).provider == provider[1] for each in _deployments(id, mirror)):
        raise Problem(409, "conflict", f"'{provider[1]}' serves the model '{name}' already.")
    weight = given.get("provider_weight", 10)
    preferred = given.get("is_provider_preferred", False)
    if provider is not None:
        place = {"provider": provider[1], "weight": weight, "preferred": preferred}
        parent = "@0" if id is None else str(id)
        edits.append(changes.Create(Row.DEPLOYMENT, "", place, parent=parent))
    try:
        written = await changes.apply(request, services, edits)
    except Problem as problem:
        raise renamed(
            problem, {fault.field: _field(fault.field) for fault in problem.faults}
        ) from None
    content: dict[str, Any] = {
        "message": "Model created successfully" if id is None else "Provider added successfully",
        "id": written[0].record.id if id is None else id,
        "name": name,
    }
    if provider is not None:
        content["provider_info"] = {
            "provider_id": provider[0],
            "provider_name": provider[1],
            "weight": weight,
            "is_preferred": preferred,
        }
    return Answer(content, headers=_not_kept((*given.unknown, *unknown)))


def _fields(llm_type: str | None, description: str | None) -> tuple[dict[str, Any], list[str]]:
    """The fields of a model, and those that are not kept: types that gateway has and we have not."""
    fields: dict[str, Any] = {}
    unknown: list[str] = []
    if llm_type is not None and llm_type.casefold() in TYPES:
        fields["type"] = llm_type.casefold()
    elif llm_type is not None:
        unknown.append("llm_type")
    if description is not None:
        fields["description"] = description
    return fields, unknown


def _provider(target: str | None, services: Services) -> tuple[int | None, str] | None:
    """Id and name; a provider of the file has no id."""
    if target is None:
        return None
    record = services.sync.mirror.get(Row.PROVIDER, target)
    if record is not None:
        return record.id, record.name
    if target in services.sync.config.providers:
        return None, target
    raise invalid(Fault("provider_id", "there is no such provider"))


def _deployments(model: int, mirror: Mirror) -> list[Record]:
    return mirror.children(Row.DEPLOYMENT, model)


def _field(name: str) -> str:
    """`[1].weight` as they say it."""
    top = name.rpartition("].")[2].partition(".")[0]
    return NATIVE.get(top, top)


async def models(request: Request, services: Services) -> Answer:
    """Every model, those of the file first."""
    mirror, config = services.sync.mirror, services.sync.config
    ids = mirror.names.get(Row.PROVIDER, {})
    in_file = [
        {
            "id": None,
            "name": name,
            "type": block.type,
            "description": block.description,
            "is_enabled": True,
            "providers": [
                _place(each.provider, each.weight, each.preferred, ids)
                for each in block.deployments
            ],
            "created_at": None,
            "updated_at": None,
        }
        for name, block in config.models.items()
    ]
    records = plain.in_order(mirror, Row.MODEL)
    stored = [_model(record, mirror, ids) async for record in turns(records)]
    every = [*in_file, *stored]
    return Answer({"models": every, "total": len(every)})


def _model(record: Record, mirror: Mirror, ids: Mapping[str, int]) -> dict[str, Any]:
    spec = spec_of(record)
    places = map(place_of, _deployments(record.id, mirror))
    return {
        "id": record.id,
        "name": record.name,
        "type": spec.get("type"),
        "description": spec.get("description"),
        "is_enabled": True,
        "providers": [
            _place(place.provider, place.weight, place.preferred, ids) for place in places
        ],
        "created_at": moment(record.created),
        "updated_at": moment(record.updated),
    }


def _place(name: str, weight: int, preferred: bool, ids: Mapping[str, int]) -> dict[str, Any]:
    return {
        "provider_id": ids.get(name),
        "provider_name": name,
        "weight": weight,
        "is_preferred": preferred,
    }


# --- providers ---


async def create_provider(request: Request, services: Services) -> Answer:
    """A provider and its key; whose it is, if nobody says, its address does."""
    given = read(body.fields(request), PROVIDER, needed=("name",))
    if "provider_type" not in given.values and "base_url" not in given.values:
        raise invalid(Fault("base_url", "it is missing"))
    group, _ = await plain.create(request, services, given, WORDS)
    content = {
        "message": "Provider created successfully",
        "id": group.provider.id,
        "name": group.provider.name,
        "provider_id": group.provider.id,
        "provider_name": group.provider.name,
    }
    return Answer(content, headers=_not_kept(given.unknown))


async def providers(request: Request, services: Services) -> Answer:
    """Every provider, those of the file first."""
    every = [
        {
            "id": group["id"],
            "name": group["groupName"],
            "type": group["providerType"],
            "base_url": group["baseUrl"],
            "description": group["description"],
            "is_enabled": group["enabled"],
            "created_at": group["createdAt"],
            "updated_at": group["updatedAt"],
        }
        for group in await plain.every(services)
    ]
    return Answer({"providers": every, "total": len(every)})


def _not_kept(names: Iterable[str]) -> dict[str, str]:
    """Named as far as a header goes that every client takes."""
    every, listed, room = list(names), list[str](), ROOM
    for name in every[:SHOWN]:
        listed.append(quote(name[:LONGEST], safe=""))
        room -= len(listed[-1])
        if room < 0:
            break
    more = len(every) - len(listed)
    shown = ", ".join([*listed, f"and {more} more"] if more else listed)
    return {NOT_KEPT: shown} if shown else {}


_MODELS, _PROVIDERS = "/v1/db/models", "/v1/db/providers"

ROUTES: tuple[Route, ...] = (
    Route("GET", _MODELS, Permission.READ, models, "Models.", tag="db"),
    Route(
        "POST",
        _MODELS,
        Permission.OPERATE,
        create_model,
        "Create a model, or give one another provider.",
        body=schema(MODEL, "name", provider_weight={"minimum": 0}),
        tag="db",
    ),
    Route("GET", _PROVIDERS, Permission.READ, providers, "Providers.", tag="db"),
    Route(
        "POST",
        _PROVIDERS,
        Permission.CONFIGURE,
        create_provider,
        "Create a provider with one key.",
        body=schema(PROVIDER, "name"),
        tag="db",
    ),
)
