"""What a field is when nobody says anything: shown on a page, and not stored when a page is sent back as it came.

A preset may say otherwise for a provider, so of a provider's fields only the switches are shown, as its preset has
them; the rest is null.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from proxy.core.config.fields import Section
from proxy.core.config.presets import presets
from proxy.core.config.stored import SECTIONS, SETTINGS
from proxy.core.records import Kind

_SWITCHES = frozenset({"enabled", "allow_private", "allow_http", "verify_tls"})
_ELSEWHERE = frozenset(
    {"name", "key", "credentials", "deployments", "credential_env", "headers", "query", "proxy"}
)
"""Fields that are objects of their own, sealed, or not for the API."""


def fields(kind: str, name: str = "") -> Mapping[str, Any]:
    """Every field of an object of this kind, and what it is when it is left out; null: as the next wider section.

    `name` is which setting it is; of other kinds it says nothing.
    """
    section = SETTINGS.get(name) if kind == Kind.SETTING else SECTIONS.get(kind)
    return {} if section is None else _fields(section, kind)


@cache
def _fields(section: type[Section], kind: str) -> Mapping[str, Any]:
    return {
        field: _usual(section, field, kind)
        for field in section.model_fields
        if field not in _ELSEWHERE
    }


def _usual(section: type[Section], field: str, kind: str) -> Any:
    if kind == Kind.PROVIDER and field not in _SWITCHES:
        return None
    value = section.model_fields[field].get_default(call_default_factory=True, validated_data={})
    return {} if isinstance(value, Section) else value if _is_plain(value) else None


def _is_plain(value: Any) -> bool:
    return isinstance(value, (str, int, float, list, dict))


def _usually(kind: str, name: str, preset: Any) -> Mapping[str, Any]:
    """The same, with the switches of a provider's preset: what that has on is off only when somebody says so."""
    usual = fields(kind, name)
    if kind != Kind.PROVIDER or not isinstance(preset, str):
        return usual
    said = presets().get(preset, {})
    return {**usual, **{switch: said[switch] for switch in _SWITCHES & said.keys()}}


def shown(kind: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """All fields."""
    return {**_usually(kind, name, spec.get("preset")), **spec}


def told(
    kind: str, name: str, body: Mapping[str, Any], before: Mapping[str, Any]
) -> dict[str, Any]:
    """A body without fields that nobody set before and that say only what is usual."""
    usual = _usually(kind, name, body.get("preset", before.get("preset")))
    return {
        field: value
        for field, value in body.items()
        if field in before or field not in usual or value != usual[field]
    }
