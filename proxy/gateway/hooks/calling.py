"""One call of a hook: in the time it has, counted, and with an end whatever the hook does."""

from __future__ import annotations

import asyncio
import inspect
import re
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from proxy.core.errors import ProxyError
from proxy.core.log import logger
from proxy.gateway.hooks.threads import Threads
from proxy.hooks.points import Point, Refuse, Veto

if TYPE_CHECKING:
    from proxy.hooks.chain import Call
    from proxy.state.state import State

FAILED: Final = object()
"""What comes of a hook that failed where a request goes on without."""
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_LONGEST = 1000
"""Characters of what a hook tells a client."""

threads = Threads()
"""Of this process."""


async def call(made: Call, state: State, *arguments: Any) -> Any:
    """What the hook returns, or FAILED.

    Raises Veto (before_attempt), and ProxyError: hook_refused (the hook said so), hook_failed (it raised something else, or took too
    long, and the configuration wants no request to go on without it).
    """
    started = monotonic()
    outcome = "ok"
    limit = asyncio.timeout(made.hook.timeout)
    try:
        async with limit:
            if made.waits:
                return await made.function(*arguments)
            result = await threads.run(made.function, *arguments)
            return await result if inspect.isawaitable(result) else result
    except Refuse as refuse:
        outcome = "refused"
        raise refusal(refuse) from None
    except Veto as error:
        if made.point is Point.BEFORE_ATTEMPT:
            outcome = "refused"
            raise
        outcome = "error"
        return _failed(made, state, "raised Veto, which before_attempt may", error)
    except TimeoutError as error:
        if not limit.expired():  # it waited for something else
            outcome = "error"
            return _failed(made, state, "raised TimeoutError", error)
        outcome = "timeout"
        return _failed(made, state, f"took longer than {made.hook.timeout:g} s", None)
    except asyncio.CancelledError as error:
        if _is_cancelled():
            outcome = "cancelled"
            raise
        outcome = "error"
        return _failed(made, state, "cancelled itself", error)
    except (Exception, SystemExit) as error:
        outcome = "error"
        return _failed(made, state, f"raised {type(error).__name__}", error)
    finally:
        name, point = made.hook.name, made.point.value
        state.metrics.hook_calls.child(name, point, outcome).inc()
        state.metrics.hook_seconds.child(name, point).observe(monotonic() - started)


def refusal(refuse: Refuse) -> ProxyError:
    """The error a client is told."""
    # Hooks are not always checked for types: `raise Refuse(error)` refuses, too.
    message, code = str(refuse.message or "")[:_LONGEST], str(refuse.code or "")
    return ProxyError(
        "hook_refused",
        message.encode(errors="replace").decode() or None,
        code=code if _CODE.fullmatch(code) else None,
        status=int(refuse.status),
    )


def blunder(made: Call, state: State, what: str) -> object:
    """The hook did what it may not: as if it had failed. FAILED, or raises ProxyError hook_failed."""
    state.metrics.hook_calls.child(made.hook.name, made.point.value, "error").inc()
    return _failed(made, state, what, None)


def _failed(made: Call, state: State, what: str, error: BaseException | None) -> object:
    hook, point = made.hook, made.point.value
    # Each kind of failure once with all there is to know; a hook that always fails must not fill the log.
    if state.alert(f"hook:{hook.name}:{point}:{what}"):
        logger.error(
            "hook %s at %s: it %s; counted from now on (headrace_hook_calls_total)",
            hook.name,
            point,
            what,
            exc_info=error,
        )
    if not hook.open:
        raise ProxyError("hook_failed") from None
    return FAILED


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
