from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.core.config import ConfigError, load, sources
from proxy.core.config.references import Unresolved
from proxy.core.config.sources import Sources
from proxy.state.show import show

SAYS = "import sys; print('sk-of-' + sys.argv[1])"
ALL = 'print(\'{"one": "sk-one", "two": 2, "on": true}\')'


def asking(folder: Path, **blocks: Any) -> Sources:
    return Sources(blocks, {"PATH": "/usr/bin:/bin"}, folder)


def refusal(found: Sources, name: str) -> Unresolved:
    with pytest.raises(Unresolved) as caught:
        found.get(name)
    return caught.value


def test_a_command_is_asked_for_one_key(tmp_path: Path) -> None:
    found = asking(tmp_path, vault={"command": [sys.executable, "-c", SAYS, "{key}"]})

    assert found.get("vault/team/openai") == "sk-of-team/openai"


def test_a_command_that_takes_no_key_is_run_once_for_all(tmp_path: Path) -> None:
    counts = f"open('runs', 'a').write('x'); {ALL}"
    found = asking(tmp_path, vault={"command": [sys.executable, "-c", counts]})

    assert (found.get("vault/one"), found.get("vault/two")) == ("sk-one", "2")
    for key in ("three", "on"):
        assert key in refusal(found, f"vault/{key}").found
    assert (tmp_path / "runs").read_text() == "x"


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("raise SystemExit(3)", ("to succeed", "exit code 3")),
        ("print('sk-SEEN')", ("a JSON object", "something else")),
        ("print('x' * 70000)", ("at most 65536 bytes", "more")),
    ],
)
def test_what_a_command_does_wrong_is_said_without_what_it_printed(
    tmp_path: Path, program: str, words: tuple[str, str]
) -> None:
    error = refusal(asking(tmp_path, v={"command": [sys.executable, "-c", program]}), "v/k")

    assert words[0] in error.expected
    assert words[1] in error.found
    assert "SEEN" not in f"{error.expected} {error.found} {error.advice}"


def test_a_command_that_is_not_there_says_so(tmp_path: Path) -> None:
    error = refusal(asking(tmp_path, v={"command": ["/no/such/program", "{key}"]}), "v/k")

    assert error.found == "No such file or directory"


def test_a_command_that_takes_too_long_is_ended_with_what_it_started(tmp_path: Path) -> None:
    words = ["/bin/sh", "-c", "sleep 60 & echo $! > child; wait", "{key}"]
    found = asking(tmp_path, v={"command": words, "timeout": "400ms"})
    begun = time.monotonic()

    assert "within 0.4 s" in refusal(found, "v/k").expected
    refusal(found, "v/k")  # not waited for again
    assert time.monotonic() - begun < 30
    child = Path("/proc") / (tmp_path / "child").read_text().strip() / "stat"
    deadline = time.monotonic() + 10
    # It may be a zombie until whoever inherited it looks.
    while child.exists() and ") Z " not in child.read_text():
        assert time.monotonic() < deadline


def test_a_folder_has_a_file_for_each_key(tmp_path: Path) -> None:
    # As Kubernetes mounts them: links to a folder that is swapped as a whole.
    data = tmp_path / "secrets" / "..2026_11_27"
    data.mkdir(parents=True)
    (data / "openai").write_text("sk-mounted\n")
    (tmp_path / "secrets" / "..data").symlink_to("..2026_11_27")
    (tmp_path / "secrets" / "openai").symlink_to("..data/openai")
    found = asking(tmp_path, mounted={"folder": "secrets"})

    assert found.get("mounted/openai") == "sk-mounted"


@pytest.mark.parametrize("key", ["../outside", "link", "none", "..", "/etc/hostname", "a\0b"])
def test_a_key_does_not_lead_out_of_the_folder(tmp_path: Path, key: str) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir()
    (tmp_path / "outside").write_text("sk-SEEN")
    (folder / "link").symlink_to("../outside")

    error = refusal(asking(tmp_path, mounted={"folder": "secrets"}), f"mounted/{key}")

    assert "SEEN" not in str(error.found)


