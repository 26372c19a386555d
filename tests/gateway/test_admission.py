"""Limits in the line: who is refused and in what words, who is stepped over, and that everything is given back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from proxy.core.model import (
    Budget,
    Credential,
    Ledger,
    Limits,
    Model,
    Price,
    Quota,
    Snapshot,
    VirtualKey,
)
from proxy.core.secret import Secret
from proxy.core.virtual_key import digest
from proxy.ledger.spool import Full, Spool
from proxy.limits.accounts import Accounts
from proxy.limits.subjects import Subject, of_deployment, of_key, of_model
from tests.gateway.asked import CHAT, PEPPER, provider, raw, snapshot
from tests.gateway.served import (
    CHUNK,
    STREAM,
    Provider,
    Served,
    chunk,
    serving,
    whole,
)
from tests.line.harness import Answer, free_port, read_request, scripted

KEY = "sk-1"
BODY = {"model": "m", "messages": []}
DIGEST = digest(KEY, PEPPER)
PATHS = {
    "openai": CHAT,
    "anthropic": "/v1/messages",
    "gemini": "/v1beta/models/m:generateContent",
}
PRICE = Price(input=1.0, output=1.0)


def keyed(settings: Snapshot, **limits: Any) -> Snapshot:
    """The same, for one key that has these limits."""
    key = VirtualKey("app", DIGEST, id="k1", **limits)
    return replace(settings, require_auth=True, keys={DIGEST: key})


def ask(path: str = CHAT, key: str = KEY, **fields: Any) -> bytes:
    return raw("POST", path, orjson.dumps({**BODY, **fields}), f"Authorization: Bearer {key}")


@asynccontextmanager
async def limited(settings: Snapshot) -> AsyncIterator[Served]:
    """A gateway that counts."""
    async with serving(settings) as served:
        accounts = served.state.accounts = Accounts.memory()
        try:
            yield served
        finally:
            served.state.accounts = None
            accounts.close()


def key_of(served: Served) -> Subject:
    found = of_key(served.state.snapshot.keys[DIGEST])
    assert found is not None
    return found


def inflight(served: Served, subject: Subject | None) -> int:
    assert subject is not None
    assert served.state.accounts is not None
    return served.state.accounts.view(subject).inflight


def rejections(served: Served, scope: str, kind: str) -> float:
    return served.state.metrics.ratelimit_rejections.child(scope, kind).value


# --- who may begin ---


@pytest.mark.parametrize("family", PATHS)
async def test_a_key_may_make_so_many_requests(family: str) -> None:
    upstream = Provider(whole())
    async with (
        scripted(upstream) as url,
        limited(keyed(snapshot(provider(url)), rpm=1)) as served,
    ):
        await served.ask(ask(PATHS[family]))
        refused = await served.ask(ask(PATHS[family]))

    error = refused.json["error"]
    assert refused.status == 429
    assert error["message"] == "This API key may make 1 request a minute."
    assert 59 <= int(refused.headers["retry-after"]) <= 60
    assert 59_000 <= int(refused.headers["retry-after-ms"]) <= 60_000
    assert len(upstream.requests) == 1
    assert rejections(served, "key", "rpm") == 1
    words: dict[str, dict[str, Any]] = {
        "openai": {"code": "rate_limit_exceeded", "type": "rate_limit_error"},
        "anthropic": {"type": "rate_limit_error"},
        "gemini": {"code": 429, "status": "RESOURCE_EXHAUSTED"},
    }
    assert words[family].items() <= error.items()


@pytest.mark.parametrize("family", PATHS)
async def test_every_answer_says_what_is_left(family: str) -> None:
    theirs = b"x-ratelimit-remaining-requests: 7777", b"anthropic-ratelimit-requests-limit: 7777"
    async with (
        scripted(Provider(whole(b"{}", 200, *theirs))) as url,
        limited(keyed(snapshot(provider(url)), rpm=20, tpm=100_000)) as served,
    ):
        first = await served.ask(ask(PATHS[family], max_tokens=10))
        await served.ask(ask(PATHS[family], max_tokens=10))
        last = await served.ask(ask(PATHS[family], max_tokens=10))

    prefix, of = "x-ratelimit-", "{1}-{0}"
    if family == "anthropic":
        prefix, of = "anthropic-ratelimit-", "{0}-{1}"
    said = {name.removeprefix(prefix) for name in first.headers if "ratelimit" in name}
    assert said == {
        of.format(kind, what)
        for kind in ("requests", "tokens")
        for what in ("limit", "remaining", "reset")
    }
    assert first.headers[prefix + of.format("requests", "limit")] == "20"
    assert first.headers[prefix + of.format("requests", "remaining")] == "1"
    assert last.status == 429
    assert last.headers[prefix + of.format("requests", "remaining")] == "0"


async def test_who_has_no_limits_is_told_of_none() -> None:
    async with scripted(Provider(whole())) as url, limited(keyed(snapshot(provider(url)))) as one:
        answer = await one.ask(ask())

    assert not [name for name in answer.headers if "ratelimit" in name]


@pytest.mark.parametrize(
    ("change", "scope", "who"),
    [
        ({"limits": Limits(rpm=1)}, "global", "All clients of this gateway together"),
        ({"teams": {"t": Limits(rpm=1)}}, "team", "The team of this API key"),
        ({"models": Limits(rpm=1)}, "model", "All clients of this model together"),
    ],
)
async def test_what_keys_share_is_limited_too(change: dict[str, Any], scope: str, who: str) -> None:
    async with scripted(Provider(whole())) as url:
        settings = keyed(snapshot(provider(url)), team="t")
        if "models" in change:
            change = {"models": {"m": replace(settings.models["m"], limits=change["models"])}}
        async with limited(replace(settings, **change)) as served:
            assert (await served.ask(ask())).status == 200
            refused = await served.ask(ask())

    assert refused.status == 429
    assert refused.json["error"]["message"] == f"{who} may make 1 request a minute."
    assert rejections(served, scope, "rpm") == 1


async def test_teams_that_share_a_record_share_no_limit() -> None:
    alike = Limits(rpm=1)
    other = digest("sk-2", PEPPER)
    async with scripted(Provider(whole())) as url:
        settings = replace(keyed(snapshot(provider(url)), team="a"), teams={"a": alike, "b": alike})
        second = VirtualKey("other", other, id="k2", team="b")
        settings = replace(settings, keys={**settings.keys, other: second})
        async with limited(settings) as served:
            statuses = [
                (await served.ask(ask(key=key))).status for key in (KEY, "sk-2", KEY, "sk-2")
            ]

    assert statuses == [200, 200, 429, 429]


async def test_a_refusal_takes_nothing_of_those_who_would_have_let_it_in() -> None:
    async with scripted(Provider(whole())) as url:
        settings = replace(keyed(snapshot(provider(url)), rpm=100), limits=Limits(rpm=1))
        async with limited(settings) as served:
            first = await served.ask(ask())
            for _ in range(3):
                assert (await served.ask(ask())).status == 429

            assert inflight(served, key_of(served)) == 0
            served.state.snapshot = replace(settings, limits=None)
            last = await served.ask(ask())

    # Of the key's burst of ten two are gone: one for each request that was served.
    kept = "x-ratelimit-remaining-requests"
    assert (first.headers["x-ratelimit-limit-requests"], first.headers[kept]) == ("1", "0")
    assert last.headers[kept] == "8"


async def test_tokens_are_estimated_before_they_are_known() -> None:
    async with (
        scripted(Provider(STREAM + chunk(CHUNK))) as url,
        limited(keyed(snapshot(provider(url)), tpm=1000)) as served,
    ):
        client = await served.client()
        client.send(ask(max_tokens=900, stream=True))
        await client.head()
        refused = await served.ask(ask(max_tokens=500))

    assert refused.status == 429
    assert refused.json["error"]["message"] == "This API key may use 1,000 tokens a minute."
    assert 20 <= int(refused.headers["retry-after"]) <= 30
    assert refused.headers["x-ratelimit-limit-tokens"] == "1000"
    assert rejections(served, "key", "tpm") == 1


async def test_the_past_of_a_key_says_how_long_its_answers_are() -> None:
    """Else agents that allow themselves a million tokens would be refused at once."""
    async with (
        scripted(Provider(whole())) as url,
        limited(keyed(snapshot(provider(url)), tpm=10_000)) as served,
    ):
        for _ in range(30):
            served.state.answers.add("k1", "m", 200)
        left = [
            int((await served.ask(ask(max_tokens=9_000))).headers["x-ratelimit-remaining-tokens"])
            for _ in range(3)
        ]

    assert 8_000 < left[-1] < 10_000


async def test_numbers_that_nobody_means_take_nothing_for_good() -> None:
    """Ten million answers of ten million tokens are more nanoseconds at the team's rate than a word of the table has."""
    async with scripted(Provider(whole())) as url:
        settings = keyed(snapshot(provider(url)), team="t", concurrency=2)
        async with limited(replace(settings, teams={"t": Limits(tpm=100_000)})) as served:
            huge = ask(n=10_000_000, max_tokens=10_000_000)
            statuses = [(await served.ask(huge)).status for _ in range(3)]

            assert inflight(served, key_of(served)) == 0
            assert (await served.ask(ask())).status == 200
    assert statuses[0] == 200
    assert set(statuses) <= {200, 429}, "for as long as the few tokens of the first are owed"


