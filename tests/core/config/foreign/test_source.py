from __future__ import annotations

from typing import Any

import pytest

from proxy.core.config.foreign.source import Given, Own, Sheet, leaves, spread, usual, variables
from tests.core.config.foreign.examples import here, plain


def given(values: dict[str, Any], *, folded: bool = False) -> Given:
    return Given(Sheet("file"), values, "top", folded=folded)


@pytest.mark.parametrize(
    ("read", "value", "result"),
    [
        ("text", "a", "a"),
        ("text", " a ", "a"),
        ("text", 5, "5"),
        ("text", True, "true"),
        ("text", "", None),
        ("text", None, None),
        ("whole", 5, 5),
        ("whole", "5", 5),
        ("whole", 5.0, 5),
        ("whole", "", None),
        ("number", "1.5", 1.5),
        ("number", "2.0", 2),
        ("number", 3, 3),
        ("switch", True, True),
        ("switch", "False", False),
        ("switch", "on", True),
        ("switch", 0, False),
        ("switch", "", None),
    ],
)
def test_a_value_is_read_as_what_it_has_to_be(read: str, value: Any, result: Any) -> None:
    at = given({"a": here(value, "a", 7)})

    found = getattr(at, read)("a")

    assert plain(found) == result
    assert found is None or (found.origin is not None and found.origin.line == 7)
    assert not at.sheet.problems


@pytest.mark.parametrize(
    ("read", "value"),
    [
        ("whole", "five"),
        ("whole", 1.5),
        ("whole", -1),
        ("whole", True),
        ("number", "x"),
        ("number", -1),
        ("number", "inf"),
        ("number", "nan"),
        ("switch", "perhaps"),
        ("switch", 7),
    ],
)
def test_what_is_none_is_said_with_its_place(read: str, value: Any) -> None:
    at = given({"a": here(value, "a", 7)})

    assert getattr(at, read)("a") is None

    (problem,) = at.sheet.problems
    assert (problem.line, problem.path) == (7, "top.a")
    assert problem.message.startswith("expected ")


def test_a_secret_is_not_repeated() -> None:
    at = given({"api_key": here("sk-secret", "api_key")})

    at.whole("api_key")

    assert "sk-secret" not in str(at.sheet.problems[0])


def test_where_nothing_is_said_the_usual_is_and_says_so() -> None:
    at = given({"b": here("", "b")})

    for found in (at.text("a", "x"), at.whole("a", 1), at.number("a", 1), at.switch("a", True)):
        assert found is not None
        assert found.origin is None
        assert found.note == "usual there"
    assert at.text("b", "x") == usual("x")
    assert at.text("a") is None


@pytest.mark.parametrize(
    ("read", "value"),
    [
        ("text", {"x": here(1)}),
        ("whole", [here(1)]),
        ("section", here(1)),
        ("section", [here(1)]),
        ("mapping", here(1)),
        ("each", here(1)),
        ("each", [here(1)]),
        ("texts", [{"x": here(1)}]),
    ],
)
def test_another_shape_is_an_error(read: str, value: Any) -> None:
    at = given({"a": value})

    assert not (lambda found: found.names() if isinstance(found, Given) else found)(
        getattr(at, read)("a")
    )
    assert len(at.sheet.problems) == 1


def test_lists_and_sections_are_read() -> None:
    at = given({"l": [here("a"), here(""), here(2)], "one": here("x"), "s": {"t": here(1)}})

    assert plain(at.texts("l")) == ["a", "2"]
    assert plain(at.texts("one")) == ["x"]
    section = at.section("s")
    assert section.path == "top.s"
    assert plain(section.whole("t")) == 1
    assert at.section("none").names() == []
    assert given({"l": [{"a": here(1)}]}).each("l")[0].path == "top.l[0]"
    assert isinstance(at.mapping("none"), Own)


def test_what_nobody_took_is_named_and_comments_are_none() -> None:
    at = given(
        {"a": here(1), "tyop": here(2), "b": here(3), "_comment": here(4), "$schema": here(5)}
    )
    at.text("a")
    at.leave("b", "not here")

    assert at.left() == ["tyop", "_comment", "$schema"]
    at.done(("typo",))

    assert [(one.path, one.message) for one in at.sheet.warnings] == [
        ("top.b", "not here"),
        ("top.tyop", "not known, and not used; did you mean 'typo'?"),
    ]
    assert at.leave("none", "not here") is False


def test_names_may_be_written_in_any_case() -> None:
    at = given({"GroupName": here("x"), "api_keys": here("y")}, folded=True)

    assert "groupname" in at
    assert plain(at.text("groupName")) == "x"
    assert plain(at.text("apiKeys")) == "y"
    assert at.left() == []


def test_a_value_of_a_variable_says_of_which() -> None:
    at = Given(Sheet("file"), variables([("A", "1"), ("B", "2")], frozenset("A")))

    assert at.names() == ["A"]
    found = at.text("A")
    assert found is not None
    assert (found.variable, found.origin and found.origin.file) == ("A", "environment")
    # Another value is not what the variable holds.
    assert found.as_(1).variable == ""


def test_what_was_one_text_has_one_origin() -> None:
    tree = spread({"a": [1, {"b": None}]}, here("x", "BODY"))

    assert plain(tree) == {"a": [1, {"b": None}]}
    assert {leaf.origin.path for leaf in leaves(tree) if leaf.origin} == {"BODY"}
