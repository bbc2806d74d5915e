# SPDX-License-Identifier: Apache-2.0
"""DNS over TLS by gtmd, asked by kdig, openssl and dnspython: answers, resumption, reload of
the certificate, wrong certificates at start and on reload."""
import contextlib
import re
import socket
import ssl
import subprocess

import dns.message
import dns.query
import dns.rcode
import pytest

from harness import ZONE, Gtmd, address, cluster, wait_for

TLS_PORT = 8853


def make_pair(folder, name, days=2):
    """A self-signed certificate and its key: (paths relative to the folder)."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                    str(days), "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}.example", "-keyout",
                    str(folder / f"{name}.key"), "-out", str(folder / f"{name}.pem")], check=True, capture_output=True)
    return f"{name}.pem", f"{name}.key"


def node_with(cert="one.pem", key="one.key", n=1):
    node = Gtmd(cluster(), zones={"example.com.zone": ZONE})
    node.node_text = node.node_text.replace(node.address, address(n))
    node.address = address(n)
    for name in ("one", "two"):
        make_pair(node.dir, name)
    node.node_text = node.node_text.replace(
        "threads: 1}", f"threads: 1, tcp: {{idle: 2s}}, tls: {{listen: [{{address: {node.address}, port: {TLS_PORT}}}], cert: {cert}, key: {key}}}}}")
    node.write("node.yaml", node.node_text)
    return node


@contextlib.contextmanager
def running(n=1):
    node = node_with(n=n)
    try:
        yield node.start()
        assert node.stop() in (None, 0)
    finally:
        node.close()


@pytest.fixture(scope="module")
def node():
    with running() as made:
        yield made


def run(*args, stdin=None):
    done = subprocess.run(args, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    return done.stdout


def s_client(node, *args):
    return run("openssl", "s_client", "-connect", f"{node.address}:{TLS_PORT}", *args, stdin="")


def common_name(node):
    found = re.search(r"subject=CN ?= ?(\w+)", s_client(node))
    return found and found.group(1)


def test_kdig(node):
    out = run("kdig", f"@{node.address}", "-p", str(TLS_PORT), "+tls", "plain.example.com", "A")
    assert "192.0.2.99" in out and "TLS" in out, out
    out = run("kdig", f"@{node.address}", "-p", str(TLS_PORT), "+tls", f"+tls-ca={node.dir}/one.pem",
              "+tls-hostname=one.example", "plain.example.com", "A")
    assert "192.0.2.99" in out, out
    # padding (RFC 7830, 8467), because the transport hides only what is in it
    out = run("kdig", f"@{node.address}", "-p", str(TLS_PORT), "+tls", "+padding=64", "plain.example.com", "A")
    assert re.search(r"Received 468 B", out), out
    # several questions over one connection
    out = run("kdig", f"@{node.address}", "-p", str(TLS_PORT), "+tls", "+keepopen", "plain.example.com", "A",
              "text.example.com", "TXT", "none.example.com", "A")
    assert "192.0.2.99" in out and "hello; world" in out and "NXDOMAIN" in out, out


def test_dnspython(node):
    query = dns.message.make_query("www.example.com", "A", use_edns=0)
    context = ssl.create_default_context(cafile=str(node.dir / "one.pem"))
    context.set_alpn_protocols(["dot"])
    reply = dns.query.tls(query, node.address, port=TLS_PORT, ssl_context=context, server_hostname="one.example", timeout=10)
    assert reply.rcode() == dns.rcode.NOERROR and reply.answer
    before = node.metrics()['gtm_dns_tls_handshakes_total{result="full"}']
    assert before >= 1


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_resumption(node, version):
    session = node.dir / f"session{version}"
    # a query on the connection, so that TLS 1.3 tickets have come before it ends
    first = resume(node, version, session, "-sess_out")
    assert "New, TLSv1" in first and "ALPN protocol: dot" in first, first
    second = resume(node, version, session, "-sess_in")
    assert "Reused, TLSv1" in second, second
    assert node.metrics()['gtm_dns_tls_handshakes_total{result="resumed"}'] >= 1


def resume(node, version, session, how):
    wire = dns.message.make_query("plain.example.com", "A").to_wire()
    done = subprocess.run(["openssl", "s_client", "-connect", f"{node.address}:{TLS_PORT}", version, "-alpn", "dot", how,
                           str(session), "-ign_eof"], input=len(wire).to_bytes(2, "big") + wire, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=60, check=False)
    assert b"\xc0\x00\x02\x63" in done.stdout  # 192.0.2.99
    return done.stdout.decode(errors="replace")


def test_old_versions_are_refused(node):
    for version in ("-tls1", "-tls1_1"):
        out = s_client(node, version, "-cipher", "ALL:@SECLEVEL=0")
        assert "Cipher is (NONE)" in out or "no protocols available" in out or "alert protocol version" in out, out
    out = s_client(node, "-alpn", "h2")
    assert "no application protocol" in out, out


def test_plain_octets_end_the_connection(node):
    with socket.create_connection((node.address, TLS_PORT), timeout=10) as s:
        s.sendall(b"\x00\x1dGET / HTTP/1.1\r\n\r\n and more")
        with contextlib.suppress(ConnectionResetError):
            while s.recv(4096):
                pass
    wait_for(lambda: node.metrics()['gtm_dns_tls_handshakes_total{result="failed"}'] >= 1, "it is counted")


def test_the_certificate_is_reloaded():
    with running(2) as node:
        assert common_name(node) == "one"
        query = dns.message.make_query("plain.example.com", "A")
        context = ssl._create_unverified_context()
        raw = socket.create_connection((node.address, TLS_PORT), timeout=10)
        with context.wrap_socket(raw) as stays:
            node.write("node.yaml", node.node_text.replace("one.pem", "two.pem").replace("one.key", "two.key"))
            assert node.post("/reload").status < 300
            wait_for(lambda: common_name(node) == "two", "the new certificate")
            reply = dns.query.tcp(query, node.address, port=TLS_PORT, sock=stays, timeout=10)
            assert reply.answer  # the old connection lives on
        # the same names, other content: read again, too
        (node.dir / "one.pem").replace(node.dir / "two.pem")
        (node.dir / "one.key").replace(node.dir / "two.key")
        assert node.post("/reload").status < 300
        wait_for(lambda: common_name(node) == "one", "the certificate's new content")
        # wrong ones: refused, and nothing changes
        make_pair(node.dir, "three")
        node.write("node.yaml", node.node_text.replace("one.pem", "two.pem").replace("one.key", "three.key"))
        reply = node.post("/reload")
        assert reply.status >= 400 and "does not belong to" in reply.body, reply.body
        node.write("node.yaml", node.node_text.replace("one.pem", "gone.pem"))
        reply = node.post("/reload")
        assert reply.status >= 400 and "gone.pem" in reply.body, reply.body
        assert common_name(node) == "one"


@pytest.mark.parametrize("cert, key, says", [
    ("one.pem", "two.key", "does not belong to"), ("none.pem", "one.key", "No such file"), ("one.key", "one.key", "certificate"),
    ("one.pem", "one.pem", "key"), ("garbage.pem", "one.key", "garbage.pem")])
def test_wrong_files_at_start(cert, key, says):
    node = node_with(cert, key, n=3)
    try:
        node.write("garbage.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        code, out = node.run("--config", "node.yaml")
        assert code in (1, 2) and says in out, out
    finally:
        node.close()


def test_pipelining(node):
    context = ssl.create_default_context(cafile=str(node.dir / "one.pem"))
    with context.wrap_socket(socket.create_connection((node.address, TLS_PORT), timeout=10),
                             server_hostname="one.example") as s:
        queries = [dns.message.make_query(name, "A", use_edns=0) for name in ("plain.example.com", "www.example.com") * 50]
        for query in queries:
            wire = query.to_wire()
            s.sendall(len(wire).to_bytes(2, "big") + wire)
        for query in queries:
            reply = dns.query.receive_tcp(s, expiration=None)[0]
            assert query.is_response(reply) and reply.answer
