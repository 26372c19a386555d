"""Which Gemini a model is, by its name, and how that one is told to think.

Until 2.0 they do not think; 2.5 takes a budget of tokens, of which each model has its own least and most; since 3
they take a word, and cannot be told not to think at all. A name that tells nothing is given what the client said.
"""

from __future__ import annotations

import re

from proxy.dialects import effort as efforts
from proxy.dialects import ir
from proxy.dialects.ir import Json
from proxy.dialects.loss import Loss

_VERSION = re.compile(r"gemini-(\d{1,3})(?:\.(\d{1,3}))?(?!\d)")
_LATEST = re.compile(r"gemini-(?:pro|flash|flash-lite)-latest")
_NEWEST = (99, 0)

_BUDGETS: tuple[tuple[str, int, int], ...] = (
    ("flash-lite", 512, 24576),
    ("flash", 1, 24576),
    ("pro", 128, 32768),
)
"""Part of a 2.5's name, its least and its most tokens."""
_WORDS = ("minimal", "low", "medium", "high")


def generation(model: str) -> tuple[int, int]:
    """(major, minor); (0, 0) when the name does not say."""
    found = _VERSION.search(model)
    if found is None:
        return _NEWEST if _LATEST.search(model) else (0, 0)
    return int(found[1]), int(found[2] or 0)


def signs_calls(model: str) -> bool:
    """Whether a call of the current turn must come back with a signature, and results may hold images: since 3."""
    return generation(model) >= (3, 0)


def thinking_config(request: ir.Request, model: str, loss: Loss, *, same: bool) -> Json | None:
    """`thinkingConfig`; None when there is nothing to say, or no way to say it."""
    wanted = request.thinking
    if wanted is None:
        return None
    version = generation(model)
    if same or version == (0, 0):
        made = _as_asked(wanted, same=same)
    elif version < (2, 5) or (version == (2, 5) and ("-image" in model or "-tts" in model)):
        _drop(wanted, loss)
        return None
    elif version < (3, 0):
        made = _budget(wanted, model, loss)
    else:
        made = _level(wanted, model, loss)
    visible = wanted.visible
    if visible is None and wanted.usual and made.get("thinkingBudget") != 0:
        visible = True
    if visible is None and wanted.summary and wanted.summary != "none":
        visible = True
    if visible is not None:
        made["includeThoughts"] = visible and made.get("thinkingBudget") != 0
    if same:
        made.update(wanted.extras)
    return made or None


def _as_asked(wanted: ir.Thinking, *, same: bool) -> Json:
    made: Json = {}
    if wanted.budget is not None:
        made["thinkingBudget"] = wanted.budget
    if wanted.effort == "none" and not same:
        made["thinkingBudget"] = 0
    elif wanted.effort and (same or wanted.budget is None):
        word = wanted.effort if same else efforts.nearest(wanted.effort, _WORDS)
        made["thinkingLevel"] = word.upper()
    return made


def _drop(wanted: ir.Thinking, loss: Loss) -> None:
    """A model that does not think: not to think is what it does anyway."""
    if wanted.effort not in ("", "none"):
        loss.drop("thinking.effort")
    elif wanted.budget:
        loss.drop("thinking.budget")
    if wanted.visible:
        loss.drop("thinking.visible")


def _budget(wanted: ir.Thinking, model: str, loss: Loss) -> Json:
    tokens = efforts.budget(wanted)
    if tokens is None:
        return {}
    if tokens < 0:
        return {"thinkingBudget": -1}
    least, most = next(
        (limits for name, *limits in _BUDGETS if name in model), [_BUDGETS[-1][1], _BUDGETS[-1][2]]
    )
    if tokens == 0:
        if "pro" not in model:
            return {"thinkingBudget": 0}
        loss.drop("thinking.off")
        return {"thinkingBudget": least}
    fitting = min(max(tokens, least), most)
    if fitting != tokens and wanted.budget is not None:
        loss.drop("thinking.budget")
    return {"thinkingBudget": fitting}


def _level(wanted: ir.Thinking, model: str, loss: Loss) -> Json:
    word = efforts.effort(wanted)
    if not word:
        return {}
    known = _levels(model)
    if word == "none":
        loss.drop("thinking.off")
        return {"thinkingLevel": known[0]}
    if word == "medium" and word not in known:
        # Halfway between its two. Google takes the stronger for clients of OpenAI (Gemini 3 developer guide, OpenAI compatibility).
        word = "high"
    return {"thinkingLevel": efforts.nearest(word, known)}


def _levels(model: str) -> tuple[str, ...]:
    if "flash" in model:
        return _WORDS
    return ("low", "high") if generation(model) == (3, 0) else ("low", "medium", "high")
