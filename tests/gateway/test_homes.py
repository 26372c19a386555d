from __future__ import annotations

from typing import Any

import pytest

from proxy.core.metrics import Metrics
from proxy.core.model import Snapshot
from proxy.gateway import homes
from proxy.gateway.endpoints import match, other
from proxy.state.live import Live
from proxy.state.state import State
from proxy.wire.envelope import Envelope


class Asked:
    """What of a request is looked at."""

    def __init__(self, method: str, path: str, body: bytes = b"") -> None:
        found = match(method, path) or other(method, path)
        assert found is not None
        self.endpoint, self.params = found
        self.body = body
        self.envelope = Envelope.parse(body) if self.endpoint.operation == "responses" else None


def thing(method: str, path: str, body: bytes = b"") -> Any:
    exchange: Any = Asked(method, path, body)
    return homes._thing(exchange)


@pytest.mark.parametrize(
    ("method", "path", "id", "question"),
    [
        ("GET", "/v1/batches/batch_68f0a1", "batch_68f0a1", None),
        ("GET", "/v1/videos/video_123/content", "video_123", None),
        ("DELETE", "/v1/files/file-abc123XY", "file-abc123XY", "files/file-abc123XY"),
        ("POST", "/v1/batches/batch_68f0a1/cancel", "batch_68f0a1", "batches/batch_68f0a1"),
        (
            "POST",
            "/v1/fine_tuning/jobs/ftjob-99887/cancel",
            "ftjob-99887",
            "fine_tuning/jobs/ftjob-99887",
        ),
        (
            "POST",
            "/v1/vector_stores/vs_12345/files/file-67890a",
            "vs_12345",
            "vector_stores/vs_12345",
        ),
        ("DELETE", "/v1/models/ft:gpt-4o:me::9a", "ft:gpt-4o:me::9a", "models/ft:gpt-4o:me::9a"),
        ("GET", "/v1/responses/resp_12345", "resp_12345", None),
    ],
)
def test_a_path_names_a_thing(method: str, path: str, id: str, question: str | None) -> None:
    found = thing(method, path)

    assert found.ids == (id,)
    if question is None:
        assert found.question is None
    else:
        endpoint, params = found.question
        assert (endpoint.method, params["id"]) == ("GET", question)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/files", b""),
        ("GET", "/v1/fine_tuning/jobs", b""),
        ("POST", "/v1/files", b"--boundary"),
        ("POST", "/v1/batches", b"{" + b" " * homes.READ),
        ("POST", "/v1/responses", b'{"model":"m","input":"x"}'),
        ("POST", "/v1/responses", b'{"model":"m","previous_response_id":"../../admin1"}'),
        ("POST", "/v1/responses", b'{"model":"m","previous_response_id":7}'),
    ],
)
def test_nothing_else_is_about_a_thing(method: str, path: str, body: bytes) -> None:
    assert thing(method, path, body) is None


def test_a_body_names_a_file_that_is_asked_for_and_ids_that_may_be_known() -> None:
    found = thing("POST", "/v1/batches", b'{"input_file_id": "file-abcdef1", "x": "thing-00001"}')

    assert found.ids[0] == "file-abcdef1"
    assert "thing-00001" in found.ids
    assert found.question[1]["id"] == "files/file-abcdef1"
    assert thing("POST", "/v1/threads", b'{"assistant": "asst_00001"}').question is None


def test_what_is_remembered_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(homes, "MOST", 3)
    snapshot = Snapshot()
    state = State(snapshot, Live(snapshot), Metrics())
    for number in range(5):
        homes.remember(state, f"id-{number}", ("p", "p#0"))
    homes.remember(state, "id-4", ("q", "q#0"))

    assert state.homes == {"id-2": ("p", "p#0"), "id-3": ("p", "p#0"), "id-4": ("q", "q#0")}
