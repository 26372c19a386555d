"""`/admin/groups`: a provider, its keys and its models as one object, the way OrchestrationApi manages them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from proxy.control import health
from proxy.control.admin import body, figures
from proxy.control.admin.access import Permission
from proxy.control.admin.compat import grouping, plain, regrouping
from proxy.control.admin.compat.spelled import answer, read, schema
from proxy.control.admin.web import Answer, Problem, Route
from proxy.core.records import Kind

if TYPE_CHECKING:
    from proxy.control.admin.changes import Written
    from proxy.control.admin.compat.regrouping import Plan
    from proxy.control.admin.services import Services
    from proxy.control.admin.web import Request
    from proxy.core.config.schema import Config


async def listing(request: Request, services: Services) -> Answer:
    """Every group, those of the file first."""
    states = figures.providers(services.state)
    return Answer([{**group, **_state(group, states)} for group in await plain.every(services)])


async def one(request: Request, services: Services) -> Answer:
    """One group, by id or name."""
    target = request.params["id"]
    sync = services.sync
    if target in sync.config.providers and sync.mirror.get(Kind.PROVIDER, target) is None:
        group = grouping.of_the_file(sync.config, target)
    else:
        group = grouping.shown(plain.find(target, services, "group"))
    return Answer({**group, **_state(group, figures.providers(services.state))})


async def create(request: Request, services: Services) -> Answer:
    """A provider, its credentials and its deployments in one transaction."""
    given = read(
        body.fields(request),
        grouping.FIELDS,
        needed=("groupName", "providerType"),
        ignored=grouping.ANSWERED,
    )
    sync = services.sync
    plan, written = await _done(
        request,
        services,
        lambda: regrouping.create(given, sync.mirror, _models_of(sync.config)),
    )
    return _told(written[0].record.id, plan, services, "Group created successfully")


async def replace(request: Request, services: Services) -> Answer:
    """The fields that are given; the others stay."""
    sync = services.sync
    id = plain.find(request.params["id"], services, "group").provider.id
    given = read(body.fields(request), grouping.FIELDS, ignored=grouping.ANSWERED)

    def planned() -> Plan:
        group = plain.find(str(id), services, "group")
        return regrouping.replace(group, given, sync.mirror, _models_of(sync.config))

    plan, _ = await _done(request, services, planned)
    return _told(id, plan, services, "Group updated successfully")


async def remove(request: Request, services: Services) -> Answer:
    """The group away, and with it the models nothing else serves."""
    group = plain.find(request.params["id"], services, "group")
    plan = regrouping.remove(group, services.sync.mirror)
    await plain.apply(request, services, plan)
    return Answer(
        {
            "success": True,
            "message": "Group deleted successfully",
            "id": group.provider.id,
            "warnings": plan.warnings,
        }
    )


async def _done(
    request: Request, services: Services, planned: Callable[[], Plan]
) -> tuple[Plan, list[Written]]:
    """What is planned, done. A model that somebody else has made since then is joined: it is planned anew, with what is
    there now, unless that comes to the same. Raises Problem."""
    before: Plan | None = None
    while True:
        plan = planned()
        try:
            return plan, await plain.apply(request, services, plan)
        except Problem as problem:
            taken = problem.code == "conflict" and {one.field for one in problem.faults} == {
                "models"
            }
            if not taken or (before is not None and before.edits == plan.edits):
                raise
        before = plan
        await services.sync.refresh()


def _told(id: int, plan: Plan, services: Services, message: str) -> Answer:
    group = grouping.shown(plain.find(str(id), services, "group"))
    state = _state(group, figures.providers(services.state))
    said = {"success": True, "message": message, **group, **state}
    return Answer({**said, "warnings": plan.warnings})


def _models_of(config: Config) -> dict[str, str]:
    """Every name and alias of the file's models, to the model."""
    return {
        public: name for name, block in config.models.items() for public in (name, *block.aliases)
    }


def _state(group: Mapping[str, Any], states: Mapping[str, Any]) -> dict[str, Any]:
    """How it is: what this worker has seen of it."""
    seen = states.get(group["groupName"])
    if seen is None:
        return {"status": health.UNUSED, "keys": {}}
    return {"status": seen["status"], "keys": seen["keys"]}


_RULES: Mapping[str, Mapping[str, Any]] = {
    "providerType": {
        "description": "openai, anthropic, gemini, openai_compatible, or the name of a preset."
    },
    "retryCount": {"minimum": 0, "maximum": 20},
    "timeout": {"exclusiveMinimum": 0, "description": "Seconds."},
    "priority": {"minimum": 0},
    "weight": {"minimum": 0},
}
_SHOWN = answer(
    {
        name: kind
        for name, kind in grouping.FIELDS.items()
        if name not in ("weight", "allowPrivate", "allowHttp")
    },
    "id",
    "status",
    "keys",
)

ROUTES: tuple[Route, ...] = (
    Route(
        "GET",
        "/admin/groups",
        Permission.READ,
        listing,
        "Providers as groups.",
        answer={"type": "array", "items": _SHOWN},
        tag="groups",
    ),
    Route(
        "POST",
        "/admin/groups",
        Permission.CONFIGURE,
        create,
        "Create a provider with its keys and models.",
        body=schema(grouping.FIELDS, "groupName", "providerType", **_RULES),
        answer=_SHOWN,
        tag="groups",
    ),
    Route(
        "GET",
        "/admin/groups/{id}",
        Permission.READ,
        one,
        "One group.",
        answer=_SHOWN,
        tag="groups",
    ),
    Route(
        "PUT",
        "/admin/groups/{id}",
        # Switching a provider off and moving a deployment is an operator's; for the rest `changes` asks for more.
        Permission.OPERATE,
        replace,
        "Change a group; what is not given stays.",
        body=schema(grouping.FIELDS, **_RULES),
        answer=_SHOWN,
        tag="groups",
    ),
    Route(
        "DELETE",
        "/admin/groups/{id}",
        Permission.CONFIGURE,
        remove,
        "Delete a group and the models only it serves.",
        tag="groups",
    ),
)
