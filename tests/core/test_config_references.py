from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.config.references import MAX_FILE, References, Unresolved, is_whole

HERE = Path()


def expand(text: str, env: dict[str, str] | None = None, folder: Path = HERE) -> str:
    return References(env or {}, folder).resolve(text)


def refusal(text: str, env: dict[str, str] | None = None, folder: Path = HERE) -> Unresolved:
    with pytest.raises(Unresolved) as caught:
        expand(text, env, folder)
    return caught.value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("${A}", "1"),
        ("x${A}y${A}z", "x1y1z"),
        ("${A}${B}", "12"),
        ("${EMPTY}", ""),
        ("${A:-9}", "1"),
        ("${NONE:-9}", "9"),
        ("${EMPTY:-9}", "9"),
        ("${NONE:-}", ""),
        ("${NONE:-${A}}", "1"),
        ("${NONE:-a${NONE:-b${B}}c}", "ab2c"),
        ("${NONE:-http://h:80/?a=b}", "http://h:80/?a=b"),
        ("$A and $ and a$", "$A and $ and a$"),
        ("$${A}", "${A}"),
        ("$${A}${A}$${A}", "${A}1${A}"),
        ("{A} }{", "{A} }{"),
        ("${SELF}", "${A}"),
        ("${NONE:-${SELF}}", "${A}"),
    ],
)
def test_references_are_replaced_by_what_they_name(text: str, expected: str) -> None:
    env = {"A": "1", "B": "2", "EMPTY": "", "SELF": "${A}"}

    assert expand(text, env) == expected


@pytest.mark.parametrize("text", ["${A}", "x ${A} y", "${B:-${A}}", "file:${A}"])
def test_an_unset_variable_is_named(text: str) -> None:
    error = refusal(text)

    assert error.variable == "A"
    assert "environment variable A" in error.expected
    assert "${A:-default}" in error.advice


@pytest.mark.parametrize(
    "text",
    [
        "${",
        "${}",
        "${A",
        "${A:-",
        "${A:-x",
        "${1A}",
        "${A-x}",
        "${A B}",
        "${:-x}",
        "${file:}",
        "${é}",
    ],
)
def test_what_looks_like_a_reference_and_is_none_is_refused(text: str) -> None:
    error = refusal(text, {"A": ""})

    assert error.variable == ""


def test_defaults_inside_defaults_end_somewhere() -> None:
    assert refusal("${A:-" * 5000 + "}" * 5000).variable == ""


def test_a_default_that_is_not_needed_is_not_looked_at() -> None:
    assert expand("${A:-${UNSET}}", {"A": "1"}) == "1"


def test_a_file_is_read_without_its_line_end(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("  s3cret\n")

    assert expand(f"file:{tmp_path}/secret") == "s3cret"
    assert expand("file:secret", folder=tmp_path) == "s3cret"
    assert expand("a ${file:secret} b", folder=tmp_path) == "a s3cret b"
    assert expand("file:${NAME}", {"NAME": "secret"}, tmp_path) == "s3cret"


def test_a_url_with_the_scheme_file_is_no_reference() -> None:
    assert expand("file:///etc/passwd") == "file:///etc/passwd"


def test_what_a_variable_holds_is_not_read_as_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret")

    assert expand("${A}", {"A": f"file:{tmp_path}/secret"}) == f"file:{tmp_path}/secret"


def test_files_that_hold_no_secret_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "large").write_bytes(b"x" * (MAX_FILE + 1))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    os.mkfifo(tmp_path / "pipe")

    assert "empty" in refusal("file:empty", folder=tmp_path).found
    assert "larger" in refusal("file:large", folder=tmp_path).found
    assert "UTF-8" in refusal("file:binary", folder=tmp_path).found
    assert "No such file" in refusal("file:missing", folder=tmp_path).found
    assert refusal("file:pipe", folder=tmp_path).expected == "a regular file"
    assert refusal("file:/dev/zero").expected == "a regular file"
    assert refusal("file:.", folder=tmp_path).expected == "a regular file"
    assert "not a file name" in refusal("file:a\0b", folder=tmp_path).found


def test_a_secret_given_as_a_file_name_is_not_repeated() -> None:
    error = refusal("file:${OPENAI_API_KEY}", {"OPENAI_API_KEY": "sk-very-secret"})

    assert "sk-very-secret" not in f"{error.expected} {error.found} {error.advice}"


def test_contents_of_files_and_of_secret_variables_are_remembered(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("from-a-file\n")
    env = {"MY_API_KEY": "from-a-key", "REGION": "eu", "DB_PASSWORD": " spaced\n", "TOKEN": ""}
    references = References(env, tmp_path)

    references.resolve("file:a")
    references.resolve("${MY_API_KEY} ${REGION} ${DB_PASSWORD} ${TOKEN}")

    assert references.hidden == {"from-a-file", "from-a-key", "spaced"}


variables = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True)
plain = st.text(st.characters(exclude_characters="${}", exclude_categories=["Cs"]), max_size=8)


@given(st.dictionaries(variables, st.text(max_size=8), max_size=5), st.data())
def test_text_around_references_is_kept_and_values_are_put_in_once(
    env: dict[str, str], data: st.DataObject
) -> None:
    text = expected = ""
    for _ in range(data.draw(st.integers(0, 5))):
        around = data.draw(plain.filter(lambda part: not part.startswith("file:")))
        name = data.draw(variables)
        default = data.draw(plain)
        text += f"{around}${{{name}:-{default}}}"
        expected += around + (env.get(name) or default)

    if not text.startswith("file:"):
        assert expand(text, env) == expected


@given(st.text(max_size=30) | st.text("${}:-AfileB", max_size=20))
def test_any_text_is_resolved_or_refused(text: str) -> None:
    with suppress(Unresolved):
        expand(text, {"A": "1"}, Path("nowhere"))


@given(st.text(max_size=30).filter(lambda text: not text.startswith("file:")))
def test_escaped_text_comes_back_as_it_was(text: str) -> None:
    if "$${" in text:
        return

    assert expand(text.replace("${", "$${")) == text


@pytest.mark.parametrize(
    ("text", "refers"),
    [
        ("file:a", True),
        ("file:", True),
        ("file://a", False),
        ("secret:vault/a", True),
        ("secret:a", False),
        ("${file:a}", False),
        ("a", False),
    ],
)
def test_a_text_may_be_a_reference_as_a_whole(text: str, refers: bool) -> None:
    assert is_whole(text) is refers
    if not refers and "$" not in text:
        assert expand(text) == text
