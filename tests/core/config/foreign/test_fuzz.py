"""Whatever stands where something else is expected: it is read, named or refused, and nothing breaks."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.config import ConfigError
from proxy.core.config.document import compose
from proxy.core.config.foreign import read
from tests.core.config.foreign.examples import FILES

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6)
    | st.sampled_from(
        [
            "openai/gpt-4o",
            "os.environ/KEY",
            "https://a.example/v1",
            "http://[",
            "[1",
            '{"a": 1}',
            "*",
            "fallback",
        ]
    ),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["model", "a", "mode", "name", "providers"]), inner, max_size=2
        )
    ),
    max_leaves=4,
)
FIELDS = {
    "appsettings": (
        '{{"OrchestrationApi": {}}}',
        "Server Auth Database Global RequestLogging Groups ProxyKeys",
    ),
    "sections": (
        '{{"OrchestrationApi": {{"Server": {0}, "Auth": {0}, "Database": {0}, "Global": {0}}}, "Serilog": {0}}}',
        "Host Port Password Type ConnectionString Timeout Retries BalancePolicy MinimumLevel WriteTo",
    ),
    "group": (
        '{{"OrchestrationApi": {{"Groups": [{}]}}}}',
        "groupName providerType baseUrl apiKeys models balancePolicy retryCount timeout priority parameters",
    ),
    "provider": (
        '{{"_global": {0}, "m": {{"providers": [{0}]}}}}',
        "name endpoint api_key model priority weight rate_limit retry timeout enabled custom_headers default_retry",
    ),
    "litellm": (
        '{{"model_list": [{{"model_name": "m", "litellm_params": {0}, "model_info": {0}}}, {0}]}}',
        "model api_key api_base timeout weight order extra_headers mode custom_llm_provider rpm temperature",
    ),
    "router": (
        '{{"model_list": [{{"model_name": "m", "litellm_params": {{"model": "openai/a"}}}}], '
        '"router_settings": {0}, "litellm_settings": {0}, "general_settings": {0}}}',
        "fallbacks default_fallbacks model_group_alias routing_strategy timeout cache cache_params callbacks "
        "master_key database_url redis_host redis_port max_budget budget_duration allowed_fails",
    ),
    "keys": (
        '{{"keys": [{{"token": "t", "models": []}}, {}]}}',
        "token key key_alias models max_budget budget_duration expires metadata blocked rpm_limit",
    ),
    "portkey": (
        '{{"targets": [{0}, {{"targets": [{0}]}}], "strategy": {0}, "cache": {0}, "retry": {0}}}',
        "provider api_key virtual_key weight targets strategy mode conditions default override_params "
        "request_timeout retry cache attempts custom_host name max_age",
    ),
    "channel": (
        '[{{"type": 1, "models": "a"}}, {}]',
        "type models base_url key model_mapping priority weight status name group param_override",
    ),
}
NEEDED: dict[str, dict[str, Any]] = {
    "keys": {"token": "t", "models": []},
    "channel": {"type": 8, "models": "b"},
}
"""What makes it one of these."""


@pytest.mark.parametrize("kind", FIELDS)
@settings(max_examples=12)
@given(data=st.data())
def test_anything_may_stand_anywhere(kind: str, data: st.DataObject) -> None:
    template, names = FIELDS[kind]
    needed = NEEDED.get(kind, {})
    content: dict[str, Any] = needed | data.draw(
        st.dictionaries(st.sampled_from(names.split()), VALUES, max_size=5)
    )

    check(template.format(msgspec.json.encode(content).decode()))


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".env")])
@settings(max_examples=12)
@given(data=st.data())
def test_any_variable_may_hold_anything(name: str, data: st.DataObject) -> None:
    lines = FILES[name].splitlines()
    at = data.draw(st.integers(0, len(lines) - 1))
    value = data.draw(VALUES)
    variable = lines[at].partition("=")[0]
    written = value if isinstance(value, str) else msgspec.json.encode(value).decode()

    check("\n".join([*lines[:at], f"{variable}={written}", *lines[at + 1 :]]))


def check(text: str) -> None:
    """It can be read and printed, or there is an error that says where."""
    try:
        found: Any = read(text, "file", {})
    except ConfigError:
        return
    assert found is not None
    assert found.document().build(lambda _, leaf: leaf.text) is not None
    assert not compose(found.yaml(), "printed").problems
