from __future__ import annotations

from proxy.core.config.foreign.pool import Pool, plain
from tests.core.config.foreign.examples import here


def test_equal_providers_are_one_and_others_have_names_of_their_own() -> None:
    pool = Pool()

    names = [pool.named("openai", {"credentials": [here(key)]}) for key in ("a", "b", "a", "c")]

    assert names == ["openai", "openai-2", "openai", "openai-3"]
    assert list(pool.providers) == ["openai", "openai-2", "openai-3"]


def test_what_it_belongs_to_tells_two_apart() -> None:
    pool = Pool()

    names = [pool.named("one", {"a": here(value)}, beside="gpt") for value in (1, 2, 3, 2)]

    assert names == ["one", "one (gpt)", "one (gpt, 2)", "one (gpt)"]


def test_where_something_was_written_makes_no_difference() -> None:
    assert plain({"a": [here(1, "x", 1)]}) == plain({"a": [here(1, "y", 2)]}) == {"a": [1]}
