"""Programs from whose files Headrace does not run as they stand: they are converted once, and looked through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.core.config.document import compose
from proxy.core.config.foreign import jsonc, litellm, litellm_keys, one_api, portkey
from proxy.core.config.foreign.source import said
from proxy.core.config.problem import ConfigError, Problem

if TYPE_CHECKING:
    from proxy.core.config.foreign.source import Sheet

PROGRAMS = frozenset((litellm.NAME, portkey.NAME, one_api.NAME, one_api.NEWER))


def whose(values: Any) -> str | None:
    """Of which of these programs it is, if of any."""
    channels = one_api.recognised(values)
    if channels is not None:
        return channels
    is_table = isinstance(values, dict)
    if (is_table and litellm.recognised(values)) or litellm_keys.recognised(values):
        return litellm.NAME
    return portkey.NAME if is_table and portkey.recognised(values) else None


def translate(sheet: Sheet, program: str, values: Any) -> dict[str, Any]:
    """The same in our words. Raises ConfigError for what is none of that program's."""
    found = whose(values)
    if program in (one_api.NAME, one_api.NEWER):
        # Which of the two, only people know: the files look alike.
        if found in (one_api.NAME, one_api.NEWER):
            return one_api.translate(sheet, values, program)
    elif found == program:
        if program == portkey.NAME:
            return portkey.translate(sheet, values)
        if litellm_keys.recognised(values):
            return litellm_keys.translate(sheet, values)
        return litellm.translate(sheet, values)
    raise ConfigError([Problem(sheet.file, 1, 1, "", f"expected a configuration of {program}")])


def values_of(content: str, file: str) -> Any:
    """YAML or JSON as what is said in it. Raises ConfigError."""
    document = jsonc.parse(content, file) if jsonc.is_json(content) else compose(content, file)
    if document.problems:
        raise ConfigError(document.problems)
    return said(document)
