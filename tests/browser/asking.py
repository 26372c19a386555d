"""What a test asks a demo beside the browser."""

from __future__ import annotations

from http.client import HTTPConnection
from time import monotonic
from typing import Any

import orjson

from tests.docs.conftest import Demo


def ask(demo: Demo, method: str, path: str, body: Any = None) -> Any:
    """The admin API; what it says, which has to be a success."""
    status, content = _send(demo.admin, method, path, body, {})
    assert status < 300, content
    return content


def chat(demo: Demo, key: str, *, model: str = "demo-fast") -> int:
    """The status of a short question with this key."""
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
    return _send(
        demo.api, "POST", "/v1/chat/completions", body, {"authorization": f"Bearer {key}"}
    )[0]


def asked(demo: Demo, model: str, times: int = 1, *, status: int = 200) -> None:
    """So many short questions with the demo's key that have this status; a machine that is busy may refuse some others."""
    done = 0
    deadline = monotonic() + 15
    while done < times:
        said = chat(demo, "sk-headrace-demo", model=model)
        done += said == status
        assert said == status or monotonic() < deadline, said


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
