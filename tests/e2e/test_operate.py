# SPDX-License-Identifier: Apache-2.0
"""What an operator does with gtmctl while a real gtmd runs: heartbeats by hand, tables of latencies pushed, transfers
asked for, and what the API and gtmctl show of loads, policies, zones and the node's DNS."""
import json
import re

import pytest

from gtmctl import run
from harness import DNS_PORT, ROOT, ZONE, address, gtmd, wait_for

OPERATE = f"""regions: [{{name: us-east, location: [38.9, -77.0]}}, {{name: eu-west, location: [53.3, -6.3]}}]
monitors:
  - {{name: beat, kind: push, token: {{file: beat.token}}, interval: 60s, fall: 1, rise: 1}}
  - {{name: second, kind: push, token: {{file: beat.token}}, interval: 60s, fall: 1, rise: 1}}
pools:
  - name: www
    monitors: [beat, second]
    endpoints:
      - {{name: a, region: us-east, addresses: ["{address(11)}", "2001:db8::1"], capacity: {{requests_per_s: 100}}}}
      - {{name: b, region: eu-west, addresses: ["{address(12)}"]}}
policies:
  - {{name: fast, pool: www, steer: latency, answers: 1, latency: {{table: times.txt}}}}
  - {{name: free, pool: www, steer: latency, answers: 1}}
  - {{name: even, pool: www, steer: least_connections}}
  - {{name: first, pool: www, steer: failover, order: [us-east, eu-west]}}
zones:
  - name: example.com
    file: example.com.zone
    secondaries: [{{address: "{address(61)}"}}]
    names: [{{name: www, types: [A, AAAA], policy: fast}}, {{name: even, types: [A], policy: even}}]
  - {{name: copy.example, primaries: [{{address: "{address(62)}"}}]}}
"""
TIMES = "network region ms\n192.0.2.0/24 us-east 10\n192.0.2.0/24 eu-west 90\n"
OTHER = "192.0.2.0/24 us-east 90\n192.0.2.0/24 eu-west 10\n198.51.100.0/24 eu-west 3\n"


@pytest.fixture(name="world", scope="module")
def fixture_world():
    zones = {"example.com.zone": ZONE, "beat.token": "token\n", "times.txt": TIMES}
    with gtmd(OPERATE, zones=zones) as node:
        yield node, lambda *args, **kw: run("--socket", str(node.socket), *args, **kw)


def checks(node, endpoint):
    return [c for c in node.get("/health?pool=www").items if c["endpoint"] == endpoint]


def item(ctl, *args):
    done = ctl(*args, "-o", "json")
    assert done.code == 0, done.err
    return json.loads(done.out)["item"]


# ---- heartbeats ----

def test_heartbeat_by_hand(world):
    node, ctl = world
    assert {c["health"] for c in checks(node, "b")} == {"unknown"}
    done = ctl("health", "push", "www/b", "--load", "0.25", "--connections", "7", "--text", "by hand")
    assert done.code == 0 and done.out == "www/b: up, told 2 checks\n", (done.out, done.err)
    wait_for(lambda: {c["health"] for c in checks(node, "b")} == {"up"}, "both checks of b are up")
    wait_for(lambda: all(c["load"] == {"load": 0.25, "connections": 7} for c in checks(node, "b")), "its load is known")
    assert {c["evidence"] for c in checks(node, "b")} == {"by hand"}
    assert ctl("health", "push", "www/b/second", "--down").code == 0
    wait_for(lambda: {c["monitor"]: c["health"] for c in checks(node, "b")} == {"beat": "up", "second": "down"},
             "only the named monitor is down")
    assert ctl("health", "push", "www/b/second").code == 0
    wait_for(lambda: {c["health"] for c in checks(node, "b")} == {"up"}, "it is up again")
    wide = ctl("health", "show", "www/b", "-o", "wide").out
    for word in ("KIND", "CERT", "LOAD", "SHARED", "LOAD_ERROR", "push", "25 %", " 7 "):
        assert word in wide


def test_dry_heartbeat_says_nothing(world):
    node, ctl = world
    before = [c["checks_total"] for c in checks(node, "a")]
    done = ctl("health", "push", "www/a", "--down", "--dry-run")
    assert done.code == 0 and "would tell 4 checks" in done.out
    assert [c["checks_total"] for c in checks(node, "a")] == before


