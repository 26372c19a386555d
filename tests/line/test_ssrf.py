"""Addresses nobody may make the proxy connect to: refused when they are saved, and again when a connection is made.

The second half leaves out the first: providers are built by hand, as if a row had been written past every check.
A listener on loopback stands for whatever there is to protect; nobody may reach it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from yarl import URL

from proxy.core.config import ConfigError, parse
from proxy.core.config.address import fault
from proxy.core.errors import Cause, UpstreamError
from proxy.core.model import Provider
from proxy.upstream.pool import Upstream
from tests.line.harness import config, read_request, scripted, serving
from tests.upstream.places import hello

LOOPBACK = [
    "http://127.0.0.1:{port}/",
    "http://127.0.0.1.:{port}/",
    "http://127.1:{port}/",
    "http://127.0.1:{port}/",
    "http://2130706433:{port}/",
    "http://0x7f000001:{port}/",
    "http://0x7f.0.0.1:{port}/",
    "http://0X7F.1:{port}/",
    "http://0177.0.0.1:{port}/",
    "http://017700000001:{port}/",
    "http://0177.0x0.1:{port}/",
    "http://127.255.255.254:{port}/",
    "http://0.0.0.0:{port}/",
    "http://0:{port}/",
    "http://[::]:{port}/",
    "http://[::1]:{port}/",
    "http://[0:0:0:0:0:0:0:1]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://[::ffff:7f00:1]:{port}/",
    "http://[::FFFF:127.0.0.1]:{port}/",
    "http://[::127.0.0.1]:{port}/",
    "http://[::ffff:0:127.0.0.1]:{port}/",
    "http://[64:ff9b::7f00:1]:{port}/",
    "http://[64:ff9b::127.0.0.1]:{port}/",
    "http://[64:ff9b:1::7f00:1]:{port}/",
    "http://[2002:7f00:1::]:{port}/",
    "http://[2002:7f00:0001::1]:{port}/",
    "http://localhost:{port}/",
    "http://LocalHost:{port}/",
    "http://LOCALHOST.:{port}/",
    "http://anything.localhost:{port}/",
    "http://localhost.localdomain:{port}/",
]
PRIVATE = [
    "http://10.0.0.1/",
    "http://10.1:8080/",
    "http://172.16.0.1/",
    "http://172.31.255.254/",
    "http://192.168.0.1/",
    "http://0xc0a80001/",
    "http://3232235521/",
    "http://100.64.0.1/",
    "http://198.18.0.1/",
    "http://224.0.0.1/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://[fc00::1]/",
    "http://[fd12:3456:789a::1]/",
    "http://[fec0::1]/",
    "http://[ff02::1]/",
    "http://[2001:db8::1]/",
    "http://[::ffff:192.168.0.1]/",
    "http://[2606:4700::5efe:10.0.0.1]/",
    "http://redis/",
    "http://printer.local/",
    "http://db.internal/",
]
METADATA = [
    "http://169.254.169.254/latest/meta-data/",
    "http://169.254.169.254./latest/meta-data/",
    "http://2852039166/latest/meta-data/",
    "http://0xa9fea9fe/",
    "http://0251.0376.0251.0376/",
    "http://169.254.43518/",
    "http://[::ffff:169.254.169.254]/",
    "http://[::ffff:a9fe:a9fe]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[2002:a9fe:a9fe::]/",
    "http://[fe80::a9fe:a9fe]/",
    "http://169.254.170.2/v2/credentials",
    "http://[fd00:ec2::254]/latest/",
    "http://metadata.google.internal/computeMetadata/v1/",
    "http://METADATA.google.internal./computeMetadata/v1/",
    "http://metadata.goog/",
    "http://[fd20:ce::254]/",
    "http://168.63.129.16/machine?comp=goalstate",
    "http://100.100.100.200/latest/meta-data/",
    "http://1684301000/",
    "http://192.0.0.192/opc/v1/",
    "http://instance-data/latest/",
]
CRAFTED = [
    "file:///etc/passwd",
    "FILE:///etc/passwd",
    "gopher://127.0.0.1:6379/_INFO",
    "ftp://127.0.0.1/",
    "dict://127.0.0.1:11211/stat",
    "ldap://127.0.0.1/",
    "unix:///var/run/docker.sock",
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/v1",
    "javascript:alert(1)",
    "data:text/plain,x",
    "//127.0.0.1/",
    "http:127.0.0.1",
    "http:/127.0.0.1/",
    "http:///127.0.0.1/",
    "http:\\\\127.0.0.1\\",
    "https://api.example.com@127.0.0.1:{port}/",
    "https://api.example.com:443@127.0.0.1:{port}/",
    "https://127.0.0.1:{port}\\@api.example.com/",
    "https://api.example.com#@127.0.0.1:{port}/",
    "https://api.example.com?@127.0.0.1:{port}/",
    "https://127.0.0.1:{port}#.example.com/",
    "https://127.0.0.1:{port}%2f.example.com/",
    "https://127.0.0.1%00.example.com/",
    "https://127%2e0%2e0%2e1:{port}/",
    "https://%31%32%37.0.0.1:{port}/",
    "https://loc%61lhost:{port}/",
    "https://127.0.0.1\t:{port}/",
    "https://127.0.\n0.1:{port}/",
    "https://api.example.com\r\nhost: x/",
    "https://api.example.com/\x00",
    "h\nttp://127.0.0.1:{port}/",
    "https://\uff11\uff12\uff17.0.0.1:{port}/",
    "https://\u2460\u2461\u2466.0.0.1:{port}/",
    "https://127\u30020\u30020\u30021:{port}/",
    "https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ:{port}/",
    "https://localhost\u200b:{port}/",
    "https://bücher.example/",
    "https://[::1%25lo]:{port}/",
    "https://[v1.::1]:{port}/",
    "https://1.2.3.4.5/",
    "https://256.0.0.1/",
    "https://4294967297:{port}/",
    "https://0x100000001:{port}/",
    "https://a..b/",
    "https://" + "a" * 64 + ".example/",
    "https://" + "a." * 130 + "example/",
    "https://a.example:0/",
    "https://a.example:65536/",
    "https://a.example:80:80/",
    "https://a.example:8o/",
]
# Read when the first odd host is, which would block the loop of that test.
_ = [URL("https://\uff11.example"), "\uff11.example".encode("idna")]
REFUSED = [*LOOPBACK, *PRIVATE, *METADATA, *CRAFTED]

NAMES = {
    "localhost": "127.0.0.1",
    "LocalHost": "127.0.0.1",
    "127.0.0.1.nip.io": "127.0.0.1",
    "7f000001.rbndr.example": "127.0.0.1",
    "inside.example.com": "10.0.0.7",
    "meta.example.com": "169.254.169.254",
    "six.example.com": "::1",
    "mapped.example.com": "::ffff:127.0.0.1",
    "nat64.example.com": "64:ff9b::7f00:1",
}
"""Names anybody can register, and where they lead."""

Answers = Callable[[str], list[str]]


@pytest.fixture
def dns(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answers], None]:
    """Puts a resolver of ours in the system's place: a name to its addresses."""

    def use(answers: Answers) -> None:
        system = socket.getaddrinfo

        def getaddrinfo(host: str, port: int | None, **how: Any) -> list[Any]:
            found = answers(host)
            if not found:
                # Numbers in any spelling, as the C library reads them; no name leaves this machine.
                how["flags"] = socket.AI_NUMERICHOST
                return list(system(host, port, **how))
            return [
                (
                    socket.AF_INET6 if ":" in one else socket.AF_INET,
                    socket.SOCK_STREAM,
                    6,
                    "",
                    (one, port or 0, 0, 0) if ":" in one else (one, port or 0),
                )
                for one in found
            ]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    return use


