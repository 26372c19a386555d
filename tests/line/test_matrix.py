"""Every client dialect with every provider dialect, streamed and whole, one question after another, through the whole proxy.

The provider is simulated and strict: it refuses what its vendor would. What it says is known, so an answer is compared
with that and not with what our own readers make of it; every body and stream is held against its vendor's rules.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.line.harness import Proxy, Simulator, serving
from tests.line.matrix_cases import ALSO_CONVERTED, CASES, COUNTS, Case, counted
from tests.line.matrix_errors import BREAKS, REFUSALS, Failure, broken, folded, refused
from tests.line.matrix_line import CLIENTS, MODES, PROVIDERS, Line, Pair, configuration

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.allow_blocking("long answers are read and checked in the loop of the proxy"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def proxy(sim: Simulator, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Proxy]:
    """One for all of them."""
    async with serving(configuration(sim.url), tmp_path_factory.mktemp("matrix")) as proxy:
        yield proxy


def pairs(*modes: str) -> Iterator[Pair]:
    """Everybody with everybody, and with themselves."""
    for mode in modes:
        for client in CLIENTS:
            for provider in PROVIDERS:
                yield Pair(client, provider, False, mode)
                yield Pair(client, provider, True, mode)


def rows(cases: tuple[Case, ...], *modes: str) -> list[object]:
    """The table, as parameters of a test."""
    return [
        pytest.param(pair, case, id=f"{pair.name}-{case.name}")
        for case in cases
        for pair in pairs(*modes)
        if not pair.words & case.without.keys()
    ]


@pytest.mark.parametrize(("pair", "case"), rows(CASES, ""))
async def test_an_answer_says_what_the_provider_said(
    proxy: Proxy, sim: Simulator, pair: Pair, case: Case
) -> None:
    await case.check(Line(proxy, sim.port, pair, case.steering))


CONVERTING = tuple(mode for mode in MODES if mode)
CONVERTED = tuple(case for case in CASES if case.name in ALSO_CONVERTED)


@pytest.mark.parametrize(("pair", "case"), rows(CONVERTED, *CONVERTING))
async def test_an_answer_is_the_same_from_a_provider_that_cannot_do_both(
    proxy: Proxy, sim: Simulator, pair: Pair, case: Case
) -> None:
    await case.check(Line(proxy, sim.port, pair, case.steering))


def failures(known: tuple[Failure, ...], *pairs: Pair) -> list[object]:
    """All of them for each pair, as parameters of a test."""
    return [
        pytest.param(pair, failure, id=f"{pair.name}-{failure.name}")
        for failure in known
        for pair in pairs
    ]


REFUSED = failures(REFUSALS, *pairs("")) + failures(REFUSALS[-2:], *pairs(*CONVERTING))


@pytest.mark.parametrize(("pair", "failure"), REFUSED)
async def test_a_refusal_is_told_as_the_clients_vendor_would(
    proxy: Proxy, sim: Simulator, pair: Pair, failure: Failure
) -> None:
    await refused(Line(proxy, sim.port, pair, failure.steering), failure)


STREAMED = [pair for pair in pairs("", "only streams") if pair.stream]


@pytest.mark.parametrize(("pair", "failure"), failures(BREAKS, *STREAMED))
async def test_a_stream_that_breaks_off_does_not_look_like_a_whole_one(
    proxy: Proxy, sim: Simulator, pair: Pair, failure: Failure
) -> None:
    await broken(Line(proxy, sim.port, pair, failure.steering), failure)


FOLDED = [pair for pair in pairs("only streams") if not pair.stream]


@pytest.mark.parametrize(("pair", "failure"), failures(BREAKS, *FOLDED))
async def test_half_a_stream_is_no_whole_answer(
    proxy: Proxy, sim: Simulator, pair: Pair, failure: Failure
) -> None:
    await folded(Line(proxy, sim.port, pair, failure.steering), failure)


COUNTERS = [pair for pair in pairs("") if pair.client in COUNTS and not pair.stream]


@pytest.mark.parametrize("pair", COUNTERS, ids=lambda pair: f"{pair.client}-from-{pair.provider}")
async def test_tokens_are_counted_or_it_is_said_that_they_are_not(
    proxy: Proxy, sim: Simulator, pair: Pair
) -> None:
    await counted(Line(proxy, sim.port, pair, "n6-in500-strict"))
