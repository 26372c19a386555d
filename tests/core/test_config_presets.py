"""The files of `conf/`: data, so all of it can be checked."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

import pytest

from proxy.core import surfaces
from proxy.core.config import Config, load, parse, schema
from proxy.core.config.fields import Named, Section
from proxy.core.config.presets import merged, presets, rooted
from proxy.core.paths import CONF
from proxy.core.url import join

EXAMPLE = CONF / "headrace.yaml"
LOCAL = {"headrace", "llama.cpp", "lm-studio", "ollama", "sglang", "vllm"}
REMOTE = sorted(set(presets()) - LOCAL)


def provider(name: str, **env: str) -> schema.Provider:
    own = {
        "azure-openai": ", base_url: 'https://mine.openai.azure.com/openai'",
        **dict.fromkeys(
            ("vertex", "vertex-anthropic"),
            ", base_url: 'https://x-aiplatform.googleapis.com/v1/projects/p/locations/x'",
        ),
        "cloudflare": ", base_url: 'https://api.cloudflare.com/client/v4/accounts/a/ai/v1'",
        "databricks": ", base_url: 'https://w.cloud.databricks.com/serving-endpoints'",
        "snowflake": ", base_url: 'https://a.snowflakecomputing.com/api/v2/cortex/v1'",
        "bedrock": ", base_url: 'https://bedrock-runtime.us-east-1.amazonaws.com'",
    }.get(name, "")
    return parse(f"providers: {{p: {{preset: {name}{own}}}}}", "f", env).config.providers["p"]


def url(name: str, dialect: str) -> str:
    block = provider(name)
    return join(block.base_url, block.dialects[dialect])


# --- presets ---


def test_the_usual_vendors_are_there() -> None:
    assert {
        "openai", "anthropic", "gemini", "azure-openai", "openrouter", "groq", "mistral", "deepseek", "xai",
        "together", "fireworks", "cohere", "perplexity", "volcengine", "dashscope", "moonshot", "zhipu",
        "siliconflow", "nvidia", "cerebras", *LOCAL,
    } <= presets().keys()  # fmt: skip


@pytest.mark.parametrize("name", sorted(presets()))
def test_every_preset_loads_and_says_where_it_comes_from(name: str) -> None:
    block = presets()[name]

    assert provider(name).note
    date.fromisoformat(provider(name).as_of or "")
    assert "sources" in block
    assert block.keys() <= schema.Provider.model_fields.keys()
    assert "credentials" not in block


@pytest.mark.parametrize("name", sorted(presets()))
def test_what_the_vendor_itself_does_not_say_is_not_passed_off_as_known(name: str) -> None:
    block = provider(name)

    if not block.sources.keys() & {"vendor", "sdk"}:
        assert block.unconfirmed
    assert all(block.sources.values())
    for page in block.sources.get("vendor", []):
        assert page == "this repository" or re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+(/\S*)?", page)
    for library in block.sources.get("sdk", []):
        assert re.fullmatch(r"[a-z0-9-]+ \d+(\.\d+)+", library)


@pytest.mark.parametrize("name", REMOTE)
def test_a_vendor_is_reached_by_https_and_knows_its_variable(name: str) -> None:
    block = provider(name)
    variables = block.credential_env

    assert block.base_url.startswith("https://")
    assert not block.allow_private
    assert variables
    assert not block.usable
    assert provider(name, **{variables[-1]: "sk-1"}).usable


@pytest.mark.parametrize("name", sorted(LOCAL))
def test_a_server_of_this_machine_needs_no_credential(name: str) -> None:
    assert provider(name).usable
    assert provider(name).allow_private


@pytest.mark.parametrize(
    ("name", "dialect", "whole"),
    [
        ("openai", "openai.chat", "https://api.openai.com/v1/chat/completions"),
        ("openai", "openai.audio", "https://api.openai.com/v1/audio"),
        ("anthropic", "anthropic.messages", "https://api.anthropic.com/v1/messages"),
        (
            "gemini",
            "gemini.generate",
            "https://generativelanguage.googleapis.com/v1beta/models",
        ),
        (
            "gemini",
            "openai.chat",
            "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions",
        ),
        (
            "azure-openai",
            "openai.chat",
            "https://mine.openai.azure.com/openai/v1/chat/completions",
        ),
        ("openrouter", "openai.chat", "https://openrouter.ai/api/v1/chat/completions"),
        ("openrouter", "anthropic.messages", "https://openrouter.ai/api/v1/messages"),
        ("groq", "openai.chat", "https://api.groq.com/openai/v1/chat/completions"),
        ("deepseek", "openai.chat", "https://api.deepseek.com/chat/completions"),
        ("deepseek", "anthropic.messages", "https://api.deepseek.com/anthropic/v1/messages"),
        ("fireworks", "openai.chat", "https://api.fireworks.ai/inference/v1/chat/completions"),
        ("cohere", "openai.chat", "https://api.cohere.ai/compatibility/v1/chat/completions"),
        ("perplexity", "openai.chat", "https://api.perplexity.ai/chat/completions"),
        (
            "volcengine",
            "openai.chat",
            "https://ark.cn-beijing.volces.com/api/v3/chat/completions",
        ),
        (
            "dashscope",
            "openai.chat",
            "https://dashscope.aliyuncs.com/compatible-mode/v1/chat/completions",
        ),
        (
            "zhipu",
            "openai.chat",
            "https://open.bigmodel.cn/api/paas/v4/chat/completions",
        ),
        (
            "bedrock",
            "bedrock.converse",
            "https://bedrock-runtime.us-east-1.amazonaws.com/model",
        ),
        ("ollama", "openai.chat", "http://127.0.0.1:11434/v1/chat/completions"),
        (
            "databricks",
            "openai.chat",
            "https://w.cloud.databricks.com/serving-endpoints/chat/completions",
        ),
        (
            "snowflake",
            "anthropic.messages",
            "https://a.snowflakecomputing.com/api/v2/cortex/v1/messages",
        ),
        ("novita", "openai.chat", "https://api.novita.ai/openai/v1/chat/completions"),
        ("helicone", "openai.chat", "https://ai-gateway.helicone.ai/v1/chat/completions"),
        ("github-models", "openai.embeddings", "https://models.github.ai/inference/embeddings"),
        ("crusoe", "openai.chat", "https://api.inference.crusoecloud.com/v1/chat/completions"),
        ("together", "openai.chat", "https://api.together.ai/v1/chat/completions"),
        ("upstage", "openai.chat", "https://api.upstage.ai/v1/solar/chat/completions"),
        ("sambanova", "anthropic.messages", "https://api.sambanova.ai/v1/messages"),
        ("poe", "anthropic.messages", "https://api.poe.com/v1/messages"),
        ("nano-gpt", "anthropic.messages", "https://nano-gpt.com/api/v1/messages"),
        ("vercel", "openai.responses", "https://ai-gateway.vercel.sh/v1/responses"),
        ("digitalocean", "anthropic.messages", "https://inference.do-ai.run/v1/messages"),
        ("moonshot", "openai.responses", "https://api.moonshot.ai/v1/responses"),
        ("minimax", "openai.responses", "https://api.minimax.io/v1/responses"),
        ("perplexity", "openai.embeddings", "https://api.perplexity.ai/v1/embeddings"),
        (
            "cloudflare",
            "openai.responses",
            "https://api.cloudflare.com/client/v4/accounts/a/ai/v1/responses",
        ),
        ("openrouter", "openai.rerank", "https://openrouter.ai/api/v1/rerank"),
        ("heroku", "openai.images", "https://us.inference.heroku.com/v1/images"),
    ],
)
def test_presets_lead_to_the_documented_addresses(name: str, dialect: str, whole: str) -> None:
    assert url(name, dialect) == whole


def test_what_vendors_take_otherwise_is_in_their_presets() -> None:
    fields = provider("poe").fields["openai.chat"]
    vertex = provider("vertex-anthropic").fields["anthropic.messages"]

    assert fields.rename == {"max_completion_tokens": "max_tokens"}
    assert (vertex.drop, vertex.set) == (["model"], {"anthropic_version": "vertex-2023-10-16"})
    assert provider("mistral").force_usage is False


def test_no_preset_repeats_a_version_in_an_address() -> None:
    for name in presets():
        block = provider(name)
        for dialect in block.dialects:
            assert not re.search(r"/(v\d\w*)/\1/", url(name, dialect)), (name, dialect)


def test_what_says_null_takes_away_and_what_adds_adds() -> None:
    preset: dict[str, Any] = {
        "base_url": "a",
        "headers": {"x": "1", "y": "2"},
        "force_usage": False,
    }

    both = merged(preset, {"headers": {"x": None, "z": "3"}, "base_url": None, "query": {"q": "1"}})

    assert both == {
        "base_url": "a",
        "headers": {"y": "2", "z": "3"},
        "force_usage": False,
        "query": {"q": "1"},
    }
    assert merged({"param_overrides": {"a": 1}}, {"param_overrides": {"a": None}}) == {
        "param_overrides": {"a": None}
    }
    assert preset["headers"] == {"x": "1", "y": "2"}


def test_the_documentation_names_every_preset() -> None:
    text = (CONF.parent / "docs" / "providers.md").read_text("utf-8")

    assert {name for name in presets() if f"| `{name}` |" not in text} == set()


# --- the example ---


def uncommented() -> str:
    """The example with its commented key, and its certificate, switched on."""
    text = EXAMPLE.read_text("utf-8")
    before, mark, after = text.partition("  # tls:")
    assert mark
    block, end, rest = after.partition("\n  memory_limit:")
    text = before + "  tls:" + block.replace("\n  # ", "\n  ") + end + rest
    head, mark, tail = text.partition("# keys:\n")
    assert mark
    return head.replace("keys: []\n", "") + "keys:\n" + re.sub(r"(?m)^# ", "", tail)


def test_the_example_loads_without_any_variable() -> None:
    loaded = load(EXAMPLE, {})

    assert loaded.config.models.keys() >= {"gpt-4o", "openai/*"}
    assert loaded.config.providers["ollama"].usable
    assert all(
        "no credential" in str(w) or "no deployment" in str(w) or "no key" in str(w)
        for w in loaded.warnings
    )


def test_the_example_holds_the_defaults() -> None:
    config, empty = load(EXAMPLE, {}).config, Config()

    for section in ("server", "admin", "store", "auth", "health", "logging"):
        assert getattr(config, section) == getattr(empty, section)
    plain = schema.Provider(base_url="https://api.openai.com")
    for name in (
        "enabled",
        "allow_private",
        "allow_http",
        "verify_tls",
        "proxy",
        "max_connections",
        "retry",
    ):
        assert getattr(config.providers["openai"], name) == getattr(plain, name)
    deployment = config.models["gpt-4o"].deployments[0]
    assert deployment == schema.Deployment(provider="openai", model="gpt-4o", priority=1)


def written(text: str) -> dict[type[Section], set[str]]:
    """Every section to the names of its fields that occur in the text."""
    loaded = parse(text, "f", {"APP_KEY": "sk-application", "OPENAI_API_KEY": "k"})
    found: dict[type[Section], set[str]] = {}

    def visit(section: Section) -> None:
        found.setdefault(type(section), set()).update(section.model_fields_set)
        for name in section.model_fields_set:
            value = section.model_extra[name] if section.model_extra else getattr(section, name)
            items = (
                value.values()
                if isinstance(value, dict)
                else value
                if isinstance(value, list)
                else [value]
            )
            for item in items:
                if isinstance(item, Section):
                    visit(item)

    visit(loaded.config)
    return found


def test_every_option_occurs_in_the_example() -> None:
    text = uncommented()
    found = written(text)
    # A null leaves an option out; it is in the text all the same.
    nulls = set(re.findall(r"(?m)^ +(?:- )?(\w+): null", text))

    missing = {
        f"{section.__name__}.{name}"
        for section in found
        for name in section.model_fields
        if name not in found[section] | nulls
    }

    assert missing == set()
    assert found.keys() == {*Section.__subclasses__(), *Named.__subclasses__()} - {Named}


def test_every_option_of_the_example_has_a_reason() -> None:
    lines = EXAMPLE.read_text("utf-8").splitlines()
    sections = [line for line in lines if re.match(r"( {2}|# {3})\w+: [^{\[]", line)]

    bare = [line for line in sections if "#" not in line[1:]]

    assert [line for line in bare if "{}" not in line and "[]" not in line] == []


# --- the demo ---


def test_the_demo_serves_every_dialect_from_the_simulated_provider() -> None:
    loaded = load(CONF / "demo.yaml", {"HEADRACE_DEMO_PORT": "12345"})

    config = loaded.config
    lab = config.providers["lab"]
    assert loaded.warnings == ()
    assert lab.base_url == "http://127.0.0.1:12345"
    assert set(lab.dialects) == set(surfaces.DIALECTS) - {surfaces.OTHER, surfaces.REALTIME}
    assert set(config.models) == {"demo", "demo-fast", "demo-slow", "sim*"}
    assert [key.key.reveal() for key in config.keys] == ["sk-headrace-demo"]


def test_the_key_of_the_demo_can_be_chosen() -> None:
    loaded = load(CONF / "demo.yaml", {"HEADRACE_DEMO_KEY": "sk-mine-12345"})

    assert loaded.config.keys[0].key.reveal() == "sk-mine-12345"


@pytest.mark.parametrize("name", sorted(presets()))
def test_whatever_a_vendor_prints_leads_to_all_of_its_paths(name: str) -> None:
    preset = presets()[name]
    home, spoken = preset.get("base_url", ""), preset.get("dialects", [])
    paths = (
        spoken if isinstance(spoken, dict) else {each: surfaces.DIALECTS[each] for each in spoken}
    )
    wanted = {each: join(home, root or surfaces.DIALECTS[each]) for each, root in paths.items()}
    printed = wanted.get("openai.chat", "").removesuffix("/chat/completions") or home

    base_url = rooted(name, printed)

    assert {
        each: join(base_url, root or surfaces.DIALECTS[each]) for each, root in paths.items()
    } == wanted


def test_what_is_no_address_of_a_vendor_stays() -> None:
    for text in ("https://[a", "", "https://a.example/v1", "${BASE}/v1"):
        assert rooted("dashscope", text) == text
        assert rooted(None, text) == text
