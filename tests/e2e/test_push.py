# SPDX-License-Identifier: Apache-2.0
"""Heartbeats: endpoints that report themselves, over HTTP and HTTPS, to a real gtmd."""
import http.client
import json
import socket
import ssl
import subprocess

import pytest

from harness import ZONE, Gtmd, address, gtmd, wait_for

PUSH_PORT = 9180
TOKEN, OTHER = "s3cret-token", "another-token"


def push_cluster(interval="60s"):
    """Two endpoints under push monitors; `other` has a token of its own."""
    return f"""regions: [{{name: us-east, location: [38.9, -77.0]}}, {{name: eu-west, location: [53.3, -6.3]}}]
monitors:
  - {{name: beat, kind: push, token: {{file: beat.token}}, interval: {interval}, fall: 2, rise: 1}}
  - {{name: other, kind: push, token: {{file: other.token}}, interval: 60s, fall: 2, rise: 1}}
pools:
  - name: www
    monitors: [beat]
    endpoints:
      - {{name: a, region: us-east, addresses: ["{address(11)}", "2001:db8::1"]}}
      - {{name: b, region: eu-west, addresses: ["{address(12)}"]}}
  - name: mail
    monitors: [beat, other]
    endpoints:
      - {{name: m, region: us-east, addresses: ["{address(13)}"]}}
policies: [{{name: first, pool: www, steer: failover, order: [us-east, eu-west]}}]
zones:
  - {{name: example.com, file: example.com.zone, names: [{{name: www, types: [A, AAAA], policy: first}}]}}
"""


def start(interval="60s", node="", extra=None):
    zones = {"example.com.zone": ZONE, "beat.token": TOKEN + "\n", "other.token": OTHER + "\n", **(extra or {})}
    listen = f"push: {{listen: \"{address(1)}:{PUSH_PORT}\"{node}}}\n"
    return gtmd(push_cluster(interval), zones=zones, node=listen)


def connect(context=None):
    if context:
        return http.client.HTTPSConnection(address(1), PUSH_PORT, timeout=20, context=context)
    return http.client.HTTPConnection(address(1), PUSH_PORT, timeout=20)


def beat(target, body=None, token=TOKEN, method="POST", con=None, headers=None):
    """(status, the problem or None)"""
    own = con is None
    con = con or connect()
    headers = dict(headers or {})
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    if isinstance(body, dict):
        body = json.dumps(body)
    con.request(method, f"/v1/heartbeat/{target}", body=body, headers=headers)
    reply = con.getresponse()
    text = reply.read()
    if own:
        con.close()
    if reply.status >= 300:
        assert reply.getheader("Content-Type") == "application/problem+json", (reply.status, text)
        problem = json.loads(text)
        assert problem["status"] == reply.status and problem["title"] and problem["detail"]
        return reply.status, problem
    assert text == b""
    return reply.status, None


def ready():
    """The tokens are read soon after the start."""
    wait_for(lambda: beat("www/b")[0] == 204, "the first heartbeat is taken")


def checks(node, pool, endpoint):
    """{(monitor, family): check}"""
    return {(c["monitor"], c["family"]): c for c in node.get(f"/health?pool={pool}").items
            if c["endpoint"] == endpoint}


def health(node, pool, endpoint):
    return {key: check["health"] for key, check in checks(node, pool, endpoint).items()}


def families(node):
    return sorted({family for _, family in health(node, "www", "a")})


