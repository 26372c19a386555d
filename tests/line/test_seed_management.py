"""The management calls five other gateways document, run with curl as they are written, each answer field by field.

One port for clients and operators, as those gateways have it. What is made is then asked, and a provider answers.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from tests.line.curling import CURL, Said, by_hand, curl
from tests.line.harness import Process, Simulator, free_port

MASTER = "a master key for tests, of no use to anyone 7f3a9c1e5b2d8064"


@contextmanager
def gateway(folder: Path, **content: Any) -> Iterator[str]:
    """A `headrace serve` with an empty store and, unless said otherwise, nobody to ask who one is; its URL."""
    port = free_port()
    admin = {"host": "127.0.0.1", "port": port, "anonymous": True}
    process = Process(
        {
            "server": {"host": "127.0.0.1", "port": port},
            "secrets": {"keys": [MASTER]},
            **content,
            "admin": {**admin, **content.get("admin", {})},
        },
        folder,
    )
    try:
        yield process.url
    finally:
        assert process.stop() == 0, "".join(process.lines)


def ok(line: str, url: str, status: int = 200) -> Any:
    """The JSON of an answer that has this status."""
    said: Said = curl(line, url)
    assert said.status == status, (line, said)
    return said.json if said.body else None


def chats(line: str, url: str, sim: Simulator, model: str) -> None:
    """Whether it is answered with a completion, and the simulated provider was asked for it."""
    before = asked(sim, model)
    said = ok(line, url)

    assert said["object"] == "chat.completion"
    assert said["choices"][0]["message"]["content"]
    assert asked(sim, model) == before + 1


def until(look: Callable[[], Any]) -> Any:
    """What is seen as soon as there is something, within 10 s."""
    deadline = monotonic() + 10.0
    while not (seen := look()):
        assert monotonic() < deadline
    return seen


def asked(sim: Simulator, model: str) -> int:
    """How often the provider was asked for a model."""
    requests = ok(f"curl {sim.url}/ledger", sim.url)["requests"]
    return sum(one["model"] == model for one in requests)


# --- OrchestrationApi ------------------------------------------------------------------------------------------

GROUP = """curl -X POST http://localhost:5000/admin/groups \\
  -H "Content-Type: application/json" \\
  -d '{
    "groupName": "openai-primary",
    "providerType": "openai",
    "apiKeys": ["sk-your-openai-key-1", "sk-your-openai-key-2"],
    "models": ["gpt-3.5-turbo", "gpt-4", "gpt-4-turbo"],
    "balancePolicy": "round_robin",
    "retryCount": 3,
    "timeout": 60,
    "priority": 1,
    "enabled": true,
    "parameters": {
      "temperature": 0.7,
      "max_tokens": 2000
    }
  }'"""
PROXY_KEY = """curl -X POST http://localhost:5000/admin/proxy-keys \\
  -H "Content-Type: application/json" \\
  -d '{
    "name": "my-app-key",
    "rpm": 100,
    "enabled": true
  }'"""
HELLO = """curl -X POST http://localhost:5000/v1/chat/completions \\
  -H "Authorization: Bearer your-proxy-key" \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "gpt-3.5-turbo",
    "messages": [
      {"role": "user", "content": "Hello, world!"}
    ],
    "temperature": 0.7,
    "max_tokens": 1000,
    "stream": false
  }'"""
MODELS_WITH_KEY = """curl -X GET http://localhost:5000/v1/models \\
  -H "Authorization: Bearer your-proxy-key" """


