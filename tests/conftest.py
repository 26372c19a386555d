"""What every test has: uvloop, a guard against blocking it, and clocks that can be held."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

import pytest
from hypothesis import HealthCheck, settings

from proxy.core import clock
from proxy.core.config.schema import Config
from proxy.state import prices

# What else comes with the first that asks for it, up to a quarter of a second each: no test's loop may wait.
prices.load()
Config.model_validate({})
for name in ("proxy.state.merging", "proxy.store.postgres"):
    import_module(name)

pytest_plugins = ["tests.guards.plugin", "tests.rewriting", "tests.servers.plugin"]

# Only the clock of a busy machine decides these two. The rest is as hypothesis has it, which knows CI by itself.
settings.register_profile(
    "house", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("house")


@pytest.fixture
def hands() -> Iterator[clock.Hands]:
    """Both clocks stand still; `hands.advance(seconds)` moves them."""
    with clock.held() as hands:
        yield hands
