"""Deployments that keys with a budget cannot use, because nobody knows what they cost. It works, and perhaps not as meant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from proxy.core.config.problem import printable
from proxy.state.snapshot import compile_snapshot

if TYPE_CHECKING:
    from proxy.core.config.loading import Loaded
    from proxy.core.config.problem import Path, Problem
    from proxy.core.model import Model, Snapshot


def remarks(loaded: Loaded) -> tuple[Problem, ...]:
    """A warning for each deployment of a file where somebody has a budget. None where something is charged in any case."""
    config = loaded.config
    everybody = config.limits.budget is not None
    teams = {name for name, limits in config.teams.entries().items() if limits.budget}
    if not everybody and not any(key.budget or key.team in teams for key in config.keys):
        return ()
    return tuple(
        loaded.document.problem(path, _words(model, everybody=everybody))
        for path, model in _unknown(loaded)
    )


def _unknown(loaded: Loaded) -> Iterator[tuple[Path, str]]:
    """Where each stands that may be asked, and what it is called there. What a wildcard will be asked for nobody knows."""
    snapshot = compile_snapshot(loaded.config)
    if snapshot.price_unknown is not None:
        return
    served = {
        deployment.id: deployment
        for model in snapshot.models.values()
        for tier in model.tiers
        for deployment in tier
    }
    for name, block in loaded.config.models.items():
        for index, item in enumerate(block.deployments):
            deployment = served.get(f"{name}/{index}:{item.provider}")
            if deployment is not None and deployment.price is None and "*" not in deployment.model:
                yield ("models", name, "deployments", index), deployment.model


def models(snapshot: Snapshot) -> dict[str, tuple[str, ...]]:
    """Public names that a key with a budget is refused for, and of which upstream models (its own, and those of its
    fallbacks) no price is known. What a wildcard will be asked for nobody knows."""
    if snapshot.price_unknown is not None:
        return {}
    wildcards = ((prefix + "*", model) for prefix, model in snapshot.wildcards)
    found = {}
    for name, model in (*snapshot.models.items(), *wildcards):
        unknown = dict.fromkeys(_of(model, snapshot, set()))
        if unknown:
            found[name] = tuple(unknown)
    return found


def of_key(
    spec: Mapping[str, Any], unknown: Mapping[str, Sequence[str]], snapshot: Snapshot
) -> tuple[str, ...]:
    """The same warnings for a key that is made while all this is running, as `spec` has it: it, its team or everything has
    a budget.

    `unknown` is what `models` says.
    """
    team = snapshot.teams.get(spec.get("team") or "")
    everybody = snapshot.limits is not None and snapshot.limits.budget is not None
    if not (everybody or spec.get("budget")) and (team is None or team.budget is None):
        return ()
    patterns = spec.get("models") or ["*"]
    concerned = (names for name, names in unknown.items() if _may_use(patterns, name))
    found = dict.fromkeys(chain.from_iterable(concerned))
    return tuple(_words(model, everybody=everybody) for model in found)


def _words(model: str, *, everybody: bool) -> str:
    who = "requests for it are refused, as limits.budget is set"
    return (
        f"no price is known of {printable(model)!r}: {who if everybody else 'keys with a budget are refused'}; "
        "give it a price, or set defaults.price_unknown"
    )


def _of(model: Model, snapshot: Snapshot, seen: set[str]) -> Iterator[str]:
    """Everything that may serve a request for it, once."""
    if model.name in seen:
        return
    seen.add(model.name)
    for tier in model.tiers:
        for deployment in tier:
            if deployment.price is None and "*" not in deployment.model:
                yield deployment.model
    for name in (*model.fallbacks, *model.fallbacks_context, *model.fallbacks_content):
        other = snapshot.models.get(name)
        if other is not None:
            yield from _of(other, snapshot, seen)


def _may_use(patterns: Sequence[str], name: str) -> bool:
    """Whether a key may ask for it; for a wildcard, for something it matches."""
    for pattern in patterns:
        beginning = pattern.removesuffix("*")
        if name == pattern or (beginning != pattern and name.startswith(beginning)):
            return True
        if name.endswith("*") and pattern.startswith(name[:-1]):
            return True
    return False
