from __future__ import annotations

from typing import Any

import msgspec
import pytest

from proxy.core.config import parse
from proxy.core.config.foreign import Foreign
from proxy.core.config.foreign.tree import Reference
from proxy.gateway.routing import resolve, spoken
from proxy.state.snapshot import compile_snapshot
from tests.core.config.foreign.examples import plain, translated, warned


def entry(name: str = "m", info: dict[str, Any] | None = None, **params: Any) -> Foreign:
    """One deployment; LiteLLM's file may as well be JSON."""
    content = [{"model_name": name, "litellm_params": params, "model_info": info or {}}]
    return translated(msgspec.json.encode({"model_list": content}).decode())


def provider(found: Foreign) -> Any:
    (one,) = plain(found.tree)["providers"].values()
    return one


def deployment(found: Foreign) -> Any:
    (model,) = plain(found.tree)["models"].values()
    return model["deployments"][0]


@pytest.mark.parametrize(
    ("params", "preset", "model"),
    [
        ({"model": "openai/gpt-4o"}, "openai", "gpt-4o"),
        ({"model": "gpt-4o"}, "openai", "gpt-4o"),
        ({"model": "claude-3"}, "anthropic", "claude-3"),
        ({"model": "openrouter/meta/llama"}, "openrouter", "meta/llama"),
        ({"model": "together_ai/meta/llama"}, "together", "meta/llama"),
        ({"model": "text-completion-openai/davinci"}, "openai", "davinci"),
        ({"model": "x/y", "custom_llm_provider": "groq"}, "groq", "x/y"),
        ({"model": "vercel_ai_gateway/openai/o3"}, "vercel", "openai/o3"),
        ({"model": "openai/responses/gpt-x"}, "openai", "gpt-x"),
        (
            {"model": "azure/o_series/eu", "api_base": "https://r.openai.azure.com"},
            "azure-openai",
            "eu",
        ),
        ({"model": "ollama/llama3", "api_base": "http://localhost:11434"}, "ollama", "llama3"),
    ],
)
def test_the_beginning_of_a_model_is_its_provider(
    params: dict[str, Any], preset: str, model: str
) -> None:
    found = entry(**params)

    assert provider(found)["preset"] == preset
    assert deployment(found)["model"] == model


def test_a_model_of_the_responses_api_is_asked_over_it() -> None:
    found = entry(model="openai/responses/gpt-x", api_key="k")

    [target] = compile_snapshot(parse(found.yaml(), env={}).config).models["m"].tiers[0]
    assert spoken(target, "openai.chat", translates=True) == "openai.responses"
    assert "prefer" not in deployment(entry(model="openai/gpt-x"))


def test_everything_may_go_to_one_provider() -> None:
    found = entry("*", model="openai/*", api_key="k")

    assert plain(found.tree)["models"]["*"]["deployments"] == [{"provider": "openai", "model": "*"}]
    snapshot = compile_snapshot(parse(found.yaml(), env={}).config)
    model, matched = resolve(snapshot, "gpt-4o")
    assert (model.name, matched) == ("*", "gpt-4o")


def test_with_an_address_of_its_own_it_is_any_server_that_speaks_so() -> None:
    found = entry(model="openai/qwen", api_base="http://10.1.1.1:8000/v1", api_key="k")

    assert provider(found) == {
        "base_url": "http://10.1.1.1:8000/v1",
        "allow_private": True,
        "credentials": ["k"],
    }
    for name in ("litellm_proxy/gpt-4o", "xinference/gpt-4o", "custom_openai/gpt-4o"):
        assert deployment(entry(model=name, api_base="https://a.example"))["model"] == "gpt-4o"
    fourth = provider(entry(model="openai/glm", api_base="https://api.z.ai/api/paas/v4"))
    assert fourth["dialects"]["openai.chat"] == "/chat/completions"
    printed = "https://dashscope-intl.aliyuncs.com/compatible-mode/v1"
    abroad = provider(entry(model="dashscope/qwen-max", api_base=printed))
    assert abroad == {"preset": "dashscope", "base_url": "https://dashscope-intl.aliyuncs.com"}
    assert (
        deployment(entry(model="odd/model", api_base="https://a.example"))["model"] == "odd/model"
    )


def test_azure_speaks_its_newest_version() -> None:
    found = entry(
        model="azure/eu", api_base="https://r.openai.azure.com/", api_version="2024-02-01"
    )

    assert provider(found) == {
        "preset": "azure-openai",
        "base_url": "https://r.openai.azure.com/openai",
    }
    assert list(warned(found)) == ["model_list[0].litellm_params.api_version", ""]


def test_an_address_of_azure_in_a_variable_has_no_slash_at_its_end() -> None:
    found = entry(model="azure/eu", api_base="os.environ/BASE")

    assert provider(found)["base_url"] == Reference("${BASE}/openai")
    assert "BASE must not end" in warned(found)["model_list[0].litellm_params.api_base"]
    literal = entry(model="azure/eu", api_base="https://r.openai.azure.com/")
    assert provider(literal)["base_url"] == "https://r.openai.azure.com/openai"
    assert list(warned(literal)) == [""]


