"""Windows of budgets and quotas: found by the clock when they are needed, so no timer runs and no restart matters."""

from __future__ import annotations

from msgspec import Struct

from proxy.core.model import Budget, Quota


class Window(Struct, frozen=True, gc=False):
    """Unix times, whole seconds. `ends` 0: never (`total`, whose `start` is 0 too)."""

    start: int
    ends: int


def of_budget(budget: Budget, now: float) -> Window:
    """The window that `now` lies in. Remembered until it ends: asked again it costs a comparison."""
    raise NotImplementedError


def of_quota(quota: Quota, now: float) -> Window:
    """The same, between two times of its cron expression."""
    raise NotImplementedError


def check_cron(text: str, tz: str) -> None:
    """Raises ValueError, saying what was expected, for an expression that never fires or a zone nobody knows."""
    raise NotImplementedError
