"""How one deployment is: what requests have shown of it, and what it said when it was last checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf
from typing import TYPE_CHECKING, Any

from proxy.control import health
from proxy.core.clock import monotonic, now
from proxy.state.checks import Check, way
from proxy.state.health import CLOSED, HALF_OPEN

if TYPE_CHECKING:
    from proxy.core.model import Deployment
    from proxy.state.live import DeploymentState, Live

_PHASES: Mapping[int, str] = {CLOSED: "closed", HALF_OPEN: "half_open"}


def condition(deployment: Deployment, live: Live) -> dict[str, Any]:
    """`status` is what requests have shown, whether it is checked or not; `check` is how it is: `models`, `completion`,
    `masked` or `off`."""
    state = live.deployments.get(deployment.id)
    return {
        "id": deployment.id,
        "provider": deployment.provider.name,
        "model": deployment.model,
        "status": grade(1.0 if state is None else state.health),
        "circuit": circuit(state),
        "retry_in": _wait(state),
        "outage": state is not None and state.outage is not None,
        "slow": state is not None and state.slow,
        "check": way(deployment, live.rules),
        "last_check": None if state is None else last_check([state]),
    }


def grade(value: float) -> str:
    """A health in a word."""
    if value >= 1.0:
        return health.HEALTHY
    return health.DEGRADED if value > 0.0 else health.UNHEALTHY


def circuit(state: DeploymentState | None) -> str:
    """`closed`, `half_open` or `open`."""
    return "closed" if state is None else _PHASES.get(state.phase, "open")


def last_check(some: Iterable[DeploymentState]) -> dict[str, Any] | None:
    """The last of them all: what came of it, and the Unix time; None: there was none."""
    latest = max(some, key=lambda one: one.checked_at, default=None)
    if latest is None or latest.checked == Check.NONE:
        return None
    at = now() - (monotonic() - latest.checked_at)
    return {"outcome": Check(latest.checked).name.lower(), "at": round(at, 3)}


def _wait(state: DeploymentState | None) -> float | None:
    """Seconds until it is tried again; 0: it is in use, or may be; None: that is being found out."""
    if state is None or state.phase == CLOSED:
        return 0.0
    return None if state.until == inf else round(max(state.until - monotonic(), 0.0), 3)
