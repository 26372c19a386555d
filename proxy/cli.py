"""The command line. What a person reads goes to stderr; answers a program may read go to stdout.

Exit codes: 0, 1 for a failure at run time, 2 for a configuration or a command that cannot be used.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from msgspec.structs import replace

from proxy import __version__
from proxy.core.secret import Secret

if TYPE_CHECKING:
    from socket import socket

    from proxy.control.sync import ConfigFile
    from proxy.core.config.schema import Config
    from proxy.core.model import Snapshot

Run = Callable[[argparse.Namespace], int]

RUNTIME, CONFIGURATION = 1, 2
CANDIDATES = ("conf/headrace.yaml", "/etc/headrace/headrace.yaml")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        return _fail(RUNTIME, str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="headrace", description="An LLM API proxy for applications that count milliseconds."
    )
    parser.add_argument("--version", action="version", version=f"headrace {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="serve the API from a configuration file")
    _config_option(serve)
    serve.add_argument("--host", help="listen address (server.host)")
    serve.add_argument("--port", type=_port, help="API port (server.port); 0 picks a free one")
    serve.add_argument("--workers", help="number of worker processes, or 'auto' (server.workers)")
    serve.set_defaults(run=_serve)

    demo = commands.add_parser(
        "demo", help="serve a built-in simulated provider: no keys, no configuration"
    )
    demo.add_argument("--host", default="127.0.0.1")
    demo.add_argument("--port", type=_port, help="API port (default 8000, or a free one)")
    demo.set_defaults(run=_demo)

    simulate = commands.add_parser("simulate", help="run the simulated provider alone")
    simulate.add_argument("--host", default="127.0.0.1")
    simulate.add_argument("--port", type=_port, default=9100, help="0 picks a free one")
    simulate.set_defaults(run=_simulate)

    config = commands.add_parser("config", help="look at a configuration without serving it")
    actions = config.add_subparsers(dest="action", required=True, metavar="ACTION")
    check = actions.add_parser("check", help="list every problem with its line")
    _config_option(check)
    check.set_defaults(run=_config_check)
    show = actions.add_parser("show", help="print the compiled result, secrets masked")
    _config_option(show)
    show.add_argument("--json", action="store_true", help="JSON instead of YAML")
    show.set_defaults(run=_config_show)
    schema = actions.add_parser("schema", help="print the JSON Schema of the file, for editors")
    schema.set_defaults(run=_config_schema)

    _database_commands(commands)
    return parser


def _database_commands(commands: Any) -> None:
    """Those that work on the database by themselves: see `proxy.store`."""

    def actions(name: str, help: str) -> Any:
        parser = commands.add_parser(name, help=help)
        return parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def command(within: Any, name: str, help: str, run: Run, *, json: bool = True) -> Any:
        parser = within.add_parser(name, help=help)
        _config_option(parser)
        if json:
            parser.add_argument("--json", action="store_true", help="JSON on standard output")
        parser.set_defaults(run=run)
        return parser

    db = actions("db", "look after the database")
    command(db, "upgrade", "apply every migration, after a backup", _db_upgrade, json=False)
    command(db, "status", "what is applied, and what is not", _db_status)

    sealed = actions("secrets", "look after what is sealed in the database")
    command(sealed, "rotate", "seal everything under the first master key", _secrets_rotate)

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


def _port(text: str) -> int:
    """A port number of the command line."""
    if not (text.isascii() and text.isdecimal() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is no port: 0 to 65535")
    return int(text)


def _config_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        type=Path,
        help="configuration file; else $HEADRACE_CONFIG, else " + ", else ".join(CANDIDATES),
    )


def _fail(code: int, message: str) -> int:
    print(f"headrace: {message}", file=sys.stderr)
    return code


def _config_path(given: Path | None) -> Path:
    """The file to read. Exits with 2 when none is given and none is where it is looked for."""
    if given is not None:
        return given
    named = os.environ.get("HEADRACE_CONFIG")
    if named:
        return Path(named)
    for candidate in CANDIDATES:
        if Path(candidate).is_file():
            return Path(candidate)
    return _exit(
        CONFIGURATION,
        "no configuration: pass --config FILE or set HEADRACE_CONFIG; 'headrace demo' needs none",
    )


def _exit(code: int, message: str) -> NoReturn:
    sys.exit(_fail(code, message))


def _read(path: Path, *, quiet: bool = False) -> Config:
    """The file. Raises ConfigError (a ValueError) that lists every problem."""
    from proxy.core.config import load

    loaded = load(path)
    if not quiet:
        for warning in loaded.warnings:
            print(f"warning: {warning}", file=sys.stderr)
    return loaded.config


def _serve(options: argparse.Namespace) -> int:
    from proxy.control.sync import ConfigFile

    path = _config_path(options.config)
    given = {
        name: value
        for name, value in (
            ("host", options.host),
            ("port", options.port),
            ("workers", _workers(options.workers)),
        )
        if value is not None
    }

    def adjust(snapshot: Snapshot) -> Snapshot:
        return replace(snapshot, server=replace(snapshot.server, **given))

    try:
        config = _read(path)
    except ValueError as error:
        return _fail(CONFIGURATION, f"the configuration cannot be used\n{error}")
    return _run(ConfigFile(config, lambda: _read(path), adjust))


def _workers(text: str | None) -> int | None:
    if text is None:
        return None
    from proxy.core.config import values

    try:
        return values.workers(text)
    except ValueError as error:
        _exit(CONFIGURATION, f"--workers: {error}")


def _run(file: ConfigFile, announce: Callable[[str], None] | None = None) -> int:
    from proxy import worker
    from proxy.core import log

    settings = _settings(file)
    server = settings.server
    if server.workers == 1:
        log.configure(settings.logging)
    api = worker.listen(server.host, server.port)
    port = api.getsockname()[1]
    admin = None
    if settings.admin.port != server.port or server.port == 0:
        admin = worker.listen(settings.admin.host, settings.admin.port)
    made_up = None
    if admin is not None and settings.admin.token is None:
        made_up = secrets.token_urlsafe(32)
        file.adjust = _with_token(file.adjust, Secret(made_up))
        settings = _settings(file)
    address = _address(server.host, port)

    def ready() -> None:
        print(f"listening on {address}", file=sys.stderr)
        if admin is not None:
            print(f"admin on {_address(*admin.getsockname()[:2])}", file=sys.stderr)
            if made_up is not None:
                print(f"admin token, for this run only: {made_up}", file=sys.stderr)
        if announce is not None:
            announce(address)
        sys.stderr.flush()

    try:
        if server.workers == 1:
            worker.serve(settings, file, api, admin, ready=ready)
            log.close()
            return 0
        worker.rehearse(settings, file)
    except ValueError as error:
        log.close()
        return _fail(CONFIGURATION, f"the configuration cannot be used\n{error}")
    ready()
    return _supervise(settings, file, api, admin)


def _settings(file: ConfigFile) -> Snapshot:
    """What is needed before anything is served: listeners, workers, the log."""
    from proxy.state.snapshot import compile_snapshot

    nothing: dict[str, Any] = {"providers": {}, "models": {}, "keys": []}
    return file.adjust(compile_snapshot(file.config.model_copy(update=nothing)))


def _supervise(settings: Snapshot, file: ConfigFile, api: socket, admin: socket | None) -> int:
    """Serve with several processes. One started later serves what was last read, not what was read first."""
    from proxy import supervisor, worker
    from proxy.core import log

    def serve(name: str, ready: Callable[[], None]) -> None:
        log.configure(settings.logging)
        # What contradicts the store by now has been said; it is no reason not to take another worker's place.
        worker.serve(settings, file, api, admin, name=name, ready=ready, strict=False)
        log.close()

    def reload() -> None:
        if file.read is not None:
            try:
                file.config = file.read()
            except ValueError:
                pass  # every worker says so itself

    return supervisor.supervise(settings.server.workers, serve, reload)


_ANY = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


def _address(host: str, port: int) -> str:
    """The URL at which a listener is reached from this machine."""
    host = _ANY.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _with_token(
    adjust: Callable[[Snapshot], Snapshot], token: Secret
) -> Callable[[Snapshot], Snapshot]:
    """A reload keeps the token that was made up at the start."""

    def adjusted(snapshot: Snapshot) -> Snapshot:
        snapshot = adjust(snapshot)
        if snapshot.admin.token is not None:
            return snapshot
        return replace(snapshot, admin=replace(snapshot.admin, token=token))

    return adjusted


def _demo(options: argparse.Namespace) -> int:
    from proxy import demo

    return demo.run(options.host, options.port, _read, _run)


def _simulate(options: argparse.Namespace) -> int:
    from proxy.simulator import server

    server.main(options.host, options.port)
    return 0


def _config_check(options: argparse.Namespace) -> int:
    from proxy.core.config import report

    return report.check(_config_path(options.config))


def _config_show(options: argparse.Namespace) -> int:
    from proxy.core.config import ConfigError, load
    from proxy.state.show import show

    try:
        print(show(load(_config_path(options.config)), as_json=options.json))
    except ConfigError as error:
        return _fail(CONFIGURATION, f"the configuration cannot be used\n{error}")
    return 0


def _config_schema(_options: argparse.Namespace) -> int:
    from proxy.core.config import report

    sys.stdout.write(report.schema().decode() + "\n")
    return 0


# --- the database ---

_FIELDS = ("models", "routes", "cidrs", "expires", "rpm", "tpm", "concurrency", "owner", "team")


def _on_file(work: Callable[[Config], int], options: argparse.Namespace) -> int:
    try:
        config = _read(_config_path(options.config), quiet=True)
    except ValueError as error:
        return _fail(CONFIGURATION, f"the configuration cannot be used\n{error}")
    if not config.store.url:
        return _fail(CONFIGURATION, "the configuration has no database: set store.url")
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
