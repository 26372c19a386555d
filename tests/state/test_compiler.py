from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import astuple, replace

from proxy.core.metrics import Metrics
from proxy.core.model import Limits, Snapshot
from proxy.core.paths import PACKAGE
from proxy.core.records import Record
from proxy.core.virtual_key import digest
from proxy.state.compiler import Compiler
from proxy.state.live import Live
from proxy.state.mirror import Mirror
from proxy.state.snapshot import compile_snapshot
from proxy.state.state import State
from tests.state.rows import ALL, PEPPER, VAULT, Rows, compiled, file

FILE = """
providers: {filed: {base_url: "https://file.example.com", credentials: [sk-file]}}
models:
  main: {aliases: [also], deployments: [{provider: filed}]}
  "wild/*": {deployments: [{provider: filed, model: "*"}]}
"""


def test_an_empty_store_adds_nothing_to_the_file() -> None:
    config = file(FILE)

    assert plain(compiled(Rows(), config).snapshot) == plain(compile_snapshot(config, (PEPPER,)))


def test_file_and_store_serve_together() -> None:
    rows = Rows()
    provider = rows.provider("stored", timeouts={"ttft": 9})
    credential = rows.mirror.children("credential", provider.id)[0]
    rows.model("m1", "stored", "filed", fallbacks=["wild/x"], aliases=["m2"])
    rows.model("more/*", "stored")
    key = rows.key()
    rows.add("setting", "defaults", timeouts={"idle": 3})

    found = compiled(rows, file(FILE))

    snapshot = found.snapshot
    assert found.problems == ()
    assert snapshot.revision == rows.revision
    assert snapshot.complete
    assert set(snapshot.models) == {"main", "also", "m1", "m2"}
    assert snapshot.models["m2"] is snapshot.models["m1"]
    assert [prefix for prefix, _ in snapshot.wildcards] == ["wild/", "more/"]
    assert snapshot.models["m1"].fallbacks == ("wild/x",)
    first = snapshot.models["m1"].tiers[0][0]
    assert (first.timeouts.ttft, first.timeouts.idle) == (9, 3)
    assert first.provider is snapshot.providers["stored"]
    assert first.provider.credentials[0].id == f"stored#{credential.id}"
    assert snapshot.models["main"].tiers[0][0].timeouts.idle == 3
    assert snapshot.keys[digest("sk-application", PEPPER)].id == str(key.id)
    assert snapshot.peppers == (PEPPER,)
    assert snapshot.require_auth


def test_what_cannot_be_used_is_not_served() -> None:
    rows = Rows()
    rows.provider("off", enabled=False)
    rows.model("m", "off")
    rows.model("n", "filed", fallbacks=["m", "gone"])

    snapshot = compiled(rows, file(FILE)).snapshot

    assert "m" not in snapshot.models
    assert snapshot.models["n"].fallbacks == ()


@pytest.mark.parametrize(
    ("text", "keys", "required"),
    [
        ("", 0, False),
        ("", 1, True),
        ("auth: {require: false}", 1, False),
        ("auth: {require: true}", 0, True),
        ("keys: [{name: k, key: sk-12345678}]", 0, True),
    ],
)
def test_keys_are_required_as_soon_as_there_is_one_anywhere(
    text: str, keys: int, required: bool
) -> None:
    rows = Rows()
    for number in range(keys):
        rows.key(f"k{number}")

    assert compiled(rows, file(text)).snapshot.require_auth is required


def test_a_key_that_cannot_be_used_still_closes_the_door() -> None:
    rows = Rows()
    rows.add("key", "k", private=b"nonsense")

    found = compiled(rows)

    assert found.snapshot.require_auth
    assert "key 'k'" in found.problems[0]


def test_a_store_that_was_never_read_is_not_complete() -> None:
    found = Compiler().compile(file(FILE), Mirror(), ALL, None, (), complete=False)

    assert not found.snapshot.complete
    assert found.snapshot.revision == 0
    # There is none in the store to use: one of this process.
    assert len(found.snapshot.peppers) == 1
    assert "main" in found.snapshot.models


# --- again and again ---


class Worker:
    """Compiles what changed, as a worker does."""

    def __init__(self, text: str = FILE) -> None:
        self.rows = Rows()
        self.config = file(text)
        self.compiler = Compiler()

    def compile(self, *kinds: str) -> Snapshot:
        found = self.compiler.compile(self.config, self.rows.mirror, kinds, VAULT, (PEPPER,))
        return found.snapshot


def test_another_key_leaves_everything_else_the_same() -> None:
    worker = Worker()
    worker.rows.provider("p")
    worker.rows.model("m1", "p")
    worker.rows.add("setting", "limits", rpm=5)
    worker.rows.add("setting", "teams", research={"rpm": 5})
    before = worker.compile(*ALL)
    worker.rows.key()

    after = worker.compile("key")

    assert after.models is before.models
    assert after.providers is before.providers
    assert after.wildcards is before.wildcards
    assert after.limits is before.limits
    assert after.teams is before.teams
    assert len(after.keys) == 1
    assert after.revision > before.revision


