# SPDX-License-Identifier: Apache-2.0
"""The intent of a cluster: apply, diff, history, rollback, delete, export; nodes that were away; damage; kill -9."""
import hashlib
import json
import random
import signal
import threading
import time

import dns.rcode
import pytest

from cluster_harness import REGIONS, Cluster
from harness import ZONE, cluster, wait_for


@pytest.fixture(scope="module")
def world():
    with Cluster(nodes=1) as c:
        c.empty_rcodes = [n.ask("www.example.com").rcode() for n in c.nodes]
        c.empty_export = c.nodes[0].ctl("export")
        c.apply()
        yield c


@pytest.fixture
def c(world):
    """Every test begins with the same intent on every node."""
    for node in world.nodes:
        if node.process is None:
            node.spawn_only()
    for node in world.nodes:
        node.signal(signal.SIGCONT)
        wait_for(node.up, f"{node.name} is up")
    world.apply(args=("--allow-mass-delete",))
    return world


def text_of(c, **kw):
    return cluster(addresses=[c.place.web(r) for r in REGIONS], **kw)


def rev_of(c):
    return json.loads(c.etcd.get("intent/cur"))["rev"]


def write(c, text=None, zone=ZONE):
    (c.files / "cluster.yaml").write_text(text if text is not None else text_of(c))
    (c.files / "example.com.zone").write_text(zone)
    return str(c.files / "cluster.yaml")


def plain(node):
    return node.answers("plain.example.com")


def test_before_the_first_apply(world):
    assert world.empty_rcodes == [dns.rcode.REFUSED] * 3
    assert world.empty_export.code == 4 and "nothing was applied yet" in world.empty_export.err


def test_apply_reaches_every_node(c):
    before = rev_of(c)
    path = write(c, zone=ZONE.replace("192.0.2.99", "192.0.2.77"))
    seen = c.nodes[0].ctl("diff", "-f", path)
    assert seen.code == 8 and "+ plain IN A 192.0.2.77" in seen.out and "- plain IN A 192.0.2.99" in seen.out
    assert c.nodes[0].ctl("apply", "-f", path).code == 2  # nobody to ask
    assert c.nodes[0].ctl("apply", "-f", path, "--dry-run").code == 0
    assert rev_of(c) == before
    done = c.nodes[0].ctl("apply", "-f", path, "--yes", "--wait", "--reason", "a better address")
    assert done.code == 0 and done.out == f"applied: revision {before + 1} (was {before})\n"
    for node in c.nodes:
        wait_for(lambda n=node: plain(n) == ["192.0.2.77"], f"{node.name} has it")
    assert c.nodes[1].ctl("diff", "-f", path).code == 0
    again = c.nodes[2].ctl("apply", "-f", path)
    assert again.code == 0 and again.out.startswith("nothing to do")
    newest = json.loads(c.nodes[1].ctl("history", "-ojson", "--limit", "1").out)["items"][0]
    assert (newest["rev"], newest["reason"], newest["current"]) == (before + 1, "a better address", True)
    assert newest["summary"]["pools"] == 1


def test_what_only_adds_needs_no_yes(c):
    done = c.nodes[0].ctl("apply", "-f", write(c, text_of(c, extra="  - {name: org.example, file: o.zone}\n")))
    assert done.code == 1 and "o.zone" in done.err
    (c.files / "o.zone").write_text(ZONE)
    done = c.nodes[0].ctl("apply", "-f", str(c.files / "cluster.yaml"))
    assert done.code == 0, done.err
    c.wait_same_intent()
    assert c.nodes[2].answers("plain.org.example") == ["192.0.2.99"]


def test_errors_name_file_and_line_and_change_nothing(c):
    before = rev_of(c)
    done = c.nodes[0].ctl("apply", "-f", write(c, zone=ZONE + "bad IN A 999\n"), "--yes")
    assert done.code == 1 and "example.com.zone:7:10" in done.err, done.err
    done = c.nodes[0].ctl("apply", "-f", write(c, text_of(c).replace("pool: www,", "pool: wwww,")), "--yes")
    assert done.code == 1 and "cluster.yaml:" in done.err and "wwww" in done.err
    assert rev_of(c) == before
    assert plain(c.nodes[0]) == ["192.0.2.99"]


