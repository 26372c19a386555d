"""Configuration compiled: defaults merged, names resolved, what cannot serve left out.

A `Config` that loaded has no errors, so nothing here fails. What a reader of a `Snapshot` may rely on: every
deployment has a usable provider and a weight above 0, every model a deployment or a fallback, and every fallback
is a model.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from proxy.core import model
from proxy.core.virtual_key import Pepper, digest
from proxy.hooks import finding
from proxy.hooks.chain import Hooks
from proxy.state import usage
from proxy.state.targets import Account, Builder, Public

if TYPE_CHECKING:
    # Only for its types: the data path imports this module, and must not bring pydantic with it.
    from proxy.core.config import schema
    from proxy.core.config.schema import Config

OWN_PEPPER = Pepper("process", secrets.token_bytes(32))
"""For digests that never leave this process: those of the file's keys, where there is no store."""


def compile_snapshot(config: Config, peppers: Sequence[Pepper] = ()) -> model.Snapshot:
    """The values the data plane works with. Without `peppers` a random one of this process is used."""
    peppers = tuple(peppers) or (OWN_PEPPER,)
    compiled = sections(config)
    targets = Builder().build(
        accounts(config), public(config), config.defaults, compiled["prices"], config.mcp
    )
    return model.Snapshot(
        **compiled,
        providers=targets.providers,
        models=targets.models,
        wildcards=targets.wildcards,
        mcp=targets.mcp,
        keys=keys(config, peppers[0]),
        require_auth=require_auth(config, bool(config.keys)),
        peppers=peppers,
    )


def accounts(config: Config) -> dict[str, Account]:
    """The file's providers."""
    return {
        name: Account(
            block,
            tuple(
                credential(f"{name}#{index}", item)
                for index, item in enumerate(block.credentials)
                if item.key.reveal()
            ),
        )
        for name, block in config.providers.items()
    }


def credential(id: str, section: schema.Credential) -> model.Credential:
    """One credential of a provider."""
    return model.Credential(
        id, section.key, section.weight, usage.limits(section), usage.quota(section.quota)
    )


def public(config: Config) -> dict[str, Public]:
    """The file's models."""
    return {
        name: Public(
            block,
            tuple(
                (f"{name}/{index}:{item.provider}", item)
                for index, item in enumerate(block.deployments)
            ),
            tuple(block.aliases),
        )
        for name, block in config.models.items()
    }


def keys(config: Config, pepper: Pepper) -> dict[bytes, model.VirtualKey]:
    """The file's virtual keys by their digests."""
    return {key.digest: key for key in (_key(item, pepper) for item in config.keys)}


def require_auth(config: Config, any_key: bool) -> bool:
    """Whether a request needs a key."""
    return any_key if config.auth.require is None else config.auth.require


def sections(config: Config) -> dict[str, Any]:
    """The fields of a snapshot that are a section each."""
    return {
        "server": _server(config.server),
        "admin": _admin(config.admin),
        "logging": _fields(model.Logging, config.logging),
        "tracing": _fields(model.Tracing, config.tracing),
        "health": _fields(model.Health, config.health),
        "exempt": frozenset(config.auth.exempt),
        "limits": usage.all_limits(config.limits),
        "teams": usage.teams(config.teams),
        "prices": usage.prices(config.prices),
        "price_unknown": usage.price(config.defaults.price_unknown),
        "owned_by": config.defaults.owned_by,
        "ledger": usage.ledger(config),
        "shared": usage.shared(config.shared),
        "cache": model.CacheRoom(config.cache.size, config.cache.entry, config.cache.header),
        "hooks": _hooks(config),
        "store_url": config.store.url,
    }


def _hooks(config: Config) -> Hooks | None:
    if not config.hooks:
        return None
    # Late: what the data path imports must not bring pydantic with it.
    from proxy.core.config.extensions import specs

    return finding.hooks(specs(config.hooks))


def _server(section: schema.Server) -> model.Server:
    nested = {
        "watchdog": section.watchdog or 0.0,
        "ops": _fields(model.Ops, section.ops),
        "proxies": tuple(section.proxies),
        "tls": tls(section.tls),
    }
    return model.Server(**{**dict(section), **nested})


def _admin(section: schema.Admin) -> model.Admin:
    nested = {"origins": tuple(section.origins), "tls": tls(section.tls)}
    return model.Admin(**{**dict(section), **nested})


def tls(section: schema.TLS | None) -> model.TLS | None:
    """What a listener shows its clients."""
    return None if section is None else _fields(model.TLS, section)


def _fields(kind: Any, section: Any) -> Any:
    """A struct from the section that has the same fields."""
    return kind(**dict(section))


def _key(key: schema.Key, pepper: Pepper) -> model.VirtualKey:
    return model.VirtualKey(
        name=key.name, digest=digest(key.key.reveal(), pepper), id=key.name, **rules(key)
    )


def rules(key: schema.Key) -> dict[str, Any]:
    """What a virtual key may do, in the fields of a `VirtualKey`."""
    return {
        "models": tuple(key.models),
        "enabled": key.enabled,
        "expires": key.expires,
        "routes": tuple(key.routes),
        "cidrs": tuple(key.cidrs),
        "owner": key.owner or "",
        "team": key.team or "",
        "rpm": key.rpm or 0,
        "tpm": key.tpm or 0,
        "concurrency": key.concurrency or 0,
        "budget": usage.budget(key.budget),
    }
