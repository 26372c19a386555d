"""What is read of limits and of the ledger when somebody asks, and not counted while requests run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.core import clock, periods
from proxy.limits.subjects import (
    of_credential,
    of_deployment,
    of_everything,
    of_key,
    of_model,
    of_team,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.core.metrics import Metrics
    from proxy.core.model import Snapshot
    from proxy.core.series import Reading
    from proxy.limits.subjects import Subject
    from proxy.state.state import State


PORTION = 100
"""Budgets that are looked at in one reading."""


def watch(metrics: Metrics, state: State) -> None:
    """Let the gauges of the spool and of quotas read `state` at each scrape."""
    metrics.spool_records.watch(lambda: _records(state))
    metrics.spool_bytes.watch(lambda: [] if state.spool is None else [((), state.spool.bytes)])
    metrics.spool_full.watch(lambda: [] if state.spool is None else [((), int(state.spool.tight))])
    metrics.cache_bytes.watch(lambda: [((), state.replies.size)])
    metrics.cache_entries.watch(lambda: [((), len(state.replies))])
    metrics.quota_used.watch(lambda: _used(state))
    metrics.quota_reset.watch(lambda: _resets(state))
    metrics.budget_used.watch(Budgets(state).read)


def _records(state: State) -> Iterator[Reading]:
    spool = state.spool
    if spool is not None:
        yield ("written",), spool.written
        yield ("dropped",), spool.dropped


def _used(state: State) -> Iterator[Reading]:
    accounts = state.accounts
    if accounts is None:
        return
    for subject in _with_quotas(state):
        quota = subject.quota
        assert quota is not None
        view = accounts.view(subject)
        if quota.requests:
            yield (subject.name, "requests"), view.quota_requests / quota.requests
        if quota.tokens:
            yield (subject.name, "tokens"), view.quota_tokens / quota.tokens


def _resets(state: State) -> Iterator[Reading]:
    now = clock.now()
    for subject in _with_quotas(state):
        assert subject.quota is not None
        yield (subject.name,), periods.of_quota(subject.quota, now).ends


class Budgets:
    """How much is used of that budget of each scope of which most is. There may be ten thousand keys, so a reading looks
    at a few of them, and says what was found in the last round over all."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._subjects: Iterator[Subject] = iter(())
        self._round: dict[str, float] = {}
        self._said: dict[str, float] = {}

    def read(self) -> list[Reading]:
        """(scope,) and the share; no scope without a budget."""
        accounts = self._state.accounts
        if accounts is None:
            return []
        for looked, subject in enumerate(self._subjects, 1):
            assert subject.budget is not None
            used = accounts.view(subject).spent / (subject.budget.usd * 1e6 or 1.0)
            self._round[subject.kind] = max(self._round.get(subject.kind, 0.0), used)
            if looked == PORTION:
                break
        else:
            self._said, self._round = self._round, {}
            self._subjects = _with_budgets(self._state.snapshot)
        # A round that goes on may have found more by now.
        scopes = dict.fromkeys((*self._said, *self._round))
        return [
            ((scope,), max(self._said.get(scope, 0.0), self._round.get(scope, 0.0)))
            for scope in scopes
        ]


def _with_budgets(snapshot: Snapshot) -> Iterator[Subject]:
    models = dict.fromkeys((*snapshot.models.values(), *(model for _, model in snapshot.wildcards)))
    makers: tuple[Iterator[Subject | None], ...] = (
        iter((of_everything(snapshot),)),
        (of_team(name, limits) for name, limits in snapshot.teams.items()),
        (of_model(model) for model in models),
        (of_deployment(one) for model in models for tier in model.tiers for one in tier),
        (
            of_credential(key)
            for provider in snapshot.providers.values()
            for key in provider.credentials
        ),
        (of_key(key) for key in dict.fromkeys(snapshot.keys.values()) if key.budget is not None),
    )
    for maker in makers:
        for subject in maker:
            if subject is not None and subject.budget is not None:
                yield subject


def _with_quotas(state: State) -> Iterator[Subject]:
    snapshot = state.snapshot
    models = dict.fromkeys(snapshot.models.values())
    models.update(dict.fromkeys(model for _, model in snapshot.wildcards))
    deployments = dict.fromkeys(one for model in models for tier in model.tiers for one in tier)
    credentials = dict.fromkeys(
        key for provider in snapshot.providers.values() for key in provider.credentials
    )
    for deployment in deployments:
        if deployment.quota is not None and (found := of_deployment(deployment)) is not None:
            yield found
    for credential in credentials:
        if credential.quota is not None and (found := of_credential(credential)) is not None:
            yield found
