"""What a worker learns while it serves: load, health and cooldowns, by the id of a deployment or credential.

A `Snapshot` is swapped whole; `Live` outlives it. State is kept while an id means the same thing (the same address,
the same secret), and begins anew when it does not.
"""

from __future__ import annotations

from functools import partial
from math import exp, inf
from typing import TYPE_CHECKING, Any

from proxy.core.model import Credential, Deployment, Health, Hedge, Model, Provider, Snapshot
from proxy.state import hosts
from proxy.state.acceptance import Acceptance, Counts
from proxy.state.credentials import Account, CredentialState, Pool
from proxy.state.health import Circuit, Latency
from proxy.state.hedges import Hedges
from proxy.state.hosts import Host
from proxy.state.rests import Rest
from proxy.state.room import Room
from proxy.state.sizes import BySize
from proxy.state.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from proxy.state.ceiling import Ceiling
    from proxy.state.pace import Pace
    from proxy.state.sharing import Sharing

_PENALTY, _PENALTY_DECAY, _PENALTY_HOLD_MAX = 5.0, 10.0, 60.0
_BUDGET_LIFE, _BUDGET_FLOOR = 10.0, 1.0

APART = 2048
"""Credentials times models of one provider, up to which each pair has a state of its own. Above, all models share one:
a hundred keys for a thousand models would be a hundred thousand, in each worker."""
_ALL = frozenset({""})
"""The name of all models that share."""


class DeploymentState(Circuit):
    """One deployment: its circuit, its load and its pace."""

    __slots__ = (
        "_penalty_at",
        "acceptance",
        "by_size",
        "ceiling",
        "checked",
        "checked_at",
        "cooldown",
        "current",
        "full",
        "host",
        "id",
        "inflight",
        "last_used",
        "latency",
        "meaning",
        "outage",
        "pace",
        "panic_at",
        "room",
        "siblings",
        "turn",
        "used",
    )

    def __init__(self, deployment: Deployment, rules: Health) -> None:
        super().__init__(rules)
        self.id = deployment.id
        self.meaning = _meaning(deployment)
        self.inflight = 0
        self.used = 0
        self.last_used = 0.0
        self.latency = Latency()
        self.acceptance = Acceptance()
        self.by_size = BySize()
        """The same for prompts of a size, where another deployment could take over."""
        self.pace: Pace | None = None
        """For strategies that compare; None: no model's that uses this deployment does."""
        self.ceiling: Ceiling | None = None
        """How many requests it is given at once; None: as many as there are."""
        self.full = False
        """It has as many as its ceiling lets it."""
        self.room = Room()
        self.cooldown = CredentialState(deployment.id)
        """Stands in where the provider has no credential."""
        self.turn = 0.0
        """For least_used: how often it was chosen, raised to the others' when it was away."""
        self.current = 0.0
        """For smooth weighted round robin."""
        self.panic_at = 0.0
        """As a last resort it is used at most once a second; not before this."""
        self.siblings: tuple[DeploymentState, ...] = ()
        """Of all the deployments of its model, itself among them."""
        self.host: Host | None = None
        """What it shares with others at the same address; None: it is alone there."""
        self.outage: Host | None = None
        """The same, while that is out: it speaks for this one then."""
        self.checked_at = -inf
        """When it was last asked how it is, and not by a client."""
        self.checked = 0
        """What came of it (`checks.Check`)."""
        self._penalty_at = -inf

    @property
    def ewma_ttft(self) -> float:
        return self.latency.value

    def take_probe(self, now: float = inf) -> bool:
        if self.host is not None:
            self.host.refresh()
        if self.outage is not None:
            return self.outage.take_probe(now)
        return super().take_probe(now)

    def take_last_resort(self, now: float, pause: float) -> bool:
        """One request goes out though it may not be used, and none for `pause` seconds. False: one did already."""
        with self.change():
            if self.panic_at > now:
                return False
            self.panic_at = now + pause
            return True

    def note_check(self, now: float, outcome: int) -> None:
        """It was asked how it is."""
        with self.change():
            self.checked_at, self.checked = now, outcome

    def prove(self, now: float, probe: int) -> None:
        if self.outage is None:
            super().prove(now, probe)
        else:
            self.streak = 0.0
            self.outage.good(now, probe)

    def fail(self, now: float, weight: float, probe: int, rng: Random) -> None:
        if self.outage is None:
            super().fail(now, weight, probe, rng)
        else:
            self.outage.bad(now, weight, probe, rng)

    def give_back(self) -> None:
        if self.outage is None:
            super().give_back()
        else:
            self.outage.release_probe()

    def open(self, now: float, rng: Random) -> None:
        super().open(now, rng)
        if self.host is not None:
            self.host.consider(now, rng)

    def penalise(self, now: float, hold: float = 0.0) -> None:
        """Make it look 5 s slower, for `hold` seconds in full and then fading, so that others go first."""
        self._penalty_at = max(self._penalty_at, now + min(hold, _PENALTY_HOLD_MAX))

    def cost(self, now: float) -> float:
        """What one more request here is expected to wait, in seconds, before its weight is considered."""
        seconds = self.latency.estimate(now)
        age = now - self._penalty_at
        if age < 8.0 * _PENALTY_DECAY:
            seconds += _PENALTY * exp(min(0.0, -age) / _PENALTY_DECAY)
        return (self.inflight + 1) * seconds


