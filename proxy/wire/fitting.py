"""A body made to fit a provider that takes some fields otherwise than its dialect has them (`model.Fit`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from proxy.core.model import Fit
    from proxy.wire.envelope import Envelope


def fit(edited: Envelope, how: Fit) -> None:
    """Rename, leave out, clamp, put in: in this order, so what is clamped has the provider's name.

    Where both names of a field are there, the provider's own stays. What is no number is not clamped: whoever sent it is
    told by the provider.
    """
    for name, theirs in how.rename.items():
        value = edited.raw(name)
        if value is not None:
            edited.drop(name)
            if theirs not in edited:
                edited.set(theirs, value)
    for name in how.drop:
        edited.drop(name)
    for name, (least, most) in how.clamp.items():
        value = edited.raw(name)
        number = None if value is None else _decoded(value)
        if isinstance(number, int | float) and not isinstance(number, bool):
            bound = min(max(number, least), most)
            if bound != number:
                edited.set(name, orjson.dumps(int(bound) if bound == int(bound) else bound))
    edited.merge_overrides(how.set)


def _decoded(value: bytes) -> object:
    """None for what the envelope lets pass and nobody can hold: a number beyond any double."""
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return None
