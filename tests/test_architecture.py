"""The rules of the house that no linter knows."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROXY = ROOT / "proxy"
SQL = sorted(PROXY.rglob("*.sql"))
MODULES = sorted(PROXY.rglob("*.py"))
OURS = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in MODULES
    if path.name != "__main__.py"
}

# Interpreters are started here, and a busy machine takes its time.
pytestmark = pytest.mark.timeout(120)


def python(program: str, *arguments: str) -> str:
    """What a fresh interpreter prints; warnings are errors there too."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_imports_point_downwards() -> None:
    program = Path(sysconfig.get_path("scripts")) / "lint-imports"

    done = subprocess.run(
        [program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes())


def at_import(body: list[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports that run when a module is imported."""
    for statement in body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            yield statement
        elif not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            guarded = isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(
                statement.test
            )
            for part in (
                "handlers",
                "orelse",
                "finalbody",
                "cases",
                *(() if guarded else ("body",)),
            ):
                yield from at_import(getattr(statement, part, []))


def needed(path: Path) -> set[str]:
    """The modules of ours that it imports by name."""
    found: set[str] = set()
    for statement in at_import(tree(path).body):
        if isinstance(statement, ast.Import):
            found.update(alias.name for alias in statement.names)
        else:
            for alias in statement.names:
                inner = f"{statement.module}.{alias.name}"
                found.add(inner if inner in OURS else statement.module or "")
    return found & OURS.keys()


BACKWARDS = """
import importlib, os, sys
sys.path.insert(0, os.getcwd())
for name in reversed(sys.argv[1:]):
    importlib.import_module(name)
"""


def test_every_module_imports_alone() -> None:
    """Whatever was imported before: where nothing needs itself, no order is the wrong one."""
    order = TopologicalSorter({name: needed(path) for name, path in OURS.items()})

    assert set(order.static_order()) == set(OURS)  # a circle is an error of its own, and named
    python(BACKWARDS, *OURS)


def test_a_circle_is_found_out(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text(
        "import proxy.worker\n"
        "if TYPE_CHECKING:\n    import proxy.cli\n"
        "else:\n    from proxy.core import clock\n"
        "try:\n    from proxy.core.tasks import spawn\n"
        "except ImportError:\n    import orjson, proxy.host\n"
        "class One:\n    from proxy import commands\n"
        "def later():\n    import proxy.cli\n"
    )

    assert needed(file) == {
        "proxy.worker", "proxy.core.clock", "proxy.core.tasks", "proxy.host", "proxy.commands"
    }  # fmt: skip


SILENT = """
import importlib, os, sys
sys.path.insert(0, os.getcwd())

def refuse(event, arguments):
    if event.startswith("socket.") and event not in {"socket.__new__", "socket.gethostname"}:
        raise RuntimeError(f"{event} {arguments}")

sys.addaudithook(refuse)
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def test_importing_asks_the_network_for_nothing() -> None:
    python(SILENT, *OURS)


def own_test(module: Path) -> list[Path]:
    """Where the test of a module may be: in its mirror, or, for a package in a room, beside the room's other tests."""
    inside = module.relative_to(PROXY)
    room = ROOT / "tests" / inside.parent
    allowed = [room / f"test_{inside.stem}.py"]
    if len(inside.parts) > 2:
        package = inside.parent.name
        allowed += [
            room.parent / f"test_{package}_{inside.stem}.py",
            room.parent / f"test_{package}.py",
        ]
    return allowed


def test_every_module_has_its_test() -> None:
    modules = [path for path in MODULES if path.name not in {"__init__.py", "__main__.py"}]

    missing = [own_test(path)[0] for path in modules if not any(map(Path.exists, own_test(path)))]

    assert not missing, "\n".join(path.relative_to(ROOT).as_posix() for path in missing)


# CPU time, because a busy machine adds to the other kind; the smallest of some, because it adds to this one too.
COST = """
import os, sys, time
sys.path.insert(0, os.getcwd())
begun = time.process_time()
__import__(sys.argv[1])
print(time.process_time() - begun)
"""


def test_a_worker_starts_not_much_slower_than_aiohttp() -> None:
    cost: dict[str, list[float]] = {"aiohttp": [], "proxy.worker": []}
    ratio = 0.0

    for _ in range(8):
        for name, seconds in cost.items():
            seconds.append(float(python(COST, name)))
        ratio = min(cost["proxy.worker"]) / min(cost["aiohttp"])
        if ratio <= 2.5:
            return

    pytest.fail(f"importing proxy.worker costs {ratio:.2f} times importing aiohttp: {cost}")


def imported(tree: ast.AST) -> set[str]:
    """The names of all modules imported anywhere in a file."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def test_no_module_uses_the_slow_json() -> None:
    slow = {"json", "json.decoder", "json.encoder"}

    users = [path for path in MODULES if imported(tree(path)) & slow]

    assert users == []


# Put together here, so that this file does not hold what it looks for.
REGISTRIES = [
    "".join(parts)
    for parts in (
        ("pypi", ".org"),
        ("pypi", ".python", ".org"),
        ("files.python", "hosted.org"),
        ("registry.npm", "js.org"),
        ("deb.debian", ".org"),
        ("proxy.golang", ".org"),
        ("crates", ".io"),
    )
]
PLACES = [
    "".join(parts)
    for parts in (("/wo", "rk/"), ("../sh", "ared"), ("/ro", "ot/."), ("/tmp", "/v/"))
]


def tracked() -> list[Path]:
    """What is in the repository, or would be at the next commit."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:  # an unpacked archive
        folders = ("proxy", "conf", "tests", "bench", "scripts", "docs", "deploy")
        return [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def test_no_file_names_a_registry_or_a_place_on_one_machine() -> None:
    forbidden = re.compile("|".join(map(re.escape, REGISTRIES + PLACES)))

    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in tracked()
        if (match := forbidden.search(path.read_bytes().decode("utf-8", "replace")))
    ]

    assert found == []


def test_no_source_file_is_a_lock_with_addresses() -> None:
    assert not {path.name for path in tracked()} & {"uv.lock", "pylock.toml", "poetry.lock"}


def test_the_wheel_carries_what_the_program_reads_and_nothing_of_the_tests(tmp_path: Path) -> None:
    made = os.fspath(tmp_path)
    program = (
        "import os, sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    )

    wheel = python(program, made).splitlines()[-1]
    again = tmp_path / "again"
    again.mkdir()
    python(program, os.fspath(again))

    names = subprocess.run(
        [sys.executable, "-m", "zipfile", "-l", tmp_path / wheel],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    listed = {line.split()[0] for line in names.splitlines()[1:]}
    assert "proxy/conf/providers.yaml" in listed
    assert "proxy/__main__.py" in listed
    assert SQL
    assert {f"proxy/store/sql/{path.parent.name}/{path.name}" for path in SQL} <= listed
    tops = {name.split("/")[0] for name in listed}
    assert tops == {"proxy", wheel.removesuffix("-py3-none-any.whl") + ".dist-info"}
    assert (tmp_path / wheel).read_bytes() == (again / wheel).read_bytes()
