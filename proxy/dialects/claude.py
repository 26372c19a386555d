"""What a Claude model takes, told by its name.

The API refuses what a model does not take, and says nowhere in a request's answer what that would have been: so the
version in the name decides, wherever the name comes from (`claude-opus-4-6`, `us.anthropic.claude-opus-4-6-v1:0`,
`claude-3-7-sonnet@20250219`, `anthropic/claude-sonnet-4.5`). Of a name without a version nothing is assumed; those
who imitate the API with other models take what its first version took.
"""

from __future__ import annotations

import re
from functools import lru_cache

from msgspec import Struct

_NAME = re.compile(
    r"claude-(?:(?P<family>[a-z]+)-)?(?P<major>\d)(?:[-.](?P<minor>\d)(?!\d))?(?![\d])"
    r"(?:-(?P<after>opus|sonnet|haiku))?"
)
_NEVER_FORCED = {"fable": (5, 1), "mythos": (5, 1), "opus": (5, 5), "sonnet": (5, 5)}
"""Since when a family refuses a forced `tool_choice`."""
_LATER = {"fable": (5, 0), "mythos": (5, 0), "opus": (4, 8), "sonnet": (5, 5), "haiku": (5, 5)}
"""Since when a family follows a system message between the turns."""


class Model(Struct, frozen=True):
    """What one model takes."""

    thinks: bool = True
    """It can be asked to think at all."""
    adaptive: bool = False
    """`thinking` of type `adaptive`."""
    budgets: bool = True
    """`thinking` of type `enabled` with a budget."""
    off: str = "disabled"
    """The type that turns thinking off; "" when nothing does."""
    efforts: tuple[str, ...] = ()
    """Words of `output_config.effort`."""
    sampling: bool = True
    """`temperature`, `top_p`, `top_k`."""
    both: bool = True
    """`temperature` and `top_p` in one request."""
    forced: bool = True
    """A `tool_choice` that demands a call."""
    prefill: bool = True
    """A conversation that ends with the beginning of the answer."""
    later: bool = False
    """System messages between the turns."""
    schemas: bool = True
    """Answers and calls that follow a schema to the letter."""
    most: int = 0
    """Largest `max_tokens`; 0 is not known."""


@lru_cache(maxsize=256)
def model(name: str) -> Model:
    """What the model of this name takes."""
    lowered = name.lower()
    if "claude-mythos-preview" in lowered:
        return Model(True, True, False, "", ("low", "medium", "high", "max"), prefill=False)
    found = _NAME.search(lowered)
    if found is None:
        return Model()
    version = int(found["major"]), int(found["minor"] or 0)
    family = found["family"] or found["after"] or ""
    return Model(
        thinks=version >= (3, 7),
        adaptive=version >= (4, 6),
        budgets=version < (4, 7),
        off=_off(family, version),
        efforts=_efforts(family, version),
        sampling=version < (4, 7),
        both=version < (4, 1),
        forced=version < _NEVER_FORCED.get(family, (99, 0)),
        prefill=version < (4, 6),
        # Other platforms than Anthropic's own name models differently, and have it not.
        later=version >= _LATER.get(family, (99, 0)) and lowered.startswith("claude-"),
        schemas=version >= ((4, 1) if family == "opus" else (4, 5)),
        most=_most(family, version),
    )


def _off(family: str, version: tuple[int, int]) -> str:
    if family in ("fable", "mythos") or (family == "opus" and version >= (5, 5)):
        return ""
    return "between_tools" if family == "sonnet" and version >= (5, 5) else "disabled"


def _efforts(family: str, version: tuple[int, int]) -> tuple[str, ...]:
    if version >= (4, 7):
        return ("low", "medium", "high", "xhigh", "max")
    if version >= (4, 6):
        return ("low", "medium", "high", "max")
    return ("low", "medium", "high") if (family, version) == ("opus", (4, 5)) else ()


def _most(family: str, version: tuple[int, int]) -> int:
    if version >= (4, 6):
        return 128_000
    if version >= (4, 0):
        return 32_000 if family == "opus" and version < (4, 5) else 64_000
    if version >= (3, 5):
        return 64_000 if version >= (3, 7) else 8_192
    return 4_096
