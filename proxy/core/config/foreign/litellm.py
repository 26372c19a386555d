"""LiteLLM's `config.yaml`, and an export of its virtual keys.

What has no equal here is named with the nearest thing. (docs.litellm.ai: proxy/configs, proxy/config_settings,
proxy/reliability, routing, proxy/virtual_keys.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from proxy.core.config.foreign import access, database, litellm_keys
from proxy.core.config.foreign.clouds import bare
from proxy.core.config.foreign.litellm_models import Models, text
from proxy.core.config.foreign.litellm_nearest import BESIDE, SETTINGS, WATCHING
from proxy.core.config.foreign.source import Given, Said, usual
from proxy.core.config.foreign.tree import Reference
from proxy.core.config.names import Public
from proxy.core.config.problem import printable

if TYPE_CHECKING:
    from proxy.core.config.foreign.source import Sheet

NAME = "LiteLLM"
PORT = 4000
SECTIONS = (
    "model_list",
    "router_settings",
    "litellm_settings",
    "general_settings",
    "environment_variables",
)
_STRATEGIES = {
    "simple-shuffle": "weighted_random",
    "least-busy": "least_inflight",
    "usage-based-routing": "least_used",
    "usage-based-routing-v2": "least_used",
    "latency-based-routing": "ttft",
    "cost-based-routing": "cost",
}
_FALLBACKS = {
    "fallbacks": "fallbacks",
    "context_window_fallbacks": "fallbacks_context",
    "content_policy_fallbacks": "fallbacks_content",
}
_REDIS = ("redis_host", "redis_port", "redis_password", "redis_url")
_SAME = frozenset(
    (
        "enable_pre_call_checks",
        "drop_params",
        "turn_off_message_logging",
        "redact_user_api_key_info",
        "set_verbose",
        "debug_level",
        "background_health_checks",
        "store_model_in_db",
        "disable_spend_logs",
    )
)
"""What is so here anyway, or is said by another field."""


def recognised(names: dict[str, Any]) -> bool:
    """Whether the top of a document is one of these."""
    return isinstance(names.get("model_list"), list) or (
        bool(names) and names.keys() <= set(SECTIONS)
    )


def translate(sheet: Sheet, content: dict[str, Any]) -> dict[str, Any]:
    """The same in our words."""
    top = Given(sheet, content)
    models = Models(sheet)
    for entry in top.each("model_list"):
        models.take(entry)
    models.finish()
    router, library, general = (top.section(name) for name in SECTIONS[1:4])
    for name, value in top.mapping("environment_variables").items():
        at = value.origin if isinstance(value, Said) else None
        sheet.warn(at, f"set {name} in the environment of the proxy: a file here sets none")
    _aliases(sheet, models.models, router)
    _fallbacks(sheet, models.models, router, library)
    _cache(models.models, library)
    _at_once(models.models, general)
    _callbacks(library)
    master = general.text("master_key")
    master = None if master is None else text(master)
    url = general.text("database_url")
    level = next((section for section in (library, router) if _on(section, "set_verbose")), None)
    translated = {
        **access.sections(
            sheet,
            host=usual("0.0.0.0") if master is not None else None,  # noqa: S104 - as there
            port=usual(PORT),
            ours=Given(sheet, {}),
            token=master,
        ),
        "store": {"url": None if url is None else _store(sheet, text(url))},
        "defaults": {
            "strategy": _strategy(sheet, router),
            **_patience(router, library),
        },
        "health": _health(router, library, general),
        "logging": {
            "level": None if level is None else "debug",
            "format": "json" if _on(library, "json_logs") else None,
        },
        "limits": _limits(library, general),
        "shared": {"url": _redis(router)},
        "providers": models.providers,
        "models": models.models,
        "keys": None if master is None else [{"name": "master", "key": master}],
    }
    for section in (router, library, general):
        for name in section.left():
            if name in _SAME:
                section.take(name)
            elif name in SETTINGS:
                section.leave(name, f"not here; the nearest is: {SETTINGS[name]}")
        section.done()
    for name in top.left():
        if name in BESIDE:
            top.leave(name, f"not here; the nearest is: {BESIDE[name]}")
    top.done()
    return translated


def _callbacks(library: Given) -> None:
    """Prometheus needs none here; of the others, each is named."""
    for name in ("callbacks", "success_callback", "failure_callback", "service_callbacks"):
        for said in library.texts(name):
            if said.value != "prometheus":
                message = f"{said.value} is not here; the nearest is: {WATCHING}"
                library.sheet.warn(said.origin, message)


def _on(section: Given, name: str) -> bool:
    found = section.switch(name)
    return found is not None and bool(found.value)


def _strategy(sheet: Sheet, router: Given) -> Said | None:
    said = router.text("routing_strategy", "simple-shuffle")
    if said is None:
        return None
    known = _STRATEGIES.get(str(said.value))
    if known is None:
        sheet.warn(said.origin, "no such strategy here; the nearest is: p2c")
    return said.as_(known or "p2c", "" if said.origin else "usual there")


def _patience(router: Given, library: Given) -> dict[str, Any]:
    """How long, and how often."""
    whole = router.number("timeout", least=0.001) or library.number("request_timeout", least=0.001)
    library.take("request_timeout")
    first = router.number("stream_timeout", least=0.001) or whole
    retries = router.whole("num_retries") or library.whole("num_retries")
    library.take("num_retries")
    return {
        "timeouts": {"request": whole, "ttft": first},
        "retry": {"count": retries, "base": router.number("retry_after")},
    }


def _health(router: Given, library: Given, general: Given) -> dict[str, Any]:
    fails = router.whole("allowed_fails") or library.whole("allowed_fails")
    library.take("allowed_fails")
    return {
        # There a deployment rests when it fails more often than that, here when it fails so often.
        "max_errors": None if fails is None else fails.as_(fails.value + 1),
        "open_base": router.number("cooldown_time", least=0.001),
        "interval": general.number("health_check_interval", least=0.001),
    }


def _limits(library: Given, general: Given) -> dict[str, Any]:
    budget = library.number("max_budget", least=1e-9)
    period = library.text("budget_duration")
    return {
        "concurrency": _or_none(general.whole("global_max_parallel_requests")),
        "budget": litellm_keys.budget(library.sheet, budget, period),
    }


def _at_once(models: dict[str, Any], general: Given) -> None:
    """`max_parallel_requests` is of each deployment that does not say it itself."""
    usually = _or_none(general.whole("max_parallel_requests"))
    for model in models.values():
        for deployment in model["deployments"]:
            deployment["concurrency"] = deployment["concurrency"] or usually


def _or_none(said: Said | None) -> Said | None:
    """There 0 is no limit."""
    return said if said is not None and said.value else None


def _store(sheet: Sheet, url: Said) -> Said | None:
    return url if isinstance(url.value, Reference) else database.from_url(sheet, url)


def _redis(router: Given) -> Said | None:
    found = {name: router.text(name) for name in _REDIS}
    if (url := found["redis_url"]) is not None:
        return text(url)
    host, port, password = (found[name] for name in _REDIS[:3])
    if host is None:
        return None

    login = "" if password is None else f":{_quoted(text(password))}@"
    at = "6379" if port is None else bare(text(port))
    return host.as_(Reference(f"redis://{login}{bare(text(host))}:{at}/0"))


def _quoted(said: Said) -> str:
    """A password as it stands in a URL. What a variable holds is put there as it is."""
    return bare(said) if isinstance(said.value, Reference) else quote(str(said.value), safe="")


# --- models ---


def _fallbacks(sheet: Sheet, models: dict[str, Any], *sections: Given) -> None:
    usually: list[Said] = []
    owners = {str(one.value): name for name in models for one in models[name].get("aliases", ())}
    public = Public({**owners, **{name: name for name in models}})
    for section in sections:
        for theirs, ours in _FALLBACKS.items():
            for entry in section.each(theirs):
                for name in entry.names():
                    for other in entry.texts(name):
                        _fall_back(sheet, models, public, name, ours, other)
        usually += section.texts("default_fallbacks")
    for name in [name for name, model in models.items() if "fallbacks" not in model]:
        for other in usually:
            if name != public.reached(str(other.value)):
                _fall_back(sheet, models, public, name, "fallbacks", other)


def _fall_back(
    sheet: Sheet, models: dict[str, Any], public: Public, name: str, kind: str, other: Said
) -> None:
    target = public.reached(str(other.value))
    if name not in models or target is None:
        missing = printable(str(other.value) if name in models else name)
        sheet.warn(other.origin, f"left out: there is no model called {missing!r}")
    elif name in _reached(models, public, target):
        sheet.warn(
            other.origin,
            f"left out for {printable(name)!r}: fallbacks end here, they do not go in circles",
        )
    else:
        models[name].setdefault(kind, []).append(other)


def _reached(models: dict[str, Any], public: Public, name: str) -> set[str]:
    """All that a model may fall back on in the end, and itself."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += [
                target
                for kind in _FALLBACKS.values()
                for other in models[one].get(kind, ())
                if (target := public.reached(str(other.value))) is not None
            ]
    return found


