from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from time import sleep

import pytest

# Imported here: it takes longer than the loop may be blocked.
import redis.asyncio  # noqa: F401

from proxy.limits.link import Failed, Link, in_time
from proxy.limits.scripts import BEAT, HOLD, RATE, key
from tests.servers.valkey import PASSWORD, ValkeyServer


@pytest.fixture
async def link(valkey: ValkeyServer) -> AsyncIterator[Link]:
    # Longer than a busy machine keeps the server from answering.
    link = Link(valkey.url, 1.0)
    await link.connect()
    yield link
    await link.close()


async def test_scripts_are_known_again_after_the_server_forgot_them(
    link: Link, valkey: ValkeyServer
) -> None:
    assert await link.call(BEAT, "t:hosts", "a", 15) == [1]
    assert valkey.command("SCRIPT", "FLUSH") == b"+OK"

    both = link.call(BEAT, "t:hosts", "b", 15), link.call(RATE, "t:rate", 60, 6, 1, 1, 0, -1)
    assert list(await asyncio.gather(*both)) == [[2], [1, 0]]
    assert await link.call(BEAT, "t:hosts", "b", 15) == [2]


async def test_what_is_asked_in_one_turn_goes_out_together(
    link: Link, valkey: ValkeyServer
) -> None:
    await link.call(RATE, "t:rate", 600, 60, 1, 1, 0, -1)
    before = reads(valkey)

    answers = await asyncio.gather(
        *(link.call(RATE, f"t:{n}", 600, 60, 1, 1, 0, -1) for n in range(50))
    )

    assert answers == [[1, 0]] * 50
    # One more is the question itself.
    assert reads(valkey) - before <= 5


def reads(valkey: ValkeyServer) -> int:
    return int(valkey.info("total_reads_processed"))


async def test_a_frozen_server_is_a_timeout_and_the_connection_is_not_used_again(
    valkey: ValkeyServer,
) -> None:
    link = Link(valkey.url, 0.2)
    await link.connect()
    valkey.freeze()
    with pytest.raises(Failed) as failed:
        await link.call(BEAT, "t:hosts", "a", 15)
    assert failed.value.timeout
    assert not link.connected
    with pytest.raises(Failed, match="not connected"):
        await link.call(BEAT, "t:hosts", "a", 15)

    with pytest.raises(Failed):
        await link.connect()
    valkey.thaw()
    assert (await link.connect())[1] == valkey.info("run_id")

    assert await link.call(BEAT, "t:hosts", "a", 15) == [1]
    await link.close()


async def test_a_loop_that_was_busy_itself_still_sees_what_came_meanwhile() -> None:
    loop = asyncio.get_running_loop()
    with pytest.raises(TimeoutError):
        async with in_time(0.02):
            await asyncio.shield(loop.create_future())

    answer = loop.create_future()
    async with in_time(0.02):
        loop.call_later(0.03, answer.set_result, None)
        for _ in range(2):
            sleep(0.02)  # noqa: ASYNC251 - to be busy
            await asyncio.sleep(0)
        await asyncio.shield(answer)


async def test_a_killed_server_is_a_failure_and_can_be_connected_to_again(
    link: Link, valkey: ValkeyServer
) -> None:
    await asyncio.to_thread(valkey.kill)
    with pytest.raises(Failed):
        await link.call(BEAT, "t:hosts", "a", 15)
    with pytest.raises(Failed, match="no connection"):
        await link.connect()

    await asyncio.to_thread(valkey.start)

    assert (await link.connect())[0] < 20
    assert await link.call(BEAT, "t:hosts", "a", 15) == [1]


async def test_an_error_of_the_server_is_named_by_its_code_only(
    link: Link, valkey: ValkeyServer
) -> None:
    valkey.command("SET", "t:hosts", "no set of hosts")

    with pytest.raises(Failed) as failed:
        await link.call(BEAT, "t:hosts", "a", 15)

    assert str(failed.value) == "it answered WRONGTYPE"
    assert not failed.value.timeout
    # The others in the same batch, and after it, are none the worse.
    assert await link.call(RATE, "t:rate", 60, 6, 1, 1, 0, -1) == [1, 0]


async def test_a_wrong_password_is_said_without_it(valkey: ValkeyServer) -> None:
    link = Link(valkey.url.replace(PASSWORD, "guessed"), 0.05)
    with pytest.raises(Failed, match="it does not take the password") as failed:
        await link.connect()
    assert "guessed" not in repr(failed.value)
    assert failed.value.__cause__ is None
    await link.close()


async def test_a_password_may_hold_what_means_something_in_a_url(valkey: ValkeyServer) -> None:
    password = "p@s/s:w#o?r[d%"
    valkey.command("ACL", "SETUSER", "weir", "on", f">{password}", "~*", "&*", "+@all")
    link = Link(valkey.url.replace(f":{PASSWORD}", f"weir:{password}"), 1.0)

    assert (await link.connect())[1] == valkey.info("run_id")

    await link.close()


@pytest.mark.parametrize("url", ["http://here", "valkey://:secret@here:port", "redis://h?db=x"])
def test_a_url_that_is_none_is_refused_without_being_printed(url: str) -> None:
    with pytest.raises(ValueError, match=r"^shared\.url: not the URL") as error:
        Link(url, 0.05)
    assert error.value.__cause__ is None
    assert "secret" not in str(error.value)


def test_without_the_extra_its_name_is_in_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(ValueError, match=r"headrace\[redis\]"):
        Link("redis://127.0.0.1", 0.05)


async def test_many_that_stopped_waiting_do_no_harm(link: Link) -> None:
    calls = [link.call(RATE, "t:rate", 600, 60, 1, 1, 0, -1) for _ in range(10)]
    for call in calls[::2]:
        call.cancel()
    assert [await call for call in calls[1::2]] == [[1, 0]] * 5
    words = "a", 1, 10, 0, 1, 0, 0, 5, 0, 0, 1, 0
    assert await link.call(HOLD, key("t", "s", "slots"), *words) == [1, 0]
