"""One object of the admin API, checked as the configuration file is: same fields, same words, same errors.

Imports pydantic: only the control plane uses it, never a module that the data path imports.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from proxy.core.config.schema import Config


class Wrong(Struct, frozen=True):
    """One thing wrong: where in the body (`timeouts.ttft`, `headers.host`), and a sentence."""

    field: str
    message: str


class Around(Struct, frozen=True, eq=False):
    """What is there already, as an object is checked: names only where names are enough."""

    config: Config
    """The file's."""
    providers: frozenset[str] | Mapping[str, Any]
    """Names in the store."""
    models: Mapping[str, Mapping[str, Any]]
    """Name in the store to its spec (aliases and fallbacks matter)."""
    keys: frozenset[str] | Mapping[str, Any]
    """Names of virtual keys in the store."""


class Checked(Struct, frozen=True, eq=False):
    """What is stored: the fields as given (validated, unknown ones refused, presets by name), secrets apart."""

    spec: dict[str, Any]
    secrets: dict[str, Any]
    """`key` of a credential; `headers`, `query`, `proxy` of a provider: sealed by the caller."""
    wrong: tuple[Wrong, ...] = ()


def check_object(
    kind: str, name: str, body: Mapping[str, Any], around: Around, *, parent: str = ""
) -> Checked:
    """A provider, credential, model, deployment, key or setting called `name` (before it is written).

    `parent` is the provider's or the model's name. References `${…}`, `file:` and `credential_env` are not allowed
    from outside: the API must not read this machine's files and variables.
    """
    raise NotImplementedError
