"""Whether a request may begin, and whether it may go to a deployment: what those who are limited can still take.

    admit -> key, team, model and the whole installation; what is held is in `exchange.hold` until it is settled
    enter -> the deployment and the credential that were chosen, and a fallback's model; a refusal moves the request on
    leave -> they gave no answer

Where nothing is limited none of this costs more than looking whether it is.
"""

from __future__ import annotations

from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from proxy.gateway import estimating, limited, ratelimit_headers
from proxy.gateway.exchange import NOTHING
from proxy.gateway.refusals import refusal, unrecorded
from proxy.limits.accounts import Ask, Refused, Short, Used
from proxy.limits.subjects import of_credential, of_deployment, of_model

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from proxy.core.errors import ProxyError
    from proxy.gateway.exchange import Exchange
    from proxy.gateway.limited import Limited
    from proxy.gateway.plan import Candidate, Plan, Step
    from proxy.limits.accounts import Accounts, Charge, Hold
    from proxy.limits.subjects import Subject
    from proxy.state.state import State


T = TypeVar("T")
_SHARES = 8
"""Shares that one request may have to wait for: two of each who is limited."""


def admit(exchange: Exchange, plan: Plan, state: State) -> Awaitable[None] | None:
    """What is to be awaited before it is, where a share has to be fetched first: hardly ever anything.

    Raises ProxyError, and so does what is awaited: limit, budget, no_state, bad_req (price_unknown, max_tokens_required).
    """
    found: Limited | None = plan.route.limited.get((exchange.key, plan.matched))
    if found is None or found.snapshot is not state.snapshot:
        found = limited.of(exchange.key, plan, state)
    if found.recorded and state.spool is not None and state.spool.full:
        raise unrecorded()
    subjects, accounts = found.subjects, state.accounts
    if not subjects:
        return None
    assert accounts is not None
    asked = NOTHING
    if found.money or found.tokens:
        asked = exchange.reserve = _expected(exchange, found)
    try:
        hold = accounts.admit(subjects, asked)
    except (Refused, Short) as refused:
        return _admit_later(exchange, found, refused, state)
    _admitted(exchange, found, hold)
    return None


def _expected(exchange: Exchange, found: Limited) -> Ask:
    spends = found.costs.glance()
    spends = 0 if spends is None else spends + spends // 2
    if spends and found.lean:
        asked = estimating.as_usual(exchange, found.tariff, spends)
        if asked is not None:
            return asked
    usual = found.answers.glance()
    return estimating.ask(
        exchange,
        found.tariff,
        money=found.money,
        strict=found.strict,
        usual=0 if usual is None else usual + usual // 2,
        spends=spends,
    )


async def _admit_later(
    exchange: Exchange, found: Limited, refused: Refused | Short, state: State
) -> None:
    accounts = state.accounts
    assert accounts is not None
    try:
        take = partial(accounts.admit, found.subjects, exchange.reserve)
        hold = await _fetched(refused, take, state)
    except Refused as final:
        raise _turned_away(exchange, final, state) from None
    _admitted(exchange, found, hold)


def _admitted(exchange: Exchange, found: Limited, hold: Hold) -> None:
    exchange.hold = hold
    if found.tokens:
        hold.answers = found.answers
    if found.money:
        hold.costs = found.costs
    exchange.limits = ratelimit_headers.of(exchange.endpoint.family, hold)


async def enter(exchange: Exchange, plan: Plan, candidate: Candidate, state: State) -> Step | None:
    """Ask for room at a deployment, its credential, and a model nobody asked for, before anything is sent; None: there is.

    Else what to do next; the candidate has been given back.
    """
    accounts = state.accounts
    if accounts is None:
        return None
    subjects = _met_by(candidate, plan, state)
    if not subjects:
        return None
    asked = _reserve(exchange, plan, subjects, state)
    hold = _held(exchange, accounts, asked)
    try:
        accounts.add(hold, subjects, asked)
    except (Refused, Short) as refused:
        try:
            await _fetched(refused, partial(accounts.add, hold, subjects, asked), state)
        except Refused as final:
            _count(final, state)
            plan.ended(candidate)
            return plan.full(candidate, final, monotonic())
    _remember(exchange, plan, subjects, state)
    candidate.subjects = subjects
    return None


def beside(
    exchange: Exchange, plan: Plan, candidate: Candidate, other: Candidate, state: State
) -> bool:
    """Whether there is room for a second attempt at `candidate` while `other` is under way, at once and apart from that."""
    accounts = state.accounts
    if accounts is None:
        return True
    subjects = _met_by(candidate, plan, state)
    if not subjects:
        return True
    if {one.digest for one in subjects} & {one.digest for one in other.subjects}:
        return False
    asked = _reserve(exchange, plan, subjects, state)
    hold = _held(exchange, accounts, asked)
    try:
        accounts.add(hold, subjects, asked)
    except (Refused, Short):
        return False
    _remember(exchange, plan, subjects, state)
    candidate.subjects = subjects
    return True