def test_limits_of_the_store_reach_the_snapshot_and_what_is_alike_stays_the_same() -> None:
    worker = Worker()
    worker.rows.model("m1", "filed")
    teams = worker.rows.add("setting", "teams", research={"rpm": 5})
    before = worker.compile(*ALL)
    worker.rows.change(teams, research={"rpm": 5})
    worker.rows.add("setting", "limits", tpm=6)

    after = worker.compile("setting")

    assert after.limits == Limits(tpm=6)
    assert after.teams == {"research": Limits(rpm=5)}
    assert after.teams is before.teams
    assert after.models is before.models


def test_a_change_that_comes_to_nothing_leaves_the_tables_the_same() -> None:
    worker = Worker()
    model = worker.rows.model("m1", "filed")
    before = worker.compile(*ALL)
    deployment = worker.rows.mirror.children("deployment", model.id)[0]
    worker.rows.change(worker.rows.add("model", "unserved"), description="nobody has it")
    worker.rows.add("deployment", parent=model, provider="filed", enabled=False)

    after = worker.compile("model", "deployment")

    assert after.models is before.models
    assert after.providers is before.providers
    assert after.wildcards is before.wildcards
    worker.rows.change(deployment, provider="filed", weight=3)
    assert worker.compile("deployment").models is not before.models


def test_one_deployment_changes_its_model_and_no_other() -> None:
    worker = Worker()
    worker.rows.provider("p")
    changed = worker.rows.model("m1", "p", "filed")
    worker.rows.model("m2", "p")
    before = worker.compile(*ALL)
    first, _ = worker.rows.mirror.children("deployment", changed.id)
    worker.rows.change(first, provider="p", weight=77)

    after = worker.compile("deployment")

    assert after.providers is before.providers
    assert after.models["m2"] is before.models["m2"]
    assert after.models["main"] is before.models["main"]
    one, other = after.models["m1"].tiers[0]
    assert one.weight == 77
    assert other is before.models["m1"].tiers[0][1]


def test_a_new_secret_is_a_new_provider_for_its_deployments() -> None:
    worker = Worker()
    provider = worker.rows.provider("p")
    worker.rows.model("m1", "p")
    before = worker.compile(*ALL)
    worker.rows.add("credential", parent=provider, sealed={"key": "sk-second"})

    after = worker.compile("credential")

    assert after.providers["p"] is not before.providers["p"]
    assert after.providers["filed"] is before.providers["filed"]
    assert after.models["m1"].tiers[0][0].provider is after.providers["p"]


def test_a_file_that_says_the_same_again_changes_nothing() -> None:
    worker = Worker()
    worker.rows.model("m1", "filed")
    before = worker.compile(*ALL)
    worker.config = file(FILE)

    after = worker.compile(*ALL)

    assert after.models is before.models
    assert after.providers is before.providers


def test_a_server_of_tools_stays_the_same_until_it_is_changed() -> None:
    compiler, rows = Compiler(), Rows()
    tools = 'mcp: {tools: {url: "https://tools.example.com/mcp", credential: C}}'
    state = State(Snapshot(), Live(), Metrics())

    def used(text: str) -> tuple[Snapshot, bool]:
        found = compiled(rows, file(FILE + text), compiler=compiler).snapshot
        return found, state.use(found)

    first, _ = used(tools)
    again, changed = used(tools)
    assert again.mcp is first.mcp
    assert not changed

    other, changed = used(tools.replace("C}", "D}"))
    assert changed
    assert other.mcp["tools"].credentials[0].secret.reveal() == "D"
    assert other.providers is first.providers


def test_after_everything_was_replaced_a_revision_may_mean_something_else() -> None:
    worker = Worker()
    model = worker.rows.model("m1", "filed")
    (deployment,) = worker.rows.mirror.children("deployment", model.id)
    assert "m1" in worker.compile(*ALL).models
    restored = replace(deployment, spec=b'{"provider":"filed","weight":5}')

    kinds = worker.rows.mirror.replace([model, restored])

    assert kinds == frozenset()
    assert worker.compile(*kinds).models["m1"].tiers[0][0].weight == 5


def test_true_in_the_place_of_1_is_a_change() -> None:
    text = FILE.replace("provider: filed}]", "provider: filed, param_defaults: {logprobs: 1}}]", 1)
    worker = Worker(text)
    before = worker.compile(*ALL)
    worker.config = file(text.replace("logprobs: 1", "logprobs: true"))

    after = worker.compile(*ALL)

    assert before.models["main"].tiers[0][0].param_defaults["logprobs"] == 1
    assert after.models["main"].tiers[0][0].param_defaults["logprobs"] is True


