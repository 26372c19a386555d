"""Marks of the prompt cache, kept within what the API takes.

At most four of them, and none of an hour after one of five minutes, in the order of the prompt: tools, system,
messages. Of too many the last count: what they cover holds all that is before.
"""

from __future__ import annotations

from collections.abc import Iterator

from proxy.dialects.ir import Json
from proxy.dialects.loss import Loss

_MOST = 4
_KEY = "cache_control"


def limit_marks(body: Json, loss: Loss) -> None:
    """Take away what is too much, in place."""
    marked = [
        holder for name in ("tools", "system", "messages") for holder in _holders(body.get(name))
    ]
    for holder in marked[:-_MOST]:
        del holder[_KEY]
        loss.drop("cache")
    short = False
    for holder in marked[-_MOST:]:
        if holder[_KEY].get("ttl") != "1h":
            short = True
        elif short:
            holder[_KEY] = {"type": "ephemeral"}
            loss.drop("cache.ttl")


def _holders(value: object) -> Iterator[Json]:
    """Whatever carries a mark, what is inside of a block before the block."""
    if not isinstance(value, list):
        return
    for item in value:
        if isinstance(item, dict):
            yield from _holders(item.get("content"))
            if item.get(_KEY):
                yield item
