"""What every library talks about, and how it reports: the weather, asked for with a tool."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import sys
import traceback
import warnings
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

QUESTION = "What is the weather?"
UPSTREAMS = ("chat", "responses", "messages", "gemini", "bedrock")
"""The providers, each of which speaks one dialect; models are called `chat.sim-…` and so on."""

PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "Where"}},
    "required": ["city"],
    "additionalProperties": False,
}


def weather(city: str) -> str:
    """What the tool says."""
    return f"21 degrees in {city}"


class Where(NamedTuple):
    """Whom to ask."""

    url: str
    key: str
    upstream: str
    steering: str

    @property
    def model(self) -> str:
        return f"{self.upstream}.sim-{self.steering}"


Case = Callable[[Where, bool], Awaitable[dict[str, Any]]]
"""(whom, streamed) to what was said: `text`, and `cities` the tool was called with."""


def alone() -> None:
    """Before a library is imported: nothing may leave this machine, and no library may report on itself."""
    for name in (
        "OPENAI_AGENTS_DISABLE_TRACING",
        "DO_NOT_TRACK",
        "OPENAI_AGENTS_DONT_LOG_MODEL_DATA",
    ):
        os.environ[name] = "1"
    for name in ("LANGCHAIN_TRACING_V2", "LANGSMITH_TRACING", "ANONYMIZED_TELEMETRY"):
        os.environ[name] = "false"
    for name in (
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
    ):
        os.environ.pop(name, None)
    sys.addaudithook(_guard)


def _guard(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect":
        address = arguments[1]
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise RuntimeError(f"a connection to {address} was begun")
    elif event == "socket.getaddrinfo" and arguments[0] not in ("127.0.0.1", "localhost", None):
        raise RuntimeError(f"{arguments[0]} was looked up")


def hold(cases: dict[str, tuple[Case, str]]) -> None:
    """Hold every conversation with every provider, whole and streamed; `cases` have their steering words.

    Arguments: URL, key, and optionally `CASE` or `CASE:PROVIDER` to leave the others out.
    """
    warnings.simplefilter("ignore")
    url, key, *chosen = sys.argv[1:]
    asyncio.run(_hold(cases, url, key, chosen))
    sys.stdout.flush()
    # Some libraries leave threads behind that wait for the network.
    os._exit(0)


async def _hold(cases: dict[str, tuple[Case, str]], url: str, key: str, chosen: list[str]) -> None:
    for name, (case, steering) in cases.items():
        for upstream in UPSTREAMS:
            if chosen and name not in chosen and f"{name}:{upstream}" not in chosen:
                continue
            for stream in (False, True):
                where = Where(url, key, upstream, steering)
                report = {"case": name, "upstream": upstream, "stream": stream}
                print(json.dumps(report | await _told(case, where, stream)), flush=True)


async def _told(case: Case, where: Where, stream: bool) -> dict[str, Any]:
    try:
        async with asyncio.timeout(15):
            return await case(where, stream)
    except Exception as error:
        return {"error": repr(error)[:2000], "trace": traceback.format_exc()[-4000:]}


async def settled(value: Any) -> Any:
    """What some libraries return is awaitable, and of others not."""
    return await value if inspect.isawaitable(value) else value
