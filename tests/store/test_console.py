"""Answers go to stdout alone, and what is for people to stderr alone."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.store.console import answer, say, tell


@pytest.mark.parametrize(
    ("content", "written"), [("sk-hr-1", "sk-hr-1\n"), ({"a": [1]}, '{\n  "a": [\n    1\n  ]\n}\n')]
)
def test_an_answer_is_for_a_program(
    content: Any, written: str, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(content)

    assert tuple(capsys.readouterr()) == (written, "")


def test_what_is_said_is_for_a_person(capsys: pytest.CaptureFixture[str]) -> None:
    say("no")
    tell("as it is")

    assert tuple(capsys.readouterr()) == ("", "headrace: no\nas it is\n")
