# SPDX-License-Identifier: Apache-2.0
"""Sticky, latency and nested policies as a real gtmd reads them from files and answers them."""
import random

import pytest

from harness import NO_RULES, ZONE, gtmd, wait_for

ENDPOINTS = {f"192.0.2.{i + 1}": (f"w{i}", region) for i, region in
             enumerate(["us-east", "us-east", "eu-west", "eu-west", "ap-south"])}
CLUSTER = """\
regions:
  - {name: us-east, location: [38.9, -77.0]}
  - {name: eu-west, location: [53.3, -6.3]}
  - {name: ap-south, location: [1.35, 103.8]}
pools:
  - name: www
    endpoints:
""" + "".join(f"      - {{name: {n}, region: {r}, addresses: [{a}]}}\n" for a, (n, r) in ENDPOINTS.items()) + """\
  - {name: own, endpoints: [{name: own, region: eu-west, addresses: [192.0.2.100]}]}
policies:
  - {name: stick, pool: www, steer: sticky}
  - {name: fast, pool: www, steer: latency, answers: 2, latency: {table: times.txt}}
  - {name: own, pool: own, steer: failover, order: [eu-west]}
  - name: routed
    pool: www
    steer: geo
    answers: 2
    routes: [{match: {networks: ["198.51.100.0/24"]}, policy: own}]
    default: [ap-south]
zones:
  - name: example.com
    file: example.com.zone
    names:
      - {name: stick, types: [A], policy: stick}
      - {name: fast, types: [A], policy: fast}
      - {name: routed, types: [A], policy: routed}
""" + NO_RULES
TIMES = """\
# network      region   ms
10.0.0.0/8     eu-west  20
10.0.0.0/8     us-east  30
10.1.0.0/16,ap-south,5
"""
US, EU, AP = (sorted(a for a, (_, r) in ENDPOINTS.items() if r == region)
              for region in ("us-east", "eu-west", "ap-south"))


@pytest.fixture(scope="module", name="node")
def fixture_node():
    with gtmd(CLUSTER, zones={"example.com.zone": ZONE, "times.txt": TIMES}) as node:
        yield node


def order(node, pool, endpoint, state):
    assert node.put(f"/pools/{pool}/endpoints/{endpoint}/admin", {"state": state}).status < 300


def one(node, net):
    got = node.addresses("stick.example.com", "A", net)
    assert len(got) == 1, got
    return got[0]


def test_only_the_networks_of_a_drained_endpoint_move(node):
    rnd = random.Random(9)
    nets = [f"{rnd.randrange(1, 224)}.{rnd.randrange(256)}.{rnd.randrange(256)}.0/24" for _ in range(600)]
    before = {net: one(node, net) for net in nets}
    for address, (name, _) in ENDPOINTS.items():
        share = sum(a == address for a in before.values()) / len(nets)
        assert 0.10 < share < 0.30, (name, share)  # 0.2, and five deviations
    gone = "192.0.2.3"
    order(node, "www", ENDPOINTS[gone][0], "drain")
    wait_for(lambda: gone not in {one(node, net) for net in nets[:50]}, "it is drained")
    after = {net: one(node, net) for net in nets}
    assert {net for net in nets if before[net] != after[net]} == {net for net in nets if before[net] == gone}
    assert len({after[net] for net in nets if before[net] == gone}) == 4, "all others share them"
    order(node, "www", ENDPOINTS[gone][0], "auto")
    wait_for(lambda: all(one(node, net) == before[net] for net in nets[:50]), "it is back")
    assert {net: one(node, net) for net in nets} == before


def fast(node, net):
    return node.addresses("fast.example.com", "A", net)


def test_measured_times_rank_and_a_wrong_table_changes_nothing(node):
    assert fast(node, "10.9.9.0/24") == EU
    assert fast(node, "10.1.9.0/24") == AP
    assert fast(node, "192.168.9.0/24") == US, "in no row and at no known place: the order of declaration"
    steps = node.get("/explain?name=fast.example.com&client=10.9.9.0/24").item["steps"]
    assert any("eu-west 20 ms, us-east 30 ms" in step for step in steps), steps
    node.write("times.txt", TIMES + "10.2.0.0/16 mars x\n")
    reply = node.post("/reload")
    wrong = [e for e in reply.json["errors"] if e["severity"] == "error"]
    assert reply.status == 422 and [e["line"] for e in wrong] == [5] and wrong[0]["file"].endswith("times.txt"), wrong
    assert fast(node, "10.9.9.0/24") == EU
    node.write("times.txt", "10.0.0.0/8 us-east 1\n")
    assert node.post("/reload").status == 200
    wait_for(lambda: fast(node, "10.9.9.0/24") == US, "the new table counts")
    assert fast(node, "10.1.9.0/24") == US
    order(node, "www", "w0", "drain")
    order(node, "www", "w1", "drain")
    wait_for(lambda: fast(node, "10.9.9.0/24") == EU, "the next region")
    order(node, "www", "w0", "auto")
    order(node, "www", "w1", "auto")


def routed(node, net):
    return node.addresses("routed.example.com", "A", net)


def test_a_route_leads_to_a_policy_and_to_the_default_when_that_is_out(node):
    assert routed(node, "198.51.100.0/24") == ["192.0.2.100"]
    assert routed(node, "203.0.113.0/24") == AP
    steps = node.get("/explain?name=routed.example.com&client=198.51.100.0/24").item["steps"]
    assert any("the route leads to policy own" in step for step in steps), steps
    order(node, "own", "own", "drain")
    wait_for(lambda: routed(node, "198.51.100.0/24") == AP, "the default")
    order(node, "own", "own", "auto")
    wait_for(lambda: routed(node, "198.51.100.0/24") == ["192.0.2.100"], "the policy again")
