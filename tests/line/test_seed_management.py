"""What five other gateways document, against a server that was started from a configuration file of theirs.

Each call runs with curl as it is written, each answer is looked at field by field. What is made is then asked, and a
provider answers. Examples in Python and JavaScript run with the official clients; what a client of Go sends is replayed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

import openai
import orjson
import pytest

from tests.line.curling import Said, curl
from tests.line.harness import Process, Simulator, free_port

MASTER = "a master key for tests, of no use to anyone 7f3a9c1e5b2d8064"


@contextmanager
def gateway(folder: Path, name: str, text: str, **variables: str) -> Iterator[str]:
    """`headrace serve` from a file of that gateway, with an empty store, on a free port; its URL."""
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    process = Process(
        file, folder, **{"PORT": str(free_port()), "HEADRACE_MASTER_KEY": MASTER, **variables}
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


def is_well(url: str) -> None:
    """Whether it says of itself, of its store and of its being alive that all is well."""
    health = ok("curl http://localhost:5000/health", url)
    assert (health["status"], health["store"]) == ("ok", "ok")
    assert health["providers"]["unhealthy"] == 0
    assert ok("curl http://localhost:5000/health/ready", url)["status"] == "ready"
    assert ok("curl http://localhost:5000/health/live", url) == {"status": "alive"}


def is_a_page(path: str, url: str) -> None:
    """Whether a browser gets the description of the API there."""
    said = curl(f"curl http://localhost:5000{path}", url)
    assert said.status == 200, said
    assert said.body.startswith(b"<!doctype html>")
    assert b"/reference.js" in said.body


def streams(line: str, url: str) -> None:
    """Whether it is answered with a stream that comes to its end."""
    said = curl(line, url)

    assert said.status == 200, said
    events = said.body.decode().strip().split("\n\n")
    assert len(events) > 3
    assert all(event.startswith("data: ") for event in events)
    assert events[-1] == "data: [DONE]"


def calls_a_tool(line: str, url: str) -> None:
    """Whether it is answered with a call of the tool it offers."""
    (choice,) = ok(line, url)["choices"]

    assert choice["finish_reason"] == "tool_calls"
    (call,) = choice["message"]["tool_calls"]
    assert call["function"]["name"] == "temperature_of"
    assert "place" in orjson.loads(call["function"]["arguments"])


def clients(url: str, key: str, sim: Simulator) -> None:
    """Programs in three languages of which only the address is changed."""
    hello = [{"role": "user", "content": "Hello, world!"}]
    with openai.OpenAI(api_key=key, base_url=f"{url}/v1", max_retries=0) as client:
        whole = client.chat.completions.create(
            model="gpt-3.5-turbo",
            messages=hello,
            temperature=0.7,
            max_tokens=1000,
        )
        told = client.chat.completions.create(
            model="gpt-4",
            messages=hello,
            stream=True,
        )
        assert whole.choices[0].message.content
        assert "".join(chunk.choices[0].delta.content or "" for chunk in told if chunk.choices)
    javascript(url, key)
    # What go-openai sends, with Go's own HTTP client.
    go = {
        "User-Agent": "Go-http-client/1.1",
        "Accept": "application/json",
        "Authorization": f"Bearer {key}",
        "Content-Type": "application/json",
    }
    headers = " ".join(f'-H "{name}: {value}"' for name, value in go.items())
    body = orjson.dumps({"model": "gpt-3.5-turbo", "messages": hello}).decode()
    chats(
        f"curl -X POST {headers} -d '{body}' http://localhost:5000/v1/chat/completions",
        url,
        sim,
        "gpt-3.5-turbo",
    )


SCRIPT = """
import OpenAI from 'openai';
const openai = new OpenAI({apiKey: process.argv[3], baseURL: process.argv[2] + '/v1'});
const messages = [{role: 'user', content: 'Hello, world!'}];
const whole = await openai.chat.completions.create({model: 'gpt-3.5-turbo', messages, temperature: 0.7});
const stream = await openai.chat.completions.create({model: 'gpt-4', messages, stream: true});
let told = '';
for await (const chunk of stream) told += chunk.choices[0]?.delta?.content || '';
console.log(JSON.stringify({whole: whole.choices[0].message.content, told}));
"""


def javascript(url: str, key: str) -> None:
    """The official client, where there is a node to run it."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        assert not os.environ.get("CI"), "node and npm are not on PATH"
        return
    from tests.line.test_sdk_node import SCRIPTS, installed

    with TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "node_modules").symlink_to(installed(SCRIPTS))
        (folder / "example.mjs").write_text(SCRIPT)
        done = subprocess.run(
            ["node", "example.mjs", url, key],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=100,
        )
    assert done.returncode == 0, done.stderr
    said = orjson.loads(done.stdout)
    assert said["whole"]
    assert said["told"]


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
    "models": ["gpt-3.5-turbo", "gpt-4", "gpt-4-tool"],
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


