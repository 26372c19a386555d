"""Who is limited when a key asks for a model, and what has to be known of each such request for it.

Worked out once for a key and a model, and kept by the route: a request asks for all of it at once.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from proxy.gateway import estimating
from proxy.limits.subjects import of_everything, of_key, of_model, of_team

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.core.model import Limits, Model, Snapshot, VirtualKey
    from proxy.gateway.estimating import Tariff
    from proxy.gateway.plan import Plan
    from proxy.limits.history import Sketch
    from proxy.limits.subjects import Subject
    from proxy.state.state import State

_MOST = 20_000
"""Keys, and names that a wildcard matched, that a route remembers."""


class Limited(Struct, frozen=True, eq=False, gc=False):
    """Of one key at one model, as long as the snapshot is this."""

    snapshot: Snapshot
    subjects: tuple[Subject, ...]
    tokens: bool
    """One of them counts tokens."""
    money: bool
    """One of them has a budget."""
    strict: bool
    """Which must not be exceeded."""
    recorded: bool
    """Requests are not begun that could not be recorded."""
    lean: bool
    """Only money is counted, by estimates, at prices that are known and have no steps (`estimating.as_usual`)."""
    tariff: Tariff
    answers: Sketch
    """What tokens of answers came to lately."""
    costs: Sketch
    """And micro-dollars."""


def of(key: VirtualKey | None, plan: Plan, state: State) -> Limited:
    """Worked out, and remembered by the route (`Route.limited`) under the key and what a wildcard matched."""
    known = plan.route.limited
    if len(known) >= _MOST:
        known.clear()
    snapshot, key_id = state.snapshot, "" if key is None else key.id
    subjects = tuple(subjects_of(key, plan.model, state))
    tokens = any(one.tpm or one.quota is not None for one in subjects)
    money = any(one.budget is not None for one in subjects)
    tariff = estimating.tariff(plan.route, plan.matched, snapshot)
    own, every = tariff.own, tariff.every
    priced = own is not None and every is not None and not own.above
    strict = any(one.budget is not None and one.budget.strict for one in subjects)
    on_full = snapshot.ledger.on_full
    found = known[key, plan.matched] = Limited(
        snapshot,
        subjects,
        tokens,
        money,
        strict,
        on_full == "refuse" or (on_full == "auto" and strict),
        money and priced and not (strict or tokens),
        tariff,
        state.answers.of(key_id, plan.model.name),
        state.costs.of(key_id, plan.model.name),
    )
    return found


def subjects_of(key: VirtualKey | None, model: Model, state: State) -> list[Subject]:
    """Who is limited of those a request is from, for, and at."""
    snapshot, of = state.snapshot, state.subjects.of
    found = []
    if key is not None:
        one = of(key, of_key)
        if one is not None:
            found.append(one)
        limits = snapshot.teams.get(key.team) if key.team else None
        if limits is not None:
            one = _of_limits(limits, "team", key.team, partial(of_team, key.team), state)
            if one is not None:
                found.append(one)
    if model.limits is not None:
        one = of(model, of_model)
        if one is not None:
            found.append(one)
    limits = snapshot.limits
    if limits is not None:
        one = _of_limits(limits, "global", "global", lambda _: of_everything(snapshot), state)
        if one is not None:
            found.append(one)
    return found


def _of_limits(
    limits: Limits, kind: str, name: str, make: Callable[[Limits], Subject | None], state: State
) -> Subject | None:
    """Teams that are limited alike may share one record; their subjects are theirs alone."""
    one = state.subjects.of(limits, make)
    return one if one is None or (one.kind, one.name) == (kind, name) else make(limits)
