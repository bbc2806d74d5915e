# SPDX-License-Identifier: Apache-2.0
"""What operators do to a cluster's leader, nodes, audit chain and store: gtmctl against a real one."""
import json
import signal
import time

import gtmctl
import pytest

from cluster_harness import REGIONS, gtm_cluster
from harness import problem_names, wait_for

FIRST = "first.example.com"  # us-east, then eu-west, then ap-south


@pytest.fixture(scope="module", name="world")
def fixture_world():
    with gtm_cluster(nodes=1) as c:
        yield c


def agreed(world, want):
    for node in world.running():
        wait_for(lambda n=node: n.answers(FIRST) == [world.place.web(want)], f"{node.name} answers {want}")


def calm(world):
    """All is as it was before a test."""
    world.wait_leader()
    for node in world.nodes:
        wait_for(lambda n=node: [o["state"] for o in n.get("/nodes").items] == ["serving"] * 3 and
                 n.get("/overrides").items == [], f"{node.name} sees all serve")
    agreed(world, "us-east")


def good(ran):
    assert ran.code == 0, ran.err + ran.out
    return ran


def audit(world, verb):
    """The newest entry of that verb, or None."""
    entries = [e for e in world.nodes[0].get("/audit").items if e["verb"] == verb]
    return entries[-1] if entries else None


def verified(world):
    ran = world.nodes[0].ctl("audit", "verify", "-o", "json")
    item = json.loads(ran.out)["item"]
    assert item["sound"] == (ran.code == 0), ran.err
    return item


def test_a_reload_says_what_only_a_restart_changes(world):
    node = world.nodes[1]
    node.write("node.yaml", node.node_text.replace("etcd: {", "etcd: {session_ttl: 9s, "))
    ran = node.ctl("reload")
    assert ran.code == 1 and "session_ttl cannot change without a restart" in ran.err, ran.err
    node.write("node.yaml", node.node_text.replace('"http', '"http://127.0.0.99:2379", "http', 1))
    ran = node.ctl("reload")
    assert ran.code == 1 and "etcd.endpoints" in ran.err, ran.err
    node.write("node.yaml", node.node_text)
    good(node.ctl("reload"))
    calm(world)


def test_a_leader_resigns_and_another_leads(world):
    calm(world)
    leader = world.wait_leader()
    other = next(n for n in world.nodes if n is not leader)
    fence = leader.get("/leader").item["fence"]
    good(other.ctl("leader", "resign", "--dry-run"))
    assert leader.get("/leader").item["fence"] == fence and leader.mode() == "lead"
    said = json.loads(good(other.ctl("leader", "resign", "--yes", "-o", "json")).out)["item"]  # of a node that does not lead
    assert said["resigned"] == leader.name and said["node"] != leader.name and said["fence"] > fence
    assert said["this_node"] == other.name
    entry = audit(world, "leader resign")
    assert entry["subject"] == leader.name and entry["node"] == other.name, entry
    assert world.etcd.get("resign/leader") is None
    new = wait_for(lambda: next((n for n in world.nodes if n is not leader and n.mode() == "lead"), None), "another leads")
    for node in world.nodes:
        wait_for(lambda n=node: n.get("/leader").item["node"] == new.name, f"{node.name} knows who leads")
        assert node.get("/leader").item["fence"] > fence
    assert new.name in good(leader.ctl("leader", "show")).out
    wait_for(lambda: leader.mode() == "follow", "the old one follows")
    # The new one decides.
    world.webs["us-east"].set("stopped")
    agreed(world, "eu-west")
    world.webs["us-east"].set("ok")
    agreed(world, "us-east")
    # Asked itself.
    said = json.loads(good(new.ctl("leader", "resign", "--yes", "-o", "json")).out)["item"]
    assert said["resigned"] == new.name and said["node"] != new.name
    assert audit(world, "leader resign")["subject"] == new.name
    assert verified(world)["sound"]


def test_a_leader_that_does_not_hear_goes_on(world):
    calm(world)
    leader = world.wait_leader()
    other = next(n for n in world.nodes if n is not leader)
    fence = other.get("/leader").item["fence"]
    session = [n for n in world.nodes if n not in (leader, other)]
    for node in session:  # nobody else shall lead
        good(other.ctl("node", "drain", node.name, "--yes"))
    leader.signal(signal.SIGSTOP)
    try:
        ran = other.ctl("leader", "resign", "--yes")
    finally:
        leader.signal(signal.SIGCONT)
    # Either its session ended meanwhile, so that another leads, or the request was withdrawn: never left behind.
    assert world.etcd.get("resign/leader") is None
    if ran.code == 1:
        assert "withdrawn" in ran.err, ran.err
    else:
        assert other.get("/leader").item["fence"] > fence
    for node in session:
        good(other.ctl("node", "undrain", node.name))
    calm(world)


