# SPDX-License-Identifier: Apache-2.0
"""Objects under our prefix that nobody of us wrote: left out or refused by name; what was there before stays."""
import base64
import json
import os
import random
import shutil
import time

import pytest

from bad_store import complains, problem
from cluster_harness import REGIONS, gtm_cluster
from harness import wait_for

FIRST = "first.example.com"
PREFIX = "/gtm/v1/"
SEED = 20261121
NESTED = "[" * 5000 + "]" * 5000
ABSURD = ["", "\x00", "nonsense", "null", "true", "7", '""', "[]", "{}", NESTED, "{" * 400, '{"v":1}', '{"v":-1}', '{"v":1e300}',
          '{"v":"1"}', '{"v":1,"rev":-5}', '{"v":1,"rev":9007199254740993,"epoch":-1}', '{"a":1,"a":2}', "\ufeff{}", '"\\ud800"',
          '{"v":1,"e":{"www-us-east":{"4":{"h":"down"}}}}', '{"v":1,"e":[],"p":{},"vantage":[]}']


@pytest.fixture(scope="module", name="world")
def fixture_world():
    with gtm_cluster(nodes=1) as c:
        yield c


def agreed(world, want, deadline_s=30.0):
    for node in world.nodes:
        wait_for(lambda n=node: n.answers(FIRST) == [world.place.web(want)], f"{node.name} answers {want}", deadline_s=deadline_s)


def alive(world):
    """Decisions still go through everything."""
    for node in world.nodes:
        wait_for(lambda n=node: n.mode() in ("follow", "lead"), f"{node.name} follows")
    agreed(world, "us-east")
    world.webs["us-east"].set("stopped")
    agreed(world, "eu-west")
    world.webs["us-east"].set("ok")
    agreed(world, "us-east")


def put(world, key, value):
    """Text or bytes, any."""
    value = value if isinstance(value, bytes) else value.encode()
    answer = world.etcd.members[0].post("/v3/kv/put", {"key": base64.b64encode((PREFIX + key).encode()).decode(),
                                                       "value": base64.b64encode(value).decode()})
    assert "header" in answer, answer


@pytest.mark.parametrize("key, value, why", [
    ("fleet/x", "garbage", "is no JSON"),
    ("fleet/x", '{"v":2}', "newer format"),
    ("fleet/x", NESTED, "is no JSON"),
    ("fleet/x", '"' + "x" * (300 << 10) + '"', "larger than 256 KiB"),
    ("fleet/x", "\x01\x02", "is no JSON"),
    ("x" * 600, "{}", "does not use"),
    ("verdict/www", '{"v":2,"rev":1}', "newer format"),
    ("intent/cur", "torn{", "is no JSON"),
    ("override/pool/www", b"\x00\xff", "is no JSON"),
], ids=["garbage", "newer", "nested", "oversized", "binary", "long-key", "newer-verdict", "torn-intent", "order"])
def test_alien_objects_are_left_out(world, key, value, why):
    before = world.etcd.get(key)
    put(world, key, value)
    for node in world.nodes:
        found = complains(node, "StoreAlienObjects", why, log=False)
        assert key[:40] in found["detail"] and node.metrics()["gtm_store_alien_objects"] == 1
        assert key[:40] in node.log_text() and why in node.log_text()
    if before is None:
        world.etcd.ctl("del", PREFIX + key)
    else:
        put(world, key, before)
    for node in world.nodes:
        wait_for(lambda n=node: problem(n, "StoreAlienObjects") is None, "gone")
    alive(world)


def test_an_intent_that_leads_nowhere(world):
    cur = world.etcd.get("intent/cur")
    rev = json.loads(cur)["rev"]
    manifest = world.etcd.get(f"intent/rev/{rev:012d}") or next(
        world.etcd.get(k) for k in world.etcd.keys("intent/rev/") if json.loads(world.etcd.get(k))["rev"] == rev)
    for wrong in (dict(json.loads(cur), rev=rev + 700), dict(json.loads(cur), sha256="0" * 64)):
        put(world, "intent/cur", json.dumps(wrong))
        for node in world.nodes:
            complains(node, "IntentNotServed", "not in the store" if wrong["rev"] != rev else "was changed")
            assert node.metrics()["gtm_intent_sync_failures_total"] > 0 and node.metrics()["gtm_intent_revision"] == rev
    agreed(world, "us-east")
    put(world, "intent/cur", cur)
    for node in world.nodes:
        wait_for(lambda n=node: problem(n, "IntentNotServed") is None, f"{node.name} is content")
    assert manifest
    alive(world)


