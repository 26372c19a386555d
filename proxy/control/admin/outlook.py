"""How providers, credentials, models and deployments are, beside what is configured: `live` of an object, with `?live=true`.

It is read from memory, for those objects alone that are shown. Health is known by all workers of a host together; what is
under way, each worker counts for itself. Moments are Unix times, None where there is nothing to wait for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import inf, isfinite
from typing import TYPE_CHECKING, Any

from proxy.control import health
from proxy.control.admin import figures
from proxy.control.admin.conditions import condition, grade, last_check
from proxy.control.admin.usage import shown as used
from proxy.core.clock import monotonic, now
from proxy.core.config.plain import is_false
from proxy.core.records import Kind
from proxy.limits.subjects import of_credential, of_deployment
from proxy.state.health import CLOSED

if TYPE_CHECKING:
    from proxy.core.model import Credential, Deployment, Model, Provider, Snapshot
    from proxy.state.credentials import Account, CredentialState
    from proxy.state.live import DeploymentState
    from proxy.state.rests import Rest
    from proxy.state.state import State

Shown = dict[str, Any]
KINDS = frozenset({Kind.PROVIDER, Kind.CREDENTIAL, Kind.MODEL, Kind.DEPLOYMENT})
NAMED = 100
"""Models of a provider that are named."""


class Outlook:
    """Made for one answer."""

    __slots__ = ("_served", "_state")

    def __init__(self, state: State) -> None:
        self._state = state
        self._served: dict[str, list[tuple[str, Deployment]]] | None = None

    def of(self, kind: str, shown: Mapping[str, Any]) -> Shown:
        """How the object is that a page shows so."""
        return _OF[Kind(kind)](self, shown)

    def provider(self, shown: Mapping[str, Any]) -> Shown:
        """Its deployments and its credentials together; what it serves."""
        provider, live = self._state.snapshot.providers.get(shown["name"]), self._state.live
        if provider is None:
            why = "disabled" if is_false(shown["enabled"]) else "no credential"
            return {"served": False, "why": why, "status": health.UNUSED}
        served = self.serves(provider.name)
        states = [live.deployments[one.id] for _, one in served if one.id in live.deployments]
        moment = monotonic()
        return {
            "served": True,
            "why": "",
            "status": _together(states),
            "deployments": _tally(states),
            "usable": self._usable((one for _, one in served), moment),
            "models": list(dict.fromkeys(model for model, _ in served))[:NAMED],
            "credentials": dict(
                Counter(
                    _standing(live.accounts.get(one.id), moment)["state"]
                    for one in provider.credentials
                )
            ),
            **self._circuits(states, moment),
            "last_check": last_check(states),
        }

    def credential(self, shown: Mapping[str, Any]) -> Shown:
        """Whether it rests, for which models, why, since when and until when; what is used of its limits."""
        found = credential_of(self._state.snapshot, shown)
        if found is None:
            return {"served": False, "state": health.UNUSED, "rests": [], "usage": None}
        subject = of_credential(found[1])
        return {
            "served": True,
            **_standing(self._state.live.accounts.get(found[1].id), monotonic()),
            "usage": None if subject is None else used(subject, self._state),
        }

    def model(self, shown: Mapping[str, Any]) -> Shown:
        """Its deployments together, those that it uses of other models among them."""
        model = model_of(self._state.snapshot, shown["name"])
        if model is None:
            return {"served": False, "status": health.UNUSED}
        live = self._state.live
        deployments = [one for tier in model.tiers for one in tier]
        states = [live.deployments[one.id] for one in deployments if one.id in live.deployments]
        moment = monotonic()
        return {
            "served": True,
            "status": _together(states),
            "strategy": str(model.strategy),
            "deployments": _tally(states),
            "usable": self._usable(deployments, moment),
            **self._circuits(states, moment),
        }

    def deployment(self, shown: Mapping[str, Any]) -> Shown:
        """Whether requests may go there, and what is going on there."""
        found = deployment_of(self._state.snapshot, shown)
        name = _deployment_id(shown)
        live, moment = self._state.live, monotonic()
        state = live.deployments.get(name)
        if found is None or state is None:
            return {
                "served": False,
                "why": self._why_not(shown),
                "status": health.UNUSED,
                "deployment": name,
            }
        subject = of_deployment(found)
        return {
            "served": True,
            "why": "",
            **condition(found, live),
            **self._circuits([state], moment),
            "deployment": name,
            "usable": self._usable([found], moment),
            "ceiling": None if state.ceiling is None else int(state.ceiling.limit),
            "credentials": dict(
                Counter(_free(key, moment) for _, key in live.pool(found, state).keys)
            ),
            "usage": None if subject is None else used(subject, self._state),
        }

    def _why_not(self, shown: Mapping[str, Any]) -> str:
        if is_false(shown["enabled"]):
            return "disabled"
        if shown["weight"] == 0:
            return "no weight"
        return "" if shown["provider"] in self._state.snapshot.providers else "provider out of use"

    def _usable(self, deployments: Iterable[Deployment], moment: float) -> int:
        """How many of them a request could go to now: not out, with a credential that does not rest, below their limits."""
        live = self._state.live
        states = ((one, live.deployments.get(one.id)) for one in deployments)
        return sum(
            state is not None and state.until <= moment and live.pool(one, state).ready(moment)
            for one, state in states
        )

    def _circuits(self, states: Sequence[DeploymentState], moment: float) -> Shown:
        """When the first of those that are out is tried again, since when the first is out; what is under way."""
        out = [one for one in states if one.phase != CLOSED]
        return {
            "since": _unix(min((one.since for one in out), default=inf), moment),
            "retry_at": _unix(min((one.until for one in out), default=inf), moment),
            "inflight": sum(one.inflight for one in states),
            "inflight_of": "host" if self._state.live.sharing is None else "worker",
        }

    def serves(self, provider: str) -> list[tuple[str, Deployment]]:
        """The deployments of a provider, each with its model's name."""
        if self._served is None:
            self._served = {}
            for name, model in figures.models(self._state.snapshot).items():
                for one in model.own:
                    self._served.setdefault(one.provider.name, []).append((name, one))
        return self._served.get(provider, [])


