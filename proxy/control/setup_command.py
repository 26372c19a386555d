"""`headrace setup`: a configuration made of some questions, and the secrets beside it in files of their owner's.

Answers come from the terminal, or line by line from what is piped in; what is secret is not shown while it is typed. An empty
answer is what stands in brackets. Gives the exit code: 0, 1 for what cannot be written, 2 for what cannot be used.
"""

from __future__ import annotations

import getpass
import os
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import yaml

from proxy.core.config import ConfigError, load
from proxy.core.config.presets import Block, presets
from proxy.core.config.problem import suggestion
from proxy.core.virtual_key import mint

FOLDER = "secrets"
SOURCE = "here"
"""The name of that folder among the sources of secrets."""
_LIST = re.compile(r"[\s,]+")
_PLACEHOLDER = re.compile(r"://[^/]*[A-Z]{4}|[A-Z]{6}")
_TRIES = 3

Ask = Callable[[str, str], str]
"""From a question and what an empty answer means to the answer."""


def run(path: Path, *, force: bool = False) -> int:
    """Ask, write `path` and a folder beside it, and check what was written."""
    if path.exists() and not force:
        return _fail(
            f"{path} is there already: name another with --config, or replace it with --force"
        )
    try:
        made, secrets = answers(_ask, _ask_hidden)
    except (EOFError, ValueError) as error:
        return _fail(str(error) or "there are no more answers")
    there = [
        path.parent / FOLDER / name for name in secrets if (path.parent / FOLDER / name).exists()
    ]
    if there and not force:
        # They may be those of another file beside this one, whose clients would be refused from then on.
        listed = ", ".join(map(str, there))
        return _fail(
            f"{listed}: there already: name a file in another folder with --config, or replace them with --force"
        )
    try:
        write(path, made, secrets)
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}", 1)
    try:
        loaded = load(path)
    except ConfigError as error:
        return _fail(f"{path} was written, and cannot be used yet\n{error}")
    for warning in loaded.warnings:
        _say(f"warning: {warning}")
    _say(f"\nwrote {path}, and {len(secrets)} secrets in {path.parent / FOLDER}. Next:\n")
    _say(f"  headrace serve --config {path}")
    return 0


def answers(ask: Ask, ask_hidden: Ask) -> tuple[Block, dict[str, str]]:
    """What the file is to say, and the secrets by their names. Raises ValueError, EOFError."""
    secrets: dict[str, str] = {}
    vendors = _vendors(ask)
    providers = {name: _provider(name, ask, ask_hidden, secrets) for name in vendors}
    models = _models(vendors, ask)
    host = ask("Listen on (0.0.0.0 for all addresses)", "127.0.0.1")
    port = ask("Port", "8000")
    if not port.isdecimal():
        raise ValueError(f"{port!r} is no port")
    secrets["client-key"] = (
        ask_hidden("Key for your clients (empty: one is made)", "") or mint().reveal()
    )
    made = {
        "server": {"host": host, "port": int(port)},
        "secrets": {"sources": {SOURCE: {"folder": FOLDER}}},
        "providers": providers,
        "models": models,
        "keys": [{"name": "clients", "key": f"secret:{SOURCE}/client-key"}],
    }
    return made, secrets


def _vendors(ask: Ask) -> list[str]:
    for _ in range(_TRIES):
        names = [name for name in _LIST.split(ask("Vendors, one or more", "openai")) if name]
        unknown = [name for name in names if name not in presets()]
        if names and not unknown:
            return list(dict.fromkeys(names))
        for name in unknown:
            _say(f"  {name}: {suggestion(name, presets(), 'there are')}")
    raise ValueError("no vendor that is known here")


def _provider(name: str, ask: Ask, ask_hidden: Ask, secrets: dict[str, str]) -> Block:
    preset = presets()[name]
    block: Block = {"preset": name}
    address = str(preset.get("base_url") or "")
    if not address or _PLACEHOLDER.search(address):
        block["base_url"] = ask(f"Address of {name}", address)
    variables = preset.get("credential_env")
    if not variables:
        return block
    variable = variables if isinstance(variables, str) else variables[0]
    key = ask_hidden(f"Key for {name} (empty: ${variable})", "")
    if key:
        secrets[name] = key
        block["credentials"] = [f"secret:{SOURCE}/{name}"]
    return block


def _models(vendors: Iterable[str], ask: Ask) -> Block:
    models: Block = {}
    several = len(list(vendors)) > 1
    for name in vendors:
        wanted = ask(f"Models of {name} (* for all of them)", "*")
        for model in filter(None, _LIST.split(wanted)):
            public = f"{name}/{model}" if several and (model == "*" or model in models) else model
            models[public] = {"deployments": [{"provider": name, "model": model}]}
    return models


def write(path: Path, made: Block, secrets: dict[str, str]) -> None:
    """The file, and each secret in a file that nobody else can read. Raises OSError."""
    folder = path.parent / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, secret in secrets.items():
        _write(folder / name, secret + "\n", 0o600)
    text = yaml.safe_dump(made, sort_keys=False, allow_unicode=True, width=120)
    _write(path, f"# Made by headrace setup; conf/headrace.yaml shows all there is.\n{text}", 0o644)


def _write(path: Path, text: str, mode: int) -> None:
    path.unlink(missing_ok=True)  # another's mode, or a link to another's file, would stay
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)


def _ask(question: str, usual: str) -> str:
    sys.stderr.write(f"{question} [{usual}]: " if usual else f"{question}: ")
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.strip() or usual


def _ask_hidden(question: str, usual: str) -> str:
    if not sys.stdin.isatty():
        return _ask(question, usual)
    return getpass.getpass(f"{question}: ", sys.stderr).strip() or usual


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _fail(text: str, code: int = 2) -> int:
    _say(f"headrace: {text}")
    return code
