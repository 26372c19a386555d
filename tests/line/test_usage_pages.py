"""From a client's request to the pages of those who pay: two workers on one port, a provider, and nothing between."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import requests

from tests.line.harness import Process, Simulator, free_port

ADMIN = {"authorization": "Bearer the-token-of-operators"}
CLIENT = {"authorization": "Bearer sk-key-of-the-client"}
PRICE = {"input": 1.0, "output": 2.0}


def content(sim: Simulator) -> dict[str, Any]:
    port = free_port()
    lab = {"base_url": sim.url, "allow_private": True, "credentials": ["sk-of-the-lab-0001"]}
    deployment = {"provider": "lab", "model": "up", "price": PRICE, "quota": {"requests": 1000}}
    return {
        "server": {"host": "127.0.0.1", "port": port, "workers": 2},
        "admin": {"host": "127.0.0.1", "port": port, "token": "the-token-of-operators"},
        "providers": {"lab": lab},
        "models": {"m": {"deployments": [deployment]}},
        "keys": [
            {"name": "app", "key": "sk-key-of-the-client", "team": "red", "budget": {"usd": 5}}
        ],
    }


def wait_for(find: Callable[[], Any]) -> Any:
    """What it finds, once it is there."""
    deadline = monotonic() + 15
    while not (found := find()):
        assert monotonic() < deadline, "it never came"
        sleep(0.05)
    return found


def test_what_is_asked_is_on_every_page(sim: Simulator, tmp_path: Path) -> None:
    process = Process(content(sim), tmp_path)
    try:

        def get(path: str) -> Any:
            said = requests.get(process.url + path, headers=ADMIN, timeout=10)
            assert said.status_code == 200, said.text
            return said.json()

        body: Any = {
            "model": "m",
            "messages": [{"role": "user", "content": "Hello"}],
            "max_tokens": 50,
        }
        rids = set()
        for _ in range(6):
            said = requests.post(
                f"{process.url}/v1/chat/completions", json=body, headers=CLIENT, timeout=10
            )
            assert said.status_code == 200, said.text
            rids.add(said.headers["x-request-id"])
        items = wait_for(
            lambda: found if len(found := get("/admin/logs?key=app")["items"]) == 6 else None
        )
        costs = [item["cost_micro"] for item in items]
        tokens = sum(item["input"] + item["output"] for item in items)
        lines = requests.get(
            f"{process.url}/admin/logs/export?team=red", headers=ADMIN, timeout=10
        ).text.splitlines()
        one = get(f"/admin/logs/{items[0]['rid']}")
        (summed,) = get("/admin/statistics?span=0&group_by=model")["data"]
        used = {each["scope"]: each for each in get("/admin/usage")["data"]}
        stats = get("/admin/stats")["m"]["lab"]
        routing = get("/v1/stats")
        key = get("/admin/keys/app")["usage"]
    finally:
        code = process.stop()

    assert code == 0
    assert {item["rid"] for item in items} == rids
    assert min(costs) > 0
    assert len(lines) == 7
    assert [attempt["status"] for attempt in one["attempts"]] == [200]
    assert (summed["requests"], summed["model"], summed["cost_micro"]) == (6, "m", sum(costs))
    assert summed["tokens"]["total"] == tokens
    assert used["key"]["budget"]["spent_micro"] == key["budget"]["spent_micro"] == sum(costs)
    assert used["deployment"]["quota"]["requests"] == stats["requests"] == 6
    assert (stats["tokens"], stats["limit_requests"]) == (tokens, 1000)
    assert (routing["scope"], routing["stats"]["cost"]) == ("fleet", sum(costs) / 1e6)
