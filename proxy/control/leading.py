"""Whether this host is the one of all that looks at what nobody uses, and what it tells the others of it.

Health is each host's own affair: what is in trouble here is checked from here, since the way to a provider may be broken
for one host alone. But a deployment that no client asks anywhere would be asked by every host, for nothing; some answer
with tokens that are paid for. The leader does that, and tells what came of it:

    it answers, or nothing can be concluded   the others let it be, as if they had asked
    it does not                               they look for themselves, at once

So a leader whose own network is broken costs the others some checks, and takes nothing out for them. Nor does anything
depend on there being one: who is told nothing for STAND_IN times as long looks by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import msgspec

from proxy.core.log import logger
from proxy.core.tasks import spawn

if TYPE_CHECKING:
    from proxy.state.live import DeploymentState
    from proxy.store.base import Store

STAND_IN: Final = 3.0
MOST: Final = 200
"""Deployments in one word: PostgreSQL takes 8000 bytes."""


class Word(msgspec.Struct, frozen=True, array_like=True):
    """What the leader tells: digests of deployments, and whether they have to be looked at."""

    digests: tuple[str, ...]
    doubt: bool


_read: Final = msgspec.json.Decoder(Word)


def digest(state: DeploymentState) -> str:
    """What it means on every host: the same name may mean another provider in another file."""
    words = "\0".join((state.id, *state.meaning))
    return blake2b(words.encode(), digest_size=12).hexdigest()


class Leading:
    """Of the worker that does for its host what one worker does. Without a `store` that hosts share, it leads."""

    def __init__(self, store: Store | None = None) -> None:
        self.hear: Callable[[Word], None] = lambda _word: None
        """Called with what the leader tells, where that is another host."""
        self._contest = None if store is None else store.contend()
        if self._contest is not None:
            self._contest.hear = self._heard

    @property
    def leads(self) -> bool:
        """Now: it may be another's task in the next moment."""
        return self._contest is None or self._contest.leads

    def begin(self) -> None:
        """This worker stands for its host from now on. May be called again."""
        if self._contest is not None:
            self._contest.begin()

    async def close(self) -> None:
        """Another may."""
        if self._contest is not None:
            await self._contest.close()

    def tell(self, states: Iterable[DeploymentState], *, doubt: bool) -> None:
        """Tell the other hosts of these, if this one leads; nobody waits for it."""
        if self._contest is None or not self._contest.leads:
            return
        digests = tuple(map(digest, states))
        for begin in range(0, len(digests), MOST):
            text = msgspec.json.encode(Word(digests[begin : begin + MOST], doubt)).decode()
            spawn(self._say(text), name="tell hosts")

    async def _say(self, text: str) -> None:
        from proxy.store.base import StoreDown

        assert self._contest is not None
        try:
            await self._contest.tell(text)
        except StoreDown:
            pass  # they look for themselves, later

    def _heard(self, text: str) -> None:
        if self.leads:
            return  # its own
        try:
            word = _read.decode(text)
        except msgspec.DecodeError:
            logger.warning("a host of another version told what is not understood here")
            return
        self.hear(word)
