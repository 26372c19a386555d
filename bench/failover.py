"""Sixteen ways in which a provider fails, one configuration for all of them, judged from where the caller stands.

The scenarios and what passes are those of failoverbench (methodology v0.1, github.com/failoverbench/failoverbench),
rebuilt from their description on the simulated provider: the model name chooses the fault, every request streams, and
the text has to be the provider's, word for word. `failover_judges.py` says what passes.
"""

from __future__ import annotations

import asyncio
import sys
from time import monotonic
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
import uvloop
from msgspec import Struct

from bench import peers
from bench.failover_judges import JUDGES, Answer, Seen
from bench.peers import running, wait_for_ready, workdir
from bench.store import Figure

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bench.machine import Cores
    from bench.peers import Upstream


class Plan(Struct, frozen=True):
    """How long things take (seconds)."""

    ttft: float = 60.0
    idle: float = 15.0
    outage: float = 60.0
    after: float = 35.0
    """S15: how long it goes on after the outage."""
    requests: int = 20
    """S15."""
    at_once: bool = False
    """All of them side by side: sooner over, and the times say less."""


QUICK = Plan(ttft=1.5, idle=1.0, outage=1.5, after=3.5, requests=12, at_once=True)

WORDS = {
    "S01": ("429, retry-after: 2, once", "429x1-ra2"),
    "S02": ("429 for ever", "429"),
    "S03": ("500 once", "500x1"),
    "S04": ("503 for ever", "503"),
    "S05": ("reset before the head", "rst-k0"),
    "S06": ("no answer at all", "no_headers"),
    "S07": ("first token after 20 s", "f20000"),
    "S08": ("cut after 40 of 60 tokens", "d5-at40-rst"),
    "S09": ("silence after 20 tokens", "d5-at20-stall"),
    "S10": ("the tenth event is no JSON", "at10-bad_json"),
    "S11": ("no [DONE]", "finish_no_done"),
    "S12": ("400, context too long", "context"),
    "S13": ("400, content policy", "policy"),
    "S14": ("cut; the fallback takes no prefill", "d5-at40-rst"),
    "S15": ("down for a minute, then well", "503-for{outage:g}"),
    "S16": ("503; who answered?", "503"),
}
"""What goes wrong, and how the simulated provider is told."""

ANSWER = "n60"
"""What every model says: so many words."""
FALLBACKS = {"S14": "sim-n60-noprefill-idS14"}
"""Where it is not an ordinary one."""

CONFIG = """\
server: {{host: 127.0.0.1, port: {port}}}
admin: {{host: 127.0.0.1, port: {admin_port}, token: bench-admin-token}}
store: {{url: "sqlite:///{folder}/headrace.db"}}
defaults: {{timeouts: {{ttft: {ttft:g}, idle: {idle:g}}}}}
providers:
  wall:
    dialects: [openai.chat]
    base_url: "http://{host}:{upstream_port}"
    credentials: [upstream-key]
    allow_private: true
models:
"""
MODEL = """\
  {name}:
    fallbacks: [{name}-fallback]
    continuation: [match, anchor]
    deployments: [{{provider: wall, model: "{primary}"}}]
  {name}-fallback: {{deployments: [{{provider: wall, model: "{fallback}"}}]}}
"""


class Verdict(Struct, frozen=True):
    """One scenario; passed when there is nothing to complain about."""

    name: str
    fault: str
    complaints: tuple[str, ...]
    seconds: float
    primary: int
    fallback: int


def primary(name: str, plan: Plan) -> str:
    """The model name that makes the provider fail so."""
    return f"sim-{ANSWER}-{WORDS[name][1].format(outage=plan.outage)}-id{name}"


def fallback(name: str) -> str:
    """The one that answers instead."""
    return FALLBACKS.get(name, f"sim-{ANSWER}-idfb{name}")


def measure(
    plan: Plan, upstream: Upstream, cores: Cores, say: Callable[[str], None]
) -> list[Figure]:
    """Run all, one after the other, and print the table."""
    verdicts = uvloop.run(_measure(plan, upstream, cores, say))
    say("\n" + table(verdicts))
    passed = sum(not verdict.complaints for verdict in verdicts)
    return [
        Figure("failover_passed", "scenarios passed", passed, f"of {len(verdicts)}"),
        Figure("failover_failed", "not passed", len(verdicts) - passed, ""),
        *(
            Figure(f"failover_{one.name}", f"{one.name} {one.fault}", one.seconds, "s")
            for one in verdicts
        ),
    ]


def table(verdicts: list[Verdict]) -> str:
    """For a terminal."""
    lines = [f"{'':4} {'':36} {'':6} {'s':>6} {'asked':>6} {'other':>6}"]
    for one in verdicts:
        word = "FAILED" if one.complaints else "pass"
        lines.append(
            f"{one.name:4} {one.fault:36} {word:6} {one.seconds:6.2f} {one.primary:6} {one.fallback:6}"
            + "".join(f"\n     {complaint}" for complaint in one.complaints)
        )
    return "\n".join(lines)


