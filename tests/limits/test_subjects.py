"""Who limits are for, and what of them is unlimited."""

from __future__ import annotations

from hashlib import blake2b

import pytest

from proxy.core.model import (
    Budget,
    Credential,
    Deployment,
    Limits,
    Model,
    Provider,
    Quota,
    Snapshot,
    VirtualKey,
)
from proxy.core.secret import Secret
from proxy.limits.subjects import (
    Subject,
    Subjects,
    digest_of,
    of_credential,
    of_deployment,
    of_everything,
    of_key,
    of_model,
    of_team,
    subject,
)

PROVIDER = Provider("p", "https://p.example", {})
QUOTA = Quota(tokens=5)


def key(**fields: object) -> VirtualKey:
    return VirtualKey(**{"name": "anna", "digest": b"d", "id": "7", **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "nothing",
    [
        subject("key", "a", "a", None),
        subject("key", "a", "a", Limits()),
        of_key(key()),
        of_team("red", Limits()),
        of_model(Model("m", ())),
        of_deployment(Deployment("m/1:p", PROVIDER, "m")),
        of_credential(Credential("p#1", Secret("x"))),
        of_everything(Snapshot()),
    ],
)
def test_what_is_not_limited_is_no_subject(nothing: Subject | None) -> None:
    assert nothing is None


@pytest.mark.parametrize(
    ("made", "kind", "id"),
    [
        (of_key(key(rpm=5)), "key", "key:7"),
        (of_team("red", Limits(tpm=5)), "team", "team:red"),
        (of_model(Model("m", (), limits=Limits(rpm=1))), "model", "model:m"),
        (
            of_deployment(Deployment("m/1:p", PROVIDER, "m", quota=QUOTA)),
            "deployment",
            "deployment:m/1:p",
        ),
        (
            of_credential(Credential("p#1", Secret("x"), limits=Limits(concurrency=1))),
            "credential",
            "credential:p#1",
        ),
        (of_everything(Snapshot(limits=Limits(rpm=9))), "global", "global:global"),
    ],
)
def test_each_kind_has_an_account_of_its_own(made: Subject | None, kind: str, id: str) -> None:
    assert made is not None
    assert (made.kind, made.id) == (kind, id)
    assert made.digest == blake2b(id.encode(), digest_size=16).digest() == digest_of(id)


def test_a_key_keeps_its_account_when_it_is_renamed_and_its_secret_rotated() -> None:
    before = of_key(key(rpm=5))
    after = of_key(key(name="berta", digest=b"other", rpm=5))

    assert before is not None
    assert after is not None
    assert before.digest == after.digest
    assert (before.name, after.name) == ("anna", "berta")


def test_a_key_has_all_of_its_limits() -> None:
    budget = Budget(3.0)

    made = of_key(key(rpm=1, tpm=2, concurrency=3, budget=budget))

    assert made is not None
    assert (made.rpm, made.tpm, made.concurrency, made.budget) == (1, 2, 3, budget)
    assert made.quota is None


@pytest.mark.parametrize(
    ("limits", "burst"),
    [
        (Limits(rpm=5), 1),
        (Limits(rpm=100), 10),
        (Limits(rpm=100, burst=3), 3),
        (Limits(tpm=100), 1),
    ],
)
def test_a_tenth_of_a_minute_may_come_at_once(limits: Limits, burst: int) -> None:
    made = subject("key", "a", "a", limits)

    assert made is not None
    assert made.burst == burst


@pytest.mark.parametrize(
    ("made", "counts"),
    [
        (subject("key", "a", "a", Limits(tpm=1)), True),
        (subject("key", "a", "a", None, Quota(tokens=1)), True),
        (subject("key", "a", "a", None, Quota(requests=1)), False),
        (subject("key", "a", "a", Limits(rpm=1)), False),
    ],
)
def test_tokens_are_estimated_only_where_they_are_limited(
    made: Subject | None, counts: bool
) -> None:
    assert made is not None
    assert made.counts_tokens is counts


def test_a_subject_is_made_once_for_each_record() -> None:
    subjects, record, made = Subjects(), object(), []

    def make(_: object) -> Subject | None:
        made.append(1)
        return subject("key", "a", "a", Limits(rpm=1))

    assert subjects.of(record, make) is subjects.of(record, make)
    assert subjects.of(object(), make) is not subjects.of(record, make)
    assert len(made) == 2


def test_that_there_is_no_subject_is_remembered_too() -> None:
    subjects, record, made = Subjects(), object(), []

    def make(_: object) -> Subject | None:
        made.append(1)
        return None

    assert subjects.of(record, make) is None
    assert subjects.of(record, make) is None
    assert len(made) == 1


def test_what_is_remembered_is_bounded() -> None:
    subjects = Subjects()
    records = [object() for _ in range(20_005)]

    for record in records:
        subjects.of(record, lambda _: None)

    assert len(subjects._known) <= 20_002
