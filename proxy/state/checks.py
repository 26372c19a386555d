"""How a deployment may be asked how it is, beside what clients ask, and what can come of it."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.core.model import Deployment, Health

MODELS, COMPLETION = "models", "completion"
MASKED, OFF = "masked", "off"
"""`auto` and `on` are the others that a deployment may be set to."""


class Check(IntEnum):
    """What came of the last one. Values are on the board that workers share."""

    NONE = 0
    OK = 1
    FAILED = 2
    LIMITED = 3
    """429."""
    REFUSED = 4
    """The credential was not accepted."""
    UNKNOWN = 5
    """Its provider answers, and has nothing to say to this."""


def way(deployment: Deployment, rules: Health) -> str:
    """`models` (ask its provider for the list of models), `completion` (ask it for one token), `masked` or `off`.

    Masked is who was said to be, and who was not said to be anything and asks more for a million tokens of an answer than
    `mask_above`. A deployment whose price nobody knows is not dear.
    """
    if not rules.enabled or rules.probe == OFF or deployment.health_check == OFF:
        return OFF
    if deployment.health_check == MASKED or _dear(deployment, rules):
        return MASKED
    return rules.probe


def _dear(deployment: Deployment, rules: Health) -> bool:
    return (
        deployment.health_check == "auto"
        and rules.mask_above is not None
        and deployment.price is not None
        and deployment.price.output >= rules.mask_above
    )
