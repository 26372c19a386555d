from __future__ import annotations

import gc
from ipaddress import ip_network

import pytest

from proxy.core.config.schema import Config
from proxy.core.model import Budget, VirtualKey
from proxy.core.records import Record
from proxy.core.secret import Secret
from proxy.core.virtual_key import Pepper, digest, kept, private, rotated
from proxy.state.virtual_keys import Table, VirtualKeys
from tests.state.rows import PEPPER, Rows, file

FILE = "keys: [{name: filed, key: sk-of-the-file}]"


def table(rows: Rows, config: Config | None = None) -> Table:
    return VirtualKeys().table(config or file(), rows.mirror, (PEPPER,))


def at(found: Table, text: str, pepper: Pepper = PEPPER) -> VirtualKey | None:
    return found.get(digest(text, pepper))


def only(rows: Rows) -> VirtualKey:
    (key,) = table(rows).values()
    return key


def test_a_key_is_found_by_what_is_kept_of_it() -> None:
    rows = Rows()
    record = rows.key("app", "sk-application")

    key = at(table(rows), "sk-application")

    assert key is not None
    assert (key.name, key.id, key.models, key.enabled) == ("app", str(record.id), ("*",), True)
    assert at(table(rows), "sk-another") is None


def test_it_may_do_what_its_record_says() -> None:
    rows = Rows()
    rows.key(
        models=["a", "b*"], routes=["chat"], cidrs=["10.1.2.3/8", "2001:db8::/32"], enabled=False,
        expires="2030-01-01", owner="o", team="t", rpm=1, tpm=2, concurrency=3,
        budget={"usd": 5, "period": "day"}, metadata={"x": "y"},
    )  # fmt: skip

    key = only(rows)

    assert (key.models, key.routes, key.enabled) == (("a", "b*"), ("chat",), False)
    assert key.cidrs == (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))
    assert key.expires == 1893456000.0
    assert (key.owner, key.team) == ("o", "t")
    assert (key.rpm, key.tpm, key.concurrency) == (1, 2, 3)
    assert key.budget == Budget(5.0, "day")


def test_the_quick_way_and_the_schema_read_the_same() -> None:
    rows = Rows()
    said = {"models": ["a"], "rpm": 5, "owner": "o", "expires": 1893456000.0, "routes": ["chat"]}
    rows.key("quick", "sk-quick", **said, budget={"usd": 2})
    rows.key("slow", "sk-slow", **said, budget={"usd": 2}, cidrs=["0.0.0.0/0"])

    quick, slow = at(table(rows), "sk-quick"), at(table(rows), "sk-slow")

    assert quick is not None
    assert slow is not None
    different = {"name", "digest", "id", "cidrs"}
    for name in set(VirtualKey.__struct_fields__) - different:
        assert getattr(quick, name) == getattr(slow, name)


@pytest.mark.parametrize(
    ("written", "compiled"),
    [
        ({"usd": 2}, Budget(2.0)),
        ({"usd": 2, "period": "DAY"}, Budget(2.0, "day")),
        ({"usd": "2", "cron": None}, Budget(2.0)),
        ({"usd": 2, "cron": "0 6 * * 1", "tz": "Asia/Tokyo", "strict": True}, Budget(2.0, "month", "0 6 * * 1", "Asia/Tokyo", True)),
    ],
)  # fmt: skip
def test_a_budget_is_the_same_in_whatever_way_it_is_read(
    written: dict[str, object], compiled: Budget
) -> None:
    rows = Rows()
    rows.key("quick", "sk-quick", budget=written)
    rows.key("slow", "sk-slow", budget=written, cidrs=["0.0.0.0/0"])

    assert [key.budget for key in table(rows).values()] == [compiled, compiled]


@pytest.mark.parametrize(
    "written",
    [
        {"usd": 2, "period": "year"},
        {"usd": 2, "tz": "Mars"},
        {"usd": 2, "cron": "5 * * * *"},
        {"usd": 2, "cron": "0 0 31 2 *"},
    ],
)
def test_a_budget_whose_window_nobody_finds_shuts_its_key_out(written: dict[str, object]) -> None:
    rows = Rows()
    rows.key("app", budget=written)
    keys = VirtualKeys()

    assert keys.table(file(), rows.mirror, (PEPPER,)) == {}
    assert keys.problems[0].startswith("key 'app': left out, budget.")


def test_other_forms_are_read_as_in_the_file() -> None:
    rows = Rows()
    rows.key(enabled="no", rpm="7", routes="chat")

    key = only(rows)

    assert (key.enabled, key.rpm, key.routes) == (False, 7, ("chat",))


def test_while_a_key_is_rotated_the_old_one_has_its_own_end() -> None:
    rows = Rows()
    before = private([kept(Secret("sk-old"), PEPPER)])
    new, both = rotated(before, PEPPER, overlap=100.0, now=1000.0)
    rows.add("key", "k", private=both, expires=5000.0)
    rows.add("key", "brief", private=private([kept(Secret("sk-b"), PEPPER, 9.0)]), expires=5.0)

    found = table(rows)

    old, young, brief = at(found, "sk-old"), at(found, new.reveal()), at(found, "sk-b")
    assert old is not None
    assert young is not None
    assert brief is not None
    assert (old.id, old.expires, young.expires) == (young.id, 1100.0, 5000.0)
    # Whichever comes first.
    assert brief.expires == 5.0