def by_name(host: str) -> list[str]:
    """What `NAMES` says, whatever the case and the trailing dot."""
    lowered = host.lower().removesuffix(".")
    known = {name.lower(): one for name, one in NAMES.items()}
    if lowered.endswith((".localhost", ".localdomain", ".local", ".internal")) or lowered in (
        "redis",
        "instance-data",
        "metadata.goog",
    ):
        return ["127.0.0.1", "::1"]
    return [known[lowered]] if lowered in known else []


@asynccontextmanager
async def protected() -> AsyncIterator[tuple[int, list[str]]]:
    """A listener on every loopback address; its port, and whoever connected to it."""
    visitors: list[str] = []

    async def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visitors.append(str(writer.get_extra_info("peername")))
        writer.close()

    with socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True) as one:
        server = await asyncio.start_server(connected, sock=one)
        try:
            yield one.getsockname()[1], visitors
        finally:
            server.close()


async def refused(base_url: str, **changes: Any) -> Cause:
    """Why no connection to a provider at this address can be made; none was."""
    try:
        upstream = Upstream(Provider("p", base_url, {"openai.chat": "/x"}, **changes))
    except ValueError:
        return Cause.CONNECT  # yarl does not take it for an address at all
    try:
        with pytest.raises(UpstreamError) as failed:
            await upstream.connect(0.5)
        assert not failed.value.sent
        return failed.value.cause
    finally:
        await upstream.close()


def test_the_corpus_is_large_and_says_nothing_twice() -> None:
    assert len(set(REFUSED)) == len(REFUSED) >= 100


# --- at save ---


@pytest.mark.parametrize("url", REFUSED)
def test_it_is_refused_when_it_is_saved(url: str) -> None:
    url = url.format(port=6379)

    assert fault(url, allow_private=False, allow_http=True) is not None


@pytest.mark.parametrize("field", ["base_url", "proxy"])
@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/", "http://169.254.169.254", "http://[::ffff:10.0.0.1]"]
)
def test_a_configuration_with_it_is_refused(field: str, url: str) -> None:
    provider = {"base_url": "https://api.example.com", "credentials": ["k"], "allow_http": True}
    provider[field] = url
    text = yaml.safe_dump({"providers": {"p": provider}})

    with pytest.raises(ConfigError) as wrong:
        parse(text)

    assert [one.path for one in wrong.value.problems] == [f"providers.p.{field}"]


