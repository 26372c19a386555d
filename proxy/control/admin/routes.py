"""All routes of the admin API, in the order the documentation shows them.

A module that has routes lists them in `ROUTES` and is named here, nowhere else.
"""

from __future__ import annotations

from importlib import import_module

from proxy.control.admin.web import Route

MODULES = (
    "resources",
    "export",
    "importing",
    "batch",
    "operations",
    "audit",
    "login",
    "users",
    "tokens",
    "status",
    "statistics",
    "logs",
    "upkeep",
    "groups",
    "proxy_keys",
    "api_providers",
    "db_objects",
)


def all_routes() -> list[Route]:
    """Every route of every module."""
    return [
        route for name in MODULES for route in import_module(f"proxy.control.admin.{name}").ROUTES
    ]