class RetryBudget:
    """How many retries one model may still make: a share of its requests, and one a second in any case.

    Tokens live about 10 s: the level fades towards what the floor alone would give.
    """

    __slots__ = ("_at", "_level")

    def __init__(self) -> None:
        self._level = _BUDGET_FLOOR * _BUDGET_LIFE
        self._at = -inf

    def deposit(self, now: float, share: float) -> None:
        """A request came in."""
        if now - self._at > 0.1:
            self._fade(now)
        self._level += share

    def take(self, now: float) -> bool:
        """One retry, if there is one left."""
        self._fade(now)
        if self._level < 1.0:
            return False
        self._level -= 1.0
        return True

    @property
    def level(self) -> float:
        return self._level

    def _fade(self, now: float) -> None:
        rest = _BUDGET_FLOOR * _BUDGET_LIFE
        self._level = rest + (self._level - rest) * exp(min(0.0, self._at - now) / _BUDGET_LIFE)
        self._at = now


class Live:
    """All state of one worker. Call `swap` whenever the snapshot is replaced."""

    __slots__ = (
        "_models",
        "_pools",
        "acceptances",
        "accounts",
        "budgets",
        "deployments",
        "groups",
        "hedges",
        "hosts",
        "narrowed",
        "routes",
        "rules",
        "sharing",
        "snapshot",
        "waiting",
    )

    def __init__(self, snapshot: Snapshot | None = None, sharing: Sharing | None = None) -> None:
        """`sharing`: with the other workers of the host."""
        self.sharing = sharing
        self.snapshot: Snapshot | None = None
        self.rules = Health()
        self.deployments: dict[str, DeploymentState] = {}
        self.accounts: dict[str, Account] = {}
        """By the id of a credential."""
        self.hosts: dict[str, Host] = {}
        self.acceptances: dict[str, Counts] = {}
        """By the address of a host."""
        self.groups: list[tuple[DeploymentState, ...]] = []
        """The deployments of each model that has more than one."""
        self.budgets: dict[str, RetryBudget] = {}
        self.hedges: dict[str, Hedges] = {}
        """Of the models that may begin second attempts."""
        self.routes: dict[Any, Any] = {}
        """What routing has worked out for this snapshot; kept here because it dies with it."""
        self.waiting: dict[str, Waiting] = {}
        """Of the models whose requests may wait for a place."""
        self.narrowed: dict[Any, Any] = {}
        """Models as clients prefer to see them (`gateway.choosing`), by both."""
        self._models: dict[Provider, frozenset[str]] = {}
        """What each provider is asked for, as far as its credentials tell it apart."""
        self._pools: dict[tuple[Provider, str], Pool] = {}
        if snapshot is not None:
            self.swap(snapshot)

    def swap(self, snapshot: Snapshot) -> None:
        """Keep the state of what the new snapshot still has, forget the rest."""
        self.snapshot, self.rules = snapshot, snapshot.health
        self.routes, self.narrowed, self._pools = {}, {}, {}
        models = list(_models(snapshot))
        deployments = [one for model in models for tier in model.tiers for one in tier]
        # Each provider once: it may have hundreds of credentials, and thousands of deployments.
        providers: dict[Provider, set[str]] = {one: {"*"} for one in snapshot.providers.values()}
        for one in deployments:
            providers.setdefault(one.provider, set()).add(one.model)
        self.deployments = {one.id: self.deployment(one) for one in deployments}
        self._models = {
            one: _ALL if len(one.credentials) * len(names) > APART else frozenset(names)
            for one, names in providers.items()
        }
        self.accounts = {key.id: self.account(key) for one in providers for key in one.credentials}
        for provider, known in self._models.items():
            for key in provider.credentials:
                self.accounts[key.id].keep(known)
        before = self.acceptances
        self.acceptances = {}
        for state in self.deployments.values():
            address, own = hosts.address_of(state), state.acceptance
            own.host = self.acceptances.setdefault(address, before.get(address) or own.host)
        self.budgets = {model.name: self.budget(model) for model in models}
        self.hedges = {one.name: self.hedge(one.name, one.hedge) for one in models if one.hedge}
        self._lift(models)
        self._group(models)
        self.hosts = hosts.gather(self.hosts, self.deployments.values(), self._host)
        for host in self.hosts.values():
            host.rules = self.rules

    def deployment(self, deployment: Deployment) -> DeploymentState:
        """Its state; a new one when the id is new or means something else now."""
        state = self.deployments.get(deployment.id)
        if state is None or state.meaning != _meaning(deployment):
            if self.sharing is not None:
                return self.sharing.deployment(deployment, self.rules)
            return DeploymentState(deployment, self.rules)
        state.rules = self.rules
        return state

    def account(self, credential: Credential) -> Account:
        """What is known of it; a new one when the id is new or the secret was changed."""
        found = self.accounts.get(credential.id)
        if found is None or found.secret != credential.secret:
            return Account(credential.id, credential.secret, partial(self._rest, credential))
        return found

    def _rest(self, credential: Credential, *model: str) -> Rest:
        if self.sharing is not None:
            return self.sharing.rest(credential, *model)
        return Rest()

    def state(self, credential: Credential, model: str) -> CredentialState:
        """Of a credential, for one of its provider's models."""
        return self.account(credential).state(model)

    def _lift(self, models: list[Model]) -> None:
        """Take away ceilings that no model asks for any more; those that one does are found when it is asked for."""
        limited = (tier for model in models if model.overload is not None for tier in model.tiers)
        kept = {one.id for tier in limited for one in tier}
        for state in self.deployments.values():
            ceiling = state.ceiling
            if ceiling is not None and state.id not in kept:
                state.ceiling, state.full = None, False
                ceiling.lift()

    def _group(self, models: list[Model]) -> None:
        self.groups = []
        for model in models:
            group = tuple(self.deployments[one.id] for tier in model.tiers for one in tier)
            for state in group:
                state.siblings = group
            if len(group) > 1:
                self.groups.append(group)

    def _host(self, address: str) -> Host:
        if self.sharing is not None:
            return self.sharing.host(address, self.rules)
        return Host(address, self.rules)

    def pool(self, deployment: Deployment, state: DeploymentState) -> Pool:
        """The credentials a deployment draws from, shared by all of its provider's that ask for the same model."""
        provider, name = deployment.provider, deployment.model
        if not provider.credentials:
            return Pool(((None, state.cooldown),))
        if self._models.get(provider) is _ALL:
            name = ""
        pool = self._pools.get((provider, name))
        if pool is None:
            keys = tuple((key, self.state(key, name)) for key in provider.credentials)
            pool = Pool(keys, provider.key_strategy)
            self._pools[provider, name] = pool
        return pool

    def queue(self, model: Model) -> Waiting | None:
        """Where requests of a model wait for a place; None: they do not."""
        overload = model.overload
        if overload is None or not overload.queue:
            return None
        found = self.waiting.get(model.name)
        if found is None:
            found = self.waiting[model.name] = Waiting(overload.queue, overload.depth)
        found.patience, found.depth = overload.queue, overload.depth
        return found

    def budget(self, model: Model) -> RetryBudget:
        return self.budgets.get(model.name) or RetryBudget()

    def hedge(self, name: str, rule: Hedge) -> Hedges:
        """What is left of second attempts of the model of this name."""
        found = self.hedges.get(name) or Hedges(rule)
        found.rule = rule
        return found


def _meaning(deployment: Deployment) -> tuple[str, str]:
    return deployment.provider.base_url, deployment.model


def _models(snapshot: Snapshot) -> Iterator[Model]:
    yield from dict.fromkeys(snapshot.models.values())
    for _, model in snapshot.wildcards:
        yield model
