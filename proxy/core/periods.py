"""Windows of budgets and quotas: found by the clock when they are needed, so no timer runs and no restart matters.

A cron expression names times on a wall clock, and each of them happens once: a time that the clock of the zone leaps
over comes as the next minute there is, a time that it shows twice comes the first time. Which window a moment lies in
depends on nothing else, so a clock that is stepped back finds the window it has been in before.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from msgspec import Struct

from proxy.core.model import Budget, Quota

PERIODS = {"day": "0 0 * * *", "week": "0 0 * * 1", "month": "0 0 1 * *"}
"""Begins of what a budget may be for, as cron has them. `total` has none."""

QUARTERS = frozenset({0, 15, 30, 45})
"""Minutes on which the window of a budget may begin."""

_MOST = 4096
"""Expressions (in a zone) whose windows are remembered."""

_LONGEST = 256
"""Characters of an expression."""

_FIELDS = "minute, hour, day of month, month and day of week"


class Window(Struct, frozen=True, gc=False):
    """Unix times, whole seconds. `ends` 0: never (`total`, whose `start` is 0 too)."""

    start: int
    ends: int


_FOREVER = Window(0, 0)
_EMPTY = Window(0, -1)

_current: dict[tuple[str, str], Window] = {}
_earlier: dict[tuple[str, str], Window] = {}
"""The window asked for last, and the one before it: around midnight requests of both days come and go."""


def of_budget(budget: Budget, now: float) -> Window:
    """The window that `now` lies in. Remembered until it ends: asked again it costs a comparison."""
    cron = budget.cron
    if not cron:
        period = budget.period
        if period == "total":
            return _FOREVER
        cron = PERIODS[period]
    key = (cron, budget.tz)
    window = _current.get(key, _EMPTY)
    return window if window.start <= now < window.ends else _find(key, now)


def of_quota(quota: Quota, now: float) -> Window:
    """The same, between two times of its cron expression."""
    key = (quota.cron, quota.tz)
    window = _current.get(key, _EMPTY)
    return window if window.start <= now < window.ends else _find(key, now)


def check_cron(text: str, tz: str) -> None:
    """Raises ValueError, saying what was expected, for an expression that never fires or a zone nobody knows."""
    _checked(text, tz)


def check_budget_cron(text: str, tz: str) -> None:
    """The same, and ValueError for a time that is not on a quarter of an hour."""
    odd = sorted(_checked(text, tz).minutes - QUARTERS)
    if odd:
        raise ValueError(
            f"a budget begins on a quarter of an hour (minute 0, 15, 30 or 45), not at minute {odd[0]}"
        )


def _checked(text: str, tz: str) -> CronSim:
    if len(text) > _LONGEST:
        raise ValueError(f"expected at most {_LONGEST} characters, found {len(text)}")
    if len(text.split()) != 5:
        raise ValueError(
            f"expected five fields ({_FIELDS}), such as '0 0 * * *', found {len(text.split())}"
        )
    try:
        times = CronSim(text, datetime(2000, 1, 1))  # noqa: DTZ001 - of a wall clock, in any zone
    except CronSimError as error:
        raise ValueError(_said(str(error), text)) from None
    if next(times, None) is None:
        raise ValueError(f"{text!r} never happens")
    try:
        ZoneInfo(tz)
    except (KeyError, ValueError, OSError):
        raise ValueError(
            f"expected the name of a time zone, such as 'UTC' or 'Europe/Berlin', found {tz!r}"
        ) from None
    return times


_RANGES = {
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day-of-month": "1 to 31, L or LW",
    "month": "1 to 12 or JAN to DEC",
    "day-of-week": "0 to 7 (0 and 7 are Sunday) or SUN to SAT",
}


def _said(error: str, text: str) -> str:
    """The parser's own words are `Bad hour`."""
    name = error.removeprefix("Bad ")
    value = dict(zip(_RANGES, text.split(), strict=True)).get(name)
    if value is None:
        return f"expected five fields ({_FIELDS}), found {text!r}"
    if name == "day-of-month" and value.isdecimal() and 1 <= int(value) <= 31:
        return f"{text!r} never happens: no such month has a day {value}"
    return f"expected {_RANGES[name]} as the {name.replace('-', ' ')}, or '*', lists, ranges and steps; found {value!r}"


def _find(key: tuple[str, str], now: float) -> Window:
    window = _earlier.get(key, _EMPTY)
    if not window.start <= now < window.ends:
        window = _between(*key, int(now // 1))
        if len(_current) >= _MOST:
            _current.clear()
            _earlier.clear()
    last = _current.get(key)
    if last is not None:
        _earlier[key] = last
    _current[key] = window
    return window


def _between(cron: str, tz: str, now: int) -> Window:
    """From the last time at or before `now` to the first one after it."""
    zone = ZoneInfo(tz)
    wall = datetime.fromtimestamp(now, zone).replace(tzinfo=None, fold=0)
    before = next(CronSim(cron, wall + timedelta(seconds=1), reverse=True), None)
    start = 0 if before is None else _instant(before, zone)
    for after in CronSim(cron, wall):
        ends = _instant(after, zone)
        if ends > now:
            return Window(start, ends)
        # The clock has been set back: it will show this time again, but it has shown it already.
        start = ends
    return Window(start, 0)


def _instant(wall: datetime, zone: ZoneInfo) -> int:
    """When a clock there shows this time first; if it leaps over it, the moment of the leap."""
    first = wall.replace(tzinfo=zone)
    second = wall.replace(tzinfo=zone, fold=1)
    before, after = first.utcoffset(), second.utcoffset()
    latest = int(first.timestamp())
    if before is None or after is None or before >= after:
        return latest
    earliest = int(second.timestamp())
    while latest - earliest > 1:
        middle = (earliest + latest) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == before:
            earliest = middle
        else:
            latest = middle
    return latest
