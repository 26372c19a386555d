"""Groups that are measured beside nothing else: a list of figures each, no peers and no ratios."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec

from bench import (
    accounts,
    capacity_report,
    dashboard,
    dashboard_cost,
    drain,
    failover,
    fleet,
    leaks,
    ledger,
    outside,
    overload,
    phases,
    restart,
    scrape,
    soak,
    sockets,
    spread,
    store,
    tracing,
)
from bench.trials import found, registry

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence

    from bench.machine import Cores
    from bench.peers import Upstream
    from bench.store import Figure

    Say = Callable[[str], None]
    Group = Callable[[argparse.Namespace, Upstream, Cores, Say], list[Figure]]


def _store(options: argparse.Namespace, upstream: Upstream, cores: Cores, say: Say) -> list[Figure]:
    plan = store.QUICK if options.quick else store.Plan()
    with ExitStack() as stack:
        _, postgres = ledger.started(options.postgres, "postgres", stack)
        found = store.measure(plan, upstream, cores, postgres or None, say)
        # The tables it fills are not those that were filled just now.
        return found + drain.measure(drain.QUICK if options.quick else drain.Plan(), postgres, say)


def _soak(options: argparse.Namespace, upstream: Upstream, cores: Cores, say: Say) -> list[Figure]:
    if options.ledger or options.outage is not None:
        books = ledger.scaled(
            ledger.QUICK if options.quick else ledger.Plan(),
            options.minutes, options.rate, options.seed, options.outage,
        )  # fmt: skip
        return ledger.measure(books, options.postgres, options.valkey, say)
    plan = soak.QUICK if options.quick else soak.Plan()
    return soak.measure(soak.scaled(plan, options.minutes), upstream, cores, say)


def _accounts(
    options: argparse.Namespace, upstream: Upstream, cores: Cores, say: Say
) -> list[Figure]:
    plan = accounts.QUICK if options.quick else accounts.Plan()
    return accounts.measure(
        accounts.scaled(plan, options.rounds, options.seconds), upstream, cores, say
    )


def _failover(
    options: argparse.Namespace, upstream: Upstream, cores: Cores, say: Say
) -> list[Figure]:
    return failover.measure(
        failover.QUICK if options.quick else failover.Plan(), upstream, cores, say
    )


def _tracing(
    options: argparse.Namespace, upstream: Upstream, cores: Cores, say: Say
) -> list[Figure]:
    return tracing.measure(tracing.QUICK if options.quick else tracing.Plan(), say)


def _phases(
    options: argparse.Namespace, upstream: Upstream, cores: Cores, say: Say
) -> list[Figure]:
    return phases.measure(phases.QUICK if options.quick else phases.Plan(), say)


def _outside(
    options: argparse.Namespace, upstream: Upstream, cores: Cores, say: Say
) -> list[Figure]:
    return outside.judge(outside.QUICK if options.quick else outside.Plan(), upstream, cores, say)


def _scrape(
    options: argparse.Namespace, upstream: Upstream, cores: Cores, say: Say
) -> list[Figure]:
    return scrape.measure(scrape.QUICK if options.quick else scrape.Plan(), say)


def _dashboard(
    options: argparse.Namespace, upstream: Upstream, cores: Cores, say: Say
) -> list[Figure]:
    plan = dashboard.QUICK if options.quick else dashboard.Plan()
    scaled = dashboard.scaled(plan, options.minutes, options.rate, options.rounds, options.seconds)
    return dashboard.measure(scaled, upstream, cores, say, options.charts)


def _dashboard_cost(
    options: argparse.Namespace, upstream: Upstream, cores: Cores, say: Say
) -> list[Figure]:
    plan = dashboard_cost.QUICK if options.quick else dashboard_cost.Plan()
    scaled = dashboard.scaled(plan, options.minutes, options.rate, options.rounds, options.seconds)
    return dashboard_cost.measure(scaled, upstream, cores, say)


def _trials(
    options: argparse.Namespace, upstream: Upstream, cores: Cores, say: Say
) -> list[Figure]:
    scale = found.QUICK if options.quick else found.Scale()
    if options.seed is not None:
        scale = msgspec.structs.replace(scale, seed=options.seed)
    return registry.measure(scale, upstream, cores, options.charts, say)


def _overload(
    options: argparse.Namespace, upstream: Upstream, cores: Cores, say: Say
) -> list[Figure]:
    plan = overload.QUICK if options.quick else overload.Plan()
    if options.seed is not None:
        plan = msgspec.structs.replace(plan, seed=options.seed)
    return overload.measure(plan, upstream, cores, options.charts, say)


def _fleet(options: argparse.Namespace, upstream: Upstream, cores: Cores, say: Say) -> list[Figure]:
    plan = fleet.QUICK if options.quick else fleet.Plan()
    return fleet.measure(
        fleet.scaled(plan, options.minutes), options.postgres, options.valkey, cores, say
    )


def _capacity(
    options: argparse.Namespace, upstream: Upstream, cores: Cores, say: Say
) -> list[Figure]:
    return capacity_report.measure(options.set, options.seed or 1, options.charts, say)


def _leaks(options: argparse.Namespace, upstream: Upstream, cores: Cores, say: Say) -> list[Figure]:
    plan = leaks.QUICK if options.quick else leaks.Plan()
    return leaks.measure(
        leaks.scaled(plan, options.minutes, options.rate, options.seed), upstream, say
    )


def _restart(
    options: argparse.Namespace, upstream: Upstream, cores: Cores, say: Say
) -> list[Figure]:
    plan = restart.QUICK if options.quick else restart.Plan()
    if options.rate is not None:
        plan = msgspec.structs.replace(plan, rate=options.rate)
    return restart.measure(plan, upstream, say)


def _sockets(
    options: argparse.Namespace, upstream: Upstream, cores: Cores, say: Say
) -> list[Figure]:
    plan = sockets.QUICK if options.quick else sockets.Plan()
    return sockets.measure(sockets.scaled(plan, options.rounds, options.seconds), cores, say)


def _spread(
    options: argparse.Namespace, upstream: Upstream, cores: Cores, say: Say
) -> list[Figure]:
    plan = spread.QUICK if options.quick else spread.Plan()
    return spread.measure(plan, upstream, options.charts, say)


ZERO = (
    frozenset(
        {"ledger_wrong", "failover_failed", "restart_failed", "sockets_wrong", "trials_failed"}
    )
    | fleet.WRONG
)
"""Figures that have to be 0."""
GROUPS: Mapping[str, Group] = {
    "store": _store,
    "soak": _soak,
    "accounts": _accounts,
    "failover": _failover,
    "trials": _trials,
    "overload": _overload,
    "phases": _phases,
    "outside": _outside,
    "tracing": _tracing,
    "scrape": _scrape,
    "dashboard": _dashboard,
    "dashboard-cost": _dashboard_cost,
    "fleet": _fleet,
    "leaks": _leaks,
    "restart": _restart,
    "spread": _spread,
    "sockets": _sockets,
    "capacity": _capacity,
}


def table(figures: Sequence[Figure], facts: Mapping[str, str]) -> str:
    """For a terminal."""
    width = max(len(figure.label) for figure in figures)
    lines = [
        f"{figure.label:<{width}}  {_short(figure.value):>12} {figure.unit}" for figure in figures
    ]
    return "\n".join([*lines, "", ", ".join(facts.values())])


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def to_json(figures: Sequence[Figure], facts: Mapping[str, str]) -> bytes:
    """Both, for programs."""
    content = {"facts": facts, "figures": list(figures)}
    return msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"
