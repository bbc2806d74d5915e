# SPDX-License-Identifier: Apache-2.0
"""Load reports at work: least_connections, response_time and ewma move users in bounded steps, a full region sheds to
the next one of its clients' list, degraded endpoints take less. Web servers say their load in their health answer."""
import collections
import contextlib
import json

import pytest

from harness import WEB_PORT, ZONE, Web, address, gtmd, wait_for

ADDRESSES = [address(11), address(12), address(13)]
US, EU, AP = ADDRESSES


class Loaded(Web):
    """A web server whose health answer is a JSON document with its load."""

    def __init__(self, addr):
        self.report = {}
        super().__init__(addr)

    def _serve(self, con):
        try:
            while True:
                data = b""
                while b"\r\n\r\n" not in data:
                    part = con.recv(4096)
                    if not part:
                        return
                    data += part
                body = json.dumps(self.report).encode()
                con.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                            b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        except OSError:
            pass
        finally:
            with contextlib.suppress(OSError):
                con.close()


def intent(policy, pool=""):
    return f"""regions:
  - {{name: us-east, location: [38.9, -77.0]}}
  - {{name: eu-west, location: [53.3, -6.3]}}
  - {{name: ap-south, location: [1.35, 103.8]}}
monitors:
  - name: web
    kind: http
    port: {WEB_PORT}
    path: /healthz
    interval: 200ms
    timeout: 150ms
    load: {{load: /load, connections: /stats/connections, latency_ms: /stats/p95}}
pools:
  - name: www
    monitors: [web]
{pool}
    endpoints:
      - {{name: us, region: us-east, addresses: ["{US}"]}}
      - {{name: eu, region: eu-west, addresses: ["{EU}"]}}
      - {{name: ap, region: ap-south, addresses: ["{AP}"]}}
policies:
  - {{name: it, pool: www, {policy}, ttl: 1s}}
zones:
  - name: example.com
    file: example.com.zone
    names: [{{name: www, types: [A], policy: it}}]
"""


@contextlib.contextmanager
def running(policy, pool=""):
    servers = [Loaded(a) for a in ADDRESSES]
    try:
        with gtmd(intent(policy, pool), zones={"example.com.zone": ZONE}) as node:
            wait_for(lambda: all(e["health"] == "up" for e in node.get("/pools/www/endpoints").items), "all are up")
            yield node, servers
    finally:
        for server in servers:
            server.close()


def shares(node, asks=600):
    seen = collections.Counter(node.addresses("www.example.com")[0] for _ in range(asks))
    return [seen[a] / asks for a in ADDRESSES]


def report(servers, *reports):
    for server, one in zip(servers, reports):
        server.report = one


@pytest.mark.parametrize("steer, slow", [
    ("least_connections", {"stats": {"connections": 900, "p95": 5}}),
    ("response_time", {"stats": {"connections": 100, "p95": 90}}),
    ("ewma", {"stats": {"connections": 900, "p95": 90}}),
])
def test_users_leave_what_is_loaded(steer, slow):
    with running(f"steer: {steer}") as (node, servers):
        fine = {"stats": {"connections": 100, "p95": 5}}
        report(servers, fine, fine, fine)
        assert min(shares(node)) > 0.25, "equal at first"
        report(servers, slow, fine, fine)
        wait_for(lambda: shares(node)[0] < 0.29, "users leave the loaded one", deadline_s=40, every_s=1)
        now = shares(node)
        assert now[0] > 0.02, "in bounded steps: nobody empties an endpoint at once"
        assert abs(now[1] - now[2]) < 0.12


def test_what_says_nothing_keeps_its_weight():
    with running("steer: least_connections") as (node, servers):
        report(servers, {}, {"stats": {"connections": "many"}}, {"stats": [1]})
        wait_for(lambda: node.metrics().get('gtm_health_load_errors_total{monitor="web"}', 0) > 3, "bad reports are counted")
        seen = shares(node)
        assert min(seen) > 0.25 and len(node.addresses("www.example.com")) == 1


def test_a_full_region_sheds_to_the_next():
    pool = "    spillover: {low: 70%, high: 90%}\n"
    with running("steer: failover, order: [us-east, eu-west, ap-south]", pool) as (node, servers):
        report(servers, {"load": 0.5}, {"load": 0.2}, {"load": 0.2})
        assert node.addresses("www.example.com") == [US]
        report(servers, {"load": 1.3}, {"load": 0.2}, {"load": 0.2})
        wait_for(lambda: shares(node, 200)[1] > 0.02, "eu-west takes some", deadline_s=30, every_s=0.5)
        first = shares(node)
        assert first[0] > 0.7 and first[2] == 0, "in bounded steps, to the next region only"
        assert any(e["type"] == "Spillover" for e in node.get("/events").items)
        # nobody has room: nothing is shed
        report(servers, {"load": 1.3}, {"load": 1.2}, {"load": 1.2})
        wait_for(lambda: shares(node, 200)[0] == 1, "all are full: nobody is moved about", deadline_s=60, every_s=0.5)


def test_a_restart_and_a_successor_go_on_shedding():
    pool = "    spillover: {low: 70%, high: 90%}\n"
    with running("steer: failover, order: [us-east, eu-west, ap-south]", pool) as (node, servers):
        report(servers, {"load": 1.3}, {"load": 0.2}, {"load": 0.2})
        wait_for(lambda: shares(node)[1] > 0.15, "eu-west takes some", deadline_s=60, every_s=0.5)
        report(servers, {"load": 0.8}, {"load": 0.2}, {"load": 0.2})  # between the marks: it stays so
        assert node.stop() == 0
        node.start()
        assert shares(node)[1] > 0.04, "from the first answer on"
        old = node.process
        node.process = node.spawn("--config", "node.yaml", "--replace")
        assert old.wait(timeout=60) == 0
        wait_for(node.ready, "the successor serves")
        assert shares(node)[1] > 0.04
