"""Providers and models compiled: defaults merged, names resolved, what cannot serve left out.

Compiled again, what is made of the same is the same object: connections, routes and state are kept by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import parse_qsl, urlsplit

from msgspec import Struct
from msgspec.structs import replace

from proxy.core import model, surfaces
from proxy.state import usage
from proxy.state.prices import NOBODY, load, price_of, window

if TYPE_CHECKING:
    # Only for its types: the data path imports this module, and must not bring pydantic with it.
    from proxy.core.config import schema

_T = TypeVar("_T")
_S = TypeVar("_S", model.Timeouts, model.Retry, model.Performance)
Params = Mapping[str, Any]

_NO_PRICES: Mapping[str, model.Price] = {}
_NO_SERVERS: Mapping[str, schema.McpServer] = {}
_NOT_PARAMS = frozenset({"model", "stream"})


class Account(Struct, frozen=True, eq=False):
    """A provider before it is compiled, wherever it was written down."""

    block: schema.Provider
    credentials: tuple[model.Credential, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether a request can be sent to it: not switched off, and with a credential where one is needed."""
        return self.block.enabled and bool(self.credentials or not self.block.needs_credential)


class Public(Struct, frozen=True, eq=False):
    """A model before it is compiled: its fields, and the id and fields of each deployment."""

    block: schema.Model
    deployments: tuple[tuple[str, schema.Deployment], ...]
    aliases: tuple[str, ...]


class Targets(Struct, frozen=True, eq=False):
    """What requests can reach, as a snapshot has it."""

    providers: Mapping[str, model.Provider]
    models: Mapping[str, model.Model]
    wildcards: tuple[tuple[str, model.Model], ...]
    mcp: Mapping[str, model.Provider]


class _Kept(Generic[_T]):
    """What was made the last time, by its name and by what it was made of."""

    __slots__ = ("_before", "_now")

    def __init__(self) -> None:
        self._before: dict[str, tuple[tuple[Any, ...], _T]] = {}
        self._now: dict[str, tuple[tuple[Any, ...], _T]] = {}

    def turn(self) -> None:
        """From now on everything is asked for again; what is not is forgotten."""
        self._before, self._now = self._now, {}

    def get(self, name: str, parts: tuple[Any, ...], make: Callable[..., _T], *args: Any) -> _T:
        kept = self._before.get(name)
        if kept is None or not _alike(kept[0], parts):
            kept = parts, make(*args)
        self._now[name] = kept
        return kept[1]


def _alike(some: tuple[Any, ...], others: tuple[Any, ...]) -> bool:
    """Whether nothing differs. Sections of a file that was read again are equal, not the same; and 1 equals true."""
    return len(some) == len(others) and all(
        one is other or (one == other and repr(one) == repr(other))
        for one, other in zip(some, others, strict=True)
    )


