"""Presets: what is known of a vendor, under what a user's own block says."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from proxy.core.config.document import Leaf, compose, resolve
from proxy.core.config.problem import ConfigError
from proxy.core.config.problem import Path as Where
from proxy.core.paths import PRESETS
from proxy.core.surfaces import DIALECTS
from proxy.core.url import join

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Block = dict[str, Any]

_MERGED = frozenset(
    {"auth", "headers", "param_defaults", "param_overrides", "query", "retry", "timeouts"}
)
"""Mappings that add to the preset's instead of replacing it."""


def _value(path: Where, leaf: Leaf) -> str | int | float | bool | None:
    return resolve(leaf.text) if leaf.plain else leaf.text


@cache
def presets(file: Path = PRESETS) -> dict[str, Block]:
    """Every block of the presets' file, as written."""
    document = compose(file.read_text("utf-8"), str(file))
    if document.problems:
        raise ConfigError(document.problems)
    blocks: dict[str, Block] = document.build(_value)
    return blocks


def address_of(spec: Mapping[str, Any]) -> str | None:
    """Where a provider with these fields is: its own `base_url`, else its preset's."""
    own = spec.get("base_url") or presets().get(spec.get("preset") or "", {}).get("base_url")
    return None if own is None else str(own)


def rooted(name: str | None, base_url: str) -> str:
    """The address below which all of a preset's paths are, where one goes on into some of them: `…/compatible-mode/v1`, as
    vendors print it for clients of OpenAI."""
    known = presets().get(name or "", {})
    try:
        own, here = urlsplit(known.get("base_url", "")), urlsplit(base_url)
        is_the_vendors = here.hostname == own.hostname
    except ValueError:
        return base_url
    home, path = own.path.rstrip("/"), here.path.rstrip("/")
    wanted = {join(home, root): join(path, root) for root in _roots(known)}
    if all(there == found for there, found in wanted.items()):
        return base_url
    goes_on = path.startswith(f"{home}/") and any(each.startswith(f"{path}/") for each in wanted)
    # Vendors whose paths have no version take one all the same, before those that OpenAI has too.
    if goes_on or (is_the_vendors and path == f"{home}/v1"):
        return f"{here.scheme}://{here.netloc}{home}"
    return base_url


def _roots(preset: Block) -> list[str]:
    spoken = preset.get("dialects", [])
    if isinstance(spoken, list):
        return [DIALECTS[name] for name in spoken]
    return [path or DIALECTS[name] for name, path in spoken.items()]


def merged(preset: Block, own: Block) -> Block:
    """The block over its preset. In a merged mapping, null takes away what the preset has."""
    result = dict(preset)
    for name, value in own.items():
        base = preset.get(name)
        if name in _MERGED and isinstance(base, dict) and isinstance(value, dict):
            keep_null = name.startswith("param_")
            both = {**base, **value}
            result[name] = {
                key: item for key, item in both.items() if item is not None or keep_null
            }
        elif value is not None or name not in preset:
            result[name] = value
    return result
