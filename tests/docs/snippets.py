"""Configuration snippets, made whole: a snippet shows one thing and leaves out what it refers to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from proxy.core.config.presets import presets
from proxy.core.config.schema import Config, Source
from tests.docs.pages import Block

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_FILE = re.compile(r"file:(/[\w./-]+)")
_SECRET = re.compile(r"secret:([\w-]+)/([\w-]+)")
_FALLBACKS = ("fallbacks", "fallbacks_context", "fallbacks_content")


def is_configuration(block: Block) -> bool:
    """Whether it is a configuration of ours, not of Prometheus or of a container engine."""
    content = yaml.safe_load(block.text)
    return isinstance(content, dict) and content.keys() <= Config.model_fields.keys()


def variables(text: str) -> dict[str, str]:
    """A value for every variable the text names; one that a master key may have."""
    return {name: f"sk-{sha256(name.encode()).hexdigest()}" for name in _VARIABLE.findall(text)}


def with_files(text: str, folder: Path) -> str:
    """The text with the files it names in `folder`, where they exist."""

    def made(match: re.Match[str]) -> str:
        path = folder / match[1].lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"sk-content-of-{path.name}\n")
        return f"file:{path}"

    return _FILE.sub(made, text)


def with_sources(text: str, folder: Path) -> str:
    """The text with folders in the place of the sources of secrets it names, with the keys it asks them for."""
    content = yaml.safe_load(text)
    sources = content.get("secrets", {}).get("sources")
    if not sources:
        return text
    for source, key in _SECRET.findall(text):
        (folder / source).mkdir(exist_ok=True)
        (folder / source / key).write_text(f"sk-content-of-{source}-{key}\n")
    for name, block in sources.items():
        Source.model_validate(block)
        sources[name] = {"folder": str(folder / name)}
    return yaml.safe_dump(content, sort_keys=False)


def whole(text: str) -> str:
    """The text, and where it refers to providers or models that it does not show, with those."""
    content = yaml.safe_load(text)
    models = content.get("models", {})
    providers = {
        deployment["provider"]
        for model in models.values()
        for deployment in model.get("deployments", ())
    } - content.get("providers", {}).keys()
    names = {alias for model in models.values() for alias in model.get("aliases", ())}
    missing = {
        name
        for model in models.values()
        for kind in _FALLBACKS
        for name in model.get(kind, ())
        if name not in names and not _is_served(name, models)
    }
    if not providers and not missing:
        return text
    content.setdefault("providers", {}).update({name: _provider(name) for name in providers})
    one = next(iter(content["providers"]))
    content.setdefault("models", {}).update(
        {name: {"deployments": [{"provider": one}]} for name in missing}
    )
    return yaml.safe_dump(content, sort_keys=False)


def _is_served(name: str, models: Mapping[str, Any]) -> bool:
    return any(
        name == model or (model.endswith("*") and name.startswith(model[:-1])) for model in models
    )


def _provider(name: str) -> dict[str, Any]:
    block: dict[str, Any] = {"preset": name} if name in presets() else {}
    if "base_url" not in presets().get(name, {}) or name == "azure-openai":
        block["base_url"] = "https://api.example.com"
    return {**block, "credentials": ["sk-of-a-provider-not-shown"]}
