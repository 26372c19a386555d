"""Clients that wait for so long and no longer, and slow answers that a second attempt overtakes: the whole line."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import pytest

from tests.line.asking import CHAT, DIALECTS, RESPONSES, assert_discreet, assert_good, fleet
from tests.line.harness import Answer, Proxy, Simulator, config, serving

_ids = itertools.count(1)
SILENT = ("no_headers", "no_first", "1xx_flood")
STUCK = ("f60000", "stall", "half_stall", "d60000")
FAILING = ("429-ra2", "503", "close_now", "200err", "empty", "html")


def code_of(answer: Answer) -> str:
    """Of the error that is all of an answer, or its last event."""
    error = answer.events[-1] if answer.events else answer.json
    code: str = error["error"]["code"]
    return code


async def ask(proxy: Proxy, model: str, milliseconds: int) -> Answer:
    body = {**CHAT.body, "model": model, "stream": True}
    answer = await proxy.post(CHAT.path, body, {"X-Request-Deadline-Ms": str(milliseconds)})
    assert_discreet(answer)
    return answer


async def test_whatever_a_provider_does_the_client_has_its_answer_in_its_time(
    sim: Simulator, tmp_path: Path
) -> None:
    tag = f"sim-tail{next(_ids)}-n4-at2"
    content = config(sim.url)
    for fault in (*SILENT, *STUCK, *FAILING):
        target = {"provider": "p0", "model": f"{tag}-{fault}"}
        content["models"][fault] = {
            "deployments": [target],
            "retry": {"count": 20, "cap": 60, "base": 60},
        }
    async with serving(content, tmp_path) as proxy:
        faults = [*SILENT, *STUCK, *FAILING]
        answers = await asyncio.gather(*(ask(proxy, fault, 700) for fault in faults))
        found = dict(zip(faults, answers, strict=True))

        for fault in SILENT:
            assert (found[fault].status, code_of(found[fault])) == (504, "deadline_exceeded"), fault
        for fault in STUCK:
            assert (found[fault].status, found[fault].complete) == (200, False), fault
            assert code_of(found[fault]) == "deadline_exceeded", fault
        for fault in FAILING:
            assert found[fault].status in (429, 502, 503, 504), fault
        live = proxy.worker.state.live.deployments
        harmed = {fault for fault in (*SILENT, *STUCK) if live[f"{fault}/0:p0"].streak}
        assert harmed <= {"1xx_flood"}
        assert proxy.metric("headrace_deadline_exceeded_total", stage="waiting") >= 2
        assert proxy.metric("headrace_deadline_exceeded_total", stage="relay") == len(STUCK)


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("silence", ["no_headers", "no_first"])
async def test_a_second_attempt_overtakes_a_silent_first(
    sim: Simulator, tmp_path: Path, name: str, silence: str
) -> None:
    dialect = DIALECTS[name]
    if dialect is RESPONSES:
        dialect = dialect._replace(body={**dialect.body, "store": False})
    tag = f"sim-tail{next(_ids)}-n4"
    content = fleet((sim.url, f"{tag}-{silence}"), (sim.url, tag))
    content["models"]["m"]["hedge"] = {"enabled": True, "after": "50ms", "share": 1}
    async with serving(content, tmp_path) as proxy:
        answer = await dialect.ask(proxy, stream=True)

        assert_good(dialect, answer, stream=True)
        assert len(await sim.requests(f"{tag}-{silence}")) == len(await sim.requests(tag)) == 1
        assert proxy.metric("headrace_hedges_total", outcome="won") == 1
        tried = proxy.metric("headrace_upstream_attempts_total", outcome="hedged")
        assert tried == 1


async def test_what_would_be_stored_twice_is_asked_once(sim: Simulator, tmp_path: Path) -> None:
    tag = f"sim-tail{next(_ids)}-n4"
    content = fleet((sim.url, f"{tag}-f300"), (sim.url, tag))
    content["models"]["m"]["hedge"] = {"enabled": True, "after": "50ms", "share": 1}
    async with serving(content, tmp_path) as proxy:
        assert_good(RESPONSES, await RESPONSES.ask(proxy, stream=True), stream=True)

        assert not await sim.requests(tag)
        assert proxy.metric("headrace_hedges_suppressed_total", reason="effects") == 1
