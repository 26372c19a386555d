"""OrchestrationApi: `appsettings.json`, the file of its environment over it, and variables over both.

Besides its own fields the file may have `Groups` and `ProxyKeys`, in the words of `POST /admin/groups` and
`POST /admin/proxy-keys`: what that program keeps in its database.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from proxy.core.config.document import resolve
from proxy.core.config.foreign import access, common, database, jsonc, vendors
from proxy.core.config.foreign.double_underscore import layered, overlaid
from proxy.core.config.foreign.source import Given, Own, Said, Sheet, said, usual, variables
from proxy.core.config.presets import rooted
from proxy.core.config.problem import printable, sentence

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "OrchestrationApi"
PORT = 5000
ROOTS = (NAME, "Serilog", "Logging", "AllowedHosts")
_DATABASE = "Data/orchestration_api.db"
_SESSIONS = "not needed: sessions of operators are kept in the database, not signed"
_GROUP = (
    "groupName",
    "providerType",
    "baseUrl",
    "apiKeys",
    "models",
    "balancePolicy",
    "retryCount",
    "timeout",
    "priority",
    "weight",
    "enabled",
    "parameters",
    "description",
)
_OF_KEYS = frozenset({"roundrobin", "random", "leastused"})
"""Policies that say something about the keys of a group too."""
_SPELLING = str.maketrans("", "", " -_")


def recognised(names: Mapping[str, Any], file: str) -> bool:
    """Whether a document is one of these: by its section, or by its name where variables say the rest."""
    return any(name.casefold() == NAME.casefold() for name in names) or Path(
        file
    ).name.casefold().startswith("appsettings")


def whole(
    content: dict[str, Any], file: str, folder: Path | None, env: Mapping[str, str]
) -> dict[str, Any]:
    """The file with all that goes over it."""
    for above in _layers(Path(file), folder, env):
        content = layered(content, said(jsonc.parse(above.read_text("utf-8-sig"), str(above))))
    return overlaid(content, env, ROOTS)


def _layers(file: Path, folder: Path | None, env: Mapping[str, str]) -> list[Path]:
    """The file of the environment, beside the first or in `config`."""
    if folder is None or file.name.casefold() != "appsettings.json":
        return []
    name = env.get("ASPNETCORE_ENVIRONMENT") or env.get("DOTNET_ENVIRONMENT") or "Production"
    above = f"appsettings.{name}.json"
    return [path for path in (folder / "config" / above, folder / above) if path.is_file()]


def translate(sheet: Sheet, content: dict[str, Any], env: Mapping[str, str]) -> dict[str, Any]:
    """The same in our words."""
    top = Given(sheet, content, folded=True)
    ours = Given(sheet, variables(env.items(), access.OURS | {"PORT"}))
    own = top.section(NAME)
    server, auth = own.section("Server"), own.section("Auth")
    usually, requests = own.section("Global"), own.section("RequestLogging")
    port = ours.whole("PORT") or server.whole("Port", PORT) or usual(PORT)
    server.take("Port")
    translated: dict[str, Any] = {
        **access.sections(
            sheet,
            host=server.text("Host"),
            port=port,
            ours=ours,
            password=auth.text("Password"),
            username=auth.text("Username"),
        ),
        "store": {"url": _store(sheet, own.section("Database"))},
        "auth": {"require": usual(True)},
        "defaults": {
            "strategy": usually.text("BalancePolicy", "round_robin"),
            "timeouts": common.timeouts(usually.number("Timeout", 60, least=0.001)),
            "retry": {"count": usually.whole("Retries", 3)},
        },
        "logging": {
            **_log(sheet, top),
            "requests": requests.switch("Enabled"),
            "detailed": requests.switch("EnableDetailedContent"),
            "max_content": requests.whole("MaxContentLength", 1000),
        },
        **_groups(sheet, own.each("Groups")),
        "keys": [_key(each) for each in own.each("ProxyKeys")],
    }
    auth.leave("JwtSecret", _SESSIONS)
    for section, known in (
        (server, ("Host", "Port")),
        (auth, ("Username", "Password", "JwtSecret")),
        (usually, ("Timeout", "Retries", "BalancePolicy")),
        (requests, ("Enabled", "EnableDetailedContent", "MaxContentLength")),
        (
            own,
            ("Server", "Auth", "Database", "Global", "RequestLogging", "Groups", "ProxyKeys"),
        ),
    ):
        section.done(known)
    hosts = top.text("AllowedHosts")
    if hosts is not None and hosts.value != "*":
        sheet.warn(hosts.origin, "the host that a client names is not looked at")
    top.done()
    return translated


def _store(sheet: Sheet, given: Given) -> Said | None:
    kind = given.text("Type", "sqlite")
    plain, mysql = given.text("ConnectionString"), given.text("MySqlConnectionString")
    given.done(("Type", "ConnectionString", "MySqlConnectionString"))
    assert kind is not None
    found = database.of_kind(
        sheet,
        kind,
        plain,
        database.from_string,
        name="ConnectionString",
        otherwise=_DATABASE,
    )
    if mysql is not None and found is not None:
        message = f"not used: the type is {str(kind.value).casefold()}, and there is no MySQL here"
        sheet.warn(mysql.origin, message)
    return found


def _log(sheet: Sheet, top: Given) -> dict[str, Any]:
    """Of Serilog, and of .NET's own logging: the level, and the file of the first sink that has one."""
    serilog, logging = top.section("Serilog"), top.section("Logging")
    least = serilog.take("MinimumLevel")
    at = serilog.below("MinimumLevel")
    found = least if isinstance(least, Said) else None
    if isinstance(least, dict):
        levels = Given(sheet, least, at, folded=True)
        found = levels.text("Default")
        levels.done(("Default",))
    levels = logging.section("LogLevel")
    if found is None:
        found = levels.text("Default")
    else:
        levels.leave("Default", "not used: Serilog has a level, too")
    for name in levels.left():
        levels.leave(name, "levels of single parts are not set here")
    logging.done(("LogLevel",))
    file: dict[str, Any] = {}
    for sink in serilog.each("WriteTo"):
        kind, options = sink.text("Name"), sink.section("Args")
        sink.done(("Name", "Args"))
        word = "" if kind is None else str(kind.value).casefold()
        path = options.text("path")
        if word == "file" and path is not None and not file:
            file = _file(sheet, options, path)
        elif word != "console":
            sheet.warn(sink.origin("Name"), "there is no such place for the log here")
        options.done(("path", "rollingInterval", "retainedFileCountLimit"))
    serilog.done(("MinimumLevel", "WriteTo"))
    return {"level": common.level(sheet, found), **file}


