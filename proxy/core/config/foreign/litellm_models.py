"""LiteLLM's `model_list`: each entry is one deployment of the model that clients call `model_name`.

(docs.litellm.ai: proxy/configs, routing, proxy/load_balancing.)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from proxy.core.config.foreign import clouds, vendors
from proxy.core.config.foreign.litellm_nearest import DEPLOYMENT
from proxy.core.config.foreign.pool import Pool
from proxy.core.config.foreign.source import Given, Said
from proxy.core.config.foreign.tree import Reference
from proxy.core.config.presets import rooted
from proxy.core.config.problem import printable
from proxy.core.surfaces import behind

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from proxy.core.config.foreign.source import Sheet

_TOP = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VARIABLE = re.compile(r"os\.environ/([A-Za-z_][A-Za-z0-9_]*)")
_WITHOUT_PREFIX = (("claude", "anthropic"), ("gemini", "gemini"), ("", "openai"))
"""Beginnings of names that need no provider before them."""
_PROVIDERS = frozenset(
    (
        "aiml",
        "codestral",
        "compactifai",
        "docker_model_runner",
        "featherless_ai",
        "friendliai",
        "infinity",
        "lambda_ai",
        "lemonade",
        "litellm_proxy",
        "llamafile",
        "meta_llama",
        "morph",
        "publicai",
        "v0",
        "wandb",
        "xinference",
    )
)
"""Beginnings that say whose a model is and are no part of its name, without a preset here: those speak as OpenAI does."""
_ROUTE = re.compile(r"^(?:responses|o_series|gpt5_series)/")
"""What may stand between `openai/` or `azure/` and the name."""
_RESPONSES = ("openai/responses/", "azure/responses/")
"""Asked over the Responses API, whatever the client speaks: some models have no other."""
_VERTEX = ("vertex", "vertex-anthropic")
_GEMINI = ("gemini", "vertex")
_OTHER_WORDS = ("anthropic", "bedrock", *_GEMINI, *_VERTEX)
"""Presets whose parameters are called otherwise than OpenAI's."""
_WORDS_OF: Mapping[str, frozenset[str]] = {
    "bedrock": frozenset(),
    "gemini": frozenset(),
    "vertex": frozenset(),
    "vertex-anthropic": frozenset(("max_tokens", "temperature", "thinking", "top_k", "top_p")),
}
"""Of PARAMS, those that mean the same in a format that is not OpenAI's, and there stand at the top of a body."""
BURST = (
    "a tenth of it may come in one instant here, the rest evenly over the minute: docs/limits.md"
)
_OTHERWISE = "param_defaults of the deployment, in the words of its provider"
_MODES = {
    "chat": "chat",
    "completion": "completion",
    "embedding": "embedding",
    "image_generation": "image",
    "audio_transcription": "audio",
    "audio_speech": "audio",
    "rerank": "rerank",
    "responses": "chat",
}
PARAMS = frozenset(
    (
        "temperature",
        "top_p",
        "top_k",
        "n",
        "max_tokens",
        "max_completion_tokens",
        "presence_penalty",
        "frequency_penalty",
        "logit_bias",
        "seed",
        "stop",
        "user",
        "response_format",
        "reasoning_effort",
        "thinking",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "service_tier",
        "dimensions",
        "encoding_format",
        "extra_body",
        "metadata",
        "stream_options",
        "logprobs",
        "top_logprobs",
        "verbosity",
    )
)
"""Parameters of a request: put into those that do not have them, as there."""


def text(said: Said) -> Said:
    """`os.environ/NAME` as a reference of ours."""
    found = _VARIABLE.fullmatch(str(said.value))
    return said if found is None else said.as_(Reference(f"${{{found[1]}}}"))


