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
from proxy.dialects.bedrock.words import CLAUDE
from proxy.dialects.ir import Json
from proxy.dialects.loss import Loss

_LEAST = 1024
"""The smallest budget."""


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
            allowed = not is_forced(request, model) and not _unsigned(request)
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
    made.extra["thinking"] = _budget(made, asked, model, limit, loss)
    if asked.visible is False:
        loss.drop("thinking.visible")


def _budget(made: Plan, asked: ir.Thinking, model: claude.Model, limit: int, loss: Loss) -> Json:
    """A budget, and room for the answer beside it."""
    wanted = effort.budget(asked)
    if wanted is None or wanted < 0:
        wanted = effort.BUDGETS["medium"]
    budget = max(wanted, _LEAST)
    if asked.budget is not None and 0 < asked.budget < _LEAST:
        loss.drop("thinking.budget")
    room = made.max_tokens or limit
    most = room
    if most <= budget:
        most += budget
    if model.most and most > model.most:
        most = model.most
        budget = max(_LEAST, min(budget, most - room))
    if budget >= most:
        budget = _LEAST
    made.max_tokens = max(most, budget + 1)
    return {"type": "enabled", "budget_tokens": budget}


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


def _unsigned(request: ir.Request) -> bool:
    """Whether the model's last turn goes on, and does not begin with thoughts the provider knows as its own."""
    messages = [message for message in request.messages if message.role in ("user", "assistant")]
    ended = answered = False
    while messages and messages[-1].role == "user":
        ended = True
        answered |= any(isinstance(block, ir.ToolResult) for block in messages.pop().content)
    if ended and not answered:
        return False
    turn: list[ir.Block] = []
    while messages and messages[-1].role == "assistant":
        turn = messages.pop().content + turn
    for block in turn:
        if isinstance(block, ir.Reasoning):
            if block.signature and block.origin == CLAUDE:
                return False
        elif not (isinstance(block, ir.Text) and not block.text):
            return True
    return bool(turn)
