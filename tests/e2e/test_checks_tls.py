# SPDX-License-Identifier: Apache-2.0
"""https and tls checks of a real nginx: HTTP/1.1 and 2, names, client certificates, every wrong kind of certificate,
and what a reload makes of changed files."""
import contextlib
import os
import pathlib
import signal
import subprocess
import tempfile

import pytest
from harness import address, gtmd, wait_for

from check_peers import Authority, checks_intent, expect_told, listens, nginx, told

SAN = "DNS:www.example.com"
SERVER = address(11)
FIRST_PORT = 20443


@pytest.fixture(scope="module", name="pki")
def made_pki():
    with tempfile.TemporaryDirectory(prefix="gtm-pki-") as folder:
        yield Authority(folder)


def server(pki, port, name, more="", chain=()):
    """An nginx block with a certificate, and those that are sent with it."""
    sent = pki.dir / f"{name}.sent.pem"
    sent.write_text("".join((pki.dir / f"{n}.pem").read_text() for n in (name, *chain)))
    return (f"listen {SERVER}:{port} ssl http2; ssl_certificate {sent}; ssl_certificate_key {pki.dir}/{name}.key; "
            f"ssl_ciphers ALL:@SECLEVEL=0; {more}")


def tls(pki, kind="https", more="", name="www.example.com", tls_more=""):
    return f"kind: {kind}{more}, tls: {{ca: {pki.path}, name: {name}{tls_more}}}"


@contextlib.contextmanager
def s_server(pki, port, name, *options):
    """openssl's own server."""
    process = subprocess.Popen(["openssl", "s_server", "-accept", f"{SERVER}:{port}", "-cert", f"{name}.pem", "-key",
                                f"{name}.key", "-quiet", *map(str, options)], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=pki.dir)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_every_wrong_certificate(pki):
    """Each is refused by both kinds, with a sentence that says what is wrong; none needs a look at the server."""
    other = Authority(pki.dir, "other")
    middle = Authority(pki.dir, "middle", issuer=pki)
    wrong = {
        "good": (pki.make("good", SAN), (), "up", ""),
        "deep": (middle.make("deep", SAN), ("middle",), "up", ""),
        "expired": (pki.make("expired", SAN, days=(-9, -2)), (), "down", "the certificate has expired: 20"),
        "future": (pki.make("future", SAN, days=(2, 9)), (), "down", "the certificate is not valid before 20"),
        "name": (pki.make("name", "DNS:other.example.com"), (), "down",
                 "the certificate is for other.example.com, wanted www.example.com"),
        "unknown": (other.make("unknown", SAN), (), "down",
                    "the issuer of the certificate is neither sent nor trusted here: CN=other"),
        "stranger": (other.make("stranger", SAN), ("other",), "down",
                     "the chain ends in an authority that is not trusted here: CN=other"),
        "incomplete": (middle.make("incomplete", SAN), (), "down",
                       "the issuer of the certificate is neither sent nor trusted here: CN=middle"),
        "purpose": (pki.make("purpose", SAN, usage="clientAuth"), (), "down",
                    "the certificate is not for TLS servers"),
        "weak": (pki.make("weak", SAN, rsa=1024), (), "down", "the certificate has a weak key: RSA of 1024 bits"),
        "sha1": (pki.make("sha1", SAN, md="sha1"), (), "down",
                 "the certificate has a weak signature: ecdsa-with-SHA1"),
    }
    pki.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "self.key",
                "-out", "self.pem", "-subj", "/CN=self", "-addext", f"subjectAltName={SAN}")
    wrong["self"] = ("self", (), "down", "the certificate is self-signed and not trusted here")
    blocks, checks, wanted = [], {}, {}
    for i, (key, (cert, chain, health, text)) in enumerate(wrong.items()):
        port = FIRST_PORT + i
        blocks.append(server(pki, port, cert, chain=chain))
        for kind in ("https", "tls"):
            checks[f"{key}-{kind}"] = (port, tls(pki, kind))
            ok = "HTTP 200" if kind == "https" else "TLSv1."
            wanted[f"{key}-{kind}"] = (health, text or ok)
    checks["soon"] = (FIRST_PORT, tls(pki, tls_more=", expires: 40d"))
    wanted["soon"] = ("down", "the certificate ends 20")
    checks["insecure"] = (FIRST_PORT + 2, "kind: https, tls: {insecure: true}")
    wanted["insecure"] = ("up", "HTTP 200")
    with nginx(blocks):
        wait_for(lambda: listens(SERVER, FIRST_PORT), "nginx listens")
        with gtmd(checks_intent(checks)) as node:
            expect_told(node, wanted)


