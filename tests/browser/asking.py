"""What a test asks a demo beside the browser."""

from __future__ import annotations

from collections.abc import Callable
from http.client import HTTPConnection
from time import monotonic, sleep
from typing import Any

import orjson

from proxy.core.errors import ERRORS
from tests.docs.conftest import Demo

PATIENCE = 15.0
"""Seconds."""


def ask(demo: Demo, method: str, path: str, body: Any = None) -> Any:
    """The admin API; what it says, which has to be a success."""
    status, content = _send(demo.admin, method, path, body, {})
    assert status < 300, content
    return content


def chat(demo: Demo, key: str, *, model: str = "demo-fast") -> int:
    """The status of a short question with this key; asks again while the gateway has too much to do, as on a busy machine."""
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
    headers = {"authorization": f"Bearer {key}"}
    deadline = monotonic() + PATIENCE
    while True:
        status, said = _send(demo.api, "POST", "/v1/chat/completions", body, headers)
        if status != 503 or said["error"]["code"] != ERRORS["shed"].code:
            return status
        assert monotonic() < deadline, said
        sleep(0.02)


def asked(
    demo: Demo, model: str, times: int = 1, *, status: int = 200, key: str = "sk-headrace-demo"
) -> None:
    """So many short questions with this key, usually the demo's, that have this status; a machine that is busy may refuse some others."""
    done = 0
    deadline = monotonic() + PATIENCE
    while done < times:
        said = chat(demo, key, model=model)
        done += said == status
        assert said == status or monotonic() < deadline, said


def booked(demo: Demo, model: str, times: int) -> None:
    """Once so many requests for a model of this name are in the log."""
    until(lambda: len(ask(demo, "GET", f"/admin/logs?asked={model}&limit=100")["items"]) >= times)


def until(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Once it is so."""
    deadline = monotonic() + seconds
    while not condition():
        assert monotonic() < deadline
        sleep(0.02)


def _send(
    place: str, method: str, path: str, body: Any, headers: dict[str, str]
) -> tuple[int, Any]:
    connection = HTTPConnection(place, timeout=20)
    try:
        sent = None if body is None else orjson.dumps(body)
        connection.request(method, path, sent, {"content-type": "application/json"} | headers)
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    return answer.status, orjson.loads(content) if content else None
