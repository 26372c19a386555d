"""One question for all who wait, the next token before the last one ends, and quiet after a failure."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import orjson
import pytest

from proxy.core.clock import Hands
from proxy.core.errors import Cause, UpstreamError
from proxy.core.model import Auth, Credential
from proxy.core.redact import redact
from proxy.core.secret import Secret
from proxy.upstream.minting import minter
from proxy.upstream.minting.grant import Ask, Minted, Refused, Unreachable
from proxy.upstream.minting.minter import Minter, wanted

AUTH = Auth("google", "")
KEY = Credential("p#0", Secret("the secret"))


class Bank:
    """Gives out tokens when it is let: each `Mint` waits for `open`."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.asked = 0
        self.wrong: Exception | None = None

    async def mint(self, credential: str, scope: str, ask: Ask) -> Minted:
        self.asked += 1
        number = self.asked
        await self.open.wait()
        if self.wrong is not None:
            raise self.wrong
        return Minted(f"token-{number}", 100.0)


@pytest.fixture
def bank(monkeypatch: pytest.MonkeyPatch) -> Bank:
    found = Bank()
    mint: Callable[[str, str, Ask], Awaitable[Minted]] = found.mint
    monkeypatch.setattr(minter, "MINTS", {"google": mint})
    return found


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_all_who_wait_have_one_token(bank: Bank, hands: Hands) -> None:
    bank.open.clear()
    changes: list[int] = []
    ours = Minter(lambda: changes.append(1))
    waiting = [asyncio.ensure_future(ours.ready(AUTH, KEY, 5)) for _ in range(20)]
    await turns()
    assert ours.text(AUTH, KEY) == ""
    bank.open.set()
    await asyncio.gather(*waiting)

    assert (ours.text(AUTH, KEY), bank.asked, len(changes)) == ("token-1", 1, 1)
    await ours.close()


async def test_the_next_one_is_had_before_the_last_one_ends(bank: Bank, hands: Hands) -> None:
    ours = Minter()
    await ours.ready(AUTH, KEY, 5)
    hands.advance(79)
    await ours.ready(AUTH, KEY, 5)
    await turns()
    assert bank.asked == 1

    hands.advance(2)
    bank.open.clear()
    await ours.ready(AUTH, KEY, 5)  # nobody waits for it
    await turns()
    assert (ours.text(AUTH, KEY), bank.asked) == ("token-1", 2)

    bank.open.set()
    await turns()
    assert ours.text(AUTH, KEY) == "token-2"
    await ours.close()


async def test_one_that_has_ended_is_waited_for(bank: Bank, hands: Hands) -> None:
    ours = Minter()
    await ours.ready(AUTH, KEY, 5)
    hands.advance(100)
    await ours.ready(AUTH, KEY, 5)

    assert ours.text(AUTH, KEY) == "token-2"
    await ours.close()


async def test_one_that_has_ended_is_masked_for_another_life_and_then_forgotten(
    bank: Bank, hands: Hands
) -> None:
    ours = Minter()
    for number in range(1, 6):
        await ours.ready(AUTH, KEY, 5)
        assert redact(f"a token-{number} b") == "a *** b"
        hands.advance(100)
    await ours.close()

    assert redact("token-5 token-4") == "*** ***"
    assert redact("token-3 token-2 token-1") == "token-3 token-2 token-1"


async def test_one_that_is_refused_is_had_anew(bank: Bank, hands: Hands) -> None:
    ours = Minter()
    assert not ours.forget(AUTH, KEY)
    await ours.ready(AUTH, KEY, 5)
    assert ours.forget(AUTH, KEY)
    await ours.ready(AUTH, KEY, 5)
    assert ours.text(AUTH, KEY) == "token-2"

    # That one too: so it is not the token.
    assert not ours.forget(AUTH, KEY)
    await ours.ready(AUTH, KEY, 5)
    assert ours.text(AUTH, KEY) == "token-2"
    hands.advance(61)
    assert ours.forget(AUTH, KEY)
    await ours.close()


@pytest.mark.parametrize(
    ("wrong", "cause"),
    [
        (Refused("no"), Cause.AUTH),
        (Unreachable("no"), Cause.CONNECT),
        (RuntimeError("no"), Cause.CONNECT),
    ],
)
async def test_after_a_failure_nobody_asks_for_a_while(
    bank: Bank, hands: Hands, wrong: Exception, cause: Cause
) -> None:
    ours, bank.wrong = Minter(), wrong
    for _ in range(3):
        with pytest.raises(UpstreamError) as found:
            await ours.ready(AUTH, KEY, 5)
        assert (found.value.cause, found.value.sent) == (cause, False)
    assert bank.asked == 1

    hands.advance(2.1)
    bank.wrong = None
    await ours.ready(AUTH, KEY, 5)
    assert ours.text(AUTH, KEY) == "token-2"
    await ours.close()


async def test_what_goes_wrong_in_an_unforeseen_way_is_a_failure_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An account of Google whose key is of an algorithm that nobody has (1.2.3.4)."""
    key = b"-----BEGIN PRIVATE KEY-----\nMAwCAQAwBQYDKgMEBAA=\n-----END PRIVATE KEY-----\n"
    account = {"type": "service_account", "client_email": "a@b", "private_key": key.decode()}
    credential = Credential("p#0", Secret(orjson.dumps(account).decode()))
    ours = Minter()
    for _ in range(2):
        with pytest.raises(UpstreamError) as found:
            await ours.ready(AUTH, credential, 5)
        assert (found.value.cause, found.value.sent) == (Cause.CONNECT, False)
    await ours.close()

    assert [one.getMessage() for one in caplog.records] == [
        "no token of google can be had: UnsupportedAlgorithm"
    ]


async def test_a_token_outlives_a_failure_to_renew_it(bank: Bank, hands: Hands) -> None:
    ours = Minter()
    await ours.ready(AUTH, KEY, 5)
    hands.advance(90)
    bank.wrong = Unreachable("away")
    for _ in range(3):
        await ours.ready(AUTH, KEY, 5)
        await turns()

    assert (ours.text(AUTH, KEY), bank.asked) == ("token-1", 2)
    await ours.close()


async def test_who_waits_too_long_goes_elsewhere(bank: Bank, hands: Hands) -> None:
    bank.open.clear()
    ours = Minter()
    with pytest.raises(UpstreamError) as found:
        await ours.ready(AUTH, KEY, 0)

    assert found.value.cause is Cause.TIMEOUT_CONNECT
    await ours.close()


async def test_who_waits_when_it_is_closed_goes_elsewhere(bank: Bank, hands: Hands) -> None:
    bank.open.clear()
    ours = Minter()
    waiting = asyncio.ensure_future(ours.ready(AUTH, KEY, 5))
    await turns()
    await ours.close()
    with pytest.raises(UpstreamError) as found:
        await waiting

    assert (found.value.cause, found.value.sent) == (Cause.CONNECT, False)


@pytest.mark.parametrize(
    ("auth", "secret", "expected"),
    [
        (Auth("google"), "{}", True),
        (Auth("entra"), "t:c:s", True),
        (Auth("sigv4", "r"), "ambient", True),
        (Auth("sigv4", "r"), "AKIA:s", False),
        (Auth("bearer"), "ambient", False),
    ],
)
def test_what_is_minted(auth: Auth, secret: str, expected: bool) -> None:
    assert wanted(auth, Credential("p#0", Secret(secret))) is expected
    assert not wanted(auth, None)
