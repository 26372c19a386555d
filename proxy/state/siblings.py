"""Which deployments are much slower than those they stand beside: they get half their weight, as those that fail do.

Compared is the moving average of the time to the first token, which fades while a deployment is not used, so that one
that was slow is tried again. One slow answer among quick ones says nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.state.live import DeploymentState, Live

_SLOW, _QUICK = 3.0, 2.0
"""Times the middle one of the group: slow above the first, no longer below the second."""
_NOTICED = 0.1
"""Seconds: whoever is behind by less is not slow, however quick the others are."""


def compare(live: Live, now: float) -> None:
    """Mark who is slow in every model that has more than one deployment."""
    for group in live.groups:
        _compare([one for one in group if one.latency.known], now)


def _compare(group: Sequence[DeploymentState], now: float) -> None:
    if len(group) < 2:
        for one in group:
            one.slow = False
        return
    paces = sorted(one.latency.estimate(now) for one in group)
    middle = paces[(len(paces) - 1) // 2]  # of two the quicker one
    for one in group:
        pace = one.latency.estimate(now)
        if pace < _QUICK * middle:
            one.slow = False
        elif min(pace, one.latency.lately) > max(_SLOW * middle, middle + _NOTICED):
            one.slow = True
