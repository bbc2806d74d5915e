# SPDX-License-Identifier: Apache-2.0
"""Chunks of intents in etcd: those of an apply that was killed go, those that a revision names never, however chunks
are deleted while others apply."""
import base64
import json
import random
import struct
import threading
import time

import pytest

from cluster_harness import gtm_cluster
from harness import BUILD, ZONE, wait_for

PREFIX = "/gtm/v1/"


def b64(text):
    return base64.b64encode(text.encode()).decode()


def zone(seed, lines):
    """Records that share no chunk with those of another seed."""
    rand = random.Random(seed)
    return ZONE + "".join(f"r{i} TXT \"{rand.getrandbits(200):050x}\"\n" for i in range(lines))


def blobs(etcd):
    return set(etcd.keys("blob/"))


def named(etcd):
    """Chunks of all revisions in the store."""
    found = set()
    for key in etcd.keys("intent/rev/"):
        for file in json.loads(etcd.get(key))["files"]:
            found |= {"blob/" + c["sha256"] for c in file.get("blobs", [{"sha256": file["sha256"]}])}
    return found


def apply(world, node, text):
    (world.files / "example.com.zone").write_text(text)
    return node.ctl("apply", "-f", str(world.files / "cluster.yaml"), "--yes", "--allow-mass-delete")


def apply_whole(world, node, text):
    """Without an upload before it."""
    files = {"cluster.yaml": (world.files / "cluster.yaml").read_text(), "example.com.zone": text}
    return node.post("/intent", {"files": [{"name": n, "text": t} for n, t in files.items()], "allow_mass_delete": True})


@pytest.fixture(scope="module", name="world")
def fixture_world():
    with gtm_cluster(nodes=1, regions=("us-east",), apply=False) as c:
        node = c.nodes[0]
        c.clock = c.files / "clock"
        c.clock.write_bytes(struct.pack("=q", 0))
        node.kill()
        node.prefix = ["env", f"LD_PRELOAD={BUILD / 'tests' / 'libclock_step.so'}", f"GTM_TEST_MONOTONIC={c.clock}"]
        node.spawn_only()
        wait_for(node.up, "the node is up")
        c.apply()
        c.wait_leader()
        yield c


def test_what_a_killed_apply_left_goes(world):
    etcd, node = world.etcd, world.nodes[0]
    before = blobs(etcd)
    ended = []

    def run(seed):
        ended.append(apply(world, node, zone(seed, 14000)))

    for seed in range(5):  # until it was in the middle of it
        thread = threading.Thread(target=run, args=(seed,))
        thread.start()
        wait_for(lambda: blobs(etcd) - before, "chunks come")
        node.kill()
        thread.join()
        node.spawn_only()
        wait_for(node.up, "the node is back")
        world.wait_leader()
        left = blobs(etcd) - named(etcd)
        if ended[-1].code != 0 and left:
            break
        before = blobs(etcd)
    assert left and named(etcd) <= blobs(etcd)

    def counted():  # by the leader's first look
        return node.metrics().get("gtm_intent_chunks", 0) >= len(left)

    def later(hours):
        with open(world.clock, "r+b") as clock:  # in place: it is mapped
            at = struct.unpack("=q", clock.read(8))[0]
            clock.seek(0)
            clock.write(struct.pack("=q", at + int(hours * 3600000)))

    wait_for(counted, "the leader counts them")
    assert left <= blobs(etcd)
    later(0.5)
    wait_for(node.up, "it goes on")
    assert apply(world, node, zone("now", 2000)).code == 0
    fresh = {c for c in blobs(etcd) if c not in before | left}
    time.sleep(1.5)  # a pass was due; nothing is old enough
    assert left <= blobs(etcd)
    later(1.1)
    wait_for(lambda: not left & blobs(etcd), "they went", 20)
    assert fresh <= blobs(etcd) and named(etcd) <= blobs(etcd)
    assert node.metrics()["gtm_intent_chunks_deleted_total"] >= len(left)
    # Those that went are put again, though this node's disk has them.
    assert apply(world, node, zone(seed, 14000)).code == 0
    assert named(etcd) <= blobs(etcd)
    world.wait_same_intent()