def test_state_is_kept_for_what_is_still_the_same() -> None:
    worker = Worker()
    worker.rows.provider("p")
    worker.rows.model("m1", "p")
    before = worker.compile(*ALL)
    live = Live(before)
    deployment = before.models["m1"].tiers[0][0]
    state = live.deployments[deployment.id]
    worker.rows.model("m2", "p")

    live.swap(worker.compile("model", "deployment"))

    assert live.deployments[deployment.id] is state


def test_the_data_path_imports_none_of_what_reads_the_store() -> None:
    code = (
        "import sys, proxy.state.mirror, proxy.state.compiler, proxy.state.virtual_keys\n"
        "print([name for name in ('pydantic', 'yaml', 'cryptography') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"


# --- whatever happens, the same as from nothing ---


def plain(value: Any) -> Any:
    """Compiled values without identity: what they say."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if hasattr(value, "__struct_fields__"):
        return type(value).__name__, plain(astuple(value))
    return value


def spec(**options: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=options)


NAMES = st.sampled_from(["p", "q", "filed", "main", "also", "m1", "wild/*"])
PRICE = st.sampled_from(
    [{}, {"input": 1}, {"input": 1, "above": {"5": {"input": 2}}}, {"input": -1}]
)
QUOTA = st.sampled_from([{}, {"requests": 3}, {"tokens": 3, "tz": "Asia/Tokyo"}, {"cron": "no"}])
BUDGET = st.sampled_from([{"usd": 1}, {"usd": 1, "period": "Day"}, {"usd": 1, "cron": "1 * * * *"}])
FIELDS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "provider": spec(
        base_url=st.sampled_from(["https://a.example.com", "https://b.example.com", 3]),
        enabled=st.booleans(),
        auth=st.just("none"),
    ),
    "credential": spec(weight=st.integers(0, 3), quota=QUOTA),
    "model": spec(
        aliases=st.lists(NAMES, max_size=2),
        fallbacks=st.lists(NAMES, max_size=2),
        strict=st.booleans(),
    ),
    "deployment": st.fixed_dictionaries(
        {"provider": NAMES},
        optional={"weight": st.integers(-1, 2), "price": PRICE, "quota": QUOTA},
    ),
    "key": spec(models=st.lists(NAMES, max_size=2), rpm=st.integers(1, 9), budget=BUDGET),
    "setting": spec(timeouts=st.fixed_dictionaries({"ttft": st.integers(0, 3)})),
}
PARENTS = {"credential": "provider", "deployment": "model"}


def step(rows: Rows, data: st.DataObject) -> None:
    """One thing that may happen in a store."""
    kind = data.draw(st.sampled_from(list(FIELDS)))
    there = list(rows.mirror.records[kind].values())
    what = data.draw(st.sampled_from(["add", "change", "remove"] if there else ["add"]))
    fields = data.draw(FIELDS[kind])
    if what == "remove":
        rows.remove(data.draw(st.sampled_from(there)))
    elif what == "change":
        record = data.draw(st.sampled_from(there))
        rows.change(record, free(rows, kind, data, record), **fields)
    elif kind in PARENTS:
        parents = list(rows.mirror.records[PARENTS[kind]].values())
        if parents:
            parent = data.draw(st.sampled_from(parents))
            sealed = {"key": f"sk-{rows.revision}"} if kind == "credential" else None
            rows.add(kind, parent=parent, sealed=sealed, **fields)
    elif kind == "key":
        rows.key(free(rows, kind, data), f"sk-{rows.revision}", **fields)
    else:
        rows.add(kind, free(rows, kind, data), **fields)


def free(rows: Rows, kind: str, data: st.DataObject, record: Record | None = None) -> str:
    """A name nobody else of the kind has; none where the kind has no names."""
    if kind in PARENTS:
        return ""
    name = "defaults" if kind == "setting" else data.draw(NAMES)
    owner = rows.mirror.names[kind].get(name)
    if owner is None or (record is not None and owner == record.id):
        return name
    return f"{kind}-{rows.revision}"


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_step_by_step_gives_what_a_compilation_from_nothing_gives(data: st.DataObject) -> None:
    worker = Worker()
    rows = worker.rows
    worker.compile(*ALL)
    for _ in range(data.draw(st.integers(1, 6))):
        for _ in range(data.draw(st.integers(1, 4))):
            step(rows, data)
        changed, rows.changed = rows.changed, set()
        found = worker.compiler.compile(worker.config, rows.mirror, changed, VAULT, (PEPPER,))

        mirror = Mirror()
        mirror.replace(
            record for records in rows.mirror.records.values() for record in records.values()
        )
        anew = Compiler().compile(worker.config, mirror, ALL, VAULT, (PEPPER,))
        # Of a record that is gone nothing is left but that it was the last.
        latest = replace(anew.snapshot, revision=rows.revision)
        assert plain(found.snapshot) == plain(latest)
        assert sorted(found.problems) == sorted(anew.problems)
