"""Small configurations and the failures to try them with."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from proxy.core.errors import Cause, ProxyError, UpstreamError
from proxy.core.model import (
    Credential,
    Deployment,
    Health,
    Model,
    Provider,
    Retry,
    Snapshot,
    Strategy,
)
from proxy.core.secret import Secret
from proxy.gateway import routing
from proxy.state.live import Live

if TYPE_CHECKING:
    from proxy.gateway.plan import Candidate, Plan, Step
    from proxy.gateway.selection import Kind

CHAT = "openai.chat"


def provider(name: str = "p", keys: int = 1, *dialects: str) -> Provider:
    return Provider(
        name,
        f"http://{name}.invalid",
        dict.fromkeys(dialects or (CHAT,), "/v1/chat/completions"),
        tuple(Credential(f"{name}#{at}", Secret(f"{name}-{at}")) for at in range(keys)),
    )


def model(
    name: str,
    *providers: Provider,
    priorities: tuple[int, ...] = (),
    weights: tuple[int, ...] = (),
    upstream: str = "up",
    strategy: Strategy = Strategy.P2C,
    retry: Retry | None = None,
    fallbacks: tuple[str, ...] = (),
    context: tuple[str, ...] = (),
    content: tuple[str, ...] = (),
) -> Model:
    """A deployment for each provider, all in one tier unless `priorities` says otherwise."""
    retry = retry or Retry()
    tiers: dict[int, list[Deployment]] = {}
    for at, one in enumerate(providers):
        priority = priorities[at] if priorities else 1
        weight = weights[at] if weights else 10
        deployment = Deployment(
            f"{name}/{at}:{one.name}", one, upstream, priority, weight, retry=retry
        )
        tiers.setdefault(priority, []).append(deployment)
    return Model(
        name,
        tuple(tuple(tiers[priority]) for priority in sorted(tiers)),
        strategy,
        fallbacks,
        context,
        content,
        retry=retry,
    )


def snapshot(*models: Model, health: Health | None = None, **aliases: Model) -> Snapshot:
    exact = {one.name: one for one in models if not one.name.endswith("*")} | aliases
    wild = [(one.name[:-1], one) for one in models if one.name.endswith("*")]
    wild.sort(key=lambda pair: -len(pair[0]))
    providers = {
        one.provider.name: one.provider for each in models for tier in each.tiers for one in tier
    }
    return Snapshot(
        models=exact, wildcards=tuple(wild), providers=providers, health=health or Health()
    )


def error(
    cause: Cause,
    status: int = 0,
    *,
    after: float | None = None,
    sent: bool = True,
) -> UpstreamError:
    return UpstreamError(cause, status=status, retry_after=after, sent=sent)


SERVER = error(Cause.SERVER, 503)
REFUSED = error(Cause.CONNECT, sent=False)
SILENT = error(Cause.TIMEOUT_TTFT)
DENIED = error(Cause.AUTH, 401)


class Fleet:
    """One worker's routing with a clock and a die of its own."""

    def __init__(self, *models: Model, health: Health | None = None, seed: int = 7) -> None:
        self.snapshot = snapshot(*models, health=health)
        self.live = Live(self.snapshot)
        self.rng = Random(seed)
        self.now = 1000.0

    def plan(self, name: str = "m") -> Plan:
        return routing.plan(self.snapshot, self.live, name, None, CHAT, self.rng)

    def serve(self, name: str = "m", ttft: float | None = 0.3) -> str:
        """A request that its first deployment answers; the deployment's id."""
        plan = self.plan(name)
        candidate = plan.first(self.now)
        plan.succeeded(candidate, self.now, ttft)
        plan.ended(candidate)
        return candidate.deployment.id

    def fail(self, plan: Plan, candidate: Candidate, error: UpstreamError) -> Step:
        """The attempt fails, and time passes until the next is due."""
        plan.ended(candidate)
        step = plan.failed(candidate, error, self.now)
        self.now += step.delay
        return step

    def exhaust(
        self, *errors: UpstreamError, name: str = "m"
    ) -> tuple[list[str], list[Kind], ProxyError | UpstreamError]:
        """A request that fails with these, the last for ever: (deployments tried, kinds of step, last word)."""
        plan = self.plan(name)
        candidate = plan.first(self.now)
        tried = [candidate.deployment.id]
        kinds: list[Kind] = []
        for at in range(100):
            step = self.fail(plan, candidate, errors[min(at, len(errors) - 1)])
            kinds.append(step.kind)
            if step.candidate is None:
                assert step.error is not None
                return tried, kinds, step.error
            candidate = step.candidate
            tried.append(candidate.deployment.id)
        raise AssertionError("a request that never ends")

    def in_flight(self) -> int:
        live = self.live
        return sum(abs(state.inflight) for state in live.deployments.values()) + sum(
            abs(state.inflight)
            for account in live.accounts.values()
            for state in account.states.values()
        )


def ordered(*names: str, fallbacks: tuple[str, ...] = (), retry: Retry | None = None) -> Fleet:
    """Model `m` with a deployment at each of these, one tier each; fallbacks are models at `c`."""
    providers = [provider(name) for name in names]
    priorities = tuple(range(1, len(names) + 1))
    first = model("m", *providers, priorities=priorities, fallbacks=fallbacks, retry=retry)
    return Fleet(first, *(model(name, provider("c")) for name in fallbacks))


def limited(after: float | None) -> UpstreamError:
    return error(Cause.RATE_LIMIT, 429, after=after)


def reference(word: ProxyError | UpstreamError) -> str:
    return word.ref if isinstance(word, ProxyError) else str(word.cause)
