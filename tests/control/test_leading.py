"""One host looks at what nobody uses, and the others know what it saw."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from proxy.control.leading import MOST, Leading, Word, digest
from proxy.core.model import Deployment, Health, Provider
from proxy.state.live import DeploymentState
from proxy.store import contest, postgres, sqlite  # noqa: F401 - imported here, where it blocks no loop
from proxy.store.opening import Database, open_store
from tests.line.harness import until


def state(name: str = "d", url: str = "http://one.invalid", model: str = "up") -> DeploymentState:
    return DeploymentState(Deployment(name, Provider("p", url, {}), model), Health())


@pytest_asyncio.fixture
async def hosts(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Leading, Leading]]:
    """One that leads, one that does not; both stand for their host."""
    monkeypatch.setattr(contest, "BEAT", 0.02)
    stores = [open_store(postgres_url) for _ in range(2)]
    one, other = map(Leading, stores)
    one.begin()
    await until(lambda: one.leads)
    other.begin()
    yield one, other
    for leading in (one, other):
        await leading.close()
    for store in stores:
        await store.close()


@pytest.fixture
def file(tmp_path: Path) -> Database:
    return open_store(f"sqlite:///{tmp_path}/headrace.db")


async def test_a_host_alone_leads(file: Database) -> None:
    for leading in (Leading(), Leading(file)):
        leading.begin()
        leading.tell([state()], doubt=True)  # nobody is there
        assert leading.leads
        await leading.close()


async def test_who_does_not_stand_for_its_host_does_not_lead_it(postgres_url: str) -> None:
    leading = Leading(open_store(postgres_url))

    assert not leading.leads
    await leading.close()


async def test_what_the_leader_tells_is_heard_by_the_other_alone(
    hosts: tuple[Leading, Leading],
) -> None:
    one, other = hosts
    here: list[Word] = []
    there: list[str] = []
    doubts: set[bool] = set()

    def hear(word: Word) -> None:
        there.extend(word.digests)
        doubts.add(word.doubt)

    one.hear, other.hear = here.append, hear
    some = [state(f"d{at}") for at in range(MOST + 1)]
    other.tell(some, doubt=False)  # it has nothing to say

    async with asyncio.timeout(5):
        while len(set(there)) <= MOST:  # it listens a little later than it begins
            one.tell(some, doubt=True)
            await asyncio.sleep(0.02)

    assert set(there) == {digest(one) for one in some}
    assert doubts == {True}
    assert not here


async def test_what_is_no_word_of_ours_is_passed_over(
    hosts: tuple[Leading, Leading], caplog: pytest.LogCaptureFixture
) -> None:
    _, other = hosts
    heard: list[Word] = []
    other.hear = heard.append

    for text in ("", "[1]", '[["a"],true,"more"]', '[["a"],1]'):
        other._heard(text)

    assert [word.digests for word in heard] == [("a",)]  # what a later version adds may be there
    assert "another version" in caplog.text


def test_a_name_that_means_something_else_is_another() -> None:
    assert digest(state()) == digest(state())
    others = [state("e"), state(url="http://two.invalid"), state(model="down")]
    assert len({digest(one) for one in (state(), *others)}) == 4
