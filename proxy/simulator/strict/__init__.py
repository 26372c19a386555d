"""What a vendor refuses before it looks at the meaning: unknown fields, wrong roles, nothing said, results without calls.

Each function takes a whole request body and raises `Refused` in its vendor's words, naming the field. It is what
translated requests trip over that is checked, not every sentence of the references.
"""

from __future__ import annotations

from proxy.simulator.strict.contents import contents
from proxy.simulator.strict.items import responses
from proxy.simulator.strict.messages import messages
from proxy.simulator.strict.turns import chat

__all__ = ["chat", "contents", "messages", "responses"]
