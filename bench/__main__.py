"""`python -m bench`: measure Headrace beside nginx, print a table, write JSON and a chart."""

from __future__ import annotations

import argparse
import importlib.metadata
import math
import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from bench import alone, ledger, machine, peers, rivals, sealed, store
from bench.chart import chart
from bench.measure import LoadError, measure
from bench.peers import PeerError, Starter, Upstream
from bench.report import report, table, to_json
from bench.scenarios import (
    FOUR,
    GROUPS,
    MANY,
    NOTHING,
    QUICK,
    SCENARIOS,
    SUBJECT,
    TRANSLATED,
    TWO,
    Scale,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

BUILT_IN = ("bare", "nginx", "aiohttp", "headrace")
DIALECTS = ("openai.responses", "anthropic.messages", "gemini.generate", "bedrock.converse")
"""Of the providers of TRANSLATED."""
PACKAGES = ("aiohttp", "uvloop", "httptools", "msgspec")


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        if options.install_peers:
            rivals.install([*rivals.RIVALS, *rivals.TOOLS], say)
            return 0
        return _measure(options)
    except (PeerError, LoadError) as error:
        say(f"bench: {error}")
        return 1
    except KeyboardInterrupt:
        return 130


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="bench", description=__doc__)
    add = made.add_argument
    add(
        "what",
        nargs="*",
        metavar="GROUP",
        help=f"{', '.join(GROUPS)} or all (default); or {' or '.join(alone.GROUPS)}, beside nothing else",
    )
    add(
        "--postgres",
        metavar="URL",
        help="an empty database that store and soak may fill and read ('own' starts a server)",
    )
    add(
        "--minutes",
        type=_above_zero,
        help="length of soak (default 5; 10 with --ledger) or fleet (3)",
    )
    add(
        "--ledger", action="store_true", help="soak: kill everything in turn, and compare the books"
    )
    add(
        "--outage",
        type=_above_zero,
        metavar="SECONDS",
        help="soak: the database is dead for so long",
    )
    add("--valkey", metavar="URL", help="soak: a server of shared limits ('own' starts one)")
    add(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="capacity: another assumption about load, machines or prices",
    )
    add(
        "--rate",
        type=_above_zero,
        help=f"soak --ledger: requests a second (default {ledger.Plan().rate:g})",
    )
    add(
        "--seed",
        type=int,
        help="soak --ledger, trials, capacity: another one for what is left to chance (default 1)",
    )
    add("--rounds", type=_one_or_more, help=f"interleaved rounds (default {Scale().rounds})")
    add(
        "--seconds",
        type=_above_zero,
        help=f"length of one measurement (default {Scale().seconds:g})",
    )
    add("--quick", action="store_true", help="one short, small round: does everything work?")
    add(
        "--peers",
        default=",".join(BUILT_IN),
        help=f"which of {','.join((*BUILT_IN, *rivals.RIVALS))}; all: those and all that are installed",
    )
    add(
        "--install-peers",
        action="store_true",
        help=f"put {', '.join((*rivals.RIVALS, *rivals.TOOLS))} into environments of their own below {rivals.HOME.name}/",
    )
    add(
        "--peer",
        action="append",
        default=[],
        metavar="NAME=COMMAND",
        help="measure another proxy too; {port}, {upstream}, {folder} and {key} are filled in",
    )
    add(
        "--target",
        action="append",
        default=[],
        metavar="[NAME=]URL[,PID]",
        help="measure a proxy that already runs; with PID its CPU time and memory as well",
    )
    add("--key", default=peers.KEY, help="the bearer key for --target")
    add("--upstream", metavar="HOST:PORT", help="use a simulator that already runs")
    add("--nice", type=int, default=0, help="priority of all processes; below 0 needs privileges")
    add("--json", type=Path, metavar="FILE", help="write all figures ('-': standard output)")
    add("--chart", type=Path, metavar="FILE.svg", help="draw the ratios")
    add(
        "--charts",
        type=Path,
        metavar="FOLDER",
        help="trials, capacity, dashboard: draw what was found",
    )
    add("--assert", action="store_true", dest="must", help="exit 1 when a goal is missed")
    return made


