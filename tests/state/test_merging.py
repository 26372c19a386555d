from __future__ import annotations

import pytest
from msgspec.structs import replace

from proxy.core import model
from proxy.core.config.schema import Config
from proxy.core.config.usage import Above, Budget, Limits, Price
from proxy.core.records import Record
from proxy.state.merging import Merged, Merging
from tests.state.rows import OTHER_VAULT, VAULT, Rows, file

FILE = """
defaults: {timeouts: {ttft: 7}, param_defaults: {top_p: 0.5}}
providers: {filed: {base_url: "https://file.example.com", credentials: [sk-file]}}
models: {main: {aliases: [also], deployments: [{provider: filed}]}}
"""


def merged(rows: Rows, config: Config | None = None) -> Merged:
    return Merging().merge(config or file(FILE), rows.mirror, VAULT)


def said(rows: Rows) -> str:
    """The one problem there is."""
    (problem,) = merged(rows).problems
    return problem


def test_file_and_store_stand_beside_each_other() -> None:
    rows = Rows()
    provider = rows.provider("stored", headers={"x-a": "1"})
    credential = rows.mirror.children("credential", provider.id)[0]
    model = rows.model("second", "stored", "filed", aliases=["other"])
    deployments = rows.mirror.children("deployment", model.id)

    both = merged(rows)

    assert both.problems == ()
    assert list(both.accounts) == ["filed", "stored"]
    stored = both.accounts["stored"]
    assert stored.block.headers == {"x-a": "1"}
    assert [item.id for item in stored.credentials] == [f"stored#{credential.id}"]
    assert stored.credentials[0].secret.reveal() == "sk-upstream"
    assert list(both.public) == ["main", "second"]
    assert both.public["second"].aliases == ("other",)
    assert [id for id, _ in both.public["second"].deployments] == [
        f"second/{deployments[0].id}:stored",
        f"second/{deployments[1].id}:filed",
    ]


def test_a_provider_has_what_was_sealed_and_what_its_preset_says() -> None:
    rows = Rows()
    rows.add(
        "provider",
        "azure",
        sealed={
            "headers": {"x-secret": "s"},
            "query": {"v": "1"},
            "proxy": "http://a:b@proxy.example:1",
        },
        preset="anthropic",
    )

    block = merged(rows).accounts["azure"].block

    assert block.base_url.startswith("https://api.anthropic.com")
    assert "anthropic.messages" in block.dialects
    assert (block.headers["x-secret"], block.query) == ("s", {"v": "1"})
    assert block.proxy == "http://a:b@proxy.example:1"
    # A preset names variables; the store's providers have no part in this machine's.
    assert block.credential_env == []


def test_the_file_wins_a_name() -> None:
    rows = Rows()
    rows.provider("filed")
    rows.model("main", "filed")
    rows.model("also", "filed")

    both = merged(rows)

    assert both.problems == (
        "provider 'filed': left out, the configuration file has a provider of this name",
        "model 'main': left out, a model has this name in the configuration file",
        "model 'also': left out, it is an alias of 'main' in the configuration file",
    )
    assert both.accounts["filed"].credentials[0].id == "filed#0"
    assert list(both.public) == ["main"]


def test_an_alias_belongs_to_the_first_who_has_it() -> None:
    rows = Rows()
    rows.model("first", "filed", aliases=["also", "x", "second", "y*"])
    rows.model("second", "filed", aliases=["x", "z"])

    both = merged(rows)

    assert both.public["first"].aliases == ("x",)
    assert both.public["second"].aliases == ("z",)
    assert both.problems == (
        "model 'first': its alias 'also' is left out, it is an alias of 'main' already",
        "model 'first': its alias 'second' is left out, a model has this name already",
        "model 'first': its alias 'y*' is left out, only one of the two ends in '*'",
        "model 'second': its alias 'x' is left out, it is an alias of 'first' already",
    )


def test_a_secret_that_does_not_open_costs_its_credential_only() -> None:
    rows = Rows()
    provider = rows.provider("p")
    lost = rows.add("credential", parent=provider, sealed={"key": "sk-2"}, vault=OTHER_VAULT)

    both = merged(rows)

    assert [item.secret.reveal() for item in both.accounts["p"].credentials] == ["sk-upstream"]
    (problem,) = both.problems
    assert problem.startswith(
        f"credential {lost.id} of provider 'p': left out, its secrets do not open: "
    )
    assert "sk-2" not in problem


