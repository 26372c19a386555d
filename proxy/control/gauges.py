"""What is read of limits and of the ledger when somebody asks, and not counted while requests run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.core import clock, periods
from proxy.limits.subjects import of_credential, of_deployment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.core.metrics import Metrics
    from proxy.core.series import Reading
    from proxy.limits.subjects import Subject
    from proxy.state.state import State


def watch(metrics: Metrics, state: State) -> None:
    """Let the gauges of the spool and of quotas read `state` at each scrape."""
    metrics.spool_records.watch(lambda: _records(state))
    metrics.spool_bytes.watch(lambda: [] if state.spool is None else [((), state.spool.bytes)])
    metrics.spool_full.watch(lambda: [] if state.spool is None else [((), int(state.spool.tight))])
    metrics.cache_bytes.watch(lambda: [((), state.replies.size)])
    metrics.cache_entries.watch(lambda: [((), len(state.replies))])
    metrics.quota_used.watch(lambda: _used(state))
    metrics.quota_reset.watch(lambda: _resets(state))


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