def _above_zero(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number above 0, found {text!r}")
    return value


def _one_or_more(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of 1 or more, found {text!r}")
    return int(text)


def _check(path: Path) -> None:
    """That it can be written: not to be found out behind twenty minutes of measuring. Raises PeerError."""
    if str(path) == "-":
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab"):
            pass
    except OSError as error:
        raise PeerError(f"{path} cannot be written: {error.strerror}") from None


def _measure(options: argparse.Namespace) -> int:
    for path in filter(None, (options.json, options.chart)):
        _check(path)
    machine.raise_file_limit()
    try:
        os.nice(options.nice)
    except PermissionError:
        raise PeerError(f"--nice {options.nice} needs privileges, or leave it out") from None
    cores = machine.share_out_cores()
    if not cores.measured:
        say("bench: only one core: nothing is pinned, and the figures disturb each other")
    if set(options.what) & set(alone.GROUPS):
        return _alone(options, cores)
    scale = _scale(options)
    facts = _facts(scale, options.peers)
    wanted = _groups(options.what)
    chosen = [scenario for scenario in SCENARIOS if scenario.group in wanted]
    upstream = (
        nullcontext(_address(options.upstream)) if options.upstream else peers.simulator(cores)
    )
    with upstream as address:
        starters = _starters(options, address, cores)
        everybody = list(starters)
        for name, dialect in ((SUBJECT, "openai.chat"), *zip(TRANSLATED, DIALECTS, strict=True)):
            starters.setdefault(name, partial(peers.headrace, address, cores, name, dialect))
        starters.setdefault(NOTHING, partial(peers.bare, address))
        starters[TWO] = partial(peers.headrace, address, cores, TWO, workers=2)
        starters[FOUR] = partial(peers.headrace, address, cores, FOUR, workers=4)
        starters |= sealed.starters(cores)
        starters[MANY] = partial(store.crowded, address, cores)
        outcomes = measure(
            chosen, starters, cores, scale, say, everybody, rivals.takes_part, rivals.RIVALS
        )
    result = report(chosen, outcomes, facts)
    say("\n" + table(result))
    if options.json:
        _write(options.json, to_json(result))
    if options.chart:
        _write(options.chart, chart(result).encode())
    return 1 if options.must and (result.missed or result.complaints) else 0


def _alone(options: argparse.Namespace, cores: machine.Cores) -> int:
    unknown = sorted(set(options.what) - set(alone.GROUPS))
    if unknown:
        raise PeerError(f"not together with {', '.join(alone.GROUPS)}: {', '.join(unknown)}")
    upstream = (
        nullcontext(_address(options.upstream)) if options.upstream else peers.simulator(cores)
    )
    with upstream as address:
        figures = [
            figure
            for name in dict.fromkeys(options.what)
            for figure in alone.GROUPS[name](options, address, cores, say)
        ]
    say("\n" + alone.table(figures, machine.facts()))
    if options.json:
        _write(options.json, alone.to_json(figures, machine.facts()))
    return int(any(figure.name in alone.ZERO and figure.value for figure in figures))


def _groups(names: Sequence[str]) -> set[str]:
    unknown = sorted(set(names) - {*GROUPS, "all"})
    if unknown:
        raise PeerError(f"no such group: {', '.join(unknown)}")
    return set(names or GROUPS) - {"all"} if "all" not in names else set(GROUPS)


def _scale(options: argparse.Namespace) -> Scale:
    scale = QUICK if options.quick else Scale()
    if options.rounds is not None:
        scale = msgspec.structs.replace(scale, rounds=max(options.rounds, 1))
    if options.seconds is not None:
        scale = msgspec.structs.replace(scale, seconds=options.seconds)
    return scale


def _starters(
    options: argparse.Namespace, upstream: Upstream, cores: machine.Cores
) -> dict[str, Starter]:
    known: dict[str, Starter] = {
        "bare": partial(peers.bare, upstream),
        "nginx": partial(peers.nginx, upstream, cores),
        "aiohttp": partial(peers.aiohttp_relay, upstream, cores),
        "headrace": partial(peers.headrace, upstream, cores),
    }
    known |= {name: partial(rivals.rival, name, upstream, cores) for name in rivals.RIVALS}
    named = ",".join(known) if options.peers == "all" else options.peers
    names = [name for name in named.split(",") if name]
    for name in rivals.left_out(names):
        say(f"bench: {name} is left out: scripts/bench --install-peers has it installed")
        names.remove(name)
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise PeerError(f"no such peer: {', '.join(unknown)}")
    starters = {name: known[name] for name in names}
    for text in options.peer:
        name, _, command = text.partition("=")
        if not command.strip():
            raise PeerError(f"--peer: expected NAME=COMMAND, found {text!r}")
        starters[name] = partial(peers.command, name, command, upstream, cores)
    for text in options.target:
        name, equals, rest = text.partition("=")
        url, _, pid = (rest if equals else text).partition(",")
        name = name if equals else "target"
        if pid and not pid.isdecimal():
            raise PeerError(
                f"--target {text}: expected the number of a process after ',', found {pid!r}"
            )
        if not url.startswith("http://"):
            raise PeerError(f"--target {text}: expected http://HOST:PORT, found {url!r}")
        starters[name] = partial(peers.target, name, url, int(pid) if pid else None, options.key)
    if not starters:
        raise PeerError("nothing to measure")
    return starters


def _address(text: str) -> Upstream:
    host, _, port = text.rpartition(":")
    if not port.isdecimal():
        raise PeerError(f"--upstream: expected HOST:PORT, found {text!r}")
    return Upstream(host or "127.0.0.1", int(port))


def _facts(scale: Scale, named: str) -> dict[str, str]:
    facts = machine.facts()
    facts["packages"] = " ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    program = peers.nginx_program()
    if program:
        said = subprocess.run([program, "-v"], capture_output=True, text=True, check=False).stderr
        facts["nginx"] = said.strip().rpartition("/")[2].join(("nginx ", ""))
    beside = [
        f"{name} {rival.version}"
        for name, rival in rivals.RIVALS.items()
        if rivals.is_there(name) and (named == "all" or name in named.split(","))
    ]
    if beside:
        facts["beside"] = ", ".join(beside)
    facts["rounds"] = f"{scale.rounds} rounds of {scale.seconds:g} s"
    return facts


def _write(path: Path, content: bytes) -> None:
    if str(path) == "-":
        sys.stdout.buffer.write(content)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    # What was started is stopped on SIGTERM too: it is told like Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