def test_heartbeats_decide_who_answers():
    with start() as node:
        ready()
        v4, v6 = families(node)
        assert beat("www/a") == (204, None)
        wait_for(lambda: set(health(node, "www", "a").values()) == {"up"}, "both families are up")
        assert node.addresses("www.example.com") == [address(11)]
        for _ in range(2):
            assert beat("www/a?family=4", {"status": "down", "text": "disk full"})[0] == 204
        wait_for(lambda: node.addresses("www.example.com") == [address(12)], "IPv4 left a")
        assert health(node, "www", "a") == {("beat", v4): "down", ("beat", v6): "up"}
        down = checks(node, "www", "a")[("beat", v4)]
        assert down["evidence"] == "disk full" and down["result"] == "answer"
        assert node.addresses("www.example.com", "AAAA") == ["2001:db8::1"]
        assert beat("www/a/beat", {"status": "up"})[0] == 204
        wait_for(lambda: node.addresses("www.example.com") == [address(11)], "a is back")
        metrics = node.metrics()
        assert metrics['gtm_push_heartbeats_total{status="down"}'] == 2


def test_silence_is_down():
    with start(interval="300ms") as node:
        ready()
        assert beat("www/a")[0] == 204
        wait_for(lambda: "down" in health(node, "www", "a").values(), "a was silent")
        check = next(iter(checks(node, "www", "a").values()))
        assert check["result"] == "silent" and check["evidence"].startswith("no heartbeat for ")
        with_beats = connect()

        def keep_alive():
            assert beat("www/a", con=with_beats)[0] == 204
            return set(health(node, "www", "a").values()) == {"up"}

        wait_for(keep_alive, "a is back", every_s=0.1)
        with_beats.close()


def test_load_comes_with_heartbeats_and_never_fails_them():
    with start() as node:
        ready()
        body = {"load": 0.4, "connections": "12", "latency_ms": 3.5, "more": [1]}
        assert beat("www/a", body)[0] == 204

        def load():
            found = [c.get("load") for c in checks(node, "www", "a").values()]
            return found if all(found) else None

        for one in wait_for(load, "the load is seen"):
            assert one == {"load": 0.4, "connections": 12, "latency_ms": 3.5}
        assert beat("www/a", {"load": "much"})[0] == 204
        wait_for(lambda: node.metrics()["gtm_push_load_errors_total"] >= 1, "the wrong load is counted")
        assert set(health(node, "www", "a").values()) == {"up"}


def test_who_may_send_what():
    with start() as node:
        ready()
        assert beat("mail/m", token=OTHER)[0] == 204  # only the monitor whose token it is
        wait_for(lambda: "up" in health(node, "mail", "m").values(), "m is up")
        assert sorted(health(node, "mail", "m").values()) == ["unknown", "up"]
        assert beat("mail/m/beat", token=OTHER)[0] == 401
        status, problem = beat("www/a", token="wrong")
        assert status == 401 and "wrong" in problem["detail"]
        assert beat("www/a", token=None)[0] == 401
        assert beat("no/such", token="wrong")[0] == 401  # tells nothing to strangers
        assert beat("no/such")[0] == 404
        assert beat("www/a/other")[0] == 404  # not a monitor of that pool
        assert beat("www/b?family=6")[0] == 404
        assert beat("www")[0] == 404
        assert beat("www/a/b/c")[0] == 404
        assert beat("www/a?family=5")[0] == 400
        assert beat("www/a?x=1")[0] == 400
        assert beat("www/a", method="GET")[0] == 405
        for body in ("{", "[]", "1", '{"status":"maybe"}', '{"status":1}', '{"status":"up"} x', "\xff"):
            assert beat("www/a", body)[0] == 400, body
        assert beat("www/a", '{"text":"' + "x" * 16384 + '"}')[0] == 413
        assert beat("www/a", '{"text":"' + "x" * 16000 + '"}')[0] == 204
        metrics = node.metrics()
        assert metrics['gtm_push_refused_total{reason="token"}'] == 4
        assert metrics['gtm_push_refused_total{reason="malformed"}'] >= 11
        assert TOKEN not in node.log_text() and "wrong" not in node.log_text().replace("a wrong token", "")