APPSETTINGS = """{
  "OrchestrationApi": {
    "Server": {"Host": "0.0.0.0", "Port": 5000},
    "Auth": {"Username": "admin", "Password": "correct-horse-battery", "JwtSecret": "signs-sessions"},
    "Database": {"Type": "sqlite", "ConnectionString": "Data Source=Data/orchestration_api.db"},
    "Global": {"Timeout": 60, "Retries": 3, "BalancePolicy": "round_robin"}
  }
}
"""
# Its examples of management calls have no credential: without a password, and seen from this machine only, they work.
BARE = {"OrchestrationApi__Auth__Password": "", "OrchestrationApi__Server__Host": "127.0.0.1"}
STORY = """curl -X POST http://localhost:5000/v1/chat/completions \\
  -H "Authorization: Bearer your-proxy-key" \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "gpt-4",
    "messages": [
      {"role": "user", "content": "Tell me a story"}
    ],
    "stream": true
  }'"""
WEATHER = """curl -X POST http://localhost:5000/v1/chat/completions \\
  -H "Authorization: Bearer your-proxy-key" \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "gpt-4-tool",
    "messages": [
      {"role": "user", "content": "How warm is it in Reykjavik?"}
    ],
    "tools": [
      {
        "type": "function",
        "function": {
          "name": "temperature_of",
          "description": "The temperature of a place",
          "parameters": {
            "type": "object",
            "properties": {
              "place": {"type": "string", "description": "Name of a place"}
            },
            "required": ["place"]
          }
        }
      }
    ],
    "tool_choice": "auto"
  }'"""


def test_orchestration_api(sim: Simulator, tmp_path: Path) -> None:
    with gateway(tmp_path, "appsettings.json", APPSETTINGS, **BARE) as url:
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
            "models": ["gpt-3.5-turbo", "gpt-4", "gpt-4-tool"],
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
        streams(STORY.replace("your-proxy-key", key["key"]), url)
        calls_a_tool(WEATHER.replace("your-proxy-key", key["key"]), url)
        clients(url, key["key"], sim)
        models = ok(MODELS_WITH_KEY.replace("your-proxy-key", key["key"]), url)
        assert [one["id"] for one in models["data"]] == group["models"]
        groups = ok("curl http://localhost:5000/admin/groups", url)
        assert [(one["groupName"], one["status"]) for one in groups] == [
            ("openai-primary", "healthy")
        ]

        is_well(url)
        is_a_page("/swagger", url)
        # The store of this program's is beside where that one's was, and the other is not touched.
        assert [one.name for one in (tmp_path / "Data").glob("*.db")] == ["headrace.db"]

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
MESSAGES_B = """curl -X POST http://localhost:8000/v1/messages \\
  -H "Authorization: Bearer your-token" \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "gpt-3.5-turbo",
    "max_tokens": 1024,
    "messages": [
      {"role": "user", "content": "Hello!"}
    ]
  }'"""
TOKEN = "your-token"
VARIABLES = """# what it is
APP_NAME=llm-orchestrator
APP_HOST=0.0.0.0
APP_PORT=8000
APP_ENV=production

AUTH_TOKEN=your-token

DATABASE_TYPE=sqlite  # or mysql
DATABASE_URL=sqlite:///./data/llm_orchestrator.db

REDIS_URL=redis://localhost:6379/0
REDIS_ENABLED=true

LOG_LEVEL=INFO
LOG_FILE=./logs/app.log

HEALTH_CHECK_ENABLED=true
HEALTH_CHECK_INTERVAL=300  # five minutes
HEALTH_CHECK_MAX_ERRORS=5
HEALTH_CHECK_RETRY_HOURS=1
"""


def test_llm_orchestrator(sim: Simulator, tmp_path: Path) -> None:
    # As it is written but for the host: a test is for this machine only.
    with gateway(tmp_path, ".env", VARIABLES, APP_HOST="127.0.0.1") as url:
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
        message = ok(MESSAGES_B, url)
        assert (message["type"], message["role"]) == ("message", "assistant")
        assert (tmp_path / "logs" / "app.log").is_file()

        health = ok(PROVIDERS_HEALTH, url)
        assert health["providers"]["OpenAI"] == {
            "status": "healthy",
            "health_status": "healthy",
            "models": ["gpt-3.5-turbo"],
            "base_url": sim.url,
            "keys": {"usable": 1, "cooling": 0, "bad": 0},
            "last_check": None,
        }
        # The last one first, a moment after its answer.
        logs = until(lambda: found if len((found := ok(LOGS, url))["items"]) == 2 else None)
        assert [one["route"] for one in logs["items"]] == ["/v1/messages", "/v1/chat/completions"]
        assert logs["next"] is None
        is_well(url)
        is_a_page("/docs", url)


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


