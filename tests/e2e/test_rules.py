# SPDX-License-Identifier: Apache-2.0
"""Safety rules on a standalone node: what each refuses, why, how to go on, and what an override leaves behind."""
import http.client
import json

import pytest

from gtmctl import run
from harness import METRICS_PORT, ZONE, address, cluster, gtmd, health_of, wait_for, webs

US, EU, AP = (address(11 + i) for i in range(3))
REGIONS = ("us-east", "eu-west", "ap-south")


@pytest.fixture(scope="module", name="module_world")
def fixture_module_world():
    """With the rules that hold when a file has none."""
    text = cluster(extra="# no rules: here\n")
    with webs(US, EU, AP) as servers:
        with gtmd(text, zones={"example.com.zone": ZONE}) as node:
            yield node, servers


@pytest.fixture(name="world")
def fixture_world(module_world):
    node, servers = module_world
    for order in node.get("/overrides").items:
        node.post("/overrides/clear", {"key": order["key"]})
    for server in servers:
        server.set("ok")
    wait_for(lambda: set(health_of(node).values()) == {"up"}, "all endpoints are up")
    return module_world


def ctl(node, *args, code=0):
    done = run("--socket", str(node.socket), *args)
    assert done.code == code, (args, done.code, done.out, done.err)
    return done


def blocked_by(node, *args):
    """The rules that refuse it, as a dry run has them."""
    done = ctl(node, *args, "--dry-run", "-o", "json", code=5)
    return json.loads(done.out)["item"]["blocked_by"]


def admin_of(node, region):
    return node.get(f"/regions/{region}").item["admin"]["state"]


def test_defaults_are_shown(world):
    node, _ = world
    rules = node.get("/rules").items
    assert [(r["name"], r["default"]) for r in rules] == [
        ("never-empty", True), ("one-at-a-time", True), ("room", True), ("freeze", True), ("settle", True)]
    assert "change-freeze" in ctl(node, "rule", "list").out
    assert [r["name"] for r in node.get("/config").item["intent"]["rules"]] == [r["name"] for r in rules]


def test_a_region_is_drained_and_no_second_one(world):
    node, _ = world
    assert node.addresses("first.example.com") == [US]
    ctl(node, "region", "drain", "us-east", code=2)  # no terminal, and no --yes
    assert "dry run" in ctl(node, "region", "drain", "us-east", "--dry-run").out
    assert admin_of(node, "us-east") == "auto"
    done = ctl(node, "region", "drain", "us-east", "--reason", "INC-1", "--yes")
    assert "region/us-east: auto → drain, serving endpoints 3 → 2" in done.out
    assert node.addresses("first.example.com") == [EU] and admin_of(node, "us-east") == "drain"
    refused = ctl(node, "region", "drain", "eu-west", "--yes", code=5)
    assert "one-at-a-time" in refused.err and "us-east, eu-west" in refused.err and "settle" in refused.err
    assert admin_of(node, "eu-west") == "auto" and node.addresses("first.example.com") == [EU]
    body = node.put("/regions/eu-west/admin", {"state": "drain"})
    assert body.status == 409 and body.json["code"] == "blocked"
    assert body.json["blockedBy"] == ["one-at-a-time", "settle"]
    ctl(node, "region", "undrain", "us-east")
    assert node.addresses("first.example.com") == [US]
    # users of one region have just come home: those of another one stay for now
    assert blocked_by(node, "region", "drain", "eu-west") == ["settle"]
    ctl(node, "region", "drain", "us-east", "--yes")  # the same one again is fine


def test_no_answer_is_emptied(world):
    node, servers = world
    servers[1].set("stopped")
    servers[2].set("stopped")
    wait_for(lambda: health_of(node) == {"www-us-east": "up", "www-eu-west": "down", "www-ap-south": "down"}, "one left")
    refused = ctl(node, "endpoint", "drain", "www/www-us-east", "--yes", code=5)
    assert "never-empty" in refused.err and "1 → 0" in refused.err
    assert node.addresses("first.example.com") == [US]
    # what does not make it worse passes: an endpoint that is down anyway
    ctl(node, "endpoint", "drain", "www/www-eu-west", "--yes")
    assert ctl(node, "rule", "test", "pool/www", "down", code=5)
    assert ctl(node, "rule", "test", "region/us-east", "auto")
    assert ctl(node, "rule", "test", "zone/www", "down", code=2)


def test_a_freeze_holds_orders_but_not_the_way_back(world):
    node, _ = world
    ctl(node, "endpoint", "drain", "www/www-us-east", "--yes")
    ctl(node, "rule", "switch", "change-freeze", "on", "--reason", "holidays", "--for", "1h")
    ctl(node, "rule", "switch", "nobody-looks", "on", code=4)
    assert blocked_by(node, "endpoint", "drain", "www/www-us-east") == ["freeze"]
    assert "gtmctl rule switch change-freeze off" in ctl(node, "endpoint", "down", "www/www-us-east", "--yes", code=5).err
    ctl(node, "endpoint", "auto", "www/www-us-east")
    assert next(r for r in node.get("/rules").items if r["name"] == "freeze")["position"] == "on"
    ctl(node, "rule", "switch", "change-freeze", "off")
    ctl(node, "endpoint", "drain", "www/www-us-east", "--yes")


