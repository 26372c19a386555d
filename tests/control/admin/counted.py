"""A worker that has been busy, without having been asked: what its requests would have counted."""

from __future__ import annotations

import random

from proxy.control.admin.figures import models
from proxy.core.metrics import Metrics
from proxy.core.model import Credential, Deployment, Model, Provider, Snapshot
from proxy.core.secret import Secret
from proxy.state.health import NO_PROBE
from proxy.state.live import Live
from proxy.state.state import State

FIRST = Provider(
    "first", "https://first.example.com", {}, (Credential("first#0", Secret("a secret key")),)
)
SECOND = Provider("second", "https://second.example.com", {})
A = Deployment("m/0:first", FIRST, "up", priority=1, weight=7)
B = Deployment("m/1:second", SECOND, "*", priority=2)
C = Deployment("w/*/0:first", FIRST, "*")


def snapshot() -> Snapshot:
    """`m`, also called `alias`, is served by two; `w/*` by the first of them."""
    model, wild = Model("m", ((A,), (B,))), Model("w/*", ((C,),))
    return Snapshot(
        providers={"first": FIRST, "second": SECOND},
        models={"m": model, "alias": model},
        wildcards=(("w/", wild),),
    )


def state() -> State:
    """Serving that, and nobody has asked yet."""
    served = snapshot()
    one = State(served, Live(served), Metrics())
    one.metrics.allow({"m", "w/*"}, served.providers, one.live.deployments)
    return one


def public(one: State, deployment: Deployment) -> str:
    """The model it serves."""
    return next(
        model.name
        for model in models(one.snapshot).values()
        if any(deployment in tier for tier in model.tiers)
    )


def tried(one: State, deployment: Deployment, outcome: str, times: int = 1) -> None:
    """So many tries with this outcome."""
    attempts = one.metrics.attempts(
        public(one, deployment), deployment.id, deployment.provider.name
    )
    for _ in range(times):
        attempts.count(outcome, "" if outcome == "ok" else "overloaded")
        one.live.deployments[deployment.id].used += 1
        if outcome == "ok":
            attempts.ttft.observe(0.25)
            one.live.deployments[deployment.id].latency.observe(1.0, 0.25)


def used(one: State, deployment: Deployment, input: int, output: int) -> None:
    """Tokens of an answer."""
    bundle = one.metrics.exchange(
        "/v1/chat/completions", public(one, deployment), deployment.provider.name, stream=False
    )
    bundle.count_tokens(input, output, cached_input=1, reasoning=output)


def finished(one: State, status: int | str, times: int = 1) -> None:
    """So many client requests that ended like this."""
    bundle = one.metrics.exchange("/v1/chat/completions", "m", "first", stream=False)
    for _ in range(times):
        bundle.requests(status).value += 1


def broken(one: State, deployment: Deployment) -> None:
    """Failed so often that it was taken out."""
    live = one.live.deployments[deployment.id]
    for _ in range(one.live.rules.max_errors):
        live.bad(1.0, 1.0, NO_PROBE, random.Random(1))
