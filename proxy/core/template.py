"""Values with gaps: `{name}` in a text stands for a value, and where it is the whole text the value keeps its kind.

So `"{stream}"` becomes true or false, and `"stream={stream}"` becomes text. Braces around anything but a name in
small letters are plain text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

_GAP = re.compile(r"\{([a-z_]{1,64})\}")


def gaps(template: object) -> Iterator[str]:
    """The names in a template, as often as they occur. Keys of mappings are no templates."""
    if isinstance(template, str):
        yield from _GAP.findall(template)
    elif isinstance(template, dict):
        for item in template.values():
            yield from gaps(item)
    elif isinstance(template, list):
        for item in template:
            yield from gaps(item)


def fill(template: object, values: Mapping[str, object]) -> object:
    """The template with its gaps filled; a new value, nothing of it shared with the template but texts and numbers."""
    if isinstance(template, str):
        whole = _GAP.fullmatch(template)
        return fill_text(template, values) if whole is None else values[whole[1]]
    if isinstance(template, dict):
        return {name: fill(item, values) for name, item in template.items()}
    if isinstance(template, list):
        return [fill(item, values) for item in template]
    return template


def fill_text(
    template: str, values: Mapping[str, object], encode: Callable[[str], str] = str
) -> str:
    """The same where only text will do; `encode` makes a value fit to stand there."""
    return _GAP.sub(lambda match: encode(_text(values[match[1]])), template)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
