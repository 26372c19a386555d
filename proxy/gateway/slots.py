"""What is chosen among: deployments with their state at hand, and tiers of equal ones."""

from __future__ import annotations

from hashlib import blake2b
from math import inf
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from proxy.core.model import Credential, Deployment, Performance
from proxy.state.health import CLOSED
from proxy.state.prices import price_of

if TYPE_CHECKING:
    from proxy.core.model import Price, Snapshot
    from proxy.state.credentials import Key, Pool
    from proxy.state.live import DeploymentState

_MAX_PRICES = 512
"""Names that one wildcard matched, for which it is remembered."""


class Slot:
    """One deployment of a route, ready to be asked."""

    __slots__ = (
        "apart",
        "deployment",
        "dialect",
        "limited",
        "pattern",
        "pool",
        "prices",
        "seed",
        "seeds",
        "state",
        "upstream_model",
        "weight",
        "window",
    )

    def __init__(
        self,
        deployment: Deployment,
        state: DeploymentState,
        pool: Pool,
        dialect: str = "",
        *,
        apart: bool = False,
    ) -> None:
        self.deployment = deployment
        self.apart = apart
        """It is asked for what its provider keeps, which a credential that is good for models need not be allowed to see."""
        self.dialect = dialect
        """What it is asked in."""
        self.state = state
        self.pool = pool
        self.limited = _is_limited(deployment) or any(
            key is not None and _is_limited(key) for key, _ in pool.keys
        )
        """By limits of ours: it has to be asked for room before it is asked anything else."""
        self.weight = float(deployment.weight) if deployment.weight > 0 else 1.0
        self.window = float(deployment.max_context or inf)
        """Tokens of a prompt and its answer; infinite where nobody said."""
        self.pattern = deployment.model.endswith("*")
        self.upstream_model = deployment.model[:-1] if self.pattern else deployment.model
        """Before a `*`, when there is one: what the wildcard matched follows."""
        self.prices: dict[str, tuple[object, Price | None]] = {}
        """What has been found for names that it matched, and the prices by which (`charging.price_of`)."""
        self.seed = 0
        self.seeds: tuple[int, ...] = ()
        """Numbers of its own, and one for each of its credentials: for strategies that hash (`strategies.affinity`)."""

    def usable(self, now: float) -> bool:
        """Its circuit lets a request through, no limit of ours is known to be met, it is not as busy as it may be, and a
        credential is free."""
        state = self.state
        return (
            state.until <= now
            and state.room.until <= now
            and not state.full
            and self.pool.ready(now)
        )

    def healthy(self, now: float) -> bool:
        state = self.state
        return state.phase == CLOSED and state.room.until <= now and self.pool.ready(now)

    def price(self, matched: str, snapshot: Snapshot) -> Price | None:
        """What its provider charges; None: nobody knows."""
        one = self.deployment
        if not self.pattern:
            return one.price  # looked up when the configuration was compiled
        return price_of(snapshot.prices, one.provider, self.name(matched), one.price)

    def known_price(self, matched: str, snapshot: Snapshot) -> Price | None:
        """The same, remembered for what a wildcard matched as long as the configuration's prices are the same."""
        if not self.pattern:
            return self.deployment.price
        name = self.name(matched)
        known = self.prices.get(name)
        if known is None or known[0] is not snapshot.prices:
            if len(self.prices) >= _MAX_PRICES:
                self.prices.clear()
            known = self.prices[name] = snapshot.prices, self.price(matched, snapshot)
        return known[1]

    def name(self, matched: str) -> str:
        """What to call the model upstream. A lone `*` with nothing matched cannot happen: names are not empty."""
        return self.upstream_model + matched if self.pattern else self.upstream_model

    def share(self, now: float) -> float:
        """Its weight as it is at the moment: less while it is degraded or newly recovered."""
        return self.weight * self.state.factor(now)

    def sow(self, twin: int = 0) -> None:
        """Make `seed` and `seeds`, of what it is and not of where it stands: those around it may come and go.

        `twin`: how many before it are the same.
        """
        one = self.deployment
        what = f"{one.provider.name}\0{one.provider.base_url}\0{one.model}\0{twin}".encode()
        self.seed = _number(what, b"")
        self.seeds = tuple(_number(what, _account(key)) for key, _ in self.pool.keys)


def _number(what: bytes, account: bytes) -> int:
    return int.from_bytes(blake2b(what, key=account, digest_size=8).digest())


def _account(credential: Credential | None) -> bytes:
    """What a credential stands for; it leaves this process in no form."""
    return b"" if credential is None else blake2b(credential.secret.reveal().encode()).digest()


def _is_limited(one: Deployment | Credential) -> bool:
    return one.limits is not None or one.quota is not None


Kind = Literal["retry", "switch", "fallback", "stop"]


class Move(Struct, gc=False):
    """A next attempt, found but not begun."""

    slot: Slot
    key: Key
    kind: Kind
    delay: float = 0.0


class Tier:
    """Equal deployments, and the memory of strategies that go round."""

    __slots__ = ("cursor", "slots", "turn", "weighed")

    def __init__(self, slots: tuple[Slot, ...], weighed: Performance | None = None) -> None:
        self.slots = slots
        self.cursor = -1
        self.turn = min((slot.state.turn for slot in slots if slot.state.used), default=0.0)
        self.weighed = weighed or Performance()
        """What counts for how much, for `performance`."""