def test_orchestration_api(sim: Simulator, tmp_path: Path) -> None:
    with gateway(tmp_path) as url:
        status = ok("curl -X GET http://localhost:5000/admin/status", url)
        assert status["store"]["up"] is True
        assert status["counts"] == {
            "providers": 0,
            "models": 0,
            "deployments": 0,
            "virtual_keys": 0,
        }
        workers = until(lambda: ok("curl http://localhost:5000/admin/status", url)["workers"])
        assert [one["name"] for one in workers] == ["0"]
        assert ok("curl -X GET http://localhost:5000/admin/groups", url) == []

        group = ok(GROUP, url)
        assert group["id"] == 1
        assert {name: group[name] for name in group if name not in ("createdAt", "updatedAt")} == {
            "success": True,
            "message": "Group created successfully",
            "id": 1,
            "groupName": "openai-primary",
            "providerType": "openai",
            "baseUrl": "https://api.openai.com/v1",
            "apiKeys": ["***ey-1", "***ey-2"],
            "models": ["gpt-3.5-turbo", "gpt-4", "gpt-4-turbo"],
            "balancePolicy": "round_robin",
            "retryCount": 3,
            "timeout": 60,
            "priority": 1,
            "enabled": True,
            "parameters": {"temperature": 0.7, "max_tokens": 2000},
            "description": None,
            "source": "store",
            "status": "healthy",
            "keys": {"usable": 2, "cooling": 0, "bad": 0},
            "warnings": [],
        }

        moved = ok(
            f"""curl -X PUT http://localhost:5000/admin/groups/1 \\
              -H "Content-Type: application/json" \\
              -d '{{"baseUrl": "{sim.url}", "allowPrivate": true,
                    "apiKeys": ["sk-your-openai-key-1", "sk-your-openai-key-2"]}}'""",
            url,
        )
        assert (moved["baseUrl"], moved["models"]) == (sim.url, group["models"])

        key = ok(PROXY_KEY, url)
        assert key.items() >= {"name": "my-app-key", "rpm": 100, "enabled": True}.items()
        assert key["key"].startswith("sk-hr-")
        listed = ok("curl http://localhost:5000/admin/proxy-keys", url)
        assert [(one["name"], one["key"]) for one in listed] == [
            ("my-app-key", "***" + key["key"][-4:])
        ]

        assert curl(HELLO, url).status == 401
        chats(HELLO.replace("your-proxy-key", key["key"]), url, sim, "gpt-3.5-turbo")
        models = ok(MODELS_WITH_KEY.replace("your-proxy-key", key["key"]), url)
        assert [one["id"] for one in models["data"]] == group["models"]
        groups = ok("curl http://localhost:5000/admin/groups", url)
        assert [(one["groupName"], one["status"]) for one in groups] == [
            ("openai-primary", "healthy")
        ]

        for path in ("/health", "/health/ready", "/health/live"):
            assert curl(f"curl http://localhost:5000{path}", url).status == 200
        assert curl("curl http://localhost:5000/swagger", url).status == 200

        gone = ok("curl -X DELETE http://localhost:5000/admin/groups/1", url)
        assert gone["success"] is True
        assert curl(HELLO.replace("your-proxy-key", key["key"]), url).status == 404
        assert ok("curl http://localhost:5000/admin/groups", url) == []


# --- LLM Orchestrator ------------------------------------------------------------------------------------------

PROVIDERS = """curl http://localhost:8000/api/providers \\
  -H "Authorization: Bearer your-token" """
CREATE_PROVIDER = """curl -X POST http://localhost:8000/api/providers \\
  -H "Authorization: Bearer your-token" \\
  -H "Content-Type: application/json" \\
  -d '{
    "name": "OpenAI",
    "type": "openai",
    "config": {
      "base_url": "https://api.openai.com/v1",
      "api_key": "sk-..."
    }
  }'"""
PROVIDERS_HEALTH = """curl http://localhost:8000/api/providers/health \\
  -H "Authorization: Bearer your-token" """
LOGS = """curl http://localhost:8000/api/logs \\
  -H "Authorization: Bearer your-token" """
CHAT_B = """curl -X POST http://localhost:8000/v1/chat/completions \\
  -H "Authorization: Bearer your-token" \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "gpt-3.5-turbo",
    "messages": [
      {"role": "user", "content": "Hello!"}
    ],
    "stream": false
  }'"""
TOKEN = "your-token"


