from __future__ import annotations

import pytest

from proxy.core.config import ConfigError
from proxy.core.config.foreign import converting
from proxy.core.config.foreign.source import Sheet

TEXTS = {
    "LiteLLM": "model_list:\n  - {model_name: a, litellm_params: {model: openai/a}}\n",
    "Portkey": '{"targets": [{"provider": "openai", "api_key": "k"}]}',
    "One API": '[{"type": 1, "key": "k", "models": "a"}]',
    "New API": '[{"type": 1, "key": "k", "models": "a", "auto_ban": 1}]',
}


@pytest.mark.parametrize("program", TEXTS)
def test_each_is_recognised_and_converted(program: str) -> None:
    values = converting.values_of(TEXTS[program], "file")

    assert converting.whose(values) == program
    assert converting.translate(Sheet("file"), program, values)["providers"]
    assert program in converting.PROGRAMS


@pytest.mark.parametrize("program", TEXTS)
def test_what_is_another_s_is_refused(program: str) -> None:
    other = "Portkey" if program == "LiteLLM" else "LiteLLM"
    values = converting.values_of(TEXTS[other], "file")

    with pytest.raises(ConfigError) as caught:
        converting.translate(Sheet("file"), program, values)

    assert f"expected a configuration of {program}" in str(caught.value)


@pytest.mark.parametrize("text", ["model_list: [", '{"a": 1, "a": 2}', "a: 1\na: 2\n"])
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        converting.values_of(text, "file")


def test_nobody_s_is_nobody_s() -> None:
    assert converting.whose({"models": {}}) is None
    assert converting.whose([]) is None
