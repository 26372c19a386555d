"""Whole conversations, held by the libraries people use, with every provider: a question, a tool, its result, an answer.

The simulated provider is strict (it refuses what its vendor would) and, where the library gives back what it was given,
wants its sealed state back. So an answer that quotes what the tool said has come all the way, twice.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from tests.line.harness import KEY, ROOT, Process, Simulator, config
from tests.line.talks.common import UPSTREAMS

DIALECTS = {
    "chat": "openai.chat",
    "responses": "openai.responses",
    "messages": "anthropic.messages",
    "gemini": "gemini.generate",
    "bedrock": "bedrock.converse",
}
TALKS = {
    "openai_sdk": ("chat", "responses"),
    "anthropic_sdk": ("messages", "runner"),
    "google_sdk": ("chat",),
    "langchain": ("chat", "responses", "messages", "gemini"),
    "pydantic_ai": ("chat", "responses", "messages", "gemini"),
    "agents_sdk": ("chat", "responses"),
}
"""Library to its conversations with a tool."""
PARSED = {
    "openai_sdk": ("chat_parsed", "responses_parsed"),
    "anthropic_sdk": ("parsed",),
    "google_sdk": ("parsed",),
}
"""Library to its questions that are answered in JSON."""

CITY = "The mill turns 水車 while the"
"""What the simulated provider calls the tool with: its first six words."""

# The first to ask waits for the whole library.
pytestmark = pytest.mark.timeout(120)


def configuration(url: str) -> dict[str, Any]:
    """A provider for each dialect; a model's name begins with the provider's."""
    content = config(url)
    base = content["providers"].pop("p0")
    del content["models"]
    content["providers"] = {
        name: {**base, "dialects": [dialect], "credentials": [f"upstream-secret-{name}"]}
        for name, dialect in DIALECTS.items()
    }
    content["models"] = {
        f"{name}.*": {"deployments": [{"provider": name, "model": "*"}]} for name in DIALECTS
    }
    return content


class Library:
    """One library at work in a process of its own, and what it has reported."""

    def __init__(self, name: str, url: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"tests.line.talks.{name}", url, KEY],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
        )
        self.reports: dict[tuple[str, str, bool], dict[str, Any]] | None = None
        self.complaints = b""

    def report(self, case: str, upstream: str, stream: bool) -> dict[str, Any]:
        """What came of one conversation, once all are over."""
        if self.reports is None:
            out, self.complaints = self.process.communicate()
            found = [orjson.loads(line) for line in out.splitlines()]
            self.reports = {(one["case"], one["upstream"], one["stream"]): one for one in found}
        report = self.reports.get((case, upstream, stream))
        assert report is not None, self.complaints.decode()
        assert "error" not in report, f"{report['error']}\n{report['trace']}"
        return report


@pytest.fixture(scope="module")
def libraries(
    sim: Simulator, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Library]]:
    """The libraries that are asked for, all at once."""
    process = Process(configuration(sim.url), tmp_path_factory.mktemp("conversations"))
    wanted = {
        str(item.callspec.params["library"]): None
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and item.path == request.path
        and hasattr(item, "callspec")
    }
    started = {name: Library(name, process.url) for name in wanted}
    yield started
    for library in started.values():
        library.process.kill()
        library.process.communicate()
    assert process.stop() == 0


def _conversations(cases: dict[str, tuple[str, ...]]) -> list[tuple[str, str, str, bool]]:
    return [
        (library, case, upstream, stream)
        for library, names in cases.items()
        for case in names
        for upstream in UPSTREAMS
        for stream in (False, True)
    ]


@pytest.mark.parametrize(("library", "case", "upstream", "stream"), _conversations(TALKS))
def test_a_tool_is_called_and_its_result_answered(
    libraries: dict[str, Library], library: str, case: str, upstream: str, stream: bool
) -> None:
    report = libraries[library].report(case, upstream, stream)

    assert report["cities"], report
    assert set(report["cities"]) == {CITY}
    assert report["text"].startswith("The tools said: ")
    assert report["text"].count(f"21 degrees in {CITY}") == len(report["cities"])
    assert report["output"] > 0


@pytest.mark.parametrize(("library", "case", "upstream", "stream"), _conversations(PARSED))
def test_an_answer_in_json_is_what_was_asked_for(
    libraries: dict[str, Library], library: str, case: str, upstream: str, stream: bool
) -> None:
    report = libraries[library].report(case, upstream, stream)

    assert report["parsed"] == {"city": CITY, "degrees": 1, "sunny": True}
