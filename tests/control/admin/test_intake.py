"""Bodies as edits, with the place of each."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.control.admin import intake
from proxy.control.admin.edits import Create, Delete, Update
from proxy.control.admin.overlay import Overlay
from proxy.control.admin.web import Problem, Request
from proxy.core.records import Kind, Record
from proxy.state.mirror import Mirror


def request(headers: dict[str, str] | None = None, **query: str) -> Request:
    return Request("POST", "/x", query, headers or {}, b"", "127.0.0.1", "id")


def seen() -> Overlay:
    mirror = Mirror()
    mirror.apply(
        [
            Record(Kind.MODEL, 1, 1, "m"),
            Record(Kind.MODEL, 2, 2, "n"),
            Record(Kind.DEPLOYMENT, 3, 3, parent=1),
        ]
    )
    return Overlay(mirror)


def test_an_object_brings_its_own_along() -> None:
    body = {"name": "p", "base_url": "x", "credentials": ["k", {"key": "l", "id": 7}]}

    (first, at), (second, there), (third, _) = intake.create(Kind.PROVIDER, body, "[4]", 9)

    assert isinstance(first, Create)
    assert (first.name, first.body, at) == ("p", {"base_url": "x"}, "[4]")
    assert isinstance(second, Create)
    assert (second.kind, second.body, second.parent) == ("credential", {"key": "k"}, "@9")
    assert there == "[4].credentials[0]"
    assert isinstance(third, Create)
    assert third.body == {"key": "l"}
    assert body["name"] == "p"


@pytest.mark.parametrize(
    ("kind", "body", "field"),
    [
        (Kind.PROVIDER, {"name": "p", "credentials": "k"}, "credentials"),
        (Kind.PROVIDER, {"name": "p", "credentials": [7]}, "credentials[0]"),
        (Kind.MODEL, {"name": "m", "deployments": ["p"]}, "deployments[0]"),
        (Kind.MODEL, {"name": "m", "deployments": [{}] * 1001}, "deployments"),
        (Kind.MODEL, {"name": 7}, "name"),
        (Kind.DEPLOYMENT, {"public_model": []}, "public_model"),
        (Kind.KEY, {"name": "k", "key": "***"}, "key"),
    ],
)
def test_what_cannot_be_meant_is_refused(kind: Kind, body: dict[str, Any], field: str) -> None:
    with pytest.raises(Problem) as caught:
        intake.create(kind, body)

    assert [fault.field for fault in caught.value.faults] == [field]


def test_what_was_only_shown_is_not_sent_on() -> None:
    shown = {
        "id": 1,
        "kind": "key",
        "revision": 2,
        "name": "k",
        "key": "***",
        "rpm": 5,
        "source": "store",
    }

    edit = intake.update(Kind.KEY, "1", shown, seen(), merge=True, if_match=2)

    assert isinstance(edit, Update)
    assert (edit.body, edit.name, edit.merge, edit.if_match) == ({"rpm": 5}, "k", True, 2)


@pytest.mark.parametrize("parent", ["m", "1", 1, None])
def test_a_child_may_say_where_it_is(parent: Any) -> None:
    edit = intake.update(
        Kind.DEPLOYMENT, "3", {"public_model": parent, "weight": 1}, seen(), merge=False
    )

    assert isinstance(edit, Update)
    assert (edit.body, edit.name) == ({"weight": 1}, None)


@pytest.mark.parametrize("parent", ["n", "2", "none"])
def test_and_stays_there(parent: str) -> None:
    with pytest.raises(Problem):
        intake.update(Kind.DEPLOYMENT, "3", {"public_model": parent}, seen(), merge=False)


@pytest.mark.parametrize(
    ("item", "target", "revision"),
    [
        ("m", "m", None),
        (7, "7", None),
        ({"id": 7}, "7", None),
        ({"name": "m", "revision": 4}, "m", 4),
    ],
)
def test_what_is_to_go(item: Any, target: str, revision: int | None) -> None:
    edit = intake.delete(Kind.MODEL, item, cascade=True)

    assert isinstance(edit, Delete)
    assert (edit.target, edit.if_match, edit.cascade) == (target, revision, True)


@pytest.mark.parametrize(
    "item", [None, True, 1.5, [], {}, {"id": True}, {"id": 1, "revision": "1"}, {"id": ""}]
)
def test_what_says_nothing_that_could_go(item: Any) -> None:
    with pytest.raises(Problem):
        intake.delete(Kind.MODEL, item, cascade=False)


@pytest.mark.parametrize(
    ("given", "expected"), [("*", None), ('"7"', 7), ("7", 7), ('W/"7"', 7), (' "7" ', 7)]
)
def test_the_version_a_change_asks_for(given: str, expected: int | None) -> None:
    assert intake.if_match(request({"if-match": given})) == expected


@pytest.mark.parametrize("given", ["", "x", '"-1"', '"1", "2"', '"' + "9" * 30 + '"'])
def test_what_was_never_a_version(given: str) -> None:
    with pytest.raises(Problem) as caught:
        intake.if_match(request({"if-match": given}))

    assert caught.value.status == 412


def test_switches_and_unknown_parameters() -> None:
    assert intake.switch(request(cascade="true"), "cascade")
    assert not intake.switch(request(), "cascade")
    for wrong in ("yes", "", "TRUE"):
        with pytest.raises(Problem):
            intake.switch(request(cascade=wrong), "cascade")
    intake.known(request(cascade="true"), "cascade", "dry_run")
    with pytest.raises(Problem):
        intake.known(request(cascades="true"), "cascade")
