# SPDX-License-Identifier: Apache-2.0
"""The API over mutual TLS: who is let in, as what; wrong certificates of every kind; reloads; crowds."""
import contextlib
import json
import shutil
import socket
import ssl
import tempfile
import threading
import time

import pytest

from certs import API_PORT, Certs, Client, ask, connect, context, openssl
from gtmctl import run
from harness import ZONE, Gtmd, address, cluster, wait_for

ROLES = ("viewer", "operator", "admin", "breakglass")
FAILED = (ssl.SSLError, ConnectionError, BrokenPipeError)


@pytest.fixture(scope="module", name="certs")
def fixture_certs():
    folder = tempfile.mkdtemp(prefix="gtm-e2e-certs-")
    made = Certs(folder)
    made.node("us-east", "test-1")
    for role in ROLES:
        made.user(role, role[0] + "-user")
    yield made
    shutil.rmtree(folder)


def tls_node(certs, cert="test-1", n=1):
    """On the n-th address, which is its own: the module's node has the first."""
    node = Gtmd(cluster(), zones={"example.com.zone": ZONE})
    pem, key = certs.pair(cert)
    node.address = address(n)
    node.node_text = node.node_text.replace(address(1) + ":", node.address + ":").replace(address(1) + ",", node.address + ",")
    node.node_text = node.node_text.replace(
        f"api: {{socket: {node.socket}}}",
        f"api: {{socket: {node.socket}, listen: \"{node.address}:{API_PORT}\", "
        f"tls: {{ca: {certs.ca}, cert: {pem}, key: {key}}}}}")
    node.write("node.yaml", node.node_text)
    return node


@pytest.fixture(scope="module", name="node")
def fixture_node(certs):
    node = tls_node(certs)
    try:
        node.start()
        yield node
        assert node.stop() == 0, node.log_text()[-4000:]
    finally:
        node.close()


def user(certs, role):
    return certs.pair(role[0] + "-user")


# --- who is let in

def test_each_route_for_each_role(node, certs):
    """Allowed, or 403 that names both roles: never anything between."""
    routes = node.get("/routes").items
    assert {r["role"] for r in routes} >= {"viewer", "operator", "admin"}
    parties = [(role, user(certs, role), i) for i, role in enumerate(ROLES)] + [("node", certs.pair("test-1"), 0)]
    refused = allowed = 0
    for who, pair, rank in parties:
        client = Client(node.address, context(certs.ca, pair))
        with contextlib.closing(client):
            for route in routes:
                path = route["path"].removeprefix("/api/v1").replace("{", "none-").replace("}", "")
                dry = "?dryRun=true" if route["method"] != "GET" else ""
                reply = client.ask(route["method"], path + dry, body="" if route["method"] != "GET" else None)
                if rank >= ROLES.index(route["role"]):
                    assert reply.status != 403, (who, route, reply.body)
                    allowed += 1
                else:
                    assert reply.status == 403, (who, route, reply.body)
                    problem = reply.json
                    had = "viewer" if who == "node" else who
                    assert problem["code"] == "denied" and f"role {had};" in problem["detail"], problem
                    assert problem["detail"].endswith(f"needs role {route['role']}"), problem
                    assert reply.headers["Content-Type"] == "application/problem+json"
                    refused += 1
    assert refused >= 10 and allowed >= 100


def test_the_owner_is_who_the_certificate_names(node, certs):
    reply = ask(node.address, certs.ca, user(certs, "operator"), "PUT", "/pools/www/admin", '{"state": "drain", "reason": "x"}',
                {"Content-Type": "application/json", "X-Remote-User": "root", "From": "root"})
    assert reply.status == 200, reply.body
    assert reply.item["after"]["owner"] == "o-user"
    assert ask(node.address, certs.ca, user(certs, "operator"), "PUT", "/pools/www/admin", '{"state": "auto"}',
               {"Content-Type": "application/json"}).status == 200