def test_a_dead_region_does_not_hold_its_users(world):
    """Rules for planned orders warn when the region's verdict is down."""
    node, servers = world
    ctl(node, "region", "drain", "eu-west", "--yes", "--override-rule", "settle", "--reason", "order of tests")
    ctl(node, "region", "undrain", "eu-west")
    servers[0].set("503")
    wait_for(lambda: health_of(node)["www-us-east"] == "down", "the region is down")
    done = ctl(node, "region", "drain", "us-east", "--yes", "--reason", "INC-3")
    assert "rule settle: warned" in done.err and admin_of(node, "us-east") == "drain"


def test_an_override_has_a_name_a_reason_and_leaves_traces(world):
    node, _ = world
    rules = "never-empty,one-at-a-time,room"
    ctl(node, "pool", "down", "www", "--yes", code=5)
    assert "reason" in ctl(node, "pool", "down", "www", "--yes", "--override-rule", rules, code=2).err
    ctl(node, "pool", "down", "www", "--yes", "--override-rule", "no-such-rule", "--reason", "x", code=4)
    assert blocked_by(node, "pool", "down", "www", "--override-rule", "room", "--reason", "x") == [
        "never-empty", "one-at-a-time"]
    done = ctl(node, "pool", "down", "www", "--yes", "--override-rule", rules, "--reason", "INC-4")
    assert "rule never-empty: overridden" in done.err
    shown = json.loads(ctl(node, "override", "show", "pool/www", "-o", "json").out)["item"]
    assert (shown["overridden_rules"], shown["reason"]) == (rules, "INC-4")
    problem = next(p for p in node.get("/problems").items if p["subject"] == "pool/www" and p["name"] == "RuleOverridden")
    assert problem["severity"] == "warning" and "never-empty" in problem["detail"]
    event = [e for e in node.get("/events").items if e["subject"] == "pool/www"][-1]
    assert "INC-4" in event["cause"] and "rules overridden: never-empty, one-at-a-time, room" in event["cause"]
    assert "pool/www" in ctl(node, "override", "list").out
    ctl(node, "override", "clear", "pool/www", "--reason", "it is over")
    ctl(node, "override", "clear", "pool/www", code=4)
    ctl(node, "override", "show", "pool/www", code=4)
    assert node.addresses("first.example.com") == [US]


def test_a_region_drains_in_steps_and_the_order_ends(world):
    node, _ = world
    ctl(node, "region", "drain", "ap-south", "--over", "2s", "--for", "4s", "--yes", "--override-rule", "settle",
        "--reason", "order of tests")
    endpoint = "/pools/www/endpoints/www-ap-south"
    assert "draining" in node.get(endpoint).item["addresses"][0]["share_reason"]
    wait_for(lambda: not node.get(endpoint).item["serves"], "it is drained")
    assert node.get(endpoint).item["effective_admin"] == "drain"
    wait_for(lambda: admin_of(node, "ap-south") == "auto", "the order has ended")
    assert node.get(endpoint).item["serves"]


def test_every_order_is_in_the_audit_chain(world):
    node, _ = world
    ctl(node, "endpoint", "drain", "www/www-eu-west", "--yes", "--reason", "INC-9")
    ctl(node, "endpoint", "auto", "www/www-eu-west", "--reason", "done")
    told = json.loads(ctl(node, "audit", "list", "-o", "json").out)["items"][-2:]
    assert [(e["verb"], e["subject"], e["why"]) for e in told] == [
        ("endpoint drain", "endpoint/www/www-eu-west", "INC-9"), ("endpoint auto", "endpoint/www/www-eu-west", "done")]
    assert {(e["node"], e["role"]) for e in told} == {("test-1", "breakglass")}
    assert "drain" in told[0]["after"] and "drain" in told[1]["before"]
    assert json.loads(ctl(node, "audit", "verify", "-o", "json").out)["item"]["sound"]


def readyz(node):
    con = http.client.HTTPConnection(node.address, METRICS_PORT, timeout=10)
    con.request("GET", "/readyz")
    status = con.getresponse().status
    con.close()
    return status


def test_a_drained_node_answers_but_is_not_ready(world):
    node, _ = world
    assert readyz(node) == 200
    assert "test-1" in ctl(node, "node", "list").out
    # all there is cannot go: the batch is taken back
    refused = ctl(node, "node", "drain", "test-1", "--batch", "2", "--yes", code=1)
    assert "no node is left" in refused.err and readyz(node) == 200
    assert node.put("/nodes/test-1/admin", {"state": "drain"}).status == 200
    assert readyz(node) == 503 and node.addresses("first.example.com") == [US]
    ctl(node, "node", "undrain", "test-1")
    assert readyz(node) == 200
    ctl(node, "node", "drain", "nobody", "--yes", code=4)


def test_what_only_a_cluster_has(world):
    node, _ = world
    for args in (["leader", "show"], ["leader", "resign", "--yes"], ["snapshot", "save", "/tmp/x"],
                 ["snapshot", "restore", "/tmp/x", "--reason", "x", "--yes"],
                 ["snapshot", "adopt", "--reason", "x", "--yes"]):
        assert "no etcd" in ctl(node, *args, code=6).err