@pytest.mark.parametrize("args,code,said", [
    (("www/a", "--up", "--down"), 2, "not both"), (("www/a", "--load", "much"), 2, "takes a number"),
    (("www/a", "--load", "-1"), 2, "takes a number"), (("www/a", "--load", "nan"), 2, "takes a number"),
    (("www",), 2, "POOL/ENDPOINT"), (("nope/a",), 4, "no pool"), (("www/nope",), 4, "no endpoint"),
    (("www/a/nope",), 6, "no monitor of kind push")])
def test_heartbeats_refused(world, args, code, said):
    _, ctl = world
    done = ctl("health", "push", *args)
    assert done.code == code and said in done.err and done.out == ""


@pytest.mark.parametrize("body", [{"pool": "www", "endpoint": "a", "status": "well"}, {"pool": "www", "endpoint": "a", "status": 1},
                                  {"pool": "www", "endpoint": "a", "load": "0.5"}, {"pool": "www", "endpoint": "a", "load": -1},
                                  {"pool": "www", "endpoint": "a", "token": "x"}])
def test_wrong_heartbeat_over_the_api(world, body):
    node, _ = world
    assert node.post("/health/push", body).status == 400


# ---- tables of latencies ----

def test_table_is_pushed_kept_and_cleared(world):
    node, ctl = world
    for endpoint in ("a", "b"):
        assert ctl("health", "push", f"www/{endpoint}").code == 0
    subnet = "192.0.2.0/24"
    wait_for(lambda: node.addresses("www.example.com", subnet=subnet) == [address(11)], "the file's order")
    (node.dir / "other.txt").write_text(OTHER)
    path = str(node.dir / "other.txt")
    assert "would be accepted, 2 networks" in ctl("policy", "latency", "fast", "-f", path, "--dry-run").out
    assert node.addresses("www.example.com", subnet=subnet) == [address(11)]
    done = ctl("policy", "latency", "fast", "-f", path)
    assert done.code == 0 and done.out == "fast: the table is in force, 2 networks\n", done.err
    assert node.addresses("www.example.com", subnet=subnet) == [address(12)]
    (node.dir / "bad.txt").write_text("192.0.2.0/24 us-east 5\n192.0.2.0/33 us-east 5\n192.0.2.0/24 us-east fast\n")
    bad = ctl("policy", "latency", "fast", "-f", str(node.dir / "bad.txt"))
    assert bad.code == 1 and "pushed:2:" in bad.err and "pushed:3:" in bad.err and "old one stays" in bad.err
    assert node.addresses("www.example.com", subnet=subnet) == [address(12)]
    node.stop()
    node.start()
    wait_for(lambda: node.addresses("www.example.com", subnet=subnet) == [address(12)], "the table survives a restart")
    assert ctl("policy", "latency", "fast", "--clear", "--dry-run").code == 0
    assert "file counts again" in ctl("policy", "latency", "fast", "--clear").out
    assert node.addresses("www.example.com", subnet=subnet) == [address(11)]
    again = ctl("policy", "latency", "fast", "--clear")
    assert again.code == 4 and "no pushed table" in again.err




def test_table_from_standard_input(world):
    _, ctl = world
    done = ctl("policy", "latency", "free", "-f", "-", stdin=OTHER)
    assert done.code == 0 and "2 networks" in done.out
    assert ctl("policy", "latency", "free", "--clear").code == 0


@pytest.mark.parametrize("args,code,said", [
    (("first", "-f", "-"), 6, "takes no table"), (("nope", "-f", "-"), 4, "no policy"),
    (("fast",), 2, "one of them"), (("fast", "--clear", "-f", "-"), 2, "one of them"),
    (("fast", "-f", "/nonexistent"), 1, "nonexistent")])
def test_tables_refused(world, args, code, said):
    _, ctl = world
    done = ctl("policy", "latency", *args, stdin=OTHER)
    assert done.code == code and said in done.err, done.err


def test_bodies_have_bounds(world):
    node, _ = world
    large = "# a comment\n" * 200000  # 2.4 MB: more than other routes take
    assert node.request("PUT", "/policies/free/latency?dryRun=true", body=large + OTHER).status == 200
    assert node.request("POST", "/config/validate", body=large).status == 413


# ---- zones ----

