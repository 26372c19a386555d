"""The command line. What a person reads goes to stderr; answers a program may read go to stdout.

Exit codes: 0, 1 for a failure at run time, 2 for a configuration or a command that cannot be used.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from proxy import __version__, commands
from proxy.commands import CONFIGURATION, RUNTIME

if TYPE_CHECKING:
    from proxy.core.model import Snapshot


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
    serve.add_argument("--host", type=_host, help="listen address (server.host)")
    serve.add_argument("--port", type=_port, help="API port (server.port); 0 picks a free one")
    serve.add_argument("--workers", help="number of worker processes, or 'auto' (server.workers)")
    serve.add_argument(
        "--reload", action="store_true", help="read the file again whenever it has changed"
    )
    serve.set_defaults(run=_serve)

    setup = every.add_parser("setup", help="make a configuration by answering some questions")
    setup.add_argument(
        "--config", type=Path, default=Path("headrace.yaml"), help="file to write (headrace.yaml)"
    )
    setup.add_argument("--force", action="store_true", help="replace what is there")
    setup.set_defaults(run=_setup)

    demo = every.add_parser(
        "demo", help="serve a built-in simulated provider: no keys, no configuration"
    )
    demo.add_argument("--host", type=_host, default="127.0.0.1")
    demo.add_argument("--port", type=_port, help="API port (default 8000, or a free one)")
    demo.set_defaults(run=_demo)

    simulate = every.add_parser("simulate", help="run the simulated provider alone")
    simulate.add_argument("--host", type=_host, default="127.0.0.1")
    simulate.add_argument("--port", type=_port, default=9100, help="0 picks a free one")
    simulate.add_argument("--tied", action="store_true", help=argparse.SUPPRESS)  # the demo's
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


def _host(text: str) -> str:
    """An address of the command line. An empty one, of a variable that is not set, would mean all there are."""
    if not text.strip():
        raise argparse.ArgumentTypeError("an address is expected, such as 127.0.0.1; this is empty")
    return text


def _port(text: str) -> int:
    """A port number of the command line."""
    if not (text.isascii() and text.isdecimal() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is no port: 0 to 65535")
    return int(text)


def _serve(options: argparse.Namespace) -> int:
    from proxy import serving
    from proxy.control.sync import ConfigFile
    from proxy.core.marks import mark

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

    seen = mark(str(path)) if options.reload else None
    try:
        config = commands.read(path)
    except ValueError as error:
        return commands.fail(CONFIGURATION, f"the configuration cannot be used\n{error}")
    file = ConfigFile(
        config,
        lambda: commands.reread(path),
        adjust,
        path=str(path.absolute()),
        watched=seen,
    )
    return serving.run(file, alone=False)


def _setup(options: argparse.Namespace) -> int:
    from proxy.control import setup_command

    return setup_command.run(options.config, force=options.force)


def _workers(text: str | None) -> int | None:
    if text is None:
        return None
    from proxy.core.config import values

    try:
        return values.workers(text)
    except ValueError as error:
        commands.leave(CONFIGURATION, f"--workers: {error}")


def _demo(options: argparse.Namespace) -> int:
    from proxy import demo, serving

    return demo.run(options.host, options.port, commands.read, partial(serving.run, alone=True))


def _simulate(options: argparse.Namespace) -> int:
    from proxy.simulator import server

    server.main(options.host, options.port, tied=options.tied)
    return 0


def _config_check(options: argparse.Namespace) -> int:
    from proxy.core.config import report

    return report.check(commands.config_path(options.config), further=commands.further)


def _config_show(options: argparse.Namespace) -> int:
    from proxy.core.config import ConfigError, load
    from proxy.state.show import show
    from proxy.store.console import answer

    try:
        answer(show(load(commands.config_path(options.config)), as_json=options.json))
    except ConfigError as error:
        return commands.fail(CONFIGURATION, f"the configuration cannot be used\n{error}")
    return 0


def _config_schema(_options: argparse.Namespace) -> int:
    from proxy.core.config import report

    sys.stdout.write(report.schema().decode() + "\n")
    return 0
