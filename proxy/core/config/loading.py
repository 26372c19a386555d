"""From a file to a checked configuration: every problem at once, or none."""

from __future__ import annotations

import os
import re
from pathlib import Path as FilePath
from typing import TYPE_CHECKING

from msgspec import Struct
from pydantic import ValidationError

from proxy.core.config import explain, extensions
from proxy.core.config.checks import Check
from proxy.core.config.document import Document, Leaf, Scalar, compose, resolve
from proxy.core.config.fields import blank_is_none
from proxy.core.config.plain import table, texts
from proxy.core.config.presets import Block, merged, presets
from proxy.core.config.problem import ConfigError, Path, Problem, dotted, sentence, suggestion
from proxy.core.config.references import References, Unresolved, refers
from proxy.core.config.remarks import Remarks
from proxy.core.config.schema import Config
from proxy.core.config.sources import Sources
from proxy.core.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.core.config.foreign import Foreign

MASTER_KEY = "HEADRACE_MASTER_KEY"
"""The variable master keys come from where the file does not name any."""
FROM_ENVIRONMENT = "env:"
"""In place of a file: the variables of this process."""
_SOURCES = ("secrets", "sources")
_BEGINS = re.compile(r"(?:[^\S\n]*(?:(?:#|---)[^\n]*)?\n)*[A-Za-z][\w-]*:\s")
"""As ours do: a word and a colon. JSON begins otherwise, and so does a list of variables."""


class Loaded(Struct, frozen=True, eq=False):
    """A configuration that can be used, and what should be said about it."""

    config: Config
    warnings: tuple[Problem, ...]
    source: str
    document: Document
    """To say where something stands."""
    hidden: tuple[Secret, ...] = ()
    """What files and variables held that are secret by their name or by their place: never to be shown."""


def load(path: str | os.PathLike[str], env: Mapping[str, str] | None = None) -> Loaded:
    """Read and check a file, ours or one of another program's. Raises ConfigError with every problem there is.

    `env:` in place of a file: the variables of this process are another program's configuration.
    """
    env = os.environ if env is None else env
    file = FilePath(path)
    if str(path) == FROM_ENVIRONMENT:
        from proxy.core.config import foreign

        return _translated(foreign.from_environment(env), env, FilePath())
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        reason = error.strerror or "it cannot be read"
        raise ConfigError(
            [Problem(str(file), 1, 1, "", f"{reason}: name another file with --config")]
        ) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            [Problem(str(file), line, 1, "", "not UTF-8: save the file as UTF-8")]
        ) from None
    found = _foreign(text, file, env)
    if found is not None:
        return _translated(found, env, file.parent)
    return parse(text, str(file), env, file.parent)


def parse(
    text: str,
    file: str = "configuration",
    env: Mapping[str, str] | None = None,
    folder: FilePath | None = None,
) -> Loaded:
    """Check a text. Raises ConfigError. Names of files in it are relative to `folder`."""
    env = os.environ if env is None else env
    return _loaded(compose(text, file), env, folder or FilePath())


def _foreign(text: str, file: FilePath, env: Mapping[str, str]) -> Foreign | None:
    """In our words, where it is another program's. Who reads those is half a megabyte, and not imported for a plain file of ours."""
    if _BEGINS.match(text) and "model_list" not in text:
        return None
    from proxy.core.config import foreign

    return foreign.read(text, str(file), env, file.parent)


def _translated(found: Foreign, env: Mapping[str, str], folder: FilePath) -> Loaded:
    """Another program's configuration; what it says that has no place here is among the warnings."""
    if not found.serves:
        message = f"a configuration of {found.program}; 'headrace config import FILE' prints it as one of ours"
        raise ConfigError([Problem(found.file, 1, 1, "", message)])
    return _loaded(found.document(), env, folder, found.warnings)


def _loaded(
    document: Document,
    env: Mapping[str, str],
    folder: FilePath,
    warnings: tuple[Problem, ...] = (),
) -> Loaded:
    references = References(env, folder)
    # Where secrets come from has to be known before the first of them is met.
    blocks = document.part(_SOURCES, lambda _, leaf: _text(references, leaf))
    references.secret = Sources(table(blocks), env, folder).get
    reading = _Reading(document, references)
    config = reading.config()
    if config.hooks:
        hooks = extensions.problems(config.hooks, document, folder, references.hidden)
        if found := list(hooks):
            raise ConfigError(found)
    remarks = (*warnings, *Remarks(config, document, reading.unset).run())
    hidden = tuple(
        Secret(value) for value in sorted(reading.references.hidden, key=len, reverse=True)
    )
    in_order = tuple(sorted(remarks, key=lambda problem: problem.line))
    return Loaded(config, in_order, document.file, document, hidden)