def test_reload_needs_admin(node, certs):
    assert ask(node.address, certs.ca, user(certs, "operator"), "POST", "/reload").status == 403
    assert ask(node.address, certs.ca, user(certs, "admin"), "POST", "/reload").status == 200


def test_breaking_a_safety_rule_needs_breakglass(node, certs):
    """Whatever else a role may do; and never without a reason."""
    rules = ("--override-rule", "none")
    order = ("region", "drain", "us-east", "--yes")

    def ctl(role, *args):
        cert, key = user(certs, role)
        return run("--server", f"{node.address}:{API_PORT}", "--ca", certs.ca, "--cert", cert, "--key", key, *args)

    for role in ("operator", "admin"):
        got = ctl(role, *order, *rules, "--reason", "x")
        assert got.code == 10 and f"needs the role breakglass; you have {role}" in got.err, got.err
        body = {"state": "drain", "reason": "x", "override_rules": ["none"]}
        reply = ask(node.address, certs.ca, user(certs, role), "PUT", "/regions/us-east/admin?dryRun=true", json.dumps(body),
                    {"Content-Type": "application/json"})
        assert reply.status == 403 and reply.json["code"] == "denied", reply.body
    assert ctl("viewer", *order, *rules, "--reason", "x").code == 10
    assert ctl("breakglass", *order, *rules).code == 2
    assert node.get("/overrides").items == []
    got = ctl("breakglass", *order, *rules, "--reason", "INC-9")
    assert got.code == 0, got.err
    found = node.get("/overrides").items
    assert [(o["key"], o["owner"]) for o in found] == [("region/us-east", "b-user")]
    entry = node.get("/audit").items[-1]
    assert (entry["who"], entry["role"], entry["why"]) == ("b-user", "breakglass", "INC-9"), entry
    assert ctl("operator", "region", "undrain", "us-east").code == 0


# --- who is not

