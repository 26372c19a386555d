"""A ranking as both Cohere's clients and Jina's read it, whoever made it.

    Cohere v2      {id, results: [{index, relevance_score}], meta: {billed_units: {search_units}, tokens}}
    Jina, vLLM     {model, results: [{index, relevance_score, document}], usage: {total_tokens}}
    Voyage         {model, data: [{index, relevance_score, document}], usage: {total_tokens}}
    TEI            [{index, score, text}]

What an answer has stays as it is. Sources: docs.cohere.com/reference/rerank, jina.ai/reranker, docs.voyageai.com,
huggingface.github.io/text-embeddings-inference.
"""

from __future__ import annotations

from typing import Any

import orjson


def shaped(body: bytes, *, billed: bool) -> bytes:
    """The answer with `results`, with `usage` where anybody counted tokens, and, for clients of Cohere (`billed`), with `meta`.

    One that lacks nothing, and what is no ranking, comes back as it is.
    """
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body
    content = {"results": _scored(found)} if isinstance(found, list) else found
    if not isinstance(content, dict):
        return body
    added: dict[str, Any] = {}
    if "results" not in content and isinstance(content.get("data"), list):
        added["results"] = _scored(content["data"])
    meta = content.get("meta")
    if "usage" not in content and isinstance(meta, dict):
        tokens = _tokens(meta)
        if tokens:
            added["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
    if billed and "meta" not in content:
        usage = content.get("usage")
        total = usage.get("total_tokens") if isinstance(usage, dict) else None
        added["meta"] = {
            "api_version": {"version": "2"},
            "billed_units": {"search_units": 1},
            **({} if total is None else {"tokens": {"input_tokens": total, "output_tokens": 0}}),
        }
    if not added and content is found:
        return body
    return orjson.dumps({**content, **added})


def _scored(results: list[Any]) -> list[Any]:
    return [_result(one) if isinstance(one, dict) else one for one in results]


def _result(one: dict[str, Any]) -> dict[str, Any]:
    if "relevance_score" in one or "score" not in one:
        return one
    made = {"index": one.get("index"), "relevance_score": one["score"]}
    return {**made, "document": {"text": one["text"]}} if "text" in one else made


def _tokens(meta: dict[str, Any]) -> int:
    for name in ("tokens", "billed_units"):
        counted = meta.get(name)
        found = counted.get("input_tokens") if isinstance(counted, dict) else None
        if isinstance(found, int | float) and found > 0:
            return int(found)
    return 0