def test_a_drained_leader_leads_no_more_but_answers(world):
    calm(world)
    leader = world.wait_leader()
    other = next(n for n in world.nodes if n is not leader)
    good(other.ctl("node", "drain", leader.name, "--dry-run"))
    assert other.get("/overrides").items == []
    assert other.ctl("node", "drain", "nobody", "--yes").code == 4
    ran = good(other.ctl("node", "drain", leader.name, "--yes", "--reason", "kernel"))
    assert leader.name in ran.out
    wait_for(lambda: (now := world.leader()) and now is not leader, "another leads")
    wait_for(lambda: not leader.status()["cluster"]["vantage"]["fit"], "it has no vote")
    assert "NodeDrained" in problem_names(leader) and "NodeDrained" not in problem_names(other)
    # Two of three still decide, and the drained one follows them. What it sees is kept, for the day it votes again.
    world.webs["us-east"].set("stopped")
    agreed(world, "eu-west")
    wait_for(lambda: "refused" in world.etcd.get(f"obs/{leader.name}/www"), "its own checks go on")
    world.webs["us-east"].set("ok")
    agreed(world, "us-east")
    leader.kill()
    leader.spawn_only()
    wait_for(leader.up, "it is back")
    wait_for(lambda: "NodeDrained" in problem_names(leader), "it knows that it is drained")
    assert leader.mode() != "lead"
    good(leader.ctl("node", "undrain", leader.name))
    wait_for(lambda: leader.status()["cluster"]["vantage"]["fit"], "it has its vote again")
    listed = good(other.ctl("node", "list")).out
    assert all(n.name in listed for n in world.nodes)
    calm(world)


def test_an_entry_changed_in_the_audit_chain_is_found(world):
    calm(world)
    for verb in ("drain", "auto"):
        good(world.nodes[1].ctl("endpoint", verb, "www/www-ap-south", "--yes", "--reason", "audit"))
    whole = verified(world)
    assert whole["sound"] and whole["first"] == 1 and whole["last"] >= 3
    key = f"audit/{whole['last'] - 1:012d}"
    text = world.etcd.get(key)
    forged = text.replace('"why":"audit"', '"why":"forged"')
    assert forged != text
    world.etcd.ctl("put", "/gtm/v1/" + key, forged)
    broken = world.nodes[0].ctl("audit", "verify")
    assert broken.code == 1 and "broken" in broken.err
    found = verified(world)
    assert not found["sound"] and str(whole["last"] - 1) in found["error"], found
    world.etcd.ctl("del", "/gtm/v1/" + key)
    assert not verified(world)["sound"]
    world.etcd.ctl("put", "/gtm/v1/" + key, text)
    assert verified(world)["sound"]
    assert "audit" in good(world.nodes[2].ctl("audit", "list")).out


def test_an_exported_audit_chain_is_checked_without_gtmd(world):
    calm(world)
    for verb in ("drain", "auto") * 3:
        good(world.nodes[1].ctl("endpoint", verb, "www/www-eu-west", "--yes", "--reason", "export"))
    text = good(world.nodes[2].ctl("audit", "export")).out
    lines = text.splitlines()
    now = verified(world)
    assert len(lines) == now["last"] - now["first"] + 2 and now["hash"] in lines[-1] and now["last"] > 3
    # Pages: what is asked for in small ones is the same.
    pages, after = "", 0
    for _ in range(1000):
        page = world.nodes[0].get(f"/audit/export?limit=2&after={after}").body
        pages += page
        last = json.loads(page.splitlines()[-1])
        if "prev" not in last:
            break
        after = last["seq"]
    assert pages == text
    path = world.files / "audit.jsonl"

    def check(content, *more, stdin=False):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        if stdin:
            return gtmctl.run("audit", "verify", "-f", "-", *more, stdin=path.read_text())
        return gtmctl.run("audit", "verify", "-f", str(path), *more)

    item = json.loads(good(check(text, "-o", "json")).out)["item"]
    assert item == now
    good(check(text, stdin=True))
    half = len(lines) // 2
    forged = [*lines]
    forged[half] = lines[half].replace('"who":"', '"who":"x', 1)
    swapped = [*lines]
    swapped[half], swapped[half - 1] = lines[half - 1], lines[half]
    for what, content, say in (
            ("edited", "\n".join(forged) + "\n", f":{half + 1}: audit/"),
            ("reordered", "\n".join(swapped) + "\n", "was expected here"),
            ("one left out", "\n".join(lines[:half] + lines[half + 1:]) + "\n", "was expected here"),
            ("without its end", "\n".join(lines[:-1]) + "\n", "cut off behind entry"),
            ("cut in a line", text[:len(text) - len(lines[-1]) - 30], "cut off in the middle"),
            ("with another behind it", text + lines[0] + "\n", "behind the end"),
            ("empty", "", "empty"),
            ("no chain", "hello\n", ":1:"),
            ("a NUL", text.replace("\n", "\0x\n", 1), ":1:"),
            ("binary", bytes(range(256)) * 40, ":1:")):
        ran = check(content, "-o", "json")
        item = json.loads(ran.out)["item"]
        assert ran.code == 1 and not item["sound"] and say in item["error"] and "broken" in ran.err, (what, ran.out)
    with open(path, "wb") as huge:  # one line that never ends
        huge.truncate(300 << 20)
    start = time.monotonic()
    ran = gtmctl.run("audit", "verify", "-f", str(path))
    assert ran.code == 1 and "longer than an entry can be" in ran.out and time.monotonic() - start < 5, ran.out
    path.unlink()
    ran = gtmctl.run("audit", "verify", "-f", str(path))
    assert ran.code == 4 and "No such file" in ran.err and ran.out == ""
    ran = gtmctl.run("audit", "verify", "-f", str(world.files))
    assert ran.code == 1 and "directory" in ran.err and ran.out == "", ran.err