def refused_in_the_handshake(node, certs, pair, **kw):
    with pytest.raises(FAILED):
        with connect(node.address, context(certs.ca, pair, **kw)) as sock:
            sock.sendall(b"GET /api/v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            if not sock.recv(100):
                raise ConnectionResetError("closed without an answer")


@pytest.mark.parametrize("kind", ["none", "self-signed", "other-ca", "expired", "not-yet", "rsa1024", "server-only", "the-ca"])
def test_refused_in_the_handshake(node, certs, kind, tmp_path):
    good = "URI:gtm:user/admin/x"
    if kind == "none":
        pair = None
    elif kind == "self-signed":
        pair = certs.odd(kind, good, signed=False)
    elif kind == "other-ca":
        pair = Certs(tmp_path).user("admin", "x")
    elif kind == "expired":
        pair = certs.odd(kind, good, days=("20200101000000Z", "20200201000000Z"))
    elif kind == "not-yet":
        pair = certs.odd(kind, good, days=("20990101000000Z", "20990201000000Z"))
    elif kind == "rsa1024":
        pair = certs.odd(kind, good, newkey=("RSA", "rsa_keygen_bits:1024"))
    elif kind == "server-only":
        pair = certs.odd(kind, good, usage="serverAuth")
    else:
        pair = certs.pair("ca")
    version = ssl.TLSVersion.TLSv1_2 if kind == "rsa1024" else None  # its client must be told to show such a key
    refused_in_the_handshake(node, certs, pair, version=version)


@pytest.mark.parametrize("san", [
    None, "DNS:test-1", "URI:https://gtm:user/admin/x", "URI:gtm:user/root/x", "URI:gtm:user/admin/a b", "URI:gtm:user/admin/",
    "URI:gtm:user/viewer/x,URI:gtm:user/admin/x", "URI:GTM:user/admin/x",
    "DER:30:14:86:12:67:74:6D:3A:75:73:65:72:2F:61:64:6D:69:6E:2F:61:00:62"])  # gtm:user/admin/a NUL b
def test_no_identity_no_role(node, certs, san):
    """A certificate of the CA is not enough; its common name says nothing."""
    pair = certs.odd("gtm-user-admin-x", san)
    reply = ask(node.address, certs.ca, pair)
    assert reply.status == 403 and reply.json["code"] == "denied", reply.body
    assert reply.headers["Connection"] == "close"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_versions_are_refused(node, certs, version):
    refused_in_the_handshake(node, certs, user(certs, "viewer"), version=version)


def test_tls_1_2_is_enough_and_renegotiation_is_not(node, certs):
    made = context(certs.ca, user(certs, "viewer"), version=ssl.TLSVersion.TLSv1_2)
    client = Client(node.address, made)
    with contextlib.closing(client):
        assert client.ask("GET", "/version").status == 200 and client.sock.version() == "TLSv1.2"
        assert not client.sock.session_reused
        first = client.sock.session
    with connect(node.address, made) as again:
        assert first is None or not again.session_reused


def test_plain_http_is_no_way_in(node):
    with socket.create_connection((node.address, API_PORT), timeout=10) as sock:
        sock.sendall(b"GET /api/v1/status HTTP/1.1\r\nHost: x\r\n\r\n")
        got = b""
        with contextlib.suppress(ConnectionError):
            got = sock.recv(4096)
    assert not got.startswith(b"HTTP/")


# --- the socket

def test_the_socket_is_as_before(node):
    assert node.post("/reload").status == 200  # root, or gtmd's own user: everything


# --- crowds

def test_a_handshake_that_never_ends_is_closed(node, certs):
    begin = time.monotonic()
    with socket.create_connection((node.address, API_PORT), timeout=30) as silent, \
            socket.create_connection((node.address, API_PORT), timeout=30) as slow:
        hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200)
        silent.settimeout(30)

        def drip():
            with contextlib.suppress(OSError):
                for byte in hello:
                    slow.sendall(bytes([byte]))
                    time.sleep(0.1)

        dripper = threading.Thread(target=drip)
        dripper.start()
        with contextlib.suppress(ConnectionError):
            assert silent.recv(1) == b""
        assert ask(node.address, certs.ca, user(certs, "viewer")).status == 200
        with contextlib.suppress(ConnectionError):
            while slow.recv(100):
                pass
        took = time.monotonic() - begin
        dripper.join()
    assert 4 < took < 15, took


