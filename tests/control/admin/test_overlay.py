"""Changes laid over the mirror read as if the mirror had them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.control.admin.overlay import Overlay
from proxy.core.records import Kind, Record
from proxy.state.mirror import Mirror
from proxy.store.delta import Delta

KINDS = (Kind.PROVIDER, Kind.CREDENTIAL)
NAMES = ("a", "b", "7")


def record(
    kind: str, id: int, revision: int, name: str = "", parent: int = 0, *, deleted: bool = False
) -> Record:
    spec = b"{}" if deleted else b'{"weight":%d}' % revision
    return Record(kind, id, revision, name, parent, spec, deleted=deleted)


@st.composite
def histories(draw: st.DrawFn) -> list[Record]:
    """Writes one after the other: what a store would give, names unique among what lives."""
    found: list[Record] = []
    living: dict[tuple[str, int], Record] = {}
    for revision in range(1, draw(st.integers(0, 14)) + 1):
        kind = draw(st.sampled_from(KINDS))
        own = [one for one in living.values() if one.kind == kind]
        old = draw(st.sampled_from([None, *own]))
        taken = {one.name for one in own if one is not old}
        id = revision if old is None else old.id
        if kind == Kind.CREDENTIAL:
            name, parent = "", draw(st.integers(1, 3)) if old is None else old.parent
        else:
            free = [one for one in NAMES if one not in taken]
            if not free:
                continue
            name, parent = draw(st.sampled_from(free)), 0
        deleted = old is not None and draw(st.booleans())
        one = record(kind, id, revision, name, parent, deleted=deleted)
        living[kind, id] = one
        if deleted:
            del living[kind, id]
        found.append(one)
    return found


def everything(seen: Overlay) -> object:
    """All that can be asked of it."""
    return (
        {kind: [one.revision for one in seen.all(kind)] for kind in KINDS},
        {
            (kind, text): (found := seen.get(kind, text)) and found.revision
            for kind in KINDS
            for text in (*NAMES, *map(str, range(15)))
        },
        {n: [one.revision for one in seen.children(Kind.CREDENTIAL, n)] for n in range(5)},
        dict(seen.named(Kind.PROVIDER)),
    )


@given(histories(), st.integers(0, 14), st.booleans())
def test_it_reads_as_a_mirror_that_has_seen_all(
    history: Sequence[Record], seen: int, whole: bool
) -> None:
    before, complete = Mirror(), Mirror()
    before.apply(history[:seen])
    complete.apply(history)
    last = history[-1].revision if history else 0

    if whole:
        living = [one for kind in KINDS for one in complete.records.get(kind, {}).values()]
        delta = Delta(living, last, whole=True)
    else:
        delta = Delta(list(history[seen:]), last)

    assert everything(Overlay(before, delta)) == everything(Overlay(complete))


@given(histories(), st.integers(0, 14), st.integers(0, 14))
def test_a_mirror_that_catches_up_meanwhile_changes_nothing(
    history: Sequence[Record], seen: int, more: int
) -> None:
    mirror = Mirror()
    mirror.apply(history[:seen])
    last = history[-1].revision if history else 0
    overlay = Overlay(mirror, Delta(list(history[seen:]), last))
    before = everything(overlay)

    mirror.apply(history[seen : seen + more])

    assert everything(overlay) == before


def test_one_may_be_left_out_of_the_names() -> None:
    mirror = Mirror()
    mirror.apply([record(Kind.PROVIDER, 1, 1, "a"), record(Kind.PROVIDER, 2, 2, "b")])

    names = Overlay(mirror).named(Kind.PROVIDER, but=1)

    assert (list(names), len(names), "a" in names) == (["b"], 1, False)
    assert names["b"] == {"weight": 2}
    with pytest.raises(KeyError):
        names["a"]


@given(st.lists(st.tuples(st.integers(1, 4), st.lists(st.sampled_from("uvwxyz"), max_size=3))))
def test_who_has_which_name_is_kept_as_models_change(history: list[tuple[int, list[str]]]) -> None:
    overlay = Overlay(Mirror())
    overlay.owners()
    taken: dict[int, list[str]] = {}

    for revision, (id, wanted) in enumerate(history, 1):
        others = {alias for one, names in taken.items() if one != id for alias in names}
        taken[id] = [alias for alias in dict.fromkeys(wanted) if alias not in others]
        spec = b'{"aliases":["%s"]}' % '","'.join(taken[id]).encode() if taken[id] else b"{}"
        name = f"{id}-{revision % 2}"
        gone = wanted == ["z"]
        if gone:
            taken[id] = []
        overlay.put(Record(Kind.MODEL, id, revision, name, 0, spec, deleted=gone))

    fresh = Overlay(Mirror())
    for one in overlay.all(Kind.MODEL):
        fresh.put(one)
    assert overlay.owners() == fresh.owners()