def test_llm_orchestrator(sim: Simulator, tmp_path: Path) -> None:
    content: dict[str, Any] = {
        # There one token is for clients and for operators.
        "admin": {"token": TOKEN, "anonymous": False},
        "keys": [{"name": "clients", "key": TOKEN}],
    }
    with gateway(tmp_path, **content) as url:
        assert ok(PROVIDERS, url) == []
        assert curl(PROVIDERS.replace(TOKEN, "another"), url).status == 401
        assert ok('curl http://localhost:8000/api/ -H "Authorization: Bearer your-token"', url)

        provider = ok(CREATE_PROVIDER, url, 201)
        assert {
            name: provider[name] for name in provider if name not in ("created_at", "updated_at")
        } == {
            "id": provider["id"],
            "name": "OpenAI",
            "type": "openai",
            "config": {"base_url": "https://api.openai.com/v1", "api_key": "***"},
            "enabled": True,
            "max_retries": None,
            "timeout": None,
            "source": "store",
            "warnings": [],
        }
        assert [one["name"] for one in ok(PROVIDERS, url)] == ["OpenAI"]

        here = f"""curl -X PUT http://localhost:8000/api/providers/{provider["id"]} \\
          -H "Authorization: Bearer your-token" -H "Content-Type: application/json" \\
          -d '{{"config": {{"base_url": "{sim.url}", "api_key": "sk-..."}}, "allow_private": true}}'"""
        assert ok(here, url)["config"]["base_url"] == sim.url
        model = """curl -X POST http://localhost:8000/admin/models \\
          -H "Authorization: Bearer your-token" -H "Content-Type: application/json" \\
          -d '{"name": "gpt-3.5-turbo", "deployments": [{"provider": "OpenAI"}]}'"""
        ok(model, url, 201)
        chats(CHAT_B, url, sim, "gpt-3.5-turbo")

        health = ok(PROVIDERS_HEALTH, url)
        assert health["providers"]["OpenAI"] == {
            "status": "healthy",
            "health_status": "healthy",
            "models": ["gpt-3.5-turbo"],
            "base_url": sim.url,
            "keys": {"usable": 1, "cooling": 0, "bad": 0},
            "last_check": None,
        }
        logs = ok(LOGS, url)
        assert (logs["items"], logs["next"]) == ([], None)
        assert curl("curl http://localhost:8000/health", url).status == 200
        assert curl("curl http://localhost:8000/docs", url).status == 200


# --- AiRouter --------------------------------------------------------------------------------------------------

ADD_PROVIDER = """curl -X POST "http://localhost:8000/v1/db/providers" \\
  -H "Content-Type: application/json" \\
  -d '{
    "name": "OpenAI",
    "api_key": "your-api-key",
    "base_url": "https://api.openai.com/v1"
  }'"""
ADD_MODEL = """curl -X POST "http://localhost:8000/v1/db/models" \\
  -H "Content-Type: application/json" \\
  -d '{
    "name": "gpt-4",
    "llm_type": "chat",
    "description": "GPT-4 模型",
    "provider_id": 1,
    "provider_weight": 10,
    "is_provider_preferred": true
  }'"""
ADD_MODEL_ALONE = """curl -X POST "http://localhost:8000/v1/db/models" \\
  -H "Content-Type: application/json" \\
  -d '{
    "name": "claude-3",
    "llm_type": "chat",
    "description": "Claude-3 模型"
  }'"""
CHAT_C = """curl -X POST "http://localhost:8000/v1/chat/completions" \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "gpt-4",
    "messages": [
      {"role": "user", "content": "你好"}
    ],
    "temperature": 0.7,
    "max_tokens": 1000
  }'"""


