"""How much to think, asked of whatever model there is.

Claude models take what they take on Anthropic's own API, as `additionalModelRequestFields`, but for the effort, which
Converse has a place for. They think on a budget of tokens, or (later ones) as they see fit; thinking on, they refuse a
forced call, other temperatures, and a tool's use that goes on without the signed thoughts it began with. All of these
are the client's: thinking is what is left out.
"""

from __future__ import annotations

from msgspec import Struct

from proxy.dialects import claude, effort, ir
from proxy.dialects.bedrock.models import Model
from proxy.dialects.bedrock.tools import is_forced
from proxy.dialects.claude_thinking import budget, is_unsigned
from proxy.dialects.ir import Json
from proxy.dialects.loss import Loss


class Plan(Struct):
    """What goes into a request."""

    extra: Json
    """Into `additionalModelRequestFields`."""
    effort: str = ""
    max_tokens: int | None = None
    thinks: bool = False
    """A Claude's thinking is on, and the rules of thinking hold."""


def plan(request: ir.Request, model: Model, limit: int, loss: Loss) -> Plan:
    """What to ask of `model`. `limit` is the room for the answer where a budget demands one and the client gave none."""
    made = Plan({}, max_tokens=request.max_tokens)
    asked = request.thinking
    if asked is None:
        return made
    off = asked.effort == "none" or asked.budget == 0
    if model.claude is not None:
        if off:
            _turn_off(made, model.claude, loss)
        else:
            allowed = not is_forced(request, model) and not is_unsigned(request)
            _turn_on(made, asked, model.claude, limit, loss, allowed=allowed)
    elif not off:
        _by_word(made, request, asked, model, loss)
    elif model.efforts and model.asks == "reasoning_effort":
        loss.drop("thinking.off")
        made.extra["reasoning_effort"] = model.efforts[0]
    return made


def _feature(asked: ir.Thinking) -> str:
    return "thinking.effort" if asked.effort or asked.budget is None else "thinking.budget"


def _turn_off(made: Plan, model: claude.Model, loss: Loss) -> None:
    if model.off and model.thinks:
        made.extra["thinking"] = {"type": model.off}
    elif model.thinks:
        loss.drop("thinking.off")
        made.effort = "low"


def _turn_on(
    made: Plan, asked: ir.Thinking, model: claude.Model, limit: int, loss: Loss, *, allowed: bool
) -> None:
    word = effort.effort(asked)
    if word and model.efforts:
        made.effort = effort.nearest(word, model.efforts)
    if not word and asked.budget is None:
        # Nothing but whether thoughts are shown, asked of a model that may think anyway.
        if asked.visible and allowed and model.adaptive:
            made.extra["thinking"] = {"type": "adaptive", "display": "summarized"}
            made.thinks = True
        elif asked.visible is not None:
            loss.drop("thinking.visible")
        return
    if not allowed or not model.thinks:
        loss.drop(_feature(asked))
        return
    made.thinks = True
    by_budget = model.budgets and not asked.effort and (asked.budget or 0) > 0
    if model.adaptive and not by_budget:
        made.extra["thinking"] = thinking = {"type": "adaptive"}
        if asked.budget is not None and asked.budget > 0 and not asked.effort:
            loss.drop("thinking.budget")
        if asked.visible is not None:
            thinking["display"] = "summarized" if asked.visible else "omitted"
        return
    made.effort = ""
    thoughts, made.max_tokens = budget(asked, made.max_tokens or limit, model.most, loss)
    made.extra["thinking"] = {"type": "enabled", "budget_tokens": thoughts}
    if asked.visible is False:
        loss.drop("thinking.visible")


def _by_word(made: Plan, request: ir.Request, asked: ir.Thinking, model: Model, loss: Loss) -> None:
    """Models that are told in a word."""
    if asked.visible is not None:
        loss.drop("thinking.visible")
    word = effort.effort(asked)
    if not word or not model.efforts:
        if word or asked.budget is not None:
            loss.drop(_feature(asked))
        return
    chosen = effort.nearest(word, model.efforts)
    if model.asks == "reasoning_effort":
        made.extra["reasoning_effort"] = chosen
        return
    # Thinking hard, Nova refuses limits and temperatures of the client's.
    limited = (request.max_tokens, request.temperature, request.top_p) != (None, None, None)
    if chosen == "high" and limited:
        loss.drop(_feature(asked))
        chosen = "medium"
    made.extra["reasoningConfig"] = {"type": "enabled", "maxReasoningEffort": chosen}
