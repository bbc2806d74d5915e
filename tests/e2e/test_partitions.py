# SPDX-License-Identifier: Apache-2.0
"""A region is cut off for real, with both leaders in it: what nodes answer meanwhile, that a minority publishes nothing,
and that all agree soon after healing."""
import base64
import contextlib
import json
import time

import pytest

from cluster_harness import REGIONS
from harness import wait_for
from partition_world import (FIRST, agreed, fixture_module_world, fixture_wan, fixture_world, modes,  # noqa: F401
                             others, sees, whole)  # pylint: disable=unused-import


def view(world, region):
    """view/rev as the region's own member has it, which may be alone."""
    key = base64.b64encode(b"/gtm/v1/view/rev").decode()
    reply = world.etcd.members[REGIONS.index(region)].post("/v3/kv/range", {"key": key, "serializable": True})
    return json.loads(base64.b64decode(reply["kvs"][0]["value"]))


def lead_etcd(world, region):
    """etcd's leader stands in the region."""
    member = world.etcd.members[REGIONS.index(region)]

    def moved():
        leader, status = world.etcd.leader(), member.status()
        if leader is not None and leader is not member and status:
            with contextlib.suppress(OSError):  # asked again
                leader.post("/v3/maintenance/transfer-leadership", {"targetID": status["header"]["member_id"]})
        return leader is member
    wait_for(moved, f"etcd's leader is in {region}", every_s=0.2)


@pytest.mark.parametrize("ways", ["both", "out", "in"])
def test_a_region_that_is_cut_off_with_both_leaders_in_it(world, ways):
    lost = world.wait_leader().region
    inside, outside = world.region(lost), [n for n in world.nodes if n.region != lost]
    lead_etcd(world, lost)
    world.wan.cut(lost, ways=ways)
    start = time.monotonic()
    # The majority goes on: another leads, and nobody is sent to the lost region.
    agreed(world, next(r for r in REGIONS if r != lost), outside)
    moved = time.monotonic() - start
    wait_for(lambda: any(m == "lead" for m in modes(outside)), "a node of the majority leads")
    # The others are isolated: their last answers stay, but for what they see dead themselves.
    for node in inside:
        wait_for(lambda n=node: n.mode() == "isolated", f"{node.name} knows that it is alone")
    agreed(world, lost, inside)
    # A minority takes no order and publishes nothing, though there is something new to publish.
    before = view(world, lost)
    world.webs[lost].set("stopped")
    order = inside[0].ctl("endpoint", "drain", "www/www-eu-west", "--yes", "--reason", "test")
    assert order.code != 0 and order.err, "an order is refused, and the operator is told"
    for node in inside:
        wait_for(lambda n=node: sees(n, f"www-{lost}") == "down", f"{node.name} sees its own server dead")
        assert node.answers(FIRST), "never empty"
        assert node.mode() == "isolated"
    assert view(world, lost) == before
    assert view(world, others(lost)[0])["by"] in {n.name for n in outside}
    world.webs[lost].set("ok")
    for node in inside:
        wait_for(lambda n=node: sees(n, f"www-{lost}") == "up", f"{node.name} sees its own server")
    world.wan.heal()
    start = time.monotonic()
    whole(world)
    print(f"{lost} cut {ways}: majority moved in {moved:.1f} s, all agreed {time.monotonic() - start:.1f} s after healing")
