# SPDX-License-Identifier: Apache-2.0
"""Orders in a cluster: from any node to all, one at a time, and shifts that outlive their leader."""
import json
import re
import threading

import pytest

from cluster_harness import REGIONS, gtm_cluster
from harness import ROOT, cluster, wait_for

FIRST = "first.example.com"
RULES = """\
rules:
  - {name: never-empty, kind: answers_left, min: 1}
  - {name: one-at-a-time, kind: regions_out, max: 1}
"""


@pytest.fixture(scope="module", name="world")
def fixture_world():
    with gtm_cluster(nodes=1) as c:
        c.apply(cluster(addresses=[c.place.web(r) for r in REGIONS], extra=RULES), args=["--allow-mass-delete"])
        c.wait_healthy()
        yield c


def test_status_shows_the_cluster(world):
    leader = world.wait_leader()
    other = next(n for n in world.nodes if n is not leader)
    for node, mode in ((leader, "lead"), (other, "follow")):
        shown = node.ctl("status").out
        assert f"Cluster {mode}  leader {leader.name} ({leader.region})  nodes 3, 3 vote  view " in shown, shown
        assert "etcd fresh" in shown


def test_every_metric_is_in_the_manual(world):
    page = (ROOT / "deploy" / "man" / "gtmd.8").read_text()
    told = set(re.findall(r"^\.It Li (gtm_\w+)", page, re.M))
    families = set(re.findall(r"^# TYPE (gtm_\w+)", world.nodes[0].get("/metrics").body, re.M))
    assert "gtm_etcd_up" in families and families - told == set()


def moved(node, region="us-east"):
    return next(r for r in node.get("/traffic").items if r["name"] == region)["moved"]


def test_of_two_drains_at_once_one_wins(world):
    """Each alone is fine, together they break a rule: whoever comes second is refused."""
    codes = {}

    def drain(node, region):
        codes[region] = node.ctl("region", "drain", region, "--yes", "--reason", "race").code
    for _ in range(3):
        threads = [threading.Thread(target=drain, args=pair) for pair in zip(world.nodes, REGIONS)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        won = [r for r in REGIONS if codes[r] == 0]
        assert len(won) == 1 and {codes[r] for r in REGIONS if r not in won} <= {5, 6}, codes
        for node in world.nodes:
            wait_for(lambda n=node: [o["key"] for o in n.get("/overrides").items] == [f"region/{won[0]}"], "one order")
        assert world.nodes[0].ctl("region", "undrain", won[0]).code == 0
        for node in world.nodes:
            wait_for(lambda n=node: n.get("/overrides").items == [], "none")
    assert json.loads(world.nodes[1].ctl("audit", "verify", "-o", "json").out)["item"]["sound"]


def test_a_shift_goes_on_under_another_leader(world):
    leader = world.wait_leader()
    node = next(n for n in world.nodes if n is not leader)
    assert node.ctl("traffic", "shift", "--from", "us-east", "--steps", "20,60,100", "--pause", "3s", "--yes").code == 0
    leader.kill()
    home = world.place.web("us-east")
    for n in world.running():
        wait_for(lambda n=n: moved(n) == 1, f"{n.name} sees the last step")
        wait_for(lambda n=n: n.answers(FIRST) not in ([home], None), f"{n.name} answers so")
    leader.spawn_only()
    wait_for(leader.up, "it is back")
    assert node.ctl("traffic", "undo", "us-east").code == 0
    for n in world.nodes:
        wait_for(lambda n=n: moved(n) == 0 and n.answers(FIRST) == [home], f"{n.name}: all are back")


def test_an_order_ends_on_all(world):
    node = world.nodes[0]
    assert node.ctl("endpoint", "drain", "www/www-us-east", "--for", "2s", "--yes").code == 0
    for n in world.nodes:
        wait_for(lambda n=n: n.answers(FIRST) == [world.place.web("eu-west")], "drained")
    for n in world.nodes:
        wait_for(lambda n=n: n.get("/overrides").items == [] and n.answers(FIRST) == [world.place.web("us-east")], "over")
    # Once, by whoever leads, who says it.
    entries = [json.loads(line) for line in world.etcd.ctl("get", "/gtm/v1/audit/", "--prefix", "--print-value-only").splitlines() if line]
    ends = [e for e in entries if e["verb"] in ("order ended", "override end")]
    assert [(e["verb"], e["subject"]) for e in ends] == [("order ended", "endpoint/www/www-us-east")]
    told = [e["type"] for n in world.nodes for e in n.get("/events").items if e["subject"] == "endpoint/www/www-us-east"]
    assert told.count("OverrideExpired") == 1, told


def test_nodes_are_drained_in_batches_while_the_rest_can_vote(world):
    names = [n.name for n in world.nodes]
    for n in world.nodes:
        wait_for(lambda n=n: [o["state"] for o in n.get("/nodes").items] == ["serving"] * 3, "all are there")
    ran = world.nodes[2].ctl("node", "drain", names[0], names[1], "--yes")
    assert ran.code == 1 and "1 of 3 vantage regions" in ran.err, ran.err
    states = {o["name"]: o["admin"]["state"] for o in world.nodes[2].get("/nodes").items}
    assert states == {names[0]: "drain", names[1]: "auto", names[2]: "auto"}, "only the batch that failed is taken back"
    assert world.nodes[2].ctl("node", "undrain", names[0]).code == 0