class Collector(threading.Thread):
    """Deletes all that no revision names, young or old, as gtmd's collector does, but all the time."""

    def __init__(self, etcd):
        super().__init__(daemon=True)
        self.etcd, self.stopped, self.deleted = etcd, threading.Event(), 0

    def post(self, path, body):
        return self.etcd.members[0].post(path, body)

    def range(self, prefix, **more):
        key = PREFIX + prefix
        end = key[:-1] + chr(ord(key[-1]) + 1)
        return self.post("/v3/kv/range", {"key": b64(key), "range_end": b64(end), **more}).get("kvs", [])

    def once(self):
        cur = self.post("/v3/kv/range", {"key": b64(PREFIX + "intent/cur")})["kvs"][0]["mod_revision"]
        keep = set()
        for kv in self.range("intent/rev/"):
            for file in json.loads(base64.b64decode(kv["value"]))["files"]:
                keep |= {c["sha256"] for c in file.get("blobs", [{"sha256": file["sha256"]}])}
        doomed = [(kv["key"], kv["mod_revision"]) for kv in self.range("blob/", keys_only=True)
                  if base64.b64decode(kv["key"]).decode().rsplit("/", 1)[1] not in keep][:50]
        if not doomed:
            return
        done = self.post("/v3/kv/txn", {
            "compare": [{"key": b64(PREFIX + "intent/cur"), "target": "MOD", "result": "EQUAL", "mod_revision": cur},
                        *({"key": k, "target": "MOD", "result": "EQUAL", "mod_revision": r} for k, r in doomed)],
            "success": [{"request_put": {"key": b64(PREFIX + "head/chunks"), "value": b64('{"v":1}')}},
                        *({"request_delete_range": {"key": k}} for k, _ in doomed)]})
        self.deleted += len(doomed) if done.get("succeeded") else 0

    def run(self):
        rand = random.Random(1)
        while not self.stopped.wait(rand.uniform(0, 0.12)):
            self.once()


class Striker(Collector):
    """Deletes once for each apply, as soon as its first chunks are there and its revision is not."""

    def __init__(self, etcd):
        super().__init__(etcd)
        self.armed = threading.Event()

    def run(self):
        while not self.stopped.wait(0.001):
            if self.armed.is_set():
                before = self.deleted
                self.once()
                if self.deleted > before:
                    self.armed.clear()


def test_an_apply_that_loses_chunks_puts_them_again(world):
    """Whole texts: they come into the store between the look at what is there and the revision."""
    etcd, node = world.etcd, world.nodes[0]
    striker, struck = Striker(etcd), 0
    striker.once()
    striker.start()
    try:
        for i in range(5):
            striker.armed.set()
            done = apply_whole(world, node, zone(f"strike {i}", 14000))
            struck += not striker.armed.is_set()
            assert done.status == 200, (i, done.body)
            assert named(etcd) <= blobs(etcd), i
    finally:
        striker.stopped.set()
        striker.join()
    assert struck >= 2


def test_what_was_uploaded_and_went_is_put_again(world):
    """The node remembers what it stored; not longer than it is there."""
    etcd, node = world.etcd, world.nodes[0]
    text = ZONE + "; " + "x" * 2000 + "\n"  # one chunk
    uploaded = node.post("/intent/blobs", {"texts": [text]}).item["blobs"][0]
    key = "blob/" + uploaded["sha256"]
    assert key in blobs(etcd)
    Collector(etcd).once()
    assert key not in blobs(etcd)
    assert apply_whole(world, node, text).item["rev"]
    assert key in named(etcd) and named(etcd) <= blobs(etcd)


def test_no_revision_lacks_a_chunk_while_others_are_deleted(world):
    etcd, node = world.etcd, world.nodes[0]
    collector = Collector(etcd)
    collector.start()
    made = conflicts = 0
    try:
        for i in range(12):
            # The same few texts again and again: chunks that were there, that went, that this process remembers.
            ran = apply(world, node, zone(f"storm {i % 5}", random.Random(i).choice((4000, 7000, 12000))))
            assert ran.code in (0, 6), ran.err
            made += ran.code == 0
            conflicts += ran.code == 6
            missing = named(etcd) - blobs(etcd)
            assert not missing, (i, missing)
    finally:
        collector.stopped.set()
        collector.join()
    assert made >= 3 and collector.deleted > 0, (made, conflicts, collector.deleted)
    assert apply(world, node, zone("calm", 3000)).code == 0
    assert named(etcd) <= blobs(etcd)
    world.wait_same_intent()
