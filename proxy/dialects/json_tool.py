"""An answer in JSON got by way of a tool, where a provider has no better way to it.

The model is made to call a tool that takes the answer, and its call is the answer.
"""

from __future__ import annotations

from collections.abc import Mapping

from proxy.dialects import ir

NAME = "json_response"
DESCRIPTION = (
    "Gives the answer to the user, which is a JSON object. Call it once, with the object itself."
)
ANY: Mapping[str, object] = {"type": "object", "additionalProperties": True}
"""The schema of an answer of which nothing but JSON is asked."""


def may_answer(request: ir.Request) -> bool:
    """Whether a call of this tool would be the answer to `request`."""
    wanted = request.format is not None and request.format.kind in ("json", "schema")
    return wanted and not request.tools
