"""`logprobsResult`: how likely each token of an answer was, and what else it could have been."""

from __future__ import annotations

from proxy.dialects.gemini.names import camel
from proxy.dialects.ir import Json


def read_probabilities(value: object) -> list[Json]:
    """A token each, as the hub has them."""
    if not isinstance(value, dict):
        return []
    given = camel(value)
    chosen, others = given.get("chosenCandidates"), given.get("topCandidates")
    if not isinstance(chosen, list):
        return []
    found: list[Json] = []
    for at, item in enumerate(chosen):
        token = _token(item)
        if token is None:
            continue
        rivals = others[at] if isinstance(others, list) and at < len(others) else None
        rivals = rivals.get("candidates") if isinstance(rivals, dict) else None
        listed = [_token(rival) for rival in rivals] if isinstance(rivals, list) else []
        token["top_logprobs"] = [rival for rival in listed if rival is not None]
        found.append(token)
    return found


def _token(item: object) -> Json | None:
    if not isinstance(item, dict):
        return None
    given = camel(item)
    token, probability = given.get("token", ""), given.get("logProbability", 0.0)
    if not isinstance(token, str) or isinstance(probability, bool):
        return None
    if not isinstance(probability, int | float):
        return None
    spelled = list(token.encode("utf-8", "replace"))
    return {"token": token, "logprob": float(probability), "bytes": spelled}


def write_probabilities(tokens: list[Json]) -> Json:
    """`logprobsResult`."""
    made: Json = {"chosenCandidates": [_candidate(token) for token in tokens]}
    if any(token.get("top_logprobs") for token in tokens):
        made["topCandidates"] = [
            {"candidates": [_candidate(rival) for rival in token.get("top_logprobs") or ()]}
            for token in tokens
        ]
    return made


def _candidate(token: Json) -> Json:
    return {"token": token.get("token", ""), "logProbability": token.get("logprob", 0.0)}
