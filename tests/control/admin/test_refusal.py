"""Why an edit is refused, and what to do instead."""

from __future__ import annotations

from proxy.control.admin.references import Reference
from proxy.control.admin.refusal import (
    Orphaned,
    missing,
    read_only,
    referred,
    sentence,
    stale,
    wrong,
)
from proxy.control.admin.web import Fault
from proxy.core.records import Kind, Record


def test_who_names_an_object_is_told_up_to_ten() -> None:
    deployment = Record(Kind.DEPLOYMENT, 4, 4)
    found = [Reference(deployment, "provider", f"deployment {number}") for number in range(12)]

    problem = referred(Record(Kind.PROVIDER, 1, 1, "p"), found)

    assert (problem.status, problem.code) == (409, "referenced")
    assert problem.detail.startswith("The provider 'p' is named by deployment 0, deployment 1")
    assert problem.detail.endswith("deployment 9 and 2 more.")
    assert len(problem.faults) == 12


def test_kind_and_name_are_named() -> None:
    assert missing("key", "a/b").detail == "There is no key 'a/b'."
    assert (missing("key", "k").status, missing("key", "k").code) == (404, "not_found")
    assert "The model 'm' is in the configuration file" in read_only("model", "m").detail


def test_who_is_late_is_told_the_version_that_holds() -> None:
    assert (stale(7).status, stale(7).headers["etag"]) == (412, '"7"')


def test_what_is_wrong_is_one_sentence_or_a_number() -> None:
    assert wrong("a.b", "a number is expected").detail == "a.b: a number is expected."
    assert wrong("", "a list is expected").detail == "a list is expected."
    assert sentence([Fault("a", "x"), Fault("b", "y")]) == "2 fields are wrong."
    assert Orphaned().code == "invalid"
