"""W3C Trace Context: what a client says of the trace its request belongs to, and how we say it.

https://www.w3.org/TR/trace-context/ (level 1; of level 2 the flag that an id is random). What is malformed is as good as
absent: the trace begins here then. Nothing is raised.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

SAMPLED = 1
"""Flag: whoever made the parent records it."""
RANDOM = 2
"""Flag: the last 56 bits of the trace's id are random, so that they can be drawn lots with."""

MOST_MEMBERS = 32
LONGEST_STATE = 512
"""Characters of `tracestate` that are passed on; more is left out as a whole, as nobody has to take more."""

_PARENT = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)
_KEY = r"[a-z0-9][a-z0-9_*/-]{0,240}(?:@[a-z][a-z0-9_*/-]{0,13})?|[a-z][a-z0-9_*/-]{0,255}"
_MEMBER = re.compile(
    rf"({_KEY})=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{{0,255}}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)


class Parent(NamedTuple):
    """The span that a request was sent in."""

    trace_id: str
    """32 digits, in lower case."""
    span_id: str
    """16 digits."""
    flags: int

    @property
    def sampled(self) -> bool:
        return bool(self.flags & SAMPLED)


def parse(text: str) -> Parent | None:
    """A `traceparent`; None: it is none. Of versions after 00 the part is read that they have in common."""
    found = _PARENT.fullmatch(text)
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if more is not None and version == "00":
        return None
    return Parent(trace_id, span_id, int(flags, 16))


def render(trace_id: str, span_id: str, flags: int) -> str:
    """A `traceparent` of version 00."""
    return f"00-{trace_id}-{span_id}-{flags:02x}"


def state(lines: Sequence[str]) -> str:
    """The `tracestate` of all header lines of that name, fit to be passed on; empty: there is none, or it is malformed."""
    members = [member.strip(" \t") for line in lines for member in line.split(",")]
    members = [member for member in members if member]
    if not members or len(members) > MOST_MEMBERS:
        return ""
    keys = set()
    for member in members:
        found = _MEMBER.fullmatch(member)
        if found is None or found[1] in keys:
            return ""
        keys.add(found[1])
    joined = ",".join(members)
    return joined if len(joined) <= LONGEST_STATE else ""
