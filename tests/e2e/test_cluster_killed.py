# SPDX-License-Identifier: Apache-2.0
"""kill -9 while the copy of the cluster's state is saved: the next start has a whole one."""
import base64
import contextlib
import json
import os
import random
import signal
import threading
import time

from bad_store import FIRST, World
from harness import wait_for

SEED = 20261121
KILLS, NODES, FILLER = 30, 6, 500


def put_many(member, keys):
    """A copy that takes a while to save."""
    def b64(text):
        return base64.b64encode(text.encode()).decode()
    for i in range(0, len(keys), 100):
        ops = [{"request_put": {"key": b64("/gtm/v1/" + k), "value": b64(json.dumps({"v": 1, "x": "y" * 2000}))}}
               for k in keys[i:i + 100]]
        assert member.post("/v3/kv/txn", {"success": ops})["succeeded"]


def change(member, ended):
    """All the time, as far as etcd runs."""
    while not ended.wait(0.02):
        with contextlib.suppress(OSError):
            put_many(member, ["fleet/x/1"])


def half_written(node):
    return [n for n in os.listdir(node.dir / "data") if n.startswith(".cluster.jsonl.")]


def kill_all(nodes, rand):
    """Each at a moment of its own: two of three in the middle of saving. How many it was."""
    end = time.monotonic() + 2.8
    at = {n: end if rand.random() < 0.67 else time.monotonic() + rand.uniform(0, 2.5) for n in nodes}
    left, torn = list(nodes), 0
    while left:
        for node in list(left):
            if time.monotonic() >= at[node] or (at[node] == end and half_written(node)):
                node.kill()
                torn += bool(half_written(node))
                left.remove(node)
    return torn


def test_killed_while_it_saves():
    """Thirty times: the next start has a whole copy, never an older one than before, and answers from it without etcd."""
    rand = random.Random(SEED)
    with World(nodes=NODES) as world:
        world.apply_all()
        member = world.etcd.members[0]
        put_many(member, [f"fleet/filler/{i}" for i in range(FILLER)])
        ended, torn = threading.Event(), 0
        changes = threading.Thread(target=change, args=(member, ended), daemon=True)
        saved = {n: 0 for n in world.nodes}
        changes.start()
        try:
            for node in world.nodes:
                wait_for(lambda n=node: (n.dir / "data" / "cluster.jsonl").exists(), "a copy is saved")
            for done in range(4 * KILLS // NODES):
                if done >= KILLS // NODES and torn >= KILLS // 4:
                    break  # else chance has hit too few of them
                torn += kill_all(world.nodes, rand)
                member.signal(signal.SIGSTOP)
                for node in world.nodes:
                    node.spawn_only()
                for node in world.nodes:
                    wait_for(node.up, f"{node.name} starts")
                    wait_for(lambda n=node: n.answers(FIRST) == [world.place.web("us-east")], f"{node.name} answers")
                    store = node.status()["cluster"]["store"]
                    assert store["saved_copy"] and store["revision"] >= saved[node], (node.name, store, saved[node])
                    saved[node] = store["revision"]
                    assert not list((node.dir / "data").glob("*damaged*")) and "damaged" not in node.log_text()
                    assert not half_written(node), "what a dead one left is removed"
                member.signal(signal.SIGCONT)
                for node in world.nodes:
                    wait_for(lambda n=node: n.mode() in ("follow", "lead"), f"{node.name} follows", deadline_s=60)
        finally:
            member.signal(signal.SIGCONT)
            ended.set()
            changes.join()
        assert torn >= KILLS // 4, f"{torn} were hit while they saved (seed {SEED})"
        world.followed()
