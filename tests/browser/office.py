"""The admin API of the demo, for what a test of a page needs and leaves behind."""

from __future__ import annotations

from typing import Any

from tests.browser.asking import ask
from tests.docs.conftest import Demo

KEYS = ("sk-browser-provider-aaaa", "sk-browser-provider-bbbb")


class Office:
    """The admin API of the demo, for what a test needs and leaves."""

    def __init__(self, demo: Demo) -> None:
        self._demo = demo
        self.simulator = self("GET", "/admin/providers/lab")["base_url"]

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        return ask(self._demo, method, path, body)

    def provider(self, name: str, **fields: Any) -> Any:
        where = {"base_url": self.simulator, "allow_private": True, "credentials": list(KEYS)}
        return self("POST", "/admin/providers", {"name": name, **where, **fields})

    def model(self, name: str, *deployments: dict[str, Any]) -> Any:
        return self("POST", "/admin/models", {"name": name, "deployments": list(deployments)})

    def clear(self) -> None:
        """Take away what the tests of these pages made: all of it begins with `b-`."""
        for kind in ("models", "providers"):
            for one in self("GET", f"/admin/{kind}?source=store&q=b-")["data"]:
                self("DELETE", f"/admin/{kind}/{one['id']}?cascade=true")
