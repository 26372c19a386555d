"""From records of the spool to rows: what of each is written, under which names."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field
from msgspec.structs import astuple

from proxy.ledger.records import Adjust, Content, End, Progress, Start, Tokens
from proxy.store.bulk import REAL, TEXT, WHOLE

if TYPE_CHECKING:
    from proxy.ledger.records import Record, Try
    from proxy.store.base import Row

LONGEST: Final = 512
"""Characters of what somebody else chose: a client, a provider. An index takes no longer ones."""

_TOKENS: Final = Tokens.__struct_fields__
START: Final = (
    "rid", "at", "attempt", "booked", "key_id", "key", "team", "owner", "route", "operation", "dialect",
    "stream", "asked", "model", "deployment", "provider", "upstream_model",
)  # fmt: skip
PROGRESS: Final = ("rid", "at", "progressed", "booked", *_TOKENS, "cost")
END: Final = (
    "rid", "at", "attempt", "progressed", "booked", "key_id", "key", "team", "owner", "route",
    "operation", "dialect", "stream", "asked", "model", "deployment", "provider", "upstream_model",
    "status", "outcome", "cause", "finish", "queue_ms", "connect_ms", "ttft_ms", "total_ms",
    "overhead_ms", *_TOKENS, "source", "cost", "estimate", "cost_upstream", "bytes_in", "bytes_out",
    "client", "user_agent",
)  # fmt: skip
ATTEMPT: Final = (
    "rid", "number", "deployment", "provider", "credential", "upstream_model", "dialect", "status",
    "outcome", "cause", "started_ms", "connect_ms", "ttft_ms", "total_ms", "cost",
)  # fmt: skip
CONTENT: Final = ("rid", "at", "request", "response")
ADJUST: Final = ("rid", "at", "subject", '"window"', "requests", "tokens", "micro")

_TEXTS: Final = frozenset((
    "rid", "key_id", "key", "team", "owner", "route", "operation", "dialect", "asked", "model", "deployment",
    "provider", "upstream_model", "outcome", "cause", "finish", "source", "client", "user_agent", "credential",
    "request", "response", "subject", "host",
))  # fmt: skip
_REALS: Final = frozenset((
    "at", "progressed", "booked", "queue_ms", "connect_ms", "ttft_ms", "total_ms", "overhead_ms", "started_ms",
    "seconds", "ttft_sum", "total_sum",
))  # fmt: skip


def kinds(names: Iterable[str]) -> dict[str, str]:
    """What is in these columns, in whatever table of the ledger."""
    return {name: TEXT if name in _TEXTS else REAL if name in _REALS else WHOLE for name in names}


class Delivery(Struct):
    """Records by request, one of each kind: of several beginnings the last attempt's, of progress the latest.

    A request that ended needs nothing else.
    """

    starts: dict[str, Start] = field(default_factory=dict)
    progress: dict[str, Progress] = field(default_factory=dict)
    ends: dict[str, End] = field(default_factory=dict)
    adjusts: dict[str, Adjust] = field(default_factory=dict)
    contents: dict[str, Content] = field(default_factory=dict)


def sort(records: Iterable[Record], over: Container[str] = ()) -> Delivery:
    """What there is to write. `over`: more requests that ended."""
    found = Delivery()
    for record in records:
        match record:
            case End():
                found.ends.setdefault(record.rid, record)
            case Start():
                start = found.starts.get(record.rid)
                if start is None or record.attempt > start.attempt:
                    found.starts[record.rid] = record
            case Progress():
                progress = found.progress.get(record.rid)
                if progress is None or record.at > progress.at:
                    found.progress[record.rid] = record
            case Adjust():
                found.adjusts.setdefault(record.rid, record)
            case Content():
                found.contents.setdefault(record.rid, record)
    for some in (found.starts, found.progress):
        for rid in [rid for rid in some if rid in found.ends or rid in over]:
            del some[rid]
    return found


def of_start(one: Start, booked: float) -> Row:
    """As START."""
    return (
        one.rid, one.at, one.attempt, booked, one.key_id, one.key, one.team, one.owner, one.route,
        one.operation, one.dialect, int(one.stream), _theirs(one.asked), _theirs(one.model),
        one.deployment, one.provider, _theirs(one.upstream_model),
    )  # fmt: skip


def of_progress(one: Progress, booked: float) -> Row:
    """As PROGRESS. Where nothing else is known of the request, it came when it went on."""
    return (one.rid, one.at, one.at, booked, *_tokens(one.tokens), _known(one.cost))


def of_end(one: End, booked: float) -> Row:
    """As END."""
    asked, model, upstream_model = one.asked, one.model, one.upstream_model
    finish, client, user_agent = one.finish, one.client, one.user_agent
    theirs = asked + model + upstream_model + finish + client + user_agent
    if len(theirs) > LONGEST or "\0" in theirs:
        asked, model, upstream_model = _theirs(asked), _theirs(model), _theirs(upstream_model)
        finish, client, user_agent = _theirs(finish), _theirs(client), _theirs(user_agent)
    queue, connect, ttft, total = one.queue_ms, one.connect_ms, one.ttft_ms, one.total_ms
    overhead, cost, estimate, upstream = one.overhead_ms, one.cost, one.estimate, one.cost_upstream
    # Without a call for each: this is done for every request there is.
    return (
        one.rid, one.at, len(one.tries), 0.0, booked, one.key_id, one.key, one.team, one.owner,
        one.route, one.operation, one.dialect, 1 if one.stream else 0, asked, model,
        one.deployment, one.provider, upstream_model, one.status, one.outcome, one.cause, finish,
        None if queue < 0 else queue, None if connect < 0 else connect,
        None if ttft < 0 else ttft, None if total < 0 else total,
        None if overhead < 0 else overhead, *astuple(one.tokens), one.source,
        None if cost < 0 else cost, None if estimate < 0 else estimate,
        None if upstream < 0 else upstream, one.bytes_in, one.bytes_out, client, user_agent,
    )  # fmt: skip


def of_try(rid: str, one: Try) -> Row:
    """As ATTEMPT."""
    (
        number, deployment, provider, credential, upstream_model, dialect, status, outcome, cause,
        started, connect, ttft, total, cost,
    ) = astuple(one)  # fmt: skip
    if len(upstream_model) > LONGEST or "\0" in upstream_model:
        upstream_model = _theirs(upstream_model)
    return (
        rid, number, deployment, provider, credential, upstream_model, dialect, status, outcome,
        cause, None if started < 0 else started, None if connect < 0 else connect,
        None if ttft < 0 else ttft, None if total < 0 else total, None if cost < 0 else cost,
    )  # fmt: skip


def of_content(one: Content) -> Row:
    """As CONTENT."""
    return one.rid, one.at, _clean(one.request), _clean(one.response)


def of_adjust(one: Adjust) -> Row:
    """As ADJUST."""
    charge = one.charge
    return one.rid, one.at, charge.subject, charge.window, one.requests, one.tokens, one.cost


def _tokens(one: Tokens) -> Row:
    return astuple(one)


def _known(number: Any) -> Any:
    """-1 is never, or unknown."""
    return None if number < 0 else number


def _theirs(text: str) -> str:
    """What somebody else chose: it may be anything, and is no reason to lose a request."""
    return _clean(text[:LONGEST])


def _clean(text: str) -> str:
    return text.replace("\0", "\ufffd") if "\0" in text else text
