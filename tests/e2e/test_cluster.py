# SPDX-License-Identifier: Apache-2.0
"""Six gtmd in three regions and three etcd members: one truth, whoever is lost."""
import json
import signal

import pytest

from cluster_harness import REGIONS, gtm_cluster
from harness import ZONE, cluster, wait_for

FIRST = "first.example.com"  # us-east, then eu-west, then ap-south


@pytest.fixture(name="world")
def fixture_world():
    with gtm_cluster() as c:
        yield c


def agreed(world, want, name=FIRST, nodes=None, deadline_s=20.0):
    """Every node that runs answers just this region's server."""
    for node in nodes or world.running():
        wait_for(lambda n=node: n.answers(name) == [world.place.web(want)], f"{node.name} answers {want}",
                 deadline_s=deadline_s)


def sees(node, endpoint):
    """What this node's own checks say."""
    return next(h["health"] for h in node.get("/health?pool=www").items if h["endpoint"] == endpoint)


def test_what_is_applied_and_seen_is_the_same_everywhere(world):
    agreed(world, "us-east")
    leaders = {n.status()["cluster"]["leader"]["node"] for n in world.nodes}
    assert len(leaders) == 1 and leaders == {world.wait_leader().name}
    views = wait_for(lambda: (v := {n.status()["cluster"]["view"] for n in world.nodes}) and len(v) == 1 and v, "one view")
    assert views == {json.loads(world.etcd.get("view/rev"))["rev"]}
    # A server dies: every node moves on, by the verdict of all vantages.
    world.webs["us-east"].set("stopped")
    agreed(world, "eu-west")
    verdict = json.loads(world.etcd.get("verdict/www"))
    assert verdict["e"]["www-us-east"]["4"]["h"] == "down"
    assert "regions" in verdict["e"]["www-us-east"]["4"]["c"]
    world.webs["us-east"].set("ok")
    agreed(world, "us-east")
    # Everything is in the store under leases or guards, and nothing else is there.
    kinds = {k.split("/")[0] for k in world.etcd.keys()}
    assert kinds <= {"blob", "intent", "node", "obs", "verdict", "view", "override", "leader", "head", "audit", "store",
                     "secret", "acts", "resume", "cool"}, kinds
    assert sorted(k for k in world.etcd.keys("node/")) == sorted(f"node/{n.name}" for n in world.nodes)


def test_a_nodes_entry_that_was_lost_comes_back(world):
    agreed(world, "us-east")
    name = world.nodes[0].name
    wait_for(lambda: len({n.status()["cluster"]["view"] for n in world.nodes}) == 1, "one view")
    for _ in range(2):
        world.etcd.ctl("del", f"/gtm/v1/node/{name}")
        wait_for(lambda: world.etcd.get(f"node/{name}"), f"{name} is a vantage again")


def test_an_order_given_to_one_node_is_in_force_on_all(world):
    node = world["ap-south-2"]
    assert node.ctl("endpoint", "drain", "www/www-us-east", "--yes", "--reason", "test").code == 0
    agreed(world, "eu-west")
    other = world["eu-west-1"].get("/pools/www/endpoints/www-us-east").item
    assert other["admin"]["state"] == "drain" and other["admin"]["reason"] == "test"
    # It outlives everybody.
    for n in world.nodes:
        n.kill()
    for n in world.nodes:
        n.spawn_only()
    for n in world.nodes:
        wait_for(n.up, f"{n.name} is up")
    agreed(world, "eu-west")
    assert world["us-east-1"].ctl("endpoint", "auto", "www/www-us-east", "--yes").code == 0
    agreed(world, "us-east")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_leader_that_dies_or_hangs_delays_no_user(world, how):
    leader = world.wait_leader()
    leader.signal(how)
    others = [n for n in world.nodes if n is not leader]
    world.webs["us-east"].set("stopped")
    # Without a leader every node merges by itself after two seconds.
    agreed(world, "eu-west", nodes=others, deadline_s=8.0)
    new = wait_for(lambda: next((n for n in others if n.mode() == "lead"), None), "another leads")
    assert new is not leader
    leader.signal(signal.SIGCONT)
    if how == signal.SIGKILL:
        leader.kill()
    world.webs["us-east"].set("ok")
    agreed(world, "us-east", nodes=others)
    if how == signal.SIGSTOP:
        wait_for(lambda: leader.mode() == "follow", "the old one follows")
        agreed(world, "us-east", nodes=[leader])


