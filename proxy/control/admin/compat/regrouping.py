"""Making, changing and removing a group, as edits: all of one change is one transaction.

A group that names a model which others serve joins it, and leaves its strategy alone. A model goes with the last
deployment of it, unless another model falls back on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from proxy.control.admin import references
from proxy.control.admin.compat import grouping, vendors
from proxy.control.admin.compat.grouping import Group, Served
from proxy.control.admin.compat.spelled import Given, folded, invalid
from proxy.control.admin.draft import merged
from proxy.control.admin.edits import Create, Delete, Edit, Update
from proxy.control.admin.overlay import Overlay
from proxy.control.admin.sealing import is_sent_elsewhere
from proxy.control.admin.web import Fault, Problem
from proxy.core.config.presets import address_of, rooted
from proxy.core.records import Kind as Row
from proxy.core.records import spec_of
from proxy.core.redact import MASK
from proxy.core.surfaces import behind

if TYPE_CHECKING:
    from proxy.core.records import Record
    from proxy.state.mirror import Mirror

NATIVE: Mapping[str, Mapping[str, str]] = {
    Row.PROVIDER: {
        "name": "groupName",
        "preset": "providerType",
        "base_url": "baseUrl",
        "retry": "retryCount",
        "timeouts": "timeout",
        "param_defaults": "parameters",
        "note": "description",
        "enabled": "enabled",
        "allow_private": "allowPrivate",
        "allow_http": "allowHttp",
        "": "groupName",
    },
    Row.CREDENTIAL: {"": "apiKeys"},
    Row.MODEL: {"strategy": "balancePolicy", "": "models"},
    Row.DEPLOYMENT: {"priority": "priority", "weight": "weight", "": "models"},
}
"""What a field of ours is called in a group, by kind; under the empty name whatever else may be wrong."""


_PLACE = ("priority", "weight")
_NO_SUCH_KEY = "no key of this group looks like that"
_NO_KEY = "the whole key is expected: this is how one is shown"
_KEYS_STAY = "the whole key is expected: the address changes, and keys do not move with it"


class Plan(Struct, eq=False):
    """What is to be written, and what of the body is not kept."""

    edits: list[Edit] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def create(given: Given, mirror: Mirror, in_file: Mapping[str, str]) -> Plan:
    """A new group. `in_file`: names and aliases of the file's models, each with its model.

    Raises Problem 400, and 409 for a model that is in the file.
    """
    name = given.get("groupName")
    if any(key.startswith(MASK) for key in given.get("apiKeys", ())):
        raise invalid(Fault("apiKeys", _NO_KEY))
    plan = Plan(warnings=given.warnings)
    fields = vendors.block(
        given.get("providerType"), given.get("baseUrl"), field="providerType", address="baseUrl"
    )
    plan.edits.append(Create(Row.PROVIDER, name, {**fields, **_settings(given)}))
    plan.edits += [
        Create(Row.CREDENTIAL, "", {"key": key}, parent="@0") for key in given.get("apiKeys", ())
    ]
    for model in given.get("models", ()):
        _serve(plan, model, name, given, {}, mirror, in_file)
    if not given.get("models"):
        _nowhere(plan, given)
    return plan


def replace(group: Group, given: Given, mirror: Mirror, in_file: Mapping[str, str]) -> Plan:
    """Other fields for a group: those given; what is not given, or given as it is shown, stays. Raises Problem, as
    `create`."""
    plan = Plan(warnings=given.warnings)
    name = given.get("groupName", group.provider.name)
    renamed = name != group.provider.name
    wanted = given.get("models", [one.model.name for one in group.models])
    staying = [one for one in group.models if one.model.name in wanted]
    for one in group.models:
        if one not in staying:
            _leave(plan, one, mirror)
    if renamed:
        # Nothing may name the provider while its name changes: its deployments are made again, as they are here.
        plan.edits += [
            Delete(Row.DEPLOYMENT, str(each.id), if_match=each.revision)
            for one in staying
            for each in one.deployments
        ]
    new = _news(given, group.spec, staying)
    fields = {**_address(group, given), **_settings(new)}
    if "param_defaults" in fields:
        before = group.spec.get("param_defaults", {})
        fields["param_defaults"] = _instead(before, fields["param_defaults"])
    if fields or renamed:
        target = str(group.provider.id)
        new_name = name if renamed else None
        plan.edits.append(Update(Row.PROVIDER, target, fields, merge=True, name=new_name))
    if "apiKeys" in given.values:
        _credentials(plan, group, given.get("apiKeys"), moved=moves(group, fields))
    for one in staying:
        _stay(plan, one, name if renamed else None, new)
    for model in wanted:
        if all(one.model.name != model for one in staying):
            _serve(plan, model, name, given, _usual(group), mirror, in_file)
    if not wanted:
        _nowhere(plan, given)
    return plan


def remove(group: Group, mirror: Mirror) -> Plan:
    """The group away: its deployments, itself and its credentials, and the models that nothing serves then."""
    plan = Plan()
    for one in group.models:
        _leave(plan, one, mirror)
    plan.edits.append(Delete(Row.PROVIDER, str(group.provider.id)))
    return plan


def moves(group: Group, fields: Mapping[str, Any]) -> bool:
    """Whether these fields send the group's requests somewhere else: its keys do not go along."""
    return is_sent_elsewhere(group.spec, merged(group.spec, fields))


