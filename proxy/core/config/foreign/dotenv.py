"""`.env` files, as python-dotenv and Compose read them.

    NAME=value            spaces around it do not count; ` #` begins a comment, `#` inside a word does not
    NAME='value'          as it is; \\' and \\\\ are the two that mean something
    NAME="value"          \\n, \\r, \\t, \\", \\\\ and \\$ mean what they do in a shell
    export NAME=value     the same
    NAME                  said, but without a value: as if it were not there

Quoted values may go over several lines. `${OTHER}` and `${OTHER:-default}` are replaced where the value is not in
single quotes: by what stands above in the file, else by this process' variable. A name that comes twice has its last
value.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from proxy.core.config.problem import ConfigError, Problem, sentence

if TYPE_CHECKING:
    from collections.abc import Mapping

_SPACE = re.compile(r"(?:[^\S\n]*(?:#[^\n]*)?\n)*[^\S\n]*")
_NAME = re.compile(r"(?:export[^\S\n]+)?([A-Za-z_][A-Za-z0-9_.-]*)[^\S\n]*")
_SINGLE = re.compile(r"'((?:[^'\\]|\\.)*)'", re.DOTALL)
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_BARE = re.compile(r"[^\n]*")
_COMMENT = re.compile(r"(?:^|\s+)#.*$")
_END = re.compile(r"[^\S\n]*(?:#[^\n]*)?(?:\n|$)")
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$", "'": "'"}
_FIRST = re.compile(r"(?:export[^\S\n]+)?[A-Za-z_][A-Za-z0-9_.-]*[^\S\n]*=")


class Entry(Struct, frozen=True):
    """One name. Line and column, counted from 1, are those of its name."""

    name: str
    value: str
    line: int
    column: int


def is_dotenv(text: str) -> bool:
    """Whether the first line that says anything is `NAME=…`, which no YAML file of ours begins with."""
    text = _normal(text)
    space = _SPACE.match(text)
    assert space is not None  # it matches nothing, too
    return _FIRST.match(text, space.end()) is not None


def parse(text: str, file: str, env: Mapping[str, str]) -> dict[str, Entry]:
    """Every name with its last value. Raises ConfigError."""
    text = _normal(text)
    found: dict[str, Entry] = {}
    at = 0
    while True:
        space = _SPACE.match(text, at)
        assert space is not None
        at = space.end()
        if at >= len(text):
            return found
        name = _NAME.match(text, at)
        if name is None:
            raise _fault(text, file, at, sentence("NAME=value, or a comment after #"))
        line, column = _position(text, at)
        at = name.end()
        if text[at : at + 1] != "=":
            at = _ended(text, file, at)
            continue
        value, at = _value(text, file, at + 1, env, found)
        found[name[1]] = Entry(name[1], value, line, column)


def _value(
    text: str, file: str, at: int, env: Mapping[str, str], known: Mapping[str, Entry]
) -> tuple[str, int]:
    """The value that begins here, and where the next line does."""
    while text[at : at + 1] in (" ", "\t"):
        at += 1
    quote = text[at : at + 1]
    if quote in ("'", '"'):
        match = (_SINGLE if quote == "'" else _DOUBLE).match(text, at)
        if match is None:
            raise _fault(text, file, at, sentence(f"a closing {quote}"))
        end = _ended(text, file, match.end())
        if quote == "'":
            return re.sub(r"\\(['\\])", r"\1", match[1]), end
        return _unescaped(match[1], env, known), end
    match = _BARE.match(text, at)
    assert match is not None
    bare = _COMMENT.sub("", match[0]).strip()
    return _expanded(bare, env, known), min(match.end() + 1, len(text))


def _unescaped(text: str, env: Mapping[str, str], known: Mapping[str, Entry]) -> str:
    """Between the escapes, references are replaced; `\\$` keeps one from being."""
    parts = re.split(r"\\(.)", text, flags=re.DOTALL)
    plain, escapes = parts[::2], parts[1::2]
    result = _expanded(plain[0], env, known)
    for escape, piece in zip(escapes, plain[1:], strict=True):
        result += _ESCAPES.get(escape, "\\" + escape) + _expanded(piece, env, known)
    return result


def _expanded(text: str, env: Mapping[str, str], known: Mapping[str, Entry]) -> str:
    def value(match: re.Match[str]) -> str:
        entry = known.get(match[1])
        found = entry.value if entry is not None else env.get(match[1], "")
        return found or match[2] or ""

    return _REFERENCE.sub(value, text) if "${" in text else text


def _ended(text: str, file: str, at: int) -> int:
    match = _END.match(text, at)
    if match is None:
        raise _fault(text, file, at, sentence("the end of the line"))
    return match.end()


def _normal(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _position(text: str, at: int) -> tuple[int, int]:
    return text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at) + 1) + 1


def _fault(text: str, file: str, at: int, message: str) -> ConfigError:
    return ConfigError([Problem(file, *_position(text, at), "", message)])
