"""What a hook of yours is written with: code of an installation's own, called at five points of a request's way.

    before_route     the request as its client sent it: change it, or refuse it
    before_attempt   a deployment that is about to be asked: add headers, or have another one asked
    after_response   a whole answer: look at it, change it, or refuse it
    screen           each piece of an answer's text on its way to the client: replace words, hold some back, or refuse
    on_end           it is over: what it used, and how it ended

A hook is any object that has one or several of these methods; `proxy.hooks.points` has their types. One written with
`async def` runs on the event loop, any other in a thread of its own; both have a time limit, and the configuration
says what becomes of a request whose hook fails. This package imports nothing of the rest, so a hook of yours does not
either, and can be tested without a gateway. docs/hooks.md is the guide.
"""

from proxy.hooks.documents import Answer, Document, Request, Word
from proxy.hooks.points import (
    AfterResponse,
    BeforeAttempt,
    BeforeRoute,
    Ended,
    Key,
    OnEnd,
    Piece,
    Point,
    Refuse,
    Screen,
    Trial,
    Veto,
    Window,
)

__all__ = [
    "AfterResponse",
    "Answer",
    "BeforeAttempt",
    "BeforeRoute",
    "Document",
    "Ended",
    "Key",
    "OnEnd",
    "Piece",
    "Point",
    "Refuse",
    "Request",
    "Screen",
    "Trial",
    "Veto",
    "Window",
    "Word",
]