def test_a_provider_without_any_credential_left_is_disabled() -> None:
    rows = Rows()
    provider = rows.add("provider", "p", base_url="https://api.example.com")
    rows.add("credential", parent=provider, sealed={"key": "sk-2"}, vault=OTHER_VAULT)
    rows.model("m", "p")

    both = merged(rows)

    assert both.problems[-1] == "provider 'p': disabled, none of its credentials can be used"
    assert not both.accounts["p"].usable
    # Only not usable: its deployments know it, and are left out where it is.
    assert len(both.problems) == 2


def test_without_a_master_key_nothing_opens() -> None:
    rows = Rows()
    rows.provider("p")

    both = Merging().merge(file(), rows.mirror, None)

    assert "its secrets do not open: there is no master key" in both.problems[0]


def test_a_secret_moved_to_another_row_does_not_open() -> None:
    rows = Rows()
    provider = rows.provider("p")
    theirs = rows.mirror.children("credential", provider.id)[0]
    moved = replace(theirs, id=80, revision=80)
    rows.mirror.apply([moved])

    assert "credential 80 of provider 'p'" in said(rows)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (b"[", "left out"),
        (b"[]", "its record cannot be read"),
        (b'{"base_url":"https://a.example","weight":1}', "weight: expected a known field"),
        (b"{}", "expected the field 'base_url'"),
    ],
)
def test_a_broken_record_takes_nothing_else_with_it(spec: bytes, words: str) -> None:
    rows = Rows()
    rows.provider("good")
    rows.mirror.apply([Record("provider", 70, 70, "broken", spec=spec)])
    rows.revision = 70
    rows.model("m", "broken", "good")

    both = merged(rows)

    # That its deployment has no provider follows from that, and is not said again.
    (problem,) = both.problems
    assert problem.startswith("provider 'broken': left out, ")
    assert words in problem
    assert [item.provider for _, item in both.public["m"].deployments] == ["good"]


def test_a_deployment_of_no_provider_is_left_out() -> None:
    rows = Rows()
    model = rows.model("m", "nobody")
    deployment = rows.mirror.children("deployment", model.id)[0]

    assert said(rows) == (
        f"deployment {deployment.id} of model 'm': left out, there is no provider 'nobody'"
    )
    assert merged(rows).public["m"].deployments == ()


def test_a_broken_model_and_a_broken_deployment_are_left_out() -> None:
    rows = Rows()
    rows.model("bad", strategy="nonsense")
    good = rows.model("good", "filed")
    rows.add("deployment", parent=good, provider="filed", weight=-1)

    both = merged(rows)

    assert list(both.public) == ["main", "good"]
    assert len(both.public["good"].deployments) == 1
    assert "model 'bad': left out, strategy: expected a strategy" in both.problems[0]
    assert "weight: expected a number of at least 0" in both.problems[1]


# --- settings ---


def test_the_files_own_settings_win() -> None:
    rows = Rows()
    rows.add(
        "setting",
        "defaults",
        timeouts={"ttft": 99, "idle": 11},
        param_defaults={"top_p": 0.1, "seed": 1},
        strategy="random",
    )
    rows.add("setting", "health", max_errors=9)

    config = merged(rows).config

    assert config.defaults.timeouts.ttft == 7
    assert config.defaults.timeouts.idle == 11
    assert config.defaults.param_defaults == {"top_p": 0.5, "seed": 1}
    assert config.defaults.strategy == "random"
    assert config.health.max_errors == 9
    assert config.providers == file(FILE).providers


def test_limits_and_teams_are_said_option_by_option_and_budgets_and_prices_whole() -> None:
    rows = Rows()
    rows.add("setting", "limits", rpm=1, tpm=2, budget={"usd": 9, "cron": "0 6 * * *"})
    rows.add("setting", "teams", filed={"rpm": 1, "tpm": 2}, stored={"concurrency": 3})
    rows.add(
        "setting",
        "prices",
        filed={"input": 1, "cached": 0.5, "above": {"1000": {"input": 2}}},
        stored={"input": 4},
    )
    rows.add("setting", "defaults", price_unknown={"input": 1, "cached": 0.5})

    config = merged(
        rows,
        file(
            "limits: {rpm: 7, budget: {usd: 1, period: day}}\n"
            "teams: {filed: {rpm: 7}}\n"
            "prices: {filed: {input: 7, output: 8, above: {2000: {input: 9}}}}\n"
            "defaults: {price_unknown: {input: 7}}"
        ),
    ).config

    assert config.limits == Limits(rpm=7, tpm=2, budget=Budget(usd=1, period="day"))
    assert config.teams.entries() == {
        "filed": Limits(rpm=7, tpm=2),
        "stored": Limits(concurrency=3),
    }
    assert config.prices.entries() == {
        "filed": Price(input=7, output=8, above={2000: Above(input=9)}),
        "stored": Price(input=4),
    }
    assert config.defaults.price_unknown == Price(input=7)