def _news(given: Given, spec: Mapping[str, Any], staying: Sequence[Served]) -> Given:
    """Without what one number or word is shown for and is so already: behind it may be several, which differ."""
    shown = grouping.in_short(spec, staying)
    values = {
        name: value
        for name, value in given.values.items()
        if name not in shown or shown[name] != value
    }
    return Given(values, given.unknown)


def _settings(given: Given) -> dict[str, Any]:
    """Fields of the provider that have a counterpart of their own."""
    fields: dict[str, Any] = {}
    if "retryCount" in given.values:
        fields["retry"] = {"count": given.get("retryCount")}
    if "timeout" in given.values:
        # One number there: it bounds a whole answer, and of a stream only the wait for its beginning.
        fields["timeouts"] = dict.fromkeys(("ttft", "request"), given.get("timeout"))
    for theirs, ours in (
        ("enabled", "enabled"),
        ("parameters", "param_defaults"),
        ("description", "note"),
        ("allowPrivate", "allow_private"),
        ("allowHttp", "allow_http"),
    ):
        if theirs in given.values:
            fields[ours] = given.get(theirs)
    return fields


def _instead(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The merge patch that makes `after` of `before`: what is not named any more is null."""
    patch = dict.fromkeys(before) | dict(after)
    for name in before.keys() & after.keys():
        old, new = before[name], after[name]
        if isinstance(old, dict) and isinstance(new, dict):
            patch[name] = _instead(old, new)
    return patch


def _address(group: Group, given: Given) -> dict[str, Any]:
    """`preset` and `base_url`, where the body says something new about them."""
    kind, base_url = given.get("providerType"), given.get("baseUrl")
    spec = group.spec
    if kind is not None and folded(kind) != folded(vendors.kind_of(spec)):
        fields = vendors.block(kind, base_url, field="providerType", address="baseUrl")
        return {"preset": None, "base_url": None, "dialects": None, **fields}
    if base_url is not None and base_url != address_of(spec):
        here, there = address_of(spec), rooted(spec.get("preset"), base_url)
        if there == here:
            return {}
        if not spec.get("preset") and spec.get("dialects") == behind(here or ""):
            return {"base_url": there, "dialects": behind(there)}
        return {"base_url": there}
    return {}


def _credentials(plan: Plan, group: Group, keys: Sequence[str], *, moved: bool) -> None:
    """Those not named any more away, those not there yet made. A key as it was shown is every key that looks like that."""
    there = {} if moved else dict(group.credentials)
    new: list[str] = []
    kept: set[int] = set()
    for text in keys:
        shown = text.startswith(MASK)
        same = [
            id
            for id, key in there.items()
            if (vendors.masked(key) == text if shown else key == text)
        ]
        if same:
            kept.update(same)
        elif shown:
            raise invalid(Fault("apiKeys", _NO_SUCH_KEY if not moved else _KEYS_STAY))
        else:
            new.append(text)
    plan.edits += [Delete(Row.CREDENTIAL, str(id)) for id, _ in group.credentials if id not in kept]
    plan.edits += [
        Create(Row.CREDENTIAL, "", {"key": text}, parent=str(group.provider.id)) for text in new
    ]


def _serve(
    plan: Plan,
    model: str,
    provider: str,
    given: Given,
    usual: Mapping[str, Any],
    mirror: Mirror,
    in_file: Mapping[str, str],
) -> None:
    """A deployment of `model`, and the model where there is none. `usual`: what the group's others have."""
    if model in in_file:
        raise Problem(
            409,
            "conflict",
            f"The model '{model}' is in the configuration file, which is read-only here. "
            f"Add a deployment for '{provider}' to models.{in_file[model]} there.",
            (Fault("models", f"'{model}' is in the configuration file"),),
        )
    # By its name alone: what a client calls a model may be a number, and another's id.
    id = mirror.names.get(Row.MODEL, {}).get(model)
    if id is None:
        parent = f"@{len(plan.edits)}"
        policy = given.get("balancePolicy", usual.get("strategy"))
        plan.edits.append(Create(Row.MODEL, model, {"strategy": policy} if policy else {}))
    else:
        parent = str(id)
        _keeps(plan, mirror.records[Row.MODEL][id], given.get("balancePolicy"))
    place = {name: usual[name] for name in _PLACE if name in usual} | _place(given)
    body = {"provider": provider, **place}
    plan.edits.append(Create(Row.DEPLOYMENT, "", body, parent=parent))


def _usual(group: Group) -> dict[str, Any]:
    """Where the group's deployments stand, and how its models choose: a new one is like the first."""
    if not group.models:
        return {}
    place = spec_of(group.models[0].deployments[0])
    usual = {name: place[name] for name in _PLACE if name in place}
    owned = (spec_of(one.model).get("strategy") for one in group.models if one.owned)
    policy = next(filter(None, owned), None)
    return usual if policy is None else {**usual, "strategy": policy}


def _stay(plan: Plan, one: Served, renamed: str | None, given: Given) -> None:
    """What changes for a model the group goes on serving."""
    place = _place(given)
    parent = str(one.model.id)
    for deployment in one.deployments:
        if renamed is not None:
            body = {**spec_of(deployment), **place, "provider": renamed}
            plan.edits.append(Create(Row.DEPLOYMENT, "", body, parent=parent))
        elif place:
            plan.edits.append(Update(Row.DEPLOYMENT, str(deployment.id), place, merge=True))
    policy = given.get("balancePolicy")
    if policy and one.owned:
        plan.edits.append(Update(Row.MODEL, parent, {"strategy": policy}, merge=True))
    else:
        _keeps(plan, one.model, policy)


def _leave(plan: Plan, one: Served, mirror: Mirror) -> None:
    """The group's deployments of a model away, and the model with the last of them, unless another falls back on it."""
    name = one.model.name
    leaning = _leaning_on(one.model, mirror) if one.owned else []
    if one.owned and not leaning:
        # Another worker may have written what nobody here has been told of.
        own = frozenset(each.id for each in one.deployments)
        plan.edits.append(Delete(Row.MODEL, str(one.model.id), children=own))
        return
    plan.edits += [Delete(Row.DEPLOYMENT, str(each.id)) for each in one.deployments]
    if leaning:
        verb = "falls" if len(leaning) == 1 else "fall"
        plan.warnings.append(
            f"The model '{name}' stays, with nothing that serves it: {', '.join(leaning)} "
            f"{verb} back on it."
        )


def _leaning_on(model: Record, mirror: Mirror) -> list[str]:
    """Models of the store that fall back on this one."""
    names = references.names(model, spec_of(model))
    found = references.to(Overlay(mirror), Row.MODEL, names, but=model.id)
    return sorted({f"'{one.record.name}'" for one in found})


def _place(given: Given) -> dict[str, Any]:
    return {name: given.get(name) for name in _PLACE if name in given.values}


def _keeps(plan: Plan, model: Record, policy: str | None) -> None:
    """A model that others serve too has one strategy for all of them."""
    own = spec_of(model).get("strategy")
    if policy and (own is None or folded(str(own)) != folded(policy)):
        kept = f"'{own}'" if own else "the usual one"
        plan.warnings.append(
            f"balancePolicy: '{model.name}' is served by others too and keeps its strategy, {kept}."
        )


def _nowhere(plan: Plan, given: Given) -> None:
    plan.warnings += [
        f"{name}: it belongs to the models of a group, and this one has none."
        for name in ("balancePolicy", *_PLACE)
        if name in given.values
    ]


# --- what went wrong, in the caller's words ---


def in_their_words(problem: Problem, edits: Sequence[Edit]) -> Problem:
    """The problem with `[2].strategy` called what it is in a group."""
    faults = tuple(
        Fault(_their_field(fault.field, edits), fault.message) for fault in problem.faults
    )
    return Problem(problem.status, problem.code, problem.detail, faults, problem.headers)


def _their_field(name: str, edits: Sequence[Edit]) -> str:
    row, _, rest = (
        name.removeprefix("[").partition("]") if name.startswith("[") else ("0", "", name)
    )
    if not row.isdecimal() or int(row) >= len(edits):
        return name
    words = NATIVE.get(edits[int(row)].kind, {})
    top = rest.lstrip(".").partition(".")[0].partition("[")[0]
    return words.get(top) or words.get("") or top or name