def _file(sheet: Sheet, options: Given, path: Said) -> dict[str, Any]:
    """`logs/name-.log`, which gets the day before its ending there, and behind it here."""
    place = Path(str(path.value))
    interval = options.text("rollingInterval")
    daily = interval is not None and str(interval.value).casefold() == "day"
    if interval is not None and not daily:
        sheet.warn(interval.origin, "a file is kept for each day, or not at all")
    return {
        "file": path.as_(str(place.with_name(place.stem.rstrip("-_.") + place.suffix))),
        "rotate": interval.as_(daily) if interval is not None else None,
        "keep": options.whole("retainedFileCountLimit"),
    }


def _groups(sheet: Sheet, groups: list[Given]) -> dict[str, Any]:
    """A provider for each group, and the models they serve."""
    providers: dict[str, Any] = {}
    models: dict[str, Any] = {}
    policies: dict[str, list[Said | None]] = {}
    for given in groups:
        name = given.text("groupName")
        if name is None:
            given.missing("groupName", "a name", "it is required")
            continue
        if str(name.value) in providers:
            sheet.error(name.origin, sentence("a name of its own", "that of a group above"))
            continue
        block = _block(sheet, given)
        policy, priority = given.text("balancePolicy"), given.whole("priority", 1)
        if policy is not None and str(policy.value).translate(_SPELLING).casefold() in _OF_KEYS:
            block["key_strategy"] = policy
        weight = given.whole("weight")
        # A name that is there twice says nothing new.
        for model in {str(model.value): model for model in given.texts("models")}.values():
            served = models.setdefault(str(model.value), {"strategy": None, "deployments": []})
            policies.setdefault(str(model.value), []).append(policy)
            served["deployments"].append(
                {"provider": name, "model": model, "priority": priority, "weight": weight}
            )
        given.done(_GROUP)
        providers[str(name.value)] = block
    for served, said_of_it in policies.items():
        # Where two groups serve it, neither says how to choose between them.
        if len(said_of_it) == 1:
            models[served]["strategy"] = said_of_it[0]
    return {"providers": providers, "models": models}


def _block(sheet: Sheet, given: Given) -> dict[str, Any]:
    kind, url = given.text("providerType", "openai"), given.text("baseUrl")
    assert kind is not None
    word = str(kind.value)
    preset = vendors.preset(word)
    if preset is None and not vendors.is_nobodys(word):
        expected = "openai, anthropic, gemini, openai_compatible, or the name of a preset"
        sheet.error(kind.origin, sentence(expected, repr(printable(word))))
    if url is None and (preset is None or not vendors.has_address(preset)):
        given.missing("baseUrl", "an address", "this kind of provider has none of its own")
    if url is not None and (there := rooted(preset, str(url.value))) != url.value:
        url = url.as_(there)
    retry = given.whole("retryCount")
    return {
        "preset": None if preset is None else kind.as_(preset),
        "note": given.text("description"),
        "base_url": url,
        **({} if url is None else vendors.allowances(str(url.value))),
        "enabled": given.switch("enabled"),
        "credentials": given.texts("apiKeys"),
        "timeouts": common.timeouts(given.number("timeout", least=0.001)),
        "retry": None if retry is None else {"count": retry},
        "param_defaults": _typed(given.mapping("parameters")),
    }


def _typed(tree: Any) -> Any:
    """A variable is text alone: `0.7` of one is a number in a request, as it is in a file."""
    if isinstance(tree, dict):
        return Own({name: _typed(value) for name, value in tree.items()})
    if isinstance(tree, list):
        return [_typed(value) for value in tree]
    return tree.as_(resolve(tree.value)) if tree.variable and tree.value else tree


def _key(given: Given) -> dict[str, Any]:
    name, key, rpm = given.text("name"), given.text("key"), given.whole("rpm")
    for field, value in (("name", name), ("key", key)):
        if value is None:
            given.missing(field, "a text", "it is required")
    made = {
        "name": name,
        "key": key,
        # No limit is 0 there, as in a call.
        "rpm": rpm if rpm is None or rpm.value else None,
        "enabled": given.switch("enabled"),
    }
    given.done(("name", "key", "rpm", "enabled"))
    return made
