"""The configuration file's objects, as the admin API shows them: read-only, each under the id the data plane gives it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from proxy.control.admin.sealing import last4
from proxy.core import model
from proxy.core.config.stored import SETTINGS
from proxy.core.jsonpath import dotted
from proxy.core.records import Kind
from proxy.core.redact import MASK, redact
from proxy.core.secret import Secret

if TYPE_CHECKING:
    from pydantic import BaseModel

    from proxy.core.config.schema import Config

_PATHS = frozenset({"path", "id_path", "text_path", "error_path"})
_HIDDEN = frozenset({"headers", "query"})


class FileObject(Struct, frozen=True, eq=False):
    """One object of the file. `parent` is the name of its provider or model."""

    kind: str
    id: str
    name: str
    spec: Mapping[str, Any]
    """As written, without secrets, parents and children."""
    parent: str = ""


def objects(config: Config, kind: str) -> Iterator[FileObject]:
    """All of a kind, in the file's order."""
    return _LISTED[kind](config)


def find(config: Config, kind: str, id_or_name: str) -> FileObject | None:
    """The one with this id or name."""
    for one in objects(config, kind):
        if id_or_name in (one.id, one.name):
            return one
    return None


def holds(config: Config, kind: str, name: str) -> bool:
    """Whether a name is taken by an object of the file. A setting's never is: the file's fields win one by one."""
    match kind:
        case Kind.PROVIDER:
            return name in config.providers
        case Kind.MODEL:
            return name in config.models
        case Kind.KEY:
            return any(key.name == name for key in config.keys)
        case _:
            return False


def _providers(config: Config) -> Iterator[FileObject]:
    for name, block in config.providers.items():
        spec = _fields(block, without={"credentials", "credential_env"})
        for field in _HIDDEN & spec.keys():
            spec[field] = dict.fromkeys(spec[field], MASK)
        if spec.get("proxy"):
            spec["proxy"] = MASK
        conversation = spec.get("conversation") or {}
        for section in (conversation, conversation.get("create") or {}):
            if "headers" in section:
                section["headers"] = dict.fromkeys(section["headers"], MASK)
        yield FileObject(Kind.PROVIDER, name, name, spec)


def _credentials(config: Config) -> Iterator[FileObject]:
    for name, block in config.providers.items():
        for index, item in enumerate(block.credentials):
            written = _fields(item, without={"key"})
            spec = {"weight": item.weight, **written, "last4": last4(item.key.reveal())}
            yield FileObject(Kind.CREDENTIAL, f"{name}#{index}", "", spec, name)


def _models(config: Config) -> Iterator[FileObject]:
    for name, block in config.models.items():
        yield FileObject(Kind.MODEL, name, name, _fields(block, without={"deployments"}))


def _deployments(config: Config) -> Iterator[FileObject]:
    for name, block in config.models.items():
        for index, item in enumerate(block.deployments):
            id = f"{name}/{index}:{item.provider}"
            yield FileObject(Kind.DEPLOYMENT, id, "", _fields(item), name)


def _keys(config: Config) -> Iterator[FileObject]:
    for key in config.keys:
        yield FileObject(Kind.KEY, key.name, key.name, _fields(key, without={"name", "key"}))


def _settings(config: Config) -> Iterator[FileObject]:
    for name in SETTINGS:
        if name in config.model_fields_set:
            yield FileObject(Kind.SETTING, name, name, _fields(getattr(config, name)))


_LISTED: Mapping[str, Callable[[Config], Iterator[FileObject]]] = {
    Kind.PROVIDER: _providers,
    Kind.CREDENTIAL: _credentials,
    Kind.MODEL: _models,
    Kind.DEPLOYMENT: _deployments,
    Kind.KEY: _keys,
    Kind.SETTING: _settings,
}


def _fields(block: BaseModel, without: set[str] | None = None) -> dict[str, Any]:
    written = block.model_dump(exclude_unset=True, exclude=without)
    plain: dict[str, Any] = _plain(written)
    return plain


def _plain(value: Any, name: str = "") -> Any:
    """What JSON can say of it, in the words of the file."""
    match value:
        case Secret():
            return MASK
        case model.Auth():
            return f"{value.scheme}:{value.name}" if value.name else value.scheme
        case Enum():
            return str(value.value)
        case str():
            return redact(value)
        case IPv4Network() | IPv6Network():
            return str(value)
        case dict():
            return {str(key): _plain(item, str(key)) for key, item in value.items()}
        case tuple() if name in _PATHS:
            return dotted(value)
        case list() | tuple():
            return [_plain(item, name) for item in value]
        case _:
            return value