async def test_a_body_that_cannot_be_read_is_not_counted() -> None:
    async with (
        scripted(Provider(whole())) as url,
        limited(keyed(snapshot(provider(url)), rpm=1)) as served,
    ):
        bad = await served.ask(raw("POST", CHAT, b"{", f"Authorization: Bearer {KEY}"))
        unknown = await served.ask(ask(model="none"))
        good = await served.ask(ask())

    assert (bad.status, unknown.status, good.status) == (400, 404, 200)


# --- money ---


def of_price(settings: Snapshot, price: Price | None = PRICE) -> Snapshot:
    model = settings.models["m"]
    tiers = tuple(tuple(replace(one, price=price) for one in tier) for tier in model.tiers)
    return replace(settings, models={"m": replace(model, tiers=tiers)})


@pytest.mark.parametrize(
    ("family", "status"), [("openai", 429), ("anthropic", 402), ("gemini", 429)]
)
async def test_a_budget_that_is_used_up_is_no_rate(family: str, status: int) -> None:
    async with scripted(Provider(whole())) as url:
        settings = of_price(keyed(snapshot(provider(url)), budget=Budget(0.000001, strict=True)))
        async with limited(settings) as served:
            refused = await served.ask(
                ask(PATHS[family], max_tokens=9, generationConfig={"maxOutputTokens": 9})
            )

    assert refused.status == status
    assert refused.json["error"]["message"].startswith("The budget of this API key leaves no room")
    if family == "openai":
        assert refused.json["error"]["code"] == "insufficient_quota"


