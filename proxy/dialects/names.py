"""Names of tools that a provider would refuse: others on the way out, their client's own on the way back.

Every dialect has its letters and its length. A name that fits goes out as it is; any other becomes one made of it, the
same in every request, so that prompt caches keep working, and never that of another tool of the request.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container

from proxy.dialects import ir

_FIRST = "tool_"
"""Begins a name whose own beginning is refused."""
_MARK = 8
"""Digits that tell apart names of which the same is left."""


class Rule:
    """What a tool may be called in a dialect: at the most `most` of `letters`, the first of them one of `first`."""

    __slots__ = ("_good", "_most", "_other", "_start", "dialect")

    def __init__(
        self, dialect: str, most: int, letters: str = "A-Za-z0-9_-", first: str = ""
    ) -> None:
        self.dialect = dialect
        self._most = most
        self._other = re.compile(f"[^{letters}]")
        self._start = re.compile(f"[{first or letters}]")
        self._good = re.compile(f"(?=[{first or letters}])[{letters}]{{1,{most}}}")

    def fits(self, name: str) -> bool:
        """Whether a tool may be called so."""
        return self._good.fullmatch(name) is not None

    def made(self, name: str, taken: Container[str] = ()) -> str:
        """A good name, made of one that is none; not one of those that are `taken`."""
        plain = self._other.sub("_", name)
        if not self._start.match(plain):
            plain = _FIRST + plain
        digest = hashlib.sha256(name.encode()).hexdigest()
        size = _MARK
        while (made := f"{plain[: self._most - size - 1]}_{digest[:size]}") in taken:
            size += 1
        return made


class Names:
    """What the tools of one request are called where it goes.

    A client that speaks the provider's own dialect is not corrected.
    """

    __slots__ = ("_back", "_out", "_rule")

    def __init__(self, rule: Rule, request: ir.Request) -> None:
        self._rule = None if request.origin == rule.dialect else rule
        self._out: dict[str, str] = {}
        self._back: dict[str, str] = {}
        if self._rule is None:
            return
        names = dict.fromkeys(tool.name for tool in request.tools if isinstance(tool, ir.Tool))
        taken = {name for name in names if rule.fits(name)}
        for name in names:
            if name not in taken:
                made = self._out[name] = rule.made(name, taken | self._back.keys())
                self._back[made] = name

    def out(self, name: str) -> str:
        """The provider's name of a tool; one that is offered no more has one too."""
        if self._rule is None or self._rule.fits(name):
            return name
        return self._out.get(name) or self._rule.made(name)

    def back(self, name: str) -> str:
        """The client's name of a tool that the provider calls so."""
        return self._back.get(name, name)
