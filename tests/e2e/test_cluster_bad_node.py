# SPDX-License-Identifier: Apache-2.0
"""A node that is wrong about itself: its name is another's. It says so; the others do not notice."""
import contextlib
import json

import pytest

from bad_store import complains, problem
from cluster_harness import Cluster, Node
from harness import address, problem_names, wait_for

FIRST = "first.example.com"  # us-east, then eu-west, then ap-south
TTL = ", session_ttl: 2s"


@pytest.fixture(scope="module", name="world")
def fixture_world():
    c = Cluster(nodes=1)
    first = c.nodes[0]
    first.write("node.yaml", first.node_text.replace("]}\ndns:", f"]{TTL}}}\ndns:"))
    with c:
        c.apply()
        c.wait_healthy()
        c.wait_leader()
        yield c


def agreed(world, want, nodes=None):
    for node in nodes or world.running():
        wait_for(lambda n=node: n.answers(FIRST) == [world.place.web(want)], f"{node.name} answers {want}")


# --- a name taken twice


@contextlib.contextmanager
def twin(world, name, number, region="eu-west"):
    """A gtmd of this name, with a folder and address of its own."""
    node = Node(address(number), name, region, world.etcd.urls, etcd=TTL)
    try:
        yield node.spawn_only()
    finally:
        node.close()


def leases(world, name):
    """Of all that is told under the name."""
    found = {}
    for key in [f"node/{name}"] + [k for k in world.etcd.keys("obs/") if k.startswith(f"obs/{name}/")]:
        kvs = json.loads(world.etcd.ctl("get", "/gtm/v1/" + key, "-w", "json")).get("kvs", [])
        found.update({key: kv.get("lease") for kv in kvs})
    return found


def moved(world, nodes):
    """A change of health, seen and told by all."""
    world.webs["us-east"].set("stopped")
    agreed(world, "eu-west", nodes)
    world.webs["us-east"].set("ok")
    agreed(world, "us-east", nodes)


def test_a_name_taken_twice(world):
    first = world["us-east-1"]
    with twin(world, first.name, 30) as second:
        wait_for(second.up, "the second is up")
        before = leases(world, first.name)
        assert len(before) == 2 and len(set(before.values())) == 1, before
        found = complains(second, "NodeNameTaken", "in region us-east", "has the name us-east-1", "no vote")
        assert found["severity"] == "critical" and found["since"] and "name of its own" in found["hint"]
        assert "NodeNameTaken" in second.ctl("problems").out and second.name in second.ctl("problems").out
        assert second.metrics()["gtm_node_name_taken"] == 1 and second.metrics()["gtm_vantage_fit"] == 0
        # It answers like the others; what it sees is told nowhere.
        moved(world, [*world.nodes, second])
        assert leases(world, first.name) == before
        assert json.loads(world.etcd.get("node/us-east-1"))["region"] == "us-east"
        assert not [k for k in world.etcd.keys("leader/") if json.loads(world.etcd.get(k))["region"] == "eu-west" and
                    json.loads(world.etcd.get(k))["node"] == first.name], "it does not stand for election"
        assert "NodeNameTaken" not in problem_names(first) and first.metrics()["gtm_node_name_taken"] == 0
        # Orders go through both.
        for node, state in ((second, "drain"), (first, "auto")):
            assert node.put("/pools/www/endpoints/www-us-east/admin", {"state": state, "reason": "x"}).status == 200
            agreed(world, "eu-west" if state == "drain" else "us-east", [*world.nodes, second])
        # The first goes: its lease runs out, and the name is free. Then it comes back.
        held = set(leases(world, first.name).values())
        first.kill()  # its lease runs out
        wait_for(lambda: problem(second, "NodeNameTaken") is None, "the name is free")
        wait_for(lambda: len(found := leases(world, first.name)) == 2 and not held & set(found.values()), "it tells what it sees")
        assert second.metrics()["gtm_node_name_taken"] == 0 and "for itself again" in second.log_text()
        moved(world, [*world.running(), second])
        first.spawn_only()
        wait_for(first.up, "the first is up")
        complains(first, "NodeNameTaken", "was there first")
        assert problem(second, "NodeNameTaken") is None
        moved(world, [*world.nodes, second])
    wait_for(lambda: problem(first, "NodeNameTaken") is None, "all is quiet")
    moved(world, world.nodes)


def test_the_same_node_again_is_no_other(world):
    """Killed and started at once, or handed over: it has its name from the start."""
    node = world["eu-west-1"]
    for how in ("killed", "handed over"):
        old = set(leases(world, node.name).values())
        if how == "killed":
            node.kill()
            node.spawn_only()
        else:
            gone, node.process = node.process, node.spawn("--config", "node.yaml", "--replace")
            assert gone.wait(20) == 0
        wait_for(lambda: len(found := leases(world, node.name)) == 2 and not old & set(found.values()),
                 "it tells what it sees", deadline_s=4)  # before the old lease ends
        assert "NodeNameTaken" not in problem_names(node), how


def test_two_that_start_at_once(world):
    with twin(world, "us-east-9", 32, "us-east") as a, twin(world, "us-east-9", 33, "us-east") as b:
        for node in (a, b):
            wait_for(node.up, "it is up")
        wait_for(lambda: a.metrics()["gtm_node_name_taken"] + b.metrics()["gtm_node_name_taken"] == 1, "one of them says it")
        found = leases(world, "us-east-9")
        assert len(found) == 2 and len(set(found.values())) == 1, found
