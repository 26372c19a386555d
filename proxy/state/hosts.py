"""One outage for one host: when most of what is served at an address fails, it is the address that has failed.

A `Host` is the circuit of all deployments at one `scheme://host:port`, whoever's account they are asked with. It opens
when four in five of those that anything is known of are out, and at least two that are asked for different models; who
has answered lately, and not failed since, stays in. While it is open its members follow it: one timer, one probe at a time, and the proof of one
brings all of them back. A member that is all a model has left is not taken out for what others did.
"""

from __future__ import annotations

from contextlib import contextmanager
from math import inf
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from proxy.state.health import CLOSED, HALF_OPEN, Circuit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from random import Random

    from proxy.core.model import Health
    from proxy.state.live import DeploymentState

_SHARE = 0.8
_FEWEST = 2
_LATELY = 300.0
"""Seconds for which an answer speaks for who gave it, unless it has failed since."""


class Host(Circuit):
    """See the module. Its own state is that of the outage: closed while there is none."""

    __slots__ = ("address", "at", "members")

    def __init__(self, address: str, rules: Health) -> None:
        super().__init__(rules)
        self.address = address
        self.members: tuple[DeploymentState, ...] = ()
        self.at = -inf
        """When it was found out last."""

    @contextmanager
    def change(self) -> Iterator[None]:
        with super().change():
            yield
            self.lead(tell=True)

    def open(self, now: float, rng: Random) -> None:
        self.at = now
        super().open(now, rng)

    def consider(self, now: float, rng: Random) -> None:
        """One more member is out: is it the host?"""
        out = {member.meaning for member in self.members if member.phase != CLOSED}
        if len(out) < _FEWEST:
            return
        well = {member.meaning for member in self.members if _well(member, now)} - out
        if len(out) >= _SHARE * (len(out) + len(well)):
            with self.change():
                if self.phase == CLOSED:
                    self.open(now, rng)

    def lead(self, *, tell: bool) -> None:
        """Members become as the host is. `tell`: it was found out here, so other workers are to be told of them too."""
        if self.phase == CLOSED:
            for member in self.members:
                if member.outage is self:
                    _readmit(member, self.recovered, tell=tell)
            return
        for member in self.members:
            if member.outage is self or _follows(member, self.at):
                member.outage = self
                member.phase, member.until = self.phase, self.until


def gather(
    known: Mapping[str, Host],
    deployments: Iterable[DeploymentState],
    make: Callable[[str], Host],
) -> dict[str, Host]:
    """A host for each address at which more than one thing is served; `known` are those of before."""
    served: dict[str, list[DeploymentState]] = {}
    for one in deployments:
        served.setdefault(address_of(one), []).append(one)
    hosts: dict[str, Host] = {}
    for address, members in served.items():
        if len({one.meaning for one in members}) >= _FEWEST:
            host = hosts[address] = known.get(address) or make(address)
            host.members = tuple(members)
            for one in members:
                _leave(one, host)
                one.host = host
            host.lead(tell=False)
        else:
            for one in members:
                _leave(one, None)
    return hosts


def _leave(one: DeploymentState, host: Host | None) -> None:
    """Follow no host but this one."""
    one.host = host
    if one.outage is not None and one.outage is not host:
        one.outage = None
        one.phase, one.until = HALF_OPEN, 0.0


def address_of(one: DeploymentState) -> str:
    parts = urlsplit(one.meaning[0])
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}"


def _well(one: DeploymentState, now: float) -> bool:
    """It has answered lately, and not failed since."""
    return (
        one.phase == CLOSED
        and not one.streak
        and one.used > one.inflight
        and now - one.last_used < _LATELY
    )


def _follows(one: DeploymentState, now: float) -> bool:
    """It is out anyway, or nothing speaks for it and its model has another."""
    if one.phase != CLOSED:
        return True
    return not _well(one, now) and any(
        other is not one and other.phase == CLOSED for other in one.siblings
    )


def _readmit(one: DeploymentState, now: float, *, tell: bool) -> None:
    if not tell:
        one.outage = None
        one.close(now)
        return
    with one.change():
        one.outage = None
        one.close(now)
