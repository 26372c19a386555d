"""What a Claude that thinks on a budget demands, on whatever platform it is."""

from __future__ import annotations

from proxy.dialects import effort, ir
from proxy.dialects.loss import Loss

SIGNER = "anthropic"
"""Origin of its sealed thoughts: they are good on every platform that has the model."""
LEAST = 1024
"""The smallest budget."""


def budget(asked: ir.Thinking, room: int, most: int, loss: Loss) -> tuple[int, int]:
    """(tokens to think, tokens in all), with `room` for the answer beside the thoughts.

    `most` is what the model can write at all; 0 is not known.
    """
    wanted = effort.budget(asked)
    if wanted is None or wanted < 0:
        wanted = effort.BUDGETS["medium"]
    if asked.budget is not None and 0 < asked.budget < LEAST:
        loss.drop("thinking.budget")
    thoughts = max(wanted, LEAST)
    total = room if room > thoughts else room + thoughts
    if most and total > most:
        total = most
        thoughts = max(LEAST, min(thoughts, total - room))
    if thoughts >= total:
        thoughts = LEAST
    return thoughts, max(total, thoughts + 1)


def is_unsigned(request: ir.Request) -> bool:
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
            if block.signature and block.origin == SIGNER:
                return False
        elif not (isinstance(block, ir.Text) and not block.text):
            return True
    return bool(turn)