@pytest.mark.parametrize("url", METADATA)
def test_no_permission_lets_metadata_in(url: str) -> None:
    assert fault(url, allow_private=True, allow_http=True) is not None


# --- at connect ---


@pytest.mark.parametrize("url", REFUSED)
async def test_it_is_refused_when_a_connection_is_made(
    url: str, dns: Callable[[Answers], None]
) -> None:
    dns(by_name)
    async with protected() as (port, visitors):
        assert await refused(url.format(port=port)) is Cause.CONNECT
        assert visitors == []


@pytest.mark.parametrize("url", METADATA)
async def test_no_permission_connects_to_metadata(url: str, dns: Callable[[Answers], None]) -> None:
    dns(lambda _: ["169.254.169.254", "fd00:ec2::254"] if URL(url).raw_host else [])

    assert await refused(url, allow_private=True) is Cause.CONNECT


@pytest.mark.parametrize("name", NAMES)
async def test_a_name_that_leads_inside_is_refused(
    name: str, dns: Callable[[Answers], None]
) -> None:
    dns(by_name)
    async with protected() as (port, visitors):
        assert await refused(f"http://{name}:{port}") is Cause.CONNECT
        assert visitors == []


async def test_a_name_that_was_public_when_it_was_saved_is_refused_when_it_is_not(
    dns: Callable[[Answers], None],
) -> None:
    answers = iter(["1.2.3.4"])
    asked: list[str] = []

    def rebinding(host: str) -> list[str]:
        asked.append(host)
        return [next(answers, "127.0.0.1")]

    dns(rebinding)
    async with protected() as (port, visitors):
        url = f"http://rebinding.example.com:{port}"
        assert fault(url, allow_private=False, allow_http=True) is None
        assert socket.getaddrinfo("rebinding.example.com", port)[0][4][0] == "1.2.3.4"

        assert await refused(url) is Cause.CONNECT

        assert asked == ["rebinding.example.com"] * 2
        assert visitors == []


async def test_of_several_addresses_only_those_are_tried_that_may_be(
    dns: Callable[[Answers], None],
) -> None:
    tried: list[str] = []
    dns(lambda _: ["127.0.0.1", "8.8.8.8", "10.0.0.1"])
    async with protected() as (port, visitors):
        upstream = Upstream(Provider("p", f"http://mixed.example.com:{port}", {}))
        found = await upstream._connector._resolver.resolve("mixed.example.com", port)
        tried += [one["host"] for one in found]
        await upstream.close()

    assert tried == ["8.8.8.8"]
    assert visitors == []


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "2130706433", "127.0.0.1.nip.io"])
async def test_a_proxy_inside_is_refused_when_a_connection_is_made(
    host: str, dns: Callable[[Answers], None]
) -> None:
    dns(by_name)
    async with protected() as (port, visitors):
        proxy = f"http://{host}:{port}"

        assert await refused("https://8.8.8.8", proxy=proxy) is Cause.CONNECT
        assert visitors == []


async def test_with_permission_all_of_this_connects() -> None:
    # Or the tests above would pass for a proxy that connects to nothing.
    async with scripted(hello) as url:
        upstream = Upstream(Provider("p", url, {}, allow_private=True))
        _, release = await upstream.connect(2.0)
        release()
        await upstream.close()


# --- after a connection was made ---


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_redirect_is_never_followed(status: int, stream: bool, tmp_path: Path) -> None:
    async with protected() as (port, visitors):

        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                await read_request(reader)
                writer.write(
                    f"HTTP/1.1 {status} Elsewhere\r\nlocation: http://127.0.0.1:{port}/\r\n"
                    "content-length: 0\r\n\r\n".encode()
                )

        async with scripted(script) as url, serving(config(url), tmp_path) as proxy:
            answer = await proxy.chat("sim", stream=stream)

            assert answer.status == 502
            assert "location" not in answer.headers
            assert str(port).encode() not in answer.body
        assert visitors == []


@pytest.mark.parametrize(
    "model",
    ["sim/../../x", "sim@127.0.0.1:{port}", "sim//127.0.0.1:{port}/", "sim?x#y", "sim\r\nhost: x"],
)
async def test_no_name_of_a_model_leads_to_another_host(model: str, tmp_path: Path) -> None:
    heads: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            heads.append((await read_request(reader))[0])
            writer.write(b"HTTP/1.1 400 Bad\r\ncontent-length: 2\r\n\r\n{}")

    async with protected() as (port, visitors), scripted(script) as url:
        content = config(url, providers={"p0": {"dialects": ["gemini.generate"]}})
        async with serving(content, tmp_path) as proxy:
            await proxy.chat(model.format(port=port), stream=False)

        assert visitors == []
        for head in heads:
            lines = head.split(b"\r\n")
            target = lines[0].split(b" ")
            assert len(target) == 3
            assert target[1].startswith(b"/v1beta/models/sim")
            assert b"/../" not in target[1]
            hosts = [line for line in lines if line.lower().startswith(b"host:")]
            assert hosts == [b"host: " + url.removeprefix("http://").encode()]