async def _measure(
    plan: Plan, upstream: Upstream, cores: Cores, say: Callable[[str], None]
) -> list[Verdict]:
    with workdir() as folder:
        port = peers.free_port()
        file = folder / "headrace.yaml"
        file.write_text(_config(plan, upstream, folder, port))
        words = [sys.executable, "-m", "proxy", "serve", "--config", str(file)]
        with running(words, folder, cores.measured) as process:
            wait_for_ready(port, process, folder)
            async with aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=200), raise_for_status=False
            ) as session:
                scene = Scene(session, f"http://127.0.0.1:{port}", upstream, plan)
                scene.text = (await scene.ask(scene.wall, f"sim-{ANSWER}")).text
                alone = asyncio.Semaphore(len(WORDS) if plan.at_once else 1)

                async def play(name: str) -> Verdict:
                    async with alone:
                        verdict = await scene.play(name)
                    say(f"{name} {'FAILED' if verdict.complaints else 'pass'}")
                    return verdict

                return await asyncio.gather(*map(play, WORDS))


def _config(plan: Plan, upstream: Upstream, folder: Path, port: int) -> str:
    head = CONFIG.format(
        port=port,
        admin_port=peers.free_port(),
        folder=folder,
        ttft=plan.ttft,
        idle=plan.idle,
        host=upstream.host,
        upstream_port=upstream.port,
    )
    return head + "".join(
        MODEL.format(name=name, primary=primary(name, plan), fallback=fallback(name))
        for name in WORDS
    )


class Scene:
    """A caller, the proxy it calls, and the provider's book of what it was asked."""

    def __init__(
        self, session: aiohttp.ClientSession, proxy: str, upstream: Upstream, plan: Plan
    ) -> None:
        self.session = session
        self.proxy = proxy
        self.wall = f"http://{upstream.host}:{upstream.port}"
        self.plan = plan
        self.text = ""
        """What a whole answer says."""

    async def play(self, name: str) -> Verdict:
        began = monotonic()
        many = self.plan.requests if name == "S15" else 1
        pause = (self.plan.outage + self.plan.after) / max(many - 1, 1)
        answers = []
        for number in range(many):
            await asyncio.sleep(began + number * pause - monotonic())
            answers.append(await self.ask(self.proxy, name))
        seconds = monotonic() - began
        async with self.session.get(self.proxy + "/health") as response:
            alive = response.status == 200
        seen = Seen(
            answers=answers,
            text=self.text,
            primary=await self._asked(primary(name, self.plan)),
            fallback=await self._asked(fallback(name)),
            names=(primary(name, self.plan), fallback(name)),
            seconds=seconds,
            alive=alive,
            outage=self.plan.outage,
        )
        return Verdict(
            name,
            WORDS[name][0],
            tuple(JUDGES[name](seen)),
            seconds,
            len(seen.primary),
            len(seen.fallback),
        )

    async def _asked(self, model: str) -> list[float]:
        """When the provider was asked for a model: monotonic seconds."""
        async with self.session.get(self.wall + "/ledger") as response:
            book = orjson.loads(await response.read())
        return [one["begun_at"] for one in book["requests"] if one["model"] == model]

    async def ask(self, base: str, model: str) -> Answer:
        """One streamed request, read to its end."""
        began = monotonic()
        body = {
            "model": model,
            "stream": True,
            "stream_options": {"include_usage": True},
            "messages": [{"role": "user", "content": "Which way does the water go?"}],
        }
        answer = Answer()
        try:
            async with self.session.post(
                base + peers.PATH,
                data=orjson.dumps(body),
                headers={"content-type": "application/json"},
            ) as response:
                answer.status = response.status
                content = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            answer.broken = type(error).__name__
            content = b""
        answer.began, answer.seconds = began, monotonic() - began
        if answer.status == 200:
            for event in content.split(b"\n\n"):
                _read(answer, event)
        elif content:
            answer.error = _object(content).get("error")
        return answer


def _read(answer: Answer, event: bytes) -> None:
    """Take one event into account, as an official client would."""
    lines = [line[5:].strip() for line in event.splitlines() if line.startswith(b"data:")]
    if not lines:
        return
    data = b"\n".join(lines)
    if data == b"[DONE]":
        answer.done = True
        return
    found = _object(data)
    answer.error = answer.error or found.get("error")
    answer.usage = found.get("usage") or answer.usage
    answer.model = found.get("model") or answer.model
    for choice in found.get("choices") or ():
        answer.text += (choice.get("delta") or {}).get("content") or ""
        answer.finish = choice.get("finish_reason") or answer.finish


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:
        return {"error": "not JSON"}
    return found if isinstance(found, dict) else {}