def test_bedrock_is_signed_with_its_keys() -> None:
    found = entry(
        model="bedrock/anthropic.claude",
        aws_region_name="eu-west-1",
        aws_access_key_id="os.environ/ID",
        aws_secret_access_key="os.environ/SECRET",
    )

    assert provider(found) == {
        "preset": "bedrock",
        "base_url": "https://bedrock-runtime.eu-west-1.amazonaws.com",
        "auth": "sigv4:eu-west-1",
        "credentials": [Reference("${ID}:${SECRET}")],
    }
    assert "eu-west-1" not in str(warned(found))
    assert "us-east-1" in str(warned(entry(model="bedrock/x")))


def test_bedrock_is_asked_where_and_for_what_litellm_asks_it() -> None:
    found = entry(
        model="bedrock/converse/us-west-2/amazon.nova",
        aws_region_name="os.environ/REGION",
        aws_session_token="os.environ/TOKEN",
        aws_access_key_id="os.environ/ID",
        aws_secret_access_key="os.environ/SECRET",
    )

    assert provider(found) == {
        "preset": "bedrock",
        "base_url": Reference("https://bedrock-runtime.${REGION}.amazonaws.com"),
        "auth": Reference("sigv4:${REGION}"),
        "credentials": [Reference("${ID}:${SECRET}:${TOKEN}")],
    }
    assert plain(found.tree)["models"]["m"]["deployments"][0]["model"] == "amazon.nova"
    inside = entry(
        model="bedrock/us-west-2/x", aws_bedrock_runtime_endpoint="https://b.example.com"
    )
    assert provider(inside) == {"preset": "bedrock", "base_url": "https://b.example.com"}
    assert "sigv4:us-west-2" in str(warned(inside))


def test_vertex_is_asked_for_gemini_and_claude() -> None:
    found = entry(
        model="vertex_ai/gemini-2.5-pro",
        vertex_project="p",
        vertex_location="global",
        vertex_credentials="/sa.json",
    )

    assert provider(found) == {
        "preset": "vertex",
        "base_url": "https://aiplatform.googleapis.com/v1/projects/p/locations/global",
        "credentials": [Reference("file:/sa.json")],
    }
    claude = entry(model="vertex_ai/claude-x", vertex_project="os.environ/P")
    assert provider(claude) == {
        "preset": "vertex-anthropic",
        "base_url": Reference(
            "https://us-central1-aiplatform.googleapis.com/v1/projects/${P}/locations/us-central1"
        ),
        "credentials": ["ambient"],
    }


def test_parameters_limits_and_prices_have_their_places() -> None:
    found = entry(
        info={"mode": "embedding", "max_input_tokens": 8000, "supports_vision": True, "id": "x"},
        model="openai/e",
        rpm=10,
        tpm=1000,
        max_parallel_requests=3,
        weight=2,
        order=2,
        timeout=30,
        stream_timeout=5,
        num_retries=1,
        temperature=0.2,
        extra_body={"a": {"b": "os.environ/B"}},
        input_cost_per_token=0.0000025,
        output_cost_per_token=1e-5,
    )

    assert deployment(found) == {
        "provider": "openai",
        "model": "e",
        "priority": 2,
        "weight": 2,
        "rpm": 10,
        "tpm": 1000,
        "concurrency": 3,
        "timeouts": {"request": 30, "ttft": 5},
        "retry": {"count": 1},
        "max_context": 8000,
        "price": {"input": 2.5, "output": 10},
        "param_defaults": {"temperature": 0.2, "extra_body": {"a": {"b": Reference("${B}")}}},
    }
    assert plain(found.tree)["models"]["m"]["type"] == "embedding"
    assert warned(found).keys() == {"", "model_list[0].litellm_params.rpm"}


def test_parameters_that_are_to_be_dropped_are_taken_out() -> None:
    found = entry(model="groq/x", additional_drop_params=["user", "tools[*].input_examples", "n"])

    assert deployment(found)["param_overrides"] == {"user": None, "n": None}
    assert "tools[*].input_examples" in str(warned(found))
    snapshot = compile_snapshot(parse(found.yaml(), env={"GROQ_API_KEY": "k"}).config)
    tiers = snapshot.models["m"].tiers
    assert tiers[0][0].param_overrides == {"user": None, "n": None}


def test_elsewhere_parameters_have_other_names() -> None:
    found = entry(model="anthropic/x", additional_drop_params=["user"])

    assert "param_overrides" not in deployment(found)
    assert "model_list[0].litellm_params.additional_drop_params" in str(warned(found))


