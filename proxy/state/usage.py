"""Limits, prices and the ledger compiled: what a section says of them, in the values of `core.model`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from msgspec.structs import replace

from proxy.core import model

if TYPE_CHECKING:
    # Only for its types: the data path imports this module, and must not bring pydantic with it.
    from proxy.core.config import usage
    from proxy.core.config.schema import Config

EACH = ("image", "second", "request")
"""Prices that are written in dollars and kept in micro-dollars; those of tokens are for a million, so for one the same."""


class Paced(Protocol):
    """A section with limits."""

    @property
    def rpm(self) -> int | None: ...
    @property
    def tpm(self) -> int | None: ...
    @property
    def concurrency(self) -> int | None: ...


def limits(section: Paced) -> model.Limits | None:
    """Limits without a budget; None where there are none."""
    found = model.Limits(section.rpm or 0, section.tpm or 0, section.concurrency or 0)
    return None if found == model.Limits() else found


def all_limits(section: usage.Limits) -> model.Limits | None:
    """The same, of what may have a budget."""
    found = model.Limits(
        section.rpm or 0,
        section.tpm or 0,
        section.concurrency or 0,
        section.burst or 0,
        budget(section.budget),
    )
    return None if found == model.Limits() else found


def budget(section: usage.Budget | None) -> model.Budget | None:
    """What may be spent."""
    if section is None:
        return None
    return model.Budget(section.usd, section.period, section.cron or "", section.tz, section.strict)


def quota(section: usage.Quota | None) -> model.Quota | None:
    """None where it limits nothing."""
    if section is None or not (section.requests or section.tokens):
        return None
    return model.Quota(section.requests or 0, section.tokens or 0, section.cron, section.tz)


# --- prices ---


def price(section: usage.Price | None) -> model.Price | None:
    """None where nothing is said: that is unknown, and not free."""
    said = {} if section is None else _said(section)
    if section is None or not said:
        return None
    base = model.Price(**said)
    above = tuple(
        (tokens, replace(base, **_said(section.above[tokens]))) for tokens in sorted(section.above)
    )
    return replace(base, above=above)


def _said(section: usage.Price | usage.Above) -> dict[str, Any]:
    """Every price that is given, in micro-dollars for one."""
    said = section.model_dump(exclude={"above"}, exclude_none=True)
    # 0.0035 times a million is not 3500: nine places are beyond any price.
    return {name: round(value * 1e6, 9) if name in EACH else value for name, value in said.items()}


def prices(section: usage.Prices) -> dict[str, model.Price]:
    """Name, or beginning followed by `*`, to its price."""
    compiled = {name: price(item) for name, item in section.entries().items()}
    return {name: item for name, item in compiled.items() if item is not None}


# --- what was used ---


def teams(section: usage.Teams) -> Mapping[str, model.Limits]:
    """Teams that are limited."""
    compiled = {name: all_limits(item) for name, item in section.entries().items()}
    return {name: item for name, item in compiled.items() if item is not None}


def ledger(config: Config) -> model.Ledger:
    """How what was used is written down."""
    section = config.ledger
    fields = section.model_dump(exclude={"path", "keep"})
    keep = {f"keep_{name}": value for name, value in section.keep.model_dump().items()}
    return model.Ledger(path=config.ledger_path, **fields, **keep)


def shared(section: usage.Shared) -> model.Shared:
    """Limits that several hosts hold together."""
    url = None if section.url is None else section.url.reveal()
    return model.Shared(url, section.prefix, section.timeout)
