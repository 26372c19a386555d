"""Portkey configs: a tree of `targets` under `strategy`, which says how one of them is chosen.

    fallback      one priority after the other
    loadbalance   weights within a priority
    conditional   rules that lead to other models
    single        the first

A tree has no names for clients to ask for, so it is the model `*`: whatever is asked for, by the name it was asked for or
by the one that `override_params.model` gives it. (portkey.ai/docs: product/ai-gateway/configs, api-reference/config-object.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.core.config.foreign import clouds, vendors
from proxy.core.config.foreign.common import Variables
from proxy.core.config.foreign.pool import Pool
from proxy.core.config.foreign.source import Given, Said
from proxy.core.config.foreign.tree import Reference

if TYPE_CHECKING:
    from proxy.core.config.foreign.source import Sheet

NAME = "Portkey"
MODEL = "*"
_KNOWN = frozenset(("strategy", "targets", "provider", "virtual_key", "retry", "cache"))
_NEAREST = {
    "on_status_codes": "what each cause of failure permits is a table, docs/routing.md",
    "use_retry_after_header": "a Retry-After is always kept, up to retry.retry_after_max",
    "use_retry_after_headers": "a Retry-After is always kept, up to retry.retry_after_max",
    "input_guardrails": "a proxy behind or before this one",
    "output_guardrails": "a proxy behind or before this one",
    "before_request_hooks": "a proxy behind or before this one",
    "after_request_hooks": "a proxy behind or before this one",
    "forward_headers": "providers.*.headers, which are the same for all requests",
    "strict_open_ai_compliance": "answers are always in the client's format",
    "azure_api_version": "Azure's v1 API is used, which needs none",
    "api_version": "Azure's v1 API is used, which needs none",
    "vertex_project_id": "part of base_url",
    "vertex_region": "part of base_url",
    "weight": "weights count where the strategy is loadbalance",
    "passthrough": "a provider with dialects",
    "metadata": "metadata of a virtual key",
    "openai_project": "providers.*.headers: openai-project",
}


def recognised(names: dict[str, Any]) -> bool:
    """Whether the top of a document is one of these."""
    return isinstance(names.get("targets"), list) or (
        "provider" in names and bool(names.keys() & {"api_key", "virtual_key", "retry", "cache"})
    )


def translate(sheet: Sheet, content: dict[str, Any]) -> dict[str, Any]:
    """The same in our words."""
    reading = _Tree(sheet)
    if isinstance(content.get("config"), dict):
        content = content["config"]
    reading.whole(Given(sheet, content))
    return {"providers": reading.providers, "models": reading.models}


class _Tree:
    """One config."""

    def __init__(self, sheet: Sheet) -> None:
        self._sheet = sheet
        self._pool = Pool()
        self._unset = Variables("PORTKEY_")
        self.models: dict[str, Any] = {}

    @property
    def providers(self) -> dict[str, Any]:
        return self._pool.providers

    def whole(self, given: Given) -> None:
        """The tree, as one model, or as several that rules lead to."""
        strategy = given.section("strategy")
        mode = strategy.text("mode", "single")
        if mode is not None and mode.value == "conditional":
            self._conditional(given, strategy)
            return
        self._left(strategy)
        model = self._shared(given)
        model["deployments"] = self._branch(given, mode, 1, 1.0, {})[0]
        name = self._name(model["deployments"])
        self.models[name] = model

    def _conditional(self, given: Given, strategy: Given) -> None:
        """Each target is a model of its own, and rules of the first choose."""
        shared, above = self._shared(given), self._settings(given)
        names: dict[str, str] = {}
        for number, target in enumerate(given.each("targets"), 1):
            label = target.text("name")
            said = str(label.value) if label is not None else f"target-{number}"
            inner = target.section("strategy").text("mode", "single")
            deployments, _ = self._branch(target, inner, 1, 1.0, above)
            own = self._name(deployments)
            names[said] = f"{said}/*" if own.endswith("*") else said
            self.models[names[said]] = {**shared, "deployments": deployments}
        rules = [self._rule(each, names) for each in strategy.each("conditions")]
        usually = strategy.text("default")
        if usually is None or str(usually.value) not in names:
            self._sheet.warn(strategy.origin("default"), "left out: it names no target")
        else:
            first = self.models[names[str(usually.value)]]
            kept = [rule for rule in rules if rule is not None]
            self.models[MODEL] = {**first, "rules": kept}
        self._left(strategy)
        self._finish(given)

    def _rule(self, given: Given, names: dict[str, str]) -> dict[str, Any] | None:
        query, then = given.mapping("query"), given.text("then")
        given.done(("query", "then"))
        if then is None or str(then.value) not in names:
            self._sheet.warn(given.origin("then"), "left out: it names no target")
            return None
        metadata: dict[str, list[Any]] = {}
        for path, test in query.items():
            field = path.removeprefix("metadata.")
            values = _equal(test)
            if field == path or values is None:
                self._sheet.warn(
                    given.origin("query"),
                    "left out: the nearest is rules on metadata, with $eq or $in",
                )
                return None
            metadata[field] = values
        target = names[str(then.value)]
        if target.endswith("*"):
            self._sheet.warn(
                then.origin,
                "left out: a rule leads to one model, so override_params.model is needed",
            )
            return None
        return {"when": {"metadata": metadata}, "use": then.as_(target)}

    # --- targets ---

    def _branch(
        self, given: Given, mode: Said | None, priority: int, share: float, above: dict[str, Any]
    ) -> tuple[list[dict[str, Any]], int]:
        """The deployments of a part of the tree, and the next priority after them."""
        own = self._settings(given)
        params = {**above.get("params", {}), **own.get("params", {})}
        inherited = {**above, **own, "params": params}
        targets = given.each("targets")
        if not targets:
            return self._target(given, priority, share, inherited), priority + 1
        word = "single" if mode is None else str(mode.value)
        if word not in ("fallback", "loadbalance", "single"):
            self._sheet.warn(
                mode.origin if mode else None, "taken as fallback: there is no such mode here"
            )
            word = "fallback"
        if word == "single":
            targets = targets[:1]
        weights = [self._weight(one) if word == "loadbalance" else 1.0 for one in targets]
        total = sum(weights) or 1.0
        found: list[dict[str, Any]] = []
        end = priority + 1
        for one, weight in zip(targets, weights, strict=True):
            strategy = one.section("strategy")
            inner = strategy.text("mode", "single")
            at = end - 1 if word == "fallback" and found else priority
            if word == "fallback" and found:
                at = end
            part = share * weight / total if word == "loadbalance" else share
            made, after = self._branch(one, inner, at, part, inherited)
            self._left(strategy)
            if word == "loadbalance" and after > at + 1:
                self._sheet.warn(
                    one.origin("targets"),
                    "close to it: when the first target of a branch fails, the other branches' come before its second",
                )
            found += made
            end = max(end, after)
        self._finish(given)
        return found, end

    def _weight(self, given: Given) -> float:
        said = given.number("weight", 1)
        return 1.0 if said is None else float(said.value)

    def _target(
        self, given: Given, priority: int, share: float, settings: dict[str, Any]
    ) -> list[dict[str, Any]]:
        params = dict(settings.get("params", {}))
        model = params.pop("model", None)
        if vendors.preset(str(getattr(given.text("provider"), "value", ""))) == "azure-openai":
            # There the deployment is the model.
            own = given.text("azure_deployment_id") or given.text("deployment_id")
            model = own or model
        named, model = _with_the_model(model)
        block = self._provider(given, "" if model is None else str(model.value), named)
        if block is None:
            self._finish(given)
            return []
        name, fields = block
        at = given.origin("provider")
        if named is not None and named.origin is not None and "provider" not in given:
            at = named.origin
        self._finish(given)
        return [
            {
                "provider": Said(self._pool.named(name, fields), at),
                "model": model if model is not None else Said("*", at),
                "priority": priority,
                # Shares of the whole tree as weights, which are whole numbers.
                "weight": max(1, round(share * 1000)) if share > 0 else 0,
                "timeouts": settings.get("timeouts"),
                "retry": settings.get("retry"),
                "param_overrides": params,
            }
        ]

    def _provider(
        self, given: Given, model: str, named: Said | None
    ) -> tuple[str, dict[str, Any]] | None:
        """`named`: what is said with the model."""
        said, virtual = given.text("provider"), given.text("virtual_key")
        if said is None and virtual is None:
            said = named
        key, host = given.text("api_key"), given.text("custom_host")
        word = "" if said is None else str(said.value)
        slug = "" if virtual is None else str(virtual.value).lstrip("@")
        if word.startswith("@") or (said is None and virtual is not None):
            at = said if said is not None else virtual
            assert at is not None
            account = str(at.value).lstrip("@")
            word, slug = account.partition("-")[0], slug or account
            self._sheet.warn(
                at.origin,
                f"what {account} stands for is not in the file: check the provider, set its key",
            )
        preset = vendors.preset(word)
        if preset == "vertex" and host is None:
            preset = clouds.vertex_preset(model or "*")
        if preset is None and host is None:
            self._sheet.warn(
                given.origin("provider"),
                f"left out: there is no preset for {word!r}; the nearest is an address under base_url",
            )
            return None
        organization = given.text("openai_organization")
        resource = given.text("azure_resource_name") or given.text("resource_name")
        cloud = {} if host is not None else self._cloud(given, preset)
        address = host
        if host is None and resource is not None:
            address = resource.as_(f"https://{resource.value}.openai.azure.com/openai")
        if key is not None and "credentials" in cloud:
            self._sheet.warn(key.origin, "not used: what the cloud takes is had for its own fields")
        if address is None and not cloud and preset is not None and not vendors.has_address(preset):
            self._sheet.warn(given.origin("provider"), "left out: it needs an address")
            return None
        credentials = None
        if key is not None:
            credentials = [key]
        elif slug:
            variable = self._unset.named(slug, slug)
            at = virtual if virtual is not None else said
            assert at is not None
            credentials = [Said(Reference(f"${{{variable}}}"), at.origin)]
        return preset or "custom", {
            "preset": None if preset == "openai" and host is not None else preset,
            "base_url": address,
            **({} if address is None else vendors.allowances(str(address.value))),
            "credentials": credentials,
            "headers": {} if organization is None else {"openai-organization": organization},
            **cloud,
        }

    def _cloud(self, given: Given, preset: str | None) -> dict[str, Any]:
        """Address and credential, where they are made of fields of the cloud's."""
        at = given.text("provider")
        if preset == "bedrock" and at is not None:
            region = given.text("aws_region")
            fields = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
            keys = [given.text(field) for field in fields]
            return {} if region is None else clouds.bedrock(at, clouds.bare(region), *keys)
        if preset in ("vertex", "vertex-anthropic") and at is not None:
            project, region = given.text("vertex_project_id"), given.text("vertex_region")
            account = given.take("vertex_service_account_json")
            if not isinstance(account, dict) and project is not None and region is not None:
                return clouds.vertex(at, clouds.bare(project), clouds.bare(region), account)
        return {}

    # --- settings ---

    def _settings(self, given: Given) -> dict[str, Any]:
        """What holds for a target and all below it."""
        found: dict[str, Any] = {}
        retry = given.section("retry")
        attempts = retry.whole("attempts")
        self._left(retry)
        if attempts is not None:
            found["retry"] = {"count": attempts}
        timeout = given.number("request_timeout", least=1)
        if timeout is not None:
            seconds = timeout.as_(round(timeout.value / 1000, 3))
            found["timeouts"] = {"request": seconds, "ttft": seconds}
        params = given.mapping("override_params")
        if params:
            model = Given(self._sheet, params, given.below("override_params")).text("model")
            rest = {name: value for name, value in params.items() if name != "model"}
            found["params"] = rest if model is None else {**rest, "model": model}
        return found

    def _shared(self, given: Given) -> dict[str, Any]:
        """What belongs to the model: the cache."""
        cache = given.section("cache")
        mode, age = cache.text("mode"), cache.number("max_age", 604_800)
        cache.done(("mode", "max_age"))
        if mode is None:
            return {}
        if mode.value != "simple":
            self._sheet.warn(
                mode.origin, "taken as simple: only equal requests have equal answers here"
            )
        return {"cache": {"ttl": age, "requests": mode.as_("all")}}

    def _name(self, deployments: list[dict[str, Any]]) -> str:
        names = {one["model"].value for one in deployments}
        if len(names) == 1 and "*" not in names:
            return str(names.pop())
        return MODEL

    def _left(self, given: Given) -> None:
        for name in given.left():
            if name in _NEAREST:
                given.leave(name, f"not here; the nearest is: {_NEAREST[name]}")
        given.done()

    def _finish(self, given: Given) -> None:
        given.take("name")
        if "cache" in given and given.path:
            given.leave("cache", "not here; the nearest is: cache of the whole model")
        self._left(given)


def _with_the_model(model: Said | None) -> tuple[Said | None, Said | None]:
    """The provider and the model of `@provider/model`."""
    slug, slash, rest = str(model.value if model is not None else "").partition("/")
    if model is None or not slug.startswith("@") or not slash or not rest:
        return None, model
    return model.as_(slug), model.as_(rest)


def _equal(test: Any) -> list[Any] | None:
    """The values a test allows, where it is one of equality."""
    if isinstance(test, Said):
        return [test]
    if isinstance(test, dict) and len(test) == 1:
        (operator, value), *_ = test.items()
        if operator == "$eq" and isinstance(value, Said):
            return [value]
        if operator == "$in" and isinstance(value, list):
            return [one for one in value if isinstance(one, Said)]
    return None