@pytest.mark.parametrize(
    ("price", "budget", "fields", "code"),
    [
        (None, Budget(1.0), {}, "price_unknown"),
        (PRICE, Budget(1.0, strict=True), {}, "max_tokens_required"),
        (PRICE, Budget(1.0, strict=True), {"max_tokens": 5}, ""),
        (PRICE, Budget(1.0), {}, ""),
    ],
)
async def test_a_budget_needs_to_know(
    price: Price | None, budget: Budget, fields: dict[str, Any], code: str
) -> None:
    async with scripted(Provider(whole())) as url:
        settings = of_price(snapshot(provider(url), upstream_model="made-up"), price)
        async with limited(keyed(settings, budget=budget)) as served:
            answer = await served.ask(ask(**fields))

    assert answer.status == (400 if code else 200)
    if code:
        assert answer.json["error"]["code"] == code


# --- what is in the way of a deployment ---


async def test_a_deployment_counts_tokens_that_its_clients_budget_did_not_ask_for() -> None:
    async with scripted(Provider(STREAM + chunk(CHUNK))) as url:
        settings = of_price(snapshot(provider(url), limits=Limits(tpm=1000)))
        async with limited(keyed(settings, budget=Budget(1.0, "day"))) as served:
            for _ in range(30):
                served.state.costs.add("k1", "m", 100)
            client = await served.client()
            client.send(ask(max_tokens=900, stream=True))
            await client.head()
            refused = await served.ask(ask(max_tokens=500))

            accounts = served.state.accounts
            assert accounts is not None
            reserved = accounts.view(key_of(served)).reserved

    assert refused.status == 429
    assert 100 < reserved <= 200  # what such requests cost, and half of it


