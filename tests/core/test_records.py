from __future__ import annotations

import gc

import msgspec
import pytest

from proxy.core.records import PARENTS, Kind, Record, is_id, place, spec_of


def test_a_record_says_little_until_more_is_said() -> None:
    record = Record("key", 7, 9)

    assert (record.name, record.parent, record.spec, record.sealed) == ("", 0, b"{}", "")
    assert not record.deleted


def test_a_record_is_never_changed() -> None:
    record = Record("key", 7, 9)

    with pytest.raises(AttributeError):
        record.revision = 10  # type: ignore[misc]
    later = msgspec.structs.replace(record, revision=10)
    assert (record.revision, later.revision) == (9, 10)


def test_many_records_are_nothing_to_a_collection_of_garbage() -> None:
    assert not gc.is_tracked(Record("key", 7, 9))


def test_a_kind_is_its_word() -> None:
    # Rows say it as text: both find the same entry of a table.
    table: dict[str, int] = dict.fromkeys(Kind, 1)
    assert table["provider"] == 1
    assert str(Kind.CREDENTIAL) == "credential"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7", True),
        ("0", True),
        ("", False),
        ("-1", False),
        ("\u0661", False),
        ("1" * 19, False),
        ("7a", False),
    ],
)
def test_what_could_be_an_id(text: str, expected: bool) -> None:
    assert is_id(text) is expected


def test_what_a_record_says_and_what_its_secrets_are_sealed_for() -> None:
    record = Record("credential", 7, 9, spec=b'{"weight": 3}')

    assert spec_of(record) == {"weight": 3}
    assert place(record.kind, record.id) == "credential/7"
    assert PARENTS[record.kind] == "provider"
