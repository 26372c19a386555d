"""Rankings: clients of Cohere and of Jina, providers of every shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.line.harness import config, serving

pytestmark = pytest.mark.allow_blocking("aiohttp's test server")
ASK = {"model": "ranker", "query": "mill", "documents": ["river", "mill"], "top_n": 1}
SHAPES: dict[str, Any] = {
    "cohere": {
        "id": "r",
        "results": [{"index": 1, "relevance_score": 0.9}],
        "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 3}},
    },
    "jina": {
        "model": "ranker",
        "results": [{"index": 1, "relevance_score": 0.9, "document": {"text": "mill"}}],
        "usage": {"prompt_tokens": 12, "total_tokens": 12},
    },
    "voyage": {
        "object": "list",
        "data": [{"index": 1, "relevance_score": 0.9}],
        "usage": {"total_tokens": 12},
    },
    "tei": [{"index": 1, "score": 0.9}],
}
CHARGED = {"cohere": 3 * 0.002, "jina": 0.002 + 12e-6, "voyage": 0.002 + 12e-6}


@pytest.mark.parametrize("path", ["/v1/rerank", "/rerank", "/v2/rerank", "/cohere/v2/rerank"])
@pytest.mark.parametrize("shape", SHAPES)
async def test_a_ranking_is_read_alike(tmp_path: Path, shape: str, path: str) -> None:
    seen: list[tuple[str, Any]] = []

    async def handle(asked: web.Request) -> web.Response:
        seen.append((asked.path, await asked.json()))
        return web.json_response(SHAPES[shape])

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    async with TestServer(app) as server:
        content = config(
            str(server.make_url("/")).rstrip("/"),
            ledger={"path": str(tmp_path / "ledger")},
            prices={"ranker": {"input": 1, "request": 0.002}},
        )
        content["providers"]["p0"]["dialects"] = {"openai.rerank": "/their/rerank"}
        content["models"]["ranker"] = {"deployments": [{"provider": "p0"}]}
        async with serving(content, tmp_path) as proxy:
            answer = await proxy.post(path, ASK)
            counted = proxy.worker.state.metrics.cost.children().values()
            charged = sum(float(counter.value) for counter in counted)

    assert answer.status == 200
    assert seen == [("/their/rerank", ASK)]
    [first] = answer.json["results"]
    assert (first["index"], first["relevance_score"]) == (1, 0.9)
    if "/v2/" in path:
        assert answer.json["meta"]["billed_units"]["search_units"] == (
            3 if shape == "cohere" else 1
        )
    if shape in CHARGED:
        assert charged == pytest.approx(CHARGED[shape], abs=1e-6)
