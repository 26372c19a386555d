"""Hooks in a configuration: had before it is used, or refused with the line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.core.config import ConfigError
from proxy.core.config.extensions import Hook, specs
from proxy.core.config.loading import load, parse
from proxy.hooks import Point
from proxy.state.show import show
from proxy.state.snapshot import compile_snapshot


@pytest.fixture(autouse=True)
def path() -> Iterator[None]:
    before = list(sys.path)
    yield
    sys.path[:] = before


def errors(text: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        parse(text, "x.yaml", {"A_TOKEN": "hidden-value"})
    return str(raised.value).splitlines()


def test_what_is_said_of_a_hook_is_what_it_is_made_from() -> None:
    hook = Hook.model_validate(
        {
            "name": "a",
            "use": "b:c",
            "options": {"x": 1},
            "points": "screen",
            "models": "gpt-*",
            "timeout": "50ms",
            "on_error": "open",
            "hold": {"characters": 9, "time": "2s"},
        }
    )

    (spec,) = specs([hook])

    assert (spec.name, spec.use, spec.options, spec.points) == (
        "a",
        "b:c",
        {"x": 1},
        (Point.SCREEN,),
    )
    assert (spec.models, spec.timeout, spec.open) == (("gpt-*",), 0.05, True)
    assert (spec.characters, spec.seconds) == (9, 2.0)
    assert specs([hook.model_copy(update={"enabled": False})]) == []


def test_it_is_in_the_snapshot_as_it_was_made_for_the_check() -> None:
    text = "hooks: [{name: keywords, options: {words: [a]}}, {name: nobody, enabled: false}]"
    one, other = (compile_snapshot(parse(text).config).hooks for _ in range(2))

    assert one is not None
    assert one == other
    assert [hook.name for hook in one.all] == ["keywords"]
    assert compile_snapshot(parse("hooks: []").config).hooks is None


def test_modules_beside_the_configuration_are_found(tmp_path: Path) -> None:
    (tmp_path / "beside_it.py").write_text("class Hook:\n    def on_end(self, a, b): ...\n")
    file = tmp_path / "headrace.yaml"
    file.write_text("hooks: [{name: x, use: 'beside_it:Hook'}]")

    assert load(file, {}).config.hooks[0].use == "beside_it:Hook"


@pytest.mark.parametrize(
    ("lines", "where", "words"),
    [
        (["  - name: nobody"], "2:11: hooks[0].name", "entry point"),
        (["  - name: a", "    use: no_such_module:x"], "3:10: hooks[0].use", "ModuleNotFoundError"),
        (
            ["  - name: keywords", "    options:", "      words: []"],
            "4:7: hooks[0].options",
            "at least one word",
        ),
        (
            ["  - name: keywords", "    options: {words: [a], wrods: [b]}"],
            "3:14: hooks[0].options",
            "wrods",
        ),
        (
            ["  - name: keywords", "    options: {words: [a]}", "    points: [on_end]"],
            "4:13: hooks[0].points",
            "before_route, screen",
        ),
        (
            ["  - name: keywords", "    options: {words: [abcdef]}", "    hold: {characters: 3}"],
            "4:11: hooks[0].hold",
            "6 or more",
        ),
        (
            ["  - {name: keywords, options: {words: [a]}}"] * 2,
            "3:12: hooks[1].name",
            "a name for each",
        ),
        (["  - name: a", "    on_error: maybe"], "3:15: hooks[0].on_error", "open, closed"),
        (["  - name: a b"], "2:11: hooks[0].name", ""),
        (["  - use: a"], "2:5: hooks[0]", "'name'"),
    ],
)
def test_what_cannot_be_had_is_an_error_with_its_line(
    lines: list[str], where: str, words: str
) -> None:
    found = errors("\n".join(["hooks:", *lines]))

    assert len(found) == 1
    assert found[0].startswith(f"x.yaml:{where}: ")
    assert words in found[0]


def test_nothing_secret_is_repeated(tmp_path: Path) -> None:
    (tmp_path / "tells_all.py").write_text(
        "def hook(token):\n    raise ValueError(f'bad token {token}')\n"
    )
    text = "hooks: [{name: a, use: 'tells_all:hook', options: {token: '${A_TOKEN}'}}]"

    with pytest.raises(ConfigError, match="bad token") as raised:
        parse(text, "x.yaml", {"A_TOKEN": "hidden-value"}, tmp_path)

    assert "hidden-value" not in str(raised.value)


def test_what_is_shown_has_no_secrets() -> None:
    text = "hooks: [{name: keywords, options: {words: ['${A_TOKEN}'], message: hello}}]"
    shown = show(parse(text, env={"A_TOKEN": "hidden-value"}))

    assert "message: hello" in shown
    assert "hidden-value" not in shown


LED = """
providers: {p: {base_url: "http://127.0.0.1:1", allow_private: true, auth: none, dialects: [openai.chat]}}
models:
  a: {deployments: [{provider: p}], fallbacks: [b]}
  b: {deployments: [{provider: p}], rules: [{use: c}]}
  c: {deployments: [{provider: p}]}
hooks:
  - name: keywords
    options: {words: [x]}
    models: MODELS
"""


@pytest.mark.parametrize(
    ("models", "names"),
    [("[b]", ["'a'"]), ("[c]", ["'b'"]), ("[a, b]", []), ('["*"]', []), ("[b, c]", ["'a'"])],
)
def test_what_passes_a_hook_by_is_said(models: str, names: list[str]) -> None:
    loaded = parse(LED.replace("MODELS", models), "x.yaml", {})

    said = [one for one in loaded.warnings if "pass it by" in one.message]
    assert [one.message.split()[2] for one in said] == names
    assert all((one.line, one.path) == (10, "hooks[0].models") for one in said)