def _held(exchange: Exchange, accounts: Accounts, asked: Ask) -> Hold:
    """What it holds; of nobody yet, where nobody was limited before."""
    hold = exchange.hold
    if hold is None:
        hold = exchange.hold = accounts.admit((), asked)
    return hold


def _met_by(candidate: Candidate, plan: Plan, state: State) -> tuple[Subject, ...]:
    """Who is limited where it is about to be sent."""
    of, deployment, credential = state.subjects.of, candidate.deployment, candidate.credential
    found = [of(deployment, of_deployment)]
    if credential is not None:
        found.append(of(credential, of_credential))
    if candidate.model is not plan.model:
        found.append(of(candidate.model, of_model))  # asked for by nobody: a fallback
    return tuple(one for one in found if one is not None)


def strict(exchange: Exchange, plan: Plan, state: State) -> bool:
    """Whether a budget that is never exceeded has to bear it."""
    if exchange.hold is None:
        return False
    found: Limited | None = plan.route.limited.get((exchange.key, plan.matched))
    if found is None or found.snapshot is not state.snapshot:
        found = limited.of(exchange.key, plan, state)
    return found.strict


def leave(
    exchange: Exchange,
    candidate: Candidate,
    state: State,
    *,
    sent: bool,
    book: Callable[[Sequence[Charge]], Sequence[int]] | None = None,
) -> tuple[Charge, ...]:
    """A deployment that was entered gave no answer. What was `sent` to it counts as a request of its, in these windows,
    which `book` is told first (`Accounts.drop`)."""
    accounts, hold = state.accounts, exchange.hold
    if accounts is not None and hold is not None and candidate.subjects:
        charges = accounts.drop(hold, candidate.subjects, 1 if sent else 0, book)
        candidate.subjects = ()
        return charges
    return ()


def ended(exchange: Exchange, state: State, *, dispatched: bool) -> None:
    """Whatever happened, nothing is held any more. Does nothing where what was used has been settled."""
    accounts, hold = state.accounts, exchange.hold
    if accounts is None or hold is None or hold.settled:
        return
    asked = exchange.reserve
    accounts.settle(hold, Used(asked.tokens, asked.likely) if dispatched else Used(requests=0))


async def _fetched(refused: Refused | Short, take: Callable[[], T], state: State) -> T:
    """What `take` gives, once there is enough of the shares it was short of. Raises Refused."""
    for _ in range(_SHARES):
        if isinstance(refused, Refused):
            raise refused
        if state.shares is None or not await state.shares.fetch(refused):
            break
        try:
            return take()
        except (Refused, Short) as again:
            refused = again
    if isinstance(refused, Short):
        refused = Refused(refused.subject, refused.what, refused.wait)
    raise refused


def _reserve(exchange: Exchange, plan: Plan, subjects: Sequence[Subject], state: State) -> Ask:
    """What the request may take, as far as one of these counts it."""
    tokens = money = strict = False
    for one in subjects:
        budget = one.budget
        if budget is not None:
            money = True
            strict = strict or budget.strict
        elif one.tpm or one.quota is not None:
            tokens = True
    if not money and (not tokens or exchange.reserve.tokens):
        return exchange.reserve
    found = estimating.tariff(plan.route, plan.matched, state.snapshot)
    key_id, model = exchange.key.id if exchange.key is not None else "", plan.model.name
    usual = state.answers.p95(key_id, model)
    spends = state.costs.p95(key_id, model) if money else None
    asked = estimating.ask(
        exchange,
        found,
        money=money,
        strict=strict,
        usual=0 if usual is None else usual + usual // 2,
        spends=0 if spends is None else spends + spends // 2,
    )
    before = exchange.reserve
    if before is NOTHING or money:
        exchange.reserve = asked
    elif not before.tokens:  # nobody counted them before
        exchange.reserve = Ask(asked.tokens, before.likely, before.worst)
    return asked


def _remember(exchange: Exchange, plan: Plan, subjects: Sequence[Subject], state: State) -> None:
    """Have what it comes to added to what requests like it usually come to, as far as one of these counts it."""
    hold = exchange.hold
    assert hold is not None
    key_id, model = exchange.key.id if exchange.key is not None else "", plan.model.name
    for one in subjects:
        if one.tpm or one.quota is not None:
            hold.answers = state.answers.of(key_id, model)
        if one.budget is not None:
            hold.costs = state.costs.of(key_id, model)


def _turned_away(exchange: Exchange, refused: Refused, state: State) -> ProxyError:
    _count(refused, state)
    rate = refused.standing
    if rate is not None:
        requests, tokens = (None, rate) if refused.what == "tpm" else (rate, None)
        exchange.limits = ratelimit_headers.render(exchange.endpoint.family, requests, tokens)
    return refusal(refused)


def _count(refused: Refused, state: State) -> None:
    state.metrics.ratelimit_rejections.child(refused.subject.kind, refused.what).inc()