def _aliases(sheet: Sheet, models: dict[str, Any], router: Given) -> None:
    aliases = router.section("model_group_alias")
    for alias in aliases.names():
        tree = aliases.take(alias)
        target = tree.get("model") if isinstance(tree, dict) else tree
        if isinstance(tree, dict) and _on(Given(sheet, tree, aliases.below(alias)), "hidden"):
            sheet.warn(aliases.origin(alias), "an alias is listed here: it cannot be hidden")
        name = str(target.value) if isinstance(target, Said) else ""
        if name not in models or not isinstance(target, Said):
            sheet.warn(aliases.origin(alias), "left out: there is no model of this name")
        elif alias in models:
            sheet.warn(aliases.origin(alias), "left out: it is the name of a model, too")
        else:
            models[name].setdefault("aliases", []).append(target.as_(alias))


def _cache(models: dict[str, Any], library: Given) -> None:
    on, params = library.switch("cache"), library.section("cache_params")
    if on is None or not on.value or not _keeps_answers(params):
        return
    ttl = params.number("ttl", 3600, least=0.001)
    kind = params.text("type", "local")
    if kind is not None and kind.value != "local":
        library.sheet.warn(kind.origin, "answers are kept in the memory of each worker")
    params.done()
    for model in models.values():
        model["cache"] = {"ttl": ttl, "requests": on.as_("all")}


def _keeps_answers(params: Given) -> bool:
    """Whether answers are kept of clients who do not ask for it."""
    mode, kinds = params.text("mode"), params.take("supported_call_types")
    if mode is not None and mode.value == "default_off":
        params.leave(
            "mode",
            "no answers are kept: here a client cannot ask for it; the nearest is: models.*.cache",
        )
        return False
    if isinstance(kinds, list) and kinds:
        params.leave(
            "supported_call_types",
            "answers of all kinds are kept; the nearest is: cache of single models",
        )
    # With an empty list there is only what LiteLLM keeps for itself.
    return not isinstance(kinds, list) or bool(kinds)