def test_of_two_at_a_time_one_wins(c):
    base, codes = rev_of(c), []

    def post(node, last):
        zone = ZONE.replace("192.0.2.99", f"192.0.2.{last}")
        reply = node.post("/intent", {"files": [{"name": "cluster.yaml", "text": text_of(c)},
                                                {"name": "example.com.zone", "text": zone}], "expect_rev": base})
        codes.append(reply.status)

    threads = [threading.Thread(target=post, args=(node, 60 + i)) for i, node in enumerate(c.nodes)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(codes) == [200, 409, 409]
    assert rev_of(c) == base + 1
    c.wait_same_intent()
    assert len({tuple(plain(n)) for n in c.nodes}) == 1
    # What gtmctl makes of it.
    late = c.nodes[0].request("DELETE", f"/intent/objects/names/example.com%2Fwww?expectRev={base}")
    assert late.status == 409 and late.json["code"] == "conflict"


def test_a_mass_delete_needs_a_word(c):
    before = rev_of(c)
    path = write(c, zone="\n".join(ZONE.splitlines()[:4]) + "\n")
    done = c.nodes[0].ctl("apply", "-f", path, "--yes")
    assert done.code == 5 and "2 of 6 lines of example.com.zone" in done.err, done.err
    assert rev_of(c) == before
    assert c.nodes[0].ctl("apply", "-f", path, "--yes", "--allow-mass-delete").code == 0
    assert rev_of(c) == before + 1


def test_rollback_and_export(c):
    first = rev_of(c)
    c.apply(text_of(c) + "# a comment\n", zones={"example.com.zone": ZONE.replace("192.0.2.99", "192.0.2.55")})
    out = c.files / "out"
    done = c.nodes[1].ctl("export", "--rev", str(first + 1), "-d", str(out))
    assert done.code == 0, done.err
    assert (out / "cluster.yaml").read_bytes() == (c.files / "cluster.yaml").read_bytes()
    assert (out / "example.com.zone").read_bytes() == (c.files / "example.com.zone").read_bytes()
    assert c.nodes[1].ctl("export", "--rev", str(first), "-d", str(out)).code == 1  # other files are there
    assert c.nodes[0].ctl("rollback").code == 2
    assert c.nodes[0].ctl("rollback", "--to", "999999", "--yes").code == 4
    assert c.nodes[2].ctl("rollback", "--to", str(first), "--yes", "--wait").code == 0
    c.wait_same_intent()
    assert [plain(n) for n in c.nodes] == [["192.0.2.99"]] * 3
    assert c.nodes[0].ctl("export").out == text_of(c)


def test_delete_get_describe(c):
    node = c.nodes[0]
    assert "first" in node.ctl("get", "names").out
    assert node.ctl("get", "name", "example.com/first").out.startswith("name: first")
    assert node.ctl("get", "pool", "nope").code == 4
    assert node.ctl("get", "thing").code == 2
    told = json.loads(node.ctl("describe", "pool", "www", "-ojson").out)["item"]
    assert told["intent"]["name"] == "www" and told["now"]["health"] in ("up", "degraded", "down", "unknown")
    assert node.ctl("delete", "policy", "first", "--yes").code == 1  # a name refers to it
    done = node.ctl("delete", "name", "example.com/first", "--yes", "--wait")
    assert done.code == 0, done.err
    assert node.ctl("export").out == text_of(c).replace("      - {name: first, types: [A], policy: first, ttl: 5s}\n", "")
    assert node.ctl("delete", "name", "example.com/first", "--yes").code == 4


def test_who_was_away_catches_up_and_starts_without_etcd(c):
    away = c.nodes[2]
    away.kill()
    c.apply(zones={"example.com.zone": ZONE.replace("192.0.2.99", "192.0.2.44")})
    away.spawn_only()
    wait_for(lambda: plain(away) == ["192.0.2.44"], "it caught up")
    away.kill()
    try:
        for member in c.etcd.members:
            member.signal(signal.SIGSTOP)
        away.spawn_only()
        wait_for(lambda: plain(away) == ["192.0.2.44"], "it serves from its own disk")
    finally:
        for member in c.etcd.members:
            member.signal(signal.SIGCONT)


def test_a_changed_chunk_is_refused(c):
    away = c.nodes[1]
    away.kill()
    zone = ZONE.replace("192.0.2.99", "192.0.2.33")
    path = write(c, zone=zone)
    assert c.nodes[0].ctl("apply", "-f", path, "--yes").code == 0
    key = "/gtm/v1/blob/" + hashlib.sha256(zone.encode()).hexdigest()
    c.etcd.ctl("put", key, stdin=zone.replace("192.0.2.33", "192.0.2.66"))
    away.spawn_only()
    wait_for(lambda: away.up() and away.get("/intent").item["problem"], "it says what is wrong")
    item = away.get("/intent").item
    assert key.rsplit("/", 1)[1] in item["problem"] and item["served_rev"] == item["current_rev"] - 1
    assert plain(away) == ["192.0.2.99"]
    assert c.nodes[0].ctl("export", "-d", str(c.files / "tampered")).code == 1
    c.etcd.ctl("put", key, stdin=zone)
    wait_for(lambda: plain(away) == ["192.0.2.33"], "it tries again by itself")
    wait_for(lambda: away.get("/intent").item["problem"] is None, "and has no problem any more")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_killed_in_the_middle(c, seed):
    """Whatever is killed whenever: the revision in the store is whole, and every node comes to serve it."""
    dice = random.Random(seed)
    records = "".join(f"h{i} IN A 192.0.{i // 250 % 250}.{i % 250 + 1}\n" for i in range(40000))
    victim = c.nodes[dice.randrange(3)]
    for last in (21, 22):
        path = write(c, zone=ZONE.replace("192.0.2.99", f"192.0.2.{last}") + f"; {seed} {last}\n" + records)
        applying = threading.Thread(target=lambda p=path: c.nodes[0].ctl("apply", "-f", p, "--yes"))
        applying.start()
        time.sleep(dice.uniform(0.05, 1.2))
        victim.kill()
        applying.join()
        victim.spawn_only()
        wait_for(victim.up, "it is up again")
    cur = json.loads(c.etcd.get("intent/cur"))
    manifest = c.etcd.get(f"intent/rev/{cur['rev']:010d}")
    assert hashlib.sha256(manifest.encode()).hexdigest() == cur["sha256"]
    c.wait_same_intent()
    assert len({tuple(plain(n)) for n in c.nodes}) == 1
