"""A real model behind a real Headrace process, and the figures a run leaves at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.line.harness import KEY, Process
from tests.llm.llama import Llama

FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> list[str]:
    """Lines for the end of the run."""
    return pytestconfig.stash.setdefault(FIGURES, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lines = terminalreporter.config.stash.get(FIGURES, [])
    if lines:
        terminalreporter.section("a real model")
        for line in lines:
            terminalreporter.line(line)


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory, figures: list[str]) -> Iterator[Llama]:
    """llama.cpp's server with its model loaded."""
    llama = Llama(tmp_path_factory.mktemp("llama"))
    ready = llama.ready
    figures.append(f"xllamacpp {ready.version}, {ready.model}, {ready.size >> 20} MiB")
    yield llama
    llama.stop()


@pytest.fixture(scope="session")
def model(llama: Llama) -> str:
    """The model's name, for the server and for Headrace."""
    return llama.ready.model


Start = Callable[[], str]


@pytest.fixture(scope="session")
def start(llama: Llama, model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts a `headrace serve` process in front of it, with the preset as it is but for the address."""
    content: dict[str, Any] = {
        "server": {"host": "127.0.0.1", "port": 0},
        "providers": {"local": {"preset": "llama.cpp", "base_url": llama.url}},
        "models": {model: {"deployments": [{"provider": "local", "model": model}]}},
        "keys": [{"name": "test", "key": KEY}],
    }
    processes: list[Process] = []

    def start() -> str:
        processes.append(Process(content, tmp_path_factory.mktemp("headrace")))
        return processes[-1].url

    yield start
    assert [process.stop() for process in processes] == [0] * len(processes)


@pytest.fixture(scope="session")
def headrace(start: Start) -> str:
    """The URL of the process that most tests share."""
    return start()
