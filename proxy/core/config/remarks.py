"""Warnings: a configuration that works, and perhaps not as meant."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from proxy.core.address import is_loopback
from proxy.core.config.checks import ADVISED
from proxy.core.config.problem import Path, Problem, nearest, printable
from proxy.hooks.chain import matches

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from proxy.core.config.document import Document
    from proxy.core.config.fields import Params
    from proxy.core.config.schema import Config, Key, Provider

SHORT_KEY = 8
SHORT_TOKEN = 16
SHORT_PASSWORD = 12
IGNORED_PARAMS = ("model", "stream")
"""Whom a request is for, and in what form, is the client's to say."""


class Remarks:
    """One run over one valid configuration. Every method adds to `problems`."""

    __slots__ = ("_config", "_document", "_known", "_unset", "problems")

    def __init__(self, config: Config, document: Document, unset: Mapping[str, list[str]]) -> None:
        self._config = config
        self._document = document
        self._unset = unset
        self._known = {"*": ""}
        self.problems: list[Problem] = []

    def run(self) -> list[Problem]:
        self._access()
        self._params(("defaults",), self._config.defaults)
        self._providers()
        self._models()
        self._hooks()
        now = datetime.now(UTC).timestamp()
        for index, key in enumerate(self._config.keys):
            self._key(("keys", index), key, now)
        return self.problems

    def _say(self, path: Path, message: str, *, key: bool = False) -> None:
        self.problems.append(self._document.problem(path, message, key=key))

    def _access(self) -> None:
        config = self._config
        require = config.auth.require
        if require is True and not config.keys:
            self._say(
                ("auth", "require"),
                "keys are required and there is none here: "
                "unless the store has one, every request is refused",
            )
        elif require is False and config.keys:
            self._say(
                ("auth", "require"), "keys are not required: requests without one are served too"
            )
        elif require is None and not config.keys and not is_loopback(config.server.host):
            message = (
                "there is no key here: unless the store has one, "
                "everybody who reaches this port is served; add one under keys"
            )
            self._say(
                ("auth", "require") if "auth" in config.model_fields_set else ("keys",), message
            )
        token = config.admin.token
        if token is not None and len(token.reveal()) < SHORT_TOKEN:
            self._say(("admin", "token"), f"shorter than {SHORT_TOKEN} characters: easy to guess")
        password = config.admin.password
        if password is not None and len(password.reveal()) < SHORT_PASSWORD:
            self._say(
                ("admin", "password"), f"shorter than {SHORT_PASSWORD} characters: easy to guess"
            )

    def _params(self, path: Path, section: object) -> None:
        for field in ("param_defaults", "param_overrides"):
            params: Params = getattr(section, field)
            for name in IGNORED_PARAMS:
                if name in params:
                    self._say((*path, field, name), "never taken from here; remove it", key=True)

    def _providers(self) -> None:
        for name, provider in self._config.providers.items():
            path: Path = ("providers", name)
            self._params(path, provider)
            self._prefer(path, provider.prefer, provider)
            if not provider.verify_tls:
                self._say(
                    (*path, "verify_tls"),
                    "certificates are not checked: anybody between can read along",
                )
            if provider.enabled and not provider.usable:
                variables = ", ".join(self._unset.get(name, ()))
                reason = f" ({variables} not set)" if variables else ""
                self._say(path, f"no credential{reason}: its deployments are left out", key=True)

    def _prefer(self, path: Path, names: Sequence[str], provider: Provider) -> None:
        for index, name in enumerate(names):
            if name not in provider.spoken:
                self._say(
                    (*path, "prefer", index), f"the provider does not speak {name}; remove it"
                )

    def _models(self) -> None:
        providers = self._config.providers
        own: set[str] = set()
        for name, model in self._config.models.items():
            path: Path = ("models", name)
            self._params(path, model)
            for index, deployment in enumerate(model.deployments):
                place: Path = (*path, "deployments", index)
                self._params(place, deployment)
                self._prefer(place, deployment.prefer or (), providers[deployment.provider])
                if (
                    deployment.enabled
                    and deployment.weight > 0
                    and providers[deployment.provider].usable
                ):
                    own.add(name)
        self._unserved(own)
        if not self._config.models:
            self._say(
                ("models",), "there are no models here: nothing is served unless the store has some"
            )

    def _unserved(self, own: set[str]) -> None:
        """Models without a deployment. `own` are those that have one which is not that of another model."""
        models = self._config.models
        owners = {alias: name for name, model in models.items() for alias in model.aliases}
        owners.update((name, name) for name in models)
        able = own | {
            name
            for name, model in models.items()
            if any(owners.get(other) in own for other in model.models)
        }
        rest = [name for name in models if name not in able]
        beginnings = [(one[:-1], name) for one, name in owners.items() if one.endswith("*")]
        behind: dict[str, list[str]] = {}
        """Model to those that may go on to it."""
        for name in rest:
            for other in models[name].fallbacks:
                reached = [owner for start, owner in beginnings if other.startswith(start)]
                for owner in (*reached, owners.get(other, "")):
                    behind.setdefault(owner, []).append(name)
        # What only fallbacks serve may be the fallback of another.
        served, waiting = set(able), list(able)
        while waiting:
            for name in behind.get(waiting.pop(), ()):
                if name not in served:
                    served.add(name)
                    waiting.append(name)
        for name in rest:
            what = "only its fallbacks serve it" if name in served else "it is not served"
            self._say(("models", name), f"no deployment is left: {what}", key=True)

    def _hooks(self) -> None:
        """Hooks stay with the name that was asked for: what is led to one of their models passes them by."""
        for index, hook in enumerate(self._config.hooks):
            path: Path = ("hooks", index, "models" if "models" in hook.model_fields_set else "name")
            for name, model in self._config.models.items():
                if not hook.enabled or matches(name, hook.models):
                    continue
                onward = [
                    *model.fallbacks,
                    *model.fallbacks_context,
                    *model.fallbacks_content,
                    *(rule.use for rule in model.rules),
                ]
                for other in onward:
                    if matches(other, hook.models):
                        self._say(
                            path,
                            f"requests for {printable(name)!r} that go on to {printable(other)!r} "
                            f"pass it by; add {printable(name)!r} to its models",
                        )
                        break

    def _key(self, path: Path, key: Key, now: float) -> None:
        if len(key.key.reveal()) < SHORT_KEY:
            self._say((*path, "key"), f"shorter than {SHORT_KEY} characters: easy to guess")
        if key.expires is not None and key.expires <= now:
            self._say((*path, "expires"), "this date is past: the key is refused")
        for index, pattern in enumerate(key.models):
            message = self._aimless(pattern)
            if message:
                self._say((*path, "models", index), message)

    def _names(self) -> Iterable[str]:
        for name, model in self._config.models.items():
            yield name
            yield from model.aliases

    def _aimless(self, pattern: str) -> str:
        """What to say of the pattern of a key that allows no model; nothing where it allows one. Remembered: ten thousand
        keys repeat a few patterns, and may all be for models of the store."""
        if pattern not in self._known:
            message = ""
            if not any(meet(pattern, name) for name in self._names()):
                # Advice takes longer than everything else here, and nobody reads much of it.
                is_little = len(self.problems) < ADVISED
                match = nearest(pattern, self._names()) if is_little else None
                advice = f"; did you mean {match!r}?" if match else ""
                message = f"no model is called {printable(pattern)!r}{advice}"
            self._known[pattern] = message
        return self._known[pattern]


def meet(one: str, other: str) -> bool:
    """Whether two names, each perhaps with a trailing `*`, can mean the same model."""
    if one.endswith("*"):
        start = one[:-1]
        return other.startswith(start) or (other.endswith("*") and start.startswith(other[:-1]))
    return other == one or (other.endswith("*") and one.startswith(other[:-1]))
