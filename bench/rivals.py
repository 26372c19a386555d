"""Other people's proxies, by name: what to install, how each is started towards the simulator, what it must be told.

`scripts/bench --install-peers` puts each into an environment of its own below `.bench/`, which is in nobody's way; what
is not there is left out of a run. All of them run one process or thread pool as they come, without access log, without
database, and check no more than they must.
"""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec import Struct

from bench.peers import (
    KEY,
    PATH,
    ROOT,
    Peer,
    PeerError,
    free_port,
    running,
    wait_until,
    workdir,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from bench.machine import Cores
    from bench.peers import Upstream

START_S = 120.0
"""One of them imports for ten seconds on a machine at rest."""
HOME = ROOT / ".bench"
EVERY = ("request", "half", "bodies", "token", "burst", "ttft", "held")
FEW = ("request", "token", "burst")
"""Groups for those that a crowd would keep busy for minutes."""


class Rival(Struct, frozen=True):
    """`{port}`, `{spare}` (another), `{upstream}` (a URL), `{folder}` and `{key}` are filled in, in the command, headers and config alike."""

    packages: tuple[str, ...]
    """The first is the proxy. With their versions; what they need themselves is the newest that suits them."""
    program: str
    """Below its environment."""
    arguments: str
    groups: tuple[str, ...]
    is_npm: bool = False
    config: str = ""
    """Content of `{folder}/config.yaml`."""
    environment: Mapping[str, str] = {}
    headers: tuple[str, ...] = ()
    instead: tuple[str, ...] = ()
    """Installed in place of what the package itself asks for."""

    @property
    def version(self) -> str:
        return self.packages[0].replace("==", "@").rpartition("@")[2]


RIVALS: Mapping[str, Rival] = {
    "vllm-router": Rival(
        packages=("vllm-router==0.1.17",),
        program="bin/vllm-router",
        arguments="--host 127.0.0.1 --port {port} --worker-urls {upstream} --policy round_robin"
        " --prometheus-port {spare} --log-level error --disable-circuit-breaker --disable-retries",
        groups=EVERY,
    ),
    "portkey": Rival(
        packages=("@portkey-ai/gateway@1.15.2",),
        program="node_modules/.bin/gateway",
        arguments="--port={port} --headless",
        # A stream is answered with 500: it appends to the headers of an answer that Node has made immutable.
        groups=("request",),
        is_npm=True,
        environment={"NODE_ENV": "production"},
        headers=("x-portkey-provider: openai", "x-portkey-custom-host: {upstream}/v1"),
    ),
    "litellm": Rival(
        packages=("litellm[proxy]==1.108.7",),
        program="bin/litellm",
        arguments="--host 127.0.0.1 --port {port} --config {folder}/config.yaml --num_workers 1 --telemetry False",
        groups=FEW,
        config="""\
model_list:
  - model_name: "*"
    litellm_params: {{model: "openai/*", api_base: "{upstream}/v1", api_key: upstream-key}}
general_settings: {{master_key: {key}}}
litellm_settings: {{num_retries: 0, telemetry: false}}
""",
        environment={"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"},
    ),
}

TOOLS: Mapping[str, Rival] = {
    "llmeter": Rival(
        packages=("llmeter==0.2.0",),
        program="bin/python",
        arguments="",
        groups=(),
        # It also asks for a file system in a cloud, whose versions keep pip busy for longer than anybody waits.
        instead=(
            "openai==3.57.0",
            "httpx==0.28.1",
            "boto3==1.44.8",
            "universal-pathlib==0.3.10",
            "fsspec==2026.9.0",
            "jmespath",
            "tqdm",
        ),
    )
}
"""Programs that ask rather than answer."""


def home(name: str) -> Path:
    """The environment of this rival."""
    return HOME / name


def is_there(name: str) -> bool:
    """Whether it was installed, and in the version that the table has."""
    mark = home(name) / "installed"
    return mark.exists() and mark.read_text() == _wanted(name)


def _one(name: str) -> Rival:
    return RIVALS[name] if name in RIVALS else TOOLS[name]


def _wanted(name: str) -> str:
    return " ".join((*_one(name).packages, *_one(name).instead))


def left_out(names: Iterable[str]) -> list[str]:
    """Those of `names` that are rivals and not installed."""
    return [name for name in names if name in RIVALS and not is_there(name)]


def takes_part(name: str, group: str) -> bool:
    """Whether a peer is measured in this group of scenarios: everybody but some rivals is."""
    return name not in RIVALS or group in RIVALS[name].groups


def install(names: Iterable[str], say: Callable[[str], None]) -> None:
    """Each into an environment of its own, unless it is there. Raises PeerError with the client's last words.

    One whose client is not there keeps none of the others away.
    """
    missing: list[str] = []
    for name in names:
        if is_there(name):
            say(f"{name}: {_wanted(name)} is there")
            continue
        say(f"{name}: installing {_wanted(name)} into {home(name)} ...")
        home(name).mkdir(parents=True, exist_ok=True)
        for words in _steps(name):
            try:
                done = subprocess.run(
                    words, cwd=home(name), capture_output=True, text=True, check=False
                )
            except OSError as error:
                missing.append(f"{name} could not be installed: {words[0]}: {error.strerror}")
                break
            if done.returncode:
                last = (done.stderr or done.stdout)[-2000:]
                raise PeerError(f"{name} could not be installed: {' '.join(words)}\n{last}")
        else:
            (home(name) / "installed").write_text(_wanted(name))
    if missing:
        raise PeerError("\n".join(missing))


def _steps(name: str) -> list[list[str]]:
    rival, folder = _one(name), str(home(name))
    if rival.is_npm:
        quiet = ["--ignore-scripts", "--no-audit", "--no-fund"]
        return [["npm", "install", "--prefix", folder, *quiet, *rival.packages]]
    install = [f"{folder}/bin/pip", "install", "--no-input", "--quiet"]
    environment = [sys.executable, "-m", "venv", "--clear", folder]
    if rival.instead:
        alone = [*install, "--no-deps", *rival.packages]
        return [environment, alone, [*install, *rival.instead]]
    return [environment, [*install, *rival.packages]]


@contextmanager
def rival(name: str, upstream: Upstream, cores: Cores) -> Iterator[Peer]:
    """It, ready to be asked: it has passed a first request on."""
    one, port, spare = RIVALS[name], free_port(), free_port()
    with workdir() as folder:
        known = {
            "port": port,
            "spare": spare,
            "upstream": f"http://{upstream.host}:{upstream.port}",
            "folder": folder,
            "key": KEY,
        }
        if one.config:
            (folder / "config.yaml").write_text(one.config.format(**known))
        words = [str(home(name) / one.program), *one.arguments.format(**known).split()]
        # Not our own packages: one of them is called what a part of theirs is called.
        environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
        with running(words, folder, cores.measured, {**environment, **one.environment}) as process:
            headers = tuple(line.format(**known) for line in one.headers)
            peer = Peer(name, "127.0.0.1", port, process.pid, path=PATH, headers=headers)
            wait_for_answer(peer, process, folder)
            yield peer


def wait_for_answer(peer: Peer, process: subprocess.Popen[bytes], folder: Path) -> None:
    """Until it has passed a request on: some listen long before they know their provider."""
    body = b'{"model": "sim-n1-d0-f0-s4", "messages": [{"role": "user", "content": "?"}]}'
    fields = dict(line.split(": ", 1) for line in peer.headers)
    fields |= {"Content-Type": "application/json", "Authorization": f"Bearer {peer.key}"}
    url = f"http://{peer.host}:{peer.port}{peer.path}"
    request = urllib.request.Request(url, body, fields)
    straight = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def answered() -> bool:
        try:
            with straight.open(request, timeout=5) as answer:
                return bool(answer.status == 200 and answer.read())
        except urllib.error.HTTPError as error:
            (folder / "error.log").write_bytes(error.read()[:2000])
            return False
        except OSError:
            return False

    wait_until(answered, process, folder, START_S)