def two(url: str, other: str, first: dict[str, Any], **credential: Any) -> Snapshot:
    """Model `m` at two providers, the first one limited."""
    places = provider(url), provider(other, "q")
    if credential:
        keys = (Credential("p#0", Secret("s"), **credential), Credential("p#1", Secret("t")))
        places = (provider(url, credentials=keys), places[1])
    settings = snapshot(*places)
    model = settings.models["m"]
    tiers = ((replace(model.tiers[0][0], **first),), model.tiers[1])
    return replace(settings, models={"m": replace(model, tiers=tiers)})


@pytest.mark.parametrize(
    ("first", "kind"),
    [
        ({"limits": Limits(rpm=1)}, "rpm"),
        ({"quota": Quota(requests=1)}, "quota_requests"),
        ({"quota": Quota(tokens=5)}, "quota_tokens"),
    ],
)
async def test_a_deployment_that_is_full_is_stepped_over(first: dict[str, Any], kind: str) -> None:
    here, there = Provider(whole()), Provider(whole())
    async with (
        scripted(here) as url,
        scripted(there) as other,
        limited(two(url, other, first)) as served,
    ):
        for _ in range(4):
            assert (await served.ask(raw("POST", CHAT, orjson.dumps(BODY)))).status == 200

        assert (len(here.requests), len(there.requests)) == (1, 3)
        state = served.state.live.deployments["m/0:p"]
        assert (state.phase, state.streak, state.inflight) == (0, 0.0, 0)
        # What refuses everybody alike is asked once.
        asked = rejections(served, "deployment", kind)
        assert asked == (3 if kind == "quota_tokens" else 1)


async def test_another_credential_goes_before_another_deployment() -> None:
    here, there = Provider(whole()), Provider(whole())
    async with (
        scripted(here) as url,
        scripted(there) as other,
        limited(two(url, other, {}, quota=Quota(requests=1))) as served,
    ):
        for _ in range(4):
            assert (await served.ask(raw("POST", CHAT, orjson.dumps(BODY)))).status == 200

    secrets = [b"Bearer s" in head for head, _ in here.requests]
    assert sorted(secrets) == [False, False, False, True]
    assert there.requests == []


