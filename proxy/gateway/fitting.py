"""See `proxy.wire.fitting`."""

from __future__ import annotations

from proxy.wire.fitting import fit

__all__ = ["fit"]
