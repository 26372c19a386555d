from __future__ import annotations

import pickle

import msgspec
import pytest

from proxy.core.secret import Secret

CANARY = "sk-canary-7f3a"


@pytest.mark.parametrize(
    "show",
    [repr, str, "{}".format, "{!r}".format, "{:>40}".format, lambda s: f"{s}", lambda s: repr([s])],
)
def test_no_way_of_printing_shows_it(show) -> None:  # type: ignore[no-untyped-def]
    assert CANARY not in show(Secret(CANARY))


def test_it_is_not_pickled() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Secret(CANARY))


def test_revealing_gives_it_back() -> None:
    assert Secret(CANARY).reveal() == CANARY


def test_a_struct_that_holds_one_does_not_show_it() -> None:
    class Holder(msgspec.Struct):
        secret: Secret

    assert CANARY not in repr(Holder(Secret(CANARY)))
