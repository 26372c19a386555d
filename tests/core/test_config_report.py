from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import orjson
import pytest

from proxy.core.config import schema as sections
from proxy.core.config import values
from proxy.core.config.fields import Named, Section
from proxy.core.config.report import check, schema
from proxy.core.paths import CONF


def test_check_says_yes_with_the_warnings() -> None:
    out = io.StringIO()

    code = check(CONF / "headrace.yaml", {}, out)

    *lines, last = out.getvalue().splitlines()
    assert code == 0
    assert all(line.startswith("warning: ") for line in lines)
    assert "9 providers" in last
    assert f"{len(lines)} warnings" in last


def test_check_says_no_with_every_error(tmp_path: Path) -> None:
    (tmp_path / "h.yaml").write_text("server: {prot: 1}\nadmin: {prot: 1}\n")
    out = io.StringIO()

    code = check(tmp_path / "h.yaml", {}, out)

    assert code == 2
    first, second, last = out.getvalue().splitlines()
    assert first.startswith(f"error: {tmp_path}/h.yaml:1:10: server.prot: ")
    assert second.startswith(f"error: {tmp_path}/h.yaml:2:9: admin.prot: ")
    assert last == "2 errors"


def test_check_writes_to_standard_error_when_nothing_else_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(tmp_path / "missing.yaml", {}) == 2

    captured = capsys.readouterr()
    assert captured.out == ""
    assert "No such file" in captured.err
    assert captured.err.endswith("1 error\n")


def document() -> dict[str, Any]:
    content: dict[str, Any] = orjson.loads(schema())
    return content


def test_the_schema_is_of_the_draft_editors_read() -> None:
    content = document()

    assert content["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert content["additionalProperties"] is False
    assert content["properties"].keys() == sections.Config.model_fields.keys()


def test_every_option_has_a_description() -> None:
    content = document()
    groups = {name: body["properties"] for name, body in content["$defs"].items()}

    bare = {
        f"{group}.{name}"
        for group, properties in groups.items()
        for name, option in properties.items()
        if "description" not in option and "$ref" not in option
    }

    assert bare == set()
    found = {section.__name__ for section in (*Section.__subclasses__(), *Named.__subclasses__())}
    assert groups.keys() == found - {"Config", "Named"}


def test_closed_sets_of_words_are_in_the_schema() -> None:
    text = schema().decode()

    for word in ("weighted_round_robin", "anthropic.messages", "console", "warning", "auto"):
        assert f'"{word}"' in text


def test_a_reference_may_stand_for_a_number_and_null_for_nothing() -> None:
    port = document()["$defs"]["Server"]["properties"]["port"]

    assert port["default"] == 8000
    assert [form.get("type") for form in port["anyOf"]] == ["integer", "string", "null"]
    assert port["anyOf"][1]["pattern"] == r"\$\{"


def test_a_provider_has_a_preset_or_an_address() -> None:
    provider = document()["$defs"]["Provider"]

    assert provider["anyOf"] == [{"required": ["preset"]}, {"required": ["base_url"]}]
    assert "required" not in provider


def test_the_short_forms_are_in_the_schema() -> None:
    options = document()["$defs"]["Provider"]["properties"]

    listing, short, _ = options["credentials"]["anyOf"]
    assert {"type": "string"} in listing["items"]["anyOf"]
    assert short == {"type": "string"}


@pytest.mark.parametrize(
    "text", ["1", "512KiB", "10 mb", "3B", "1GIB", "32M", "32Mi", "1.5MiB", "MiB", "1 TB"]
)
def test_an_editor_takes_the_sizes_that_are_taken(text: str) -> None:
    forms = document()["$defs"]["Server"]["properties"]["max_body"]["anyOf"]
    pattern = next(form["pattern"] for form in forms if "K" in form.get("pattern", ""))
    try:
        taken = bool(values.size(text))
    except values.Unfit:
        taken = False

    assert bool(re.search(pattern, text)) is taken
