"""Commands on the database that a configuration file names, whether workers run on it or not.

Also what every command needs: where the file is, how a failure is said.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from proxy.core.config.loading import Loaded
    from proxy.core.config.problem import Problem
    from proxy.core.config.schema import Config

Run = Callable[[argparse.Namespace], int]

RUNTIME, CONFIGURATION = 1, 2
"""Exit codes: a failure at run time, a configuration or a command that cannot be used."""
CANDIDATES = ("conf/headrace.yaml", "/etc/headrace/headrace.yaml")
PROGRAMS = (
    "orchestration-api",
    "llm-orchestrator",
    "airouter",
    "ai-api-gateway",
    "orina2api",
    "litellm",
    "portkey",
    "one-api",
    "new-api",
)
"""Whose configurations `config import` reads; `proxy.core.config.foreign` knows them by these words."""
_FIELDS = ("models", "routes", "cidrs", "expires", "rpm", "tpm", "concurrency", "owner", "team")
"""Options of `keys create`: fields of a key in the configuration file."""


def register(commands: Any) -> None:
    """Add `db`, `secrets`, `usage` and `keys`."""

    def actions(name: str, help: str) -> Any:
        parser = commands.add_parser(name, help=help)
        return parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def command(within: Any, name: str, help: str, run: Run, *, json: bool = True) -> Any:
        parser = within.add_parser(name, help=help)
        config_option(parser)
        if json:
            parser.add_argument("--json", action="store_true", help="JSON on standard output")
        parser.set_defaults(run=run)
        return parser

    db = actions("db", "look after the database")
    command(db, "upgrade", "apply every migration, after a backup", _db_upgrade, json=False)
    command(db, "status", "what is applied, and what is not", _db_status)

    sealed = actions("secrets", "look after what is sealed in the database")
    command(sealed, "rotate", "seal everything under the first master key", _secrets_rotate)

    used = actions("usage", "what quotas have counted, in the database")
    take = command(used, "import", "book what another gateway has counted", _usage_import)
    take.add_argument(
        "place", type=Path, metavar="FILE|FOLDER", help="data/usage, or its /admin/stats"
    )

    keys = actions("keys", "virtual keys in the database")
    create = command(keys, "create", "make a key, and print it this once", _keys_create)
    create.add_argument("--name", required=True, help="in logs and metrics")
    create.add_argument("--models", nargs="+", metavar="NAME", help="only these, or gpt-*")
    create.add_argument("--routes", nargs="+", metavar="ROUTE", help="only these")
    create.add_argument("--cidrs", nargs="+", metavar="NETWORK", help="only from these")
    create.add_argument("--expires", metavar="DATE", help="2027-01-31 or 2027-01-31T12:00:00Z")
    for limit in ("rpm", "tpm", "concurrency"):
        create.add_argument(f"--{limit}", type=int, metavar="N")
    create.add_argument("--owner")
    create.add_argument("--team")
    command(keys, "list", "all keys, without what is secret", _keys_list)
    revoke = command(keys, "revoke", "delete a key: it is refused from now on", _keys_revoke)
    revoke.add_argument("key", metavar="NAME|ID")


def register_import(config: Any) -> None:
    """Add `config import`."""
    parser = config.add_parser(
        "import",
        help="take a document into the database, or print another program's configuration as ours",
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        help="YAML, as an export has it, or another program's file; '-' is stdin; "
        "none: another program's file that is here, else its variables",
    )
    parser.add_argument(
        "--from", dest="program", choices=PROGRAMS, help="whose file it is, where that is not plain"
    )
    config_option(parser)
    parser.add_argument(
        "--mode",
        choices=("merge", "replace"),
        default="merge",
        help="what the document does not name stays, or is deleted (default: merge)",
    )
    parser.add_argument("--dry-run", action="store_true", help="say everything, write nothing")
    parser.add_argument("--json", action="store_true", help="JSON on standard output")
    parser.set_defaults(run=_config_import)


def config_option(parser: argparse.ArgumentParser) -> None:
    """Add `--config`."""
    parser.add_argument(
        "--config",
        type=Path,
        help="configuration file; else $HEADRACE_CONFIG, else " + ", else ".join(CANDIDATES),
    )


def fail(code: int, message: str) -> int:
    """Say it on stderr; the exit code."""
    print(f"headrace: {message}", file=sys.stderr)
    return code


def config_path(given: Path | None) -> Path:
    """The file to read. Exits with 2 when none is given and none is where it is looked for."""
    if given is not None:
        return given
    named = os.environ.get("HEADRACE_CONFIG")
    if named:
        return Path(named)
    for candidate in CANDIDATES:
        if Path(candidate).is_file():
            return Path(candidate)
    other = _other()
    if other is not None:
        return other
    return leave(
        CONFIGURATION,
        "no configuration: pass --config FILE or set HEADRACE_CONFIG; 'headrace demo' needs none",
    )


def _other() -> Path | None:
    """Another program's configuration, where there is none of ours."""
    from proxy.core.config import foreign

    for candidate in foreign.FILES:
        if Path(candidate).is_file():
            return Path(candidate)
    return Path(foreign.FROM_ENVIRONMENT) if foreign.is_in(os.environ) else None


