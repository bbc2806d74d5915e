# SPDX-License-Identifier: Apache-2.0
"""Zone files are loaded by themselves when they change, each for itself, whole or not at all."""
import time

import dns.exception
import dns.rcode
import pytest

from harness import ZONE, address, cluster, gtmd, problem_names, wait_for, webs


def zone(last, serial=2026112002, extra=""):
    return ZONE.replace("192.0.2.99", f"192.0.2.{last}").replace("2026112001", str(serial)) + extra


def plain(node):
    return node.addresses("plain.example.com")


@pytest.fixture(name="node")
def fixture_node():
    with webs(address(11)):
        with gtmd(cluster(), zones={"example.com.zone": ZONE}) as one:
            yield one


def loaded(node):
    return node.log_text().count('"msg":"loaded"')


def test_a_changed_file_is_loaded(node):
    last = node.get("/events").items[-1]["id"]
    node.write("example.com.zone", zone(1))  # renamed into place
    wait_for(lambda: plain(node) == ["192.0.2.1"], "the renamed file is loaded")
    assert node.get("/zones/example.com").item["serial"] == 2026112002
    (node.dir / "example.com.zone").write_text(zone(2, 2026112003))  # written in place
    wait_for(lambda: plain(node) == ["192.0.2.2"], "the written file is loaded")
    # The intent was not read again, and the dynamic names answer on.
    assert not [e for e in node.get(f"/events?after={last}").items if e["type"].startswith("Config")]
    assert node.addresses("www.example.com") == [address(11)]


def test_half_a_file_is_not_loaded(node):
    text = zone(1, extra="".join(f"n{i} IN A 192.0.2.7\n" for i in range(100)))
    with open(node.dir / "example.com.zone", "w", encoding="ascii") as file:
        for at in range(0, len(text), 200):
            file.write(text[at:at + 200])
            file.flush()
            time.sleep(0.08)
            assert plain(node) == ["192.0.2.99"]
            assert node.ask("n99.example.com").rcode() == dns.rcode.NXDOMAIN
    wait_for(lambda: plain(node) == ["192.0.2.1"], "the whole file is loaded")
    assert node.addresses("n99.example.com") == ["192.0.2.7"]
    assert "ZoneFileWrong" not in problem_names(node)


def test_a_wrong_file_keeps_the_old_zone(node):
    node.write("example.com.zone", zone(1, extra="broken IN A 1.2.3.4.5\n"))
    wait_for(lambda: "ZoneFileWrong" in problem_names(node), "the problem is told")
    problem = [p for p in node.get("/problems").items if p["name"] == "ZoneFileWrong"][0]
    assert problem["subject"] == "zone/example.com"
    assert "example.com.zone:7:13: " in problem["detail"]
    assert plain(node) == ["192.0.2.99"]
    node.write("example.com.zone", zone(1))
    wait_for(lambda: plain(node) == ["192.0.2.1"], "the repaired file is loaded")
    assert "ZoneFileWrong" not in problem_names(node)


def test_a_missing_file_keeps_the_old_zone(node):
    before = loaded(node)
    (node.dir / "example.com.zone").unlink()
    time.sleep(0.6)  # longer than a change takes to be seen
    assert plain(node) == ["192.0.2.99"]
    assert problem_names(node).count("ZoneFileWrong") == 0
    node.write("example.com.zone", zone(1))
    wait_for(lambda: plain(node) == ["192.0.2.1"], "the file that came back is loaded")
    assert loaded(node) > before


def test_included_files_are_watched(node):
    node.write("more.zone", "more IN A 192.0.2.5\n")
    node.write("example.com.zone", zone(1, extra="$INCLUDE more.zone\n"))
    wait_for(lambda: node.addresses("more.example.com") == ["192.0.2.5"], "the included file is loaded")
    node.write("more.zone", "more IN A 192.0.2.6\n")
    wait_for(lambda: node.addresses("more.example.com") == ["192.0.2.6"], "the included file is watched")


def test_a_swapped_folder_is_noticed(node):
    """As volumes of Kubernetes are updated: a link to a folder is replaced by a link to another."""
    for name, last in (("one", 1), ("two", 2)):
        (node.dir / name).mkdir()
        (node.dir / name / "example.com.zone").write_text(zone(last))
    (node.dir / "volume").mkdir()
    (node.dir / "volume" / "..data").symlink_to("../one")
    (node.dir / "volume" / "example.com.zone").symlink_to("..data/example.com.zone")
    node.write("cluster.yaml", cluster().replace("file: example.com.zone", "file: volume/example.com.zone"))
    assert node.post("/reload").status == 200
    assert plain(node) == ["192.0.2.1"]
    (node.dir / "volume" / "..new").symlink_to("../two")
    (node.dir / "volume" / "..new").replace(node.dir / "volume" / "..data")
    wait_for(lambda: plain(node) == ["192.0.2.2"], "the other folder's file is loaded")


def test_one_of_a_thousand_zones(node):
    """Only the one that changed is loaded, and a wrong neighbour does not hold it up."""
    count = 1000
    names = [f"z{i}.test" for i in range(count)]
    for name in names:
        (node.dir / name).write_text(zone(9))
    node.write("cluster.yaml", cluster() + "".join(f"  - {{name: {n}, file: {n}}}\n" for n in names))
    assert node.post("/reload").status == 200
    # Files written a moment before they are first watched are looked at once more.
    time.sleep(1)
    wait_for(lambda: loaded(node) == loaded(node), "quiet")
    before = loaded(node)
    node.write("z1.test", "no zone at all\n")
    node.write("z500.test", zone(77, 2026112005))
    started = time.monotonic()
    wait_for(lambda: node.addresses("plain.z500.test") == ["192.0.2.77"], "it is loaded", every_s=0.005)
    took = time.monotonic() - started
    wait_for(lambda: "ZoneFileWrong" in problem_names(node), "the wrong one is told")
    assert node.addresses("plain.z1.test") == ["192.0.2.9"]
    assert loaded(node) == before + 1
    print(f"one of {count} zones: {took * 1000:.0f} ms, 200 of them waited for the file to be whole")
    assert took < 5


def test_a_serial_that_does_not_rise_is_told(node):
    node.write("cluster.yaml", cluster().replace(
        "    names:", f"    secondaries: [{{address: {address(99)}}}]\n    names:", 1))
    assert node.post("/reload").status == 200, node.log_text()
    node.write("example.com.zone", zone(1, 2026112001))
    wait_for(lambda: plain(node) == ["192.0.2.1"], "it is loaded all the same")
    wait_for(lambda: "ZoneSerial" in problem_names(node), "the serial is told")
    node.write("example.com.zone", zone(2, 2026112002))
    wait_for(lambda: "ZoneSerial" not in problem_names(node), "the risen serial is fine")
