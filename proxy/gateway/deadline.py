"""How long a client will wait, as it says itself, and what may still be begun by then.

`x-request-deadline-ms` is a budget: what is left of it in milliseconds when the request arrives. Nothing is begun that
cannot be finished by then, and what is under way then ends. What client libraries say of their own time limits
(`x-stainless-timeout`, `x-stainless-read-timeout`, `request-timeout`, in seconds) is a hint: it bounds what is waited
for, and never cuts an answer that has begun.
"""

from __future__ import annotations

import re
from math import inf
from typing import TYPE_CHECKING

from msgspec import Struct
from multidict import istr

from proxy.core.errors import ProxyError

if TYPE_CHECKING:
    from multidict import MultiMapping

    from proxy.state.live import DeploymentState

HEADER = istr("x-request-deadline-ms")
HINTS = (istr("x-stainless-timeout"), istr("x-stainless-read-timeout"), istr("request-timeout"))
HEADERS = frozenset((HEADER, *HINTS))
LATENESS = 0.5
"""Of the usual time to the first content: with less than that left an answer in time would be luck."""

_MILLISECONDS = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,9})?")
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


class Deadline(Struct, frozen=True, gc=False):
    """Until when an answer is of use."""

    at: float
    """Nothing is waited for any longer. This and the other in monotonic seconds."""
    end: float = inf
    """What has begun is cut; inf: it is not."""

    def left(self, now: float) -> float:
        """Seconds, never less than 0."""
        return max(self.at - now, 0.0)

    def begun(self) -> Deadline | None:
        """What is left of it for an answer that has begun."""
        return Deadline(self.end, self.end) if self.end < inf else None

    def holds(self, state: DeploymentState, now: float, delay: float = 0.0) -> bool:
        """Whether a deployment that is asked after `delay` seconds may still answer in time."""
        return now + delay + LATENESS * state.latency.usual(now) < self.at

    def meets(self, state: DeploymentState, now: float, delay: float = 0.0) -> bool:
        """Whether it usually does. One of which little is known is believed to."""
        return now + delay + state.latency.usual(now) < self.at


def read(headers: MultiMapping[str], started: float) -> Deadline | None:
    """What a request that arrived at `started` (monotonic) says. A hint that is no time is as good as none.

    Raises ProxyError bad_req (the explicit header is no number, or comes twice).
    """
    at = end = inf
    for name in HINTS:
        for text in headers.getall(name, ()):
            if _SECONDS.fullmatch(text) and 0.0 < (seconds := float(text)) < at - started:
                at = started + seconds
    explicit = headers.getall(HEADER, ())
    if explicit:
        if len(explicit) > 1 or not _MILLISECONDS.fullmatch(explicit[0]):
            raise ProxyError(
                "bad_req",
                f"The header '{HEADER}' has to be one number: the milliseconds that are left.",
                code="invalid_deadline",
                param=str(HEADER),
            )
        end = started + float(explicit[0]) / 1000
        at = min(at, end)
    return Deadline(at, end) if at < inf else None


def late(deadline: Deadline) -> ProxyError:
    """Told as soon as it is certain. Whoever only hinted may have more time than it said, and may ask again."""
    error = ProxyError("late")
    error.should_retry = False if deadline.end < inf else None
    return error
