# SPDX-License-Identifier: Apache-2.0
"""Reload is whole or not at all; state survives reloads and restarts; geography is reloaded hot."""
import os
import shutil
import signal
import time

import pytest

from harness import ZONE, address, cluster, gtmd, health_of, problem_names, wait_for, webs

import mmdb  # harness knows where it is


@pytest.fixture(name="world")
def fixture_world():
    with webs(address(11), address(12), address(13)) as servers:
        with gtmd(cluster(), zones={"example.com.zone": ZONE}) as node:
            wait_for(lambda: set(health_of(node).values()) == {"up"}, "all endpoints are up")
            yield node, servers


def test_good_reload_changes_answers_and_keeps_state(world):
    node, servers = world
    servers[0].set("stopped")
    wait_for(lambda: health_of(node)["www-us-east"] == "down", "the dead server is out")
    node.put("/pools/www/endpoints/www-ap-south/admin", {"state": "drain"})
    since = node.get("/pools/www/endpoints/www-us-east").item["addresses"][0]["since"]
    last = node.get("/events").items[-1]["id"]

    node.write("cluster.yaml", cluster(extra="      - {name: again, types: [A], policy: first}\n"))
    node.write("example.com.zone", ZONE.replace("192.0.2.99", "192.0.2.98").replace("2026112001", "2026112002"))
    done = node.post("/reload").item
    assert done["changed"] is True
    assert node.addresses("plain.example.com") == ["192.0.2.98"]
    assert node.get("/zones/example.com").item["serial"] == 2026112002
    # The change of configuration made nobody healthy: from the first answer on, the dead one is out.
    assert node.addresses("again.example.com") == [address(12)]
    assert health_of(node)["www-us-east"] == "down"
    endpoint = node.get("/pools/www/endpoints/www-us-east").item
    assert endpoint["addresses"][0]["since"] == since
    assert node.get("/pools/www/endpoints/www-ap-south").item["admin"]["state"] == "drain"
    assert [e["type"] for e in node.get(f"/events?after={last}").items] == ["ConfigReloaded"]
    assert node.post("/reload").item["changed"] is False


def test_removed_endpoint_is_not_probed_and_not_answered(world):
    node, servers = world
    node.write("cluster.yaml", cluster(regions=("us-east", "eu-west")))
    assert node.post("/reload").status == 200
    assert set(health_of(node)) == {"www-us-east", "www-eu-west"}
    asked = servers[2].requests
    # Three more rounds for the others; the removed one hears nothing.
    before = servers[0].requests
    wait_for(lambda: servers[0].requests >= before + 3, "the others are probed on")
    assert servers[2].requests <= asked + 1, "at most what was on its way"


@pytest.mark.parametrize("how", ["api", "signal"])
def test_wrong_reload_keeps_everything(world, how):
    node, _ = world
    bad = cluster().replace("policy: near}", "policy: neer}").replace("fall: 2", "fall: 0")
    node.write("cluster.yaml", bad)
    answers = node.addresses("www.example.com", subnet="198.51.100.0/24")
    revision = node.get("/status").item["revision"]
    sha = node.get("/config").item["sha256"]
    if how == "api":
        reply = node.post("/reload")
        assert reply.status == 422
        errors = reply.json["errors"]
        lines = {i for i, text in enumerate(bad.splitlines(), 1) if "neer" in text or "fall: 0" in text}
        assert lines <= {e["line"] for e in errors if e["severity"] == "error"}, "all of them at once"
        assert all(e["file"].endswith("cluster.yaml") for e in errors)
    else:
        node.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "ConfigReloadFailed" in problem_names(node), "the failure is told")
    assert node.addresses("www.example.com", subnet="198.51.100.0/24") == answers
    assert node.get("/status").item["revision"] == revision
    assert node.get("/config").item["sha256"] == sha
    assert node.metrics()["gtm_config_last_reload_successful"] == 0
    problem = [p for p in node.get("/problems").items if p["name"] == "ConfigReloadFailed"][0]
    assert problem["severity"] == "critical" and "cluster.yaml:" in problem["detail"]

    node.write("cluster.yaml", cluster())
    node.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "ConfigReloadFailed" not in problem_names(node), "the repaired file is in force")
    assert node.metrics()["gtm_config_last_reload_successful"] == 1


def test_wrong_zone_keeps_the_old_one(world):
    node, _ = world
    node.write("example.com.zone", ZONE + "bad IN A 1.2.3.4.5\nworse IN NOTYPE x\n")
    reply = node.post("/reload")
    assert reply.status == 422
    where = {(e["file"].rsplit("/", 1)[1], e["line"]) for e in reply.json["errors"] if e["severity"] == "error"}
    last = len(ZONE.splitlines())
    assert {("example.com.zone", last + 1), ("example.com.zone", last + 2)} <= where
    assert node.addresses("plain.example.com") == ["192.0.2.99"]
    (node.dir / "example.com.zone").unlink()
    assert node.post("/reload").status == 422
    assert node.addresses("plain.example.com") == ["192.0.2.99"]


def test_dry_run_changes_nothing(world):
    node, _ = world
    node.write("cluster.yaml", cluster(extra="      - {name: again, types: [A], policy: first}\n"))
    done = node.post("/reload?dryRun=true").item
    assert done["dry_run"] is True and done["changed"] is True
    assert node.addresses("again.example.com") == []
    node.write("cluster.yaml", "regions: 5\n")
    assert node.post("/reload?dryRun=true").status == 422
    assert "ConfigReloadFailed" not in problem_names(node)