# Its database is PostgreSQL; where none is named, ours is a file.
ROUTER = "DEBUG=false\n"
IMAGE = """curl -X POST "http://localhost:8000/v1/images/generations" \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "dall-e-3",
    "prompt": "A small mill",
    "n": 1,
    "size": "1024x1024"
  }'"""
EDIT = """curl -X POST "http://localhost:8000/v1/images/edits" \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "dall-e-3",
    "image": "aW1hZ2U=",
    "prompt": "With a river"
  }'"""


def test_ai_router(sim: Simulator, tmp_path: Path) -> None:
    with gateway(tmp_path, ".env", ROUTER) as url:
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

        is_well(url)
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

        streams(CHAT_C.replace('"max_tokens": 1000', '"stream": true'), url)
        pictures = ADD_MODEL.replace("gpt-4", "dall-e-3").replace('"chat"', '"image"')
        assert ok(pictures.replace("GPT-4 模型", "pictures"), url)["name"] == "dall-e-3"
        for line in (IMAGE, EDIT):
            assert ok(line, url)["data"]

        refreshed = ok("curl -X POST http://localhost:8000/v1/stats/refresh", url)
        assert (refreshed["message"], refreshed["models_count"]) == ("Configuration refreshed", 2)
        assert ok("curl -X POST http://localhost:8000/v1/stats/reset", url)["missing"] == []
        assert ok("curl http://localhost:8000/v1/stats", url)["stats"]["requests"] == 0
        assert ok("curl -X POST http://localhost:8000/v1/models/clear-cache", url)["message"]


def test_ai_router_as_it_is_written(tmp_path: Path) -> None:
    with gateway(tmp_path, ".env", ROUTER) as url:
        assert ok(ADD_PROVIDER, url)["id"] == 1
        assert ok(ADD_MODEL, url)["provider_info"]["provider_name"] == "OpenAI"


# --- AI API Gateway --------------------------------------------------------------------------------------------

CHAT_D = """curl http://localhost:6010/v1/chat/completions \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "gpt-4o",
    "messages": [{"role": "user", "content": "Hello!"}]
  }'"""


WITH_KEY = """curl http://localhost:6010/v1/chat/completions \\
  -H "Authorization: Bearer your-gateway-key" \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "gpt-4o",
    "messages": [
      {"role": "system", "content": "You are a miller."},
      {"role": "user", "content": "Hello!"}
    ],
    "temperature": 0.7
  }'"""
POEM = """curl http://localhost:6010/v1/chat/completions \\
  -H "Authorization: Bearer your-gateway-key" \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "gpt-4o",
    "messages": [{"role": "user", "content": "Write a poem"}],
    "stream": true
  }'"""
PROVIDERS_D = """{
  "_global": {"default_timeout": 120, "api_key": ""},
  "gpt-4o": {
    "providers": [
      {
        "name": "provider-1",
        "endpoint": "https://api.example.com/v1",
        "api_key": "sk-your-api-key",
        "model": "gpt-4o",
        "priority": 1,
        "weight": 10,
        "rate_limit": {
          "requests_per_period": 100,
          "tokens_per_period": 500000,
          "period_cron": "0 0 * * *"
        },
        "retry": 3,
        "timeout": 60,
        "stream_support": true,
        "non_stream_support": true,
        "enabled": true
      }
    ]
  }
}
"""


