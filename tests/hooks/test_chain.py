"""Which hooks are for a model, and in which order."""

from __future__ import annotations

from proxy.hooks import Point
from proxy.hooks.chain import Chain, Hook, Hooks


class All:
    def before_route(self, request: object) -> None: ...
    async def before_attempt(self, request: object, trial: object) -> None: ...
    def after_response(self, request: object, answer: object) -> None: ...
    async def screen(self, request: object, window: object) -> None: ...
    def on_end(self, request: object, ended: object) -> None: ...


def hook(name: str, *points: Point, models: tuple[str, ...] = ("*",)) -> Hook:
    return Hook(name, All(), frozenset(points or Point), models, mark=name.encode())


def test_in_order_on_the_way_and_in_the_opposite_one_on_the_way_back() -> None:
    chain = Chain([hook("a"), hook("b")])

    assert [call.hook.name for call in (*chain.route, *chain.attempt)] == ["a", "b"] * 2
    assert [call.hook.name for call in (*chain.after, *chain.screens, *chain.end)] == ["b", "a"] * 3


def test_what_is_async_is_known_for_it() -> None:
    chain = Chain([hook("a")])

    assert [call.waits for call in (*chain.route, *chain.attempt, *chain.screens)] == [
        False,
        True,
        True,
    ]


def test_a_hook_is_called_at_its_points_only() -> None:
    chain = Chain([hook("a", Point.ON_END)])

    assert (chain.route, chain.attempt, chain.after, chain.screens) == ((), (), (), ())
    assert not chain.shapes
    assert len(chain.end) == 1
    assert Chain([hook("a", Point.BEFORE_ATTEMPT)]).shapes


def test_models_by_name_and_by_beginning() -> None:
    hooks = Hooks([hook("all"), hook("some", models=("gpt-*", "claude"))])

    def names(model: str) -> list[str]:
        chain = hooks.of(model)
        return [] if chain is None else [one.name for one in chain.hooks]

    assert names("gpt-4o") == names("claude") == ["all", "some"]
    assert names("claude-2") == ["all"]
    assert hooks.of("gpt-4o") is hooks.of("gpt-4o")
    assert Hooks([hook("some", models=("gpt-*",))]).of("claude") is None


def test_two_chains_are_marked_alike_only_if_they_are() -> None:
    assert Chain([hook("a"), hook("b")]).mark == Chain([hook("a"), hook("b")]).mark
    assert Chain([hook("a"), hook("b")]).mark != Chain([hook("b"), hook("a")]).mark


def test_two_configurations_are_equal_when_they_have_the_same_hooks() -> None:
    one, other = hook("a"), hook("a")

    assert Hooks([one]) == Hooks([one])
    assert hash(Hooks([one])) == hash(Hooks([one]))
    assert Hooks([one]) != Hooks([other])