def test_a_snapshot_brings_back_what_was(world):
    calm(world)
    node, path = world.nodes[1], world.files / "store.snapshot"
    assert node.ctl("snapshot", "save", "relative").code != 0
    good(node.ctl("snapshot", "save", str(path)))
    assert path.stat().st_mode & 0o777 == 0o600
    assert all('"secret' not in line or "aes" in line for line in path.read_text().splitlines())
    # Written on: an order, another intent.
    good(node.ctl("pool", "drain", "www", "--yes", "--reason", "after the snapshot"))
    text = (world.files / "cluster.yaml").read_text()
    world.apply(text.replace("order: [us-east, eu-west, ap-south]", "order: [ap-south, eu-west, us-east]"))
    before = json.loads(world.etcd.get("intent/cur"))["rev"]
    assert node.ctl("snapshot", "restore", str(path), "--yes").code == 2, "a reason is needed"
    damaged = world.files / "damaged.snapshot"
    damaged.write_text(path.read_text().replace("us-east", "us-west", 1))
    ran = node.ctl("snapshot", "restore", str(damaged), "--yes", "--reason", "x")
    assert ran.code not in (0, 3) and "checksum" in ran.err, ran.err
    ran = node.ctl("snapshot", "restore", str(world.files / "none"), "--yes", "--reason", "x")
    assert ran.code not in (0, 3) and "none" in ran.err, ran.err
    assert json.loads(world.etcd.get("store/id"))["epoch"] == 1 and json.loads(world.etcd.get("intent/cur"))["rev"] == before
    good(node.ctl("snapshot", "restore", str(path), "--yes", "--dry-run", "--reason", "x"))
    assert json.loads(world.etcd.get("store/id"))["epoch"] == 1
    good(node.ctl("snapshot", "restore", str(path), "--yes", "--reason", "INC-7"))
    assert json.loads(world.etcd.get("store/id"))["epoch"] == 2
    assert json.loads(world.etcd.get("intent/cur"))["rev"] < before
    for one in world.nodes:
        wait_for(lambda n=one: n.status()["cluster"]["store"]["epoch"] == 2 and n.mode() in ("follow", "lead"), "it follows")
    calm(world)
    world.wait_same_intent()
    assert verified(world)["sound"]
    assert audit(world, "snapshot restore")["why"] == "INC-7"
    # It decides on.
    world.webs["us-east"].set("stopped")
    agreed(world, "eu-west")
    world.webs["us-east"].set("ok")
    agreed(world, "us-east")


def test_adopt_is_a_word_that_all_follow(world):
    calm(world)
    epoch = world.nodes[0].status()["cluster"]["store"]["epoch"]
    assert world.nodes[2].ctl("snapshot", "adopt", "--yes").code == 2, "a reason is needed"
    good(world.nodes[2].ctl("snapshot", "adopt", "--yes", "--reason", "moved"))
    for node in world.nodes:
        wait_for(lambda n=node: n.status()["cluster"]["store"]["epoch"] == epoch + 1, "the epoch")
    assert json.loads(world.etcd.get("store/id"))["reason"] == "moved"
    wait_for(lambda: audit(world, "snapshot adopt"), "it stands in the audit chain")
    calm(world)
    assert set(REGIONS) == {o["region"] for o in world.nodes[0].get("/nodes").items}
