"""Configuration compiled: defaults merged, names resolved, what cannot serve left out.

A `Config` that loaded has no errors, so nothing here fails. What a reader of a `Snapshot` may rely on: every
deployment has a usable provider and a weight above 0, every model a deployment or a fallback, and every fallback
is a model.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec.structs import replace

from proxy.core import model, surfaces
from proxy.core.virtual_key import Pepper, digest

if TYPE_CHECKING:
    # Only for its types: the data path imports this module, and must not bring pydantic with it.
    from proxy.core.config import schema
    from proxy.core.config.schema import Config

_T = TypeVar("_T", model.Timeouts, model.Retry)
Params = Mapping[str, Any]

_NOT_PARAMS = frozenset({"model", "stream"})


_OWN = Pepper("process", secrets.token_bytes(32))
"""For digests that never leave this process: those of the file's keys, where there is no store."""


def compile_snapshot(config: Config, peppers: Sequence[Pepper] = ()) -> model.Snapshot:
    """The values the data plane works with. Without `peppers` a random one of this process is used."""
    peppers = tuple(peppers) or (_OWN,)
    providers = {
        name: _provider(name, block, config.defaults)
        for name, block in config.providers.items()
        if block.usable
    }
    compiled = {
        name: _model(name, block, config, providers) for name, block in config.models.items()
    }
    served = _served(compiled, config)
    return model.Snapshot(
        server=_fields(model.Server, config.server),
        admin=_admin(config.admin),
        logging=_fields(model.Logging, config.logging),
        health=_fields(model.Health, config.health),
        providers=providers,
        models=dict(_names(served, config, wildcards=False)),
        wildcards=tuple(
            sorted(
                ((name[:-1], item) for name, item in _names(served, config, wildcards=True)),
                key=lambda pair: len(pair[0]),
                reverse=True,
            )
        ),
        keys={key.digest: key for key in (_key(item, peppers[0]) for item in config.keys)},
        peppers=peppers,
        require_auth=bool(config.keys) if config.auth.require is None else config.auth.require,
        exempt=frozenset(config.auth.exempt),
        store_url=config.store.url,
    )


def _admin(section: schema.Admin) -> model.Admin:
    return model.Admin(**{**dict(section), "origins": tuple(section.origins)})


def _fields(kind: Any, section: Any) -> Any:
    """A struct from the section that has the same fields."""
    return kind(**dict(section))


def _set(base: _T, *sections: Any) -> _T:
    """The base with what each section sets; later sections win."""
    for section in sections:
        base = replace(base, **section.model_dump(exclude_none=True))
    return base


def _merged(*maps: Params) -> dict[str, Any]:
    """Later maps win; the request's own fields are never parameters."""
    result: dict[str, Any] = {}
    for params in maps:
        result |= params
    return {name: value for name, value in result.items() if name not in _NOT_PARAMS}


def _given(params: Params) -> dict[str, Any]:
    """As a default, null only takes away a wider default. (As an override it reaches the request: see attempts.)"""
    return {name: value for name, value in params.items() if value is not None}


# --- providers ---


def _provider(name: str, block: schema.Provider, defaults: schema.Defaults) -> model.Provider:
    credentials = (
        model.Credential(f"{name}#{index}", item.key, item.weight)
        for index, item in enumerate(block.credentials)
        if item.key.reveal()
    )
    families = {surfaces.family(dialect) for dialect in block.spoken}
    return model.Provider(
        name=name,
        base_url=block.base_url.strip().rstrip("/"),
        dialects=block.spoken,
        credentials=tuple(credentials),
        auth={family: block.place(family) for family in sorted(families)},
        headers=block.headers,
        query=block.query,
        force_usage=defaults.force_usage if block.force_usage is None else block.force_usage,
        allow_private=block.allow_private,
        verify_tls=block.verify_tls,
        proxy=block.proxy,
        max_connections=block.max_connections,
        timeouts=_set(model.Timeouts(), defaults.timeouts, block.timeouts),
        param_defaults=_given(_merged(defaults.param_defaults, block.param_defaults)),
        param_overrides=_merged(defaults.param_overrides, block.param_overrides),
        conversation=None if block.conversation is None else _conversation(block.conversation),
    )


