"""A configuration of each program with every field it documents, in values of our own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from proxy.core.config.foreign import Foreign, read
from proxy.core.config.foreign.source import Origin, Said, leaves

APPSETTINGS = """{
  // what it listens on
  "OrchestrationApi": {
    "Server": {"Host": "0.0.0.0", "Port": 5055},
    "Auth": {"Username": "root", "Password": "correct-horse-battery", "JwtSecret": "signs"},
    "Database": {
      "Type": "sqlite",
      "ConnectionString": "Data Source=Data/orchestration_api.db",
      "MySqlConnectionString": "Server=db;Database=o;Uid=o;Pwd=a-password;",
    },
    "Global": {"Timeout": 30, "Retries": 2, "BalancePolicy": "least_used"},
    "RequestLogging": {"Enabled": false, "EnableDetailedContent": true, "MaxContentLength": 500}
  },
  "AllowedHosts": "*"
}
"""
PROVIDER_JSON = """{
  "_global": {"default_timeout": 90, "default_retry": 1, "log_requests": false, "api_key": "gateway-key-01"},
  "gpt-4o": {
    "providers": [
      {
        "name": "first", "endpoint": "https://first.example.com/v1", "api_key": "sk-first",
        "model": "gpt-4o-2024", "priority": 2, "weight": 7,
        "rate_limit": {"requests_per_period": 100, "tokens_per_period": 5000, "period_cron": "0 */6 * * *"},
        "retry": 4, "timeout": 45, "stream_support": true, "non_stream_support": false,
        "enabled": false, "custom_headers": {"x-tenant": "seven"}, "max_context_length": 8000
      },
      {"name": "second", "endpoint": "http://10.0.0.7:8080/v1", "api_key": "sk-second", "model": "gpt-4o"}
    ]
  },
  "deepseek chat": {
    "providers": [
      {"name": "first", "endpoint": "https://first.example.com/v1", "api_key": "sk-other", "model": "ds"}
    ]
  }
}
"""
LLM_ORCHESTRATOR = """APP_NAME=orchestra
APP_HOST=0.0.0.0
APP_PORT=8088
APP_ENV=production

AUTH_TOKEN=a-token-for-all-of-it

DATABASE_TYPE=sqlite  # or mysql
DATABASE_URL=sqlite:///./data/llm_orchestrator.db

REDIS_URL=redis://localhost:6379/0
REDIS_ENABLED=true

LOG_LEVEL=WARNING
LOG_FILE=./logs/app.log

HEALTH_CHECK_ENABLED=true
HEALTH_CHECK_INTERVAL=120  # two minutes
HEALTH_CHECK_MAX_ERRORS=4
HEALTH_CHECK_RETRY_HOURS=2
"""
AIROUTER = """DEBUG=true
DATABASE_URL=postgresql+asyncpg://router:secret@db:5432/router
OPENAI_API_KEY=sk-of-openai
ANTHROPIC_API_KEY=sk-of-anthropic
"""
ORINA2API = """APP_NAME=Pool
DEBUG=true
HOST=127.0.0.1
PORT=3344
API_KEYS=["client-key-1", "client-key-2"]
REQUIRE_API_KEY=true
TARGET_API_URL=https://chat.example.com/api/chat
CONVERSATION_API_URL=https://chat.example.com/api/conversation
PROJECT_API_URL=https://chat.example.com/api/project
MESSAGE_API_URL=https://chat.example.com/api/conversation
TOKEN_POOL=["token-1", "token-2"]
AVAILABLE_MODELS=["Claude 4-Default", "gpt-4"]
TIMEOUT=25
MAX_RETRIES=2
RETRY_DELAY=1.5
"""
FILES = {
    "appsettings.json": APPSETTINGS,
    "provider.json": PROVIDER_JSON,
    "llm-orchestrator.env": LLM_ORCHESTRATOR,
    "airouter.env": AIROUTER,
    "orina2api.env": ORINA2API,
}


def translated(
    text: str, name: str = "file", env: dict[str, str] | None = None, folder: Path | None = None
) -> Foreign:
    """A text of another program in our words."""
    found = read(text, name, env or {}, folder)
    assert found is not None
    return found


def warned(found: Foreign) -> dict[str, str]:
    """Path to what is warned of there."""
    return {one.path: one.message for one in found.warnings}


def wrong(found: Foreign) -> dict[str, str]:
    """Path to what is wrong there."""
    return {one.path: one.message for one in found.problems}


def plain(tree: Any) -> Any:
    """A tree without where its values come from."""
    if isinstance(tree, dict):
        return {name: plain(value) for name, value in tree.items()}
    if isinstance(tree, list):
        return [plain(value) for value in tree]
    return tree.value if isinstance(tree, Said) else tree


def origins(tree: Any) -> set[str]:
    """Every path of the other program's that a value of ours was made of."""
    return {leaf.origin.path for leaf in leaves(tree) if leaf.origin is not None}


def here(value: Any, path: str = "x", line: int = 1) -> Said:
    """A value that was written somewhere."""
    return Said(value, Origin("file", line, 1, path))