def leave(code: int, message: str) -> NoReturn:
    """Say it and end the process."""
    sys.exit(fail(code, message))


def _warn(text: object) -> None:
    print(f"warning: {text}", file=sys.stderr)


def read(path: Path, *, quiet: bool = False, warn: Callable[[object], None] = _warn) -> Config:
    """The file. Raises ConfigError (a ValueError) that lists every problem. `quiet` is who does not serve it."""
    from proxy.core import redact
    from proxy.core.config import load

    loaded = load(path)
    for secret in loaded.hidden:
        redact.register_all_of(secret.reveal())
    if not quiet:
        for warning in (*loaded.warnings, *further(loaded)):
            warn(warning)
    return loaded.config


def reread(path: Path) -> Config:
    """The same by those who serve. They warn in the log: a pipe that nobody reads would stop them, or fail the reload."""
    from proxy.core.log import logger

    return read(path, warn=logger.warning)


def further(loaded: Loaded) -> tuple[Problem, ...]:
    """Warnings of those who know more than the file. Raises ConfigError where they know that it cannot be used."""
    from proxy.state import certified, unpriced

    return (*certified.remarks(loaded), *unpriced.remarks(loaded))


def _on_file(work: Callable[[Config], int], options: argparse.Namespace) -> int:
    try:
        config = read(config_path(options.config), quiet=True)
    except ValueError as error:
        return fail(CONFIGURATION, f"the configuration cannot be used\n{error}")
    if not config.store.url:
        return fail(CONFIGURATION, "the configuration has no database: set store.url")
    return work(config)


def _db_upgrade(options: argparse.Namespace) -> int:
    from proxy.store import commands

    return _on_file(lambda config: commands.upgrade(config.store.url), options)


def _db_status(options: argparse.Namespace) -> int:
    from proxy.store import commands

    return _on_file(lambda config: commands.status(config.store.url, options.json), options)


def _secrets_rotate(options: argparse.Namespace) -> int:
    from proxy.store import secret_commands as commands

    return _on_file(lambda config: commands.rotate(config, as_json=options.json), options)


def _usage_import(options: argparse.Namespace) -> int:
    from proxy.store import usage_commands as commands

    return _on_file(
        lambda config: commands.take(config, options.place, as_json=options.json), options
    )


def _keys_create(options: argparse.Namespace) -> int:
    from proxy.store import key_commands as commands

    body = {name: getattr(options, name) for name in _FIELDS}
    body = {name: value for name, value in body.items() if value is not None}
    return _on_file(
        lambda config: commands.create(config, options.name, body, as_json=options.json), options
    )


def _keys_list(options: argparse.Namespace) -> int:
    from proxy.store import key_commands as commands

    return _on_file(lambda config: commands.show(config, as_json=options.json), options)


def _keys_revoke(options: argparse.Namespace) -> int:
    from proxy.store import key_commands as commands

    return _on_file(
        lambda config: commands.revoke(config, options.key, as_json=options.json), options
    )


def _config_import(options: argparse.Namespace) -> int:
    from proxy.control import foreign_command, import_command

    code = foreign_command.run(options.file, options.program)
    if code is not None:
        return code
    return _on_file(
        lambda config: import_command.run(
            config, options.file, mode=options.mode, dry_run=options.dry_run, as_json=options.json
        ),
        options,
    )
