"""What a dashboard that somebody looks at costs: an instance that is idle, and the browser it is in beside 500 requests a second.

calm     nobody asks anything: what the feeds alone take, without the noise of a load
looked   a real Chromium has the overview, then the log of requests, open all the time

What workers pay for it under that load is smaller than what differs between two runs: `bench.dashboard_cost` sees it.
"""

from __future__ import annotations

import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from msgspec import Struct

from bench import peers
from bench.load import Load
from bench.machine import cpu_ns, pin, tree
from bench.peers import KEY, ROOT, PeerError, running, wait_for_ready, workdir
from bench.store import Figure

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import CDPSession, Page

    from bench.machine import Cores
    from bench.peers import Upstream

MODEL: Final = "sim-n8"
SETTINGS: Final = """\
server: {{host: 127.0.0.1, port: {port}, workers: {workers}}}
admin: {{port: {admin}, anonymous: true}}
store: {{url: "sqlite:///{folder}/headrace.db"}}
health: {{enabled: false}}
providers: {{lab: {{base_url: "{upstream}", allow_private: true, credentials: [bench]}}}}
models: {{{model}: {{deployments: [{{provider: lab}}]}}}}
keys: [{{name: bench, key: {key}}}]
"""
FEEDS: Final = ("/admin/live", "/admin/logs/live")
PAGES: Final = {"overview": "/dashboard", "requests": "/dashboard/requests"}
BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS: Final = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
WATCH: Final = """
window.seen = {frames: [], tasks: []};
let last = performance.now();
const frame = (at) => { seen.frames.push(at - last); last = at; requestAnimationFrame(frame); };
requestAnimationFrame((at) => { last = at; requestAnimationFrame(frame); });
new PerformanceObserver((list) => { for (const one of list.getEntries()) seen.tasks.push(one.duration); }).observe({type: "longtask", buffered: true});
"""


class Plan(Struct, frozen=True):
    """How much of everything."""

    rate: float = 500.0
    """Requests a second."""
    workers: int = 2
    rounds: int = 8
    window: float = 10.0
    """Seconds of one measurement without a browser."""
    rest: float = 11.0
    """Seconds after which nobody watches any more who did: a feed goes on for a while."""
    minutes: float = 5.0
    """That a page is open."""


QUICK: Final = Plan(rate=100.0, rounds=1, window=0.3, rest=0.0, minutes=0.01)

Scaled = TypeVar("Scaled", bound=Struct)


def scaled(
    plan: Scaled,
    minutes: float | None,
    rate: float | None,
    rounds: int | None = None,
    seconds: float | None = None,
) -> Scaled:
    """The same for another time, or at another rate: a plan that has these four."""
    said = {"minutes": minutes, "rate": rate, "rounds": rounds, "window": seconds}
    changed = {name: value for name, value in said.items() if value is not None}
    return msgspec.structs.replace(plan, **changed)


class Instance(Struct, frozen=True):
    """What is measured."""

    pid: int
    port: int
    admin: int

    def spent(self, seconds: float) -> float:
        """Share of a core that all its processes take meanwhile, in percent."""
        pids = tree(self.pid)
        begun, before = time.perf_counter(), cpu_ns(pids)
        time.sleep(seconds)
        return (cpu_ns(pids) - before) / (time.perf_counter() - begun) / 1e7


def measure(
    plan: Plan,
    upstream: Upstream,
    cores: Cores,
    say: Callable[[str], None],
    pictures: Path | None = None,
) -> list[Figure]:
    """All figures. Those of the browser are missing where there is none. `pictures`: a folder for one of each page, as it is in
    the end."""
    figures: list[Figure] = []
    with _instance(plan, upstream, cores) as instance:
        say("dashboard: nobody asks")
        figures += _calm(plan, instance)
        say(f"dashboard: in a browser, {plan.rate:g} requests a second")
        figures += _looked(plan, instance, cores, pictures)
    return figures


@contextmanager
def _instance(plan: Plan, upstream: Upstream, cores: Cores) -> Iterator[Instance]:
    port, admin = peers.free_port(), peers.free_port()
    with workdir() as folder:
        file = folder / "headrace.yaml"
        url = f"http://{upstream.host}:{upstream.port}"
        file.write_text(
            SETTINGS.format(
                port=port, admin=admin, workers=plan.workers, folder=folder, upstream=url, model=MODEL, key=KEY
            )
        )  # fmt: skip
        words = [sys.executable, "-m", "proxy", "serve", "--config", str(file)]
        with running(words, folder, cores.measured) as process:
            wait_for_ready(port, process, folder)
            yield Instance(process.pid, port, admin)


