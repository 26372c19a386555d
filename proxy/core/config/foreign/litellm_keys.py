"""LiteLLM's virtual keys, as `GET /key/list?return_full_object=true` lists them.

Only digests of keys are in such a list, so each key is a variable that has to be set: `${LITELLM_KEY_…}`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.core.config.foreign.common import Variables, complete
from proxy.core.config.foreign.source import Given, Said
from proxy.core.config.foreign.tree import Reference

if TYPE_CHECKING:
    from proxy.core.config.foreign.source import Sheet

_PERIODS = {
    "1d": "day",
    "24h": "day",
    "7d": "week",
    "1w": "week",
    "30d": "month",
    "31d": "month",
    "1mo": "month",
}
_LEFT = frozenset(
    (
        "token",
        "key_name",
        "spend",
        "created_at",
        "updated_at",
        "created_by",
        "updated_by",
        "budget_reset_at",
        "last_active",
        "soft_budget_cooldown",
        "user",
        "organization_id",
        "object_permission_id",
        "budget_id",
        "rotation_count",
        "auto_rotate",
        "rotation_interval",
        "last_rotation_at",
        "key_rotation_at",
    )
)
"""What says how a key was used, or is another object's."""
_GROUPS = frozenset(("all-team-models", "no-default-models"))
"""Not models: what a key's team has, and nothing."""
_ALL_ROUTES = "llm_api_routes"
"""A group of routes: all there are here for virtual keys. Other groups end alike."""
_NEAREST = {
    "aliases": "aliases of a model",
    "config": "the fields of a virtual key",
    "permissions": "routes of a virtual key",
    "allowed_cache_controls": "models.*.cache",
    "model_max_budget": "one virtual key for each model, with a budget",
    "model_rpm_limit": "one virtual key for each model, with rpm",
    "model_tpm_limit": "one virtual key for each model, with tpm",
    "model_spend": "one virtual key for each model, with a budget",
    "soft_budget": "rules over /metrics",
    "tags": "metadata of the key",
    "guardrails": "a proxy behind or before this one",
}


def recognised(content: Any) -> bool:
    """Whether it is such a list, alone or in a page of it. Keys of ours have a `name`."""
    if isinstance(content, dict) and content.keys() - _PAGE:
        return False
    listed = content.get("keys") if isinstance(content, dict) else content
    return (
        isinstance(listed, list)
        and bool(listed)
        and all(
            isinstance(one, dict)
            and ("token" in one or "key" in one)
            and "name" not in one
            and one.keys() & _FIELDS
            for one in listed
        )
    )


_PAGE = frozenset(("keys", "total_count", "current_page", "total_pages"))
_FIELDS = frozenset(
    ("key_alias", "key_name", "max_budget", "budget_duration", "rpm_limit", "tpm_limit", "models")
)


def translate(sheet: Sheet, content: Any) -> dict[str, Any]:
    """`keys` in our words."""
    top = Given(sheet, content if isinstance(content, dict) else {"keys": content})
    names: dict[str, int] = {}
    unset = Variables("LITELLM_KEY_")
    found = [_key(sheet, each, names, unset, at) for at, each in enumerate(top.each("keys"), 1)]
    complete(top, "total_count", len(found), "the other pages too, `&size=100&page=2`, …")
    for name in _PAGE:
        top.take(name)
    top.done()
    return {"keys": found}


def _key(
    sheet: Sheet, given: Given, names: dict[str, int], unset: Variables, at: int
) -> dict[str, Any]:
    alias = given.text("key_alias") or given.text("key_name")
    name = str(alias.value) if alias is not None else f"key-{at}"
    names[name] = names.get(name, 0) + 1
    if names[name] > 1:
        name = f"{name}-{names[name]}"
    secret = given.text("key")
    if secret is None:
        variable = unset.named(name, at)
        origin = given.origin("token")
        sheet.warn(origin, f"only its digest is here: set {variable}, or make a new key")
        secret = Said(Reference(f"${{{variable}}}"), origin)
    blocked = given.switch("blocked")
    enabled = None if blocked is None else blocked.as_(not blocked.value)
    named = [one for one in given.texts("models") if one.value != "all-proxy-models"]
    models = [one for one in named if one.value not in _GROUPS]
    if _left_out(given, "models", named, models):
        enabled = Said(False, given.origin("models"))
    routes = given.texts("allowed_routes")
    listed = [one for one in routes if not str(one.value).endswith("_routes")]
    if any(one.value == _ALL_ROUTES for one in routes):
        listed = []
    elif _left_out(given, "allowed_routes", routes, listed):
        enabled = Said(False, given.origin("allowed_routes"))
    key = {
        "name": name if alias is None else alias.as_(name),
        "key": secret,
        "models": models or None,
        "routes": listed or None,
        "enabled": enabled,
        "expires": given.text("expires"),
        "owner": given.text("user_id"),
        "team": given.text("team_id"),
        "rpm": given.whole("rpm_limit", least=1),
        "tpm": given.whole("tpm_limit", least=1),
        "concurrency": given.whole("max_parallel_requests", least=1),
        "budget": budget(
            sheet, given.number("max_budget", least=1e-9), given.text("budget_duration")
        ),
        "metadata": _metadata(given.section("metadata")),
    }
    for field in given.left():
        if field in _LEFT:
            given.take(field)
        elif field in _NEAREST:
            if _says(given, field):
                given.leave(field, f"not here; the nearest is: {_NEAREST[field]}")
            given.take(field)
    given.done()
    return key


def _left_out(given: Given, field: str, said: list[Said], kept: list[Said]) -> bool:
    """Tell that names of groups are left out; whether the key is off for that, as nothing is left: no list is a list of all."""
    if len(kept) == len(said):
        return False
    what = field.removeprefix("allowed_")
    message = f"names of groups of {what} are not known here"
    if not kept:
        message += f": the key is off, as without {what} it would open all of them"
    given.sheet.warn(given.origin(field), message)
    return not kept


def _metadata(given: Given) -> dict[str, Any]:
    """What is text, or can be written as one."""
    found: dict[str, Any] = {}
    for field in given.names():
        value = given.take(field)
        if isinstance(value, Said):
            found[field] = given.text(field)
        elif value:
            nearest = f"; the nearest is: {_NEAREST[field]}" if field in _NEAREST else ""
            given.leave(field, f"left out: metadata is text here{nearest}")
    return found


def _says(given: Given, field: str) -> bool:
    """Whether there is anything in it."""
    found = given.take(field)
    return bool(found) and not (isinstance(found, Said) and not found.value)


def budget(sheet: Sheet, usd: Said | None, period: Said | None) -> dict[str, Any] | None:
    """What may be spent, and in what time; without a time, in all."""
    if usd is None:
        return None
    if period is None:
        return {"usd": usd, "period": "total"}
    known = _PERIODS.get(str(period.value))
    if known is None:
        sheet.warn(
            period.origin, "taken as month: a budget is of a day, a week, a month or all time"
        )
    return {"usd": usd, "period": period.as_(known or "month")}
