"""Where the microseconds of a request go: a budget by phase, in one thread, with objects in place of the sockets.

Phases are told by functions of the line itself (`PLACES`): each has what its functions do less what other phases do within
(`marks.py`). Two clocks, in turns of their own: nanoseconds, of which the tenth percentile over many requests is taken
phase by phase, less what the marks cost; and bytecodes, which are the same on every machine. What the loop does between
two steps is nobody's and in no figure, and neither is the kernel.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from bench.accounts import WAYS, settings_of
from bench.marks import Marks, Place, Toll, marked, tenth, toll
from bench.store import Figure
from bench.wires import TOKENS, Wires
from proxy.core import metrics
from proxy.core.config import parse
from proxy.gateway import (
    admission,
    answer,
    attempts,
    booking,
    charging,
    connection,
    event_relay,
    exchange,
    meter,
    outbound,
    pipeline,
    plan,
    relay,
    response,
    server,
    tally,
)
from proxy.limits import accounts
from proxy.state.snapshot import compile_snapshot
from proxy.upstream import connection as upstream
from proxy.upstream import pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from proxy.core.model import Snapshot

PHASES = {
    "head": "the client's connection: read, parse the head, its task",
    "dispatch": "which endpoint, the exchange",
    "pipeline": "from one step to the next",
    "authenticate": "authenticate",
    "body": "read the body, find model and stream in it",
    "plan": "plan: who may be asked, and who first",
    "limits": "limits: admit, give back",
    "attempt": "attempt: its gate, its timer, its outcome",
    "render": "write the upstream head, put the body right",
    "connect": "take a connection",
    "send": "send on it",
    "answer": "parse what the provider sends",
    "gate": "the first of the answer: is it one?",
    "respond": "the client's head, and the write",
    "relay": "relay",
    "settle": "settle: usage, price, what is owed",
    "ledger": "ledger: a start and an end",
    "metrics": "metrics, and the line for the log",
}
"""In a request's order."""

PLACES = tuple(
    Place(phase, owner, name)
    for phase, owner, names in (
        ("head", connection.ClientConnection, ("data_received", "start")),
        ("dispatch", server.Gateway, ("_answer",)),
        ("pipeline", pipeline, ("serve",)),
        ("authenticate", pipeline, ("authenticate",)),
        ("body", pipeline, ("_read",)),
        ("plan", pipeline, ("_plan",)),
        ("plan", plan.Plan, ("first", "succeeded", "ended")),
        ("limits", admission, ("admit", "enter", "ended")),
        ("limits", accounts.Accounts, ("settle",)),
        ("attempt", attempts, ("first_answer",)),
        ("render", outbound, ("render",)),
        ("connect", pool.Upstream, ("connect", "_give_back")),
        ("send", upstream.UpstreamConnection, ("exchange",)),
        ("answer", upstream.UpstreamConnection, ("data_received",)),
        ("gate", answer.Gate, ("head", "body", "end")),
        ("respond", response, ("respond",)),
        ("respond", exchange.Exchange, ("respond",)),
        ("relay", relay.Relay, ("begin", "complete")),
        ("relay", event_relay.EventRelay, ("_forward", "body", "end")),
        ("settle", meter.Meter, ("settle", "over")),
        ("settle", charging, ("bill",)),
        ("ledger", booking, ("entry",)),
        ("ledger", booking.Entry, ("begin", "end")),
        ("metrics", meter.Meter, ("ready", "answered")),
        ("metrics", metrics.Metrics, ("exchange",)),
        ("metrics", metrics.Bundle, ("finish",)),
        ("metrics", tally, ("stream", "usage", "answer", "line")),
    )
    for name in names
)
OUTER = tuple(
    Place("all", place.owner, place.name) for place in PLACES if place.phase in ("head", "answer")
)
"""The boundaries of everything: the same without marks in between."""
SHOWN: tuple[str, ...] = ("off", "limits")


class Plan(Struct, frozen=True):
    """How much of everything."""

    turns: int = 3000
    warm: int = 300
    counted: int = 20
    """Requests whose bytecodes are counted."""


QUICK = Plan(turns=40, warm=20, counted=2)


class Budget(Struct, frozen=True):
    """Of a request or a token, by phase."""

    time: dict[str, float]
    """Microseconds."""
    codes: dict[str, float]
    """Bytecodes."""
    whole: float
    """Microseconds of all of it with no marks within."""


