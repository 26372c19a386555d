"""Runs scenarios: rounds with the peers interleaved, each load in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from bench.load import Load, Outcome
from bench.machine import Cores, pin
from bench.peers import ROOT, PeerError
from bench.scenarios import NOISY_PERCENT, Scale, Scenario, others_percent, warm_up

if TYPE_CHECKING:
    from bench.peers import Peer, Starter

LOAD_TIMEOUT_S = 180.0
"""Beyond the time for which a load is asked to go on."""

Outcomes = dict[str, dict[str, list[Outcome]]]  # scenario -> peer -> one outcome a round
Say = Callable[[str], None]


class LoadError(Exception):
    """The load generator failed, or nothing it sent was answered."""


def measure(
    scenarios: Sequence[Scenario],
    starters: Mapping[str, Starter],
    cores: Cores,
    scale: Scale,
    say: Say,
    peers: Sequence[str] = (),
    takes_part: Callable[[str, str], bool] = lambda _name, _group: True,
    may_fail: Collection[str] = (),
) -> Outcomes:
    """Every scenario, every round, every peer, in an order in which peers take turns at going first.

    `peers` names who takes part where a scenario does not say: all of `starters`, if left out. Of them only those who
    take part in its group: `takes_part(peer, group)`. A failure of one that `may_fail` leaves it out of the scenario.
    """
    everybody = peers or list(starters)
    outcomes: Outcomes = {}
    with ExitStack() as stack:
        standing: dict[str, Peer] = {}

        def once(scenario: Scenario, name: str) -> Outcome:
            load = scenario.load(scale)
            if scenario.fresh:
                with starters[name]() as peer:
                    run(warm_up(scale), peer, cores)
                    return run(load, peer, cores)
            if name not in standing:
                standing[name] = stack.enter_context(starters[name]())
            return run(load, standing[name], cores)

        for scenario in scenarios:
            names = list(
                scenario.peers or (one for one in everybody if takes_part(one, scenario.group))
            )
            found = outcomes.setdefault(scenario.name, {name: [] for name in names})
            if not names:
                say(f"{scenario.name}: nobody takes part")
            for turn in range(scale.rounds):
                for name in _rotated(names, turn):
                    if name not in found:
                        continue
                    try:
                        outcome = quiet(partial(once, scenario, name), scale.attempts)
                    except (LoadError, PeerError) as error:
                        if name not in may_fail:
                            raise
                        say(f"{scenario.name}: {name} is left out: {error}")
                        del found[name]
                        continue
                    found[name].append(outcome)
                    place = f"{scenario.name} {turn + 1}/{scale.rounds} {name}"
                    say(f"{place}: {summary(scenario, outcome)}")
    return outcomes


def quiet(once: Callable[[], Outcome], attempts: int) -> Outcome:
    """Measure again while other processes run on the measured core; keep the quietest.

    What decides is the neighbours' share alone, never the figure itself. An answer that was wrong is not measured away.
    """
    found: list[Outcome] = []
    for _ in range(attempts):
        found.append(once())
        if complaint(found[-1]):
            return found[-1]
        if (others_percent(found[-1]) or 0.0) < NOISY_PERCENT:
            break
    return min(found, key=lambda outcome: others_percent(outcome) or 0.0)


def run(load: Load, peer: Peer, cores: Cores) -> Outcome:
    """One load against one peer, in a new process."""
    load = msgspec.structs.replace(
        load,
        host=peer.host,
        port=peer.port,
        path=peer.path,
        key=peer.key,
        pid=peer.pid,
        apart=list(peer.apart),
        headers=list(peer.headers),
        tls=peer.tls,
        cores=sorted(cores.measured),
    )
    limit = LOAD_TIMEOUT_S + load.warm + load.seconds
    try:
        done = subprocess.run(
            [sys.executable, "-m", "bench.load", msgspec.json.encode(load).decode()],
            cwd=ROOT,
            capture_output=True,
            timeout=limit,
            check=False,
            preexec_fn=pin(cores.load),
        )
    except subprocess.TimeoutExpired as error:
        raise LoadError(f"{peer.name}: no result after {limit:.0f} s") from error
    if done.returncode:
        raise LoadError(f"{peer.name}: {done.stderr.decode(errors='replace')[-2000:]}")
    outcome = msgspec.json.decode(done.stdout, type=Outcome)
    if not outcome.requests and not outcome.tokens:
        raise LoadError(
            f"{peer.name}: nothing was answered; {outcome.first_error or 'no error either'}"
        )
    return outcome


def summary(scenario: Scenario, outcome: Outcome) -> str:
    figures = [(metric, metric.value(outcome)) for metric in scenario.metrics]
    text = ", ".join(
        f"{metric.label} {value:,.1f} {metric.unit}"
        for metric, value in figures
        if value is not None
    )
    return text + complaint(outcome)


def complaint(outcome: Outcome) -> str:
    """What went wrong, for people; empty when nothing did."""
    if not (outcome.errors or outcome.truncated):
        return ""
    wrong = f" ({outcome.errors} errors, {outcome.truncated} truncated"
    return f"{wrong}: {outcome.first_error})" if outcome.first_error else f"{wrong})"


def _rotated(names: list[str], turn: int) -> list[str]:
    turn %= max(len(names), 1)
    return names[turn:] + names[:turn]
