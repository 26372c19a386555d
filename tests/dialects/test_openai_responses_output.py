"""Items and numbers of a stream."""

from __future__ import annotations

from proxy.dialects import ir
from proxy.dialects.openai_responses.output import Open, Output, delta_head
from tests.dialects.answers import payloads


def test_every_item_has_an_id_of_its_own() -> None:
    out = Output()
    out.ids = "r"

    made = [out.begin({}, "rs_", own).id for own in ("", "rs_1", "rs_1", "msg_2")]

    assert made == ["rs_r_0", "rs_1", "rs_1_2", "rs_2"]


def test_events_count_up() -> None:
    out = Output()
    opened = Open(out.begin({}, "msg_"), ir.Text())
    opened.delta = delta_head("x", {"a": 1})

    raw = out.event("y", {}) + out.more(opened, 'q"\n') + out.more(opened, "") + out.event("z", {})

    assert payloads(raw) == [
        {"type": "y", "sequence_number": 0},
        {"type": "x", "a": 1, "delta": 'q"\n', "sequence_number": 1},
        {"type": "z", "sequence_number": 2},
    ]


def test_a_finished_item_is_told_in_two_events() -> None:
    begun, done = payloads(Output().tell({"id": "ws_1", "status": "completed"}))

    assert begun["item"]["status"] == "in_progress"
    assert done["item"]["status"] == "completed"