@pytest.mark.parametrize("limits", [Limits(tpm=10), Limits(concurrency=1)])
async def test_what_depends_on_the_request_finds_the_next_credential_too(limits: Limits) -> None:
    """No pause is remembered for it, so nothing but this request knows that it was refused."""
    there = Provider(whole())
    holding = asyncio.Event()
    seen: list[bool] = []

    async def here(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, _ = await read_request(reader)
        seen.append(b"Bearer s\r" in head)
        if limits.concurrency and b"Bearer s\r" in head:
            holding.set()
            await reader.read()
        writer.write(whole())

    async with (
        scripted(here) as url,
        scripted(there) as other,
        limited(two(url, other, {}, limits=limits)) as served,
    ):
        if limits.concurrency:
            client = await served.client()
            client.send(raw("POST", CHAT, orjson.dumps(BODY)))
            async with asyncio.timeout(5):
                await holding.wait()
        for _ in range(4):
            assert (await served.ask(raw("POST", CHAT, orjson.dumps(BODY)))).status == 200

    assert (there.requests, sum(seen)) == ([], 1)


async def test_a_model_whose_deployments_are_full_goes_to_its_fallback() -> None:
    here, there = Provider(whole()), Provider(whole())
    async with scripted(here) as url, scripted(there) as other:
        settings = snapshot(provider(url), quota=Quota(requests=1))
        second = snapshot(provider(other, "q"), name="other")
        models: dict[str, Model] = {
            "m": replace(settings.models["m"], fallbacks=("other",)),
            **second.models,
        }
        async with limited(replace(settings, models=models)) as served:
            for _ in range(3):
                assert (await served.ask(raw("POST", CHAT, orjson.dumps(BODY)))).status == 200

    assert (len(here.requests), len(there.requests)) == (1, 2)


def falling_back(broken: str, *others: str, limits: Limits) -> Snapshot:
    """A model that is out, and its fallbacks: `a`, which has these limits, and `b`."""
    settings = snapshot(provider(broken), price=PRICE)
    found = {"m": replace(settings.models["m"], fallbacks=("a", "b"))}
    for name, url, its in zip("ab", others, (limits, None), strict=True):
        second = snapshot(provider(url, f"p{name}"), name=name, price=PRICE)
        found[name] = replace(second.models[name], limits=its)
    return replace(settings, models=found)


async def test_a_fallback_has_the_limits_of_its_name() -> None:
    here, there = Provider(whole()), Provider(whole())
    async with (
        scripted(Provider(whole(b"{}", 503))) as broken,
        scripted(here) as url,
        scripted(there) as other,
        limited(falling_back(broken, url, other, limits=Limits(rpm=1, tpm=9**9))) as served,
    ):
        for _ in range(3):
            assert (await served.ask(raw("POST", CHAT, orjson.dumps(BODY)))).status == 200
        refused = await served.ask(raw("POST", CHAT, orjson.dumps({**BODY, "model": "a"})))

        assert (len(here.requests), len(there.requests)) == (1, 2)
        assert refused.status == 429  # one limit, whichever way a request comes
        assert rejections(served, "model", "rpm") == 3


async def test_a_fallback_that_is_full_for_one_request_is_not_for_who_asks_for_it() -> None:
    here, there = Provider(whole()), Provider(whole())
    limits = Limits(tpm=2000)
    async with (
        scripted(Provider(whole(b"{}", 503))) as broken,
        scripted(here) as url,
        scripted(there) as other,
        limited(falling_back(broken, url, other, limits=limits)) as served,
    ):
        small = {**BODY, "model": "a", "max_tokens": 9}
        for body in (small, {**BODY, "max_tokens": 1990}, small):
            assert (await served.ask(raw("POST", CHAT, orjson.dumps(body)))).status == 200

        assert (len(here.requests), len(there.requests)) == (2, 1)
        assert rejections(served, "model", "tpm") == 1


async def test_what_came_as_a_fallback_is_spent_of_its_budget_and_nothing_is_held() -> None:
    budget = Limits(concurrency=1, budget=Budget(0.000_018))
    here, there = Provider(whole()), Provider(whole())
    async with (
        scripted(Provider(whole(b"{}", 503))) as broken,
        scripted(here) as url,
        scripted(there) as other,
        limited(falling_back(broken, url, other, limits=budget)) as served,
    ):
        for _ in range(3):
            body = orjson.dumps({**BODY, "max_tokens": 2})
            assert (await served.ask(raw("POST", CHAT, body))).status == 200

        subject = of_model(served.state.snapshot.models["a"])
        assert subject is not None
        assert served.state.accounts is not None
        view = served.state.accounts.view(subject)
        assert (view.inflight, view.reserved) == (0, 0)
        assert view.spent == 9 * len(here.requests) == 18
        assert len(there.requests) == 1


async def test_a_fallback_that_failed_keeps_no_slot_of_its_name() -> None:
    here, there = Provider(whole(b"{}", 503)), Provider(STREAM + chunk(CHUNK))
    async with (
        scripted(Provider(whole(b"{}", 503))) as broken,
        scripted(here) as url,
        scripted(there) as other,
        limited(falling_back(broken, url, other, limits=Limits(concurrency=1))) as served,
    ):
        client = await served.client()
        client.send(raw("POST", CHAT, orjson.dumps({**BODY, "stream": True})))
        await client.head()

        assert here.requests
        assert inflight(served, of_model(served.state.snapshot.models["a"])) == 0


async def only(limits: Limits | None = None, quota: Quota | None = None) -> list[Answer]:
    """Three answers of a model with one deployment, which has these."""
    async with scripted(Provider(whole())) as url:
        settings = snapshot(provider(url), limits=limits, quota=quota)
        async with limited(settings) as served:
            return [await served.ask(raw("POST", CHAT, orjson.dumps(BODY))) for _ in range(3)]


@pytest.mark.parametrize("quota", [Quota(requests=1), Quota(tokens=5)])
async def test_nothing_but_quotas_of_ours_in_the_way(quota: Quota) -> None:
    first, *refused = await only(quota=quota)

    assert first.status == 200
    for answer in refused:
        assert answer.status == 502
        assert answer.json["error"]["code"] == "quota_exhausted"
        assert 0 < int(answer.headers["retry-after"]) <= 86400


async def test_nothing_but_rates_of_ours_in_the_way() -> None:
    first, *refused = await only(Limits(rpm=1))

    assert first.status == 200
    for answer in refused:
        assert answer.status == 429
        assert answer.json["error"]["code"] == "rate_limit_exceeded"
        assert 58 <= int(answer.headers["retry-after"]) <= 60


async def test_a_deployment_that_failed_keeps_no_slot_and_no_tokens() -> None:
    there = Provider(STREAM + chunk(CHUNK))
    first = {"limits": Limits(concurrency=1, tpm=100_000), "quota": Quota(requests=9, tokens=9**9)}
    async with (
        scripted(Provider(whole(b"{}", 503))) as url,
        scripted(there) as other,
        limited(two(url, other, first)) as served,
    ):
        client = await served.client()
        client.send(raw("POST", CHAT, orjson.dumps({**BODY, "stream": True})))
        await client.head()

        accounts = served.state.accounts
        assert accounts is not None
        subject = of_deployment(served.state.snapshot.models["m"].tiers[0][0])
        assert subject is not None
        found = accounts.view(subject)
        # Two attempts at it, one of them a retry.
        assert (found.inflight, found.quota_requests, found.quota_tokens) == (0, 2, 0)


async def test_what_was_never_sent_is_not_counted() -> None:
    settings = two(
        f"http://127.0.0.1:{free_port()}", "http://x.invalid", {"quota": Quota(requests=9)}
    )
    async with scripted(Provider(whole())) as other:
        settings = two(f"http://127.0.0.1:{free_port()}", other, {"quota": Quota(requests=9)})
        async with limited(settings) as served:
            assert (await served.ask(raw("POST", CHAT, orjson.dumps(BODY)))).status == 200

            accounts = served.state.accounts
            subject = of_deployment(served.state.snapshot.models["m"].tiers[0][0])
            assert accounts is not None
            assert subject is not None
            assert accounts.view(subject).quota_requests == 0


# --- when nothing can be written down ---


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Spool]:
    """A spool that has no room for another request."""
    spool = Spool(tmp_path, "0", size=1 << 16, segment=1 << 14, emergency=0)
    while not spool.full:
        with suppress(Full):
            spool.append(b"x" * 1000)
    yield spool
    spool.close()


@pytest.mark.parametrize(
    ("policy", "strict", "statuses"),
    [
        ("auto", True, [503, 529]),
        ("auto", False, [200, 200]),
        ("refuse", True, [503, 529]),
        ("refuse", False, [503, 529]),
        ("serve", True, [200, 200]),
    ],
)
async def test_who_is_served_without_a_record_is_configured(
    full: Spool, policy: str, strict: bool, statuses: list[int]
) -> None:
    async with scripted(Provider(whole())) as url:
        settings = of_price(keyed(snapshot(provider(url)), budget=Budget(9.0, strict=strict)))
        async with limited(replace(settings, ledger=Ledger(on_full=policy))) as served:
            served.state.spool = full
            answers = [await served.ask(ask(path, max_tokens=5)) for path in (CHAT, "/v1/messages")]
            served.state.spool = None

    assert [answer.status for answer in answers] == statuses
    for answer in answers:
        if answer.status != 200:
            assert answer.headers["x-should-retry"] == "true"
            assert answer.headers["retry-after"] == "5"
