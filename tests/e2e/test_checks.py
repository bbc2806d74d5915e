# SPDX-License-Identifier: Apache-2.0
"""dns checks of Knot, NSD and gtmd itself, icmp checks of this host, grpc checks of the gRPC library's own server, with
and without TLS."""
import contextlib
import subprocess
import sys
import tempfile
import textwrap
import time

import pytest
from harness import DNS_PORT, ZONE, address, cluster, gtmd, wait_for

import dns_peers
from check_peers import Authority, checks_intent, expect_told, listens, told

SERVER = address(11)
PORT = 20543
LARGE = "\n".join(f"many IN A 192.0.2.{i}" for i in range(60))
PEER_ZONE = "$ORIGIN example.org.\n" + ZONE + "www IN A 192.0.2.80\nwww IN AAAA 2001:db8::80\nalias IN CNAME www\n" + LARGE + "\n"

# The gRPC library's threads have no place in a test's process: the server is one of its own.
GRPC_SERVER = textwrap.dedent("""
    import concurrent.futures, sys, time
    import grpc

    states = {"": 1, "shop": 1, "down": 2, "who": 3, "none": 0}

    def check(request, context):
        name = request[2:].decode() if request else ""
        if name == "broken":
            context.abort(grpc.StatusCode.UNAVAILABLE, "out of beans")
        if name == "slow":
            time.sleep(30)
        if name not in states:
            context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return bytes([8, states[name]]) if states[name] else b""

    def serve(port, credentials=None, health=True):
        server = grpc.server(concurrent.futures.ThreadPoolExecutor(32))
        if health:
            method = grpc.unary_unary_rpc_method_handler(check)
            server.add_generic_rpc_handlers(
                (grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": method}),))
        if credentials:
            server.add_secure_port(port, credentials)
        else:
            server.add_insecure_port(port)
        server.start()
        return server

    addr, port, cert, key, ca = sys.argv[1], int(sys.argv[2]), *(open(p, "rb").read() for p in sys.argv[3:])
    servers = [serve(f"{addr}:{port}"), serve(f"{addr}:{port + 1}", grpc.ssl_server_credentials([(key, cert)])),
               serve(f"{addr}:{port + 2}", grpc.ssl_server_credentials([(key, cert)], ca, True)),
               serve(f"{addr}:{port + 3}", health=False)]
    print("ready", flush=True)
    time.sleep(600)
""")