def test_without_etcd_the_last_answers_stay_also_after_a_restart(world):
    world.webs["us-east"].set("stopped")
    agreed(world, "eu-west")
    for member in world.etcd.members:
        member.kill()
    for node in world.nodes:
        wait_for(lambda n=node: n.mode() == "isolated", f"{node.name} knows that it is alone")
        assert node.metrics()["gtm_etcd_up"] == 0
    shown = world["eu-west-1"].ctl("status").out
    assert "Cluster isolated  leader " in shown and "etcd away" in shown
    verify = world["eu-west-1"].ctl("audit", "verify")
    assert verify.code == 1 and "cannot be checked" in verify.err and "broken" not in verify.err, "nobody is alarmed"
    again = world["us-east-1"]
    again.kill()
    again.spawn_only()
    wait_for(again.up, "it is up")
    agreed(world, "eu-west")
    # Own checks may take out what they see dead, but bring nothing back, and never take the last one.
    world.webs["eu-west"].set("stopped")
    agreed(world, "ap-south")
    world.webs["us-east"].set("ok")
    world.webs["ap-south"].set("stopped")
    for node in world.nodes:
        wait_for(lambda n=node: sees(n, "www-ap-south") == "down", f"{node.name} has seen it")
        assert node.answers(FIRST), "never empty"
    world.webs["ap-south"].set("ok")
    world.webs["eu-west"].set("ok")
    for member in world.etcd.members:
        member.start()
    agreed(world, "us-east")
    wait_for(lambda: all(n.mode() in ("follow", "lead") for n in world.nodes), "all follow again")


def test_a_server_that_died_without_etcd_gets_no_users_when_etcd_is_back(world):
    agreed(world, "us-east")
    for member in world.etcd.members:
        member.kill()
    for node in world.nodes:
        wait_for(lambda n=node: n.mode() == "isolated", f"{node.name} knows that it is alone")
    world.webs["us-east"].set("stopped")
    agreed(world, "eu-west")
    for member in world.etcd.members:
        member.start()

    def settled():
        sent = [n.name for n in world.nodes if n.answers(FIRST) == [world.place.web("us-east")]]
        assert not sent, f"{sent} send users back to the dead server"
        verdict = json.loads(world.etcd.get("verdict/www")) if world.etcd.leader() else {}
        down = verdict and verdict["e"]["www-us-east"]["4"]["h"] == "down"
        return down and all(n.mode() in ("follow", "lead") for n in world.nodes)

    wait_for(settled, "the verdict says so, too")
    agreed(world, "eu-west")


def test_a_lost_region_takes_leader_and_member_with_it(world):
    lost = world.wait_leader().region
    rest = [r for r in REGIONS if r != lost]
    others = [n for n in world.nodes if n.region in rest]
    world.kill_region(lost)
    agreed(world, next(r for r in REGIONS if r != lost), nodes=others)
    wait_for(lambda: any(n.mode() == "lead" for n in others), "a node of the others leads")
    world.start_region(lost)
    agreed(world, "us-east")
    wait_for(lambda: all(n.mode() in ("follow", "lead") for n in world.nodes), "all follow")


def test_a_second_intent_replaces_the_first(world):
    text = cluster(addresses=[world.place.web(r) for r in REGIONS]).replace("order: [us-east, eu-west, ap-south]",
                                                                           "order: [ap-south, eu-west, us-east]")
    world.apply(text, zones={"example.com.zone": ZONE + "extra IN A 192.0.2.5\n"})
    agreed(world, "ap-south")
    for node in world.nodes:
        assert node.answers("extra.example.com") == ["192.0.2.5"]
