# SPDX-License-Identifier: Apache-2.0
"""Single links are cut, slowed and lose packets: nobody is cut off, and all nodes go on knowing the same."""
import signal
import time

import pytest

from harness import wait_for
from partition_world import (FIRST, agreed, fixture_module_world, fixture_wan, fixture_world, modes,  # noqa: F401
                             whole)  # pylint: disable=unused-import


def test_a_link_between_two_regions_is_cut_and_nothing_changes(world):
    world.wan.cut("us-east", others=["eu-west"])
    # etcd has a quorum by the third region, every server is seen by two regions of three.
    end = time.monotonic() + 8
    answers = set()
    while time.monotonic() < end:
        answers |= {tuple(n.answers(FIRST)) for n in world.nodes}
    assert answers == {(world.place.web("us-east"),)}
    wait_for(lambda: all(m in ("follow", "lead") for m in modes(world.nodes)), "all find the members that have a quorum")
    # What happens now is still known to all.
    world.webs["us-east"].set("stopped")
    agreed(world, "eu-west", world.nodes)
    world.webs["us-east"].set("ok")
    agreed(world, "us-east", world.nodes)
    world.wan.heal()
    whole(world)


@pytest.mark.parametrize("ways", ["out", "in"])
def test_a_link_of_one_direction(world, ways):
    world.wan.cut("us-east", others=["ap-south"], ways=ways)
    world.webs["us-east"].set("stopped")
    agreed(world, "eu-west", world.nodes)
    world.webs["us-east"].set("ok")
    agreed(world, "us-east", world.nodes)
    world.wan.heal()
    whole(world)


def test_slow_links_that_lose_packets(world):
    world.wan.set_all(delay_us=60000, jitter_us=15000, loss_ppm=50000)
    world.webs["us-east"].set("hang")
    agreed(world, "eu-west", world.nodes, deadline_s=30)
    world.webs["us-east"].set("ok")
    agreed(world, "us-east", world.nodes, deadline_s=30)
    leader = world.wait_leader()
    leader.signal(signal.SIGSTOP)
    rest = [n for n in world.nodes if n is not leader]
    try:
        world.webs["us-east"].set("stopped")
        agreed(world, "eu-west", rest, deadline_s=30)
        wait_for(lambda: any(m == "lead" for m in modes(rest)), "another leads")
    finally:
        leader.signal(signal.SIGCONT)
    world.webs["us-east"].set("ok")
    agreed(world, "us-east", world.nodes, deadline_s=30)
