# SPDX-License-Identifier: Apache-2.0
"""What runs out, vanishes or is pulled away under a running gtmd: databases, disks, descriptors, the process."""
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

import dns.message
import pytest

from harness import (BUILD, DEADLINE_S, DNS_PORT, ZONE, Gtmd, address, cluster, gtmd, problem_names, wait_for)

DATABASE = "/usr/share/libloc-location/location.db"
US, EU, AP = (address(11 + i) for i in range(3))
ZONES = {"example.com.zone": ZONE}


def unwatched(**kw):
    """The shared world without checks: nothing but what the test does changes answers."""
    return cluster(**kw).replace("    monitors: [web]\n", "")


# --- the geography

def test_real_database_breaks_and_comes_back(tmp_path):
    path = tmp_path / "location.db"
    where = {"subnet": "134.226.0.0/24"}  # Dublin

    def place(octets):
        new = tmp_path / "new"
        new.write_bytes(octets)
        os.replace(new, path)

    def told():
        return "GeoDatabaseMissing" in problem_names(node)
    whole = pathlib.Path(DATABASE).read_bytes()
    with gtmd(unwatched(), zones=ZONES, geo=f"[{path}]") as node:
        assert node.addresses("www.example.com", **where) == [US], "without a database: the order of the file"
        assert told() and str(path) in node.get("/geo").item["error"]
        assert node.metrics()["gtm_geo_databases_ok"] == 0
        missing = node.get("/geo").item["error"]
        for octets in (b"", whole[:1000], whole[:len(whole) // 2], b"\0" * 5000, whole[:4096] + b"\xff" * 100000):
            place(octets)
            assert node.post("/reload").status == 200, "a broken database does not stop a reload"
            wait_for(lambda: node.get("/geo").item["error"] not in (None, missing), "the broken file is told")
            assert node.addresses("www.example.com", **where) == [US] and told()
        place(whole)
        wait_for(lambda: node.addresses("www.example.com", **where) == [EU], "loaded by itself")
        wait_for(lambda: not told(), "the problem is gone")
        assert node.metrics()["gtm_geo_databases_ok"] == 1
        # Cut off in place, while it may be mapped: no SIGBUS, and the last good one stays.
        os.truncate(path, 100000)
        wait_for(told, "the broken file is told")
        assert node.addresses("www.example.com", **where) == [EU] and node.metrics()["gtm_geo_databases_ok"] == 0
        path.unlink()
        assert node.addresses("www.example.com", **where) == [EU]
        # After a restart there is none: the default again, and said so.
        assert node.stop() == 0
        node.start()
        assert node.addresses("www.example.com", **where) == [US] and told()


# --- the disk

@pytest.fixture(name="small_disk")
def fixture_small_disk(tmp_path):
    """A folder with 256 KiB of room."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)],
                                           check=False, stderr=subprocess.DEVNULL).returncode:
        pytest.skip("needs root that may mount a tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_disk_fills_and_is_freed(small_disk):
    node = Gtmd(unwatched(), zones=ZONES)
    node.node_text = node.node_text.replace(f"data_dir: {node.dir}/data", f"data_dir: {small_disk}")
    node.write("node.yaml", node.node_text)
    try:
        node.start()
        drain(node, "www-us-east", "before")
        filler = small_disk / "filler"
        with open(filler, "wb", buffering=0) as f, contextlib.suppress(OSError):
            while True:
                f.write(b"x" * 1024)
        done = node.put("/pools/www/endpoints/www-eu-west/admin", {"state": "drain", "reason": "while full"}).item
        assert "not saved" in done["warning"]
        assert node.addresses("first.example.com") == [AP], "in force all the same"
        assert "StateNotSaved" in problem_names(node) and node.metrics()["gtm_state_saved"] == 0
        # A reload and an answer need no disk.
        node.write("example.com.zone", ZONE.replace("192.0.2.99", "192.0.2.98"))
        assert node.post("/reload").status == 200 and node.addresses("plain.example.com") == ["192.0.2.98"]
        # Killed with the disk full: what was saved before is whole.
        assert node.stop(signal.SIGKILL) == -signal.SIGKILL
        filler.unlink()
        node.start()
        assert orders(node) == {"www-us-east": "drain"} and "StateNotSaved" not in problem_names(node)
        # Full again, then freed: saved by itself.
        with open(filler, "wb", buffering=0) as f, contextlib.suppress(OSError):
            while True:
                f.write(b"x" * 1024)
        drain(node, "www-ap-south", "later")
        wait_for(lambda: "StateNotSaved" in problem_names(node), "it says so")
        filler.unlink()
        wait_for(lambda: "StateNotSaved" not in problem_names(node), "saved by itself")
        assert node.stop(signal.SIGKILL) == -signal.SIGKILL
        node.start()
        assert orders(node) == {"www-us-east": "drain", "www-ap-south": "drain"}
        assert not list(small_disk.glob("*damaged*")) and node.stop() == 0
    finally:
        node.close()


def drain(node, endpoint, reason):
    assert node.put(f"/pools/www/endpoints/{endpoint}/admin", {"state": "drain", "reason": reason}).status == 200


def orders(node):
    states = {e["name"]: e["admin"]["state"] for e in node.get("/pools/www/endpoints").items}
    return {name: state for name, state in states.items() if state != "auto"}


# --- descriptors

def test_descriptors_run_out():
    """With few descriptors and many silent TCP clients, UDP and new TCP clients are served, and later the API is."""
    node = Gtmd(unwatched(), zones=ZONES)
    try:
        with open(node.log, "ab") as log:
            node.process = subprocess.Popen(["prlimit", "--nofile=64:64", str(BUILD / "bin" / "gtmd"), "--config",
                                             "node.yaml"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            cwd=node.dir)
        wait_for(node.ready, "gtmd is ready")
        with contextlib.ExitStack() as stack:
            for _ in range(150):
                stack.enter_context(socket.create_connection((node.address, DNS_PORT), timeout=DEADLINE_S))
            assert node.addresses("plain.example.com") == ["192.0.2.99"]
            assert node.ask("plain.example.com", tcp=True, timeout=DEADLINE_S).answer, "the longest idle made room"
        assert node.get("/status").status == 200
        assert node.stop() == 0
    finally:
        node.close()


# --- load

class Load(threading.Thread):
    """Sends questions with up to `window` unanswered, and counts those that stay so."""

    def __init__(self, node, name, rtype, window=16):
        super().__init__(daemon=True)
        self.ended = threading.Event()
        self.lost, self.sent, self.replies = 0, 0, set()
        self.wire = dns.message.make_query(name, rtype, id=0).to_wire()
        self.window = window
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.settimeout(5)
        self.sock.connect((node.address, DNS_PORT))

    def run(self):
        waiting, n = set(), 0
        while waiting or not self.ended.is_set():
            try:
                while len(waiting) < self.window and not self.ended.is_set():
                    n = (n + 1) & 0xffff
                    self.sock.send(struct.pack("!H", n) + self.wire[2:])
                    waiting.add(n)
                    self.sent += 1
                data = self.sock.recv(4096)
            except (TimeoutError, ConnectionRefusedError):
                self.lost += len(waiting)
                waiting.clear()
                continue
            waiting.discard(struct.unpack("!H", data[:2])[0])
            self.replies.add(data[2:])
        self.sock.close()

    def end(self):
        self.ended.set()
        self.join(DEADLINE_S)
        assert not self.is_alive()


def records(reply):
    """The records of a reply without its id, as text."""
    message = dns.message.from_wire(b"\0\0" + reply)
    assert message.rcode() == 0, message
    return tuple(sorted(str(rd) for rrset in message.answer for rd in rrset))


def test_reloads_under_load_lose_nothing():
    """SIGHUP after SIGHUP while questions come: each is answered, by one zone as a whole, never half old, half new."""
    def zone(version):
        return ZONE + "".join(f"version IN TXT \"{version}-{i}\"\n" for i in range(5))
    with gtmd(unwatched(), zones={"example.com.zone": zone(0)}) as node:
        loads = [Load(node, "version.example.com", "TXT"), Load(node, "www.example.com", "A")]
        for load in loads:
            load.start()
        whole = {tuple(f'"{v}-{i}"' for i in range(5)) for v in range(41)}
        for version in range(1, 41):
            node.write("example.com.zone", zone(version))
            node.write("cluster.yaml", unwatched().replace("ttl: 5s", f"ttl: {5 + version}s"))
            node.process.send_signal(signal.SIGHUP)
            wait_for(lambda: node.addresses("plain.example.com") and '"%d-0"' % version in str(
                node.ask("version.example.com", "TXT").answer), f"version {version} is served")
        for load in loads:
            load.end()
            assert load.lost == 0 and load.sent > 1000, (load.lost, load.sent)
        got = {records(r) for r in loads[0].replies}
        assert got <= whole and len(got) >= 10
        assert {records(r) for r in loads[1].replies} == {(US,)}


def test_orders_under_load_lose_nothing():
    with gtmd(unwatched(), zones=ZONES) as node:
        load = Load(node, "first.example.com", "A")
        load.start()
        for i in range(60):
            state = ("drain", "auto")[i % 2]
            node.put("/pools/www/endpoints/www-us-east/admin", {"state": state})
            assert node.addresses("first.example.com") == [(EU, US)[i % 2]]
        load.end()
        assert load.lost == 0 and {records(r) for r in load.replies} == {(US,), (EU,)}


def test_killed_under_load_and_back():
    """kill -9 in the middle of everything: the next start has every order that was acknowledged."""
    node = Gtmd(unwatched(), zones=ZONES)
    try:
        node.start()
        for i in range(8):
            load = Load(node, "first.example.com", "A")
            load.sock.settimeout(0.2)
            load.start()
            state = ("drain", "auto")[i % 2]
            done = node.put("/pools/www/endpoints/www-us-east/admin", {"state": state, "reason": f"order {i}"})
            assert done.status == 200
            node.process.kill()  # right after the acknowledgement
            node.process.wait(timeout=DEADLINE_S)
            load.ended.set()
            began = time.monotonic()
            node.start()
            load.join(DEADLINE_S)
            assert node.addresses("first.example.com") == [(EU, US)[i % 2]], f"order {i} was acknowledged"
            assert time.monotonic() - began < 10
        assert not list((node.dir / "data").glob("*damaged*"))
        assert node.stop() == 0
    finally:
        node.close()


def sanitized():
    """Built with a sanitizer? Its own memory says nothing about ours."""
    program = (BUILD / "bin" / "gtmd").read_bytes()
    return b"__asan_init" in program or b"__tsan_init" in program


def test_memory_does_not_grow_with_reloads():
    # Sanitizers keep what was freed as they please; in their builds the end of gtmd, which reports leaks, is the check.
    with gtmd(unwatched(), zones=ZONES) as node:
        def reload(n):
            for i in range(n):
                node.write("cluster.yaml", unwatched().replace("ttl: 5s", f"ttl: {6 + i}s"))
                assert node.post("/reload").item["changed"]
            return node.metrics()["process_resident_memory_bytes"]
        before = reload(30)
        grown = reload(120) - before
        assert grown < 4 << 20 or sanitized(), f"{grown} octets more after 120 reloads"


# --- configuration

def test_files_vanish_under_a_running_daemon():
    """Nothing is read again unless asked to, and a reload without its files changes nothing and says why."""
    with gtmd(unwatched(), zones=ZONES) as node:
        shutil.move(node.dir / "cluster.yaml", node.dir / "away.yaml")
        reply = node.post("/reload")
        assert reply.status == 422 and "cluster.yaml" in reply.body
        assert node.addresses("first.example.com") == [US] and "ConfigReloadFailed" in problem_names(node)
        node.process.send_signal(signal.SIGHUP)
        shutil.move(node.dir / "away.yaml", node.dir / "cluster.yaml")
        wait_for(lambda: node.post("/reload").status == 200, "the file is back")
        assert "ConfigReloadFailed" not in problem_names(node)


def test_ten_wrong_files_in_a_row():
    """Every kind of damage to the intent is refused as a whole with its place, and nothing of it takes effect."""
    good = unwatched()
    damage = [good[:len(good) // 2] + "\x00", good + "\nregions: []\n", good + "x: " + "[" * 2000, "\t- x", "[]", "",
              good.replace("- {name: eu-west", "- {nam: eu-west", 1), good.replace("www-eu-west", "www-us-east"),
              good.replace("nearest", "neerest"), good.replace("30s", "-1s"), good.replace("zones:", "zones: &a")]
    with gtmd(good, zones=ZONES) as node:
        sha = node.get("/config").item["sha256"]
        for text in damage:
            node.write("cluster.yaml", text)
            reply = node.post("/reload")
            assert reply.status == 422, text[-200:]
            assert all(e["file"].endswith("cluster.yaml") and e["line"] >= 1 for e in reply.json["errors"]
                       if e["severity"] == "error") and reply.json["errors"]
            assert node.get("/config").item["sha256"] == sha
            assert node.addresses("first.example.com") == [US]
        (node.dir / "cluster.yaml").write_bytes(good.encode() + b"# \xff\xfe\n")
        assert node.post("/reload").status == 422
        node.write("cluster.yaml", good)
        assert node.post("/reload").status == 200
