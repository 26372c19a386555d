"""Channels of One API and of New API, which number vendors differently from 26 on.

A channel is an account with a vendor, and one deployment for each model it lists. There a larger `priority` goes
first, here a smaller one. (github.com/songquanpeng/one-api: model/channel.go, relay/channeltype;
github.com/QuantumNous/new-api: model/channel.go, constant/channel.go.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from proxy.core.config.foreign import vendors
from proxy.core.config.foreign.common import Variables, complete
from proxy.core.config.foreign.pool import Pool
from proxy.core.config.foreign.source import Given, Own, Said, spread
from proxy.core.config.foreign.tree import Reference

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.core.config.foreign.source import Sheet

NAME, NEWER = "One API", "New API"
ENABLED = 1
_BOTH: Mapping[int, str] = {
    1: "openai",
    3: "azure-openai",
    8: "",
    14: "anthropic",
    16: "zhipu",
    17: "dashscope",
    20: "openrouter",
    24: "gemini",
    25: "moonshot",
}
"""Type to preset; empty: OpenAI-compatible, at the address of the channel."""
TYPES: Mapping[str, Mapping[int, str]] = {
    NAME: {
        **_BOTH,
        27: "minimax",
        28: "mistral",
        29: "groq",
        30: "ollama",
        35: "cohere",
        36: "deepseek",
        39: "together",
        40: "volcengine",
        44: "siliconflow",
        45: "xai",
        50: "",
    },
    NEWER: {
        **_BOTH,
        4: "ollama",
        26: "zhipu",
        27: "perplexity",
        34: "cohere",
        35: "minimax",
        40: "siliconflow",
        42: "mistral",
        43: "deepseek",
        45: "volcengine",
        48: "xai",
    },
}
_LEFT = frozenset(
    (
        "id",
        "created_time",
        "test_time",
        "response_time",
        "balance",
        "balance_updated_time",
        "used_quota",
        "test_model",
        "other_info",
    )
)
"""What the program found out."""
_NEAREST = {
    "group": "models of a virtual key: which names it may ask for",
    "tag": "note of the provider",
    "auto_ban": "health: every deployment is taken out when it fails",
    "config": "base_url, query and headers of the provider",
    "other": "query of the provider",
    "setting": "fields of the provider",
    "settings": "fields of the provider",
    "system_prompt": "nothing: prompts are the client's",
    "status_code_mapping": "what each cause of failure permits is a table, docs/routing.md",
    "openai_organization": "headers of the provider: openai-organization",
}
_CUSTOM = 8
"""Of New API: no path is put behind its address."""
_PAGES = "the other pages too, `?page_size=100&p=2`, …"
_NEW_ONLY = frozenset(("auto_ban", "setting", "settings", "tag", "param_override", "channel_info"))


def recognised(content: Any) -> str | None:
    """Whose channels these are, if any."""
    _, listed = channels(content)
    if not listed or not all(
        isinstance(one, dict) and {"type", "models"} <= one.keys() for one in listed
    ):
        return None
    return NEWER if any(one.keys() & _NEW_ONLY for one in listed) else NAME


def channels(content: Any) -> tuple[str, list[Any]]:
    """The list, as the API wraps it or bare, and its path."""
    path: list[str] = []
    while isinstance(content, dict):
        path.append("data" if "data" in content else "items")
        content = content.get(path[-1])
    return ".".join(path), content if isinstance(content, list) else []


def translate(sheet: Sheet, content: Any, program: str) -> dict[str, Any]:
    """The same in our words."""
    path, listed = channels(content)
    if path.endswith("items"):
        page = content["data"] if path.startswith("data.") else content
        complete(Given(sheet, page, path.rpartition(".")[0]), "total", len(listed), _PAGES)
    found = [Given(sheet, one, f"{path}[{at}]") for at, one in enumerate(listed)]
    priorities = [one.whole("priority", 0, least=-(2**31)) for one in found]
    ranks = sorted({0 if one is None else one.value for one in priorities}, reverse=True)
    reading = _Channels(sheet, program)
    for given, priority in zip(found, priorities, strict=True):
        rank = ranks.index(0 if priority is None else priority.value) + 1
        reading.take(given, rank if priority is None else priority.as_(rank))
    return {
        "defaults": {"strategy": "weighted_random"},
        "providers": reading.providers,
        "models": reading.models,
    }


class _Channels:
    """Reads channels one after the other."""

    def __init__(self, sheet: Sheet, program: str) -> None:
        self._sheet = sheet
        self._is_newer = program == NEWER
        self._types = TYPES[program]
        self._pool = Pool()
        self._unset = Variables("CHANNEL_KEY_")
        self.models: dict[str, Any] = {}

    @property
    def providers(self) -> dict[str, Any]:
        return self._pool.providers

    def take(self, given: Given, priority: Any) -> None:
        """One channel."""
        name = given.text("name") or given.text("id")
        given.take("id")
        label = "channel" if name is None else str(name.value)
        block = self._provider(given, label)
        names = given.text("models")
        mapping = self._json(given, "model_mapping")
        overrides = self._overrides(given)
        weight = given.whole("weight")
        for field in given.left():
            if field in _LEFT or (field == "channel_info" and not self._has_states(given)):
                given.take(field)
            elif field in _NEAREST and _says(given.take(field)):
                message = f"not here; the nearest is: {_NEAREST[field]}"
                self._sheet.warn(given.origin(field), message)
        given.done()
        if names is None and block is not None:
            self._sheet.warn(given.origin("models"), "left out: it serves no model")
        if block is None or names is None:
            return
        provider = names.as_(self._pool.named(label, {**block, "param_overrides": overrides}))
        for public in dict.fromkeys(part.strip() for part in str(names.value).split(",")):
            if not public:
                continue
            there = self._mapped(mapping, public)
            self.models.setdefault(public, {"deployments": []})["deployments"].append(
                {
                    "provider": provider,
                    "model": names.as_(public) if there is None else there,
                    "priority": priority,
                    # There a channel without a weight still has a share; here none would leave it out.
                    "weight": None if weight is None else weight.as_(max(1, weight.value)),
                }
            )

    def _mapped(self, mapping: Own, public: str) -> Said | None:
        """What the model is called there. New API looks up what it finds again."""
        seen = {public}
        found = mapping.get(public)
        while self._is_newer and isinstance(found, Said) and str(found.value) not in seen:
            seen.add(str(found.value))
            found = mapping.get(str(found.value), found)
        return found if isinstance(found, Said) and found.value else None

    def _overrides(self, given: Given) -> Own:
        """Parameters by name. New API has steps, too, which a request is taken through."""
        found = self._json(given, "param_override")
        if isinstance(found.get("operations"), list):
            nearest = "param_overrides and fields of the provider"
            message = f"operations are left out; the nearest is: {nearest}"
            self._sheet.warn(given.origin("param_override"), message)
            del found["operations"]
        return found

    def _has_states(self, given: Given) -> bool:
        """Whether some of several keys are off: all of them are used here."""
        info = given.take("channel_info")
        states = info.get("multi_key_status_list") if isinstance(info, dict) else None
        if states:
            self._sheet.warn(
                given.origin("channel_info"), "all keys are used here: take out those that are off"
            )
        return False

    def _provider(self, given: Given, label: str) -> dict[str, Any] | None:
        kind, url = given.whole("type"), given.text("base_url")
        keys, status = given.text("key"), given.whole("status", ENABLED)
        if kind is None:
            return None
        preset = self._types.get(kind.value)
        if preset is None or (not preset and url is None):
            message = f"type {kind.value} is not known here: taken for OpenAI-compatible"
            if url is None:
                nearest = "an OpenAI-compatible address under base_url"
                message = f"left out: type {kind.value}; the nearest is: {nearest}"
            self._sheet.warn(kind.origin, message)
            if url is None:
                return None
            preset = ""
        if url is None and preset and not vendors.has_address(preset):
            self._sheet.warn(kind.origin, "left out: it needs a base_url")
            return None
        if preset == "openai" and url is not None:
            preset = ""
        if url is not None and self._is_newer and kind.value == _CUSTOM:
            url = self._place(url)
        if url is not None and preset == "azure-openai":
            url = url.as_(f"{str(url.value).rstrip('/')}/openai")
        return {
            "preset": kind.as_(preset) if preset else None,
            "base_url": url,
            **({} if url is None else vendors.allowances(str(url.value))),
            "enabled": None if status is None else status.as_(status.value == ENABLED),
            "note": given.text("remark"),
            "credentials": self._keys(given, keys, label),
            "headers": self._headers(given),
        }

    def _place(self, url: Said) -> Said:
        """The address under which there is the path that New API asks as it stands."""
        place = str(url.value).removesuffix("/chat/completions")
        if place == url.value:
            self._sheet.warn(
                url.origin, "taken for base_url; there it is the whole address of a request"
            )
        return url.as_(place)

    def _headers(self, given: Given) -> dict[str, Any]:
        """Those of New API that are the same for all requests."""
        found = self._json(given, "header_override")
        for name in list(found):
            if not isinstance(found[name], Said) or "{" in str(found[name].value):
                del found[name]
                message = f"{name} is left out: a header is the same for all requests here"
                self._sheet.warn(given.origin("header_override"), message)
        return found

    def _keys(self, given: Given, said: Said | None, label: str) -> list[Said]:
        """One a line, or a JSON list. A list of channels usually has none: then it is a variable to be set."""
        if said is None:
            variable = self._unset.named(label, given.path)
            origin = given.origin("key")
            self._sheet.warn(origin, f"the key is not in the file: set {variable}")
            return [Said(Reference(f"${{{variable}}}"), origin)]
        text = str(said.value)
        listed = text.splitlines()
        if text.startswith("["):
            try:
                listed = msgspec.json.decode(text, type=list[str])
            except msgspec.DecodeError:
                self._sheet.warn(said.origin, "left out: keys are expected one a line")
                return []
        return [said.as_(line.strip()) for line in listed if line.strip()]

    def _json(self, given: Given, field: str) -> Own:
        """A mapping, as such or as text."""
        found = given.take(field)
        if isinstance(found, dict):
            return Own(found)
        if not isinstance(found, Said) or not str(found.value or "").strip():
            return Own()
        try:
            decoded = msgspec.json.decode(str(found.value), type=dict[str, Any])
        except msgspec.DecodeError:
            self._sheet.warn(given.origin(field), "left out: a JSON object is expected")
            return Own()
        return Own(spread(decoded, found))


def _says(found: Any) -> bool:
    """Whether there is anything in it."""
    value = found.value if isinstance(found, Said) else found
    return value not in (None, "", 0, "default", "{}", {}, [], "null", 1)
