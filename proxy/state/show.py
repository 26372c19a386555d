"""What `headrace config show` prints: the compiled configuration, every secret masked."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson
import yaml
from msgspec import Struct
from msgspec.structs import asdict

from proxy.core import model
from proxy.core.jsonpath import dotted
from proxy.core.redact import MASK
from proxy.core.secret import Secret
from proxy.core.surfaces import MCP
from proxy.core.url import join, masked
from proxy.state import unpriced
from proxy.state.snapshot import compile_snapshot
from proxy.state.usage import EACH

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.core.config import schema
    from proxy.core.config.extensions import Hook
    from proxy.core.config.loading import Loaded

_SHORTEST = 4
"""A hidden value shorter than this would mask half of every word."""
_SECRET_NAME = re.compile(r"auth|key|token|secret|passw|cookie|credential", re.IGNORECASE)


def show(loaded: Loaded, *, as_json: bool = False) -> str:
    """The compiled configuration as YAML or JSON."""
    report = _masked(_report(loaded), [item.reveal() for item in loaded.hidden])
    if as_json:
        return orjson.dumps(report, option=orjson.OPT_INDENT_2).decode()
    text: str = yaml.dump(
        report, Dumper=yaml.SafeDumper, sort_keys=False, allow_unicode=True, width=120
    )
    return text.rstrip("\n")


def _report(loaded: Loaded) -> dict[str, Any]:
    config = loaded.config
    snapshot = compile_snapshot(config)
    admin = snapshot.admin
    return {
        "source": loaded.source,
        "server": {
            **asdict(snapshot.server),
            "ops": asdict(snapshot.server.ops),
            "proxies": [str(network) for network in snapshot.server.proxies],
            "tls": snapshot.server.tls and asdict(snapshot.server.tls),
        },
        "admin": {
            **asdict(admin),
            "token": admin.token and MASK,
            "password": admin.password and MASK,
            "origins": list(admin.origins),
            "tls": admin.tls and asdict(admin.tls),
        },
        "store": {
            "url": _store(snapshot.store_url),
            "poll": config.store.poll,
            "snapshot": config.store.copy_path,
        },
        "secrets": {
            "keys": [MASK for _ in config.secrets.keys],
            "file": config.secrets.file,
            "sources": {name: _source(item) for name, item in config.secrets.sources.items()},
        },
        "auth": {"require": snapshot.require_auth, "exempt": sorted(snapshot.exempt)},
        "health": asdict(snapshot.health),
        "logging": asdict(snapshot.logging),
        "tracing": {
            **asdict(snapshot.tracing),
            "headers": dict.fromkeys(snapshot.tracing.headers, MASK),
        },
        "limits": _limits(snapshot.limits),
        "teams": {name: _limits(limits) for name, limits in snapshot.teams.items()},
        "prices": {name: _price(price) for name, price in snapshot.prices.items()},
        "price_unknown": _price(snapshot.price_unknown) or "refuse",
        "owned_by": snapshot.owned_by,
        "ledger": asdict(snapshot.ledger),
        "shared": {
            **asdict(snapshot.shared),
            "url": snapshot.shared.url and masked(snapshot.shared.url),
        },
        "cache": asdict(snapshot.cache),
        "hooks": [] if snapshot.hooks is None else [_hook(item) for item in config.hooks],
        "providers": {name: _provider(item) for name, item in snapshot.providers.items()},
        "mcp": {name: _server(item) for name, item in snapshot.mcp.items()},
        "models": _models(snapshot),
        "keys": [_key(key) for key in snapshot.keys.values()],
        "warnings": [str(problem) for problem in (*loaded.warnings, *unpriced.remarks(loaded))],
    }


def _store(url: str) -> str:
    """A file has no password, and its folder may have an `@` in its name."""
    return url if not url or url.casefold().startswith("sqlite:") else masked(url)


def _hook(hook: Hook) -> dict[str, Any]:
    return {**hook.model_dump(), "options": _named(hook.options)}


def _server(provider: model.Provider) -> dict[str, Any]:
    (place,) = provider.auth.values()
    return {
        "url": masked(join(provider.base_url, provider.dialects[MCP])),
        "auth": f"{place.scheme}:{place.name}" if place.name else place.scheme,
        "headers": _named(provider.headers),
        "query": dict.fromkeys(provider.query, MASK),
        "allow_private": provider.allow_private,
        "idle": provider.timeouts.idle,
    }


def _provider(provider: model.Provider) -> dict[str, Any]:
    return {
        "base_url": provider.base_url,
        "dialects": _urls(provider),
        "auth": {
            family: f"{place.scheme}:{place.name}" if place.name else place.scheme
            for family, place in provider.auth.items()
        },
        "credentials": [
            {
                "id": item.id,
                "key": MASK,
                "weight": item.weight,
                **_paced(item.limits),
                "quota": item.quota and asdict(item.quota),
            }
            for item in provider.credentials
        ],
        "headers": _named(provider.headers),
        "query": _named(provider.query),
        "allow_private": provider.allow_private,
        "verify_tls": provider.verify_tls,
        "pass_deadline": provider.pass_deadline,
        "propagate": provider.propagate,
        "fields": {name: asdict(fit) for name, fit in provider.fields.items()},
        "proxy": provider.proxy and masked(provider.proxy),
        "max_connections": provider.max_connections,
        "warm": provider.warm,
        "key_strategy": str(provider.key_strategy),
        "json_edits": provider.json_edits,
        "data_collection": provider.collects,
        "conversation": provider.conversation and _conversation(provider, provider.conversation),
    }


def _conversation(provider: model.Provider, settings: model.Conversation) -> dict[str, Any]:
    create, done = settings.create, settings.done
    return {
        "create": {
            "url": f"{create.method} {join(provider.base_url, create.path)}",
            "body": create.body,
            "headers": _named(create.headers),
            "id_path": dotted(create.id),
        },
        "body": settings.body,
        "referer": settings.referer,
        "headers": _named(settings.headers),
        "text_path": [dotted(path) for path in settings.text],
        "delta": settings.delta,
        "done": done and {"path": dotted(done.path), "equals": done.equals},
        "done_at_end": settings.done_at_end,
        "error_path": dotted(settings.error),
        "prefetch": settings.prefetch,
        "expire": settings.expire,
    }


def _urls(provider: model.Provider, name: str = "{model}") -> dict[str, str]:
    """Dialect to the whole URL."""
    return {
        dialect: join(provider.base_url, root).replace("{model}", name)
        for dialect, root in provider.dialects.items()
    }


def _named(values: Mapping[str, str]) -> dict[str, str]:
    return {name: MASK if _SECRET_NAME.search(name) else value for name, value in values.items()}


def _models(snapshot: model.Snapshot) -> dict[str, Any]:
    """Each model once, under its own name."""
    public: dict[str, list[str]] = {}
    models: dict[str, model.Model] = {}
    wildcards = ((f"{prefix}*", item) for prefix, item in snapshot.wildcards)
    for name, item in (*snapshot.models.items(), *wildcards):
        models[item.name] = item
        if name != item.name:
            public.setdefault(item.name, []).append(name)
    return {
        name: {
            "aliases": public.get(name, []),
            "strategy": str(item.strategy),
            "performance": asdict(item.performance),
            "fallbacks": list(item.fallbacks),
            "fallbacks_context": list(item.fallbacks_context),
            "fallbacks_content": list(item.fallbacks_content),
            "retry": asdict(item.retry),
            "hedge": item.hedge and asdict(item.hedge),
            "strict": item.strict,
            "continuation": list(item.continuation),
            "rules": [asdict(rule) for rule in item.rules],
            "preferences": item.preferences,
            "echo_alias": item.echo_alias,
            "shadow": item.shadow and asdict(item.shadow),
            "overload": item.overload and asdict(item.overload),
            "cache": item.cache and asdict(item.cache),
            "coalesce": item.coalesce and asdict(item.coalesce),
            "type": item.type or None,
            "description": item.description or None,
            "capabilities": asdict(item.capabilities),
            **_paced(item.limits),
            "deployments": [_deployment(each) for tier in item.tiers for each in tier],
        }
        for name, item in models.items()
    }


def _deployment(deployment: model.Deployment) -> dict[str, Any]:
    return {
        "id": deployment.id,
        "provider": deployment.provider.name,
        "model": deployment.model,
        "priority": deployment.priority,
        "weight": deployment.weight,
        "urls": _urls(deployment.provider, deployment.model),
        "timeouts": asdict(deployment.timeouts),
        "retry": asdict(deployment.retry),
        "param_defaults": dict(deployment.param_defaults),
        "param_overrides": dict(deployment.param_overrides),
        "force_usage": deployment.force_usage,
        "stream": deployment.streams,
        "non_stream": deployment.non_streams,
        "max_tokens": deployment.max_tokens,
        "max_context": deployment.max_context or None,
        "prefer": list(deployment.prefer),
        "continuation": ["prefill"] if deployment.prefills else [],
        **_paced(deployment.limits),
        "quota": deployment.quota and asdict(deployment.quota),
        "price": _price(deployment.price),
        "health_check": deployment.health_check,
    }


def _paced(limits: model.Limits | None) -> dict[str, int | None]:
    """The limits of what has no budget; null is none."""
    found = limits or model.Limits()
    return {
        "rpm": found.rpm or None,
        "tpm": found.tpm or None,
        "concurrency": found.concurrency or None,
    }


def _source(item: schema.Source) -> str:
    """Of what kind it is. The words of a command may hold what must not be shown."""
    return next(kind for kind in ("command", "folder", "python") if getattr(item, kind))


def _limits(limits: model.Limits | None) -> dict[str, Any] | None:
    if limits is None:
        return None
    budget = limits.budget and asdict(limits.budget)
    return {**_paced(limits), "burst": limits.burst or None, "budget": budget}


def _price(price: model.Price | None) -> dict[str, Any] | None:
    """In the words and units of the file; what is as something wider is left out, null is unknown."""
    if price is None:
        return None
    above = {str(tokens): _price(more) for tokens, more in price.above}
    said = {
        name: value / 1e6 if name in EACH else value
        for name, value in asdict(price).items()
        if name != "above" and value is not None
    }
    return {**said, "above": above} if above else said


def _key(key: model.VirtualKey) -> dict[str, Any]:
    return {
        "name": key.name,
        "key": MASK,
        "models": list(key.models),
        "enabled": key.enabled,
        "expires": key.expires,
        "routes": list(key.routes),
        "cidrs": [str(network) for network in key.cidrs],
        "owner": key.owner or None,
        "team": key.team or None,
        "rpm": key.rpm or None,
        "tpm": key.tpm or None,
        "concurrency": key.concurrency or None,
        "budget": key.budget and asdict(key.budget),
    }


def _masked(value: Any, hidden: list[str]) -> Any:
    """The same without anything that came from a secret file or variable, wherever it stands; structs as mappings."""
    if isinstance(value, str):
        for secret in hidden:
            if secret == value or (len(secret) >= _SHORTEST and secret in value):
                value = value.replace(secret, MASK)
        return value
    if isinstance(value, dict):
        return {name: _masked(item, hidden) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(item, hidden) for item in value]
    if isinstance(value, Struct):
        return MASK if isinstance(value, Secret) else _masked(asdict(value), hidden)
    return value
