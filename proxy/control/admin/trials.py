"""Ask a provider something to see whether it answers; put who was taken out of service back.

A test is a request as a client's would be, with the same credential at the same price, so it is small, limited, and in the
audit log. What it finds out changes nothing: putting back is asked for by itself.
"""

from __future__ import annotations

from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import asdict

from proxy.control import trying
from proxy.control.admin import infile, intake, outlook
from proxy.control.admin.access import Permission
from proxy.control.admin.body import fields
from proxy.control.admin.overlay import Overlay
from proxy.control.admin.refusal import missing, wrong
from proxy.control.admin.resources import Thing, show
from proxy.control.admin.trail import note
from proxy.control.admin.web import Answer, Problem, Route
from proxy.control.explained import explained, safe
from proxy.core.clock import monotonic
from proxy.core.records import Kind
from proxy.state.health import CLOSED
from proxy.store.base import StoreDown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.control.admin.services import Services
    from proxy.control.admin.web import Handler, Request
    from proxy.control.trying import Trial
    from proxy.core.model import Credential, Deployment, Provider

PROMPT: Final = "Say hello in five words."
LONGEST: Final = 2000
"""Characters of a prompt of one's own."""
_WORDS: Final = frozenset({"", "chat"})
"""Types of models that are asked in words."""
_FIELDS: Final[Mapping[str, int]] = {"prompt": LONGEST, "credential": 200, "model": 200}


async def try_deployment(request: Request, services: Services) -> Answer:
    """One request to a deployment."""
    said = _said(request)
    shown = _object(Kind.DEPLOYMENT, request.params["id"], services)
    deployment = outlook.deployment_of(services.state.snapshot, shown)
    if deployment is None:
        raise _unused("deployment")
    credential = _credential(deployment.provider, said.get("credential", ""), services)
    upstream = _upstream_model(deployment, shown["public_model"], said.get("model", ""))
    model = outlook.model_of(services.state.snapshot, shown["public_model"])
    kind = "" if model is None else model.type
    prompt = said["prompt"]
    return await _tried(request, services, shown, deployment, upstream, credential, prompt, kind)


async def try_credential(request: Request, services: Services) -> Answer:
    """One request with a credential: to a deployment of its provider, or, where there is none, for its list of models."""
    said = _said(request)
    shown = _object(Kind.CREDENTIAL, request.params["id"], services)
    found = outlook.credential_of(services.state.snapshot, shown)
    if found is None:
        raise _unused("credential")
    provider, credential = found
    snapshot = services.state.snapshot
    for name, one in outlook.Outlook(services.state).serves(provider.name):
        model = outlook.model_of(snapshot, name)
        if "*" not in one.model and model and model.type in _WORDS and trying.spoken(one):
            return await _tried(
                request, services, shown, one, one.model, credential, said["prompt"]
            )
    with services.tests.through(credential.id):
        async with trying.aside(provider) as upstream:
            trial = await trying.listed(upstream, credential)
    if trial is None:
        raise Problem(
            409,
            "nothing_to_ask",
            "Its provider serves no model yet, and says nowhere which models it has: add a deployment, and test that.",
        )
    await _noted(request, services, shown, trial)
    return Answer(_shown(trial, provider, "", credential))


async def restore_deployment(request: Request, services: Services) -> Answer:
    """Use it again at once, on this host: its circuit closes, as after a probe that went well."""
    intake.known(request)
    shown = _object(Kind.DEPLOYMENT, request.params["id"], services)
    deployment = outlook.deployment_of(services.state.snapshot, shown)
    state = deployment and services.state.live.deployments.get(deployment.id)
    if not state:
        raise _unused("deployment")
    for circuit in (state.outage, state):
        if circuit is not None:
            with circuit.change():
                if circuit.phase != CLOSED:
                    circuit.streak = 0.0
                    circuit.close(monotonic())
    if not state.cooldown.account:
        state.cooldown.own.worked(inf)
    await _note(request, services, "restore", shown)
    return Answer(outlook.Outlook(services.state).deployment(shown))


async def restore_credential(request: Request, services: Services) -> Answer:
    """Use it again at once, on this host, for all models."""
    intake.known(request)
    shown = _object(Kind.CREDENTIAL, request.params["id"], services)
    found = outlook.credential_of(services.state.snapshot, shown)
    account = found and services.state.live.accounts.get(found[1].id)
    if not account:
        raise _unused("credential")
    for rest in (account.rest, *(state.own for state in account.states.values())):
        rest.worked(inf)
    await _note(request, services, "restore", shown)
    return Answer(outlook.Outlook(services.state).credential(shown))


# --- one test ---


async def _tried(
    request: Request,
    services: Services,
    shown: Mapping[str, Any],
    deployment: Deployment,
    model: str,
    credential: Credential | None,
    prompt: str,
    kind: str = "",
) -> Answer:
    with services.tests.through(deployment.id if credential is None else credential.id):
        async with trying.aside(deployment.provider) as upstream:
            trial = await trying.answer(upstream, deployment, model, credential, prompt, kind)
    await _noted(request, services, shown, trial)
    return Answer(_shown(trial, deployment.provider, model, credential))


