"""What models of OpenAI take, as far as their names tell.

Both of OpenAI's dialects refuse a parameter the model does not know, and both are spoken by many other vendors, of
whose models nothing is assumed.
"""

from __future__ import annotations

import re

_REASONS = re.compile(r"(?:.*/)?(?:o\d|gpt-[5-9]|gpt-\d\d|codex)(?!.*-chat)")
_NEVER_REASONS = re.compile(r"(?:.*/)?(?:gpt-[34]|chatgpt|gpt-\d+(?:\.\d+)?-chat)")
_EFFORTS: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = (
    (re.compile(r"(?:.*/)?o\d"), ("low", "medium", "high")),
    (re.compile(r"(?:.*/)?gpt-5(?!\.\d)"), ("minimal", "low", "medium", "high")),
    (re.compile(r"(?:.*/)?gpt-5\.1(?!\d)"), ("none", "low", "medium", "high")),
    (re.compile(r"(?:.*/)?gpt-5\.\d"), ("none", "low", "medium", "high", "xhigh")),
    (re.compile(r"(?:.*/)?gpt-(?:[6-9]|\d\d)"), ("none", "low", "medium", "high", "xhigh", "max")),
)
_USUAL_EFFORTS = ("none", "low", "medium", "high")


def reasons(model: str) -> bool:
    """Whether this is one of OpenAI's reasoning models, which take no sampling parameters while they think."""
    return _REASONS.match(model.lower()) is not None


def never_reasons(model: str) -> bool:
    """Whether this is one of OpenAI's models that refuse to be asked for thoughts."""
    return _NEVER_REASONS.match(model.lower()) is not None


def efforts(model: str) -> tuple[str, ...]:
    """The words of effort a model takes."""
    name = model.lower()
    return next((words for pattern, words in _EFFORTS if pattern.match(name)), _USUAL_EFFORTS)