def measure(scale: Plan, say: Callable[[str], None]) -> list[Figure]:
    """For each of SHOWN: every phase of a request, and what a token of a stream takes."""
    fee = toll()
    say(
        f"phases: a mark costs {fee.inside:.0f} ns inside and {fee.around:.0f} ns around: taken off"
    )
    found = [
        Figure("phases_mark", "a mark, taken off", (fee.inside + fee.around) / 1e3, "µs"),
    ]
    for way in SHOWN:
        with TemporaryDirectory(prefix="headrace-bench-") as name:
            request, token = asyncio.run(_budgets(way, Path(name), scale, fee))
        label = WAYS[way].label
        for what, budget in (("request", request), ("token", token)):
            for phase, microseconds in budget.time.items():
                title = f"{what}, {label}: {PHASES[phase]}"
                codes = budget.codes.get(phase, 0.0)
                found.append(Figure(f"phases_{way}_{what}_{phase}", title, microseconds, "µs"))
                found.append(Figure(f"codes_{way}_{what}_{phase}", title, codes, "bytecodes"))
            total = sum(budget.time.values())
            for kind, text, value in (
                ("sum", "all phases", total),
                ("whole", "all of it, without marks within", budget.whole),
            ):
                title = f"{what}, {label}: {text}"
                found.append(Figure(f"phases_{way}_{what}_{kind}", title, value, "µs"))
            codes = sum(budget.codes.values())
            title = f"{what}, {label}: all phases"
            found.append(Figure(f"codes_{way}_{what}_sum", title, codes, "bytecodes"))
        say(f"phases: {label} is measured")
    return found


async def _budgets(way: str, folder: Path, scale: Plan, fee: Toll) -> tuple[Budget, Budget]:
    text = settings_of(WAYS[way], folder, folder, "http://127.0.0.1:1")
    snapshot = compile_snapshot(parse(text).config)
    records = folder if WAYS[way].records else None
    timed = await _turns(snapshot, _below(records, "timed"), scale, Marks(), PLACES)
    plain = await _turns(snapshot, _below(records, "plain"), scale, Marks(), OUTER)
    with _counting() as counted:
        few = Plan(turns=scale.counted, warm=scale.warm, counted=0)
        codes = await _turns(snapshot, _below(records, "codes"), few, counted, PLACES)
    request, token = (
        Budget(
            time=_tenths([marks.net(fee) for marks in timed[what]], each),
            codes=_tenths([marks.net(Toll()) for marks in codes[what]], each, 1.0),
            whole=_tenths([marks.net(Toll()) for marks in plain[what]], each)["all"],
        )
        for what, each in (("request", 1), ("token", TOKENS - 1))
    )
    return request, token


def _below(folder: Path | None, name: str) -> Path | None:
    if folder is None:
        return None
    (folder / name).mkdir()
    return folder / name


class Taken(Struct, frozen=True):
    """What one turn took."""

    spent: dict[str, float]
    calls: dict[str, int]
    around: dict[str, int]

    def net(self, fee: Toll) -> dict[str, float]:
        marks = Marks()
        marks.spent, marks.calls, marks.around = self.spent, self.calls, self.around
        return marks.net(fee)


async def _turns(
    snapshot: Snapshot, folder: Path | None, scale: Plan, marks: Marks, places: tuple[Place, ...]
) -> dict[str, list[Taken]]:
    """A request, and the tokens of a stream, in turns."""
    found: dict[str, list[Taken]] = {"request": [], "token": []}

    def take(what: str, turn: int) -> None:
        if turn >= 0:
            found[what].append(Taken(marks.spent, marks.calls, marks.around))
        marks.restart()

    with ExitStack() as stack:
        stack.enter_context(marked(marks, places))
        wires = Wires(snapshot, folder, stack)
        gc.collect()
        gc.freeze()
        gc.disable()
        try:
            for turn in range(-scale.warm, scale.turns):
                marks.restart()
                await wires.whole()
                take("request", turn)
                await wires.begin()
                marks.restart()
                for _ in range(TOKENS - 1):
                    wires.token()
                take("token", turn)
                await wires.end()
                if not turn % 100:
                    gc.collect(0)
        finally:
            gc.enable()
            gc.unfreeze()
        await wires.close()
    return found


def _tenths(turns: list[dict[str, float]], each: int, unit: float = 1e3) -> dict[str, float]:
    """By phase, in the order of PHASES. A phase that is short may be less than its marks cost: then it is nothing."""
    names = {name for turn in turns for name in turn}
    return {
        name: max(tenth([turn.get(name, 0.0) for turn in turns]), 0.0) / each / unit
        for name in (*PHASES, "all")
        if name in names
    }


@contextmanager
def _counting() -> Iterator[Marks]:
    """Marks whose clock is the number of bytecodes so far, those of the bench apart."""
    number = 0
    here = str(Path(__file__).parent)

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal number
        if frame.f_code.co_filename.startswith(here):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        number += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield Marks(lambda: number)
    finally:
        sys.settrace(before)
