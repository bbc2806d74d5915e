# SPDX-License-Identifier: Apache-2.0
"""gtmctl while gtmd goes and comes: orders stay, followers go on."""
import json

import pytest

from gtmctl import background, run
from harness import ZONE, address, cluster, gtmd, health_of, wait_for, webs


@pytest.fixture(name="node")
def fixture_node():
    with webs(address(11), address(12), address(13)):
        with gtmd(cluster(), zones={"example.com.zone": ZONE}) as node:
            wait_for(lambda: set(health_of(node).values()) == {"up"}, "all endpoints are up")
            yield node


def test_overrides_survive_a_restart(node):
    base = ["--socket", str(node.socket)]
    assert run(*base, "endpoint", "drain", "www/www-us-east", "--yes", "--reason", "R1").code == 0
    assert node.stop() == 0
    assert run(*base, "status").code == 3
    node.start()
    item = json.loads(run(*base, "endpoint", "show", "www/www-us-east", "-o", "json").out)["item"]
    assert (item["admin"]["state"], item["admin"]["reason"], item["serves"]) == ("drain", "R1", False)
    assert node.addresses("first.example.com") == [address(12)]


def test_events_follow(node):
    with background("--socket", str(node.socket), "events", "-f", "-o", "json", "--limit", "1") as seen:
        wait_for(lambda: seen, "the last event is there at once")
        node.put("/pools/www/endpoints/www-us-east/admin", {"state": "drain", "reason": "told"})
        wait_for(lambda: any("told" in line for line in seen), "the order is told")
    events = [json.loads(line) for line in seen]
    assert len({e["id"] for e in events}) == len(events), "none twice"
    assert [e["id"] for e in events] == sorted(e["id"] for e in events)
    limited = json.loads(run("--socket", str(node.socket), "events", "--limit", "2", "-o", "json").out)["items"]
    assert limited == node.get("/events").items[-2:], "the newest"


def test_watch_goes_on_while_gtmd_is_away(node):
    errors = []
    args = ["--socket", str(node.socket), "pool", "list", "--watch=100ms", "--no-headers"]
    with background(*args, errors=errors) as lines:
        wait_for(lambda: lines, "it shows something")
        assert node.stop() == 0
        wait_for(lambda: any("cannot reach" in e for e in errors), "it says that gtmd is away")
        node.start()
        shown = len(lines)
        wait_for(lambda: len(lines) > shown, "it goes on")
