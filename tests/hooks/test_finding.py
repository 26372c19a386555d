"""Hooks found by entry point and by path, and what cannot be had."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.hooks import Point
from proxy.hooks.finding import OURS, Spec, Unusable, hooks, known, look_in, made

MODULE = """
class Hook:
    def __init__(self, **options):
        self.options = options
        if "bad" in options:
            raise ValueError("bad: none of that")

    def on_end(self, request, ended): ...
    async def screen(self, request, window): ...

class Needs(Hook):
    needs = 300

class Nothing: ...

def make(size=1):
    return Hook(size=size)

text = "no function"
"""


@pytest.fixture
def name(tmp_path: Path) -> Iterator[str]:
    """A module that is found, with an entry point."""
    before, module = list(sys.path), f"module_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{module}.py").write_text(MODULE)
    info = tmp_path / "example_hooks-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: example-hooks\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[headrace.hooks]\nexample = {module}:Hook [pii]\n")
    look_in(str(tmp_path))
    yield module
    sys.path[:] = before


def test_by_entry_point(name: str) -> None:
    hook = made(Spec("example", options={"a": 1}))

    assert type(hook.made).__module__ == name
    assert hook.made.options == {"a": 1}
    assert hook.points == {Point.SCREEN, Point.ON_END}
    assert "example" in known()
    assert set(OURS) <= set(known())
    assert made(Spec("mine", use="example")).name == "mine"


def test_by_path_and_by_function(name: str) -> None:
    assert made(Spec("x", use=f"{name}:make", options={"size": 3})).made.options == {"size": 3}
    only = made(Spec("x", use=f"{name}:Hook", points=(Point.ON_END,), timeout=3, open=True))

    assert only.points == {Point.ON_END}
    assert (only.timeout, only.open) == (3, True)


def test_the_same_is_made_once(name: str) -> None:
    spec = Spec("x", use=f"{name}:Hook")

    assert made(spec) is made(Spec("x", use=f"{name}:Hook"))
    assert made(spec) is not made(Spec("x", use=f"{name}:Hook", options={"a": 1}))
    assert hooks([spec]) == hooks([spec])
    assert hooks([]) is None


def test_what_is_found_elsewhere_goes_first(name: str) -> None:
    folder = sys.path[-1]
    (Path(folder) / "orjson.py").write_text("raise AssertionError")
    sys.modules.pop("colorsys", None)
    (Path(folder) / "colorsys.py").write_text("raise AssertionError")

    look_in(folder)

    assert sys.path.count(folder) == 1
    with pytest.raises(Unusable, match="makes the hook"):
        made(Spec("x", use="colorsys:nothing"))


@pytest.mark.parametrize(
    ("spec", "where", "words"),
    [
        (Spec("nobody"), "name", "entry point"),
        (Spec("x", use="nobody"), "use", "entry point"),
        (Spec("x", use="no_such_module_anywhere:Hook"), "use", "ModuleNotFoundError"),
        (Spec("x", use="{name}:Absent"), "use", "none at"),
        (Spec("x", use="{name}:text"), "use", "none at"),
        (Spec("x", use="{name}:Nothing"), "use", "none of them"),
        (Spec("x", use="{name}:make", options={"sise": 1}), "options", "TypeError"),
        (Spec("x", use="{name}:Hook", options={"bad": 1}), "options", "none of that"),
        (Spec("x", use="{name}:Hook", points=(Point.BEFORE_ROUTE,)), "points", "before_route"),
        (Spec("x", use="{name}:Needs"), "hold", "300 or more"),
    ],
)
def test_what_cannot_be_had(name: str, spec: Spec, where: str, words: str) -> None:
    spec = Spec(spec.name, spec.use.replace("{name}", name), spec.options, spec.points)

    with pytest.raises(Unusable, match=words) as raised:
        made(spec)

    assert raised.value.where == where


def test_what_is_not_to_be_held_back_may_be_longer(name: str) -> None:
    assert made(Spec("x", use=f"{name}:Needs", points=(Point.ON_END,))).points == {Point.ON_END}
    assert made(Spec("x", use=f"{name}:Needs", characters=300)).characters == 300
