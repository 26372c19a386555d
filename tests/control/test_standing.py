"""What a worker knows of its store is what it says of it."""

from __future__ import annotations

from pathlib import Path

from proxy.control.replica import Replica
from proxy.control.standing import Standing
from tests.control.syncing import Place


async def test_it_is_as_the_replica_is(tmp_path: Path) -> None:
    place = Place(tmp_path)
    replica = Replica(place.read())
    one = Standing(replica)
    assert (one.health, one.source, one.up, one.vault, one.peppers) == (
        "degraded",
        "",
        False,
        None,
        (),
    )

    await replica.load(place.read())

    assert (one.health, one.source, one.up) == ("ok", "store", True)
    assert (one.store, one.mirror, one.vault) == (replica.store, replica.mirror, replica.vault)
    assert one.peppers == replica.peppers != ()
    assert not one.problems
    replica.closed = ("a pepper does not open",)
    assert list(one.problems) == ["a pepper does not open"]
    assert replica.store is not None
    await replica.store.close()


def test_without_a_store_nothing_is_degraded(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.url = ""
    place.write()

    assert Standing(Replica(place.read())).health == "none"
