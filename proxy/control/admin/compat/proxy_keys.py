"""`/admin/proxy-keys`: virtual keys under the name OrchestrationApi has for them, with a limit of requests a minute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from proxy.control.admin import body, changes
from proxy.control.admin.access import Permission, Principal, may_touch
from proxy.control.admin.compat import plain
from proxy.control.admin.compat.spelled import (
    SWITCH,
    TEXT,
    TEXTS,
    WHOLE,
    Given,
    Kind,
    answer,
    invalid,
    moment,
    read,
    schema,
)
from proxy.control.admin.refusal import missing, read_only
from proxy.control.admin.turns import turns
from proxy.control.admin.web import Answer, Fault, Route
from proxy.core import records, virtual_key
from proxy.core.records import spec_of
from proxy.core.redact import MASK

if TYPE_CHECKING:
    from proxy.control.admin.services import Services
    from proxy.control.admin.web import Request
    from proxy.core.records import Record

FIELDS: Mapping[str, Kind] = {"name": TEXT, "rpm": WHOLE, "enabled": SWITCH, "models": TEXTS}
ANSWERED = ("id", "key", "source", "createdAt", "updatedAt", "warnings", "success", "message")


def edited(given: Given) -> dict[str, Any]:
    """The fields of a virtual key. No limit is 0 there, and null here."""
    fields = {name: given.get(name) for name in ("enabled", "models") if name in given.values}
    if "rpm" in given.values:
        if given.get("rpm") < 0:
            raise invalid(
                Fault("rpm", "a number of requests a minute is expected, or 0 for no limit")
            )
        fields["rpm"] = given.get("rpm") or None
    return fields


def shown(record: Record) -> dict[str, Any]:
    """A key without what opens anything."""
    spec = spec_of(record)
    last4 = next((each.last4 for each in virtual_key.digests(record.private)), "")
    return {
        "id": record.id,
        "name": record.name,
        "key": MASK + last4,
        "rpm": spec.get("rpm"),
        "enabled": spec.get("enabled", True),
        "models": spec.get("models", ["*"]),
        "source": "store",
        "createdAt": moment(record.created),
        "updatedAt": moment(record.updated),
    }


async def listing(request: Request, services: Services) -> Answer:
    """Every key the caller may see, those of the file first."""
    principal = request.who
    stored = plain.in_order(services.sync.mirror, records.Kind.KEY)
    mine = [shown(record) async for record in turns(stored) if _may(principal, record)]
    return Answer([*_of_the_file(principal, services), *mine])


def _of_the_file(principal: Principal, services: Services) -> list[dict[str, Any]]:
    return [
        {
            "id": None,
            "name": key.name,
            "key": MASK,
            "rpm": key.rpm,
            "enabled": key.enabled,
            "models": key.models,
            "source": "file",
            "createdAt": None,
            "updatedAt": None,
        }
        for key in services.sync.config.keys
        if may_touch(principal, key.team or "")
    ]


async def one(request: Request, services: Services) -> Answer:
    """One key, by id or name."""
    target = request.params["id"]
    record = services.sync.mirror.get(records.Kind.KEY, target)
    if record is not None and _may(request.who, record):
        return Answer(shown(record))
    for key in _of_the_file(request.who, services):
        if key["name"] == target:
            return Answer(key)
    raise missing("key", target)


async def create(request: Request, services: Services) -> Answer:
    """A new key, which is shown in this answer and never again."""
    given = read(body.fields(request), FIELDS, needed=("name",), ignored=ANSWERED)
    fields = {name: value for name, value in edited(given).items() if value is not None}
    edit = changes.Create(records.Kind.KEY, given.get("name"), fields)
    written = (await changes.apply(request, services, [edit]))[0]
    return _told(written, "Proxy key created successfully", given, key=written.secret)


async def replace(request: Request, services: Services) -> Answer:
    """The fields that are given; the others stay, and so does the key itself."""
    record = _find(request, services)
    given = read(body.fields(request), FIELDS, ignored=ANSWERED)
    name = given.get("name", record.name)
    edit = changes.Update(
        records.Kind.KEY,
        str(record.id),
        edited(given),
        merge=True,
        name=name if name != record.name else None,
    )
    written = (await changes.apply(request, services, [edit]))[0]
    return _told(written, "Proxy key updated successfully", given)


async def remove(request: Request, services: Services) -> Answer:
    """The key away; it is refused from now on."""
    record = _find(request, services)
    await changes.apply(request, services, [changes.Delete(records.Kind.KEY, str(record.id))])
    return Answer({"success": True, "message": "Proxy key deleted successfully", "id": record.id})


def _told(written: changes.Written, message: str, given: Given, key: str = "") -> Answer:
    content = {"success": True, "message": message, **shown(written.record)}
    if key:
        content["key"] = key
    return Answer({**content, "warnings": [*given.warnings, *written.warnings]})


def _find(request: Request, services: Services) -> Record:
    target = request.params["id"]
    record = services.sync.mirror.get(records.Kind.KEY, target)
    if record is not None and _may(request.who, record):
        return record
    if any(key["name"] == target for key in _of_the_file(request.who, services)):
        raise read_only("key", target)
    raise missing("key", target)


def _may(principal: Principal, record: Record) -> bool:
    return may_touch(principal, spec_of(record).get("team") or "")


_RPM: Mapping[str, Mapping[str, Any]] = {"rpm": {"minimum": 0, "description": "0 is no limit."}}
_SHOWN = answer(FIELDS, "id", "key", "source")
_AT = "/admin/proxy-keys"
_ONE = "/admin/proxy-keys/{id}"

ROUTES: tuple[Route, ...] = (
    Route(
        "GET",
        _AT,
        Permission.KEYS,
        listing,
        "Virtual keys.",
        answer={"type": "array", "items": _SHOWN},
        tag="proxy-keys",
    ),
    Route(
        "POST",
        _AT,
        Permission.KEYS,
        create,
        "Create a virtual key; it is shown once.",
        body=schema(FIELDS, "name", **_RPM),
        answer=_SHOWN,
        tag="proxy-keys",
    ),
    Route("GET", _ONE, Permission.KEYS, one, "One virtual key.", answer=_SHOWN, tag="proxy-keys"),
    Route(
        "PUT",
        _ONE,
        Permission.KEYS,
        replace,
        "Change a virtual key; what is not given stays.",
        body=schema(FIELDS, **_RPM),
        answer=_SHOWN,
        tag="proxy-keys",
    ),
    Route("DELETE", _ONE, Permission.KEYS, remove, "Delete a virtual key.", tag="proxy-keys"),
)
