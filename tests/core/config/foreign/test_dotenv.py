from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.config import ConfigError
from proxy.core.config.foreign import dotenv

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,12}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\x00"), max_size=40)
SINGLE, DOUBLE = r"\\'", r"\\\"$"


def values(text: str, **env: str) -> dict[str, str]:
    return {name: one.value for name, one in dotenv.parse(text, ".env", env).items()}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A=b", "b"),
        ("A = b ", "b"),
        ("export A=b", "b"),
        ("  A=b", "b"),
        ("A=", ""),
        ("A=''", ""),
        ("A=b c", "b c"),
        ("A=b # said", "b"),
        ("A=b\t# said", "b"),
        ("A=#said", ""),
        ("A=b#c", "b#c"),
        ("A=http://x/#y", "http://x/#y"),
        ("A='b # c' # said", "b # c"),
        ('A="b # c"', "b # c"),
        (r"A='b\'c\\d\n'", r"b'c\d\n"),
        (r'A="b\"c\\d\n"', 'b"c\\d\n'),
        (r'A="\x"', r"\x"),
        ('A="b\nc"', "b\nc"),
        ("A='b\nc'", "b\nc"),
        ('A=["b", "c"]', '["b", "c"]'),
        ("A=b\r\nB=c", "b"),
        ("A=1\nA=2", "2"),
        ("A=$B", "$B"),
        ("A=ä€😀", "ä€😀"),
    ],
)
def test_a_value_is_what_it_is_elsewhere(text: str, value: str) -> None:
    assert values(text)["A"] == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("B=1\nA=${B}2", "12"),
        ('B=1\nA="${B}2"', "12"),
        ("B=1\nA='${B}2'", "${B}2"),
        (r"B=1" "\n" r'A="\${B}2"', "${B}2"),
        ("A=${C}", "of the process"),
        ("C=of the file\nA=${C}", "of the file"),
        ("A=${D:-usual}", "usual"),
        ("A=${D}", ""),
        ("D=\nA=${D:-usual}", "usual"),
        ("A=${1}", "${1}"),
    ],
)
def test_references_are_replaced(text: str, value: str) -> None:
    assert values(text, C="of the process")["A"] == value


def test_a_name_without_a_value_is_as_if_it_were_not_there() -> None:
    assert values("A\nexport B\nC=1") == {"C": "1"}


def test_each_name_has_its_line() -> None:
    found = dotenv.parse("# one\n\nA='x\ny'\n  B=1\n", ".env", {})

    assert (found["A"].line, found["A"].column) == (3, 1)
    assert (found["B"].line, found["B"].column) == (5, 3)


@pytest.mark.parametrize("text", ["A='b", 'A="b', "A='b' c", "=b", "A='b'c", "- a", "A B=1"])
def test_what_is_none_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        dotenv.parse(f"X=1\n{text}\n", ".env", {})

    (problem,) = caught.value.problems
    assert problem.line == 2
    assert problem.file == ".env"


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("A=1", True),
        ("# said\n\n  export A = 1", True),
        ("A: 1", False),
        ("server:\n  port: 1", False),
        ("a:\n  - b=c", False),
        ("", False),
        ("# only this", False),
        ("A", False),
        ("{A=1}", False),
    ],
)
def test_it_is_told_from_yaml(text: str, is_one: bool) -> None:
    assert dotenv.is_dotenv(text) is is_one


def escaped(text: str, characters: str) -> str:
    return re.sub(f"[{characters}]", lambda found: "\\" + found[0], text)


@given(st.dictionaries(NAMES, TEXTS, max_size=5))
def test_what_is_quoted_comes_back(content: dict[str, str]) -> None:
    single = [f"{name}='{escaped(value, SINGLE)}'" for name, value in content.items()]
    double = [f'{name}="{escaped(value, DOUBLE)}"  # said' for name, value in content.items()]

    assert values("\n".join(single)) == content
    assert values("\n".join(double)) == content


@given(TEXTS)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = dotenv.parse(text, ".env", {})
    except ConfigError:
        return
    assert all(1 <= one.line <= text.count("\n") + 1 for one in found.values())
