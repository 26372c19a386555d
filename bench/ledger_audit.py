"""Three ledgers beside each other: what the provider served, what clients saw, what the database holds.

Prices are worked out here in fractions, by nothing of the gateway's. Every difference is a line that begins with the id.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from contextlib import closing
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from bench.ledger_load import ABORTED, CUT, OK, SECOND
from bench.ledger_upstream import FINISHED, RESET
from bench.store import Figure
from proxy.core.model import Budget
from proxy.ledger.folder import CONTENT, TABLE
from proxy.ledger.reading import Reader
from proxy.limits.accounts import Accounts
from proxy.limits.subjects import Subject, digest_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from bench.ledger_acts import Act
    from bench.ledger_load import Asked
    from bench.ledger_upstream import Served, Usage
    from proxy.store.base import Store

PRICES = Fraction(3), Fraction(3, 4), Fraction(25, 2), Fraction(173, 10)
"""Micro-dollars a token: prompt, cached, completion, reasoning."""
AFTER = 3 * SECOND
"""For so long after a worker was killed a client may notice it."""
DRAIN = 30 * SECOND
"""As long as a worker may take to leave (`server.drain`)."""
BLIND = 7 * SECOND
"""For so long after a server of shared limits came back strict budgets may be refused: until it is asked again (1.2 s), has
heard of the hosts (1.25 s) and they have told it what they spent (3 s), and somewhat more on a busy machine."""
COLUMNS = (
    "rid, phase, outcome, key_id, input, cache_read, output, reasoning, source, cost, status, cause"
)


class Row(NamedTuple):
    """Of `requests`."""

    rid: str
    phase: int
    outcome: str
    key_id: str
    input: int
    cache_read: int
    output: int
    reasoning: int
    source: str
    cost: int | None
    status: int
    cause: str

    @property
    def tokens(self) -> int:
        return self.input + self.cache_read + self.output


class Money(NamedTuple):
    """What one key has used."""

    requests: int
    tokens: int
    micro: int


class Books:
    """What is in the database, in the table of limits and in the spool, once nobody runs any more."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.attempts: Counter[str] = Counter()
        """By request."""
        self.counters: dict[str, Money] = {}
        """By key."""
        self.statistics = Money(0, 0, 0)
        self.table: dict[str, tuple[int, int, int]] = {}
        """By key: spent, reserved (micro-dollars), requests under way, in the memory that workers share."""
        self.waiting = 0
        """Records that are not booked."""

    @classmethod
    async def read(cls, store: Store, folder: Path) -> Books:
        books = cls()
        books.rows = [
            Row(*row) for row in await store.fetch(f"SELECT {COLUMNS} FROM requests", timeout=60.0)
        ]
        for (rid,) in await store.fetch("SELECT rid FROM attempts", timeout=60.0):
            books.attempts[rid] += 1
        for subject, *sums in await store.fetch(
            "SELECT subject, CAST(SUM(requests) AS BIGINT), CAST(SUM(tokens) AS BIGINT),"
            " CAST(SUM(micro) AS BIGINT) FROM counters GROUP BY subject"
        ):
            books.counters[subject.removeprefix("key:")] = Money(*sums)
        ((requests, tokens, cost),) = await store.fetch(
            "SELECT CAST(SUM(requests) AS BIGINT), CAST(SUM(input + cache_read + cache_write + output) AS BIGINT),"
            " CAST(SUM(cost) AS BIGINT) FROM statistics WHERE span = 3600"
        )
        books.statistics = Money(requests or 0, tokens or 0, cost or 0)
        with closing(Accounts.open(folder / TABLE, None, 2)) as accounts:
            for key in books.counters:
                subject = f"key:{key}"
                budget = Budget(1.0, "total")
                view = accounts.view(
                    Subject("key", key, subject, digest_of(subject), budget=budget)
                )
                books.table[key] = view.spent, view.reserved, view.inflight
        for one in (folder, folder / CONTENT):
            if one.is_dir() and (batch := Reader(one, whole=True).take()) is not None:
                books.waiting += len(batch.records)
        return books


async def booked(store: Store, *, exactly: bool = False) -> int:
    """Requests that are over, in the database. Raises StoreDown."""
    if exactly:
        sql = "SELECT count(*) FROM requests WHERE phase = 3"
    else:  # which costs nothing, and leaves out those that were never sent
        sql = "SELECT CAST(COALESCE(SUM(requests), 0) AS BIGINT) FROM counters"
    ((number,),) = await store.fetch(sql)
    return int(number)