@contextlib.contextmanager
def grpc_server(pki, name):
    process = subprocess.Popen([sys.executable, "-c", GRPC_SERVER, SERVER, str(PORT), str(pki.dir / f"{name}.pem"),
                                str(pki.dir / f"{name}.key"), str(pki.path)], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_grpc():
    with tempfile.TemporaryDirectory(prefix="gtm-pki-") as folder:
        pki = Authority(folder)
        pki.make("shop", "DNS:shop.example.com")
        pki.make("me", usage="clientAuth")
        name = f"tls: {{ca: {pki.path}, name: shop.example.com"
        checks = {
            "whole": (PORT, "kind: grpc"),
            "shop": (PORT, "kind: grpc, service: shop"),
            "down": (PORT, "kind: grpc, service: down"),
            "who": (PORT, "kind: grpc, service: who"),
            "none": (PORT, "kind: grpc, service: none"),
            "missing": (PORT, "kind: grpc, service: nobody"),
            "broken": (PORT, "kind: grpc, service: broken"),
            "slow": (PORT, "kind: grpc, service: slow"),
            "tls": (PORT + 1, f"kind: grpc, {name}}}"),
            "tls-wrong": (PORT + 1, f"kind: grpc, tls: {{ca: {pki.path}, name: web.example.com}}"),
            "tls-plain": (PORT, f"kind: grpc, {name}}}"),
            "plain-tls": (PORT + 1, "kind: grpc"),
            "mutual": (PORT + 2, f"kind: grpc, {name}, cert: {folder}/me.pem, key: {folder}/me.key}}"),
            "mutual-without": (PORT + 2, f"kind: grpc, {name}}}"),
            "no-health": (PORT + 3, "kind: grpc"),
            "nobody": (PORT + 9, "kind: grpc"),
        }
        text = checks_intent(checks).replace("timeout: 2s, rise: 1, kind: grpc, service: slow",
                                             "timeout: 400ms, rise: 1, kind: grpc, service: slow")
        with grpc_server(pki, "shop"), gtmd(text) as node:
            expect_told(node, {
                "whole": ("up", "SERVING"), "shop": ("up", "SERVING"), "tls": ("up", "SERVING"),
                "mutual": ("up", "SERVING"),
                "down": ("down", "NOT_SERVING, wanted SERVING"), "who": ("down", "SERVICE_UNKNOWN, wanted SERVING"),
                "none": ("down", "UNKNOWN, wanted SERVING"),
                "missing": ("down", 'the server does not know the service "nobody" (NOT_FOUND)'),
                "broken": ("down", "gRPC status 14, UNAVAILABLE: out of beans"),
                "slow": ("down", "no answer in 400 ms"),
                "tls-wrong": ("down", "the certificate is for shop.example.com, wanted web.example.com"),
                "tls-plain": ("down", ""), "plain-tls": ("down", ""),
                "mutual-without": ("down", "connection "),  # this server tells nobody why
                "no-health": ("down", "the server has no grpc.health.v1.Health service (UNIMPLEMENTED)"),
                "nobody": ("down", "connection refused"),
            })


def ask(name, kind, more="", expect=""):
    return f"kind: dns, ask: {{name: {name}, type: {kind}{more}}}" + (f", expect: {{{expect}}}" if expect else "")


DNS_CHECKS = {
    "a": (ask("www.example.org", "A", expect="answer: 192.0.2.80"), "up", "NOERROR, 1 records"),
    "aaaa": (ask("www.example.org", "AAAA", expect="answer: \"2001:DB8:0::80\""), "up", "NOERROR, 1 records"),
    "tcp": (ask("www.example.org", "A", ", transport: tcp"), "up", "NOERROR, 1 records"),
    "alias": (ask("alias.example.org", "A", expect="answer: 192.0.2.80"), "up", "NOERROR, 2 records"),
    "cname": (ask("alias.example.org", "A", expect="answer: www.example.org."), "up", "NOERROR, 2 records"),
    "txt": (ask("text.example.org", "TXT", expect="answer: '\"hello; world\" \"second\"'"), "up", "NOERROR, 1 records"),
    "large": (ask("many.example.org", "A", expect="answer: 192.0.2.59"), "up", "NOERROR, 60 records"),
    "lacks": (ask("www.example.org", "A", expect="answer: 192.0.2.81"), "down",
              "the answer lacks 192.0.2.81: 192.0.2.80"),
    "empty": (ask("plain.example.org", "AAAA", expect="answer: \"2001:db8::1\""), "down",
              "the answer is empty, wanted 2001:db8::1"),
    "nxdomain": (ask("nobody.example.org", "A"), "down", "rcode NXDOMAIN, wanted NOERROR"),
    "as-wanted": (ask("nobody.example.org", "A", expect="rcode: NXDOMAIN"), "up", "NXDOMAIN, 0 records"),
    "refused": (ask("www.example.net", "A"), "down", "rcode REFUSED, wanted NOERROR"),
}


@pytest.mark.parametrize("peer", [dns_peers.Knot, dns_peers.Nsd], ids=["knot", "nsd"])
def test_dns(peer):
    server = peer(SERVER, PORT + 20, {"example.org.": PEER_ZONE})
    try:
        server.start()
        checks = {k: (PORT + 20, v[0]) for k, v in DNS_CHECKS.items()}
        with gtmd(checks_intent(checks)) as node:
            expect_told(node, {k: v[1:] for k, v in DNS_CHECKS.items()})
            server.process.terminate()
            server.process.wait()
            expect_told(node, {k: ("down", "connection refused") for k in ("a", "tcp")})
    finally:
        server.stop()


def test_gtmd_checks_itself():
    """The answer of a dynamic name, over UDP and TCP."""
    text = cluster(extra="").replace(
        "monitors:\n", f"monitors:\n  - {{name: self, {ask('www.example.com', 'A')}, port: {DNS_PORT}, timeout: 2s}}\n"
        f"  - {{name: self-tcp, {ask('www.example.com', 'A', ', transport: tcp')}, port: {DNS_PORT}, timeout: 2s}}\n"
    ).replace("pools:\n", f"pools:\n  - {{name: self, monitors: [self, self-tcp], endpoints: [{{name: self, region: "
              f"us-east, addresses: [\"{address(1)}\"]}}]}}\n", 1)
    with gtmd(text, zones={"example.com.zone": ZONE}) as node:
        expect_told(node, {"self": ("up", "NOERROR, 1 records"), "self-tcp": ("up", "NOERROR, 1 records")})


def test_icmp():
    """This host answers, or says what it lacks: then the health stays unknown."""
    with gtmd(checks_intent({"ping": (0, "kind: icmp")})) as node:
        wait_for(lambda: told(node)["ping"][1], "a first result")
        health, evidence = told(node)["ping"]
        if "not checked" in evidence:
            assert "CAP_NET_RAW" in evidence and "ping_group_range" in evidence and health == "unknown"
            return
        expect_told(node, {"ping": ("up", "echo reply")})


def test_a_hundred_checks_that_hang_harm_nobody():
    """Of all kinds that connect, to a server that accepts and says nothing, beside one that is well."""
    import socket  # pylint: disable=import-outside-toplevel
    with socket.socket() as mute:
        mute.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        mute.bind((SERVER, PORT + 30))
        mute.listen(512)
        kinds = ["kind: http", "kind: https", 'kind: http, http_version: "2"', "kind: tls", "kind: grpc",
                 "kind: grpc, tls: {insecure: true}", ask("www.example.org", "A", ", transport: tcp"),
                 "kind: tcp, expect: {body: x}"]
        checks = {f"hang{i}": (PORT + 30, kinds[i % len(kinds)]) for i in range(100)}
        text = checks_intent(checks).replace("timeout: 2s", "timeout: 300ms")
        with gtmd(text) as node:
            wait_for(lambda: listens(SERVER, PORT + 30), "the mute server listens")
            expect_told(node, {k: ("down", "") for k in checks})
            now = told(node)
            assert now["hang0"][1] == "no answer in 300 ms"
            assert now["hang1"][1] == "TLS handshake not complete in 300 ms" == now["hang3"][1] == now["hang5"][1]
            assert now["hang4"][1] in ("no answer in 300 ms", "headers not complete in 300 ms")
            start = time.monotonic()
            assert node.get("/status").item["state"] == "serving" and time.monotonic() - start < 5
