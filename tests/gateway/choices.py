"""One tier of a model, asked again and again whom it chooses: no requests, no sockets, a clock and a die of its own."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from proxy.core.model import Credential, Deployment, Model, Price, Provider, Snapshot, Strategy
from proxy.core.secret import Secret
from proxy.gateway import routing
from proxy.gateway.hints import Hints
from proxy.state.live import Live
from proxy.state.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.gateway.plan import Candidate, Plan
    from proxy.gateway.selection import Route
    from proxy.state.live import DeploymentState

CHAT = "openai.chat"
NAMES = "abcdefgh"


class Settled(Random):
    """A die that never explores, and otherwise rolls as any."""

    def random(self) -> float:
        return 0.05 + 0.95 * super().random()


def deployment(name: str, keys: int = 1, **fields: Any) -> Deployment:
    """At a provider of this name."""
    provider = Provider(
        name,
        f"http://{name}.invalid",
        {CHAT: "/v1/chat/completions"},
        tuple(Credential(f"{name}#{at}", Secret(f"{name}-{at}")) for at in range(keys)),
    )
    fields.setdefault("model", "up")
    return Deployment(f"m/{name}", provider, **fields)


class Choices:
    """A model `m` with these deployments; `Choices.of(strategy, "abc")` makes them."""

    def __init__(
        self, strategy: Strategy, *deployments: Deployment, rng: Random | None = None, **fields: Any
    ) -> None:
        model = Model("m", (deployments,), strategy, **fields)
        providers = {one.provider.name: one.provider for one in deployments}
        self.snapshot = Snapshot(models={"m": model}, providers=providers)
        self.live = Live(self.snapshot)
        self.rng = rng or Settled(5)
        self.now = 1000.0
        self.route: Route = self.plan().route

    @classmethod
    def of(
        cls,
        strategy: Strategy,
        names: str,
        weights: tuple[int, ...] = (),
        prices: tuple[float | None, ...] = (),
        rng: Random | None = None,
    ) -> Choices:
        """A deployment for each letter; a price is of a million tokens, of prompt and answer alike."""
        made = []
        for at, name in enumerate(names):
            price = prices[at] if prices else None
            made.append(
                deployment(
                    name,
                    weight=weights[at] if weights else 10,
                    price=None if price is None else Price(input=price, output=price),
                )
            )
        return cls(strategy, *made, rng=rng)

    def plan(self, hints: Hints | None = None) -> Plan:
        plan = routing.plan(self.snapshot, self.live, "m", None, CHAT, self.rng)
        if hints is not None:
            plan.look(hints)
        return plan

    def begin(self, hints: Hints | None = None) -> Candidate:
        """A request that is in flight from now on."""
        return self.plan(hints or Hints(self.snapshot)).first(self.now)

    def choose(self, hints: Hints | None = None) -> str:
        """Whom the next request goes to. It is over at once, and nothing is learned from it."""
        candidate = self.begin(hints)
        self.plan().ended(candidate)
        return candidate.deployment.provider.name

    def state(self, name: str) -> DeploymentState:
        return self.live.deployments[f"m/{name}"]

    def pace(self, name: str) -> Pace:
        found = self.state(name).pace
        assert found is not None
        return found

    def seen(self, seconds: Mapping[str, float], times: int = 20) -> None:
        """So many streams that began after so many seconds, at each."""
        for name, each in seconds.items():
            for _ in range(times):
                self.pace(name).succeeded(self.now, each, stream=True)

    def failed(self, name: str, times: int) -> None:
        """As far as figures go; its circuit does not hear of it."""
        for _ in range(times):
            self.pace(name).failed(self.now, 1.0)

    def open(self, *names: str) -> None:
        """Take these out."""
        for name in names:
            for _ in range(5):
                self.state(name).bad(self.now, 1.0, 0, Random(1))
