"""Strategies that look at the request, through the whole line: who gets it is what the provider saw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.line.harness import Proxy, Simulator, config, serving

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
PLACES = ("p0", "p1", "p2")
SYSTEMS = [f"You are number {number}. " * 100 for number in range(8)]


def everywhere(sim: Simulator, upstream: str, **model: Any) -> dict[str, Any]:
    """Model `m`, under the same name at three providers, the first of which has two credentials."""
    deployments = [{"provider": name, "model": upstream} for name in PLACES]
    content = config(*[sim.url] * len(PLACES), models={"m": {"deployments": deployments, **model}})
    content["providers"]["p0"]["credentials"].append("another-secret-p0")
    return content


async def places(sim: Simulator, upstream: str) -> list[str]:
    """The credential that each request for one name came with, oldest first."""
    return [
        value.removeprefix("Bearer ")
        for one in await sim.requests(upstream)
        for name, value in one["headers"]
        if name.lower() in ("authorization", "x-api-key")
    ]


def talk(system: str, turns: int) -> list[dict[str, str]]:
    said = [{"role": "system", "content": system}]
    for turn in range(turns):
        said += [
            {"role": "user", "content": f"question {turn}"},
            {"role": "assistant", "content": f"answer {turn}"},
        ]
    return said[:-1]


async def test_a_conversation_stays_with_the_credential_whose_cache_is_warm(
    sim: Simulator, tmp_path: Path
) -> None:
    name = "sim-n2-in8000-cached6000-idprefix"
    async with serving(everywhere(sim, name, strategy="prefix"), tmp_path) as proxy:
        for turn in range(1, 4):
            for system in SYSTEMS:
                said = await proxy.chat("m", messages=talk(system, turn), stream=turn % 2 == 1)
                assert said.status == 200
        states = proxy.worker.state.live.deployments.values()
        cached = [one.pace.cached(one.last_used) for one in states if one.pace and one.used]

    seen = await places(sim, name)
    assert len(seen) == 24
    first, second, third = seen[:8], seen[8:16], seen[16:]
    assert first == second == third
    assert len(set(first)) > 1
    assert set(cached) == {0.75}  # as the provider reported


async def asked_by(proxy: Proxy, caller: int, by: str) -> None:
    said = [{"role": "user", "content": "hi"}]
    body: dict[str, Any] = {"model": "m", "messages": said, "max_tokens": 5}
    match by:
        case "header":
            headers = {"x-session-id": f"session-{caller}"}
            answer = await proxy.post(CHAT, body, headers)
        case "user":
            answer = await proxy.post(CHAT, {**body, "user": f"session-{caller}"})
        case _:
            metadata = {"user_id": f"session-{caller}"}
            answer = await proxy.post(MESSAGES, {**body, "metadata": metadata})
    assert answer.status == 200


CALLERS = 30
"""So many that each of three has some of them: in one of 60,000 runs it has not."""


async def test_a_caller_stays_with_its_deployment_however_it_is_named(
    sim: Simulator, tmp_path: Path
) -> None:
    name = "sim-n2-idsticky"
    async with serving(everywhere(sim, name, strategy="sticky"), tmp_path) as proxy:
        for by in ("header", "user", "metadata"):
            for caller in range(CALLERS):
                await asked_by(proxy, caller, by)

    seen = [each.rpartition("-")[2] for each in await places(sim, name)]
    assert len(set(seen)) == len(PLACES)
    assert seen[:CALLERS] == seen[CALLERS : 2 * CALLERS] == seen[2 * CALLERS :]


async def test_a_model_chooses_among_those_it_lists(sim: Simulator, tmp_path: Path) -> None:
    quick, slow = "sim-n2-idquick", "sim-n2-f80-idslow"
    models = {
        "quick": {"deployments": [{"provider": "p0", "model": quick, "price": {"input": 1}}]},
        "slow": {"deployments": [{"provider": "p1", "model": slow, "price": {"input": 1}}]},
        "smart": {"strategy": "pareto", "models": ["quick", "slow"]},
    }
    async with serving(config(sim.url, sim.url, models=models), tmp_path) as proxy:
        proxy.worker.state.rng.seed(1)
        for _ in range(30):
            assert (await proxy.chat("smart")).status == 200
        tokens = proxy.metric("headrace_tokens_total", model="smart")

    served = [len(await sim.requests(name)) for name in (quick, slow)]
    assert sum(served) == 30
    assert served[0] > 20
    assert tokens > 0


async def test_what_is_too_long_for_one_goes_to_another(sim: Simulator, tmp_path: Path) -> None:
    small, large = "sim-n2-idsmall", "sim-n2-idlarge"
    deployments = [
        {"provider": "p0", "model": small, "max_context": 1000},
        {"provider": "p0", "model": large, "max_context": 100_000, "priority": 2},
    ]
    models = {"m": {"deployments": deployments}, "tight": {"deployments": deployments[:1]}}
    long = [{"role": "user", "content": "word " * 2000}]
    async with serving(config(sim.url, models=models), tmp_path) as proxy:
        for name, messages in (("m", long), ("m", talk("hi", 1)), ("tight", long)):
            assert (await proxy.chat(name, messages=messages)).status == 200
        assert (await proxy.chat("m", max_tokens=5000)).status == 200

    bodies = [one["body_size"] for one in await sim.requests(small)]
    assert [size > 5000 for size in bodies] == [False, True]  # nobody else had room for the second
    assert len(await sim.requests(large)) == 2