def test_a_credential_of_the_store_has_its_limits() -> None:
    rows = Rows()
    provider = rows.provider("p")
    rows.add(
        "credential",
        parent=provider,
        sealed={"key": "k"},
        rpm=5,
        quota={"requests": 6, "tz": "UTC"},
    )

    held = merged(rows).accounts["p"].credentials[-1]

    assert (held.limits, held.quota) == (model.Limits(rpm=5), model.Quota(requests=6))


def test_without_settings_the_configuration_is_the_files() -> None:
    config = file(FILE)

    assert merged(Rows(), config).config is config


def test_what_the_file_says_of_keys_stands() -> None:
    rows = Rows()
    rows.add("setting", "auth", require=True)

    assert merged(rows, file("")).config.auth.require is True
    assert merged(rows, file("auth: {require: false}")).config.auth.require is False


def test_a_setting_that_cannot_be_used_is_said() -> None:
    rows = Rows()
    rows.add("setting", "health", max_errors="many")
    rows.add("setting", "server", port=1)

    both = merged(rows)

    assert both.problems[0] == (
        "setting 'health' is not used: max_errors: expected a whole number, found 'many'"
    )
    assert both.problems[1].startswith("setting 'server' is not used: ")
    assert both.config.health.max_errors == 5
    assert both.config.server.port == 8000


def test_where_log_lines_go_is_the_files_business() -> None:
    rows = Rows()
    rows.add("setting", "logging", file="/etc/passwd", level="debug")

    config = merged(rows).config

    assert (config.logging.file, config.logging.level) == (None, "debug")


# --- again ---


def test_a_record_is_read_once_for_each_revision() -> None:
    rows = Rows()
    rows.provider("p")
    model = rows.model("m", "p")
    merging, config = Merging(), file(FILE)
    before = merging.merge(config, rows.mirror, VAULT)
    rows.change(model, strict=True)

    after = merging.merge(config, rows.mirror, VAULT)

    assert after.accounts["p"].block is before.accounts["p"].block
    assert after.accounts["p"].credentials[0] is before.accounts["p"].credentials[0]
    assert after.public["m"].deployments[0][1] is before.public["m"].deployments[0][1]
    assert not before.public["m"].block.strict
    assert after.public["m"].block.strict


def test_records_of_two_kinds_are_two_whatever_their_numbers() -> None:
    rows = Rows()
    rows.mirror.apply(
        [
            Record("provider", 1, 1, "p", spec=b'{"base_url":"https://p.example.com"}'),
            Record("model", 1, 1, "m"),
        ]
    )

    both = merged(rows)

    assert both.accounts["p"].block.base_url == "https://p.example.com"
    assert both.public["m"].block.aliases == []


def test_a_provider_that_is_renamed_takes_its_credentials_along() -> None:
    rows = Rows()
    provider = rows.provider("p")
    merging, config = Merging(), file(FILE)
    merging.merge(config, rows.mirror, VAULT)
    rows.change(provider, "q", base_url="https://api.example.com")

    after = merging.merge(config, rows.mirror, VAULT)

    (credential,) = after.accounts["q"].credentials
    assert credential.id.startswith("q#")


def test_with_another_master_key_everything_is_opened_again() -> None:
    rows = Rows()
    provider = rows.add("provider", "p", base_url="https://api.example.com")
    rows.add("credential", parent=provider, sealed={"key": "sk-2"}, vault=OTHER_VAULT)
    merging, config = Merging(), file(FILE)
    assert merging.merge(config, rows.mirror, VAULT).problems

    after = merging.merge(config, rows.mirror, OTHER_VAULT)

    assert after.problems == ()
    assert after.accounts["p"].usable


def test_what_is_gone_is_forgotten() -> None:
    rows = Rows()
    merging, config = Merging(), file(FILE)
    for number in range(400):
        rows.remove(rows.add("model", f"m{number}"))
        record = rows.add("model", f"n{number}")
        merging.merge(config, rows.mirror, VAULT)
        rows.remove(record)

    assert len(merging._read) <= 102
