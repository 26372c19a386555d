"""The price list as it is kept: who sells what from which day on, in less than a hundred kilobytes.

The list that is installed takes 13 MiB once it is loaded, most of it words that nobody here asks for. So one process reads
it (`price_reading`), and the others have bytes, of which only the entries of sellers that are asked become objects.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from enum import StrEnum
from operator import contains
from typing import Final

import msgspec
from msgspec import Struct

from proxy.core.model import Price


class How(StrEnum):
    """A clause looks at a name."""

    EQUALS = "="
    STARTS = "^"
    ENDS = "$"
    CONTAINS = "*"
    REGEX = "~"
    ANY = "|"
    ALL = "&"


class Clause(Struct, frozen=True, array_like=True):
    """Which names are meant. Names are in small letters, and so is `text`, unless it is a regular expression."""

    how: How
    text: str = ""
    parts: tuple[Clause, ...] = ()
    """Of ANY and ALL."""

    def fits(self, name: str) -> bool:
        """Whether this one is."""
        return _FITS[self.how](self, name)


_FITS: Final[Mapping[How, Callable[[Clause, str], bool]]] = {
    How.EQUALS: lambda clause, name: name == clause.text,
    How.STARTS: lambda clause, name: name.startswith(clause.text),
    How.ENDS: lambda clause, name: name.endswith(clause.text),
    How.CONTAINS: lambda clause, name: contains(name, clause.text),
    How.REGEX: lambda clause, name: re.search(clause.text, name) is not None,
    How.ANY: lambda clause, name: any(part.fits(name) for part in clause.parts),
    How.ALL: lambda clause, name: all(part.fits(name) for part in clause.parts),
}


class Listed(Struct, frozen=True, array_like=True):
    """A model that somebody sells."""

    names: Clause
    prices: tuple[tuple[int, Price | None], ...]
    """From which day on (days since 1970), the first one from ever; None: by what we do not count."""
    window: int = 0
    """Tokens of a prompt and its answer; 0: the list does not say."""

    def on(self, day: int) -> Price | None:
        """What holds on a day."""
        for start, price in reversed(self.prices):
            if start <= day:
                return price
        return None


class Seller(Struct, frozen=True, array_like=True):
    """Whom the money goes to."""

    id: str
    address: str
    """Of its API: what a URL begins with, as a regular expression."""
    called: Clause | None
    """Names for it."""
    makes: Clause | None
    """Names of models that nobody else makes."""
    others: tuple[str, ...]
    """Ids of those whose models it sells too, for what they ask."""
    models: bytes
    """`encode_models`. The first that fits counts."""


class PriceList:
    """Of all sellers. Raises msgspec.DecodeError for bytes that are none."""

    def __init__(self, data: bytes) -> None:
        self.sellers = {seller.id: seller for seller in _sellers.decode(data)}
        self._models: dict[str, tuple[Listed, ...]] = {}
        """Of those who were asked."""

    def find(self, seller: Seller, model: str) -> Listed | None:
        """What a seller has under this name."""
        name = model.lower()
        return self._find(seller, name) or self._find(seller, _dashed(name))

    def _find(self, seller: Seller, name: str) -> Listed | None:
        asked = (seller.id, *seller.others)
        models = (one for id in asked if id in self.sellers for one in self._models_of(id))
        return next((one for one in models if one.names.fits(name)), None)

    def _models_of(self, id: str) -> tuple[Listed, ...]:
        found = self._models.get(id)
        if found is None:
            packed = self.sellers[id].models
            found = self._models[id] = _models.decode(zlib.decompress(packed))
        return found


def encode(sellers: Sequence[Seller]) -> bytes:
    """The bytes that a `PriceList` is made of."""
    return _encoder.encode(sellers)


def encode_models(models: Sequence[Listed]) -> bytes:
    """Those of a seller, packed."""
    return zlib.compress(_encoder.encode(models))


_encoder: Final = msgspec.msgpack.Encoder()
_sellers: Final = msgspec.msgpack.Decoder(list[Seller])
_models: Final = msgspec.msgpack.Decoder(tuple[Listed, ...])

_DATE: Final = re.compile(r"-(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")


def _dashed(name: str) -> str:
    """With `-20251211` as `-2025-12-11`: gateways in front of a seller write dates so."""

    def dashed(found: re.Match[str]) -> str:
        try:
            return f"-{date(*map(int, found.groups()))}"
        except ValueError:
            return found[0]

    return _DATE.sub(dashed, name)
