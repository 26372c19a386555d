"""Who serves: for each number the one that has the place, the one that is to take it, and those that leave it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from enum import StrEnum
from time import monotonic

from msgspec import Struct, field

from proxy.core import berths


class Stage(StrEnum):
    """Of a process, from its fork to its end."""

    STARTING = "starting"
    READY = "ready"
    LEAVING = "leaving"


class Member(Struct, eq=False):
    """A process, and our end of what ties it to us."""

    name: str
    pid: int
    end: socket.socket
    stage: Stage = Stage.STARTING
    begun: float = field(default_factory=monotonic)
    count: int = -1
    """Of its signs of life, as last seen."""
    silent: float = 0.0
    """Seconds without one."""
    aborted: bool = False
    """It was silent for too long, and was told so."""
    deadline: float = 0.0
    """When it is killed, if it still lives; 0: never."""

    @property
    def at(self) -> int:
        """Its place in what is shared by name."""
        return int(self.name)

    def tell(self, word: bytes) -> None:
        """Unless it has just died."""
        try:
            self.end.send(word)
        except OSError:
            pass


class Place(Struct, eq=False):
    """Of one number."""

    number: int
    names: tuple[str, ...]
    current: Member | None = None
    successor: Member | None = None
    leaving: list[Member] = field(default_factory=list)
    due: float | None = None
    """When another is started; None: none is to be."""
    again: bool = False
    """Whoever is there is to be replaced by a new one."""

    @property
    def members(self) -> list[Member]:
        """All that live."""
        those = [one for one in (self.current, self.successor) if one is not None]
        return those + self.leaving

    @property
    def free(self) -> str | None:
        """A name that nobody of them has."""
        taken = {one.name for one in self.members}
        return next((name for name in self.names if name not in taken), None)

    def add(self, member: Member) -> None:
        """One that was just started."""
        if self.current is None:
            self.current = member
        else:
            self.successor = member

    def take(self) -> Member | None:
        """The successor takes the place; who had it before."""
        before, self.current, self.successor = self.current, self.successor, None
        if before is not None:
            self.leaving.append(before)
        return before

    def remove(self, member: Member) -> bool:
        """One that has died; whether nobody has the place now."""
        if member is self.current:
            self.current, self.successor = self.successor, None
            self.again &= self.current is None  # it is a new one
            return self.current is None
        if member is self.successor:
            self.successor = None
        else:
            self.leaving.remove(member)
        return False


class Crew:
    """All places."""

    def __init__(self, workers: int) -> None:
        self.places = [Place(n, berths.names(n, workers)) for n in range(workers)]

    def __iter__(self) -> Iterator[Member]:
        for place in self.places:
            yield from place.members

    def seat(self, member: Member) -> None:
        """Give one that runs already its place. Who serves in it is to be replaced."""
        for place in self.places:
            if member.name in place.names:
                if member.stage is Stage.LEAVING:
                    place.leaving.append(member)
                else:
                    place.current, place.again = member, True

    def find(self, pid: int) -> tuple[Place, Member] | None:
        """The member with this process."""
        for place in self.places:
            for member in place.members:
                if member.pid == pid:
                    return place, member
        return None

    def count(self, stage: Stage) -> int:
        """How many are at this stage."""
        return sum(member.stage is stage for member in self)
