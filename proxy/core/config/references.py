"""References in configuration text: `${NAME}`, `${NAME:-default}`, `${file:PATH}`, `${secret:SOURCE/KEY}`, and
`file:PATH` and `secret:SOURCE/KEY` as a whole value.

`:-` gives its default for a variable that is unset or empty, as a shell does, and may hold references itself. `$${`
is a literal `${`. What a variable holds is never read for references again.
"""

from __future__ import annotations

import re
from stat import S_ISREG
from typing import TYPE_CHECKING

from proxy.core.config.problem import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

MAX_FILE = 64 * 1024
_MAX_NESTING = 8

_REFERENCE = re.compile(
    r"\$\{(?:file:(?P<file>[^${}]+)\}|secret:(?P<secret>[^\s${}]+)\}|"
    r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<end>\}|:-))"
)
NAMED_SECRET = re.compile(r"secret:([A-Za-z0-9_-]+/[^\s${}]+)")
SECRET_NAME = re.compile(
    r"key|token|secret|passw|passphrase|credential|auth|pwd|dsn|cookie", re.IGNORECASE
)


class Unresolved(Exception):
    """A reference that leads nowhere. `variable` is the unset variable, when it is one; no value is in here."""

    def __init__(self, expected: str, found: str, advice: str = "", variable: str = "") -> None:
        super().__init__(expected)
        self.expected = expected
        self.found = found
        self.advice = advice
        self.variable = variable


def refers(text: str) -> bool:
    """Whether a text may hold a reference."""
    return "$" in text or text.startswith(("file:", "secret:"))


def is_whole(text: str) -> bool:
    """Whether it is a reference as a whole, `file:PATH` or `secret:SOURCE/KEY`."""
    is_file = text.startswith("file:") and not text.startswith("file://")
    return is_file or NAMED_SECRET.fullmatch(text) is not None


class References:
    """Resolves references against one environment and one folder, and remembers what must not be shown."""

    __slots__ = ("_env", "_folder", "hidden", "secret")

    def __init__(self, env: Mapping[str, str], folder: Path) -> None:
        self._env = env
        self._folder = folder
        self.secret: Callable[[str], str] = _no_source
        """From `SOURCE/KEY` to the secret; raises Unresolved."""
        self.hidden: set[str] = set()
        """Contents of files, and of variables whose name sounds like a secret."""

    def resolve(self, text: str) -> str:
        """The text with every reference replaced. Raises Unresolved."""
        if text.startswith("file:") and not text.startswith("file://"):
            return self._read(self._expand(text[5:], 0), text[5:])
        if (found := NAMED_SECRET.fullmatch(text)) is not None:
            return self._secret(found[1])
        return self._expand(text, 0) if "$" in text else text

    def variable(self, name: str) -> str:
        """The value of a variable that holds a secret; "" when it is not set."""
        value = self._env.get(name, "")
        self.hide(value)
        return value

    def hide(self, value: str) -> None:
        """Never show this."""
        if value := value.strip():
            self.hidden.add(value)

    def _expand(self, text: str, nesting: int) -> str:
        parts: list[str] = []
        position = 0
        while (dollar := text.find("${", position)) != -1:
            if dollar > position and text[dollar - 1] == "$":
                parts += (text[position : dollar - 1], "${")
                position = dollar + 2
                continue
            parts.append(text[position:dollar])
            value, position = self._reference(text, dollar, nesting)
            parts.append(value)
        parts.append(text[position:])
        return "".join(parts)

    def _reference(self, text: str, start: int, nesting: int) -> tuple[str, int]:
        """The value of the reference at `start`, and where it ends."""
        match = _REFERENCE.match(text, start)
        if match is None or nesting > _MAX_NESTING:
            raise Unresolved(
                "a reference",
                "'${' without one",
                "write ${NAME}, ${NAME:-default}, ${file:PATH}, ${secret:SOURCE/KEY}, or $${ for a literal ${",
            )
        if match["file"] is not None:
            return self._read(match["file"], match["file"]), match.end()
        if match["secret"] is not None:
            return self._secret(match["secret"]), match.end()
        name = match["name"]
        value = self._env.get(name)
        if match["end"] == "}":
            if value is None:
                raise Unresolved(
                    f"the environment variable {name} to be set",
                    "that it is not",
                    f"set it, or give a default: ${{{name}:-default}}",
                    name,
                )
            return self._known(name, value), match.end()
        end = _closing(text, match.end())
        if value:
            return self._known(name, value), end + 1
        return self._expand(text[match.end() : end], nesting + 1), end + 1

    def _known(self, name: str, value: str) -> str:
        if SECRET_NAME.search(name):
            self.hide(value)
        return value

    def _secret(self, name: str) -> str:
        value = self.secret(name)
        self.hide(value)
        return value

    def _read(self, name: str, written: str) -> str:
        text = read_text(self._folder / name, repr(printable(written, 200)))
        self.hide(text)
        return text


def _no_source(name: str) -> str:
    raise Unresolved("no reference to a secret here", repr(printable(f"secret:{name}")))


def read_text(path: Path, shown: str) -> str:
    """A file's text without the line end editors leave. Bounded, and never a device or a pipe. Raises Unresolved."""
    try:
        if not S_ISREG(path.stat().st_mode):
            raise Unresolved("a regular file", shown, "name a file")
        with path.open("rb") as file:
            raw = file.read(MAX_FILE + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a file name"
        raise Unresolved(
            "a readable file", f"{shown} ({reason})", "mount it or change the name"
        ) from None
    if len(raw) > MAX_FILE:
        raise Unresolved(
            f"a file of at most {MAX_FILE} bytes",
            f"{shown}, which is larger",
            "name another file",
        )
    text = decoded(raw, shown)
    if not text:
        raise Unresolved(
            "a file with a value", f"{shown}, which is empty", "write the value into it"
        )
    return text


def decoded(raw: bytes, shown: str) -> str:
    """UTF-8 without white space around it. Raises Unresolved."""
    try:
        return raw.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise Unresolved("text", f"{shown}, which is not UTF-8", "name another") from None


def _closing(text: str, start: int) -> int:
    """Where the default that begins at `start` ends: the first `}` that no inner `${` claims."""
    depth = 0
    for match in re.finditer(r"\$\{|\}", text[start:]):
        if match[0] != "}":
            depth += 1
        elif depth == 0:
            return start + match.start()
        else:
            depth -= 1
    raise Unresolved("a reference", "'${' without its '}'", "write ${NAME:-default}")
