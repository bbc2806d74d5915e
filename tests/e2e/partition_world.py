# SPDX-License-Identifier: Apache-2.0
"""Six gtmd and three etcd members in three network namespaces whose links are cut and slowed: what tests of partitions
share. Import the fixtures by name."""
import pytest

from cluster_harness import AGREE_S, REGIONS, Cluster, Etcd, OverWan
from harness import cluster, wait_for
from netns_harness import Wan

FIRST = "first.example.com"  # us-east, then eu-west, then ap-south
# The time-out of an election is at least ten round trips of the slowest link (150 ms).
ETCD = ("--heartbeat-interval", "150", "--election-timeout", "1500")


@pytest.fixture(scope="module", name="wan")
def fixture_wan():
    with Wan(REGIONS, seed=3, delay_ms=10) as wan:
        yield wan


@pytest.fixture(scope="module", name="module_world")
def fixture_module_world(wan):
    place = OverWan(wan)
    with Etcd(3, place=place, extra=ETCD) as etcd, Cluster(etcd=etcd, place=place) as world:
        world.wan = wan
        text = cluster(addresses=[place.web(r) for r in REGIONS]).replace(
            "interval: 200ms, timeout: 150ms", "interval: 500ms, timeout: 450ms")
        world.apply(text)
        yield world


@pytest.fixture(name="world")
def fixture_world(module_world):
    world = module_world
    world.wan.set_all(cut=0, delay_us=5000, loss_ppm=0)
    for web in world.webs.values():
        web.set("ok")
    world.wait_leader()
    whole(world, deadline_s=30)
    return world


def others(region):
    return [r for r in REGIONS if r != region]


def modes(nodes):
    return [n.mode() for n in nodes]


def whole(world, deadline_s=AGREE_S):
    """All nodes say the same, of the same view, and each follows or leads."""
    def same():
        states = [n.status()["cluster"] for n in world.nodes]
        answers = [n.answers(FIRST) for n in world.nodes]
        return (len({s["view"] for s in states}) == 1 and all(s["mode"] in ("follow", "lead") for s in states) and
                answers == [[world.place.web("us-east")]] * len(answers))
    wait_for(same, "all nodes agree", deadline_s=deadline_s)


def agreed(world, want, nodes, deadline_s=20.0):
    for node in nodes:
        wait_for(lambda n=node: n.answers(FIRST) == [world.place.web(want)], f"{node.name} answers {want}",
                 deadline_s=deadline_s)


def sees(node, endpoint):
    """What this node's own checks say."""
    return next(h["health"] for h in node.get("/health?pool=www").items if h["endpoint"] == endpoint)