def _conversation(block: schema.Conversation) -> model.Conversation:
    create, done = block.create, block.done
    return model.Conversation(
        create=model.Create(
            create.path, create.id_path, create.method, create.body, create.headers
        ),
        body=block.body,
        text=tuple(block.text_path),
        referer=block.referer,
        headers=block.headers,
        delta=block.delta,
        done=None if done is None else model.Done(done.path, done.equals),
        done_at_end=block.done_at_end,
        error=block.error_path,
        prefetch=block.prefetch,
        expire=block.expire,
    )


# --- models ---


def _model(
    name: str, block: schema.Model, config: Config, providers: Mapping[str, model.Provider]
) -> model.Model:
    tiers: dict[int, list[model.Deployment]] = {}
    for index, item in enumerate(block.deployments):
        provider = providers.get(item.provider)
        if provider is None or not item.enabled or item.weight == 0:
            continue
        deployment = _deployment(
            f"{name}/{index}:{item.provider}", name, item, block, provider, config
        )
        tiers.setdefault(deployment.priority, []).append(deployment)
    return model.Model(
        name=name,
        tiers=tuple(tuple(tiers[priority]) for priority in sorted(tiers)),
        strategy=block.strategy or config.defaults.strategy,
        fallbacks=tuple(block.fallbacks),
        fallbacks_context=tuple(block.fallbacks_context),
        fallbacks_content=tuple(block.fallbacks_content),
        retry=_set(model.Retry(), config.defaults.retry, block.retry),
        strict=block.strict,
        type=block.type or "",
        description=block.description or "",
    )


def _deployment(
    id: str,
    name: str,
    item: schema.Deployment,
    block: schema.Model,
    provider: model.Provider,
    config: Config,
) -> model.Deployment:
    defaults, account = config.defaults, config.providers[item.provider]
    wide = (defaults, account, block, item)
    return model.Deployment(
        id=id,
        provider=provider,
        model=item.model or name,
        priority=0 if item.preferred else item.priority,
        weight=item.weight,
        timeouts=_set(model.Timeouts(), *(section.timeouts for section in wide)),
        retry=_set(model.Retry(), *(section.retry for section in wide)),
        param_defaults=_given(_merged(*(section.param_defaults for section in wide))),
        param_overrides=_merged(*(section.param_overrides for section in wide)),
        force_usage=provider.force_usage if block.force_usage is None else block.force_usage,
        streams=item.stream,
        non_streams=item.non_stream,
        max_tokens=item.max_tokens or block.max_tokens or account.max_tokens or defaults.max_tokens,
        prefer=tuple(account.prefer if item.prefer is None else item.prefer),
    )


def _served(compiled: dict[str, model.Model], config: Config) -> dict[str, model.Model]:
    """Models that lead somewhere. Leaving one out can leave another without its last fallback: hence the loop."""
    served = compiled
    while True:
        reachable = {name for name, _ in _names(served, config, wildcards=False)}
        prefixes = [name[:-1] for name, _ in _names(served, config, wildcards=True)]

        def leads(
            name: str, reachable: set[str] = reachable, prefixes: list[str] = prefixes
        ) -> bool:
            return name in reachable or any(name.startswith(prefix) for prefix in prefixes)

        trimmed = {
            name: replace(
                item,
                fallbacks=tuple(filter(leads, item.fallbacks)),
                fallbacks_context=tuple(filter(leads, item.fallbacks_context)),
                fallbacks_content=tuple(filter(leads, item.fallbacks_content)),
            )
            for name, item in served.items()
        }
        left = {name: item for name, item in trimmed.items() if item.tiers or item.fallbacks}
        if len(left) == len(served):
            return left
        served = left


def _names(
    models: Mapping[str, model.Model], config: Config, *, wildcards: bool
) -> Iterator[tuple[str, model.Model]]:
    """Every name and alias that is, or is not, a wildcard."""
    for name, item in models.items():
        for public in (name, *config.models[name].aliases):
            if public.endswith("*") == wildcards:
                yield public, item


# --- keys ---


def _key(key: schema.Key, pepper: Pepper) -> model.VirtualKey:
    return model.VirtualKey(
        name=key.name,
        digest=digest(key.key.reveal(), pepper),
        models=tuple(key.models),
        enabled=key.enabled,
        expires=key.expires,
        id=key.name,
        routes=tuple(key.routes),
        cidrs=tuple(key.cidrs),
        owner=key.owner or "",
        team=key.team or "",
        rpm=key.rpm or 0,
        tpm=key.tpm or 0,
        concurrency=key.concurrency or 0,
        budget=None if key.budget is None else model.Budget(**dict(key.budget)),
    )