def _shown(
    trial: Trial, provider: Provider, model: str, credential: Credential | None
) -> dict[str, Any]:
    secret = "" if credential is None else credential.secret.reveal()
    return {
        "ok": trial.error is None,
        "provider": provider.name,
        "model": model or None,
        "credential": None if credential is None else credential.id,
        "dialect": trial.dialect or None,
        "status": trial.status or None,
        "connect": _seconds(trial.connect),
        "ttft": _seconds(trial.ttft),
        "total": _seconds(trial.total),
        "said_model": safe(trial.model, secret) or None,
        "text": safe(trial.text, secret),
        "finish": trial.finish or None,
        "usage": None if trial.usage is None else asdict(trial.usage),
        "models": trial.models,
        "error": None if trial.error is None else explained(trial.error, credential),
    }


def _seconds(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _said(request: Request) -> dict[str, str]:
    """What is asked for. Raises Problem 400."""
    intake.known(request)
    body = fields(request) if request.body else {}
    for name, value in body.items():
        if name not in _FIELDS:
            raise wrong(name, f"there is no such field here; there are {', '.join(_FIELDS)}")
        if name == "credential" and isinstance(value, int) and not isinstance(value, bool):
            body[name] = value = str(value)
        if not isinstance(value, str) or not 1 <= len(value) <= _FIELDS[name]:
            raise wrong(name, f"text of 1 to {_FIELDS[name]} characters is expected")
    return {"prompt": PROMPT, **body}


def _upstream_model(deployment: Deployment, public: str, asked: str) -> str:
    """What the provider is asked for: of a wildcard, as a client that asks for `asked` would have it."""
    if "*" not in deployment.model:
        return deployment.model
    prefix = public.removesuffix("*")
    if not asked.startswith(prefix) or "*" in asked or not asked:
        raise wrong("model", f"a name that begins with '{prefix}' is expected: it stands for many")
    return deployment.model.replace("*", asked[len(prefix) :])


def _credential(provider: Provider, asked: str, services: Services) -> Credential | None:
    """The one that is named, by its id; else the first that may be used now, else the first."""
    if asked:
        shown = _object(Kind.CREDENTIAL, asked, services)
        found = outlook.credential_of(services.state.snapshot, shown)
        if found is None or found[0] is not provider:
            raise wrong(
                "credential", f"one of the provider '{provider.name}' that is in use is expected"
            )
        return found[1]
    accounts, moment = services.state.live.accounts, monotonic()
    free = (
        one
        for one in provider.credentials
        if one.id not in accounts or accounts[one.id].rest.until <= moment
    )
    return next(free, next(iter(provider.credentials), None))


# --- objects ---


def _object(kind: Kind, target: str, services: Services) -> dict[str, Any]:
    """As a page shows it. Raises Problem 404."""
    seen = Overlay(services.sync.mirror)
    found: Thing | None = seen.get(kind, target) or infile.find(services.sync.config, kind, target)
    if found is None:
        raise missing(kind, target)
    return show(found, services, seen)


def _unused(kind: str) -> Problem:
    return Problem(
        409,
        "not_in_use",
        f"This {kind} is not in use: it, or what it belongs to, is disabled, has no weight or no credential.",
    )


async def _noted(
    request: Request, services: Services, shown: Mapping[str, Any], trial: Trial
) -> None:
    cause = None if trial.error is None else str(trial.error.cause)
    await _note(request, services, "test", shown, {"status": trial.status, "cause": cause})


async def _note(
    request: Request,
    services: Services,
    action: str,
    shown: Mapping[str, Any],
    after: Mapping[str, Any] | None = None,
) -> None:
    """A row in the audit log, where there is a store."""
    store = services.sync.store
    if store is None:
        return
    kind, id = shown["kind"], shown["id"]
    name = id if isinstance(id, str) else shown.get("provider") or ""
    # It has happened: that nobody could write it down is no reason to say it had not.
    with suppress(StoreDown):
        async with store.transaction() as session:
            object = id if isinstance(id, int) else None
            await note(session, request, f"{kind}.{action}", kind, object, name, after=after)


_BODY: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "prompt": {"type": "string", "minLength": 1, "maxLength": LONGEST},
        "credential": {
            "type": ["string", "integer"],
            "description": "The id of the one to use; else one that may be used.",
        },
        "model": {"type": "string", "description": "Of a wildcard: the name to ask for."},
    },
    "additionalProperties": False,
}


def _route(
    path: str, handler: Handler, summary: str, *, body: Any = None, answer: Any, tag: str
) -> Route:
    return Route(
        method="POST",
        path=path,
        permission=Permission.OPERATE,
        handler=handler,
        summary=summary,
        body=body,
        needs_body=False,
        answer=answer,
        tag=tag,
        statuses=(200,),
    )


_TRIAL: Final = {"$ref": "#/components/schemas/trial"}
_LIVE: Final = {"type": "object"}

ROUTES: tuple[Route, ...] = (
    _route(
        "/admin/deployments/{id:path}/test",
        try_deployment,
        "Ask a deployment something, to see whether it answers.",
        body=_BODY,
        answer=_TRIAL,
        tag="deployments",
    ),
    _route(
        "/admin/credentials/{id:path}/test",
        try_credential,
        "Use a credential once, to see whether it is accepted.",
        body=_BODY,
        answer=_TRIAL,
        tag="credentials",
    ),
    _route(
        "/admin/deployments/{id:path}/restore",
        restore_deployment,
        "Use a deployment again that was taken out of service.",
        answer=_LIVE,
        tag="deployments",
    ),
    _route(
        "/admin/credentials/{id:path}/restore",
        restore_credential,
        "Use a credential again that rests.",
        answer=_LIVE,
        tag="credentials",
    ),
)
