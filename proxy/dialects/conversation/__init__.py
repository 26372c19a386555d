"""Chat services that are asked inside a conversation: no two are alike, so each provider describes its own.

The description (`core.model.Conversation`) says what the question looks like, as a template, and where an answer has
its text, as paths. What it has no place for is left out, and counted, as in every dialect; no client speaks this.
"""

from __future__ import annotations

from functools import lru_cache, partial

from proxy.core.model import Conversation
from proxy.core.surfaces import CONVERSATION
from proxy.dialects.base import Codec, Dialect
from proxy.dialects.conversation.answer import Reader
from proxy.dialects.conversation.question import Question
from proxy.dialects.conversation.stream import StreamDecoder
from proxy.dialects.conversation.tap import ConversationTap
from proxy.dialects.errors import parse_error
from proxy.dialects.render import openai_stream_error, render_error

__all__ = ["dialect"]


@lru_cache(maxsize=256)
def dialect(settings: Conversation) -> Dialect:
    """The dialect of one service: the same object for the same settings."""
    question, reader = Question(settings), Reader(settings)
    return Dialect(
        name=CONVERSATION,
        family="openai",
        tap=partial(ConversationTap, reader),
        parse_error=parse_error,
        render_error=partial(render_error, "openai"),
        render_stream_error=openai_stream_error,
        codec=Codec(
            fields=question.fields,
            parse_request=None,
            render_request=question.render,
            parse_response=reader.response,
            render_response=None,
            decoder=partial(StreamDecoder, reader),
            encoder=None,
            headers=question.headers,
        ),
        open_ended=settings.done_at_end,
    )
