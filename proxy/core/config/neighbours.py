"""The models around one that is checked: whose names it may not take, and where its fallbacks lead."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from proxy.core.config.checks import ADVISED
from proxy.core.config.names import FALLBACKS, NAMING, PLAIN_NAME, Public, is_plain, member_fault
from proxy.core.config.plain import texts
from proxy.core.config.problem import printable, sentence, suggestion
from proxy.core.config.remarks import meet

if TYPE_CHECKING:
    from proxy.core.config.schema import Config

MAX_SHOWN = 8
"""Names of a cycle that are shown."""


class Neighbours:
    """Every model of file and store but those that are left out. Nothing is worked out before it is asked for."""

    __slots__ = ("_config", "_known", "_own", "_owners", "_stored", "_without")

    def __init__(
        self,
        config: Config,
        stored: Mapping[str, Mapping[str, Any]],
        without: Collection[str],
        known: Mapping[str, str] | None = None,
        own: Collection[str] | None = None,
    ) -> None:
        """`own`: names in `known` of those that are left out; None: they are looked for."""
        self._config = config
        self._stored = stored
        self._without = frozenset(without)
        self._known = known
        self._own = own
        self._owners: dict[str, str] | None = None

    @property
    def owners(self) -> dict[str, str]:
        """Public name, alias or pattern to the model it belongs to. The file's come before the store's."""
        if self._owners is None:
            known = _owners(self._stored) if self._known is None else self._known
            owners, gone = dict(known), self._without
            # To copy it is the cheapest by far, to look at each the dearest.
            own = self._own
            if own is None:
                own = [public for public, name in known.items() if name in gone]
            for public in own:
                if owners.get(public) in gone:
                    del owners[public]
            self._owners = owners
            for name, block in self._config.models.items():
                owners[name] = name
                owners.update(dict.fromkeys(block.aliases, name))
        return self._owners

    def known(self, pattern: str) -> bool:
        """Whether a name, or a beginning followed by `*`, can mean any of them."""
        if pattern == "*" or pattern in self.owners:
            return True
        return any(meet(pattern, name) for name in self.owners)

    def problems(self, name: str, block: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """What is wrong with the aliases and fallbacks of a model: field and sentence."""
        own = dict(self.owners)
        if own.get(name) not in (None, name):
            yield "name", self._taken(name, name)
        own[name] = name
        for index, alias in texts(block.get("aliases")):
            field = f"aliases[{index}]"
            wildcard = name.endswith("*")
            if alias in own:
                yield field, self._taken(alias, name)
            elif not is_plain(alias):
                yield field, sentence(PLAIN_NAME)
            elif not alias or alias.endswith("*") != wildcard or "*" in alias[:-1]:
                kind = "a beginning followed by '*'" if wildcard else "a name without '*'"
                yield field, sentence(f"{kind}, as the model's own name", repr(printable(alias)))
            else:
                own[alias] = name
        if any(block.get(field) for field in NAMING):
            public = Public(own)
            yield from self._fallbacks(name, block, public)
            yield from self._members(name, block, public)

    def _taken(self, public: str, name: str) -> str:
        """What to say of a public name that somebody has: another model, or the one called `name` itself."""
        owner = self.owners.get(public)
        if owner is None:
            what = "its own name" if public == name else "which is listed twice"
        else:
            place = "the configuration file" if owner in self._config.models else "the store"
            of = "the model" if owner == public else "an alias of"
            what = f"{of} {printable(owner)!r} in {place}"
        found = f"{printable(public)!r}, {what}"
        return sentence("a name of its own", found, "rename or remove one")

    def _fallbacks(
        self, name: str, block: Mapping[str, Any], public: Public
    ) -> Iterator[tuple[str, str]]:
        advised = ADVISED
        dead: set[str] = set()
        for kind in FALLBACKS:
            for index, other in texts(block.get(kind)):
                field = f"{kind}[{index}]"
                target = public.reached(other)
                if target is None:
                    names = public.owners
                    advice = suggestion(other, names, "configured models") if advised else ""
                    advised = max(0, advised - 1)
                    yield field, sentence("a configured model", repr(printable(other)), advice)
                    continue
                chain = self._back(name, target, public, dead)
                if chain:
                    if len(chain) > MAX_SHOWN:
                        chain[MAX_SHOWN - 1 : -1] = ["…"]
                    shown = " -> ".join(map(printable, (name, *chain)))
                    yield (
                        field,
                        sentence("fallbacks that end", f"a cycle: {shown}", "remove one of them"),
                    )

    def _members(
        self, name: str, block: Mapping[str, Any], public: Public
    ) -> Iterator[tuple[str, str]]:
        """What is wrong with the models whose deployments it uses, and with its listing any where others list it."""
        members = list(texts(block.get("models")))

        def lists(other: str) -> bool:
            return bool(members) if other == name else bool(self._listed(other))

        for index, other in members:
            expected, advice = member_fault(other, public, lists)
            if expected:
                advice = advice or suggestion(other, public.owners, "configured models")
                yield f"models[{index}]", sentence(expected, repr(printable(other)), advice)
        if members:
            for owner in dict.fromkeys(self.owners.values()):
                if any(public.owners.get(other) == name for other in self._listed(owner)):
                    found = f"that {printable(owner)!r} lists this one"
                    yield (
                        "models",
                        sentence("a model that lists no others", found, "list theirs there"),
                    )
                    return

    def _listed(self, name: str) -> list[str]:
        """The models whose deployments a model uses."""
        block = self._config.models.get(name)
        if block is not None:
            return list(block.models)
        return [other for _, other in texts(self._stored.get(name, {}).get("models"))]

    def _back(self, name: str, target: str, public: Public, dead: set[str]) -> list[str]:
        """The chain of fallbacks from `target` to `name`; empty when none leads there.

        `dead` are models that are known not to, and grows.
        """
        came: dict[str, str] = {target: ""}
        waiting = [target]
        while waiting:
            here = waiting.pop()
            if here == name:
                chain = [here]
                while came[chain[-1]]:
                    chain.append(came[chain[-1]])
                return chain[::-1]
            if here in dead:
                continue
            for other in self._leads(here):
                following = public.reached(other)
                if following is not None and following not in came:
                    came[following] = here
                    waiting.append(following)
        dead.update(came)
        return []

    def _leads(self, name: str) -> Iterator[str]:
        block = self._config.models.get(name)
        if block is not None:
            yield from (*block.fallbacks, *block.fallbacks_context, *block.fallbacks_content)
            return
        spec = self._stored.get(name, {})
        for kind in FALLBACKS:
            for _, other in texts(spec.get(kind)):
                yield other


def _owners(models: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    owners: dict[str, str] = {}
    for name, spec in models.items():
        owners[name] = name
        owners.update((alias, name) for _, alias in texts(spec.get("aliases")))
    return owners
