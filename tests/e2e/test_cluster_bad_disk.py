# SPDX-License-Identifier: Apache-2.0
"""A node of a cluster that cannot write its folder: it answers and follows, and says since when and why it cannot save;
what is on disk is a whole copy, and all is saved by itself when there is room again."""
import contextlib
import os
import signal
import subprocess

import pytest

from bad_store import FIRST, World, complains, problem
from harness import wait_for


def mount(*args):
    return os.geteuid() == 0 and subprocess.run(["mount", *map(str, args)], check=False, stderr=subprocess.DEVNULL).returncode == 0


@contextlib.contextmanager
def mounted(folder, *args):
    if not mount(*args, folder):
        pytest.skip("needs root that may mount")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextlib.contextmanager
def small_disk(node):
    """Its folder has 512 KiB."""
    data = node.dir / "data"
    data.mkdir()
    with mounted(data, "-t", "tmpfs", "-o", "size=512k", "tmpfs"):
        try:
            yield data
        finally:
            node.close_process()


@pytest.fixture(name="world")
def fixture_world():
    """Two nodes; the first one's disk is small."""
    world = World(nodes=2)
    world.nodes[0].close_process = lambda: world.nodes[0].stop(signal.SIGKILL)
    with small_disk(world.nodes[0]), world:
        world.apply_all()
        wait_for(lambda: (world.nodes[0].dir / "data" / "cluster.jsonl").exists(), "a copy is saved")
        yield world


def fill(folder):
    with open(folder / "filler", "wb", buffering=0) as f, contextlib.suppress(OSError):
        while True:
            f.write(b"x" * 512)


def drained(node, by, state):
    assert by.put("/pools/www/endpoints/www-us-east/admin", {"state": state, "reason": "x"}).status == 200
    wait_for(lambda: admin(node) == state, f"{node.name} has the order")


def admin(node):
    return next(e["admin"]["state"] for e in node.get("/pools/www/endpoints").items if e["name"] == "www-us-east")


def unsaved(node, why):
    found = complains(node, "StateNotSaved", "a restart without etcd", "cluster.jsonl", why, log=False)
    assert found["since"] and "data_dir" in found["hint"]
    assert node.metrics()["gtm_state_saved"] == 0
    assert "cannot save the copy" in node.log_text() and why in node.log_text()
    return found["since"]


def saved_by_itself(node):
    wait_for(lambda: problem(node, "StateNotSaved") is None, f"{node.name} saves again")
    assert node.metrics()["gtm_state_saved"] == 1 and "saved again" in node.log_text()


def begins_without_etcd(world, node, state):
    """What it saved is what it begins with."""
    node.kill()
    world.etcd.members[0].signal(signal.SIGSTOP)
    try:
        node.spawn_only()
        wait_for(node.up, "it starts without etcd")
        wait_for(lambda: node.answers(FIRST), "it answers")
        assert admin(node) == state and node.status()["cluster"]["store"]["saved_copy"]
        assert not list((node.dir / "data").glob("*damaged*"))
    finally:
        world.etcd.members[0].signal(signal.SIGCONT)
    wait_for(lambda: node.mode() in ("follow", "lead"), "it follows", deadline_s=60)


def test_a_full_disk(world):
    node, other = world.nodes
    data = node.dir / "data"
    fill(data)
    drained(node, other, "drain")
    since = unsaved(node, "No space")
    drained(node, node, "auto")  # also its own orders go through etcd
    world.followed()
    # An intent needs room, too: the last one stays, and the reason is said.
    text = (world.files / "cluster.yaml").read_text()
    (world.files / "cluster.yaml").write_text(text.replace("ttl: 5s", "ttl: 6s"))
    assert other.ctl("apply", "-f", str(world.files / "cluster.yaml"), "--yes").code == 0
    complains(node, "IntentNotServed", "No space", log=False)
    world.agreed("us-east")
    drained(node, other, "drain")
    assert problem(node, "StateNotSaved")["since"] == since, "one trouble, one beginning"
    assert node.log_text().count("cannot save the copy") == 1
    # What was saved before is whole; it starts with it, also on a full disk.
    begins_without_etcd(world, node, "auto")
    wait_for(lambda: admin(node) == "drain", "it hears the order")
    unsaved(node, "No space")
    (data / "filler").unlink()
    saved_by_itself(node)  # though nothing changes
    world.wait_same_intent()
    begins_without_etcd(world, node, "drain")
    drained(node, other, "auto")


def test_a_read_only_disk(world):
    node, other = world.nodes
    data = node.dir / "data"
    with mounted(data, "--bind", data):
        if not mount("-o", "remount,bind,ro", data):
            pytest.skip("cannot mount read-only")
        drained(node, other, "drain")
        unsaved(node, "Read-only")
        drained(node, node, "auto")
        world.followed()
        drained(node, other, "drain")
    saved_by_itself(node)
    begins_without_etcd(world, node, "drain")
