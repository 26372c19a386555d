"""The five points, what a hook is told at each, and what it may say.

Every method may be `async def` or not. One that returns nothing has nothing to say; an exception other than `Refuse`
and `Veto` is a failure of the hook, and `on_error` of the configuration says what becomes of the request.
"""

from __future__ import annotations

from collections.abc import Awaitable
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, Protocol

from msgspec import Struct, field

if TYPE_CHECKING:
    from proxy.hooks.documents import Answer, Request


class Point(StrEnum):
    """Named as the method that is called there."""

    BEFORE_ROUTE = "before_route"
    BEFORE_ATTEMPT = "before_attempt"
    AFTER_RESPONSE = "after_response"
    SCREEN = "screen"
    ON_END = "on_end"


class Refuse(Exception):
    """Raised by a hook: the client is told `message`, as an error in its own dialect.

    `code` is the machine-readable word beside it, `status` the HTTP status (400 to 499) where the answer has not begun.
    In a stream that has begun, the same is the last event of it.
    """

    def __init__(
        self, message: str = "", *, code: str = "refused_by_hook", status: int = 400
    ) -> None:
        super().__init__(message)
        if not 400 <= status <= 499:
            raise ValueError("a hook refuses with a status from 400 to 499")
        self.message = message
        self.code = code
        self.status = status


class Veto(Exception):
    """Raised in `before_attempt`: this deployment is not asked, and nothing is held against it. Others may be."""


class Key(Struct, frozen=True):
    """The virtual key a request came with; never the key itself."""

    name: str
    id: str = ""
    owner: str = ""
    team: str = ""


class Trial(Struct):
    """One try at one deployment, before anything is sent. Only `headers` may be changed."""

    deployment: str
    """`<public model>/<position>:<provider>`."""
    provider: str
    model: str
    """The provider's name of it."""
    dialect: str
    """What the provider is asked in."""
    headers: dict[str, str] = field(default_factory=dict)
    """Sent besides. What frames a request or carries the credential is not to be had: naming it is a failure."""


class Window(Struct, frozen=True):
    """Text on its way to the client, as far as it is known."""

    text: str
    """What the client does not have yet: what was held back, and what has come since."""
    before: str = ""
    """The end of what the client has of the same block, as far as a hook may hold back."""
    final: bool = False
    """Nothing can be held back any more: the block ends here, or `text` has waited as long as it may."""
    kind: Literal["text", "reasoning", "arguments"] = "text"
    """`arguments` are what a tool is called with: JSON text, escapes and all, cut anywhere."""


class Piece(Struct, frozen=True):
    """What becomes of a window."""

    text: str
    """Goes to the client now; longer or shorter than what came, as the hook likes."""
    held: str = ""
    """Comes again at the beginning of the next window. More than `hold.characters` of it go out unseen."""


class Ended(Struct, frozen=True):
    """How a request ended. Tokens are -1 where nobody knows."""

    outcome: str
    """`ok`, `truncated`, `client_gone`, `deadline`, `upstream_error`, `rejected`, `refused` or `failed`."""
    cause: str
    """Why, in one word; empty where all went well."""
    status: int
    model: str
    """The public name that was asked for."""
    deployment: str
    provider: str
    stream: bool
    seconds: float
    """From the request's head to the end."""
    first: float
    """Until the first of the answer was written; -1: there was no stream."""
    input: int
    output: int
    cost: int
    """Charged, in micro-dollars; -1: there is no price."""
    estimated: bool
    """The tokens were estimated: the provider reported none."""


class BeforeRoute(Protocol):
    """After the key was accepted and the body read, before anything is chosen, limited, looked up or sent."""

    def before_route(self, request: Request) -> Awaitable[None] | None:
        """Change the request in place. Raises Refuse."""


class BeforeAttempt(Protocol):
    """Before each try at a deployment: retries, second attempts beside slow first ones and fallbacks, too."""

    def before_attempt(self, request: Request, trial: Trial) -> Awaitable[None] | None:
        """Change `trial.headers` in place. Raises Veto (somebody else is asked) or Refuse (nobody is)."""


class AfterResponse(Protocol):
    """A whole answer that is a JSON object, in the client's dialect, before the client has any of it."""

    def after_response(self, request: Request, answer: Answer) -> Awaitable[None] | None:
        """Change the answer in place. Raises Refuse."""


class Screen(Protocol):
    """The text of an answer, streamed or whole, in whatever dialect."""

    def screen(self, request: Request, window: Window) -> Awaitable[Piece | None] | Piece | None:
        """What goes on; None: all of it, as it is. Raises Refuse."""


class OnEnd(Protocol):
    """Everything is over and written down; nobody waits for this."""

    def on_end(self, request: Request, ended: Ended) -> Awaitable[None] | None:
        """Look."""
