"""Objects that do not come from the file, in the words of the schema: a spec of the store becomes a section.

Nothing in them refers to this machine: `${…}`, `file:…` and `credential_env` mean nothing here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from pydantic import ValidationError

from proxy.core.config import explain
from proxy.core.config.presets import merged, presets
from proxy.core.config.problem import Path, Problem, dotted
from proxy.core.config.schema import Auth, Credential, Defaults, Deployment, Health, Key, Logging
from proxy.core.config.schema import Model as ModelSection
from proxy.core.config.schema import Provider as ProviderSection
from proxy.core.config.usage import Limits, Prices, Teams

if TYPE_CHECKING:
    from proxy.core.config.fields import Section

SECTIONS: Mapping[str, type[Section]] = {
    "provider": ProviderSection,
    "credential": Credential,
    "model": ModelSection,
    "deployment": Deployment,
    "key": Key,
}
"""Kind of an object to what it is in the file."""

SETTINGS: Mapping[str, type[Section]] = {
    "defaults": Defaults,
    "health": Health,
    "auth": Auth,
    "logging": Logging,
    "limits": Limits,
    "teams": Teams,
    "prices": Prices,
}
"""Sections of the file that can be set from outside too."""

for _section in (*SECTIONS.values(), *SETTINGS.values()):
    # Now and not with the first object, when requests wait for the loop: 5 ms each.
    _section.model_rebuild()

SEALED: Mapping[str, frozenset[str]] = {
    "provider": frozenset({"headers", "query", "proxy"}),
    "credential": frozenset({"key"}),
}
"""Kind to the fields that are kept sealed."""

FILE_ONLY = frozenset({("logging", "file")})
"""Fields of settings that only the file may say: which files this machine writes is not the API's business."""

_PLACES: Mapping[str, Path] = {
    "provider": ("providers", ""),
    "credential": ("providers", "", "credentials", 0),
    "model": ("models", ""),
    "deployment": ("models", "", "deployments", 0),
    "key": ("keys", 0),
    "setting": ("",),
}


class Refusal(Struct, frozen=True):
    """One thing the schema refused."""

    field: str
    message: str
    missing: bool
    """It is not there at all."""


class Unfit(ValueError):
    """A spec that the schema refuses; the text says why, and shows no secret."""


def place(kind: str, name: str, parent: str = "") -> Path:
    """Where the object would stand in a file."""
    owner = parent if kind in ("credential", "deployment") else name
    return tuple(owner if part == "" else part for part in _PLACES[kind])


def expanded(kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with what its preset says of a provider. Never a variable of this machine."""
    fields = dict(body)
    if kind != "provider":
        return fields
    preset = fields.get("preset")
    if isinstance(preset, str) and preset in presets():
        fields = merged(presets()[preset], fields)
    fields.pop("credential_env", None)
    return fields


def validate(kind: str, name: str, fields: Mapping[str, Any]) -> Section:
    """The section of expanded fields. Raises ValidationError."""
    if kind == "setting":
        return SETTINGS[name].model_validate(fields)
    if kind == "key":
        # In the file a key says its name, and what it is; in the store the record has both.
        fields = {**fields, "name": name, "key": "-"}
    return SECTIONS[kind].model_validate(fields)


def refusals(error: ValidationError, words: Words, top: Path) -> Iterator[Refusal]:
    """What the schema refused of an object that would stand at `top`, in the words of the file."""
    details = error.errors(include_url=False)
    for detail, problem in zip(details, explain.explain(error, words, top), strict=True):
        missing = detail["type"] == "missing"
        yield Refusal(dotted(detail["loc"]) if missing else problem.path, problem.message, missing)


def section(kind: str, name: str, fields: Mapping[str, Any]) -> Section:
    """The section of a spec (with its secrets among the fields). Raises Unfit."""
    if kind == "setting" and name not in SETTINGS:
        raise Unfit(f"there is no setting of this name; there are {', '.join(SETTINGS)}")
    try:
        return validate(kind, name, expanded(kind, fields))
    except ValidationError as error:
        top = place(kind, name)
        refusal = next(refusals(error, Words(top, fields), top))
        raise Unfit(f"{refusal.field}: {refusal.message}") from None


def key(name: str, fields: Mapping[str, Any]) -> Key:
    """The section of a virtual key. Raises Unfit."""
    found = section("key", name, fields)
    assert isinstance(found, Key)
    return found


class Words:
    """Stands in for a document, for an object that was never written in a file: paths begin at the object."""

    __slots__ = ("_body", "_depth")

    def __init__(self, place: Path, body: Mapping[str, Any]) -> None:
        self._depth = len(place)
        self._body = body

    def problem(self, path: Path, message: str, *, key: bool = False) -> Problem:
        """A problem of the field at `path`, which begins at the top of a file. The object's own key is its name."""
        field = dotted(path[self._depth :])
        return Problem("", 1, 1, field or ("name" if key else ""), message)

    def position(self, path: Path, *, key: bool = False) -> tuple[int, int]:
        return 1, 1

    def written(self, path: Path) -> str | None:
        """The value as JSON has it; None when it is no text, number, true or false."""
        value: Any = self._body
        for part in path[self._depth :]:
            try:
                value = value[part]
            except (LookupError, TypeError):
                return None
        if isinstance(value, bool):
            return "true" if value else "false"
        return str(value) if isinstance(value, (str, int, float)) else None
