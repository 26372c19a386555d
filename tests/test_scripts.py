"""The one-command scripts, run with stand-ins for Python, uv and apt-get: what they would do, without doing it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = [
    "scripts/bench",
    "scripts/check",
    "scripts/lock",
    "scripts/run",
    "scripts/test",
    ".ci/run",
]
TOOLS = ["bash", "cat", "chmod", "cmp", "cp", "dirname", "env", "id", "mkdir", "rm", "tail", "tee"]

# Does what the scripts rely on, and writes down what it was asked.
PYTHON = """#!/usr/bin/env bash
echo "${0##*/} $*${PYTHONDONTWRITEBYTECODE:+ (no bytecode)}" >>"$LOG"
case "$*" in
  --version) echo "Python 3.12.0" ;;
  "-c import pip") [ -e "${0%/*}/has-pip" ] ;;
  "-m venv .venv") mkdir -p .venv/bin; cp "$0" .venv/bin/python; : >.venv/bin/has-pip ;;
  *"pip install"*)
    echo "Collecting something"
    if [ -e "$BROKEN" ]; then echo "ERROR: no such hash"; exit 1; fi
    case "$*" in *--editable*) cp "$STANDINS/tool" .venv/bin/headrace ;; esac ;;
esac
"""
UV = """#!/usr/bin/env bash
echo "uv $*" >>"$LOG"
case "$*" in
  venv*) mkdir -p .venv/bin; cp "$STANDINS/python3" .venv/bin/python ;;
  *--editable*) cp "$STANDINS/tool" .venv/bin/headrace ;;
