from __future__ import annotations

import pytest

from proxy.core.config.foreign import common
from proxy.core.config.foreign.source import Given, Sheet
from tests.core.config.foreign.examples import here, plain


@pytest.mark.parametrize(
    ("word", "level"),
    [("INFO", "info"), ("Warn", "warning"), ("CRITICAL", "error"), ("Information", "info")],
)
def test_a_level_has_another_word_here(word: str, level: str) -> None:
    found = common.level(Sheet("file"), here(word))

    assert found is not None
    assert found.value == level


def test_a_level_that_is_none_is_an_error() -> None:
    sheet = Sheet("file")

    assert common.level(sheet, here("loud", "LOG_LEVEL")) is None
    assert sheet.problems[0].path == "LOG_LEVEL"
    assert common.level(sheet, None) is None


def test_one_number_bounds_an_answer_and_the_beginning_of_a_stream() -> None:
    assert plain(common.timeouts(here(60))) == {"request": 60, "ttft": 60}
    assert common.timeouts(None) is None


@pytest.mark.parametrize(("length", "told"), [(3, True), (2, False), (0, False), (None, False)])
def test_that_a_list_is_a_page_of_one_is_told(length: int | None, told: bool) -> None:
    sheet = Sheet("file")

    common.complete(Given(sheet, {"total": here(length, "total")}), "total", 2, "more")

    assert [one.path for one in sheet.warnings] == ["total"] * told


def test_no_two_secrets_share_a_variable() -> None:
    variables = common.Variables("KEY_")
    labels = ("Main EU", "main-eu", "主账号", "测试", "MAIN_EU_2", "智谱 glm")

    found = [variables.named(label, at) for at, label in enumerate(labels)]

    assert found == [
        "KEY_MAIN_EU",
        "KEY_MAIN_EU_2",
        "KEY_1",
        "KEY_1_2",
        "KEY_MAIN_EU_2_2",
        "KEY_GLM",
    ]
    assert variables.named("Main EU", 0) == "KEY_MAIN_EU"
