"""All routes of the admin API, in the order the documentation shows them.

A module that has routes lists them in `ROUTES` and is named here, nowhere else.
"""

from __future__ import annotations

from itertools import chain

from proxy.control.admin import (
    audit,
    batch,
    export,
    importing,
    live,
    log_export,
    log_live,
    login,
    logs,
    operations,
    places,
    playground,
    preset_list,
    resources,
    statistics,
    status,
    tokens,
    trials,
    usage,
    users,
)
from proxy.control.admin.compat import (
    api_providers,
    db_objects,
    groups,
    proxy_keys,
    upkeep,
)
from proxy.control.admin.compat import statistics as compat_statistics
from proxy.control.admin.web import Route

MODULES = (
    resources,
    export,
    importing,
    batch,
    operations,
    places,
    playground,
    preset_list,
    trials,
    audit,
    login,
    users,
    tokens,
    status,
    live,
    logs,
    log_export,
    log_live,
    statistics,
    usage,
    compat_statistics,
    upkeep,
    groups,
    proxy_keys,
    api_providers,
    db_objects,
)


def all_routes() -> list[Route]:
    """Every route of every module."""
    return list(chain.from_iterable(module.ROUTES for module in MODULES))
