"""AI API Gateway: `provider.json`, models with the providers of each; variables TZ, LOG_LEVEL, FLASK_ENV."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.core import surfaces
from proxy.core.config.foreign import access, common, vendors
from proxy.core.config.foreign.pool import Pool
from proxy.core.config.foreign.source import Given, Said, usual

if TYPE_CHECKING:
    from proxy.core.config.foreign.source import Sheet

NAME = "AI API Gateway"
PORT = 6010
VARIABLES = frozenset(("TZ", "LOG_LEVEL", "FLASK_ENV", "PORT")) | access.OURS
_GLOBAL = ("default_timeout", "default_retry", "log_requests", "api_key")
_PROVIDER = (
    "name",
    "endpoint",
    "api_key",
    "model",
    "priority",
    "weight",
    "rate_limit",
    "retry",
    "timeout",
    "stream_support",
    "non_stream_support",
    "enabled",
    "custom_headers",
    "max_context_length",
)
_LIMIT = ("requests_per_period", "tokens_per_period", "period_cron")


def recognised(names: dict[str, Any]) -> bool:
    """Whether the top of a document is one of these."""
    return "_global" in names or any(
        isinstance(value, dict) and isinstance(value.get("providers"), list)
        for value in names.values()
    )


def translate(sheet: Sheet, content: dict[str, Any], env: dict[str, Any]) -> dict[str, Any]:
    """The same in our words."""
    top = Given(sheet, content)
    variables = Given(sheet, env)
    zone = variables.text("TZ", "UTC")
    assert zone is not None
    usually = top.section("_global")
    timeout = usually.number("default_timeout", least=0.001) or usual(60)
    retry = usually.whole("default_retry", 3)
    requests = usually.switch("log_requests")
    key = usually.text("api_key")
    usually.done(_GLOBAL)
    flask = variables.text("FLASK_ENV")
    if flask is not None and flask.value != "production":
        sheet.warn(flask.origin, "there is no such mode here")
    found = _Models(zone)
    models = {
        name: {"deployments": found.deployments(name, top.section(name))}
        for name in top.names()
        if name != "_global" and isinstance(content[name], dict) and "providers" in content[name]
    }
    top.done()
    return {
        **access.sections(
            sheet,
            host=None,
            port=variables.whole("PORT", PORT) or usual(PORT),
            ours=variables,
        ),
        "defaults": {
            "strategy": usual("weighted_round_robin"),
            "owned_by": usual("api-gateway"),
            "timeouts": common.timeouts(timeout),
            "retry": {"count": retry},
        },
        "logging": {
            "level": common.level(sheet, variables.text("LOG_LEVEL")),
            "requests": requests,
        },
        "providers": found.providers,
        "models": models,
        "keys": None if key is None else [{"name": "gateway", "key": key}],
    }


class _Models:
    """Providers by name. There a name counts within its model, so one that means two things gets the model's beside it."""

    def __init__(self, zone: Said) -> None:
        self._zone = zone
        self._pool = Pool()

    @property
    def providers(self) -> dict[str, Any]:
        return self._pool.providers

    def deployments(self, public: str, model: Given) -> list[dict[str, Any]]:
        found = [self._deployment(public, each) for each in model.each("providers")]
        model.done(("providers",))
        return [one for one in found if one is not None]

    def _deployment(self, public: str, given: Given) -> dict[str, Any] | None:
        name, url = given.text("name"), given.text("endpoint")
        key, model = given.text("api_key"), given.text("model")
        for field, value in (("name", name), ("endpoint", url), ("api_key", key), ("model", model)):
            if value is None:
                given.missing(field, "a text", "it is required")
        headers = given.mapping("custom_headers")
        timeout = given.number("timeout", least=0.001)
        retry = given.whole("retry")
        made = {
            "model": model,
            "enabled": given.switch("enabled"),
            "priority": given.whole("priority", 1),
            "weight": given.whole("weight", 10),
            "stream": given.switch("stream_support"),
            "non_stream": given.switch("non_stream_support"),
            "max_context": given.whole("max_context_length", least=1),
            "quota": self._quota(given.section("rate_limit")),
            "timeouts": common.timeouts(timeout),
            "retry": None if retry is None else {"count": retry},
        }
        given.done(_PROVIDER)
        if name is None or url is None or key is None:
            return None
        block = {
            "base_url": url,
            "dialects": _paths(str(url.value)),
            "credentials": [key],
            "headers": headers,
            **vendors.allowances(str(url.value)),
        }
        return {
            "provider": name.as_(self._pool.named(str(name.value), block, beside=public)),
            **made,
        }

    def _quota(self, given: Given) -> dict[str, Any] | None:
        requests = given.whole("requests_per_period", least=1)
        tokens = given.whole("tokens_per_period", least=1)
        cron = given.text("period_cron", "0 0 * * *")
        given.done(_LIMIT)
        if requests is None and tokens is None:
            return None
        return {"requests": requests, "tokens": tokens, "cron": cron, "tz": self._zone}


def _paths(endpoint: str) -> dict[str, Said] | None:
    """What is asked stands right behind an endpoint there (`…/api/v3/chat/completions`); None: so it does here, as usual."""
    _, slash, path = endpoint.partition("://")[2].rstrip("/").partition("/")
    if not slash or path.rpartition("/")[2] == "v1":
        return None
    return {name: usual(path) for name, path in surfaces.BEHIND.items()}
