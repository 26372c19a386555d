"""What is remembered of a limit of ours that was met, so that the next requests step over it without asking."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.limits.accounts import What

LONGEST = 1.0
"""Seconds until it is asked again, however long it said: other workers give back, and an operator may reset it."""
_SAME_FOR_ALL = frozenset({"rpm", "quota_requests"})
"""What refuses every request alike. Tokens and money depend on the request, and slots come free at any moment."""


class Room:
    """Of a deployment, or of a credential. Times are monotonic."""

    __slots__ = ("end", "until", "what")

    def __init__(self) -> None:
        self.until = 0.0
        """There is none before this."""
        self.end = 0.0
        """When there will be, as far as was known: it may be much later than `until`."""
        self.what: What = "rpm"

    def fill(self, what: What, wait: float, now: float) -> None:
        """A request was refused, for `wait` seconds."""
        if what in _SAME_FOR_ALL:
            self.what = what
            self.until, self.end = now + min(wait, LONGEST), now + wait
