"""nginx and HAProxy as `deploy/` configures them, in front of hosts of this machine.

The files are used as they are; only what an operator puts in is put in here: addresses, ports, the certificate.
"""

from __future__ import annotations

import datetime
import re
import shutil
import ssl
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bench.peers import ROOT, PeerError, free_port, running, wait_for_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DEPLOY = ROOT / "deploy"
HOSTS = ("10.0.0.11:8000", "10.0.0.12:8000")
"""What both files have in the place of hosts."""
MAIN = """\
daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  include {folder}/headrace.conf;
}}
"""
DAYS = datetime.timedelta(days=2)


def program(name: str) -> str | None:
    """Where it is, on PATH or where Debian keeps servers."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin")


class Front:
    """A balancer that runs: its port, and how a client trusts it."""

    def __init__(self, port: int, certificate: Path) -> None:
        self.port = port
        self.url = f"https://127.0.0.1:{port}"
        self.trust = ssl.create_default_context(cafile=certificate)


@contextmanager
def nginx(hosts: Sequence[int], folder: Path) -> Iterator[Front]:
    """In front of two ports of 127.0.0.1, which may be the same. Raises PeerError."""
    port, name = free_port(), _found("nginx")
    certificate, key = make_certificate(folder)
    text = _with_hosts((DEPLOY / "nginx" / "headrace.conf").read_text(), hosts)
    text = put(text, "listen 443 ", f"listen 127.0.0.1:{port} ")
    text = put(text, "/etc/headrace/tls/fullchain.pem", str(certificate))
    text = put(text, "/etc/headrace/tls/privkey.pem", str(key))
    (folder / "headrace.conf").write_text(text)
    main = folder / "nginx.conf"
    main.write_text(MAIN.format(folder=folder))
    words = [name, "-p", str(folder), "-e", f"{folder}/error.log", "-c", str(main)]
    with running(words, folder, frozenset()) as process:
        wait_for_port(port, process, folder)
        yield Front(port, certificate)


@contextmanager
def haproxy(hosts: Sequence[int], folder: Path) -> Iterator[Front]:
    """The same."""
    port, name = free_port(), _found("haproxy")
    certificate, key = make_certificate(folder)
    both = folder / "headrace.pem"
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    text = _with_hosts((DEPLOY / "haproxy" / "haproxy.cfg").read_text(), hosts)
    text = put(text, "bind :443 ", f"bind 127.0.0.1:{port} ")
    text = put(text, "/etc/headrace/tls/headrace.pem", str(both))
    text = put(text, "maxconn 100000", "maxconn 1000")
    main = folder / "haproxy.cfg"
    main.write_text(text)
    with running([name, "-db", "-f", str(main)], folder, frozenset()) as process:
        wait_for_port(port, process, folder)
        yield Front(port, certificate)


BALANCERS = {"nginx": nginx, "haproxy": haproxy}


def put(text: str, there: str, here: str) -> str:
    """`here` in the place of what must be there once. Raises PeerError when it is not."""
    if text.count(there) != 1:
        raise PeerError(f"{there!r} is there {text.count(there)} times, not once")
    return text.replace(there, here)


def _with_hosts(text: str, ports: Sequence[int]) -> str:
    for host, port in zip(HOSTS, ports, strict=True):
        text = put(text, host, f"127.0.0.1:{port}")
    assert not re.search(r"10\.0\.0\.\d", text)
    return text


def _found(name: str) -> str:
    found = program(name)
    if found is None:
        raise PeerError(f"{name} was found neither on PATH nor in /usr/sbin")
    return found


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself, and its key: two files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "headrace")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAYS)
        .not_valid_after(now + DAYS)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate, private