def test_a_function_is_named_by_its_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "company_secrets.py").write_text(
        "def read(key):\n"
        "    if key == 'boom': raise RuntimeError('sk-SEEN')\n"
        "    if key == 'bytes': return b'sk-SEEN'\n"
        "    return {'a': 'sk-a', 'blank': ' '}[key]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    found = asking(
        tmp_path,
        own={"python": "company_secrets:read"},
        no={"python": "company_secrets:nothing"},
        away={"python": "no_such_module:read"},
    )

    assert found.get("own/a") == "sk-a"
    for name in ("own/b", "own/boom", "own/bytes", "own/blank", "no/a", "away/a"):
        error = refusal(found, name)
        assert "SEEN" not in f"{error.expected} {error.found} {error.advice}"


def test_a_function_is_an_entry_point_of_a_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "company_vault.py").write_text("def read(key): return f'sk-{key}'\n")
    info = tmp_path / "company_vault-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: company-vault\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{sources.GROUP}]\ncompany = company_vault:read\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = asking(tmp_path, own={"python": "company"}, other={"python": "nobody"})

    assert found.get("own/a") == "sk-a"
    assert refusal(found, "other/a").found == "ValueError"


# --- in a file ---


def written(folder: Path, credential: str, **blocks: Any) -> Path:
    file = folder / "h.yaml"
    content = {
        "secrets": {"sources": blocks},
        "providers": {"p": {"preset": "openai", "credentials": [credential]}},
    }
    file.write_text(yaml.safe_dump(content))
    return file


@pytest.mark.parametrize("text", ["secret:mounted/openai", "${secret:mounted/openai}"])
def test_a_file_refers_to_a_source_and_shows_nothing_of_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "openai").write_text("sk-FROM-A-SOURCE")
    loaded = load(written(tmp_path, text, mounted={"folder": "${WHERE}"}), {"WHERE": "."})

    [credential] = loaded.config.providers["p"].credentials
    assert credential.key.reveal() == "sk-FROM-A-SOURCE"
    assert "sk-FROM-A-SOURCE" in {item.reveal() for item in loaded.hidden}
    assert "FROM-A" not in show(loaded)
    assert "mounted: folder" in show(loaded)


def test_it_is_asked_anew_when_the_file_is_read_again(tmp_path: Path) -> None:
    file = written(tmp_path, "secret:mounted/openai", mounted={"folder": "."})
    found = []
    for value in ("sk-first", "sk-second"):
        (tmp_path / "openai").write_text(value)
        found.append(load(file, {}).config.providers["p"].credentials[0].key.reveal())

    assert found == ["sk-first", "sk-second"]


@pytest.mark.parametrize(
    ("credential", "blocks", "words"),
    [
        ("secret:valut/a", {"vault": {"folder": "."}}, "did you mean 'vault'?"),
        ("secret:none/a", {}, "under secrets.sources: none"),
        ("${secret:vault}", {"vault": {"folder": "."}}, "write secret:SOURCE/KEY"),
        ("secret:vault/away", {"vault": {"folder": "."}}, "No such file"),
    ],
)
def test_what_leads_nowhere_is_named_with_its_line(
    tmp_path: Path, credential: str, blocks: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, credential, **blocks), {})
    [problem] = caught.value.problems

    assert problem.path == "providers.p.credentials[0]"
    assert "secret" in file_line(tmp_path, problem.line)
    assert words in problem.message


def file_line(folder: Path, line: int) -> str:
    return (folder / "h.yaml").read_text().splitlines()[line - 1]


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({}, "expected one of command, folder, python, found none"),
        ({"folder": ".", "python": "a:b"}, "found folder and python"),
        ({"command": "vault get"}, "expected a list"),
        ({"folder": "secret:v/x"}, "a source has none itself"),
        ({"command": ["x"], "timeout": "soon"}, "expected a duration"),
    ],
)
def test_a_source_that_cannot_be_is_explained(
    tmp_path: Path, block: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, "sk-x", v=block), {})

    assert words in str(caught.value)
