"""Secrets on their way from one store to another: sealed texts in an export, and what stands where one is left out.

    headrace:v1.<kid>.<nonce>.<ciphertext>     opens where a master key of the installation that wrote it is
    ${HEADRACE_…}                              to be filled in, or to be left as it is where there is one already

Who may import may not read keys. So what is sealed of a provider opens only for the host it was sealed for: otherwise
a document with another base URL would have them delivered.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeGuard

import orjson
from msgspec import Struct

from proxy.control.admin import sealing
from proxy.core.redact import MASK
from proxy.core.vault import Unopened

if TYPE_CHECKING:
    from proxy.core.vault import Vault

PREFIX = "headrace:"
_REFERENCE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
_ADDRESSED = ("preset", "base_url", "verify_tls")
"""What says where a provider's secrets go."""


class Bound(Struct, frozen=True):
    """What a provider's secrets are sealed together with."""

    place: Mapping[str, Any]
    proxy: str = ""

    @classmethod
    def of(cls, block: Mapping[str, Any], proxy: object) -> Bound:
        """Of a provider with these fields, on the way through this proxy."""
        place = {name: block[name] for name in _ADDRESSED if name in block}
        return cls(place, proxy if isinstance(proxy, str) else "")


def seal(vault: Vault, purpose: str, content: Any, bound: Bound | None = None) -> str:
    """A text that `unseal` opens, for the same purpose alone: `credential`, `provider`, `key`."""
    said = {"content": content, "place": None if bound is None else dict(bound.place)}
    if bound is not None:
        said["proxy"] = bound.proxy
    return PREFIX + vault.seal(orjson.dumps(said), f"export/{purpose}")


def unseal(vault: Vault | None, purpose: str, text: str, bound: Bound | None = None) -> Any:
    """What was sealed. Raises Unopened, with a sentence for whoever imports."""
    if vault is None:
        raise Unopened("there is no master key here to open it with")
    said = orjson.loads(vault.open(text.removeprefix(PREFIX), f"export/{purpose}"))
    if bound is not None:
        if sealing.is_sent_elsewhere(said["place"] or {}, bound.place):
            raise Unopened("it was sealed for another host")
        if bound.proxy not in ("", said["proxy"]) and not sealing.is_private(bound.place):
            raise Unopened("it was sealed without this proxy, which would read it")
    return said["content"]


def is_sealed(value: object) -> TypeGuard[str]:
    """Whether it is a secret of an export that was sealed."""
    return isinstance(value, str) and value.startswith(PREFIX)


def is_left_out(value: object) -> bool:
    """Whether it stands for a secret that the document does not have."""
    return value is None or (
        isinstance(value, str) and (value == MASK or _REFERENCE.fullmatch(value) is not None)
    )


class Variables:
    """Names for what is left out, each once: `HEADRACE_OPENAI_KEY_1`."""

    __slots__ = ("_taken",)

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def reference(self, *words: str) -> str:
        """`${…}` with a name made of these words."""
        plain = "_".join(
            re.sub(r"[^A-Z0-9]+", "_", word.upper()).strip("_") or "X" for word in words
        )
        name, number = f"HEADRACE_{plain}", 1
        while name in self._taken:
            number += 1
            name = f"HEADRACE_{plain}_{number}"
        self._taken.add(name)
        return f"${{{name}}}"
