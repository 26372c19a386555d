"""What `headrace config check` and `headrace config schema` print."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TextIO

import orjson

from proxy.core.config.loading import load
from proxy.core.config.problem import ConfigError
from proxy.core.config.schema import Config

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    from proxy.core.config.loading import Loaded
    from proxy.core.config.problem import Problem

_REFERENCE = {"type": "string", "pattern": r"\$\{"}
_NULL = {"type": "null"}
_TEXT = {"type": "string"}


def check(
    path: str | os.PathLike[str],
    env: Mapping[str, str] | None = None,
    out: TextIO | None = None,
    further: Callable[[Loaded], Sequence[Problem]] = lambda _: (),
) -> int:
    """Say everything that is wrong with a file, one line each. 0: it can be used; 2: it cannot.

    `further` are warnings of those who know more than the file; it raises ConfigError as `load` does.
    """
    out = sys.stderr if out is None else out
    try:
        loaded = load(path, env)
        warnings = (*loaded.warnings, *further(loaded))
    except ConfigError as error:
        for problem in error.problems:
            out.write(f"error: {problem}\n")
        out.write(f"{_count(len(error.problems), 'error')}\n")
        return 2
    for problem in warnings:
        out.write(f"warning: {problem}\n")
    config = loaded.config
    out.write(
        f"{loaded.source} can be used: {_count(len(config.providers), 'provider')}, "
        f"{_count(len(config.models), 'model')}, {_count(len(config.keys), 'key')}, "
        f"{_count(len(warnings), 'warning')}\n"
    )
    return 0


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def schema() -> bytes:
    """JSON Schema (draft 2020-12) of a configuration file, for editors."""
    document = Config.model_json_schema()
    # A preset brings its own base_url.
    del document["$defs"]["Provider"]["required"]
    document = _tidy(document)
    # `x-…` at the top is for anchors and for other programs.
    document["patternProperties"] = {"^x-": True}
    provider = document["$defs"]["Provider"]
    provider["anyOf"] = [{"required": ["preset"]}, {"required": ["base_url"]}]
    for name in ("credentials", "credential_env"):
        _allow_short(provider["properties"][name])
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Headrace"}
    return orjson.dumps(head | document, option=orjson.OPT_INDENT_2)


def _allow_short(option: dict[str, Any]) -> None:
    """Text for a list of one, and text for an item: what the schema's validators take besides."""
    listing = {"type": option.pop("type"), "items": {"anyOf": [_TEXT, option.pop("items")]}}
    option["anyOf"] = [listing, _TEXT, _NULL]


def _tidy(node: Any) -> Any:
    """Without titles nobody needs. Null leaves an option out, and a reference may stand for any one word."""
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    tidy = {name: _tidy(value) for name, value in node.items() if name != "title"}
    if "properties" in node:
        required = node.get("required", ())
        tidy["properties"] = {
            name: _option(_tidy(value), needed=name in required)
            for name, value in node["properties"].items()
        }
    return tidy


def _option(option: dict[str, Any], *, needed: bool) -> dict[str, Any]:
    """One option. Sections, lists and mappings stay as they are: an editor says more about a plain schema."""
    if option.get("type") in ("array", "object") or "$ref" in option:
        return option
    about = {name: option.pop(name) for name in ("description", "default") if name in option}
    if about.get("default", "") is None:
        del about["default"]
    forms: list[Any] = option.pop("anyOf") if "anyOf" in option else [option]
    if _TEXT not in forms:
        forms = [*forms, _REFERENCE]
    if not needed and _NULL not in forms:
        forms = [*forms, _NULL]
    return about | (forms[0] if len(forms) == 1 else {"anyOf": forms})
