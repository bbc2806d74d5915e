# SPDX-License-Identifier: Apache-2.0
"""What is not our etcd, or does not behave like one: said in the log, in problems and in metrics; the last good view
stays, and all goes on by itself when the cause is gone."""
import json

import pytest

from bad_store import Front, World, complains, problem
from cluster_harness import Etcd, Node
from harness import wait_for


@pytest.fixture(scope="module", name="world")
def fixture_world():
    etcd = Etcd(1)
    front = Front(etcd.members[0].address)
    with World(etcd=etcd) as w:
        node = w.node
        node.stop()
        w.nodes[0] = Node(node.address, node.name, node.region, [front.url])
        node.close()
        w.node.spawn_only()
        wait_for(w.node.up, "it is up")
        w.front = front
        w.apply_all()
        yield w
        front.close()


def http(body, status="200 OK", kind="application/json", head=""):
    return (f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            f"{body}").encode()


@pytest.mark.parametrize("does, texts", [
    pytest.param("stopped", ["connect"], id="refuses"),
    pytest.param("hang", ["no answer"], id="accepts-and-never-answers"),
    pytest.param(http("<html><title>Gateway</title></html>", kind="text/html"), ["JSON gateway"], id="html"),
    pytest.param(http("<html>Bad Gateway</html>", "502 Bad Gateway", "text/html"), ["502"], id="proxy-502"),
    pytest.param(http("404 page not found", "404 Not Found", "text/plain"), ["404"], id="no-etcd-404"),
    pytest.param(http("", "302 Found", head="Location: http://192.0.2.1/\r\n"), ["302"], id="redirect"),
    pytest.param(http('{"etcdserver": "2.3.8", "etcdcluster": "2.3.0"}'), ["version is 2.3.8"], id="etcd-2"),
    pytest.param(http('{"etcdserver": 3}'), ["JSON gateway"], id="version-no-text"),
    pytest.param(http("[" * 100000), ["JSON gateway"], id="nested"),
    pytest.param(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (1 << 20), ["JSON gateway", "over its bound"], id="too-long"),
    pytest.param(b"\x00\xff\x15\x03\x01 nonsense\r\n\r\n", [""], id="garbage"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n{", [""], id="cut"),
])
def test_an_endpoint_that_is_no_etcd(world, does, texts):
    with world.stays():
        world.front.set(does)
        complains(world.node, "StoreAway", "no quorum of etcd is heard", *texts, log=False)
        assert world.node.metrics()["gtm_etcd_up"] == 0
    endpoint = world.node.status()["cluster"]["store"]["endpoints"][0]
    assert endpoint["error"] and all(t in endpoint["error"] for t in texts), endpoint
    assert all(t in world.node.log_text() for t in texts)
    world.front.set("pass")
    world.followed()
    assert problem(world.node, "StoreAway") is None and world.node.metrics()["gtm_etcd_up"] == 1


def test_another_etcd_at_the_address_while_it_runs(world):
    """Its data was replaced, or the address is another cluster's now: refused, until the old one is back or adopted."""
    with Etcd(1, first=110) as other:
        with world.stays():
            world.front.set("pass", to=other.members[0].address)
            found = complains(world.node, "StoreRefused", "another cluster", log=True)
            assert "snapshot adopt" in found["hint"]
            metrics = world.node.metrics()
            assert metrics["gtm_store_refused"] == 1 and metrics["gtm_etcd_up"] == 0
        ran = world.node.ctl("endpoint", "drain", "www/www-us-east", "--yes", "--reason", "x")
        assert ran.code not in (0, 3) and "refused" in ran.err, ran.err
        assert other.keys() == [], "nothing was written there"
        world.front.set("pass", to=world.etcd.members[0].address)
        world.followed()
        assert problem(world.node, "StoreRefused") is None and world.node.metrics()["gtm_store_refused"] == 0


def test_another_etcd_found_at_the_start(world):
    with Etcd(1, first=110) as other:
        with world.stays():
            world.node.stop()
            world.front.set("pass", to=other.members[0].address)
            world.node.spawn_only()
            wait_for(world.node.up, "it is up")
            complains(world.node, "StoreRefused", "another cluster")
        assert other.keys() == []
        world.front.set("pass", to=world.etcd.members[0].address)
        world.followed()


def test_an_etcd_that_is_adopted(world):
    """An empty one: what is served stays, verdicts are made anew, and what was applied is applied again."""
    with Etcd(1, first=110) as other:
        with world.stays():
            world.front.set("pass", to=other.members[0].address)
            complains(world.node, "StoreRefused", "another cluster")
        assert world.node.ctl("snapshot", "adopt", "--yes", "--reason", "new members").code == 0
        wait_for(lambda: problem(world.node, "StoreRefused") is None, "it is ours now")
        world.wait_leader()
        world.agreed("us-east")
        assert json.loads(other.get("store/id"))["epoch"] == 2
        ours, world.etcd.members = world.etcd.members, other.members
        try:
            world.apply_all()
            world.followed()
            assert json.loads(world.node.ctl("audit", "verify", "-o", "json").out)["item"]["sound"]
        finally:
            world.etcd.members = ours
        world.front.set("pass", to=world.etcd.members[0].address)
        complains(world.node, "StoreRefused", "another cluster")
        assert world.node.ctl("snapshot", "adopt", "--yes", "--reason", "and back").code == 0
        world.followed()
