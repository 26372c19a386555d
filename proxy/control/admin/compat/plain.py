"""A provider with one key: what most gateways call a provider. Here it is a group without models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from proxy.control.admin import changes
from proxy.control.admin.compat import grouping, regrouping, vendors
from proxy.control.admin.compat.spelled import Given, renamed
from proxy.control.admin.edits import Delete
from proxy.control.admin.refusal import missing, read_only
from proxy.control.admin.turns import turns
from proxy.control.admin.web import Problem
from proxy.core.records import Kind

if TYPE_CHECKING:
    from proxy.control.admin.compat.grouping import Group
    from proxy.control.admin.compat.regrouping import Plan
    from proxy.control.admin.services import Services
    from proxy.control.admin.web import Request
    from proxy.core.records import Record
    from proxy.state.mirror import Mirror


class Words(Struct, frozen=True):
    """What another gateway calls the fields of a group."""

    theirs: Mapping[str, str]
    """A group's field to the name they have for it, as a fault is named."""
    fields: Mapping[str, str]
    """Their field to a group's."""


def group_of(given: Given, words: Words) -> Given:
    """What they said, as a group."""
    values: dict[str, Any] = {}
    for theirs, ours in words.fields.items():
        if theirs in given.values:
            value = given.get(theirs)
            values[ours] = [value] if ours == "apiKeys" else value
    return Given(values, given.unknown)


def whole(said: Given, group: Group) -> Given:
    """With all keys of the group, where it says the one that is shown of them: sent back, that changes nothing."""
    shown = [vendors.masked(key) for _, key in group.credentials]
    if said.get("apiKeys") != shown[:1]:
        return said
    return Given({**said.values, "apiKeys": shown}, said.unknown)


async def create(
    request: Request, services: Services, given: Given, words: Words
) -> tuple[Group, list[str]]:
    """A new provider; itself, and what of the body is not kept. Raises Problem in their words."""
    try:
        plan = regrouping.create(group_of(given, words), services.sync.mirror, {})
        written = await apply(request, services, plan)
    except Problem as problem:
        raise renamed(problem, words.theirs) from None
    return find(str(written[0].record.id), services), plan.warnings


async def replace(
    request: Request, services: Services, group: Group, given: Given, words: Words
) -> tuple[Group, list[str]]:
    """Other fields for a provider: those given."""
    try:
        said = whole(group_of(given, words), group)
        plan = regrouping.replace(group, said, services.sync.mirror, {})
        plan.warnings += _alone(group, said, plan, words)
        await apply(request, services, plan)
    except Problem as problem:
        raise renamed(problem, words.theirs) from None
    return find(str(group.provider.id), services), plan.warnings


def _alone(group: Group, said: Given, plan: Plan, words: Words) -> list[str]:
    """That keys go which nobody named: they have one key where the group has several."""
    gone = sum(isinstance(edit, Delete) and edit.kind == Kind.CREDENTIAL for edit in plan.edits)
    if "apiKeys" not in said.values or len(group.credentials) < 2 or not gone:
        return []
    was = "another was" if gone == 1 else f"{gone} others were"
    return [f"'{words.theirs['apiKeys']}' is the only key now: {was} deleted."]


async def remove(request: Request, services: Services, group: Group) -> None:
    """A provider and its keys away. Raises Problem 409 while a model is served by it."""
    edit = changes.Delete(Kind.PROVIDER, str(group.provider.id))
    await changes.apply(request, services, [edit])


async def apply(request: Request, services: Services, plan: Plan) -> list[changes.Written]:
    """Do what is planned; what was remarked is added to its warnings. Raises Problem in a group's words."""
    if not plan.edits:
        return []
    try:
        written = await changes.apply(request, services, plan.edits)
    except Problem as problem:
        raise regrouping.in_their_words(problem, plan.edits) from None
    said = [warning for one in written for warning in one.warnings]
    plan.warnings += dict.fromkeys(said)
    return written


def find(target: str, services: Services, what: str = "provider") -> Group:
    """By id or name. Raises Problem: 404, and 409 for one of the file."""
    sync = services.sync
    record = sync.mirror.get(Kind.PROVIDER, target)
    if record is not None:
        return grouping.stored(record, sync.mirror, sync.vault)
    if target in sync.config.providers:
        raise read_only("provider", target)
    raise missing(what, target)


async def every(services: Services) -> list[dict[str, Any]]:
    """All as groups are shown: those of the file, then those of the store. Others are served in between."""
    sync = services.sync
    in_file = [grouping.of_the_file(sync.config, name) for name in sync.config.providers]
    serve = grouping.served(sync.mirror)
    stored = [
        grouping.shown(grouping.group(record, sync.mirror, sync.vault, serve))
        async for record in turns(in_order(sync.mirror, Kind.PROVIDER))
    ]
    return [*in_file, *stored]


def in_order(mirror: Mirror, kind: str) -> list[Record]:
    """All of a kind, in the order of their ids."""
    records = mirror.records.get(kind, {})
    return [records[id] for id in sorted(records)]