def test_settings_of_safety_go_to_gemini() -> None:
    settings = [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]
    found = entry(model="gemini/x", safety_settings=settings)
    elsewhere = entry(model="openai/x", safety_settings=settings)

    assert deployment(found)["param_defaults"] == {"safetySettings": settings}
    # Whatever the client speaks: Google's layer for clients of OpenAI has no such field.
    config = parse(found.yaml(), env={"GEMINI_API_KEY": "k"}).config
    [target] = compile_snapshot(config).models["m"].tiers[0]
    assert spoken(target, "openai.chat", translates=True) == "gemini.generate"
    assert "param_defaults" not in deployment(elsewhere)
    assert "safety_settings" in str(warned(elsewhere))


@pytest.mark.parametrize(
    ("params", "kept"),
    [
        ({"model": "bedrock/x", "aws_region_name": "eu-west-1"}, {}),
        ({"model": "vertex_ai/gemini-x", "vertex_project": "p"}, {}),
        ({"model": "vertex_ai/claude-x", "vertex_project": "p"}, {"temperature": 0.5}),
        ({"model": "gemini/x", "safety_settings": ["a"]}, {"safetySettings": ["a"]}),
        ({"model": "gemini/x"}, {"temperature": 0.5, "stop": ["b"]}),
        ({"model": "anthropic/x"}, {"temperature": 0.5, "stop": ["b"]}),
    ],
)
def test_a_parameter_is_not_sent_under_a_name_that_its_provider_does_not_know(
    params: dict[str, Any], kept: dict[str, Any]
) -> None:
    found = entry(temperature=0.5, stop=["b"], **params)

    assert deployment(found).get("param_defaults", {}) == kept
    left = {path.rpartition(".")[2] for path, text in warned(found).items() if "words" in text}
    assert left == {"temperature", "stop"} - kept.keys()


def test_an_account_in_a_variable_is_taken_for_what_the_file_holds() -> None:
    found = entry(
        model="vertex_ai/gemini-x", vertex_project="p", vertex_credentials="os.environ/SA"
    )

    assert provider(found)["credentials"] == [Reference("${SA}")]
    told = warned(found)["model_list[0].litellm_params.vertex_credentials"]
    assert "file:${SA}" in told


@pytest.mark.parametrize(
    ("orders", "priorities"),
    [
        ([2, None, 1], [2, 3, 1]),
        ([0, None, None], [0, 1, 1]),
        ([None, None, None], [1, 1, 1]),
    ],
)
def test_what_has_no_order_comes_last(orders: list[int | None], priorities: list[int]) -> None:
    content = [
        {"model_name": "m", "litellm_params": {"model": f"openai/{at}", "order": order}}
        for at, order in enumerate(orders)
    ]
    found = translated(msgspec.json.encode({"model_list": content}).decode())

    deployments = parse(found.yaml(), env={}).config.models["m"].deployments
    assert [one.priority for one in deployments] == priorities
    assert deployment(entry(model="openai/x", info={"order": 4}))["priority"] == 4


def test_how_many_requests_may_come_at_once_is_told_once() -> None:
    content = [
        {"model_name": "m", "litellm_params": {"model": f"openai/{name}", "rpm": 600}}
        for name in "ab"
    ]
    found = translated(msgspec.json.encode({"model_list": content}).decode())

    told = {path: text for path, text in warned(found).items() if "in one instant" in text}
    assert list(told) == ["model_list[0].litellm_params.rpm"]
    assert "docs/limits.md" in told["model_list[0].litellm_params.rpm"]


def test_headers_may_refer_to_variables() -> None:
    found = entry(model="openai/e", extra_headers={"x-a": "os.environ/A"}, organization="org-1")

    assert provider(found)["headers"] == {"x-a": Reference("${A}"), "openai-organization": "org-1"}


@pytest.mark.parametrize(
    ("name", "params", "path"),
    [
        ("*", {"model": "*"}, "model_list[0].litellm_params.model"),
        ("m", {"model": "azure/"}, "model_list[0].litellm_params.model"),
        ("a*b", {"model": "openai/x"}, "model_list[0].model_name"),
        ("m", {}, "model_list[0].model_name"),
        ("m", {"model": "vertex/x"}, "model_list[0].litellm_params.model"),
        ("m", {"model": "vertex_ai/gemini-x"}, "model_list[0].litellm_params.model"),
        ("m", {"model": "azure/x"}, "model_list[0].litellm_params.model"),
    ],
)
def test_what_cannot_be_served_is_left_out_and_named(
    name: str, params: dict[str, Any], path: str
) -> None:
    found = entry(name, **params)

    assert "left out" in warned(found)[path]
    assert "models" not in plain(found.tree)


def test_what_is_not_here_is_named_with_the_nearest() -> None:
    found = entry(
        info={"base_model": "azure/gpt-4", "odd": 1, "mode": "video"},
        model="openai/x",
        tags=["a"],
        mock_response="hi",
        odd=1,
    )

    assert warned(found).keys() == {
        "",
        "model_list[0].litellm_params.tags",
        "model_list[0].litellm_params.mock_response",
        "model_list[0].litellm_params.odd",
        "model_list[0].model_info.base_model",
        "model_list[0].model_info.odd",
        "model_list[0].model_info.mode",
    }
