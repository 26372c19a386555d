"""AiRouter: a few variables. Providers and models are made over its API and kept in PostgreSQL.

Keys of vendors that are set as variables (`OPENAI_API_KEY`) make a provider each, with all its models as `openai/…`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.core.config.foreign import access, common, database
from proxy.core.config.foreign.source import Given, Said, usual
from proxy.core.config.presets import presets

if TYPE_CHECKING:
    from proxy.core.config.foreign.source import Sheet

NAME = "AiRouter"
PORT = 8000
MARKS = frozenset(("DATABASE_URL", "DEBUG"))
BARE = {"openai": "gpt-*", "anthropic": "claude-*", "gemini": "gemini-*"}
"""Models that clients ask for by the vendor's own name."""


def keys() -> dict[str, str]:
    """Variable to the preset whose key it holds."""
    found: dict[str, str] = {}
    for name, block in presets().items():
        listed = block.get("credential_env", [])
        for variable in [listed] if isinstance(listed, str) else listed:
            found.setdefault(variable, name)
    return found


def variables() -> frozenset[str]:
    """Every variable that means something."""
    return MARKS | {"LOG_LEVEL", "PORT"} | access.OURS | keys().keys()


def translate(sheet: Sheet, env: dict[str, Any]) -> dict[str, Any]:
    """The same in our words."""
    given = Given(sheet, env)
    listeners = access.sections(
        sheet,
        host=None,
        port=given.whole("PORT", PORT) or usual(PORT),
        ours=given,
    )
    debug, url = given.switch("DEBUG"), given.text("DATABASE_URL")
    level = common.level(sheet, given.text("LOG_LEVEL"))
    if level is None and debug is not None and debug.value:
        level = debug.as_("debug")
    providers: dict[str, Any] = {}
    models: dict[str, Any] = {}
    for variable, preset in keys().items():
        key = given.text(variable)
        if key is None:
            continue
        if preset in providers:
            providers[preset]["credentials"].append(key)
            continue
        providers[preset] = {"preset": preset, "credentials": [key]}
        models[f"{preset}/*"] = {"deployments": [_deployment(preset, "*", key)]}
        if preset in BARE:
            models[BARE[preset]] = {"deployments": [_deployment(preset, BARE[preset], key)]}
    store = None if url is None else database.from_url(sheet, url)
    if store is not None and str(store.value).startswith("postgres"):
        sheet.warn(
            store.origin,
            "tables of ours are made in this database, and theirs are not read: better give it another one",
        )
    given.done(sorted(variables()))
    return {
        **listeners,
        "store": {"url": store},
        "logging": {"level": level},
        "providers": providers,
        "models": models,
    }


def _deployment(preset: str, model: str, key: Said) -> dict[str, Any]:
    return {"provider": preset, "model": key.as_(model)}
