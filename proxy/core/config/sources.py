"""Where `secret:SOURCE/KEY` comes from: a command, a folder of files, or a function in Python.

    secrets:
      sources:
        vault: {command: [vault, kv, get, "-field={key}", secret/headrace], timeout: 10s}
        cloud: {command: [fetch-all-secrets]}         # no {key}: it prints a JSON object of all of them
        mounted: {folder: /run/secrets}
        own: {python: "company.secrets:read"}         # or the name of an entry point of `headrace.secrets`

Each is asked once for a key while one file is read, and anew when it is read again. What a command says on its standard
error, and what a function says in an exception, is not repeated: it may hold what must not be shown.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

import orjson

from proxy.core.config.plain import Table, table
from proxy.core.config.problem import Fault, printable, suggestion
from proxy.core.config.references import MAX_FILE, Unresolved, decoded, read_text
from proxy.core.config.values import Unfit, limit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

KINDS = ("command", "folder", "python")
GROUP = "headrace.secrets"
"""Entry points of installed packages that are functions from a key to its secret."""
KEY = "{key}"
"""In the words of a command: the key that is asked for."""
TIMEOUT = 10.0
"""Seconds for a command."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Sources:
    """Asks for secrets while one file is read, for each once. `blocks` is `secrets.sources` as plain data."""

    __slots__ = ("_blocks", "_env", "_folder", "_known", "_printed")

    def __init__(self, blocks: Mapping[str, Any], env: Mapping[str, str], folder: Path) -> None:
        """Names of folders are relative to `folder`, and commands run in it, with the variables of `env`."""
        self._blocks = blocks
        self._env = env
        self._folder = folder
        self._known: dict[str, str | Unresolved] = {}
        self._printed: dict[str, bytes | Unresolved] = {}
        """What commands said that are not asked for one key."""

    def get(self, name: str) -> str:
        """The secret of `SOURCE/KEY`. Raises Unresolved."""
        found = self._known.get(name)
        if found is None:
            try:
                found = self._ask(name)
            except Unresolved as error:
                found = error  # who does not answer is waited for once, not for each of its keys
            self._known[name] = found
        if isinstance(found, Unresolved):
            raise found
        return found

    def _ask(self, name: str) -> str:
        source, _, key = name.partition("/")
        if source not in self._blocks:
            advice = suggestion(source, self._blocks, "under secrets.sources")
            raise Unresolved("a source of secrets", repr(printable(source)), advice)
        block = table(self._blocks[source])
        kind = next((kind for kind in KINDS if block.get(kind)), "")
        if not key or not kind:
            raise Unresolved(
                "a source and a key", repr(printable(f"secret:{name}")), "write secret:SOURCE/KEY"
            )
        value = _ASK[kind](self, source, key, block).strip()
        if not value:
            raise Unresolved("a secret", f"that {_shown(source, key)} is empty", "store one there")
        return value

    def _command(self, source: str, key: str, block: Table) -> str:
        words = block["command"]
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise Unresolved("a command", "something else", "write it as a list of words")
        if any(KEY in word for word in words):
            words = [word.replace(KEY, key) for word in words]
            return decoded(self._run(source, words, block), _shown(source, key))
        printed = self._printed.get(source)
        if printed is None:
            try:
                printed = self._run(source, words, block)
            except Unresolved as error:
                printed = error
            self._printed[source] = printed
        if isinstance(printed, Unresolved):
            raise printed
        return _member(printed, source, key)

    def _run(self, source: str, words: list[str], block: Table) -> bytes:
        """What a command prints. It has no standard input, and is killed with all it started when its time is over."""
        what = f"the command of {printable(source)!r}"
        try:
            seconds = limit(block.get("timeout") or TIMEOUT)
        except Unfit:
            seconds = TIMEOUT  # said already, by the schema
        try:
            with subprocess.Popen(  # noqa: S603 - the operator's own command, as a list of words
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=self._folder,
                env=dict(self._env),
                start_new_session=True,
            ) as process:
                try:
                    printed, _ = process.communicate(timeout=seconds)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    raise Unresolved(
                        f"{what} to end within {seconds:g} s", "that it did not", "set its timeout"
                    ) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it cannot be run"
            raise Unresolved(f"{what} to run", reason, "name a program that is there") from None
        if process.returncode:
            raise Unresolved(
                f"{what} to succeed", f"exit code {process.returncode}", "run it by hand"
            )
        if len(printed) > MAX_FILE:
            raise Unresolved(f"at most {MAX_FILE} bytes from {what}", "more")
        return printed

    def _file(self, source: str, key: str, block: Table) -> str:
        folder = self._folder / str(block["folder"])
        path = folder / key
        # Kubernetes swaps a link inside the folder: what counts is where it leads in the end.
        if "\0" in key or not os.path.realpath(path).startswith(os.path.realpath(folder) + os.sep):
            raise Unresolved("a file in that folder", _shown(source, key), "name one")
        return read_text(path, _shown(source, key))

    def _function(self, source: str, key: str, block: Table) -> str:
        named = str(block["python"])
        what = f"the function {printable(named)!r}"
        try:
            found = _function(named)(key)
        except LookupError:
            raise Unresolved("a key it knows", _shown(source, key)) from None
        except Exception as error:
            raise Unresolved(f"{what} to give a secret", type(error).__name__) from None
        if not isinstance(found, str):
            raise Unresolved(f"{what} to give text", type(found).__name__)
        return found


_ASK: Mapping[str, Callable[[Sources, str, str, Table], str]] = {
    "command": Sources._command,
    "folder": Sources._file,
    "python": Sources._function,
}


def _function(named: str) -> Callable[[str], object]:
    """`module:attribute`, or an entry point. Raises ValueError, or whatever importing it does."""
    module, colon, attribute = named.partition(":")
    if colon:
        found: Any = import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    else:
        points = list(entry_points(group=GROUP, name=named))
        if not points:
            raise ValueError("no such entry point")
        found = points[0].load()
    if not callable(found):
        raise TypeError("not a function")
    called: Callable[[str], object] = found
    return called


def _member(printed: bytes, source: str, key: str) -> str:
    try:
        members = orjson.loads(printed)
    except ValueError:
        members = None
    if not isinstance(members, dict):
        raise Unresolved(
            f"a JSON object from the command of {printable(source)!r}",
            "something else",
            f"or write {KEY} among its words, to ask for one",
        )
    value = members.get(key)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Unresolved("a key it knows", _shown(source, key))
    return str(value)


def _shown(source: str, key: str) -> str:
    return repr(printable(f"secret:{source}/{key}", 200))


def faults(blocks: Mapping[str, Any]) -> Iterator[Fault]:
    """What is wrong with `secrets.sources` beyond the kinds of its values."""
    for name, block in blocks.items():
        if not _NAME.fullmatch(name):
            yield Fault((name,), "a name of letters, digits, - and _", "another", key=True)
        given = [kind for kind in KINDS if table(block).get(kind)]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            yield Fault((name,), f"one of {', '.join(KINDS)}", found, key=True)
