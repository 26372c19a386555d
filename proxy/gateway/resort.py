"""Who may be asked when nobody should be, and what the client is told when nobody may.

Nothing of one request is known here: only a route, and the moment.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from proxy.core.errors import Cause, ProxyError
from proxy.gateway.selection import Move, Route, Slot
from proxy.gateway.verdict import RATES, limited, out_of_quota, unknown, used_up
from proxy.state.credentials import CredentialState
from proxy.state.health import CLOSED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.limits.accounts import What

Met = tuple["What", float]
"""A limit of ours, and the monotonic time at which there is room again: inf is never."""

_PANIC_INTERVAL = 1.0
_FULL = 1.0
"""Seconds after which somebody may come again for whom there was no place: nobody knows when one is free."""


def last_resort(route: Route, now: float) -> Move | None:
    """With everything out, the deployment whose timer ends first, each at most once a second.

    Circuits, refused credentials and spent accounts may be tried so; a rate limit that a provider announced may not. Where
    a circuit is open because of a share of failures, the rest of that share was answered: it is tried by everybody.
    """
    best: Move | None = None
    for slot in route.slots:
        if slot.state.panic_at > now or slot.state.room.until > now or slot.state.full:
            continue
        for key in slot.pool.keys:
            held = key[1]
            if held.room.until > now:
                continue
            if held.until > now and held.reason is Cause.RATE_LIMIT and not held.soft:
                continue
            delay = max(slot.state.until, held.until) - now
            if best is None or delay < best.delay:
                best = Move(slot, key, "switch", delay)
    if best is None:
        return None
    if not best.slot.state.take_last_resort(now, 0.0 if _answers(best, now) else _PANIC_INTERVAL):
        return last_resort(route, now)  # another worker did, and by now it is known here
    best.delay = 0.0
    return best


def _answers(move: Move, now: float) -> bool:
    """Some of what it was asked lately it has answered."""
    state = move.slot.state
    return (
        state.phase != CLOSED
        and state.outage is None
        and state.streak < state.rules.max_errors
        and move.key[1].until <= now
    )


def nobody(route: Route, now: float, met: Sequence[Met] = ()) -> ProxyError:
    """Why there is nobody to ask, and when there may be. `met`: limits of ours that are in the way."""
    limit = soonest(route, now)
    waits = [end - now for what, end in met if what in RATES]
    if limit is not None:
        waits.append(limit.delay)
    if waits:
        return limited(min(waits))
    if any(slot.state.full for slot in route.slots):
        return limited(_FULL)
    out = [slot.state.until for slot in route.slots if slot.state.until > now]
    if met and all(what == "blind" for what, _ in met):
        return unknown()
    if met and not out:
        return used_up(min(end for _, end in met) - now)
    if not out:
        reasons = {held.reason for slot in route.slots for _, held in slot.pool.keys}
        return out_of_quota() if reasons == {Cause.QUOTA} else ProxyError("up_auth")
    # An infinite timer is a probe under way: its outcome is known soon.
    wait = min(until - now if until < inf else 0.0 for until in out)
    return ProxyError("no_up", retry_after=min(max(wait, 1.0), 60.0))


def use_guess(route: Route, now: float) -> Move | None:
    """A credential that rests on a guess of ours only, used at once because nothing else is left."""
    move = soonest(route, now, guesses=True)
    if move is not None:
        move.delay = 0.0
    return move


def soonest(
    route: Route,
    now: float,
    *,
    without: Sequence[Slot] = (),
    apart: Sequence[CredentialState] = (),
    guesses: bool = False,
) -> Move | None:
    """The credential whose rate limit (or, with `guesses`, any pause we guessed) ends first; `delay` says when."""
    best: Move | None = None
    for slot in route.slots:
        state = slot.state
        if state.until > now or state.room.until > now or state.full or slot in without:
            continue
        for key in slot.pool.keys:
            held = key[1]
            if (
                held in apart
                or held.until <= now
                or held.room.until > now
                or not (held.soft if guesses else held.reason is Cause.RATE_LIMIT)
            ):
                continue
            if best is None or held.until - now < best.delay:
                best = Move(slot, key, "switch", held.until - now)
    return best