_OF: Mapping[Kind, Callable[[Outlook, Mapping[str, Any]], Shown]] = {
    Kind.PROVIDER: Outlook.provider,
    Kind.CREDENTIAL: Outlook.credential,
    Kind.MODEL: Outlook.model,
    Kind.DEPLOYMENT: Outlook.deployment,
}


def model_of(snapshot: Snapshot, name: str) -> Model | None:
    """The model of this very name; None: it is not in use."""
    found = snapshot.models.get(name)
    return found or next((one for _, one in snapshot.wildcards if one.name == name), None)


def deployment_of(snapshot: Snapshot, shown: Mapping[str, Any]) -> Deployment | None:
    """The deployment that a page shows so; None: it is not in use."""
    model, name = model_of(snapshot, shown["public_model"]), _deployment_id(shown)
    return next((one for one in model.own if one.id == name), None) if model else None


def credential_of(
    snapshot: Snapshot, shown: Mapping[str, Any]
) -> tuple[Provider, Credential] | None:
    """The credential that a page shows so, and whose it is; None: it is not in use."""
    provider = snapshot.providers.get(shown["provider"])
    id = shown["id"]
    name = f"{shown['provider']}#{id}" if isinstance(id, int) else id
    for one in provider.credentials if provider is not None else ():
        if provider is not None and one.id == name:
            return provider, one
    return None


def _deployment_id(shown: Mapping[str, Any]) -> str:
    """Under which the data plane has it."""
    id = shown["id"]
    return f"{shown['public_model']}/{id}:{shown['provider']}" if isinstance(id, int) else str(id)


def _together(states: Sequence[DeploymentState]) -> str:
    """As good as all of them; degraded, while one at least may be used."""
    if not states:
        return health.UNUSED
    if min(one.health for one in states) >= 1.0:
        return health.HEALTHY
    return health.DEGRADED if max(one.health for one in states) > 0.0 else health.UNHEALTHY


def _tally(states: Sequence[DeploymentState]) -> dict[str, int]:
    return dict(Counter(grade(one.health) for one in states))


def _standing(account: Account | None, moment: float) -> Shown:
    """`usable`; `cooling` for a model at least; `bad`: for all of them."""
    rests = [] if account is None else list(_rests(account, moment))
    state = health.COOLING if rests else health.USABLE
    if any(one["model"] is None for one in rests):
        state = health.BAD
    return {"state": state, "rests": rests}


def _rests(account: Account, moment: float) -> Iterator[Shown]:
    rests: dict[str | None, Rest] = {None: account.rest}
    rests.update((name, one.own) for name, one in account.states.items())
    for model, rest in rests.items():
        if rest.until > moment:
            yield {
                "model": model,
                "cause": None if rest.reason is None else str(rest.reason),
                "since": _unix(rest.cooled_at, moment),
                "until": _unix(rest.until, moment),
            }


def _free(key: CredentialState, moment: float) -> str:
    return health.COOLING if key.until > moment else health.USABLE


def _unix(at: float, moment: float) -> float | None:
    """A moment of the monotonic clock, in Unix time."""
    return round(now() - moment + at, 3) if isfinite(at) else None
