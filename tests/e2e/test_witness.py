# SPDX-License-Identifier: Apache-2.0
"""Two serving regions and a witness, the commonest deployment: whatever one of the three is lost, the rest decides."""
import pytest

from cluster_harness import AGREE_S, REGIONS, Cluster, Etcd, OverWan
from harness import cluster, wait_for
from netns_harness import Wan

FIRST = "first.example.com"  # us-east, then eu-west
SERVING = ("us-east", "eu-west")
WITNESS = "ap-south"


def intent(place):
    """Two regions with a server each; the third only watches."""
    text = cluster(addresses=[place.web(r) for r in SERVING], regions=SERVING)
    return text.replace("monitors:\n", f"  - {{name: {WITNESS}, location: [1.35, 103.8]}}\n"
                        f"health: {{vantages: [{', '.join(REGIONS)}], quorum: majority}}\nmonitors:\n", 1).replace(
                            "interval: 200ms, timeout: 150ms", "interval: 500ms, timeout: 450ms")


@pytest.fixture(scope="module", name="module_world")
def fixture_module_world():
    with Wan(REGIONS, seed=4, delay_ms=10) as wan:
        place = OverWan(wan)
        with Etcd(3, place=place) as etcd, Cluster(
                nodes=1, etcd=etcd, place=place, roles={WITNESS: ["witness"]}) as world:
            world.wan = wan
            world.apply(intent(place))
            yield world


@pytest.fixture(name="world")
def fixture_world(module_world):
    module_world.wan.heal()
    whole(module_world, deadline_s=30)
    return module_world


def serving(world):
    return [n for n in world.nodes if n.region in SERVING]


def answer(world, want, nodes, deadline_s=20.0):
    for node in nodes:
        wait_for(lambda n=node: n.answers(FIRST) == [world.place.web(want)], f"{node.name} answers {want}",
                 deadline_s=deadline_s)


def whole(world, deadline_s=AGREE_S):
    """All nodes have the same view, each follows or leads, and both servers are up."""
    def same():
        states = [n.status()["cluster"] for n in world.nodes]
        return (len({s["view"] for s in states}) == 1 and sum(s["mode"] == "lead" for s in states) == 1 and
                all(s["mode"] in ("follow", "lead") for s in states) and
                all(n.answers(FIRST) == [world.place.web("us-east")] for n in serving(world)))
    wait_for(same, "all nodes agree", deadline_s=deadline_s)


def leads(nodes):
    return any(n.mode() == "lead" for n in nodes)


def other(region):
    return next(r for r in SERVING if r != region)


@pytest.mark.parametrize("lost", SERVING)
def test_a_serving_region_is_killed(world, lost):
    rest = [n for n in world.nodes if n.region != lost]
    world.kill_region(lost)
    answer(world, other(lost), [n for n in rest if n.region in SERVING])
    wait_for(lambda: leads(rest), "one of the two that are left leads")
    world.start_region(lost)
    whole(world, deadline_s=30)


@pytest.mark.parametrize("lost", SERVING)
def test_a_serving_region_is_cut_off(world, lost):
    inside, outside = world.region(lost), world.region(other(lost))
    world.wan.cut(lost)
    answer(world, other(lost), outside)
    wait_for(lambda: leads(outside + world.region(WITNESS)), "a node of the majority leads")
    for node in inside:
        wait_for(lambda n=node: n.mode() == "isolated", f"{node.name} knows that it is alone")
    answer(world, lost, inside)  # its own users reach nothing else
    world.wan.heal()
    whole(world)


def test_the_witness_is_cut_off(world):
    world.wan.cut(WITNESS)
    wait_for(lambda: world.region(WITNESS)[0].mode() == "isolated", "the witness knows that it is alone")
    wait_for(lambda: leads(serving(world)), "one of the others leads")
    # Two of three vantages still decide.
    world.webs["us-east"].set("stopped")
    answer(world, "eu-west", serving(world))
    world.webs["us-east"].set("ok")
    answer(world, "us-east", serving(world))
    world.wan.heal()
    whole(world)


def test_the_witness_is_killed(world):
    world.kill_region(WITNESS)
    wait_for(lambda: leads(serving(world)), "one of the others leads")
    world.webs["us-east"].set("stopped")
    answer(world, "eu-west", serving(world))
    world.webs["us-east"].set("ok")
    answer(world, "us-east", serving(world))
    world.start_region(WITNESS)
    whole(world, deadline_s=30)


def test_the_link_between_the_serving_regions_is_cut(world):
    """Each sees the other dead, the witness sees both alive: nobody moves."""
    world.wan.cut("us-east", others=["eu-west"])
    for region in SERVING:
        node = world.region(region)[0]
        wait_for(lambda n=node, r=region: next(h["health"] for h in n.get("/health?pool=www").items
                                               if h["endpoint"] == f"www-{other(r)}") == "down",
                 f"{node.name} does not see the other's server")
    wait_for(lambda: all(n.mode() in ("follow", "lead") for n in world.nodes), "all have etcd by the witness's region")
    for node in serving(world):
        health = world.health(node)
        assert health == {"www-us-east": "up", "www-eu-west": "up"}, "the verdict stands by two of three"
        assert node.answers(FIRST) == [world.place.web("us-east")]
    # And a real death is still known to all.
    world.webs["us-east"].set("stopped")
    answer(world, "eu-west", serving(world))
    world.webs["us-east"].set("ok")
    answer(world, "us-east", serving(world))
    world.wan.heal()
    whole(world)
