"""Descriptions of what was used say what a page shows."""

from __future__ import annotations

from proxy.control.admin.log_export import COLUMNS
from proxy.control.admin.usage_schemas import SCHEMAS, of, page


def test_an_entry_of_the_log_is_described_field_by_field() -> None:
    described = SCHEMAS["log_page"]["properties"]["items"]["items"]

    assert set(described["properties"]) == set(described["required"]) == set(COLUMNS)
    assert described["properties"]["ttft_ms"] == {"type": ["number", "null"]}
    assert described["properties"]["cost_micro"] == {"type": ["integer", "null"]}
    assert described["properties"]["rid"] == {"type": "string"}


def test_an_object_has_all_but_some() -> None:
    made = of({"a": {"type": "string"}, "b": {"type": "integer"}}, ["b"])

    assert (made["type"], made["required"]) == ("object", ["a"])
    assert page(made, "items")["required"] == ["items", "next"]
