"""What the health pages say: is this process alive, should it get requests, and how are its providers.

Everything is read from memory: a health page never calls a provider. Anyone may ask, so by default there are counts
and no names; `detail` is for those who have shown who they are.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from proxy import __version__
from proxy.core.clock import monotonic
from proxy.state.health import OPEN

if TYPE_CHECKING:
    from proxy.core.metrics import Metrics
    from proxy.core.model import Deployment, Provider, Snapshot
    from proxy.core.series import Reading
    from proxy.state.credentials import Account
    from proxy.state.live import Live
    from proxy.state.rests import Rest

Answer = tuple[int, dict[str, Any]]
"""HTTP status and JSON body."""

USABLE, COOLING, BAD = "usable", "cooling", "bad"
HEALTHY, DEGRADED, UNHEALTHY, UNUSED = "healthy", "degraded", "unhealthy", "unused"


def live() -> Answer:
    """The process answers, and that is all: a restart would not help a provider."""
    return 200, {"status": "alive"}


def ready(
    snapshot: Snapshot | None, live: Live, *, draining: bool = False, store: str = "none"
) -> Answer:
    """Requests may come: a configuration is loaded and at least one deployment may be used.

    A `store` that is `degraded` is said and no more: what was read from it is served, by every worker of a fleet that
    would otherwise leave all at once.
    """
    if draining:
        return 503, {"status": "draining"}
    if snapshot is None:
        return 503, {"status": "no configuration"}
    now = monotonic()
    if not any(_usable(deployment, live, now) for deployment in _deployments(snapshot)):
        return 503, {"status": "no usable deployment"}
    return 200, {"status": "ready", "store": store}


def health(
    snapshot: Snapshot | None,
    live: Live,
    metrics: Metrics,
    started_at: float,
    *,
    draining: bool = False,
    detail: bool = False,
    store: str = "none",
) -> Answer:
    """The overview. 200 as long as requests are served: a sick provider is no reason to restart us."""
    now = monotonic()
    providers = _providers(snapshot, live, now) if snapshot is not None else {}
    states = Tally(provider["status"] for provider in providers.values())
    keys = sum((Tally(provider["keys"]) for provider in providers.values()), Tally[str]())
    if detail and snapshot is not None:
        for name, provider in providers.items():
            provider["rests"] = _rests(snapshot.providers.get(name), live, now)
    content: dict[str, Any] = {
        "status": "draining" if draining else _overall(states),
        "version": __version__,
        "uptime": round(now - started_at, 3),
        "providers": providers
        if detail
        else {state: states[state] for state in (HEALTHY, DEGRADED, UNHEALTHY, UNUSED)},
        "keys": {state: keys[state] for state in (USABLE, COOLING, BAD)},
        "store": store,
        "stats": stats(metrics),
    }
    return (503 if draining else 200), content


def stats(metrics: Metrics) -> dict[str, Any]:
    """What this worker has done since it began."""
    requests: Tally[str] = Tally()
    column = metrics.requests.labels.index("status")
    for labels, counter in metrics.requests.children().items():
        requests[labels[column]] += int(counter.value)
    tokens: Tally[str] = Tally()
    column = metrics.tokens.labels.index("type")
    for labels, counter in metrics.tokens.children().items():
        tokens[labels[column]] += int(counter.value)
    inflight = sum(gauge.value for gauge in metrics.inflight.children().values())
    return summed(requests, tokens, inflight)


def summed(
    requests: Mapping[str, float], tokens: Mapping[str, float], inflight: float
) -> dict[str, Any]:
    """The same from sums: of requests by status, of tokens by type, and how many requests are under way."""
    statuses: Tally[str] = Tally()
    for status, number in requests.items():
        statuses[outcome(status)] += int(number)
    return {
        "requests": statuses.total(),
        "succeeded": statuses["succeeded"],
        "failed": statuses["failed"],
        "refused": statuses["refused"],
        "client_gone": statuses["client_gone"],
        "inflight": int(inflight),
        "tokens": {kind: int(number) for kind, number in tokens.items()},
    }


def watch(metrics: Metrics, live: Live) -> None:
    """Let the gauges of deployments and credentials read `live` at each scrape."""
    metrics.target_health.watch(
        lambda: [((id,), target.health) for id, target in live.deployments.items()]
    )
    metrics.circuit_state.watch(
        lambda: [((id,), target.phase) for id, target in live.deployments.items()]
    )
    metrics.circuit_opened.watch(
        lambda: [((id,), target.opened) for id, target in live.deployments.items()]
    )
    metrics.host_outages.watch(lambda: [((), sum(host.opened for host in live.hosts.values()))])
    metrics.provider_keys.watch(lambda: _key_readings(live))


def _providers(snapshot: Snapshot, live: Live, now: float) -> dict[str, dict[str, Any]]:
    """Each provider as its deployments and credentials show it."""
    shown: dict[str, dict[str, float]] = {name: {} for name in snapshot.providers}
    for deployment in _deployments(snapshot):
        state = live.deployments.get(deployment.id)
        healths = shown.setdefault(deployment.provider.name, {})
        healths[deployment.id] = 1.0 if state is None else state.health
    return {
        name: {
            "status": _grade(healths.values()),
            "keys": _keys(snapshot.providers.get(name), live, now),
            "deployments": {id: _grade([health]) for id, health in healths.items()},
        }
        for name, healths in shown.items()
    }


def _keys(provider: Provider | None, live: Live, now: float) -> dict[str, int]:
    tally = Tally({USABLE: 0, COOLING: 0, BAD: 0})
    for credential in provider.credentials if provider is not None else ():
        account = live.accounts.get(credential.id)
        tally[USABLE if account is None else _key_state(account, now)] += 1
    return dict(tally)


def _rests(provider: Provider | None, live: Live, now: float) -> list[dict[str, Any]]:
    """Which credentials rest, for which model of the provider (None: for all), why, and for how many seconds more."""
    found: list[dict[str, Any]] = []
    for credential in provider.credentials if provider is not None else ():
        account = live.accounts.get(credential.id)
        if account is None:
            continue
        rests: dict[str | None, Rest] = {None: account.rest}
        rests.update((name, one.own) for name, one in account.states.items())
        found += [
            {
                "credential": credential.id,
                "model": model,
                "cause": None if rest.reason is None else str(rest.reason),
                "seconds": round(rest.until - now, 3),
            }
            for model, rest in rests.items()
            if rest.until > now
        ]
    return found


def _key_state(account: Account, now: float) -> str:
    """It cools while it rests for one model at least."""
    if account.rest.until > now:
        return BAD
    return COOLING if any(one.until > now for one in account.states.values()) else USABLE


def _key_readings(live: Live) -> Iterable[Reading]:
    now = monotonic()
    tally: Tally[tuple[str, str]] = Tally()
    for id, account in live.accounts.items():
        name = id.rpartition("#")[0]
        # All three, so that a state nobody is in any more goes to 0 instead of away.
        for each in (USABLE, COOLING, BAD):
            tally[name, each] += 0
        tally[name, _key_state(account, now)] += 1
    return tally.items()


def _usable(deployment: Deployment, live: Live, now: float) -> bool:
    state = live.deployments.get(deployment.id)
    if state is not None and state.phase == OPEN and state.until > now:
        return False
    keys = _keys(deployment.provider, live, now)
    # One that cools is back in a moment; that is no reason to take the whole process out of rotation.
    return not deployment.provider.credentials or keys[BAD] < len(deployment.provider.credentials)


def _deployments(snapshot: Snapshot) -> Iterator[Deployment]:
    models = dict.fromkeys(snapshot.models.values())
    models.update((model, None) for _, model in snapshot.wildcards)
    for model in models:
        for tier in model.tiers:
            yield from tier


def _grade(healths: Iterable[float]) -> str:
    values = list(healths)
    if not values:
        return UNUSED
    if min(values) >= 1.0:
        return HEALTHY
    return DEGRADED if max(values) > 0.0 else UNHEALTHY


def _overall(states: Tally[str]) -> str:
    used = states.total() - states[UNUSED]
    if not used:
        return "unavailable"
    if states[HEALTHY] == used:
        return "ok"
    return "unavailable" if states[UNHEALTHY] == used else "degraded"


def outcome(status: str) -> str:
    """What became of requests that are counted with this status: `succeeded`, `failed`, `refused` or `client_gone`."""
    if status == "499":
        return "client_gone"
    if status == "200_truncated" or status.startswith("5"):
        return "failed"
    return "succeeded" if status.startswith(("2", "3")) else "refused"