class Builder:
    """Compiles providers and models, again and again. One thread at a time."""

    __slots__ = ("_deployments", "_models", "_providers", "_servers", "_trimmed")

    def __init__(self) -> None:
        self._servers: _Kept[model.Provider] = _Kept()
        self._providers: _Kept[model.Provider] = _Kept()
        self._deployments: _Kept[model.Deployment] = _Kept()
        self._models: _Kept[model.Model] = _Kept()
        self._trimmed: _Kept[model.Model] = _Kept()

    def build(
        self,
        accounts: Mapping[str, Account],
        public: Mapping[str, Public],
        defaults: schema.Defaults,
        prices: Mapping[str, model.Price] = _NO_PRICES,
        servers: Mapping[str, schema.McpServer] = _NO_SERVERS,
    ) -> Targets:
        """Everything that can serve. `prices` are what the configuration says of models."""
        for kept in (
            self._providers,
            self._servers,
            self._deployments,
            self._models,
            self._trimmed,
        ):
            kept.turn()
        providers = {
            name: self._providers.get(
                name,
                (account.block, defaults, *account.credentials),
                _provider,
                name,
                account,
                defaults,
            )
            for name, account in accounts.items()
            if account.usable
        }
        own = {
            name: self._own(name, item, accounts, providers, defaults, prices)
            for name, item in public.items()
        }
        owners = {alias: name for name, item in public.items() for alias in item.aliases}
        owners |= {name: name for name in public}
        compiled = {}
        for name, item in public.items():
            lent = dict.fromkeys(owners.get(other, "") for other in item.block.models)
            groups = [own[name], *(own[other] for other in lent if other and other != name)]
            made_of = (item.block, defaults, *(one for group in groups for one in group))
            compiled[name] = self._models.get(
                name, made_of, _model, name, item.block, groups, defaults
            )
        served = self._served(compiled, public)
        wildcards = [(name[:-1], item) for name, item in _names(served, public, wildcards=True)]
        return Targets(
            providers,
            dict(_names(served, public, wildcards=False)),
            tuple(sorted(wildcards, key=lambda pair: len(pair[0]), reverse=True)),
            {
                name: self._servers.get(name, (block,), _server, name, block)
                for name, block in servers.items()
                if block.enabled
            },
        )

    def _own(
        self,
        name: str,
        public: Public,
        accounts: Mapping[str, Account],
        providers: Mapping[str, model.Provider],
        defaults: schema.Defaults,
        prices: Mapping[str, model.Price],
    ) -> list[model.Deployment]:
        """The deployments of a model, without those it may use of others."""
        block = public.block
        deployments = []
        for id, item in public.deployments:
            provider = providers.get(item.provider)
            if provider is None or not item.enabled or item.weight == 0:
                continue
            account = accounts[item.provider].block
            price = _price(item.model or name, item, provider, prices)
            parts = (item, block, provider, defaults, price)
            deployments.append(
                self._deployments.get(
                    id,
                    parts,
                    _deployment,
                    id,
                    name,
                    item,
                    block,
                    account,
                    provider,
                    defaults,
                    price,
                )
            )
        return deployments

    def _served(
        self, compiled: dict[str, model.Model], public: Mapping[str, Public]
    ) -> dict[str, model.Model]:
        """Models that lead somewhere. Leaving one out can leave another without its last fallback: hence the loop."""
        served = compiled
        while True:
            reachable = {name for name, _ in _names(served, public, wildcards=False)}
            prefixes = [name[:-1] for name, _ in _names(served, public, wildcards=True)]

            def leads(
                name: str, reachable: set[str] = reachable, prefixes: list[str] = prefixes
            ) -> bool:
                return name in reachable or any(name.startswith(prefix) for prefix in prefixes)

            trimmed = {name: _trimmed(item, leads) for name, item in served.items()}
            left = {name: item for name, item in trimmed.items() if item.tiers or item.fallbacks}
            if len(left) == len(served):
                return {name: self._settled(compiled[name], item) for name, item in left.items()}
            served = left

    def _settled(self, whole: model.Model, trimmed: model.Model) -> model.Model:
        if trimmed is whole:
            return whole
        parts = (whole, trimmed.fallbacks, trimmed.fallbacks_context, trimmed.fallbacks_content)
        return self._trimmed.get(whole.name, parts, lambda: trimmed)


def _trimmed(item: model.Model, leads: Callable[[str], bool]) -> model.Model:
    """Without the fallbacks that lead nowhere."""
    before = (item.fallbacks, item.fallbacks_context, item.fallbacks_content)
    after = tuple(tuple(filter(leads, names)) for names in before)
    if after == before:
        return item
    return replace(item, fallbacks=after[0], fallbacks_context=after[1], fallbacks_content=after[2])


def _names(
    models: Mapping[str, model.Model], public: Mapping[str, Public], *, wildcards: bool
) -> Iterator[tuple[str, model.Model]]:
    """Every name and alias that is, or is not, a wildcard."""
    for name, item in models.items():
        for one in (name, *public[name].aliases):
            if one.endswith("*") == wildcards:
                yield one, item


def _set(base: _S, *sections: Any) -> _S:
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


def _provider(name: str, account: Account, defaults: schema.Defaults) -> model.Provider:
    block = account.block
    families = {surfaces.family(dialect) for dialect in block.spoken}
    return model.Provider(
        name=name,
        base_url=block.base_url.strip().rstrip("/"),
        dialects=block.spoken,
        credentials=account.credentials,
        auth={family: block.place(family) for family in sorted(families)},
        headers=block.headers,
        query=block.query,
        force_usage=defaults.force_usage if block.force_usage is None else block.force_usage,
        allow_private=block.allow_private,
        verify_tls=block.verify_tls,
        pass_deadline=block.pass_deadline,
        propagate=block.propagate,
        proxy=block.proxy,
        max_connections=block.max_connections,
        warm=block.warm,
        timeouts=_set(model.Timeouts(), defaults.timeouts, block.timeouts),
        param_defaults=_given(_merged(defaults.param_defaults, block.param_defaults)),
        param_overrides=_merged(defaults.param_overrides, block.param_overrides),
        conversation=None if block.conversation is None else _conversation(block.conversation),
        fields={name: _fit(fields) for name, fields in block.fields.items()},
        key_strategy=block.key_strategy,
        json_edits=block.json_edits,
        collects=block.data_collection,
        runs=block.preset in NOBODY,
    )


