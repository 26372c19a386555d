"""State outlives a snapshot for as long as its id means the same thing."""

from __future__ import annotations

from random import Random

import pytest

from proxy.core.errors import Cause
from proxy.core.model import Credential, Deployment, Health, Model, Overload, Provider, Snapshot
from proxy.core.secret import Secret
from proxy.state import live as module
from proxy.state.ceiling import Ceiling
from proxy.state.credentials import Account, CredentialState
from proxy.state.live import DeploymentState, Live, RetryBudget
from proxy.state.rests import Refusal


def snapshot(
    secret: str = "one",
    upstream: str = "up",
    model: str = "m",
    health: Health | None = None,
    *,
    wild: bool = False,
) -> Snapshot:
    provider = Provider("p", "http://p.invalid", {}, (Credential("p#0", Secret(secret)),))
    one = Model(model, ((Deployment(f"{model}/0:p", provider, upstream),),))
    return Snapshot(
        models={} if wild else {model: one, "alias": one},
        wildcards=((model, one),) if wild else (),
        providers={"p": provider},
        health=health or Health(),
    )


def test_everything_configured_has_a_state_from_the_start() -> None:
    live = Live(snapshot())

    assert list(live.deployments) == ["m/0:p"]
    assert list(live.accounts) == ["p#0"]
    assert list(live.budgets) == ["m"]


def test_deployments_behind_wildcards_have_one_too() -> None:
    assert list(Live(snapshot(wild=True)).deployments) == ["m/0:p"]


def test_a_swap_keeps_what_is_still_there() -> None:
    live = Live(snapshot())
    before = live.deployments["m/0:p"], live.accounts["p#0"].state("up"), live.budgets["m"]

    live.swap(snapshot())

    assert (
        live.deployments["m/0:p"],
        live.accounts["p#0"].state("up"),
        live.budgets["m"],
    ) == before


class Asked(Live):
    """It counts the credentials it is asked for."""

    __slots__ = ("asked",)

    def account(self, credential: Credential) -> Account:
        self.asked = getattr(self, "asked", 0) + 1
        return super().account(credential)


def test_a_swap_looks_at_each_credential_once_however_many_deployments_share_it() -> None:
    keys = tuple(Credential(f"p#{number}", Secret(f"secret {number}")) for number in range(20))
    provider = Provider("p", "http://p.invalid", {}, keys)
    tier = tuple(Deployment(f"m/{number}:p", provider, "up") for number in range(30))
    live = Asked(Snapshot(models={"m": Model("m", (tier,))}, providers={"p": provider}))

    assert (live.asked, len(live.accounts), len(live.deployments)) == (20, 20, 30)


def test_a_swap_forgets_what_is_gone() -> None:
    live = Live(snapshot())

    live.swap(snapshot(model="other"))

    assert list(live.deployments) == ["other/0:p"]
    assert list(live.budgets) == ["other"]


def test_a_new_secret_begins_anew() -> None:
    live = Live(snapshot(secret="revoked"))
    live.accounts["p#0"].state("up").until = 1e9

    live.swap(snapshot(secret="fresh"))

    assert live.accounts["p#0"].state("up").until == 0.0


def test_another_upstream_model_begins_anew() -> None:
    live = Live(snapshot())
    live.deployments["m/0:p"].until = 1e9

    live.swap(snapshot(upstream="other"))

    assert live.deployments["m/0:p"].until == 0.0


def test_a_swap_brings_new_health_rules_and_drops_compiled_routes() -> None:
    live = Live(snapshot())
    live.routes["something"] = object()

    live.swap(snapshot(health=Health(max_errors=1)))

    assert live.deployments["m/0:p"].rules.max_errors == 1
    assert live.routes == {}


def test_a_ceiling_stays_as_long_as_a_model_has_one() -> None:
    content = snapshot()
    one = content.models["m"]
    limited = Model("n", one.tiers, overload=Overload())
    live = Live(content)
    state = live.deployments["m/0:p"]
    state.ceiling, state.full = Ceiling(2, 2, 2), True

    live.swap(Snapshot(models={"m": one, "n": limited}, providers=content.providers))
    assert (state.ceiling is None, state.full) == (False, True)

    live.swap(content)
    assert (state.ceiling is None, state.full) == (True, False)


def test_deployments_that_ask_a_provider_for_the_same_share_its_credentials() -> None:
    provider = Provider("p", "http://p.invalid", {}, (Credential("p#0", Secret("x")),))
    one, two = (Deployment(f"{name}/0:p", provider, "up") for name in "ab")
    live = Live()

    assert live.pool(one, live.deployment(one)) is live.pool(two, live.deployment(two))


def rivals(keys: int = 1, models: int = 2) -> Snapshot:
    """Models of one provider, each called upstream as it is called here."""
    secrets = tuple(Credential(f"p#{at}", Secret(f"s{at}")) for at in range(keys))
    provider = Provider("p", "http://p.invalid", {}, secrets)
    names = [f"m{at}" for at in range(models)]
    tiers = {name: ((Deployment(f"{name}/0:p", provider, name),),) for name in names}
    return Snapshot(
        models={name: Model(name, tier) for name, tier in tiers.items()}, providers={"p": provider}
    )


