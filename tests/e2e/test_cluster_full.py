# SPDX-License-Identifier: Apache-2.0
"""etcd's space quota is used up: nothing can be written, so nobody knows what others see, but no user is left at a dead
server."""
import base64

from cluster_harness import Etcd, gtm_cluster
from harness import problem_names, wait_for

FIRST = "first.example.com"  # us-east, then eu-west


def fill(etcd):
    """Until the alarm."""
    value = base64.b64encode(b"x" * 500000).decode()
    for n in range(100):
        reply = etcd.members[0].post("/v3/kv/put", {"key": base64.b64encode(b"junk%d" % n).decode(), "value": value})
        if "error" in reply:
            assert "space" in reply["error"], reply
            return
    raise AssertionError("the quota does not hold")


def test_a_server_that_dies_while_etcd_is_full():
    with Etcd(3, extra=("--quota-backend-bytes", str(8 << 20))) as etcd, gtm_cluster(nodes=1, etcd=etcd) as world:
        fill(etcd)
        world.webs["us-east"].set("stopped")
        for node in world.nodes:
            wait_for(lambda n=node: n.answers(FIRST) == [world.place.web("eu-west")], f"{node.name} leaves it",
                     deadline_s=10)
            wait_for(lambda n=node: n.mode() == "isolated" and "StoreFull" in problem_names(n), f"{node.name} says why")
        order = world.nodes[0].ctl("endpoint", "drain", "www/www-eu-west", "--yes")
        assert order.code != 0 and "space" in order.err, order.err
        assert all(n.answers("www.example.com") for n in world.nodes), "never empty"
        # The operator makes room.
        etcd.ctl("del", "junk", "--prefix")
        etcd.ctl("compact", str(etcd.members[0].status()["header"]["revision"]))
        etcd.ctl("defrag")
        etcd.ctl("alarm", "disarm")
        for node in world.nodes:
            wait_for(lambda n=node: n.mode() in ("follow", "lead"), f"{node.name} is one of them again")
            assert "StoreFull" not in problem_names(node)
            wait_for(lambda n=node: world.health(n)["www-us-east"] == "down", "all know it")
        world.webs["us-east"].set("ok")
        for node in world.nodes:
            wait_for(lambda n=node: n.answers(FIRST) == [world.place.web("us-east")], f"{node.name} comes back")
