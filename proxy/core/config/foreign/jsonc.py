"""JSON as .NET's configuration takes it: with comments and commas before a closing bracket; and as others do, without.

Read as YAML, of which it is a part, so that every value has its line.
"""

from __future__ import annotations

import re

from proxy.core.config.document import Document, compose
from proxy.core.config.problem import ConfigError

_BETWEEN = r"(?>\s+|//[^\n]*|/\*.*?\*/)*+"
"""Spaces and comments, in one way only: the ways to take a row of comments or slashes apart double with each."""
_TOKEN = re.compile(rf'"(?:[^"\\\n]|\\.)*"|//[^\n]*|/\*.*?\*/|,(?={_BETWEEN}[}}\]])', re.DOTALL)
_JSON = re.compile(rf"\ufeff?{_BETWEEN}[{{\[]", re.DOTALL)
_PAIR = re.compile(
    r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})"
)

_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""JSON takes these as they are; in YAML they are not allowed, or end a line."""


def is_json(text: str) -> bool:
    """Whether it begins as an object or a list does, comments aside."""
    return _JSON.match(text) is not None


def parse(text: str, file: str) -> Document:
    """The document. Raises ConfigError."""
    document = compose(_TOKEN.sub(_plain, text.replace("\t", " ")), file)
    if document.problems:
        raise ConfigError(document.problems)
    return document


def _plain(match: re.Match[str]) -> str:
    """A string with characters beyond the first plane as YAML writes them; blanks for a comment, lines kept."""
    token = match[0]
    if token.startswith('"'):
        token = _PAIR.sub(_character, token) if "\\u" in token else token
        return _ESCAPED.sub(lambda found: f"\\U{ord(found[0]):08x}", token)
    return re.sub(r"[^\n]", " ", token)


def _character(match: re.Match[str]) -> str:
    high, low = int(match[2], 16), int(match[3], 16)
    return f"{match[1]}\\U{0x10000 + (high - 0xD800) * 0x400 + low - 0xDC00:08x}"
