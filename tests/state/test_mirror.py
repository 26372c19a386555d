from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.core.records import Kind, Record
from proxy.state.mirror import Mirror, clashes
from tests.state.rows import URL, Rows, file


def held(mirror: Mirror) -> dict[str, dict[int, int]]:
    """What a mirror has: kind to id to revision."""
    return {
        kind: {id: record.revision for id, record in sorted(records.items())}
        for kind, records in mirror.records.items()
    }


def test_a_mirror_begins_empty() -> None:
    mirror = Mirror()

    assert mirror.revision == 0
    assert set(mirror.records) == set(mirror.names) == set(Kind)
    assert not any(mirror.records.values())


def test_a_record_is_found_by_id_and_by_name() -> None:
    rows = Rows()
    provider = rows.provider("openai")
    number = rows.add("provider", str(provider.id), base_url=URL)
    other = rows.add("provider", "12345", base_url=URL)
    find = rows.mirror.get

    assert find("provider", "openai") is provider
    # An id is an id first; a name that looks like one is found where there is no such id.
    assert find("provider", str(provider.id)) is provider
    assert find("provider", "12345") is other
    assert find("provider", str(number.id)) is number
    for nothing in ("nobody", "", "²", "9" * 30, "-1"):
        assert find("provider", nothing) is None
    assert find("key", "openai") is None
    assert find("no such kind", "openai") is None


def test_children_come_in_the_order_of_their_ids() -> None:
    rows = Rows()
    provider = rows.add("provider", "p")
    other = rows.add("provider", "q")
    first = rows.add("credential", parent=provider)
    second = rows.add("credential", parent=provider)
    stranger = rows.add("credential", parent=other)
    first = rows.change(first, weight=2)

    assert rows.mirror.children("credential", provider.id) == [first, second]
    rows.remove(second)
    assert rows.mirror.children("credential", provider.id) == [first]
    assert rows.mirror.children("credential", other.id) == [stranger]
    assert rows.mirror.children("deployment", provider.id) == []


def test_what_changed_is_told_by_its_kind() -> None:
    rows = Rows()
    one = Record("provider", 1, 1, "p")
    two = Record("key", 2, 2, "k")

    assert rows.mirror.apply([one, two]) == {"provider", "key"}
    assert rows.mirror.apply([replace(two, revision=3, deleted=True)]) == {"key"}
    # Never here and gone already: nothing that anybody has seen has changed.
    assert rows.mirror.apply([Record("model", 4, 5, "m", deleted=True)]) == frozenset()
    assert rows.mirror.revision == 5


def test_what_is_not_newer_changes_nothing() -> None:
    rows = Rows()
    record = rows.add("model", "m")
    renamed = rows.change(record, "n")
    before = held(rows.mirror)

    assert rows.mirror.apply([record, renamed]) == frozenset()
    assert held(rows.mirror) == before
    assert rows.mirror.get("model", "m") is None


def test_a_name_that_changes_hands_belongs_to_its_new_owner() -> None:
    rows = Rows()
    first, second = rows.add("model", "a"), rows.add("model", "b")
    rows.change(first, "c")
    rows.change(second, "a")

    found = rows.mirror.get("model", "a")
    assert found is not None
    assert found.id == second.id
    rows.remove(found)
    assert rows.mirror.names["model"] == {"c": first.id}


def test_replacing_everything_tells_what_differs() -> None:
    rows = Rows()
    provider, key = rows.add("provider", "p"), rows.add("key", "k")
    rows.add("model", "m")
    mirror = rows.mirror
    generation = mirror.generation
    news = replace(key, revision=9)

    assert mirror.replace([news, provider]) == {"key", "model"}
    assert (mirror.revision, mirror.generation) == (9, generation + 1)
    assert mirror.get("key", "k") is news
    assert mirror.replace([provider, news]) == frozenset()


def test_what_changed_since_comes_last_first() -> None:
    rows = Rows()
    first, second = rows.add("key", "a"), rows.add("key", "b")
    mark = rows.revision
    rows.remove(second)
    third, first = rows.add("key", "c"), rows.change(first, enabled=False)

    assert list(rows.mirror.since("key", mark)) == [first, third]
    assert list(rows.mirror.since("key", rows.revision)) == []
    assert [record.name for record in rows.mirror.since("key", 0)] == ["a", "c"]


steps = st.lists(
    st.tuples(st.sampled_from([str(kind) for kind in Kind]), st.integers(1, 6), st.booleans()),
    max_size=30,
)


@given(steps, st.data())
def test_step_by_step_and_at_once_are_the_same(steps: list[Any], data: st.DataObject) -> None:
    changes = [
        Record(f"{kind}", id, revision, f"{kind}{id}", deleted=deleted)
        for revision, (kind, id, deleted) in enumerate(steps, 1)
    ]
    one = Mirror()
    rest = changes
    while rest:
        cut = data.draw(st.integers(1, len(rest)))
        one.apply(rest[:cut])
        rest = rest[cut:]
    living = {(change.kind, change.id): change for change in changes}
    other = Mirror()
    other.replace([change for change in living.values() if not change.deleted])

    assert held(one) == held(other)
    assert one.names == other.names
    for kind in Kind:
        assert list(one.since(kind, 0)) == list(other.since(kind, 0))


# --- file and store ---

FILE = """
providers: {p: {base_url: "https://api.example.com", credentials: [k]}}
models: {m: {aliases: [also], deployments: [{provider: p}]}}
keys: [{name: app, key: sk-application}]
"""


def test_a_name_in_file_and_store_is_said_with_both() -> None:
    rows = Rows()
    rows.provider("q")
    assert clashes(file(FILE), rows.mirror) == []

    provider = rows.provider("p")
    key = rows.key("app")
    named = rows.model("m")
    owner = rows.model("x", aliases=["also"])

    found = clashes(file(FILE), rows.mirror)

    ends = ": rename or remove one of the two"
    assert found == [
        f"provider 'p' is in the configuration file and in the store (provider {provider.id}){ends}",
        f"key 'app' is in the configuration file and in the store (key {key.id}){ends}",
        f"model 'm' is in the configuration file and in the store (model {named.id}){ends}",
        f"model 'also' is in the configuration file and in the store (model {owner.id}){ends}",
    ]


def test_a_name_of_the_store_that_is_an_alias_in_the_file_clashes() -> None:
    rows = Rows()
    rows.model("also")

    assert len(clashes(file(FILE), rows.mirror)) == 1