@contextmanager
def watched(instance: Instance, path: str) -> Iterator[None]:
    """Somebody watches, and takes what comes."""
    with socket.create_connection(("127.0.0.1", instance.admin), timeout=20) as watcher:
        host = f"127.0.0.1:{instance.admin}"
        watcher.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        if not watcher.recv(1 << 16).startswith(b"HTTP/1.1 200"):
            raise PeerError(f"{path} cannot be watched")
        reading = Thread(target=_take, args=(watcher,))
        reading.start()
        yield
        watcher.shutdown(socket.SHUT_RDWR)
        reading.join()


def _take(watcher: socket.socket) -> None:
    while watcher.recv(1 << 20):
        pass


@contextmanager
def load(plan: Plan, instance: Instance, cores: Cores, seconds: float) -> Iterator[None]:
    asked = Load(
        model=MODEL, port=instance.port, key=KEY, stream=True, connections=64, rate=plan.rate,
        seconds=seconds, warm=0.5,
    )  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.load", msgspec.json.encode(asked).decode()],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        preexec_fn=pin(cores.load),
    )
    try:
        time.sleep(1.0)
        yield
    finally:
        process.terminate()
        process.communicate()


def _calm(plan: Plan, instance: Instance) -> list[Figure]:
    nobody, somebody = _in_turn(plan, instance, FEEDS[0])
    return [
        Figure("dashboard_calm", "nobody asks, nobody watches", nobody, "% of a core"),
        Figure("dashboard_calm_watched", "somebody watches the overview", somebody, "% of a core"),
    ]


def _in_turn(plan: Plan, instance: Instance, path: str) -> tuple[float, float]:
    """What is taken while nobody watches, and while somebody does: medians."""
    nobody: list[float] = []
    somebody: list[float] = []
    for _ in range(plan.rounds):
        time.sleep(plan.rest)
        nobody.append(instance.spent(plan.window))
        with watched(instance, path):
            somebody.append(instance.spent(plan.window))
    return statistics.median(nobody), statistics.median(somebody)


# --- in a browser ---


def program() -> str | None:
    """Where a browser is."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def _looked(plan: Plan, instance: Instance, cores: Cores, pictures: Path | None) -> list[Figure]:
    executable = program()
    if executable is None:
        return []
    from playwright.sync_api import sync_playwright

    figures: list[Figure] = []
    seconds = plan.minutes * 60
    with (
        load(plan, instance, cores, len(PAGES) * (seconds + 30)),
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        for name, path in PAGES.items():
            context = browser.new_context(
                base_url=f"http://127.0.0.1:{instance.admin}",
                viewport={"width": 1280, "height": 960},
            )
            page = context.new_page()
            page.goto(path)
            page.get_by_text("Live", exact=True).wait_for()
            figures += _seen(name, page, context.new_cdp_session(page), seconds)
            if pictures is not None:
                page.screenshot(path=pictures / f"dashboard-{name}.png")
            context.close()
        browser.close()
    return figures


def _seen(name: str, page: Page, cdp: CDPSession, seconds: float) -> list[Figure]:
    page.wait_for_timeout(min(seconds * 1000, 5_000))  # until its first seconds are drawn
    before = _heap(cdp)
    page.evaluate(WATCH)
    page.wait_for_timeout(seconds * 1000)
    seen: dict[str, list[float]] = page.evaluate("window.seen")
    after = _heap(cdp)
    frames, tasks = sorted(seen["frames"]), seen["tasks"]
    return [
        Figure(f"dashboard_{name}_frames", f"{name}: frames", len(frames) / seconds, "a second"),
        Figure(f"dashboard_{name}_frame_p50", f"{name}: a frame, p50", _share(frames, 0.5), "ms"),
        Figure(f"dashboard_{name}_frame_p99", f"{name}: a frame, p99", _share(frames, 0.99), "ms"),
        Figure(f"dashboard_{name}_tasks", f"{name}: tasks above 50 ms", len(tasks), ""),
        Figure(f"dashboard_{name}_task", f"{name}: the longest", max(tasks, default=0.0), "ms"),
        Figure(f"dashboard_{name}_heap", f"{name}: heap, first", before, "MB"),
        Figure(f"dashboard_{name}_heap_after", f"{name}: heap, in the end", after, "MB"),
    ]


def _heap(cdp: CDPSession) -> float:
    """Of JavaScript, after what nobody needs was let go."""
    for _ in range(3):  # what one lets go may have held more
        cdp.send("HeapProfiler.collectGarbage")
    cdp.send("Performance.enable")
    metrics: list[dict[str, Any]] = cdp.send("Performance.getMetrics")["metrics"]
    return next(float(one["value"]) for one in metrics if one["name"] == "JSHeapUsedSize") / 1e6


def _share(values: list[float], share: float) -> float:
    return values[min(int(len(values) * share), len(values) - 1)] if values else 0.0