def test_guessing_is_slowed_down():
    with start() as node:
        ready()
        con = connect()
        seen = [beat("www/a", token=f"guess-{i}", con=con)[0] for i in range(14)]
        con.close()
        assert seen[:10] == [401] * 10 and seen[-1] == 429
        assert beat("www/a")[0] == 429  # the right one may not be tried either: no oracle
        assert node.metrics()['gtm_push_refused_total{reason="rate"}'] >= 4
        # Another address is not concerned.
        con = http.client.HTTPConnection(address(1), PUSH_PORT, timeout=20, source_address=(address(99), 0))
        assert beat("www/a", con=con)[0] == 204
        con.close()


def test_a_reload_reads_the_tokens_again():
    with start() as node:
        ready()
        node.write("beat.token", "fresh-token\n")
        assert node.post("/reload").status == 200
        wait_for(lambda: beat("www/a", token="fresh-token")[0] == 204, "the new token is taken", every_s=1.0)
        assert beat("www/a")[0] == 401
        (node.dir / "beat.token").unlink()
        node.post("/reload")
        assert beat("www/a", token="fresh-token")[0] == 204


def test_connections_are_bounded():
    with start() as node:
        ready()
        idle = []
        for _ in range(200):
            con = socket.create_connection((address(1), PUSH_PORT), timeout=20)
            idle.append(con)
        wait_for(lambda: node.metrics()['gtm_push_refused_total{reason="connections"}'] >= 70, "the rest is refused")
        assert node.metrics()["gtm_push_connections"] <= 128
        con = http.client.HTTPConnection(address(1), PUSH_PORT, timeout=20, source_address=(address(98), 0))
        assert beat("www/a", con=con)[0] == 204
        con.close()
        for con in idle:
            con.close()
        wait_for(lambda: beat_or_none() == 204, "there is room again")
        huge = connect()
        huge.putrequest("POST", "/v1/heartbeat/www/a")
        huge.putheader("X-Long", "x" * 20000)
        huge.endheaders()
        assert huge.getresponse().status == 400
        huge.close()


def beat_or_none():
    try:
        return beat("www/a")[0]
    except OSError:
        return None
    except http.client.HTTPException:
        return None


@pytest.fixture(name="certificate", scope="module")
def make_certificate(tmp_path_factory):
    where = tmp_path_factory.mktemp("tls")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "2", "-subj", "/CN=push", "-addext", f"subjectAltName=IP:{address(1)}",
                    "-keyout", where / "key.pem", "-out", where / "cert.pem"], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return where


def test_https(certificate):
    pem = {"cert.pem": (certificate / "cert.pem").read_text(), "key.pem": (certificate / "key.pem").read_text()}
    with start(node=", tls: {cert: cert.pem, key: key.pem}", extra=pem) as node:
        context = ssl.create_default_context(cafile=certificate / "cert.pem")
        wait_for(lambda: beat("www/a", con=connect(context))[0] == 204, "a heartbeat over TLS")
        wait_for(lambda: set(health(node, "www", "a").values()) == {"up"}, "a is up")
        con = connect(context)
        for _ in range(3):  # kept alive
            assert beat("www/a", con=con)[0] == 204
        con.close()
        plain = socket.create_connection((address(1), PUSH_PORT), timeout=20)
        plain.sendall(b"POST /v1/heartbeat/www/a HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"204" not in plain.recv(4096)
        plain.close()


def test_a_certificate_that_cannot_be_read_stops_the_start(certificate):
    extra = {"cert.pem": (certificate / "cert.pem").read_text(), "key.pem": "no key\n"}
    node = Gtmd(push_cluster(), zones={"example.com.zone": ZONE, "beat.token": "x", "other.token": "y", **extra},
                node=f"push: {{listen: \"{address(1)}:{PUSH_PORT}\", tls: {{cert: cert.pem, key: key.pem}}}}\n")
    try:
        code, text = node.run("--config", "node.yaml")
        assert code == 1 and "push.tls.key" in text and "key.pem" in text
    finally:
        node.close()
