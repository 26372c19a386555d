"""Rules and preferences through the data plane."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from proxy.core.model import Deployment, Model, Price, Rule, Shadow, Snapshot, When
from tests.gateway.asked import CHAT, provider, raw, snapshot
from tests.gateway.served import Provider, serving, virtual_key, whole
from tests.line.harness import Answer, scripted, until

KEY = "sk-test-key-0009"
MESSAGE = (
    b'{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"hi"}],'
    b'"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":1}}'
)


def ask(*fields: str, model: str = "m", **body: Any) -> bytes:
    return raw("POST", CHAT, orjson.dumps({"model": model, "messages": []} | body), *fields)


class Two:
    """Two providers, `a` and `b`, that serve the model `m` in this order; `n` is served by `b` alone."""

    def __init__(self) -> None:
        self.a, self.b = Provider(whole()), Provider(whole())

    @property
    def asked(self) -> str:
        return "a" * len(self.a.requests) + "b" * len(self.b.requests)

    async def __call__(
        self,
        *requests: bytes,
        keys: Any = None,
        echo: bool = False,
        keeps: str = "ab",
        shadows: int = 0,
        **fields: Any,
    ) -> list[Answer]:
        """`echo`: of `n`; `keeps`: who keeps what it is sent; `shadows`: requests of `b` to wait for; `fields`: of `m`."""
        async with scripted(self.a) as first, scripted(self.b) as second:
            places = tuple(
                provider(url, name, collects=name in keeps)
                for url, name in ((first, "a"), (second, "b"))
            )
            made = snapshot(*places)
            model = replace(made.models["m"], **fields)
            other = Model("n", ((Deployment("n-b", places[1], "other"),),), echo_alias=echo)
            content = replace(made, models={"m": model, "n": other}, keys=keys or {})
            async with serving(content) as served:
                answers = [await served.ask(one) for one in requests]
                await until(lambda: len(self.b.requests) >= shadows)
                return answers


async def test_a_rule_leads_to_another_model() -> None:
    two = Two()
    rules = (Rule("n", When(stream=False, metadata={"tier": ("gold",)})),)

    answers = await two(ask(), ask(metadata={"tier": "gold"}), rules=rules)

    assert [answer.status for answer in answers] == [200, 200]
    assert two.asked == "ab"
    assert orjson.loads(two.b.requests[0][1])["model"] == "other"


@pytest.mark.parametrize(
    ("of_m", "of_n", "said"),
    [(False, False, "up"), (False, True, "m"), (True, False, "m"), (True, True, "m")],
)
async def test_where_a_rule_leads_the_answer_may_name_what_was_asked_for(
    of_m: bool, of_n: bool, said: str
) -> None:
    two = Two()
    (answer,) = await two(ask(), rules=(Rule("n"),), echo_alias=of_m, echo=of_n)

    assert two.asked == "b"
    assert answer.json["model"] == said


async def test_a_rule_that_leads_nowhere_is_passed_over() -> None:
    two = Two()
    (answer,) = await two(ask(), rules=(Rule("gone"),))

    assert answer.status == 200
    assert two.asked == "a"


async def test_rules_that_go_round_come_to_an_end() -> None:
    two = Two()
    (answer,) = await two(ask(), rules=(Rule("m"),))

    assert answer.status == 200


async def test_a_client_chooses_its_provider() -> None:
    two = Two()
    answers = await two(
        ask(provider={"order": ["b"]}),
        ask("X-Headrace-Ignore: a"),
        ask("X-Headrace-Order: b, a"),
        preferences=True,
    )

    assert {answer.status for answer in answers} == {200}
    assert two.asked == "bbb"
    assert b"provider" not in two.b.requests[0][1]


async def test_where_it_may_not_the_body_is_left_as_it_is() -> None:
    two = Two()
    await two(ask(provider={"order": ["b"]}), ask("X-Headrace-Order: b"))

    assert two.asked == "aa"
    assert b"provider" in two.a.requests[0][1]


async def test_what_a_wildcard_matched_has_its_own_price() -> None:
    one, other = Provider(whole()), Provider(whole())
    prices = {"cheap": Price(input=1.0, output=2.0), "dear": Price(input=9.0, output=9.0)}
    async with scripted(one) as first, scripted(other) as second:
        places = provider(first, "a"), provider(second, "b")
        tiers = (
            (Deployment("w-a", places[0], "*"),),
            (Deployment("w-b", places[1], "*", price=Price(input=2.0, output=2.0)),),
        )
        made = replace(snapshot(*places), prices=prices)
        wild = Model("w/*", tiers, preferences=True)
        async with serving(replace(made, wildcards=(("w/", wild),))) as served:
            for name, most, status, asked in (
                ("w/cheap", {"prompt": 1, "completion": 2}, 200, "a"),
                ("w/dear", {"prompt": 2}, 200, "b"),
                ("w/cheap", {"prompt": 1}, 200, "a"),
                ("w/dear", {"prompt": 1}, 400, ""),
                ("w/nobody-knows", {"prompt": 1}, 400, ""),
            ):
                before = len(one.requests), len(other.requests)
                answer = await served.ask(ask(model=name, provider={"max_price": most}))
                after = len(one.requests), len(other.requests)

                assert answer.status == status, name
                assert "a" * (after[0] - before[0]) + "b" * (after[1] - before[1]) == asked
            # Prices may change while all that leads to a provider stays as it is.
            served.state.use(replace(served.state.snapshot, prices={"dear": prices["cheap"]}))
            answers = [
                await served.ask(ask(model=name, provider={"max_price": {"prompt": 1}}))
                for name in ("w/dear", "w/cheap")
            ]

            assert [answer.status for answer in answers] == [200, 400]


async def test_nobody_left_is_said() -> None:
    two = Two()
    (answer,) = await two(ask(provider={"only": ["c"]}), preferences=True)

    assert answer.status == 400
    assert answer.json["error"]["code"] == "no_provider_left"
    assert two.asked == ""


async def test_models_of_a_list_are_tried_in_turn() -> None:
    two = Two()
    two.a.answers = [whole(b'{"error":{}}', 500)]
    (answer,) = await two(ask(models=["n"], provider={"only": ["a"]}), preferences=True)

    assert answer.status == 200
    assert orjson.loads(two.b.requests[0][1])["model"] == "other"


@pytest.mark.parametrize("wanted", [{"zdr": True}, {"data_collection": "deny"}])
@pytest.mark.parametrize("listed", [{}, {"models": ["n"]}])
async def test_who_keeps_what_it_is_sent_is_no_fallback_either(
    wanted: dict[str, Any], listed: dict[str, Any]
) -> None:
    two = Two()
    two.a.answers = [whole(b'{"error":{}}', 500)]
    (answer,) = await two(
        ask(provider=wanted, **listed), preferences=True, fallbacks=("n",), keeps="b"
    )

    assert answer.status == 502
    assert set(two.asked) == {"a"}


async def test_of_a_fallback_those_who_keep_nothing_are_asked() -> None:
    two = Two()
    two.a.answers = [whole(b'{"error":{}}', 500)]
    (answer,) = await two(ask(provider={"zdr": True}), preferences=True, fallbacks=("n",), keeps="")

    assert answer.status == 200
    assert set(two.asked) == {"a", "b"}


async def test_what_nobody_may_keep_has_no_shadow() -> None:
    two = Two()
    answers = await two(
        ask(provider={"zdr": True}),
        ask(provider={"order": ["a"]}),
        preferences=True,
        shadow=Shadow("n", 1.0),
        keeps="b",
        shadows=1,
    )

    assert [answer.status for answer in answers] == [200, 200]
    assert two.asked == "aab"


async def test_a_list_does_not_reach_what_a_key_may_not() -> None:
    two = Two()
    key = f"Authorization: Bearer {KEY}"
    may, may_not, nowhere = await two(
        ask(key, models=["m"]),
        ask(key, models=["n"]),
        ask(key, models=["nowhere"]),
        keys=virtual_key(KEY, "m"),
        preferences=True,
    )

    assert (may.status, may_not.status, nowhere.status) == (200, 404, 404)


async def test_ever_new_preferences_are_forgotten() -> None:
    async with scripted(Provider(whole())) as url:
        made = snapshot(provider(url, "a"))
        content: Snapshot = replace(made, models={"m": replace(made.models["m"], preferences=True)})
        async with serving(content) as served:
            for number in range(600):
                await served.ask(ask(f"X-Headrace-Ignore: x{number}"))
            live = served.state.live

            assert len(live.narrowed) <= 256
            assert len(live.routes) <= 300


async def test_what_a_client_prefers_is_read_here_and_goes_to_nobody() -> None:
    """Neither as it came nor translated; and to be heard is not to be left out."""
    chat, messages = Provider(whole()), Provider(whole(MESSAGE))
    async with scripted(chat) as first, scripted(messages) as second:
        spoken = {"anthropic.messages": "/v1/messages"}
        places = provider(first, "a"), provider(second, "b", dialects=spoken)
        made = snapshot(*places)
        tiers = (tuple(Deployment(f"m-{one.name}", one, "m") for one in places),)
        model = replace(made.models["m"], tiers=tiers, preferences=True)
        async with serving(replace(made, models={"m": model})) as served:
            for name in ("a", "b"):
                wanted = {"only": [name], "require_parameters": True}
                answer = await served.ask(ask(provider=wanted, models=["m"], route="fallback"))

                assert answer.status == 200, answer
                assert "x-headrace-dropped" not in answer.headers

    for asked in (chat, messages):
        assert orjson.loads(asked.requests[0][1]).keys() <= {"model", "messages", "max_tokens"}
