"""A real browser in front of a demo of its own. Every page must be without errors in the console and within its policy.

The browser is driven by calls that block, so tests here are no coroutines.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from bench.dashboard import program
from tests.browser.office import Office
from tests.docs.conftest import Demo
from tests.docs.stand_in import alone

LAST = 50
"""Lines of the demo that are shown where a test fails."""
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Another machine, as far as a browser can tell.
    "--host-resolver-rules=MAP gateway.example 127.0.0.1",
]
PATIENCE = 15_000
"""Milliseconds until something has to be there."""
IMAGES = Path(__file__).parents[2] / "docs" / "images"
SERIOUS = {"serious", "critical"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One step alone has PATIENCE, and the first test has Chromium and the demo to wait for."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(90))


def _program() -> str:
    """Where Chromium is. Skips where there is none, and fails where there has to be one."""
    named = os.environ.get("HEADRACE_CHROMIUM")
    found = named or program()
    if found is None:
        why = "no Chromium here: install it, or name it in HEADRACE_CHROMIUM"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    return found


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    program = _program()
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        one = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield one
        one.close()


@pytest.fixture(scope="package")
def demo() -> Iterator[Demo]:
    """`headrace demo`: nobody need sign in, and a simulated provider answers."""
    with alone():
        one = Demo()
    yield one
    one.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, Any]:
    """What the demo said stands below the test that failed."""
    report = yield
    demo = getattr(item, "funcargs", {}).get("demo")
    if report.failed and demo is not None:
        report.sections.append(("the demo", "".join(demo.lines[-LAST:])))
    return report


@pytest.fixture
def office(demo: Demo) -> Iterator[Office]:
    """What makes providers and models for a test; those whose names begin with `b-` go afterwards."""
    one = Office(demo)
    yield one
    one.clear()


class Watched:
    """A page, and what was wrong on it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.wrong: list[str] = []
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.wrong.append(f"exception: {error}"))

    def _said(self, message: ConsoleMessage) -> None:
        # A refusal of the admin API is told of by every browser, and is what some tests are about.
        if message.type in ("error", "warning") and "the server responded with" not in message.text:
            self.wrong.append(f"{message.type}: {message.text}")


@pytest.fixture
def page(browser: Browser, demo: Demo) -> Iterator[Page]:
    """A page in a browser that remembers nothing, with `/dashboard/…` of the demo as the base of its addresses."""
    yield from opened(browser, f"http://{demo.admin}")


PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "color_scheme": "dark",
}


@pytest.fixture
def phone(browser: Browser, demo: Demo) -> Iterator[Page]:
    """The same on a phone, in the dark."""
    yield from opened(browser, f"http://{demo.admin}", **PHONE)


def opened(browser: Browser, base: str, **options: Any) -> Iterator[Page]:
    """A page; fails afterwards when something was wrong on it."""
    options = {"viewport": {"width": 1280, "height": 800}, "locale": "en-GB", **options}
    context = browser.new_context(base_url=base, timezone_id="Europe/Vienna", **options)
    context.set_default_timeout(PATIENCE)
    watched = Watched(context.new_page())
    yield watched.page
    outside = watched.page.evaluate(
        "performance.getEntriesByType('resource').map(e => new URL(e.name).origin).filter(o => o !== location.origin)"
    )
    context.close()
    assert watched.wrong == []
    assert outside == []


def accessible(page: Page) -> None:
    """Fails when axe-core finds anything serious on the page as it is."""
    page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    serious = [
        f"{one['id']}: {one['help']}: {[node['html'][:200] for node in one['nodes'][:3]]}"
        for one in found["violations"]
        if one["impact"] in SERIOUS
    ]
    assert serious == []


def pictured(page: Page, name: str) -> None:
    """Keep a picture for the documentation, when pictures are asked for (HEADRACE_PICTURES=1)."""
    if os.environ.get("HEADRACE_PICTURES"):
        page.screenshot(path=IMAGES / f"{name}.png")
