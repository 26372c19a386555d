"""LLM Orchestrator: variables, or an `.env` file of them. Providers and models are made over its API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.core.config.foreign import access, common, database
from proxy.core.config.foreign.source import Given, Said, usual

if TYPE_CHECKING:
    from proxy.core.config.foreign.source import Sheet

NAME = "LLM Orchestrator"
PORT = 8000
MARKS = frozenset(
    (
        "APP_HOST",
        "APP_PORT",
        "APP_ENV",
        "AUTH_TOKEN",
        "DATABASE_TYPE",
        "REDIS_URL",
        "REDIS_ENABLED",
        "LOG_FILE",
        "HEALTH_CHECK_ENABLED",
        "HEALTH_CHECK_INTERVAL",
        "HEALTH_CHECK_MAX_ERRORS",
        "HEALTH_CHECK_RETRY_HOURS",
    )
)
VARIABLES = MARKS | {"APP_NAME", "DATABASE_URL", "LOG_LEVEL", "PORT"} | access.OURS
_FILE = "data/llm_orchestrator.db"


def translate(sheet: Sheet, env: dict[str, Any]) -> dict[str, Any]:
    """The same in our words."""
    given = Given(sheet, env)
    token = given.text("AUTH_TOKEN")
    host = given.text("APP_HOST")
    port = given.whole("PORT") or given.whole("APP_PORT", PORT) or usual(PORT)
    given.take("APP_PORT")
    listeners = access.sections(sheet, host=host, port=port, ours=given, token=token)
    checks = given.switch("HEALTH_CHECK_ENABLED")
    hours = given.number("HEALTH_CHECK_RETRY_HOURS", 1, least=0.0003)
    content = {
        **listeners,
        "store": {"url": _store(sheet, given)},
        "defaults": {"strategy": usual("weighted_random")},
        "health": {
            # What was asked of a provider there is not said; here it is its list of models.
            "probe": None if checks is None else checks.as_("models" if checks.value else "off"),
            "interval": given.number("HEALTH_CHECK_INTERVAL", 300, least=0.001),
            "max_errors": given.whole("HEALTH_CHECK_MAX_ERRORS", 5, least=1),
            "open_max": None if hours is None else hours.as_(f"{hours.value}h", hours.note),
        },
        "logging": {
            "level": common.level(sheet, given.text("LOG_LEVEL")),
            "file": given.text("LOG_FILE"),
        },
        "keys": None if token is None else [{"name": "clients", "key": token}],
    }
    content["server"] = {**listeners["server"], "name": given.text("APP_NAME")}
    mode = given.text("APP_ENV")
    if mode is not None and mode.value != "production":
        sheet.warn(mode.origin, "there is no such mode here")
    _redis(sheet, given)
    given.done(sorted(VARIABLES))
    return content


def _store(sheet: Sheet, given: Given) -> Said | None:
    kind, url = given.text("DATABASE_TYPE", "sqlite"), given.text("DATABASE_URL")
    assert kind is not None
    return database.of_kind(
        sheet, kind, url, database.from_url, name="DATABASE_URL", otherwise=_FILE
    )


def _redis(sheet: Sheet, given: Given) -> None:
    on, url = given.switch("REDIS_ENABLED", True), given.text("REDIS_URL")
    if on is None or not on.value or (url is None and on.origin is None):
        return
    for said in (on, url):
        if said is not None and said.origin is not None:
            sheet.warn(
                said.origin,
                "no Redis is needed: configuration and health are in memory. "
                "Where several hosts hold limits together, that is shared.url",
            )
