"""Bodies as strict models: what is wrong is named, and never shown."""

from __future__ import annotations

import pytest
from pydantic import Field

from proxy.control.admin import strict
from proxy.control.admin.strict import Body, Line, Name
from proxy.control.admin.web import Problem, Request


class Inner(Body):
    number: int = Field(ge=1)


class Outer(Body):
    name: Name
    note: Line = ""
    items: list[Inner] = Field(default_factory=list)


def request(content: bytes) -> Request:
    headers = {"content-type": "application/json"}
    return Request("POST", "/x", {}, headers, content, "127.0.0.1", "id")


def faults(content: bytes) -> list[str]:
    with pytest.raises(Problem) as caught:
        strict.read(Outer, request(content))
    assert (caught.value.status, caught.value.code) == (400, "invalid")
    assert "hunter2" not in repr(caught.value.faults)
    return [fault.field for fault in caught.value.faults]


def test_a_body_becomes_its_model() -> None:
    found = strict.read(Outer, request(b'{"name": "anna", "items": [{"number": 2}]}'))

    assert (found.name, found.items[0].number) == ("anna", 2)


@pytest.mark.parametrize(
    ("content", "fields"),
    [
        (b"{}", ["name"]),
        (b'{"name": "anna", "role": "hunter2"}', ["role"]),
        (b'{"name": "7hunter2"}', ["name"]),
        (b'{"name": "anna", "note": " hunter2"}', ["note"]),
        (b'{"name": "anna", "note": "hunter2\\u0007"}', ["note"]),
        (b'{"name": "anna", "items": [{"number": 1}, {"number": "hunter2"}]}', ["items[1].number"]),
        (b'{"name": "anna", "items": [{"number": true}]}', ["items[0].number"]),
        (b'{"name": 1, "note": 2}', ["name", "note"]),
    ],
)
def test_each_wrong_field_is_named_without_its_value(content: bytes, fields: list[str]) -> None:
    assert faults(content) == fields


def test_no_more_faults_are_told_than_anybody_reads() -> None:
    content = b'{"name": "anna", "items": [' + b",".join([b"{}"] * 100) + b"]}"

    assert len(faults(content)) == strict.MOST_FAULTS
