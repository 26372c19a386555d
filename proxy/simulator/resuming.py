"""Requests for the rest of an answer that broke off: the words `resume` and `noprefill`."""

from __future__ import annotations

from proxy.simulator import talk, words
from proxy.simulator.answers import Call
from proxy.simulator.errors import Refused

REPEAT = 40
"""Characters of its answer that a model repeats when a user asks it to go on."""


def resumed(call: Call) -> words.Text | None:
    """What is missing of the answer the conversation holds the beginning of; None: it holds none of ours.

    As the last turn it is continued. With a user's turn behind it, its last REPEAT characters come first, with one
    blank for any white space, as models have it.
    """
    pieces = talk.read(call.content()).pieces
    turn = max((piece.turn for piece in pieces if piece.role == "model"), default=-1)
    said = "".join(
        str(piece.value.get("text", piece.value.get("content", "")))
        for piece in pieces
        if piece.turn == turn and piece.kind == "text"
    )
    whole = words.whole(call.steer, call.steer.tokens)
    if not said or not whole.startswith(said):
        return None
    if pieces[-1].turn == turn:
        return words.cut(whole[len(said) :])
    return words.cut(" ".join(said[-REPEAT:].split()) + whole[len(said.rstrip()) :])


def refuse_prefill(call: Call) -> None:
    """Raises Refused, in Anthropic's words, for a conversation that ends with a turn of the model's."""
    pieces = talk.read(call.content()).pieces
    if pieces and pieces[-1].role == "model":
        raise Refused(
            "This model does not support assistant message prefill. The conversation must end with a user message.",
            "messages",
        )