def cost(usage: Usage) -> int:
    """Micro-dollars, rounded half up."""
    prompt, cached, completion, reasoning = PRICES
    total = (
        (usage.prompt - usage.cached) * prompt
        + usage.cached * cached
        + (usage.completion - usage.reasoning) * completion
        + usage.reasoning * reasoning
    )
    return int(total + Fraction(1, 2))


def audit(
    asked: Sequence[Asked], served: Iterable[Served], acts: Sequence[Act], books: Books
) -> tuple[list[str], list[Figure]]:
    """(what is wrong, the figures)"""
    by_id: dict[str, list[Row]] = defaultdict(list)
    for row in books.rows:
        by_id[row.rid.rpartition(":")[2]].append(row)
    tries: dict[str, list[Served]] = defaultdict(list)
    for one in served:
        tries[one.id].append(one)
    clients = {one.id: one for one in asked}
    wrong: list[str] = []
    lost, twice = _presence(tries, clients, by_id, wrong)
    for id, rows in by_id.items():
        if id in clients and len(rows) == 1:
            _compare(clients[id], tries.get(id, []), rows[0], books.attempts, wrong)
    strangers = by_id.keys() - clients.keys()
    wrong += [f"{id}: in the database, and asked by nobody" for id in sorted(strangers)]
    classes = _failures(asked, tries, acts, wrong)
    _sums(books, wrong)
    return wrong, _figures(asked, tries, books, lost, twice, classes)


def _presence(
    tries: Mapping[str, list[Served]],
    clients: Mapping[str, Asked],
    by_id: Mapping[str, list[Row]],
    wrong: list[str],
) -> tuple[int, int]:
    """Everybody once. (lost, twice)"""
    due = tries.keys() | {one.id for one in clients.values() if one.fate == OK}
    lost = sorted(due - by_id.keys())
    wrong += [f"{id}: lost; the client's: {clients[id].fate}" for id in lost]
    twice = sorted(id for id, rows in by_id.items() if len(rows) > 1)
    wrong += [f"{id}: {len(by_id[id])} rows" for id in twice]
    return len(lost), len(twice)


def _compare(
    client: Asked, tries: Sequence[Served], row: Row, attempts: Mapping[str, int], wrong: list[str]
) -> None:
    """One request in all three."""
    id = client.id
    last = tries[-1] if tries else None
    if row.phase != 3:
        wrong.append(f"{id}: has no end: {row}")
    elif client.fate == OK:
        usage = client.usage or (None if last is None else last.usage)
        if last is None or last.fate != FINISHED or usage != last.usage:
            wrong.append(f"{id}: the client has it whole, the provider says {tries}")
        elif row.outcome != "ok" or row.source != "reported":
            wrong.append(f"{id}: the client has it whole, the database says {row}")
        else:
            _amounts(id, usage, row, wrong)
    elif row.outcome == "ok":
        # It was over for us, and its last bytes were lost on the way.
        if last is None or last.fate != FINISHED:
            wrong.append(f"{id}: in the database as whole, the provider says {tries}")
        else:
            _amounts(id, last.usage, row, wrong)
    elif row.cost is None:
        wrong.append(f"{id}: at an unknown cost: {row}")
    if row.outcome != "unknown" and attempts.get(row.rid, 0) * 2 < len(tries):
        # Each of its attempts may be sent again, once, where the connection had been closed.
        wrong.append(f"{id}: asked {len(tries)} times, {attempts.get(row.rid, 0)} recorded: {row}")


def _amounts(id: str, usage: Usage, row: Row, wrong: list[str]) -> None:
    due = (
        usage.prompt - usage.cached,
        usage.cached,
        usage.completion,
        usage.reasoning,
        cost(usage),
    )
    has = (row.input, row.cache_read, row.output, row.reasoning, row.cost)
    if due != has:
        wrong.append(f"{id}: (input, cached, output, reasoning, micro) is {has}, should be {due}")