class _Reading:
    """One document on its way to a Config."""

    def __init__(self, document: Document, references: References) -> None:
        self.references = references
        self.unset: dict[str, list[str]] = {}
        """Provider to the variables its credentials would have come from."""
        self._document = document
        self._problems = list(document.problems)
        self._unresolved: set[str] = set()

    def config(self) -> Config:
        data = self._document.build(self._scalar)
        data = {} if data is None else data
        if not isinstance(data, dict):
            message = sentence("a mapping with sections such as providers and models")
            raise ConfigError([*self._problems, self._document.problem((), message)])
        # `x-…` is for anchors and for other programs.
        data = {name: value for name, value in data.items() if not name.startswith("x-")}
        self._master_keys(data)
        self._merge_presets(data)
        config: Config | None = None
        found: list[Problem] = []
        try:
            config = Config.model_validate(data)
        except ValidationError as error:
            found += explain.explain(error, self._document)
        found += Check(data, self._document).run()
        # Whatever else is wrong with a value that could not be read follows from that.
        self._problems += (item for item in found if item.path not in self._unresolved)
        if config is None or self._problems:
            raise ConfigError(self._problems)
        return config

    def _scalar(self, path: Path, leaf: Leaf) -> str | int | float | bool | None:
        text = leaf.text
        if not refers(text):
            return resolve(text) if leaf.plain else text
        try:
            if "secret:" in text and path[:2] == _SOURCES:
                raise Unresolved("no reference to a secret", "one", "a source has none itself")
            value = self.references.resolve(text)
        except Unresolved as error:
            if error.variable and _is_credential(path):
                self.unset.setdefault(str(path[1]), []).append(error.variable)
                return ""
            message = sentence(error.expected, error.found, error.advice)
            self._problems.append(self._document.problem(path, message))
            self._unresolved.add(dotted(path))
            return ""
        if explain.is_secret(path):
            self.references.hide(value)
        # The schema turns text into numbers where it wants them; parameters have no schema.
        return resolve(value) if leaf.plain and _is_param(path) else value

    def _master_keys(self, data: Block) -> None:
        """Those of the variable, where the file says nothing of any."""
        block = data.setdefault("secrets", {})
        if block is None:
            block = data["secrets"] = {}
        if not isinstance(block, dict) or block.get("keys") is not None:
            return
        if blank_is_none(block.get("file")) is None:
            block["keys"] = [self.references.variable(MASTER_KEY)]

    def _merge_presets(self, data: Block) -> None:
        blocks = table(data.get("providers"))
        for name, block in blocks.items():
            if not isinstance(block, dict):
                continue
            preset = block.get("preset")
            if isinstance(preset, str) and preset in presets():
                block = blocks[name] = merged(presets()[preset], block)
            elif isinstance(preset, str):
                path: Path = ("providers", name, "preset")
                found = explain.describe(self._document, path, preset)
                message = sentence("a preset", found, suggestion(preset, presets(), "presets"))
                self._problems.append(self._document.problem(path, message))
                # That base_url is missing follows from this.
                self._unresolved.add(dotted(("providers", name)))
            if block.get("credentials") is None:
                self._credential_from_env(name, block)

    def _credential_from_env(self, provider: str, block: Block) -> None:
        names = block.get("credential_env")
        for _, variable in texts([names] if isinstance(names, str) else names):
            value = self.references.variable(variable)
            if value:
                block["credentials"] = [value]
                return
            self.unset.setdefault(provider, []).append(variable)


def _text(references: References, leaf: Leaf) -> Scalar:
    """A value of a source; what is wrong with it is said when all is read."""
    if not refers(leaf.text):
        return resolve(leaf.text) if leaf.plain else leaf.text
    try:
        return "" if "secret:" in leaf.text else references.resolve(leaf.text)
    except Unresolved:
        return ""


def _is_credential(path: Path) -> bool:
    """Whether it is the key of one: alone, in a list, or with a weight and limits beside it."""
    if path[:1] != ("providers",) or path[2:3] != ("credentials",):
        return False
    return len(path) <= 4 or path[4:] == ("key",)


def _is_param(path: Path) -> bool:
    return "param_defaults" in path or "param_overrides" in path