def test_the_files_keys_are_there_too_and_win() -> None:
    rows = Rows()
    rows.key("filed", "sk-other")
    rows.key("same", "sk-of-the-file")
    keys = VirtualKeys()

    found = keys.table(file(FILE), rows.mirror, (PEPPER,))

    theirs = at(found, "sk-of-the-file")
    assert theirs is not None
    assert theirs.name == "filed"
    assert at(found, "sk-other") is None
    assert keys.problems == ["key 'filed': left out, the configuration file has a key of this name"]


def test_a_key_of_a_pepper_that_is_not_here_is_said_once_for_all() -> None:
    rows = Rows()
    elsewhere = Pepper("p9", b"9" * 32)
    for number in range(7):
        text = private([kept(Secret(f"sk-{number}"), elsewhere)])
        rows.add("key", f"k{number}", private=text)
    keys = VirtualKeys()

    assert keys.table(file(), rows.mirror, (PEPPER,)) == {}
    assert keys.problems == [
        "key 'k0', 'k1', 'k2', 'k3', 'k4' and 2 more: "
        "unknown, the secret it was made with is not here"
    ]
    assert keys.any
    assert len(keys.table(file(), rows.mirror, (PEPPER, elsewhere))) == 7
    assert keys.problems == []


@pytest.mark.parametrize(
    ("spec", "kept_of_it"),
    [
        (b"[", b""),
        (b"[]", b""),
        (b'{"rpm":-1,"cidrs":["x"]}', b""),
        (b"{}", b""),
        (b"{}", b"nonsense"),
        (b"{}", b'[{"id":"","last4":"","digest":"xyz","pepper":"p1"}]'),
    ],
)
def test_a_broken_record_takes_nothing_else_with_it(spec: bytes, kept_of_it: bytes) -> None:
    rows = Rows()
    rows.key("good", "sk-good")
    good = private([kept(Secret("sk-bad"), PEPPER)]) if spec != b"{}" else kept_of_it
    rows.mirror.apply([Record("key", 50, 50, "bad", spec=spec, private=good)])
    keys = VirtualKeys()

    assert [key.name for key in keys.table(file(), rows.mirror, (PEPPER,)).values()] == ["good"]
    (problem,) = keys.problems
    assert problem.startswith("key 'bad': ")


def test_nothing_new_is_the_same_table() -> None:
    rows = Rows()
    rows.key()
    keys, config = VirtualKeys(), file(FILE)
    before = keys.table(config, rows.mirror, (PEPPER,))
    rows.model("m")

    assert keys.table(config, rows.mirror, (PEPPER,)) is before
    # The file was read again, and says the same.
    assert keys.table(file(FILE), rows.mirror, (PEPPER,)) is before


def test_a_change_leaves_the_table_in_use_alone() -> None:
    rows = Rows()
    first = rows.key("a", "sk-first")
    second = rows.key("b", "sk-second")
    keys, config = VirtualKeys(), file(FILE)
    before = keys.table(config, rows.mirror, (PEPPER,))
    rows.change(first, enabled=False)
    rows.remove(second)
    rows.key("c", "sk-third")

    after = keys.table(config, rows.mirror, (PEPPER,))

    changed, third = at(after, "sk-first"), at(after, "sk-third")
    assert changed is not None
    assert not changed.enabled
    assert third is not None
    assert at(after, "sk-second") is None
    assert at(after, "sk-of-the-file") is not None
    untouched = at(before, "sk-first")
    assert untouched is not None
    assert untouched.enabled
    assert len(before) == 3


def test_keys_are_read_anew_when_the_file_takes_a_name_or_everything_is_replaced() -> None:
    rows = Rows()
    record = rows.key("filed", "sk-stored")
    keys = VirtualKeys()
    assert at(keys.table(file(), rows.mirror, (PEPPER,)), "sk-stored")

    assert at(keys.table(file(FILE), rows.mirror, (PEPPER,)), "sk-stored") is None
    assert at(keys.table(file(), rows.mirror, (PEPPER,)), "sk-stored")
    # The same revision may be another thing after a backup was restored.
    other = private([kept(Secret("sk-restored"), PEPPER)])
    rows.mirror.replace([Record("key", record.id, record.revision, "k", private=other)])
    found = keys.table(file(), rows.mirror, (PEPPER,))
    assert [key.name for key in found.values()] == ["k"]
    assert at(found, "sk-restored")


def test_without_any_key_there_is_none() -> None:
    keys = VirtualKeys()
    rows = Rows()

    def there_is_one() -> bool:
        keys.table(file(), rows.mirror, (PEPPER,))
        return keys.any

    assert not there_is_one()
    record = rows.key()
    assert there_is_one()
    rows.remove(record)
    assert not there_is_one()


def test_many_keys_are_nothing_to_a_collection_of_garbage() -> None:
    rows = Rows()
    rows.key(models=["a", "b"], owner="o")

    assert not gc.is_tracked(only(rows))
