"""Whose a configuration is, by what is in it, and the same in our words."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from proxy.core.config.foreign import (
    ai_api_gateway,
    airouter,
    converting,
    dotenv,
    jsonc,
    litellm,
    llm_orchestrator,
    one_api,
    orchestration_api,
    orina2api,
    portkey,
)
from proxy.core.config.foreign.source import (
    ENVIRONMENT,
    Origin,
    Said,
    Sheet,
    leaves,
    said,
    variables,
)
from proxy.core.config.foreign.tree import Translated, places, pruned, text
from proxy.core.config.loading import FROM_ENVIRONMENT as FROM_ENVIRONMENT
from proxy.core.config.problem import ConfigError, Problem, sentence
from proxy.core.config.references import is_whole

FILES = (
    "appsettings.json",
    "config/appsettings.Production.json",
    "config/provider.json",
    "provider.json",
    ".env",
)
"""Where those programs have their configuration, seen from the folder they start in."""

WORDS = {
    "orchestration-api": orchestration_api.NAME,
    "llm-orchestrator": llm_orchestrator.NAME,
    "airouter": airouter.NAME,
    "ai-api-gateway": ai_api_gateway.NAME,
    "orina2api": orina2api.NAME,
    "litellm": litellm.NAME,
    "portkey": portkey.NAME,
    "one-api": one_api.NAME,
    "new-api": one_api.NEWER,
}
"""What each program is called on the command line."""

_OF_VARIABLES: dict[str, Any] = {
    module.NAME: module for module in (orina2api, llm_orchestrator, airouter)
}
_ANYBODYS = frozenset(
    ("APP_ENV", "APP_HOST", "APP_PORT", "LOG_FILE", "MAX_RETRIES", "REDIS_URL", "RETRY_DELAY")
)
"""Variables of these programs that others have, too: a container with REDIS_URL is no LLM Orchestrator."""
_LOOKS = re.compile(
    r'"OrchestrationApi"\s*:|"_global"\s*:|"providers"\s*:\s*\[|"targets"\s*:\s*\[', re.IGNORECASE
)
_MODEL_LIST = re.compile(r"^model_list\s*:", re.MULTILINE)
_EXPECTED = "expected variables of OrchestrationApi, LLM Orchestrator, AiRouter or orina2api"


class Foreign(Struct, frozen=True, eq=False):
    """A configuration of another program in our words."""

    program: str
    file: str
    tree: dict[str, Any]
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]

    @property
    def serves(self) -> bool:
        """Whether Headrace runs from it as it stands."""
        return self.program not in converting.PROGRAMS

    def document(self) -> Translated:
        """As a document that can be checked; what is wrong with it says so there."""
        return Translated(self.file, self.tree, list(self.problems))

    def yaml(self) -> str:
        """As text that amounts to the same."""
        head = [
            f"Headrace configuration, made of {self.file} ({self.program}).",
            "What it holds of secrets is as it was: keep it as you keep that.",
        ]
        if self.warnings:
            head += ["Without:", *places(self.warnings)]
        return text(self.tree, head, self.file)


def read(
    content: str, file: str, env: Mapping[str, str], folder: Path | None = None
) -> Foreign | None:
    """A text in our words; None where it is not one of another program's. Raises ConfigError."""
    if jsonc.is_json(content):
        return _from_json(content, file, env, folder)
    if dotenv.is_dotenv(content):
        return _from_dotenv(content, file, env)
    if _MODEL_LIST.search(content):
        return _converted(litellm.NAME, converting.values_of(content, file), file)
    return None


def read_as(
    program: str, content: str, file: str, env: Mapping[str, str], folder: Path | None = None
) -> Foreign:
    """The same, of a program that somebody named, by its word. Raises ConfigError."""
    name = WORDS[program]
    if name in converting.PROGRAMS:
        return _converted(name, converting.values_of(content, file), file)
    found = None
    if dotenv.is_dotenv(content):
        found = _from_dotenv(content, file, env, name)
    elif jsonc.is_json(content):
        found = _from_json(content, file, env, folder)
    if found is None or found.program != name:
        raise ConfigError([Problem(file, 1, 1, "", f"expected a configuration of {name}")])
    return found