def test_versions_names_and_clients(pki):
    pki.make("v", SAN)
    pki.make("me", usage="clientAuth")
    mutual = f"ssl_client_certificate {pki.path}; ssl_verify_client on;"
    blocks = [server(pki, FIRST_PORT, "v"), server(pki, FIRST_PORT + 1, "v").replace(" http2", ""),
              server(pki, FIRST_PORT + 2, "v", mutual), f"listen {SERVER}:{FIRST_PORT + 3} http2;",
              f"listen {SERVER}:{FIRST_PORT + 4};", server(pki, FIRST_PORT + 5, "v", "ssl_protocols TLSv1.1;"),
              server(pki, FIRST_PORT + 6, "v", "ssl_protocols TLSv1.2;")]
    body = ", expect: {body: is well}"
    me = f", cert: {pki.dir}/me.pem, key: {pki.dir}/me.key"
    checks = {
        "auto": (FIRST_PORT, tls(pki, more=body)),
        "one": (FIRST_PORT, tls(pki, more=', http_version: "1.1"' + body)),
        "two": (FIRST_PORT, tls(pki, more=', http_version: "2"' + body)),
        "auto-of-one": (FIRST_PORT + 1, tls(pki, more=body)),
        "two-of-one": (FIRST_PORT + 1, tls(pki, more=', http_version: "2"')),
        "shown": (FIRST_PORT + 2, tls(pki, tls_more=me)),
        "not-shown": (FIRST_PORT + 2, tls(pki, more=", expect: {status: [400]}")),  # how nginx says so
        "h2c": (FIRST_PORT + 3, 'kind: http, http_version: "2"' + body),
        "h2c-of-one": (FIRST_PORT + 4, 'kind: http, http_version: "2"'),
        "plain": (FIRST_PORT + 4, tls(pki)),
        "old": (FIRST_PORT + 5, tls(pki)),
        "twelve": (FIRST_PORT + 6, tls(pki, "tls")),
    }
    wanted = {k: ("up", "HTTP 200") for k in checks}
    wanted["not-shown"] = ("up", "HTTP 400")
    wanted["two-of-one"] = ("down", "the server speaks HTTP/1.1, wanted HTTP/2")
    wanted["h2c-of-one"] = ("down", "connection closed without an HTTP/2 answer")
    wanted["plain"] = ("down", "the server does not speak TLS")
    wanted["old"] = ("down", "the server speaks no TLS 1.2 or later")
    wanted["twelve"] = ("up", "TLSv1.2 handshake")
    checks["mutual-h2"] = (FIRST_PORT + 7, tls(pki, more=', http_version: "2"'))  # told after the handshake
    wanted["mutual-h2"] = ("down", "the server wants a client certificate")
    with nginx(blocks) as (access, _), s_server(pki, FIRST_PORT + 7, "v", "-Verify", "1", "-CAfile", pki.path, "-alpn", "h2"):
        wait_for(lambda: listens(SERVER, FIRST_PORT), "nginx listens")
        with gtmd(checks_intent(checks)) as node:
            expect_told(node, wanted)
        seen = {tuple(line.split()[:3]) for line in access.read_text().splitlines()}
    assert ("HTTP/2.0", "www.example.com", "www.example.com") in seen
    assert ("HTTP/1.1", "www.example.com", "www.example.com") in seen
    assert ("HTTP/2.0", SERVER, "-") in seen, "h2c, by the address"


def test_ipv6(pki):
    """By the address alone, and by a name at the address."""
    pki.make("six", SAN + ",IP:::1")
    port = 20000 + os.getpid() % 10000  # ::1 is not this process's own
    checks = {"address": (port, f"kind: https, tls: {{ca: {pki.path}}}"), "name": (port, tls(pki)),
              "tls": (port, tls(pki, "tls")), "wrong": (port, tls(pki, name="web.example.com")),
              "ping": (0, "kind: icmp")}
    with nginx([server(pki, port, "six").replace(SERVER, "[::1]")]) as (access, _):
        with gtmd(checks_intent(checks, {k: "::1" for k in checks})) as node:
            expect_told(node, {"address": ("up", "HTTP 200"), "name": ("up", "HTTP 200"), "tls": ("up", "TLSv1."),
                               "wrong": ("down", "the certificate is for www.example.com, ::1, wanted web")})
            wait_for(lambda: told(node)["ping"][1] == "echo reply" or "CAP_NET_RAW" in told(node)["ping"][1], "ICMPv6")
        assert {line.split()[2] for line in access.read_text().splitlines()} == {"www.example.com", "-"}


def test_changed_files_are_seen_by_a_reload(pki):
    """The authority's file is replaced: the next reload checks with the new one, the node keeps serving."""
    Authority(pki.dir, "successor")
    pki.make("r", SAN)
    trusted = pathlib.Path(pki.dir) / "trusted.pem"
    trusted.write_text(pki.path.read_text())
    check = {"web": (FIRST_PORT, f"kind: https, tls: {{ca: {trusted}, name: www.example.com}}")}
    with nginx([server(pki, FIRST_PORT, "r")]):
        wait_for(lambda: listens(SERVER, FIRST_PORT), "nginx listens")
        with gtmd(checks_intent(check)) as node:
            expect_told(node, {"web": ("up", "HTTP 200")})
            trusted.write_text((pki.dir / "successor.pem").read_text())
            node.process.send_signal(signal.SIGHUP)
            expect_told(node, {"web": ("down", "the issuer of the certificate is neither sent nor trusted here: CN=ca")})
            trusted.unlink()
            node.process.send_signal(signal.SIGHUP)
            wait_for(lambda: "trusted.pem" in told(node)["web"][1], "the lost file is told")
            assert told(node)["web"][0] == "down", "what was known stays"
            trusted.write_text(pki.path.read_text())
            node.process.send_signal(signal.SIGHUP)
            expect_told(node, {"web": ("up", "HTTP 200")})