def test_ai_router(sim: Simulator, tmp_path: Path) -> None:
    with gateway(tmp_path) as url:
        # Its base_url is the only word that is not as written: the provider of this test is on this machine.
        local = ADD_PROVIDER.replace(
            '"https://api.openai.com/v1"', f'"{sim.url}/v1", "allow_private": true'
        )
        assert ok(local, url) == {
            "message": "Provider created successfully",
            "id": 1,
            "name": "OpenAI",
            "provider_id": 1,
            "provider_name": "OpenAI",
        }
        model = ok(ADD_MODEL, url)
        assert model == {
            "message": "Model created successfully",
            "id": model["id"],
            "name": "gpt-4",
            "provider_info": {
                "provider_id": 1,
                "provider_name": "OpenAI",
                "weight": 10,
                "is_preferred": True,
            },
        }
        alone = ok(ADD_MODEL_ALONE, url)
        assert alone == {
            "message": "Model created successfully",
            "id": alone["id"],
            "name": "claude-3",
        }
        listed = ok("curl http://localhost:8000/v1/db/models", url)
        assert [(one["name"], one["type"], len(one["providers"])) for one in listed["models"]] == [
            ("gpt-4", "chat", 1),
            ("claude-3", "chat", 0),
        ]
        assert ok("curl http://localhost:8000/v1/db/providers", url)["total"] == 1

        chats(CHAT_C, url, sim, "gpt-4")
        models = ok("curl http://localhost:8000/v1/models", url)
        assert [one["id"] for one in models["data"]] == ["gpt-4"]

        assert curl("curl http://localhost:8000/health", url).status == 200
        health = ok("curl http://localhost:8000/v1/health/models/gpt-4", url)
        assert health.pop("timestamp") > 1e9
        assert [one["check"] for one in health.pop("deployments")] == ["models"]
        assert health == {
            "model_name": "gpt-4",
            "status": "healthy",
            "providers": {"OpenAI": "healthy"},
            "healthy_providers": 1,
            "total_providers": 1,
        }
        assert set(ok("curl http://localhost:8000/v1/health/providers", url)["providers"]) == {
            "OpenAI"
        }

        def counted() -> Any:
            found = ok("curl http://localhost:8000/v1/stats", url)["stats"]
            return found if found["requests"] else None

        # What is counted comes from the database, a moment after the answer; lists of models are not recorded.
        stats = until(counted)
        assert stats["requests"] == 1
        assert stats["cost"] == 0.00132  # at what the maker of gpt-4 charges
        assert (stats["models"]["gpt-4"]["requests"], stats["models"]["gpt-4"]["succeeded"]) == (
            1,
            1,
        )
        assert stats["models"]["gpt-4"]["tokens"] > 0
        overview = ok("curl http://localhost:8000/v1/providers/stats/overview", url)
        assert (overview["total_providers"], overview["healthy_providers"]) == (1, 1)
        balancing = ok("curl http://localhost:8000/v1/load-balancing/statistics", url)
        chosen = balancing["models"]["gpt-4"]["deployments"][0]
        assert (chosen["provider"], chosen["selections"], chosen["share"]) == ("OpenAI", 1, 1.0)
        performance = ok("curl http://localhost:8000/v1/providers/OpenAI/performance", url)
        assert (performance["requests"], performance["success_rate"]) == (1, 1.0)
        assert (
            performance["average_ttft_seconds"] is None
        )  # an answer that came whole has no first piece

        refreshed = ok("curl -X POST http://localhost:8000/v1/stats/refresh", url)
        assert (refreshed["message"], refreshed["models_count"]) == ("Configuration refreshed", 1)
        assert ok("curl -X POST http://localhost:8000/v1/stats/reset", url)["missing"] == []
        assert ok("curl http://localhost:8000/v1/stats", url)["stats"]["requests"] == 0
        assert ok("curl -X POST http://localhost:8000/v1/models/clear-cache", url)["message"]


def test_ai_router_as_it_is_written(tmp_path: Path) -> None:
    with gateway(tmp_path) as url:
        assert ok(ADD_PROVIDER, url)["id"] == 1
        assert ok(ADD_MODEL, url)["provider_info"]["provider_name"] == "OpenAI"


# --- AI API Gateway --------------------------------------------------------------------------------------------

CHAT_D = """curl http://localhost:6010/v1/chat/completions \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "gpt-4o",
    "messages": [{"role": "user", "content": "Hello!"}]
  }'"""