esac
"""
TOOL = """#!/usr/bin/env bash
echo "${0##*/} $*" >>"$LOG"
[ ! -e "$STANDINS/broken-${0##*/}" ]
"""


class Checkout:
    """A repository with our scripts, on a machine with only the programs we put there."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "repository"
        self.programs = folder / "programs"
        self.log = folder / "log"
        self.broken = folder / "broken"
        self.elsewhere = folder / "elsewhere"
        self.programs.mkdir()
        self.elsewhere.mkdir()
        shutil.copytree(ROOT / "scripts", self.root / "scripts")
        shutil.copytree(ROOT / ".ci", self.root / ".ci")
        for name in ("requirements.txt", "requirements-runtime.txt", "requirements-build.txt"):
            (self.root / name).write_text(f"# {name}\n")
        (self.root / "pyproject.toml").write_text("[project]\n")
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found is not None
            (self.programs / tool).symlink_to(found)
        self.add("tool", TOOL)

    def add(self, name: str, text: str) -> None:
        """Put a program on PATH."""
        (self.programs / name).write_text(text)
        (self.programs / name).chmod(0o755)

    def run(
        self, script: str, *arguments: str, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a script from another folder; `asked` then tells what it asked of the programs."""
        self.log.write_text("")
        environment = {
            "PATH": str(self.programs),
            "LOG": str(self.log),
            "BROKEN": str(self.broken),
            "STANDINS": str(self.programs),
            **variables,
        }
        return subprocess.run(
            [self.root / script, *arguments],
            cwd=self.elsewhere,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def asked(self, *words: str) -> list[str]:
        """The lines of the log that hold all these words."""
        lines = self.log.read_text().splitlines()
        return [line for line in lines if all(word in line for word in words)]

    def tools_in_environment(self, names: Iterable[str]) -> None:
        """Let .venv hold these programs, as an installation would."""
        for name in names:
            shutil.copy(self.programs / "tool", self.root / ".venv" / "bin" / name)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_is_executable_and_stops_at_the_first_failure(script: str) -> None:
    path = ROOT / script

    assert os.access(path, os.X_OK)
    assert path.read_text().startswith("#!/usr/bin/env bash\n")
    assert "\nset -euo pipefail\n" in path.read_text()


@pytest.mark.parametrize("script", [*SCRIPTS, "scripts/setup"])
def test_a_script_is_well_formed(script: str) -> None:
    subprocess.run(["bash", "-n", ROOT / script], check=True)


def test_every_script_is_known_here() -> None:
    found = {path.relative_to(ROOT).as_posix() for path in (ROOT / "scripts").iterdir()}

    assert found == {script for script in SCRIPTS if script != ".ci/run"} | {"scripts/setup"}


def test_run_installs_what_it_needs_and_starts_the_demo(checkout: Checkout) -> None:
    checkout.add("python3", PYTHON)

    done = checkout.run("scripts/run", "--port", "0")

    assert done.returncode == 0, done.stderr
    assert checkout.asked("--require-hashes", "--only-binary", "requirements-runtime.txt")
    assert checkout.asked("--no-deps", "--no-build-isolation", "--editable .")
    assert not checkout.asked("-r requirements.txt")
    assert checkout.log.read_text().splitlines()[-1] == "headrace demo --port 0"
    assert "Making .venv with Python 3.12.0" in done.stderr
    assert "Installing requirements-runtime.txt" in done.stderr


def test_the_second_run_installs_nothing(checkout: Checkout) -> None:
    checkout.add("python3", PYTHON)
    checkout.run("scripts/run")

    done = checkout.run("scripts/run")

    assert not checkout.asked("pip install")
    assert done.stderr == ""


def test_changed_requirements_are_installed(checkout: Checkout) -> None:
    checkout.add("python3", PYTHON)
    checkout.run("scripts/run")
    (checkout.root / "requirements-runtime.txt").write_text("# newer\n")

    checkout.run("scripts/run")

    assert checkout.asked("requirements-runtime.txt")


def test_the_test_set_serves_run_too(checkout: Checkout) -> None:
    checkout.add("python3", PYTHON)

    checkout.run("scripts/test", "-k", "clock", PYTHONDONTWRITEBYTECODE="1")
    assert checkout.asked("-r requirements.txt")
    assert checkout.asked("python -m pytest -k clock")
    assert not checkout.asked("python -m pytest", "(no bytecode)")
    checkout.run("scripts/test")
    assert checkout.asked("python -m pytest --numprocesses")

    checkout.run("scripts/run")
    assert not checkout.asked("pip install")


def test_bench_passes_its_arguments_on(checkout: Checkout) -> None:
    checkout.add("python3", PYTHON)

    checkout.run("scripts/bench", "--quick")

    assert checkout.log.read_text().splitlines()[-1] == "python -m bench --quick"


def test_without_python_it_says_what_to_install(checkout: Checkout) -> None:
    done = checkout.run("scripts/run")

    assert done.returncode == 1
    assert "needs Python 3.11 or newer" in done.stderr
    assert not (checkout.root / ".venv").exists()


def test_a_python_that_does_not_start_is_passed_over(checkout: Checkout) -> None:
    checkout.add("python3.13", "#!/usr/bin/env bash\necho 'no such version' >&2; exit 127\n")
    checkout.add("python3.12", PYTHON)

    done = checkout.run("scripts/run")

    assert done.returncode == 0, done.stderr
    assert checkout.asked("python3.12 -m venv .venv")


def test_a_python_can_be_named(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout.add("python3.13", PYTHON)
    checkout.add("python3.11", PYTHON)
    named = checkout.root / "scripts" / "named"
    named.write_text('#!/usr/bin/env bash\nexport HEADRACE_PYTHON=python3.11\n"${0%/*}/run"\n')
    named.chmod(0o755)

    checkout.run("scripts/named")

    assert checkout.asked("python3.11 -m venv .venv")


def test_a_failed_installation_is_shown_and_tried_again(checkout: Checkout) -> None:
    checkout.add("python3", PYTHON)
    checkout.broken.touch()

    done = checkout.run("scripts/run")

    assert done.returncode == 1
    assert "ERROR: no such hash" in done.stderr
    assert not checkout.asked("headrace demo")

    checkout.broken.unlink()
    assert checkout.run("scripts/run").returncode == 0
    assert checkout.asked("requirements-runtime.txt")


def test_a_half_made_environment_is_completed(checkout: Checkout) -> None:
    checkout.add("python3", PYTHON)
    checkout.run("scripts/run")
    (checkout.root / ".venv" / "bin" / "has-pip").unlink()

    done = checkout.run("scripts/run")

    assert done.returncode == 0, done.stderr
    assert checkout.asked("-m venv .venv")
    assert checkout.asked("requirements-runtime.txt")


def test_uv_does_the_work_where_it_is_on_path(checkout: Checkout) -> None:
    checkout.add("python3", PYTHON)
    checkout.add("uv", UV)

    done = checkout.run("scripts/run")

    assert done.returncode == 0, done.stderr
    assert checkout.asked("uv venv")
    assert checkout.asked("uv pip install", "--require-hashes", "requirements-runtime.txt")
    assert checkout.asked("uv pip install", "--editable .")
    assert not checkout.asked("python -m pip")


def test_check_runs_every_check_though_one_fails(checkout: Checkout) -> None:
    checkout.add("python3", PYTHON)
    checkout.run("scripts/test")
    checkout.tools_in_environment(["ruff", "mypy", "lint-imports"])
    (checkout.programs / "broken-ruff").touch()

    done = checkout.run("scripts/check")

    assert done.returncode == 1
    assert checkout.asked("ruff format --check .")
    assert checkout.asked("ruff check .")
    assert checkout.asked("mypy")
    assert checkout.asked("lint-imports")


def test_ci_goes_on_without_apt(checkout: Checkout) -> None:
    checkout.add("python3", PYTHON)
    checkout.run("scripts/test")
    checkout.tools_in_environment(["ruff", "mypy", "lint-imports"])

    done = checkout.run(".ci/run")

    assert done.returncode == 0, done.stderr
    assert "no apt-get here" in done.stderr
    assert checkout.log.read_text().splitlines()[-1].startswith("python -m pytest ")


def test_ci_runs_the_tests_after_failed_checks_and_fails(checkout: Checkout) -> None:
    checkout.add("python3", PYTHON)
    checkout.run("scripts/test")
    checkout.tools_in_environment(["ruff", "mypy", "lint-imports"])
    (checkout.programs / "broken-mypy").touch()

    done = checkout.run(".ci/run")

    assert done.returncode == 1
    assert checkout.asked("python -m pytest")


def test_ci_installs_what_is_missing_and_goes_on_when_that_fails(checkout: Checkout) -> None:
    checkout.add("python3", PYTHON)
    checkout.add("apt-get", '#!/usr/bin/env bash\necho "apt-get $*" >>"$LOG"; exit 100\n')
    (checkout.programs / "id").unlink()
    checkout.add("id", "#!/usr/bin/env bash\necho 0\n")
    checkout.add("node", TOOL)
    checkout.run("scripts/test")
    checkout.tools_in_environment(["ruff", "mypy", "lint-imports"])

    done = checkout.run(".ci/run")

    assert done.returncode == 0, done.stderr
    (installed,) = checkout.asked("apt-get install")
    assert "nodejs" not in installed
    assert "going on without" in done.stderr
