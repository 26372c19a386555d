"""How much a model is to think: what a client asks for, and what is asked of a provider.

Two generations meet here. Older models are told to think with a budget of tokens that counts towards `max_tokens`;
newer ones think as they see fit and are told an effort. What is on when nothing is said differs too, so `thinking` is
sent whenever the client said something.

A model that thinks on a budget refuses much else: a conversation in the middle of a tool's use that does not show
the thoughts it began with, a demand for a call, other temperatures. All of these are the client's, thinking is what
can be left out. Effort can be said beside all of them, and is.
"""

from __future__ import annotations

from msgspec import Struct

from proxy.dialects import effort, ir
from proxy.dialects.anthropic.read import FAMILY, NAME, Fields
from proxy.dialects.claude import Model
from proxy.dialects.ir import Json
from proxy.dialects.loss import Loss

LEAST = 1024
"""The smallest budget the API takes."""


class Plan(Struct):
    """What goes into a body."""

    thinking: Json | None = None
    effort: str = ""
    max_tokens: int = 0

    @property
    def thinks(self) -> bool:
        """Whether thinking was asked for, and the rules of thinking hold."""
        return self.thinking is not None and self.thinking["type"] in ("enabled", "adaptive")


def parse_thinking(fields: Fields) -> ir.Thinking | None:
    """`thinking` and `output_config.effort`; both as they came are kept for whoever renders this dialect."""
    config = fields.inner("output_config")
    word = config.text("effort") if config is not None else ""
    if config is not None and config.rest():
        fields.values["output_config"] = config.rest()
    asked = fields.inner("thinking")
    if asked is None:
        return ir.Thinking(effort=word, extras={"effort": word}) if word else None
    own = dict(asked.values)
    kind = asked.need("type", str)
    budget = asked.take("budget_tokens", int)
    made = ir.Thinking(effort=word, extras={"thinking": own, "effort": word})
    display = asked.text("display")
    if display in ("summarized", "omitted"):
        made.visible = display == "summarized"
    if kind in ("disabled", "between_tools"):
        made.effort, made.budget = "none", None
    elif kind == "enabled":
        made.budget = budget if budget is not None else -1
    elif not word:
        made.budget = -1
    return made


def plan(request: ir.Request, model: Model, limit: int, loss: Loss, *, forced: bool) -> Plan:
    """What to ask of `model` for this request.

    `limit` is the most tokens the answer may have; `forced`: a call is demanded.
    """
    asked = request.thinking
    made = Plan(max_tokens=limit)
    if asked is None:
        return made
    if request.origin == NAME and asked.extras:
        made.thinking, made.effort = asked.extras.get("thinking"), asked.extras.get("effort", "")
        return made
    if asked.effort == "none" or asked.budget == 0:
        _turn_off(made, model, loss)
    else:
        _turn_on(made, asked, model, loss, allowed=not forced and not _unsigned(request))
    return made


def _turn_off(made: Plan, model: Model, loss: Loss) -> None:
    if not model.thinks:
        return
    if model.off:
        made.thinking = {"type": model.off}
    else:
        loss.drop("thinking.off")
        made.effort = "low"


def _turn_on(made: Plan, asked: ir.Thinking, model: Model, loss: Loss, *, allowed: bool) -> None:
    word = effort.effort(asked)
    feature = "thinking.effort" if asked.effort or asked.budget is None else "thinking.budget"
    if word and model.efforts:
        made.effort = effort.nearest(word, model.efforts)
        if asked.budget is not None and not (asked.effort or model.budgets):
            loss.drop("thinking.budget")
    visible = asked.visible if asked.visible is not None else (bool(asked.summary) or None)
    if not word and asked.budget is None:
        # Nothing but whether thoughts are shown, asked of a model that may think anyway.
        if visible and allowed and model.adaptive:
            made.thinking = {"type": "adaptive", "display": "summarized"}
        elif visible is not None:
            loss.drop("thinking.visible")
        return
    if not allowed or not model.thinks:
        loss.drop(feature)
        return
    if model.adaptive and not _prefers_budget(asked, model):
        made.thinking = {"type": "adaptive"}
    else:
        made.effort = ""
        made.thinking = _budget(made, asked, model, loss)
    if visible is not None:
        made.thinking["display"] = "summarized" if visible else "omitted"


def _prefers_budget(asked: ir.Thinking, model: Model) -> bool:
    """Whether tokens were asked for, and can be."""
    return model.budgets and not asked.effort and asked.budget is not None and asked.budget > 0


def _budget(made: Plan, asked: ir.Thinking, model: Model, loss: Loss) -> Json:
    """A budget, and room for the answer beside it."""
    wanted = effort.budget(asked)
    if wanted is None or wanted < 0:
        wanted = effort.BUDGETS["medium"]
    budget = max(wanted, LEAST)
    if asked.budget is not None and 0 < asked.budget < LEAST:
        loss.drop("thinking.budget")
    answer = made.max_tokens
    if answer <= budget:
        answer += budget
    if model.most and answer > model.most:
        answer = model.most
        budget = max(LEAST, min(budget, answer - made.max_tokens))
    if budget >= answer:
        budget = LEAST
    made.max_tokens = max(answer, budget + 1)
    return {"type": "enabled", "budget_tokens": budget}


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
            if block.signature and block.origin == FAMILY:
                return False
        elif not (isinstance(block, ir.Text) and not block.text):
            return True
    return bool(turn)
