# SPDX-License-Identifier: Apache-2.0
"""A node whose clock is an hour off: it says so; who leads, what is down and when orders end goes on as if it were not."""
import contextlib
import datetime
import os
import shutil
import struct
import tempfile
import time

import pytest

from bad_store import FIRST, complains, problem
from certs import API_PORT, Certs
from cluster_harness import Cluster, Etcd
from harness import BUILD, problem_names, wait_for

HOUR_MS = 3600000
ORDER_S = 3.0


def settle(node, certs):
    """Nodes that ask each other, a short session, and a clock that can be stepped."""
    cert, key = certs.node(node.region, node.name)
    text = node.node_text.replace("]}\ndns:", "], session_ttl: 2s}\ndns:").replace(
        f"socket: {node.socket}}}", f"socket: {node.socket}, listen: \"{node.address}:{API_PORT}\", "
        f"tls: {{ca: {certs.ca}, cert: {cert}, key: {key}}}}}")
    node.write("node.yaml", text)
    step(node, 0)
    asan = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
    node.prefix += ["env", f"LD_PRELOAD={BUILD / 'tests' / 'libclock_step.so'}", f"GTM_TEST_CLOCK={node.dir / 'clock'}",
                    f"ASAN_OPTIONS={asan}"]


def step(node, ahead_ms):
    with open(node.dir / "clock", "r+b" if (node.dir / "clock").exists() else "wb") as f:
        f.write(struct.pack("=q", ahead_ms))


@pytest.fixture(scope="module", name="world")
def fixture_world():
    with contextlib.ExitStack() as stack:
        folder = tempfile.mkdtemp(prefix="gtm-e2e-certs-")
        stack.callback(shutil.rmtree, folder)
        certs = Certs(folder)
        world = Cluster(nodes=1, etcd=stack.enter_context(Etcd(1)))
        for node in world.nodes:
            settle(node, certs)
        stack.enter_context(world)
        world.apply()
        world.wait_healthy()
        world.wait_leader()
        yield world


def agreed(world, want):
    for node in world.running():
        wait_for(lambda n=node: n.answers(FIRST) == [world.place.web(want)], f"{node.name} answers {want}")


def moved(world):
    world.webs["us-east"].set("stopped")
    agreed(world, "eu-west")
    world.webs["us-east"].set("ok")
    agreed(world, "us-east")


def iso(at):
    return datetime.datetime.fromtimestamp(at, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def drain(node, until):
    return node.put("/pools/www/endpoints/www-us-east/admin", {"state": "drain", "reason": "x", "until": until})


def order_ends_in_time(world, node):
    """An operator, whose clock is right, gives an order with an end through this node."""
    end = int(time.time()) + ORDER_S
    assert drain(node, iso(end)).status == 200
    agreed(world, "eu-west")
    agreed(world, "us-east")
    assert -0.1 <= time.time() - end <= 5, "by the time of most nodes"
    reply = drain(node, iso(end - 1000))
    assert reply.status == 400 and f"it is {iso(time.time())[:14]}" in reply.body, reply.body


def clock_is_off(world, node, ahead_ms):
    others = [n for n in world.nodes if n is not node]
    step(node, ahead_ms)
    found = complains(node, "ClockOff", "ahead of that of most others" if ahead_ms > 0 else "behind that of most others",
                      "ends of orders", log=False)
    assert "chrony" in found["hint"] and found["subject"] == node.name
    moved(world)
    order_ends_in_time(world, node)
    for other in others:
        assert "ClockOff" not in problem_names(other), f"{other.name} is right"
        ahead_s = other.metrics()[f'gtm_peer_clock_ahead_seconds{{peer="{node.name}"}}']
        assert abs(ahead_s - ahead_ms / 1000) < 5


@pytest.mark.parametrize("who", ["leader", "follower"])
def test_a_clock_an_hour_off(world, who):
    leader = world.wait_leader()
    fence = leader.get("/leader").item["fence"]
    node = leader if who == "leader" else next(n for n in world.nodes if n is not leader)
    pause = {"state": "paused", "reason": "x", "until": iso(time.time() + 1800)}
    assert world.nodes[0].put("/automation", pause).status == 200
    for ahead_ms in (HOUR_MS, -HOUR_MS):
        clock_is_off(world, node, ahead_ms)
        assert node.get("/automation").item["state"] == "paused", "an order with half an hour to go"
        assert {n.get("/leader").item["fence"] for n in world.nodes} == {fence}, "who led leads on"
    if who == "leader":
        node.kill()  # the next one has its verdicts, with times of its clock
        wait_for(lambda: (n := world.leader()) and n is not node, "another one leads")
        moved(world)
        node.spawn_only()
        wait_for(node.up, "it is up")
    step(node, 0)
    wait_for(lambda: problem(node, "ClockOff") is None and node.mode() in ("follow", "lead"), "all is well")
    assert node.put("/automation", {"state": "auto"}).status == 200
    moved(world)