def test_ai_api_gateway(sim: Simulator, tmp_path: Path) -> None:
    content: dict[str, Any] = {
        "providers": {
            "provider-1": {
                "base_url": f"{sim.url}/v1",
                "allow_private": True,
                "credentials": ["sk-your-api-key"],
            }
        },
        "models": {
            "gpt-4o": {
                "deployments": [
                    {"provider": "provider-1", "model": "gpt-4o", "priority": 1, "weight": 10}
                ]
            }
        },
    }
    with gateway(tmp_path, **content) as url:
        assert curl("curl http://localhost:6010/health", url).status == 200
        listed = ok("curl http://localhost:6010/v1/models", url)
        assert listed["object"] == "list"
        assert [one["id"] for one in listed["data"]] == ["gpt-4o"]
        chats(CHAT_D, url, sim, "gpt-4o")

        def counted() -> Any:
            found = ok("curl http://localhost:6010/admin/stats", url)
            return found if found["gpt-4o"]["provider-1"]["requests"] else None

        stats = until(counted)
        used = stats["gpt-4o"]["provider-1"]
        assert stats == {"gpt-4o": {"provider-1": used}}
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", used["last_reset"])
        assert used["requests"] == 1
        assert used["tokens"] > 0
        assert set(used) == {"requests", "tokens", "last_reset", "limit_requests", "limit_tokens"}
        assert (used["limit_requests"], used["limit_tokens"]) == (None, None)

        of_model = ok("curl http://localhost:6010/admin/providers/gpt-4o", url)
        assert of_model["model"] == "gpt-4o"
        assert [(one["name"], one["status"], one["requests"]) for one in of_model["providers"]] == [
            ("provider-1", "healthy", 1)
        ]
        reloaded = ok("curl -X POST http://localhost:6010/admin/reload", url)
        assert reloaded["missing"] == []


def test_ai_api_gateway_takes_in_a_new_model_at_a_reload(sim: Simulator, tmp_path: Path) -> None:
    provider = {"base_url": f"{sim.url}/v1", "allow_private": True, "credentials": ["sk-a-key"]}
    with gateway(tmp_path, providers={"provider-1": provider}) as url:
        assert curl(CHAT_D, url).status == 404
        file = tmp_path / "process.yaml"
        file.write_text(
            file.read_text() + "\nmodels: {gpt-4o: {deployments: [{provider: provider-1}]}}\n"
        )

        ok("curl -X POST http://localhost:6010/admin/reload", url)

        chats(CHAT_D, url, sim, "gpt-4o")


# --- orina2api -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        'curl "http://localhost:3333/v1/models?api_key=your-api-key-1"',
        'curl -H "Authorization: Bearer your-api-key-1" http://localhost:3333/v1/models',
        'curl -H "X-API-Key: your-api-key-1" http://localhost:3333/v1/models',
        'curl -H "api-key: your-api-key-1" http://localhost:3333/v1/models',
        "curl http://localhost:3333/",
        "curl http://localhost:3333/health",
        "curl http://localhost:3333/docs",
    ],
)
def test_orina2api(orina: str, line: str) -> None:
    assert curl(line, orina).status == 200


def test_orina2api_shows_providers_and_keys_to_who_may_ask(orina: str) -> None:
    health = ok("curl http://localhost:3333/health", orina)

    assert health["keys"] == {"usable": 3, "cooling": 0, "bad": 0}
    assert health["stats"].keys() >= {"requests", "succeeded", "failed"}
    assert health["uptime"] >= 0


@pytest.fixture(scope="module")
def orina(sim: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Two keys for clients, a pool of three tokens for a provider."""
    content: dict[str, Any] = {
        "providers": {
            "pool": {
                "base_url": sim.url,
                "allow_private": True,
                "credentials": ["your_token_1", "your_token_2", "your_token_3"],
            }
        },
        "models": {"claude-4-default": {"deployments": [{"provider": "pool"}]}},
        "keys": [{"name": f"client-{n}", "key": f"your-api-key-{n}"} for n in (1, 2)],
    }
    with gateway(tmp_path_factory.mktemp("orina"), **content) as url:
        yield url


# --- without curl ----------------------------------------------------------------------------------------------


@pytest.mark.skipif(CURL is None, reason="there is nothing to compare with")
def test_a_machine_without_curl_reads_the_same_lines(orina: str) -> None:
    for line in (
        'curl "http://localhost:3333/v1/models?api_key=your-api-key-1"',
        'curl -H "X-API-Key: wrong" http://localhost:3333/v1/models',
    ):
        words = shlex.split(re.sub(r"http://localhost:\d+", orina, line))[1:]
        assert by_hand(words).status == curl(line, orina).status
