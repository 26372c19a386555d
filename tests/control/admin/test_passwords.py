"""Password hashes: strong enough, in few threads, and never on the loop."""

from __future__ import annotations

import asyncio
import threading

import pytest
from argon2 import PasswordHasher, extract_parameters

from proxy.control.admin import passwords
from proxy.control.admin.passwords import QUEUE, THREADS, Gate, is_stale
from proxy.control.admin.web import Problem

WEAK = PasswordHasher(time_cost=1, memory_cost=8_192, parallelism=1)


async def test_a_hash_is_argon2id_with_what_owasp_asks_for() -> None:
    kept = await Gate().hash("a password")

    assert kept.startswith("$argon2id$")
    found = extract_parameters(kept)
    assert (found.memory_cost, found.time_cost, found.parallelism) == (19_456, 2, 1)
    assert not is_stale(kept)
    assert is_stale(WEAK.hash("a password"))


@pytest.mark.parametrize("password", ["a password", "", "\ud83d\ude00", "\ud800", "p\0q"])
async def test_only_the_password_itself_verifies(password: str) -> None:
    gate = Gate()
    kept = await gate.hash(password)

    assert await gate.verify(kept, password)
    assert not await gate.verify(kept, password + "x")


@pytest.mark.parametrize("kept", [None, "", "plain", "$argon2id$v=19$m=19456", "$2b$12$abc"])
async def test_what_is_no_hash_verifies_nothing(kept: str | None) -> None:
    assert not await Gate().verify(kept, "plain")
    assert not await Gate().verify(kept, "")


async def test_nobody_costs_what_somebody_costs() -> None:
    real = extract_parameters(await Gate().hash("a password"))

    assert extract_parameters(passwords._DUMMY) == real
    # Even the word that the hash for nobody was made of is nobody's.
    assert await Gate().verify(passwords._DUMMY, "p" * 12)
    assert not await Gate().verify(None, "p" * 12)


async def test_the_work_is_done_by_two_threads_and_none_of_them_is_the_loops() -> None:
    gate = Gate()
    seen: set[int] = set()

    def work() -> None:
        seen.add(threading.get_ident())

    await asyncio.gather(*(gate._run(work) for _ in range(50)))

    assert 1 <= len(seen) <= THREADS
    assert threading.get_ident() not in seen


async def test_there_are_so_many_places_and_no_more() -> None:
    gate = Gate()
    taken = [gate.place() for _ in range(THREADS + QUEUE)]
    for place in taken:
        place.__enter__()

    with pytest.raises(Problem) as refused, gate.place():
        pass

    assert (refused.value.status, refused.value.headers) == (429, {"retry-after": "1"})
    taken[0].__exit__(None, None, None)
    with gate.place():
        pass


async def test_a_place_comes_back_when_the_work_fails() -> None:
    gate = Gate()
    for _ in range(THREADS + QUEUE + 1):
        with pytest.raises(ZeroDivisionError), gate.place():
            await gate._run(lambda: 1 // 0)
