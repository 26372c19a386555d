"""Providers as other gateways name them: a word for the vendor, an address, a key. The rest is in a preset.

A word is looked up among the presets; without one, the address says whose it is; what is nobody's speaks as OpenAI
does. Keys are shown as `***` and their last four characters, which is enough to tell two of one's own apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from proxy.control.admin.compat.spelled import folded, invalid
from proxy.control.admin.sealing import last4
from proxy.control.admin.web import Fault
from proxy.core.config.presets import presets, rooted
from proxy.core.redact import MASK
from proxy.core.surfaces import behind, family

COMPATIBLE = "openai_compatible"

_ALSO: Mapping[str, str] = {
    "claude": "anthropic",
    "azure": "azure-openai",
    "azureopenai": "azure-openai",
    "google": "gemini",
    "googlegemini": "gemini",
    "googleai": "gemini",
}
_NOBODYS = frozenset(map(folded, (COMPATIBLE, "compatible", "openai_like", "custom", "private")))


def block(kind: str | None, base_url: str | None, *, field: str, address: str) -> dict[str, Any]:
    """The fields of a provider: `preset`, `base_url` or both, and the paths of one that is nobody's where they are not usual.

    `field` and `address` are what the caller calls the two. Raises Problem 400 for a vendor nobody knows, and for
    one without an address that has none of its own.
    """
    preset = _preset(kind, field) if kind is not None else _preset_at(base_url)
    known = presets().get(preset, {}).get("base_url") if preset else None
    if base_url is None and (known is None or known != known.lower()):
        raise invalid(
            Fault(address, "it is missing: this kind of provider has no address of its own")
        )
    fields: dict[str, Any] = {}
    if preset is not None:
        fields["preset"] = preset
    if base_url is not None:
        fields["base_url"] = rooted(preset, base_url)
    if preset is None and base_url is not None and (paths := behind(base_url)):
        fields["dialects"] = paths
    return fields


def _preset(kind: str, field: str) -> str | None:
    word = folded(kind)
    if word in _NOBODYS:
        return None
    names = {**{folded(name): name for name in presets()}, **_ALSO}
    if word not in names:
        known = "openai, anthropic, gemini, openai_compatible, or the name of a preset"
        raise invalid(Fault(field, f"a kind of provider is expected: {known}"))
    return names[word]


def _preset_at(base_url: str | None) -> str | None:
    """Whose address it is. One of this machine is nobody's, whatever usually listens there."""
    host = host_of(base_url or "")
    vendors = (name for name, each in presets().items() if _https_host(each) == host)
    return next(vendors, None) if host else None


def _https_host(preset: Mapping[str, Any]) -> str:
    base_url: str = preset.get("base_url", "")
    return host_of(base_url) if base_url.startswith("https:") else ""


def host_of(url: str) -> str:
    """The host of an address, in lower case; empty where there is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def kind_of(spec: Mapping[str, Any]) -> str:
    """The vendor's word for a provider: its preset, else the family it speaks as."""
    if spec.get("preset"):
        return str(spec["preset"])
    families = {family(dialect) for dialect in spec.get("dialects", ())}
    own = sorted(families - {"openai"})
    return own[0] if len(own) == 1 and families == {own[0]} else COMPATIBLE


def masked(key: str | None) -> str:
    """A key as it may be shown; None is one that cannot be read."""
    return MASK + last4(key or "")