def from_environment(env: Mapping[str, str]) -> Foreign:
    """What the variables of this process say. Raises ConfigError where that is nothing."""
    program = _whose(env.keys())
    if program is None:
        raise ConfigError([Problem(ENVIRONMENT, 1, 1, "", f"{_EXPECTED}, found none")])
    return _from_variables(program, Sheet(ENVIRONMENT), {}, env)


def is_in(env: Mapping[str, str]) -> bool:
    """Whether the variables of this process are a configuration. Those of any program (DEBUG, keys) do not count."""
    program = _whose(env.keys() - _ANYBODYS)
    return program is not None and program != airouter.NAME


def _from_json(
    content: str, file: str, env: Mapping[str, str], folder: Path | None
) -> Foreign | None:
    try:
        values = said(jsonc.parse(content, file))
    except ConfigError:
        # One of ours may be written in braces, too, and has its own reader.
        if _LOOKS.search(content) is None:
            return None
        raise
    sheet = Sheet(file)
    if isinstance(values, dict) and orchestration_api.recognised(values, file):
        whole = orchestration_api.whole(values, file, folder, env)
        tree = orchestration_api.translate(sheet, whole, env)
        return _foreign(orchestration_api.NAME, sheet, tree)
    if isinstance(values, dict) and ai_api_gateway.recognised(values):
        given = variables(env.items(), ai_api_gateway.VARIABLES)
        tree = ai_api_gateway.translate(sheet, values, given)
        return _foreign(ai_api_gateway.NAME, sheet, tree)
    other = converting.whose(values)
    return None if other is None else _converted(other, values, file)


def _converted(program: str, values: Any, file: str) -> Foreign:
    sheet = Sheet(file)
    return _foreign(program, sheet, converting.translate(sheet, program, values))


def _from_dotenv(
    content: str, file: str, env: Mapping[str, str], program: str | None = None
) -> Foreign:
    entries = dotenv.parse(content, file, env)
    # One program's file may stand in the environment of another: what is in the file says whose it is.
    program = program or _whose(entries.keys())
    if program is None:
        raise ConfigError([Problem(file, 1, 1, "", f"{_EXPECTED}, found others")])
    values = {
        entry.name: Said(entry.value, Origin(file, entry.line, entry.column, entry.name))
        for entry in entries.values()
    }
    return _from_variables(program, Sheet(file), values, env)


def _from_variables(
    program: str, sheet: Sheet, values: dict[str, Any], env: Mapping[str, str]
) -> Foreign:
    """Those of a file, with the process' own over them."""
    if program == orchestration_api.NAME:
        both = {**{name: str(one.value) for name, one in values.items()}, **env}
        whole = orchestration_api.whole({}, sheet.file, None, both)
        return _foreign(program, sheet, orchestration_api.translate(sheet, whole, both))
    if program not in _OF_VARIABLES:
        raise ConfigError([Problem(sheet.file, 1, 1, "", f"expected a configuration of {program}")])
    module = _OF_VARIABLES[program]
    known = airouter.variables() if module is airouter else module.VARIABLES
    merged = {**values, **variables(env.items(), known)}
    return _foreign(program, sheet, module.translate(sheet, merged))


def _whose(names: Collection[str]) -> str | None:
    """The program most of whose variables are there."""
    start = f"{orchestration_api.NAME.casefold()}__"
    if any(name.casefold().startswith(start) for name in names):
        return orchestration_api.NAME
    marks = {
        orina2api.NAME: orina2api.MARKS,
        llm_orchestrator.NAME: llm_orchestrator.MARKS,
        airouter.NAME: airouter.MARKS | airouter.keys().keys(),
    }
    found = {program: len(marks[program].intersection(names)) for program in marks}
    most = max(found, key=lambda program: found[program])
    return most if found[most] else None


def _foreign(program: str, sheet: Sheet, tree: dict[str, Any]) -> Foreign:
    texts = (leaf for leaf in leaves(tree) if isinstance(leaf.value, str))
    # There it is text, and it cannot be written as such here: a file of this machine would be sent away.
    for origin in dict.fromkeys(leaf.origin for leaf in texts if is_whole(leaf.value)):
        expected = "text that does not begin with file: or secret:"
        sheet.error(origin, sentence(expected, "one that does", "these are references here"))
    return Foreign(program, sheet.file, pruned(tree), tuple(sheet.problems), tuple(sheet.warnings))