def test_ai_api_gateway(sim: Simulator, tmp_path: Path) -> None:
    text = PROVIDERS_D.replace("https://api.example.com", sim.url)
    with gateway(tmp_path, "config/provider.json", text) as url:
        is_well(url)
        listed = ok("curl http://localhost:6010/v1/models", url)
        assert listed["object"] == "list"
        assert [(one["id"], one["owned_by"]) for one in listed["data"]] == [
            ("gpt-4o", "api-gateway")
        ]
        chats(CHAT_D, url, sim, "gpt-4o")
        # Where no key is asked for, one that is sent does no harm.
        chats(WITH_KEY, url, sim, "gpt-4o")
        streams(POEM, url)

        def counted() -> Any:
            found = ok("curl http://localhost:6010/admin/stats", url)
            return found if found["gpt-4o"]["provider-1"]["requests"] == 3 else None

        stats = until(counted)
        used = stats["gpt-4o"]["provider-1"]
        assert stats == {"gpt-4o": {"provider-1": used}}
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", used["last_reset"])
        assert used["tokens"] > 0
        assert set(used) == {"requests", "tokens", "last_reset", "limit_requests", "limit_tokens"}
        assert (used["limit_requests"], used["limit_tokens"]) == (100, 500000)

        of_model = ok("curl http://localhost:6010/admin/providers/gpt-4o", url)
        assert of_model["model"] == "gpt-4o"
        assert [(one["name"], one["status"], one["requests"]) for one in of_model["providers"]] == [
            ("provider-1", "healthy", 3)
        ]
        reloaded = ok("curl -X POST http://localhost:6010/admin/reload", url)
        assert reloaded["missing"] == []


def test_ai_api_gateway_takes_in_a_new_model_at_a_reload(sim: Simulator, tmp_path: Path) -> None:
    text = PROVIDERS_D.replace("https://api.example.com", sim.url)
    with gateway(tmp_path, "provider.json", text.replace("gpt-4o", "gpt-4")) as url:
        assert curl(CHAT_D, url).status == 404
        (tmp_path / "provider.json").write_text(text)

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


@pytest.mark.parametrize(
    "line",
    [
        "curl http://localhost:3333/v1/models",
        'curl "http://localhost:3333/v1/models?api_key=your-api-key-9"',
        'curl -H "Authorization: Bearer your-api-key-9" http://localhost:3333/v1/models',
        'curl -H "X-API-Key: your-api-key-9" http://localhost:3333/v1/models',
        'curl -H "api-key: your-api-key-9" http://localhost:3333/v1/models',
    ],
)
def test_orina2api_refuses_whom_it_does_not_know(orina: str, line: str) -> None:
    assert curl(line, orina).status == 401


def test_orina2api_shows_providers_and_keys_to_who_may_ask(orina: str) -> None:
    health = ok("curl http://localhost:3333/health", orina)

    assert health["keys"] == {"usable": 3, "cooling": 0, "bad": 0}
    assert health["stats"].keys() >= {"requests", "succeeded", "failed"}
    assert health["uptime"] >= 0


def test_orina2api_begins_a_conversation_and_asks_in_it(orina: str) -> None:
    with openai.OpenAI(base_url=f"{orina}/v1", api_key="your-api-key-1", max_retries=0) as client:
        said = client.chat.completions.create(
            model="Claude 3.5 Sonnet-Default", messages=[{"role": "user", "content": "Hello!"}]
        )
        told = client.chat.completions.create(
            model="gpt-4", messages=[{"role": "user", "content": "Hello!"}], stream=True
        )

        assert said.choices[0].message.content == "Claude 3.5 Sonnet-Default says: Hello!"
        text = "".join(chunk.choices[0].delta.content or "" for chunk in told if chunk.choices)
        assert text == "gpt-4 says: Hello!"


@pytest.fixture(scope="module")
def orina(sim: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Two keys for clients, a pool of three tokens for a chat service that begins conversations."""
    with (
        chat_service() as service,
        gateway(
            tmp_path_factory.mktemp("orina"),
            ".env",
            POOL.replace("https://chat.example.com", service),
        ) as url,
    ):
        yield url


POOL = """API_KEYS=["your-api-key-1", "your-api-key-2"]
REQUIRE_API_KEY=true

TOKEN_POOL=["your_token_1", "your_token_2", "your_token_3"]

AVAILABLE_MODELS=["claude-4-default", "Claude 3.5 Sonnet-Default", "gpt-4"]

TARGET_API_URL=https://chat.example.com/chat
CONVERSATION_API_URL=https://chat.example.com/conversation
REFERER=https://chat.example.com/c/{conversation_id}
"""


@contextmanager
def chat_service() -> Iterator[str]:
    """A service that begins a conversation, and answers in it; its URL."""

    class Service(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = orjson.loads(self.rfile.read(int(self.headers["content-length"])) or b"{}")
            if self.path == "/conversation":
                answer: dict[str, Any] = {"id": "c-1"}
            else:
                said = (self.path, asked["conversation_id"], self.headers["referer"])
                good = said == ("/chat", "c-1", f"http://{self.headers['host']}/c/c-1")
                answer = {"text": f"{asked['model']} says: {asked['message']}" if good else ""}
            body = orjson.dumps(answer)
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