def held(live: Live, name: str, at: int = 0) -> CredentialState:
    """What a deployment of the model would be asked with."""
    assert live.snapshot is not None
    deployment = live.snapshot.models[name].tiers[0][0]
    return live.pool(deployment, live.deployment(deployment)).keys[at][1]


def cool(state: CredentialState, cause: Cause, now: float = 10.0) -> None:
    hint = 30.0 if cause is Cause.RATE_LIMIT else None
    state.cool(Refusal(cause, now - 1.0, 429, hint), now, Random(1))


def test_a_rate_limit_is_about_one_model() -> None:
    live = Live(rivals(keys=2))

    cool(held(live, "m0"), Cause.RATE_LIMIT)

    rests = [held(live, name, at).remaining(10.0) > 0.0 for name in ("m0", "m1") for at in (0, 1)]
    assert rests == [True, False, False, False]


@pytest.mark.parametrize("cause", [Cause.AUTH, Cause.QUOTA])
def test_what_is_wrong_with_an_account_is_wrong_for_all_models_until_one_works(
    cause: Cause,
) -> None:
    live = Live(rivals(models=3))
    one, other = held(live, "m0"), held(live, "m1")

    cool(one, cause)
    late = held(live, "m2")

    assert {(state.until, state.reason) for state in (one, other, late)} == {(one.until, cause)}
    assert one.remaining(10.0) >= 300.0
    other.worked(11.0)
    assert {(state.until, state.reason) for state in (one, other, late)} == {(0.0, None)}


def test_a_swap_keeps_what_rests_for_a_model_and_forgets_it_with_the_model() -> None:
    live = Live(rivals(models=3))
    for name in ("m1", "m2"):
        cool(held(live, name), Cause.RATE_LIMIT)
    before = held(live, "m1")

    live.swap(rivals(models=2))

    assert held(live, "m1") is before
    cool(held(live, "m0"), Cause.AUTH)
    assert before.reason is Cause.AUTH
    live.swap(rivals(models=3))
    assert held(live, "m2").reason is Cause.AUTH
    held(live, "m0").worked(11.0)
    assert [held(live, name).reason for name in ("m1", "m2")] == [Cause.RATE_LIMIT, None]


def test_limits_of_ours_count_all_models() -> None:
    live = Live(rivals())

    held(live, "m0").room.fill("rpm", 0.5, 10.0)

    assert held(live, "m1").room.until == 10.5


@pytest.mark.parametrize("models", [20, 21])
def test_very_many_models_rest_together(models: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "APART", 42)  # and a place for what only its provider knows
    live = Live(rivals(keys=2, models=models))

    cool(held(live, "m0"), Cause.RATE_LIMIT)

    assert (held(live, "m1").reason is None) == (models == 20)


def test_a_deployment_without_credentials_cools_by_itself() -> None:
    deployment = Deployment("m/0:p", Provider("p", "http://p.invalid", {}), "up")
    live = Live()
    state = live.deployment(deployment)

    assert live.pool(deployment, state).keys == ((None, state.cooldown),)


def test_a_penalty_holds_and_then_fades() -> None:
    state = DeploymentState(Deployment("d", Provider("p", "http://p.invalid", {}), "up"), Health())
    state.latency.observe(0.0, 1.0)

    state.penalise(0.0, hold=20.0)

    extra = [state.cost(at) - state.latency.estimate(at) for at in (0.0, 20.0, 40.0, 200.0)]
    assert extra[:2] == pytest.approx([5.0, 5.0])
    assert 0.5 < extra[2] < 1.0
    assert extra[3] == 0.0


def test_a_penalty_is_not_held_longer_than_a_minute() -> None:
    state = DeploymentState(Deployment("d", Provider("p", "http://p.invalid", {}), "up"), Health())

    state.penalise(0.0, hold=1e9)

    assert state.cost(200.0) == state.latency.estimate(200.0)


def test_a_retry_budget_starts_with_ten_and_grows_by_one_a_second() -> None:
    budget = RetryBudget()

    assert sum(budget.take(0.0) for _ in range(50)) == 10
    assert sum(budget.take(1.0) for _ in range(50)) in (0, 1)
    assert sum(budget.take(60.0) for _ in range(50)) in (9, 10)


def test_a_retry_budget_allows_a_share_of_the_requests() -> None:
    budget, retries, now = RetryBudget(), 0, 0.0

    for _ in range(20_000):  # 200 s at 100 a second, every one of them failing
        now += 0.01
        budget.deposit(now, 0.2)
        retries += budget.take(now)

    assert 0.19 <= (retries - 10 - 200) / 20_000 <= 0.21


def test_deposits_do_not_pile_up() -> None:
    budget = RetryBudget()
    for at in range(100_000):
        budget.deposit(at / 100, 0.2)

    assert budget.level <= 100 * 0.2 * 10 + 10 + 5
