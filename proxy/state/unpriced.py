"""Deployments that keys with a budget cannot use, because nobody knows what they cost. It works, and perhaps not as meant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from proxy.core.config.problem import printable
from proxy.state.snapshot import compile_snapshot

if TYPE_CHECKING:
    from proxy.core.config.loading import Loaded
    from proxy.core.config.problem import Path, Problem


def remarks(loaded: Loaded) -> tuple[Problem, ...]:
    """A warning for each deployment of a file whose keys have budgets. None where something is charged in any case."""
    if not any(key.budget for key in loaded.config.keys):
        return ()
    return tuple(
        loaded.document.problem(
            path,
            f"no price is known of {printable(model)!r}: keys with a budget are refused; "
            "give it a price, or set defaults.price_unknown",
        )
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
