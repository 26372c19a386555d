"""The command line. What a person reads goes to stderr; answers a program may read go to stdout.

Exit codes: 0, 1 for a failure at run time, 2 for a configuration or a command that cannot be used.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from proxy import __version__, commands
from proxy.commands import CONFIGURATION, RUNTIME
from proxy.core.secret import Secret

if TYPE_CHECKING:
    from socket import socket

    from proxy.control.sync import ConfigFile
    from proxy.core.model import Snapshot
    from proxy.host import Host


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        return commands.fail(RUNTIME, str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="headrace", description="An LLM API proxy for applications that count milliseconds."
    )
    parser.add_argument("--version", action="version", version=f"headrace {__version__}")
    every = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    serve = every.add_parser("serve", help="serve the API from a configuration file")
    commands.config_option(serve)
    serve.add_argument("--host", help="listen address (server.host)")
    serve.add_argument("--port", type=_port, help="API port (server.port); 0 picks a free one")
    serve.add_argument("--workers", help="number of worker processes, or 'auto' (server.workers)")
    serve.set_defaults(run=_serve)

    demo = every.add_parser(
        "demo", help="serve a built-in simulated provider: no keys, no configuration"
    )
    demo.add_argument("--host", default="127.0.0.1")
    demo.add_argument("--port", type=_port, help="API port (default 8000, or a free one)")
    demo.set_defaults(run=_demo)

    simulate = every.add_parser("simulate", help="run the simulated provider alone")
    simulate.add_argument("--host", default="127.0.0.1")
    simulate.add_argument("--port", type=_port, default=9100, help="0 picks a free one")
    simulate.set_defaults(run=_simulate)

    config = every.add_parser("config", help="look at a configuration, or import one")
    actions = config.add_subparsers(dest="action", required=True, metavar="ACTION")
    check = actions.add_parser("check", help="list every problem with its line")
    commands.config_option(check)
    check.set_defaults(run=_config_check)
    show = actions.add_parser("show", help="print the compiled result, secrets masked")
    commands.config_option(show)
    show.add_argument("--json", action="store_true", help="JSON instead of YAML")
    show.set_defaults(run=_config_show)
    commands.register_import(actions)
    schema = actions.add_parser("schema", help="print the JSON Schema of the file, for editors")
    schema.set_defaults(run=_config_schema)

    commands.register(every)
    return parser


def _port(text: str) -> int:
    """A port number of the command line."""
    if not (text.isascii() and text.isdecimal() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is no port: 0 to 65535")
    return int(text)


def _serve(options: argparse.Namespace) -> int:
    from proxy.control.sync import ConfigFile

    path = commands.config_path(options.config)
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
        config = commands.read(path)
    except ValueError as error:
        return commands.fail(CONFIGURATION, f"the configuration cannot be used\n{error}")
    return _run(ConfigFile(config, lambda: commands.read(path), adjust))


def _workers(text: str | None) -> int | None:
    if text is None:
        return None
    from proxy.core.config import values

    try:
        return values.workers(text)
    except ValueError as error:
        commands.leave(CONFIGURATION, f"--workers: {error}")


def _run(file: ConfigFile, announce: Callable[[str], None] | None = None) -> int:
    from proxy import worker
    from proxy.core import log

    settings = _settings(file)
    server = settings.server
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
        _say(f"listening on {address}")
        if admin is not None:
            _say(f"admin on {_address(*admin.getsockname()[:2])}")
            if made_up is not None:
                _say(f"admin token, for this run only: {made_up}")
        if announce is not None:
            announce(address)
        sys.stderr.flush()

    try:
        host = _claim(settings, file)
        if server.workers == 1:
            return _alone(settings, file, api, admin, host, ready)
        assert host is not None
        worker.rehearse(settings, file)
    except ValueError as error:
        log.close()
        return commands.fail(CONFIGURATION, f"the configuration cannot be used\n{error}")
    ready()
    return _supervise(settings, file, api, admin, host)


def _claim(settings: Snapshot, file: ConfigFile) -> Host | None:
    """The folder that workers share, in order; None: there is but one, and nothing is to be recorded. Raises ValueError."""
    if not settings.ledger.path and settings.server.workers == 1:
        return None
    from proxy.host import Host

    host = Host(settings, file)
    host.claim()
    return host


def _alone(
    settings: Snapshot,
    file: ConfigFile,
    api: socket,
    admin: socket | None,
    host: Host | None,
    ready: Callable[[], None],
) -> int:
    """Serve with this process, and ship with another. Raises ValueError as `worker.serve` does."""
    from proxy import supervisor, worker
    from proxy.core import log
    from proxy.host import SHIPPER

    def ship(_name: str, started: Callable[[], None]) -> None:
        assert host is not None
        log.configure(settings.logging)
        api.close()
        if admin is not None:
            admin.close()
        host.ship(started)
        log.close()

    leave = None if host is None else supervisor.accompany(SHIPPER, ship)
    # After the fork: it has a thread, which would not be there on the other side.
    log.configure(settings.logging)
    try:
        worker.serve(settings, file, api, admin, ready=ready)
    finally:
        if leave is not None:
            leave()
    log.close()
    return 0


def _say(line: str) -> None:
    """In one write: the log has a thread of its own, whose lines would come between a text and its end."""
    sys.stderr.write(line + "\n")


def _settings(file: ConfigFile) -> Snapshot:
    """What is needed before anything is served: listeners, workers, the log."""
    from proxy.state.snapshot import compile_snapshot

    nothing: dict[str, Any] = {"providers": {}, "models": {}, "keys": []}
    return file.adjust(compile_snapshot(file.config.model_copy(update=nothing)))


def _supervise(
    settings: Snapshot, file: ConfigFile, api: socket, admin: socket | None, host: Host
) -> int:
    """Serve with several processes. One started later serves what was last read, not what was read first."""
    from proxy import supervisor, worker
    from proxy.core import log
    from proxy.host import SHIPPER

    pid = os.getpid()

    def serve(name: str, ready: Callable[[], None]) -> None:
        log.configure(settings.logging)
        if name == SHIPPER:
            api.close()
            if admin is not None:
                admin.close()
            host.ship(ready)
            log.close()
            return
        file.taken = lambda: supervisor.taken(pid)
        # What contradicts the store by now has been said; it is no reason not to take another worker's place.
        worker.serve(settings, file, api, admin, name=name, ready=ready, strict=False)
        log.close()

    def reload() -> None:
        if file.read is not None:
            try:
                # With the store they have: another one takes a new start.
                file.config = file.read().model_copy(update={"store": file.config.store})
            except ValueError:
                pass  # changed again since; every worker will say so itself

    beside = (SHIPPER,) if host.records else ()
    try:
        return supervisor.supervise(
            settings.server.workers, serve, reload, beside=beside, died=host.died
        )
    finally:
        host.leave()


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

    return demo.run(options.host, options.port, commands.read, _run)


def _simulate(options: argparse.Namespace) -> int:
    from proxy.simulator import server

    server.main(options.host, options.port)
    return 0


def _config_check(options: argparse.Namespace) -> int:
    from proxy.core.config import report
    from proxy.state import unpriced

    return report.check(commands.config_path(options.config), further=unpriced.remarks)


def _config_show(options: argparse.Namespace) -> int:
    from proxy.core.config import ConfigError, load
    from proxy.state.show import show

    try:
        print(show(load(commands.config_path(options.config)), as_json=options.json))
    except ConfigError as error:
        return commands.fail(CONFIGURATION, f"the configuration cannot be used\n{error}")
    return 0


def _config_schema(_options: argparse.Namespace) -> int:
    from proxy.core.config import report

    sys.stdout.write(report.schema().decode() + "\n")
    return 0
