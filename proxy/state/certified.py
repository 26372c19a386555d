"""Certificates that a configuration names: whether listeners can be served with them on this machine.

Asked by those who are about to serve, and by `config check`. Whoever makes a key in the database need not be able to read the
key of a certificate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.core import certificates
from proxy.core.clock import now
from proxy.core.config.problem import ConfigError
from proxy.state.snapshot import tls

if TYPE_CHECKING:
    from proxy.core.config.loading import Loaded
    from proxy.core.config.problem import Path, Problem

SOON: Final = 7
"""Days before its end from which on a certificate is spoken of. Whoever renews them does so weeks before."""
_DAY: Final = 86400.0


def remarks(loaded: Loaded) -> tuple[Problem, ...]:
    """What should be said about them. Raises ConfigError with everything that cannot be used."""
    config = loaded.config
    errors, warnings = [], []
    for name, section in (("server", config.server.tls), ("admin", config.admin.tls)):
        settings = tls(section)
        if settings is None:
            continue
        path: Path = (name, "tls")
        try:
            _, expires = certificates.load(settings)
        except certificates.Unusable as error:
            errors.append(loaded.document.problem((*path, error.field), str(error)))
            continue
        left = (expires - now()) / _DAY
        if left < SOON:
            said = f"it ended {-left:.0f} days ago" if left < 0 else f"it ends in {left:.0f} days"
            message = f"{settings.certificate}: {said}"
            warnings.append(loaded.document.problem((*path, "certificate"), message))
    if errors:
        raise ConfigError(errors)
    return tuple(warnings)