def test_what_needs_a_restart_is_refused(world):
    node, _ = world
    node.write("node.yaml", node.node_text.replace("name: test-1", "name: test-2"))
    reply = node.post("/reload")
    assert reply.status == 422 and "without a restart" in reply.json["errors"][0]["message"]
    assert node.get("/node").item["name"] == "test-1"


def test_restart_remembers(world):
    node, servers = world
    servers[1].set("503")
    wait_for(lambda: health_of(node)["www-eu-west"] == "down", "the failing server is out")
    node.put("/pools/www/endpoints/www-us-east/admin", {"state": "drain", "reason": "R1"})
    began = time.monotonic()
    assert node.stop() == 0
    assert time.monotonic() - began < 5, "stops at once (below a second on an idle machine)"
    assert not node.socket.exists()
    # Nobody answers probes now: what is known comes from the saved state alone.
    servers[1].set("hang")
    node.start()
    assert node.addresses("first.example.com") == [address(13)], "drained and down are out from the first answer"
    endpoint = node.get("/pools/www/endpoints/www-us-east").item
    assert (endpoint["admin"]["state"], endpoint["admin"]["reason"]) == ("drain", "R1")
    assert health_of(node)["www-eu-west"] == "down"


def test_kill_and_restart(world):
    """A killed daemon leaves a socket file and a lock behind that do not stop the next one."""
    node, _ = world
    node.put("/pools/www/endpoints/www-us-east/admin", {"state": "down"})
    node.stop(signal.SIGKILL)
    assert node.socket.exists()
    node.start()
    assert node.get("/pools/www/endpoints/www-us-east").item["admin"]["state"] == "down"


def test_flip_is_quick_and_ordered(world):
    """Down → out → up → in, and the events tell the same story with evidence."""
    node, servers = world
    last = node.get("/events").items[-1]["id"]
    servers[0].set("garbage")
    wait_for(lambda: node.addresses("first.example.com") == [address(12)], "garbage counts as down")
    servers[0].set("ok")
    wait_for(lambda: node.addresses("first.example.com") == [address(11)], "it is back")
    events = node.get(f"/events?after={last}").items
    assert [(e["type"], e["subject"], e["to"]) for e in events] == [
        ("HealthChanged", "endpoint/www/www-us-east", "down"), ("HealthChanged", "endpoint/www/www-us-east", "up")]
    assert all(e["cause"] for e in events)


# --- geography

LONDON, TOKYO = "198.51.100.0/24", "203.0.113.0/24"


def write_geo(path, london="GB"):
    mmdb.write(str(path) + ".new", {LONDON: {"country": {"iso_code": london}}, TOKYO: {"country": {"iso_code": "JP"}}},
               type="Test-Country")
    os.replace(str(path) + ".new", path)


def test_geography_comes_goes_and_changes(tmp_path):
    path = tmp_path / "country.mmdb"
    world_of = dict(zones={"example.com.zone": ZONE}, geo=f"[{path}]")
    with webs(address(11), address(12), address(13)), gtmd(cluster(), **world_of) as node:
        # Missing at the start: the default order, a clear problem, a metric.
        assert node.addresses("www.example.com", subnet=LONDON) == [address(11)]
        assert "GeoDatabaseMissing" in problem_names(node)
        assert str(path) in node.get("/geo").item["error"]
        assert node.metrics()["gtm_geo_databases_ok"] == 0
        # It appears: loaded by itself.
        write_geo(path)
        wait_for(lambda: node.addresses("www.example.com", subnet=LONDON) == [address(12)], "London is in Europe")
        assert node.addresses("www.example.com", subnet=TOKYO) == [address(13)]
        wait_for(lambda: "GeoDatabaseMissing" not in problem_names(node), "the problem is gone")
        found = node.get("/geo/lookup?address=198.51.100.7").item
        assert (found["country"], found["prefix"], found["continent"]) == ("GB", LONDON, "EU")
        assert node.metrics()["gtm_geo_databases_ok"] == 1
        # It changes.
        write_geo(path, london="JP")
        wait_for(lambda: node.addresses("www.example.com", subnet=LONDON) == [address(13)], "now it is in Japan")
        # It breaks, then vanishes: the last good geography stays.
        path.write_bytes(b"this is no database")
        wait_for(lambda: "GeoDatabaseMissing" in problem_names(node), "the broken file is told")
        assert node.addresses("www.example.com", subnet=LONDON) == [address(13)]
        path.unlink()
        assert node.post("/reload").status == 200, "a vanished database does not stop a reload"
        assert node.addresses("www.example.com", subnet=LONDON) == [address(13)]
        assert node.get("/geo").item["loaded"] is True


def test_full_disk_keeps_orders_in_force(world):
    """data_dir cannot be written: orders take effect, and the node says that they are not saved."""
    node, _ = world
    wait_for(lambda: (node.dir / "data" / "state.jsonl").exists(), "the state was saved once")
    shutil.move(node.dir / "data", node.dir / "away")
    done = node.put("/pools/www/endpoints/www-us-east/admin", {"state": "drain"}).item
    assert "not saved" in done["warning"]
    assert node.addresses("first.example.com") == [address(12)]
    assert "StateNotSaved" in problem_names(node)
    assert node.metrics()["gtm_state_saved"] == 0
    shutil.move(node.dir / "away", node.dir / "data")
    wait_for(lambda: "StateNotSaved" not in problem_names(node), "saved later")
    assert "override/endpoint/www/www-us-east" in (node.dir / "data" / "state.jsonl").read_text()
