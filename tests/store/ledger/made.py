"""Records as workers write them, and what a database has of them."""

from __future__ import annotations

from typing import Any

from proxy.ledger.records import Charged, End, Progress, Start, Tokens, Try
from proxy.store.base import Session

AT = 1_800_000_000.0
CHARGES = (Charged("key:7", 1_799_971_200, 1_800_057_600),)
HOST = "here"


def start(rid: str, at: float = AT, attempt: int = 1, **fields: Any) -> Start:
    """Of a request of the key `7`."""
    values: dict[str, Any] = {
        "rid": rid, "at": at, "attempt": attempt, "key_id": "7", "key": "k7", "team": "blue",
        "owner": "otto", "route": "/v1/chat/completions", "operation": "chat",
        "dialect": "openai_chat", "stream": True, "asked": "m", "model": "m", "deployment": "lab/m",
        "provider": "lab", "upstream_model": "m-1", "reserved": 90, "likely": 20, "prompt": 10,
        "charges": CHARGES,
    }  # fmt: skip
    return Start(**values | fields)


def progress(rid: str, at: float = AT + 5, output: int = 40, **fields: Any) -> Progress:
    """It has come to so many tokens."""
    values: dict[str, Any] = {"rid": rid, "at": at, "tokens": Tokens(10, output=output), "cost": 50}
    return Progress(**values | fields)


def end(rid: str, at: float = AT, **fields: Any) -> End:
    """It went well: 10 tokens in, 60 out, 70 micro-dollars."""
    values: dict[str, Any] = {
        "rid": rid, "at": at, "key_id": "7", "key": "k7", "team": "blue", "owner": "otto",
        "route": "/v1/chat/completions", "operation": "chat", "dialect": "openai_chat",
        "stream": True, "asked": "m", "model": "m", "deployment": "lab/m", "provider": "lab",
        "upstream_model": "m-1", "status": 200, "outcome": "ok", "cause": "", "finish": "stop",
        "queue_ms": 0.0, "connect_ms": -1.0, "ttft_ms": 250.0, "total_ms": 2000.0,
        "overhead_ms": 0.5, "tokens": Tokens(10, output=60), "source": "reported", "cost": 70,
        "estimate": -1, "cost_upstream": 90, "bytes_in": 100, "bytes_out": 900,
        "client": "10.1.2.3", "user_agent": "test/1", "charges": CHARGES,
        "tries": (attempt(1, status=503, outcome="retry", cause="http_5xx"), attempt(2)),
    }  # fmt: skip
    return End(**values | fields)


def attempt(number: int, **fields: Any) -> Try:
    """At the deployment `lab/m`."""
    values: dict[str, Any] = {
        "number": number, "deployment": "lab/m", "provider": "lab", "credential": "lab-1",
        "upstream_model": "m-1", "dialect": "openai_chat", "status": 200, "outcome": "ok",
        "cause": "", "started_ms": 0.5, "connect_ms": -1.0, "ttft_ms": 240.0, "total_ms": 1990.0,
        "cost": 45,
    }  # fmt: skip
    return Try(**values | fields)


_TABLES = {
    "requests": "rid, phase, attempt, at, progressed, key_id, model, deployment, status, outcome, connect_ms,"
    " ttft_ms, input, output, source, cost, estimate, cost_upstream, user_agent",
    "attempts": "*",
    "contents": "*",
    "counters": "*",
    "adjustments": "*",
    "statistics": "*",
}


async def everything(session: Session) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of the ledger, but for when it was booked."""
    return {
        table: sorted(await session.fetch(f"SELECT {columns} FROM {table}", timeout=5.0))
        for table, columns in _TABLES.items()
    }


async def counted(session: Session, subject: str = "key:7") -> tuple[int, int, int]:
    """Requests, tokens and micro-dollars of a subject, over all windows and hosts."""
    rows = await session.fetch(
        "SELECT requests, tokens, micro FROM counters WHERE subject = $1", subject
    )
    return sum(row[0] for row in rows), sum(row[1] for row in rows), sum(row[2] for row in rows)
