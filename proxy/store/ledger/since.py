"""What was counted since a moment, to the request: whole hours and minutes from their sums, the first minute from the log.

So a page may begin to count at any moment, as when somebody resets it, and still costs what it covers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from proxy.core.clock import now
from proxy.store.base import ADMIN_TIMEOUT
from proxy.store.ledger.buckets import TTFT
from proxy.store.ledger.statistics import HOUR, KEEP_MINUTES, MINUTE
from proxy.store.ledger.sums import OUTCOMES

if TYPE_CHECKING:
    from proxy.store.base import Session


class Sums(Struct):
    """Of one deployment, or of several together."""

    requests: int = 0
    succeeded: int = 0
    failed: int = 0
    client_gone: int = 0
    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    cost: int = 0
    """Micro-dollars, of those requests whose cost is known."""
    unknown_cost: int = 0
    waits: int = 0
    """Answers that had a first content,"""
    wait: float = 0.0
    """and the seconds until then, added up."""

    def add(self, other: Sums) -> None:
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def tokens(self) -> int:
        """Every token once."""
        return self.input + self.cache_read + self.cache_write + self.output


Place = tuple[str, str, str]
"""Model, provider, deployment."""


def start(mark: float) -> float:
    """From when on is counted, if it is asked for since `mark`: of long ago there are whole hours alone."""
    return mark if mark >= now() - KEEP_MINUTES else mark // HOUR * HOUR


async def since(session: Session, mark: float, team: str = "") -> dict[Place, Sums]:
    """Of requests that came from `start(mark)` on and are over. `team`: of its keys alone. Raises StoreDown."""
    found: dict[Place, Sums] = {}
    hours = int(-(-mark // HOUR) * HOUR)
    if start(mark) == mark:
        minutes = int(-(-mark // MINUTE) * MINUTE)
        await _add(found, session, _LOGGED, mark, float(minutes), team)
        await _add(found, session, _SUMMED, MINUTE, minutes, hours, team)
    else:
        hours = int(start(mark))
    await _add(found, session, _SUMMED, HOUR, hours, _LAST, team)
    return found


async def _add(found: dict[Place, Sums], session: Session, sql: str, *values: Any) -> None:
    for row in await session.fetch(sql, *values, timeout=ADMIN_TIMEOUT):
        place, sums = row[:3], Sums(*row[3:])
        if place in found:
            found[place].add(sums)
        else:
            found[place] = sums


_LAST: Final = 2**62
_TOKENS: Final = ("input", "cache_read", "cache_write", "output", "reasoning")


def _whole(text: str) -> str:
    """PostgreSQL adds whole numbers up to decimals."""
    return "".join(("CAST(sum(", text, ") AS bigint)"))


def _outcome(kind: str) -> str:
    words = ", ".join(f"'{outcome}'" for outcome, counts in OUTCOMES.items() if counts == kind)
    return _whole("".join(("CASE WHEN outcome IN (", words, ") THEN 1 ELSE 0 END")))


_COUNTED: Final = (
    "requests",
    "succeeded",
    "failed",
    "client_gone",
    *_TOKENS,
    "cost",
    "unknown_cost",
)
_SUMMED: Final = " ".join(
    (
        "SELECT model, provider, deployment,",
        ", ".join(_whole(name) for name in _COUNTED),
        ",",
        _whole(" + ".join(f"ttft_{number}" for number in range(len(TTFT) + 1))),
        ", sum(ttft_sum) FROM statistics",
        "WHERE span = $1 AND bucket >= $2 AND bucket < $3 AND (team = $4 OR $4 = '')",
        "GROUP BY model, provider, deployment",
    )
)
_LOGGED: Final = " ".join(
    (
        "SELECT model, provider, deployment, count(*),",
        ", ".join(
            (
                *(_outcome(kind) for kind in ("succeeded", "failed", "client_gone")),
                *(_whole(name) for name in _TOKENS),
                _whole("coalesce(cost, 0)"),
                _whole("CASE WHEN cost IS NULL THEN 1 ELSE 0 END"),
                "count(ttft_ms)",
                "coalesce(sum(ttft_ms) / 1000, 0.0)",
            )
        ),
        "FROM requests",
        "WHERE at >= $1 AND at < $2 AND phase = 3 AND (team = $3 OR $3 = '')",
        "GROUP BY model, provider, deployment",
    )
)
