"""`/admin/groups`: a provider, its keys and its models as one object, the way OrchestrationApi manages them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from proxy.control import health
from proxy.control.admin import body, changes, grouping, regrouping, vendors
from proxy.control.admin.access import Permission
from proxy.control.admin.spelled import Given, read
from proxy.control.admin.web import Answer, Problem, Route
from proxy.core.records import Kind

if TYPE_CHECKING:
    from proxy.control.admin.grouping import Group
    from proxy.control.admin.regrouping import Plan
    from proxy.control.admin.services import Services
    from proxy.control.admin.web import Request
    from proxy.core.config.schema import Config


async def listing(request: Request, services: Services) -> Answer:
    """Every group, those of the file first."""
    states = _states(services)
    config = services.sync.config
    in_file = [_of_the_file(config, name) for name in config.providers]
    stored = [_shown(_group(record.id, services)) for record in _providers(services).values()]
    return Answer([{**group, **_state(group, states)} for group in (*in_file, *stored)])


async def one(request: Request, services: Services) -> Answer:
    """One group, by id or name."""
    target = request.params["id"]
    config = services.sync.config
    if target in config.providers and services.sync.mirror.get(Kind.PROVIDER, target) is None:
        group = _of_the_file(config, target)
    else:
        group = _shown(_find(target, services))
    return Answer({**group, **_state(group, _states(services))})


async def create(request: Request, services: Services) -> Answer:
    """A provider, its credentials and its deployments in one transaction."""
    given = read(body.fields(request), grouping.FIELDS, needed=("groupName", "providerType"))
    plan = regrouping.create(given, services.sync.mirror, _models_of(services.sync.config))
    written = await _apply(plan, request, services)
    return _told(written[0].record.id, plan, written, services, "Group created successfully")


async def replace(request: Request, services: Services) -> Answer:
    """The fields that are given; the others stay."""
    group = _find(request.params["id"], services)
    given: Given = read(body.fields(request), grouping.FIELDS)
    mirror, config = services.sync.mirror, services.sync.config
    plan = regrouping.replace(group, given, mirror, _models_of(config))
    written = await _apply(plan, request, services)
    return _told(group.provider.id, plan, written, services, "Group updated successfully")


async def remove(request: Request, services: Services) -> Answer:
    """The group away, and with it the models nothing else serves."""
    group = _find(request.params["id"], services)
    plan = regrouping.remove(group, services.sync.mirror)
    await _apply(plan, request, services)
    return Answer(
        {
            "success": True,
            "message": "Group deleted successfully",
            "id": group.provider.id,
            "warnings": plan.warnings,
        }
    )


async def _apply(plan: Plan, request: Request, services: Services) -> list[changes.Written]:
    if not plan.edits:
        return []
    try:
        return await changes.apply(request, services, plan.edits)
    except Problem as problem:
        raise regrouping.in_their_words(problem, plan.edits) from None


def _told(
    id: int, plan: Plan, written: list[changes.Written], services: Services, message: str
) -> Answer:
    group = _shown(_group(id, services))
    said = [warning for one in written for warning in one.warnings]
    return Answer(
        {
            "success": True,
            "message": message,
            **group,
            **_state(group, _states(services)),
            "warnings": [*plan.warnings, *dict.fromkeys(said)],
        }
    )


def _find(target: str, services: Services) -> Group:
    record = services.sync.mirror.get(Kind.PROVIDER, target)
    if record is not None:
        return _group(record.id, services)
    if target in services.sync.config.providers:
        raise Problem(
            409,
            "read_only",
            f"The provider '{target}' is in the configuration file, which is read-only here.",
        )
    raise Problem(404, "not_found", "There is no such group.")


def _group(id: int, services: Services) -> Group:
    sync = services.sync
    return grouping.stored(_providers(services)[id], sync.mirror, sync.vault)


def _providers(services: Services) -> Mapping[int, Any]:
    return services.sync.mirror.records.get(Kind.PROVIDER, {})


def _models_of(config: Config) -> dict[str, str]:
    """Every name and alias of the file's models, to the model."""
    return {
        public: name for name, block in config.models.items() for public in (name, *block.aliases)
    }


def _shown(group: Group) -> dict[str, Any]:
    record = group.provider
    return {
        **grouping.shown(group),
        "source": "store",
        "createdAt": record.created,
        "updatedAt": record.updated,
    }


def _of_the_file(config: Config, name: str) -> dict[str, Any]:
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
        "source": "file",
        "createdAt": None,
        "updatedAt": None,
    }


def _states(services: Services) -> Mapping[str, Any]:
    state = services.state
    _, content = health.health(
        state.snapshot, state.live, state.metrics, state.started, detail=True
    )
    providers: Mapping[str, Any] = content["providers"]
    return providers


def _state(group: Mapping[str, Any], states: Mapping[str, Any]) -> dict[str, Any]:
    """How it is: what this worker has seen of it."""
    seen = states.get(group["groupName"])
    if seen is None:
        return {"status": health.UNUSED, "keys": {}}
    return {"status": seen["status"], "keys": seen["keys"]}


_GROUP: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "groupName": {"type": "string"},
        "providerType": {
            "type": "string",
            "description": "openai, anthropic, gemini, openai_compatible, or the name of a preset.",
        },
        "baseUrl": {"type": "string"},
        "apiKeys": {"type": "array", "items": {"type": "string"}},
        "models": {"type": "array", "items": {"type": "string"}},
        "balancePolicy": {"type": "string"},
        "retryCount": {"type": "integer", "minimum": 0},
        "timeout": {"type": "number", "exclusiveMinimum": 0, "description": "Seconds."},
        "priority": {"type": "integer", "minimum": 0},
        "weight": {"type": "integer", "minimum": 0},
        "enabled": {"type": "boolean"},
        "parameters": {"type": "object"},
        "allowPrivate": {"type": "boolean"},
        "allowHttp": {"type": "boolean"},
    },
}

ROUTES: tuple[Route, ...] = (
    Route("GET", "/admin/groups", Permission.READ, listing, "Providers as groups", tag="groups"),
    Route(
        "POST",
        "/admin/groups",
        Permission.CONFIGURE,
        create,
        "Create a provider with its keys and models",
        body={**_GROUP, "required": ["groupName", "providerType"]},
        answer=_GROUP,
        tag="groups",
    ),
    Route(
        "GET",
        "/admin/groups/{id}",
        Permission.READ,
        one,
        "One group",
        answer=_GROUP,
        tag="groups",
    ),
    Route(
        "PUT",
        "/admin/groups/{id}",
        Permission.CONFIGURE,
        replace,
        "Change a group; what is not given stays",
        body=_GROUP,
        answer=_GROUP,
        tag="groups",
    ),
    Route(
        "DELETE",
        "/admin/groups/{id}",
        Permission.CONFIGURE,
        remove,
        "Delete a group and the models only it serves",
        tag="groups",
    ),
)