class Models:
    """Reads the entries one after the other."""

    def __init__(self, sheet: Sheet) -> None:
        self._sheet = sheet
        self._pool = Pool()
        self.models: dict[str, dict[str, Any]] = {}
        self._told = False
        """Of the burst."""

    @property
    def providers(self) -> dict[str, Any]:
        return self._pool.providers

    def take(self, given: Given) -> None:
        """One entry of the list."""
        name, params, info = given.text("model_name"), given.section("litellm_params"), None
        info = given.section("model_info")
        limits = {field: given.whole(field, least=1) for field in ("rpm", "tpm")}
        given.done(("model_name", "litellm_params", "model_info"))
        upstream = params.text("model")
        if name is None or upstream is None:
            self._sheet.warn(
                given.origin("model_name"),
                "left out: model_name and litellm_params.model are needed",
            )
            return
        public = str(name.value)
        if "*" in public[:-1]:
            self._sheet.warn(name.origin, "left out: a name has one * at most here, at its end")
            return
        place = self._provider(params, upstream)
        if place is None:
            return
        provider, model = place
        deployment = {
            "provider": upstream.as_(provider),
            "model": upstream.as_(model),
            **self._deployment(params),
            **self._info(info, params),
        }
        deployment["priority"] = deployment["priority"] or info.whole("order")
        info.take("order")
        if str(upstream.value).startswith(_RESPONSES):
            deployment["prefer"] = ["openai.responses"]
        for field, value in limits.items():
            deployment[field] = deployment.get(field) or value
        self._tell_burst(deployment["rpm"])
        self._fit(deployment, params, self._preset_of(provider))
        words = self._words(deployment, self._preset_of(provider))
        for key in params.left():
            if key in PARAMS and key not in words:
                params.leave(key, f"not here; the nearest is: {_OTHERWISE}")
            elif key in PARAMS:
                deployment.setdefault("param_defaults", {})[key] = _referring(params.take(key))
            elif key in DEPLOYMENT:
                params.leave(key, f"not here; the nearest is: {DEPLOYMENT[key]}")
        params.done()
        served = self.models.setdefault(public, {"type": self._mode(info), "deployments": []})
        served["deployments"].append(deployment)
        info.done()

    def finish(self) -> None:
        """Deployments without an `order` come after all that have one."""
        for model in self.models.values():
            orders = [one["priority"].value for one in model["deployments"] if one["priority"]]
            for one in model["deployments"] if orders else ():
                one["priority"] = one["priority"] or Said(max(orders) + 1, None, "has no order")

    # --- the provider ---

    def _provider(self, params: Given, upstream: Said) -> tuple[str, str] | None:
        """Name of the provider, and of the model there."""
        written = str(upstream.value)
        prefix, slash, rest = written.partition("/")
        custom = params.text("custom_llm_provider")
        base = params.text("api_base") or params.text("base_url")
        if custom is not None:
            prefix, rest = str(custom.value), written.removeprefix(f"{custom.value}/")
        elif not slash:
            rest = written
            prefix = next(word for start, word in _WITHOUT_PREFIX if written.startswith(start))
        if not rest or written == "*":
            self._sheet.warn(
                upstream.origin, "left out: it names no model of a provider, as openai/* does"
            )
            return None
        preset = vendors.preset(prefix.removeprefix("text-completion-"))
        if preset is None:
            if base is None:
                nearest = "an OpenAI-compatible address under base_url"
                self._sheet.warn(
                    upstream.origin,
                    f"left out: there is no preset for {prefix!r}; the nearest is {nearest}",
                )
                return None
            rest = rest if vendors.is_nobodys(prefix) or prefix in _PROVIDERS else written
        elif preset in ("openai", "azure-openai"):
            rest = _ROUTE.sub("", rest)
        elif preset == "vertex":
            preset = clouds.vertex_preset(rest)
            if preset is None:
                self._sheet.warn(
                    upstream.origin, "left out: of Vertex AI only Gemini and Claude are asked here"
                )
                return None
        block = self._block(params, upstream, preset, base)
        if block is None:
            return None
        if preset == "bedrock":
            rest, region = clouds.bedrock_model(rest)
            block |= self._bedrock(params, upstream, region)
        return self._pool.named(preset or "openai-compatible", block), rest

    def _block(
        self, params: Given, upstream: Said, preset: str | None, base: Said | None
    ) -> dict[str, Any] | None:
        key = params.text("api_key")
        headers = {
            name: text(value)
            for field in ("extra_headers", "headers")
            for name, value in params.mapping(field).items()
            if isinstance(value, Said)
        }
        organization = params.text("organization")
        if organization is not None:
            headers["openai-organization"] = text(organization)
        block: dict[str, Any] = {
            # With an address of one's own, OpenAI's preset is any server that speaks like it.
            "preset": None if preset == "openai" and base is not None else preset,
            "credentials": None if key is None else [text(key)],
            "headers": headers,
        }
        if preset == "bedrock":
            return block
        if preset in _VERTEX and base is None:
            place = self._vertex(params, upstream)
            return None if place is None else block | place
        if base is not None:
            address = str(base.value).rstrip("/")
            if preset == "azure-openai" and not address.endswith(("/openai", "/v1")):
                block["base_url"] = self._address(base, f"{address}/openai")
                if found := _VARIABLE.fullmatch(address):
                    message = f"{found[1]} must not end in a slash: /openai is put behind it"
                    self._sheet.warn(base.origin, message)
            else:
                block["base_url"] = self._address(base, rooted(block["preset"], address))
            block |= vendors.allowances(address)
            if block["preset"] is None and (paths := behind(address)):
                block["dialects"] = {name: base.as_(path) for name, path in paths.items()}
        elif preset is not None and not vendors.has_address(preset):
            self._sheet.warn(upstream.origin, "left out: api_base is needed")
            return None
        return block

    def _address(self, base: Said, address: str) -> Said:
        found = _VARIABLE.match(address)
        if found is None:
            return base.as_(address)
        return base.as_(Reference(f"${{{found[1]}}}{address[found.end() :]}"))

    def _bedrock(self, params: Given, upstream: Said, beside: str | None) -> dict[str, Any]:
        """`beside`: the region that is said with the model."""
        region = params.text("aws_region_name")
        place = beside if region is None else clouds.bare(text(region))
        if place is None:
            place = "us-east-1"
            self._sheet.warn(upstream.origin, f"aws_region_name is taken to be {place}")
        fields = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
        keys = [params.text(field) for field in fields]
        block = clouds.bedrock(upstream, place, *(key and text(key) for key in keys))
        address = params.text("aws_bedrock_runtime_endpoint")
        if address is not None:
            block["base_url"] = self._address(address, str(address.value))
            block |= vendors.allowances(str(address.value))
        if "auth" not in block:
            self._sheet.warn(
                upstream.origin,
                "without an access key $AWS_BEARER_TOKEN_BEDROCK is used; for a role of the machine "
                f"give the provider auth: sigv4:{place} and credentials: [ambient]",
            )
        return block

    def _vertex(self, params: Given, upstream: Said) -> dict[str, Any] | None:
        project, region, account = (
            params.text(f"vertex_{field}") for field in ("project", "location", "credentials")
        )
        if project is None:
            self._sheet.warn(upstream.origin, "left out: vertex_project is needed")
            return None
        if account is not None and (found := _VARIABLE.fullmatch(str(account.value))):
            self._sheet.warn(
                account.origin,
                f"taken for the JSON of the account; if it is a path: file:${{{found[1]}}}",
            )
        place = "us-central1" if region is None else clouds.bare(text(region))
        return clouds.vertex(upstream, clouds.bare(text(project)), place, account and text(account))

    # --- the rest ---

    def _preset_of(self, provider: str) -> str:
        preset = self.providers[provider].get("preset")
        return str(preset.value if isinstance(preset, Said) else preset)

    def _tell_burst(self, rpm: Said | None) -> None:
        if rpm is not None and not self._told:
            self._told = True
            self._sheet.warn(rpm.origin, BURST)

    def _fit(self, deployment: dict[str, Any], params: Given, preset: str) -> None:
        """What is taken out of requests, and what Gemini alone takes, where `preset` has the same words for it."""
        if preset in _GEMINI and "safety_settings" in params:
            settings = _referring(params.take("safety_settings"))
            deployment["param_defaults"] = {"safetySettings": settings}
            if preset == "gemini":
                # Google's layer for clients of OpenAI knows no such field, and refuses what it does not know.
                deployment["prefer"] = ["gemini.generate"]
        if preset in _OTHER_WORDS:
            return
        dropped: dict[str, Said] = {}
        for said in params.texts("additional_drop_params"):
            if _TOP.fullmatch(str(said.value)):
                dropped[str(said.value)] = said.as_(None)
            else:
                what = printable(str(said.value))
                self._sheet.warn(said.origin, f"{what}: only whole parameters are taken out here")
        deployment["param_overrides"] = dropped

    def _words(self, deployment: dict[str, Any], preset: str) -> Collection[str]:
        """The parameters that go to the provider under the names they have here."""
        speaks_openai = preset not in _WORDS_OF or (
            preset == "gemini" and "prefer" not in deployment
        )
        return PARAMS if speaks_openai else _WORDS_OF[preset]

    def _deployment(self, params: Given) -> dict[str, Any]:
        timeout, first = (
            params.number("timeout", least=0.001),
            params.number("stream_timeout", least=0.001),
        )
        retries = params.whole("num_retries") or params.whole("max_retries")
        params.take("max_retries")
        order = params.whole("order")
        return {
            "priority": order,
            "weight": params.whole("weight"),
            "rpm": params.whole("rpm", least=1),
            "tpm": params.whole("tpm", least=1),
            "concurrency": params.whole("max_parallel_requests", least=1),
            "timeouts": {"request": timeout, "ttft": first or timeout},
            "retry": None if retries is None else {"count": retries},
        }

    def _info(self, info: Given, params: Given) -> dict[str, Any]:
        price: dict[str, Any] = {}
        for field, ours in (
            ("input_cost_per_token", "input"),
            ("output_cost_per_token", "output"),
            ("cache_read_input_token_cost", "cached"),
            ("cache_creation_input_token_cost", "cache_write"),
        ):
            said = params.number(field) or info.number(field)
            info.take(field)
            if said is not None:
                price[ours] = said.as_(round(said.value * 1e6, 9))
        for name in ("id", "db_model", "created_at", "updated_at", "created_by", "updated_by"):
            info.take(name)
        for name in info.left():
            if name.startswith("supports_"):
                info.take(name)
            elif name in DEPLOYMENT:
                info.leave(name, f"not here; the nearest is: {DEPLOYMENT[name]}")
        return {
            "max_context": info.whole("max_input_tokens", least=1),
            "price": price,
        }

    def _mode(self, info: Given) -> Said | None:
        mode = info.text("mode")
        if mode is None:
            return None
        known = _MODES.get(str(mode.value))
        if known is None:
            self._sheet.warn(mode.origin, "no type here; the nearest is to leave it out")
            return None
        return mode.as_(known)


def _referring(tree: Any) -> Any:
    """A tree with the variables in it as references."""
    if isinstance(tree, dict):
        return {name: _referring(value) for name, value in tree.items()}
    if isinstance(tree, list):
        return [_referring(value) for value in tree]
    return text(tree) if isinstance(tree, Said) and isinstance(tree.value, str) else tree