def _server(name: str, block: schema.McpServer) -> model.Provider:
    parts = urlsplit(block.url.strip())
    secret = block.credential
    return model.Provider(
        f"mcp/{name}",
        f"{parts.scheme}://{parts.netloc}",
        {surfaces.MCP: parts.path or "/"},
        credentials=() if secret is None else (model.Credential(f"mcp/{name}#0", secret),),
        auth={"mcp": model.Auth("none") if secret is None else block.auth},
        headers=block.headers,
        query=dict(parse_qsl(parts.query, keep_blank_values=True)),
        allow_private=block.allow_private,
        timeouts=model.Timeouts(idle=block.idle, total=inf),
    )


def _fit(block: schema.Fields) -> model.Fit:
    return model.Fit(block.rename, tuple(block.drop), block.clamp, block.set)


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
    name: str,
    block: schema.Model,
    groups: Sequence[Sequence[model.Deployment]],
    defaults: schema.Defaults,
) -> model.Model:
    return model.Model(
        name=name,
        tiers=_tiers(groups),
        strategy=block.strategy or defaults.strategy,
        performance=_set(model.Performance(), defaults.performance, block.performance),
        fallbacks=tuple(block.fallbacks),
        fallbacks_context=tuple(block.fallbacks_context),
        fallbacks_content=tuple(block.fallbacks_content),
        retry=_set(model.Retry(), defaults.retry, block.retry),
        hedge=model.Hedge(block.hedge.after, block.hedge.floor, block.hedge.share)
        if block.hedge.enabled
        else None,
        strict=block.strict,
        type=block.type or "",
        description=block.description or "",
        capabilities=_capabilities(block.capabilities),
        limits=usage.limits(block),
        continuation=tuple(dict.fromkeys(block.continuation)),
        rules=tuple(map(_rule, block.rules)),
        preferences=block.preferences,
        echo_alias=block.echo_alias,
        overload=_overload(block.overload),
        shadow=model.Shadow(block.shadow.model, block.shadow.share) if block.shadow.model else None,
        cache=_cache(block.cache),
        coalesce=_coalesce(block.coalesce),
    )


def _capabilities(block: schema.Capabilities) -> model.Capabilities:
    said = block.model_dump(exclude_none=True)
    lists = {name: tuple(said[name]) for name in ("input", "output")}
    return model.Capabilities(**{**said, **lists})


def _overload(block: schema.Overload) -> model.Overload | None:
    if not block.enabled:
        return None
    return model.Overload(block.start, block.least, block.most, block.queue, block.depth)


def _rule(block: schema.Rule) -> model.Rule:
    when = block.when
    return model.Rule(
        block.use,
        model.When(
            keys=tuple(when.keys),
            teams=tuple(when.teams),
            metadata={name: tuple(values) for name, values in when.metadata.items()},
            headers={name.lower(): tuple(values) for name, values in when.headers.items()},
            min_tokens=when.min_tokens,
            max_tokens=when.max_tokens,
            tools=when.tools,
            images=when.images,
            stream=when.stream,
        ),
        block.share,
    )


def _cache(block: schema.ModelCache) -> model.Cache | None:
    if not block.ttl or block.requests == "none":
        return None
    return model.Cache(block.ttl, block.requests, block.scope)


def _coalesce(block: schema.Coalesce) -> model.Coalesce | None:
    if block.requests == "none":
        return None
    return model.Coalesce(block.requests, block.scope, block.bill)


def _tiers(
    groups: Sequence[Sequence[model.Deployment]],
) -> tuple[tuple[model.Deployment, ...], ...]:
    """What each model uses first competes with what the others use first, and so on: priorities count within a model."""
    ranks: list[list[model.Deployment]] = []
    for deployments in groups:
        for rank, priority in enumerate(sorted({one.priority for one in deployments})):
            if rank == len(ranks):
                ranks.append([])
            ranks[rank] += [one for one in deployments if one.priority == priority]
    return tuple(map(tuple, ranks))


def _deployment(
    id: str,
    name: str,
    item: schema.Deployment,
    block: schema.Model,
    account: schema.Provider,
    provider: model.Provider,
    defaults: schema.Defaults,
    price: model.Price | None,
) -> model.Deployment:
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
        limits=usage.limits(item),
        quota=usage.quota(item.quota),
        health_check=item.health_check,
        price=price,
        prefills="prefill" in item.continuation,
        max_context=item.max_context or 0,
        window=0 if "*" in (item.model or name) else window(provider, item.model or name),
    )


def _price(
    upstream: str,
    item: schema.Deployment,
    provider: model.Provider,
    prices: Mapping[str, model.Price],
) -> model.Price | None:
    """Of a wildcard what the deployment itself says: the rest depends on what it matched."""
    own = usage.price(item.price)
    if "*" not in upstream:
        return price_of(prices, provider, upstream, own)
    if own is None:
        load()  # what it matches is looked up while a request waits
    return own