def test_a_thousand_connections(node, certs):
    """One address gets 128; those of others still come in; all are gone afterwards."""
    made = context(certs.ca, user(certs, "viewer"))
    open_socks, refused = [], 0
    try:
        for i in range(1000):
            sock = socket.socket()
            sock.settimeout(10)
            sock.bind((address(2), 0))
            try:
                sock.connect((node.address, API_PORT))
                open_socks.append(sock)
            except OSError:
                sock.close()
                refused += 1
            if i == 500:  # in the middle of it, another address
                with connect(node.address, made, source=address(3)) as other:
                    other.sendall(b"GET /api/v1/version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                    assert other.recv(100).startswith(b"HTTP/1.1 200")
        wait_for(lambda: 100 <= node.metrics()["gtm_api_connections"] <= 140, "no more than 128 of one address stay")
    finally:
        for sock in open_socks:
            sock.close()
    wait_for(lambda: node.metrics()["gtm_api_connections"] <= 4, "they are gone")
    assert ask(node.address, certs.ca, user(certs, "viewer")).status == 200


def test_many_who_are_allowed(node, certs):
    """100 kept-alive connections of one address, twice each."""
    made = context(certs.ca, user(certs, "viewer"))
    clients = [Client(node.address, made) for _ in range(100)]
    try:
        for _ in range(2):
            assert all(c.ask("GET", "/version").status == 200 for c in clients)
    finally:
        for c in clients:
            c.close()


# --- gtmctl

def test_gtmctl(node, certs, tmp_path):
    server = f"{node.address}:{API_PORT}"

    def ctl(role, *args, ca=certs.ca, **kw):
        cert, key = user(certs, role)
        return run("--server", server, "--ca", ca, "--cert", cert, "--key", key, *args, **kw)

    got = ctl("viewer", "pool", "list")
    assert got.code == 0 and "www" in got.out
    got = ctl("viewer", "reload")
    assert got.code == 10 and "v-user has role viewer; this needs role admin" in got.err
    assert ctl("admin", "reload").code == 0
    assert ctl("viewer", "status", "--node", "test-1").code == 0
    got = ctl("viewer", "status", "--node", "test-2")
    assert got.code == 3 and "it is node test-1, not test-2" in got.err
    other = Certs(tmp_path)
    got = ctl("viewer", "status", ca=other.ca)
    assert got.code == 3 and "not to be trusted" in got.err
    cert, key = other.user("admin", "x")
    got = run("--server", server, "--ca", certs.ca, "--cert", cert, "--key", key, "status")
    assert got.code == 10 and "refuses the certificate" in got.err, got.err
    got = run("--server", server, "status")
    assert got.code == 2 and "--ca" in got.err
    assert run("--ca", certs.ca, "status").code == 2
    assert run("--server", "nonsense", "--ca", "a", "--cert", "b", "--key", "c", "status").code == 2
    got = run("--server", f"{address(9)}:1", "--ca", certs.ca, "--cert", cert, "--key", key, "status")
    assert got.code == 3


def test_gtmctl_knows_a_server_that_is_no_node(certs, tmp_path):
    """A user's certificate of the same CA does not make a server, nor does one without identity."""
    listener = socket.create_server((address(4), API_PORT))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*certs.odd("fake", "URI:gtm:user/admin/x,DNS:test-1", usage="serverAuth,clientAuth"))

    def serve():
        with contextlib.suppress(OSError, ssl.SSLError):
            sock, _ = listener.accept()
            server.wrap_socket(sock, server_side=True).close()

    thread = threading.Thread(target=serve)
    thread.start()
    cert, key = user(certs, "admin")
    got = run("--server", f"{address(4)}:{API_PORT}", "--ca", certs.ca, "--cert", cert, "--key", key, "status")
    thread.join()
    listener.close()
    assert got.code == 3 and "it is gtm:user/admin/x, no node" in got.err


def test_contexts(node, certs, tmp_path):
    cert, key = user(certs, "viewer")
    (tmp_path / "gtm").mkdir()
    config = tmp_path / "gtm" / "gtmctl.yaml"
    one = f"{{name: one, server: \"{node.address}:{API_PORT}\", node: test-1, ca: {certs.ca}, cert: {cert}, key: {key}}}"
    config.write_text(f"current: one\ncontexts:\n  - {one}\n  - {one.replace('name: one', 'name: two').replace('test-1', 'test-9')}\n")
    env = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert "www" in run("pool", "list", env=env).out
    assert run("--context", "one", "pool", "list", env=env).code == 0
    got = run("--context", "two", "pool", "list", env=env)
    assert got.code == 3 and "not test-9" in got.err, got.err
    got = run("--context", "three", "pool", "list", env=env)
    assert got.code == 2 and "no context 'three'" in got.err
    assert run("--socket", str(node.socket), "pool", "list", env=env).code == 0
    config.write_text(f"current: four\ncontexts: [{one}, {one}]\n")
    got = run("pool", "list", env=env)
    assert got.code == 2 and "there is no context 'four'" in got.err and "'one' is defined twice" in got.err


# --- start and reload

@pytest.mark.parametrize("kind, text", [
    ("other-name", "the certificate is for gtm:node/us-east/test-2, and this node is gtm:node/us-east/test-1"),
    ("other-region", "the certificate is for gtm:node/eu-west/test-1"),
    ("user", "the certificate is for gtm:user/admin/test-1"),
    ("none", "no identity"),
    ("expired", "has expired"),
    ("missing", "No such file")])
