"""Hooks that do as a test tells them, for whole proxies."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from proxy.hooks import Answer, Ended, Piece, Refuse, Request, Trial, Veto, Window

SEEN: list[Any] = []
"""What hooks were told, in order; a test empties it first."""
GATE = threading.Event()
"""What a hook in a thread waits for."""


class Looks:
    """Writes down whatever it is told."""

    def before_route(self, request: Request) -> None:
        key = None if request.key is None else request.key.name
        SEEN.append(("before_route", request.operation, request.model, key, request.stream))
        request.notes["at"] = len(SEEN)

    async def before_attempt(self, request: Request, trial: Trial) -> None:
        SEEN.append(("before_attempt", trial.deployment, trial.model, trial.dialect))

    def after_response(self, request: Request, answer: Answer) -> None:
        SEEN.append(("after_response", answer.deployment, answer.names))

    def on_end(self, request: Request, ended: Ended) -> None:
        SEEN.append(ended)


class Changes:
    """Fields of requests and answers, and headers of attempts."""

    def __init__(
        self,
        request: dict[str, Any] | None = None,
        answer: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        model: str = "",
    ) -> None:
        self.request, self.answer = request or {}, answer or {}
        self.headers, self.model = headers or {}, model

    def before_route(self, request: Request) -> None:
        for name, value in self.request.items():
            if value is None:
                request.drop(name)
            else:
                request.set(name, value)
        request.model = self.model or request.model

    def before_attempt(self, request: Request, trial: Trial) -> None:
        trial.headers.update(self.headers)

    def after_response(self, request: Request, answer: Answer) -> None:
        for name, value in self.answer.items():
            answer.set(name, value)


class Refuses:
    """At one point. `screen`: once the text has `word`."""

    def __init__(self, point: str, word: str = "", veto: str = "", status: int = 400) -> None:
        self.point, self.word, self.veto, self.status = point, word, veto, status

    def _at(self, point: str) -> None:
        if self.point == point:
            raise Refuse("not this one", code="my_rule", status=self.status)

    async def before_route(self, request: Request) -> None:
        self._at("before_route")

    async def before_attempt(self, request: Request, trial: Trial) -> None:
        if self.veto and trial.deployment.endswith(self.veto):
            raise Veto
        self._at("before_attempt")

    async def after_response(self, request: Request, answer: Answer) -> None:
        self._at("after_response")

    async def screen(self, request: Request, window: Window) -> None:
        if not self.word or self.word in window.text:
            self._at("screen")


class Fails:
    """In its own way, at each point."""

    def __init__(self, how: str) -> None:
        ways: dict[str, Callable[[], Any]] = {
            "raises": lambda: 1 / 0,
            "waits": GATE.wait,
            "exits": exit,
            "returns": lambda: "no Piece",
        }
        self.act = ways[how]

    def before_route(self, request: Request) -> Any:
        return self.act()

    def before_attempt(self, request: Request, trial: Trial) -> Any:
        return self.act()

    def after_response(self, request: Request, answer: Answer) -> Any:
        return self.act()

    def screen(self, request: Request, window: Window) -> Any:
        return self.act()

    def on_end(self, request: Request, ended: Ended) -> Any:
        return self.act()


class Sleeps:
    """On the loop, for ever."""

    async def before_route(self, request: Request) -> None:
        await asyncio.Event().wait()


class Shouts:
    """In a thread: the text in capitals, the last letter held back."""

    def screen(self, request: Request, window: Window) -> Piece:
        if window.final:
            return Piece(window.text.upper())
        return Piece(window.text[:-1].upper(), window.text[-1:])


class Vetoes:
    """Every deployment."""

    async def before_attempt(self, request: Request, trial: Trial) -> None:
        raise Veto