def test_zone_notify_and_refresh(world):
    node, ctl = world
    assert "1 secondary server asked" in ctl("zone", "notify", "example.com").out
    assert "would be asked" in ctl("zone", "notify", "example.com", "--dry-run").out
    assert "1 primary server asked" in ctl("zone", "refresh", "copy.example").out
    for args, said in ((("refresh", "example.com"), "no primaries"), (("notify", "copy.example"), "no secondaries")):
        done = ctl("zone", *args)
        assert done.code == 6 and said in done.err
    assert ctl("zone", "refresh", "nope").code == 4
    shown = {z["name"]: z for z in node.get("/zones").items}
    assert shown["example.com"]["role"] == "primary" and shown["copy.example"]["role"] == "secondary"
    assert shown["copy.example"]["state"] == "waiting"
    wide = ctl("zone", "list", "-o", "wide").out
    for word in ("ROLE", "STATE", "NEXT", "EXPIRES", "secondary", "waiting"):
        assert word in wide


# ---- what is shown ----

def test_loads_and_utilisation(world):
    node, ctl = world
    body = {"pool": "www", "endpoint": "a", "requests_per_s": 40, "connections": 12, "latency_ms": 5}
    assert node.post("/health/push", body).status == 200
    path = "/pools/www/endpoints/a"
    wait_for(lambda: node.get(path).item["utilisation"] == 0.4, "requests of its capacity")
    loads = node.get(path).item["loads"]
    assert {k: v["value"] for k, v in loads.items()} == {"requests_per_s": 40, "connections": 12, "latency_ms": 5}
    assert all(0 <= v["age_seconds"] < 60 for v in loads.values())
    wide = ctl("endpoint", "list", "www", "-o", "wide").out
    for word in ("USED", "40 %", "CONNECTIONS", " 12 "):
        assert word in wide
    shown = node.metrics()
    assert shown['gtm_endpoint_load{pool="www",endpoint="a",what="connections"}'] == 12
    assert [value for name, value in shown.items() if name.startswith("gtm_endpoint_share{")] == [1, 1, 1]
    pool = node.get("/pools/www").item
    assert pool["panic"] is False and pool["sheds"] == []


def test_policies_tell_what_they_go_by(world):
    node, ctl = world
    even = item(ctl, "policy", "show", "even")
    assert [w["endpoint"] for w in even["balance"]["weights"]] == ["a", "b"]
    assert all(w["configured"] == 100 and w["balanced"] > 0 for w in even["balance"]["weights"])
    assert "latency" not in even
    fast, free = item(ctl, "policy", "show", "fast")["latency"], item(ctl, "policy", "show", "free")["latency"]
    assert fast["table"] == "file" and fast["networks"] == 1 and fast["file"].endswith("times.txt") and fast["changed"]
    assert free == {"file": None, "table": "none", "networks": 0, "changed": None}
    assert ctl("policy", "latency", "fast", "-f", "-", stdin=OTHER).code == 0
    pushed = item(ctl, "policy", "show", "fast")["latency"]
    assert pushed["table"] == "pushed" and pushed["networks"] == 2
    assert ctl("policy", "latency", "fast", "--clear").code == 0
    assert item(ctl, "policy", "show", "fast")["latency"] == fast


def test_status_is_one_screen(world):
    node, ctl = world
    shown = ctl("status").out
    assert f"UDP, TCP {node.address}:{DNS_PORT}  TLS off" in shown
    assert "zones 2, 1 of 1 secondary not fresh" in shown
    assert node.get("/status").item["secondaries"] == {"total": 1, "not_fresh": 1}


def test_copies_in_metrics(world):
    node, _ = world
    shown = node.metrics()
    assert shown['gtm_zone_expires_timestamp_seconds{zone="copy.example"}'] == 0
    assert shown['gtm_zone_transfer_failures_total{zone="copy.example"}'] >= 1
    assert 'gtm_zone_expires_timestamp_seconds{zone="example.com"}' not in shown


def test_every_metric_is_in_the_manual(world):
    node, _ = world
    families = set(re.findall(r"^# TYPE (gtm_\w+)", node.get("/metrics").body, re.M))
    told = set(re.findall(r"^\.It Li (gtm_\w+)", (ROOT / "deploy" / "man" / "gtmd.8").read_text(), re.M))
    assert len(families) > 60
    assert families - told == set()


def problems(node):
    return {(p["name"], p["subject"]): p for p in node.get("/problems").items}


def test_problems_of_monitors_and_zones(world):
    node, _ = world
    assert problems(node)[("PushNotListening", "monitor/beat")]["severity"] == "note"
    assert ("ZoneNotTransferred", "zone/copy.example") in problems(node)
    assert ("CertificateExpiresSoon", "dns.tls") not in problems(node)