def test_its_own_certificate(certs, kind, text):
    node = "URI:gtm:node/us-east/test-1"
    sans = {"other-name": "URI:gtm:node/us-east/test-2", "other-region": "URI:gtm:node/eu-west/test-1",
            "user": "URI:gtm:user/admin/test-1", "none": "DNS:test-1", "expired": node}
    if kind in sans:
        certs.odd("own-" + kind, sans[kind], usage="serverAuth,clientAuth",
                  days=("20200101000000Z", "20200201000000Z") if kind == "expired" else "30")
    one = tls_node(certs, cert="own-" + kind, n=10)
    with contextlib.closing(one):
        for args in (["--check"], []):
            code, out = one.run(*args, "--config", "node.yaml")
            assert code in (1, 2) and text in out and "api.tls.cert" in out, out


def test_reload_reads_certificates_again(tmp_path):
    """A new certificate and CA are used at once, also towards connections that are open; a wrong one changes nothing."""
    certs = Certs(tmp_path / "one")
    cert, key = certs.node("us-east", "test-1")
    old = certs.user("viewer", "old")
    one = tls_node(certs, n=11)
    with contextlib.closing(one):
        one.start()
        kept = Client(one.address, context(certs.ca, old))
        assert kept.ask("GET", "/version").status == 200
        serial = kept.sock.getpeercert()["serialNumber"]

        certs.odd("wrong", "URI:gtm:node/us-east/test-9", usage="serverAuth,clientAuth")
        good = (tmp_path / "one" / "test-1.pem").read_bytes()
        (tmp_path / "one" / "test-1.pem").write_bytes((tmp_path / "one" / "wrong.pem").read_bytes())
        reply = one.post("/reload")
        assert reply.status == 422 and "api.tls" in reply.body, reply.body
        (tmp_path / "one" / "test-1.pem").write_bytes(good)
        assert kept.ask("GET", "/version").status == 200

        certs.make("node", "us-east", "test-1", "--force")
        assert one.post("/reload").status == 200
        with connect(one.address, context(certs.ca, old)) as sock:
            assert sock.getpeercert()["serialNumber"] != serial
        assert kept.ask("GET", "/version").status == 200  # the same CA: still trusted

        certs.make("ca", "--force")
        certs.make("node", "us-east", "test-1", "--force")
        assert one.post("/reload").status == 200
        reply = kept.ask("GET", "/version")
        assert reply.status == 403 and "not trusted any more" in reply.json["detail"], reply.body
        with pytest.raises(FAILED):
            ask(one.address, certs.ca, old)
        certs.make("user", "viewer", "old", "--force")
        assert ask(one.address, certs.ca, old).status == 200
        kept.close()
        assert one.stop() == 0
    assert cert and key


def test_an_open_connection_ends_with_its_certificate(node, certs):
    soon = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + 4))
    pair = certs.odd("brief", "URI:gtm:user/viewer/brief", days=("20200101000000Z", soon))
    client = Client(node.address, context(certs.ca, pair))
    with contextlib.closing(client):
        assert client.ask("GET", "/version").status == 200
        wait_for(lambda: client.ask("GET", "/version").status == 403, "the end of the certificate", every_s=0.3)


def test_it_says_when_its_certificate_ends(certs):
    certs.odd("ends", "URI:gtm:node/us-east/test-1", usage="serverAuth,clientAuth", days="3")
    one = tls_node(certs, cert="ends", n=12)
    with contextlib.closing(one):
        one.start()
        found = [p for p in one.get("/problems").items if p["subject"] == "api.tls"]
        assert found and found[0]["name"] == "CertificateExpiresSoon", found
        assert one.stop() == 0


def test_openssl_agrees(certs):
    for name, purpose in (("test-1", "sslserver"), ("test-1", "sslclient"), ("v-user", "sslclient")):
        openssl("verify", "-CAfile", certs.ca, "-purpose", purpose, certs.pair(name)[0])