def _failures(
    asked: Sequence[Asked],
    tries: Mapping[str, list[Served]],
    acts: Sequence[Act],
    wrong: list[str],
) -> Counter[str]:
    """What became of requests that clients did not get whole, and whose doing it was."""
    cache = [(act.at - SECOND, act.until + BLIND) for act in acts if act.name.endswith(" cache")]
    kills = sorted(act.at for act in acts if act.name == "kill worker")
    ends = sorted(act.at for act in acts if act.name == "end worker")
    # A server that has just started gives strict budgets nothing until it was told what they are.
    start = asked[0].began + BLIND if cache else 0
    classes: Counter[str] = Counter()
    for one in asked:
        if one.fate == OK:
            continue
        found = tries.get(one.id, [])
        if one.fate == ABORTED:
            name = "the client left"
        elif found and found[-1].fate == RESET:
            name = "the provider's connection was reset"
        elif one.fate == CUT and _during(kills, one):
            name = "its worker was killed"
        elif (
            one.fate == CUT
            and not found
            and one.said == "after 0 bytes"
            and _during(ends, one, DRAIN)
        ):
            # A worker that leaves closes connections that are idle; on this one a request had come that it had not read.
            name = "sent on a connection that was being closed"
        elif (
            one.said.startswith("503")
            and '"state_unavailable"' in one.said
            and (one.began < start or any(at <= one.began <= until for at, until in cache))
        ):
            name = "a strict budget, and no server of shared limits"
        elif one.said.startswith("503") and '"gateway_overloaded"' in one.said and not found:
            # So a machine is that has others to serve, too: these are told, and none of them is lost.
            name = "the gateway had too much to do"
        else:
            name = "without a reason"
            wrong.append(
                f"{one.id}: failed without a reason: {one.fate} {one.said}; provider: {found}"
            )
        classes[name] += 1
    return classes


def _during(times: Sequence[int], one: Asked, after: int = AFTER) -> bool:
    """Whether one of them fell into it, or just before it."""
    number = bisect_right(times, one.ended)
    return bool(number) and one.ended - times[number - 1] <= after


def _sums(books: Books, wrong: list[str]) -> None:
    rows: dict[str, list[Row]] = defaultdict(list)
    for row in books.rows:
        if row.key_id and (books.attempts.get(row.rid) or row.outcome == "unknown"):
            rows[row.key_id].append(row)
    for key in sorted(rows.keys() | books.counters.keys()):
        has = books.counters.get(key)
        due = _money(rows[key])
        if has != due:
            wrong.append(f"key {key}: counters say {has}, its requests {due}")
        spent, reserved, inflight = books.table.get(key, (0, 0, 0))
        if (spent, reserved, inflight) != (due.micro, 0, 0):
            wrong.append(
                f"key {key}: the table of limits says {spent} spent, {reserved} reserved, {inflight} under way;"
                f" its requests {due}"
            )
    due = _money(books.rows)
    if books.statistics != due:
        wrong.append(f"statistics say {books.statistics}, requests {due}")
    if books.waiting:
        wrong.append(f"the spool has {books.waiting} records left")


def _money(rows: Sequence[Row]) -> Money:
    return Money(len(rows), sum(one.tokens for one in rows), sum(one.cost or 0 for one in rows))


def _figures(
    asked: Sequence[Asked],
    tries: Mapping[str, list[Served]],
    books: Books,
    lost: int,
    twice: int,
    classes: Mapping[str, int],
) -> list[Figure]:
    outcomes = Counter(row.outcome for row in books.rows)
    finished = [one.usage for some in tries.values() for one in some if one.fate == FINISHED]
    usages = {id: some[-1].usage for id, some in tries.items()}
    whole = [one.usage or usages[one.id] for one in asked if one.fate == OK and one.id in usages]
    totals = _money(books.rows)
    result = [
        Figure("ledger_whole", "whole at the client", sum(one.fate == OK for one in asked), ""),
        Figure("ledger_begun", "begun at the provider", len(tries), ""),
        Figure("ledger_rows", "in the database", len(books.rows), ""),
        *(
            Figure(f"ledger_outcome_{name}", f"... {name}", number, "")
            for name, number in sorted(outcomes.items())
        ),
        *(
            Figure(
                "ledger_failed_" + name.replace(" ", "_").replace("'", ""),
                f"failed: {name}",
                number,
                "",
            )
            for name, number in sorted(classes.items())
        ),
        Figure("ledger_lost", "lost", lost, ""),
        Figure("ledger_twice", "twice", twice, ""),
    ]
    for name, label, tokens, micro in (
        ("client", "whole at the client", sum(map(_tokens, whole)), sum(map(cost, whole))),
        (
            "provider",
            "finished at the provider",
            sum(map(_tokens, finished)),
            sum(map(cost, finished)),
        ),
        ("database", "in the database", totals.tokens, totals.micro),
    ):
        result += [
            Figure(f"ledger_tokens_{name}", f"tokens {label}", tokens, ""),
            Figure(f"ledger_dollars_{name}", f"dollars {label}", micro / 1e6, "$"),
        ]
    return result


def _tokens(usage: Usage) -> int:
    return usage.prompt + usage.completion