def test_a_tampered_blob(world):
    text = (world.files / "cluster.yaml").read_text()
    cur = world.etcd.get("intent/cur")
    world.apply(text.replace("ttl: 5s", "ttl: 6s"))
    newer = world.etcd.get("intent/cur")
    put(world, "intent/cur", cur)
    world.wait_same_intent()
    # The node that has not seen the blob yet gets a changed one.
    rev = json.loads(newer)["rev"]
    blobs = [k for k in world.etcd.keys("blob/") if "ttl: 6s" in world.etcd.get(k)]
    node = world.nodes[2]
    node.kill()
    shutil.rmtree(node.dir / "data")
    originals = {k: world.etcd.ctl("get", PREFIX + k, "--print-value-only")[:-1] for k in blobs}
    for k in blobs:
        put(world, k, originals[k].replace("ttl: 6s", "ttl: 7s"))
    node.spawn_only()
    wait_for(node.up, "it is up")
    wait_for(lambda: node.answers(FIRST) == [world.place.web("us-east")], "it serves the intent in force")
    put(world, "intent/cur", newer)
    complains(node, "IntentNotServed", "blob/")
    assert node.answers(FIRST) == [world.place.web("us-east")]
    for k in blobs:
        put(world, k, originals[k])
    wait_for(lambda: node.status()["cluster"]["intent"] == rev, "it is served once the blob is whole")
    world.wait_same_intent()
    alive(world)


def test_words_of_nobody(world):
    """A verdict for an unknown pool, observations of a vantage that is no node, nodes of absurd content."""
    obs = next(world.etcd.get(k) for k in world.etcd.keys("obs/"))
    put(world, "verdict/no-such-pool", world.etcd.get("verdict/www"))
    put(world, "obs/nobody/www", obs)
    put(world, "obs/nobody/no-such-pool", obs)
    put(world, "obs/nobody", obs)
    put(world, "node/evil", json.dumps({"v": 1, "region": "us-east", "vantage": {"fit": True, "why": 7}, "roles": 3,
                                        "addresses": {"x": []}, "view": -1, "started": "x" * 5000, "state": "\u0007"}))
    put(world, "node/" + "n" * 300, '{"v":1,"region":["us-east"],"vantage":"yes"}')
    put(world, "leader/zzz", '{"v":1,"node":"evil","region":7}')
    time.sleep(1)  # they must do nothing: there is nothing to wait for
    assert world.nodes[0].ctl("node", "list").code == 0
    assert world.nodes[0].ctl("status").code in (0, 9)
    alive(world)
    for key in ("verdict/no-such-pool", "obs/nobody/www", "obs/nobody/no-such-pool", "obs/nobody", "node/evil",
                "node/" + "n" * 300, "leader/zzz"):
        world.etcd.ctl("del", PREFIX + key)
    alive(world)


def mutate(rand, text):
    """Another text near this one, or an absurd one."""
    how = rand.randrange(6)
    if how == 0 or not text:
        return rand.choice(ABSURD)
    if how == 1:
        at = rand.randrange(len(text))
        return text[:at] + rand.choice('{}[]",:0-9\x01\x7fé') + text[at + 1:]
    if how == 2:
        a, b = sorted(rand.randrange(len(text) + 1) for _ in range(2))
        return text[:a] + text[b:]
    if how == 3:
        digits = [i for i, c in enumerate(text) if c.isdigit()] or [0]
        at = rand.choice(digits)
        return text[:at] + rand.choice(["-1", "0", "9223372036854775807", "1e308", "null", '"x"']) + text[at + 1:]
    if how == 4:
        return text.replace(rand.choice(["up", "down", "us-east", "www", "true", "4"]), rand.choice(["down", "up", "", "eu-west", "6"]))
    return text + text


def test_random_changes_of_every_kind_of_object(world):
    """gtmd never crashes, answers are never empty, and when the objects are as they were all nodes agree again."""
    rand = random.Random(SEED)
    pids = [n.process.pid for n in world.nodes]
    originals = {k: world.etcd.get(k) for k in world.etcd.keys() if not k.startswith("blob/")}
    kinds = sorted({k.split("/")[0] for k in originals})
    assert {"audit", "head", "intent", "leader", "node", "obs", "secret", "verdict", "view"} - {"secret"} <= set(kinds), kinds
    end = time.monotonic() + float(os.environ.get("GTM_MUTATE_S", "15"))
    done = 0
    known = {world.place.web(r) for r in REGIONS}
    while time.monotonic() < end:
        kind = rand.choice(kinds + ["store"])
        keys = [k for k in originals if k.split("/")[0] == kind] or ["store/id"]
        key = rand.choice(keys)
        if rand.random() < 0.1:
            world.etcd.ctl("del", PREFIX + key)
        else:
            put(world, key, mutate(rand, world.etcd.get(key) or originals.get(key) or "{}"))
        done += 1
        for node in world.nodes:
            assert node.process.poll() is None, f"{node.name} ended after {key} (seed {SEED}, {done} changes)"
            said = node.answers(FIRST)
            assert said and set(said) <= known, (node.name, key, said)
    assert done > 20
    for key in set(world.etcd.keys()) - set(originals):
        if not key.startswith(("blob/", "leader/", "node/", "obs/")):
            world.etcd.ctl("del", PREFIX + key)
    for key, text in originals.items():
        if not key.startswith(("leader/", "node/", "obs/")):
            put(world, key, text)
    for key in world.etcd.keys():
        if key.startswith(("leader/", "node/", "obs/")):
            world.etcd.ctl("del", PREFIX + key)
    print(done, "changes")
    for node in world.nodes:
        if problem(node, "StoreRefused"):
            assert node.ctl("snapshot", "adopt", "--yes", "--reason", "test").code == 0
    wait_for(world.leader, "a node leads again", deadline_s=60)
    world.wait_same_intent()
    alive(world)
    assert pids == [n.process.pid for n in world.nodes]
