# SPDX-License-Identifier: Apache-2.0
"""Users are moved away from a region in steps: seen in the answers that clients of several places get."""
import json
import signal

import pytest

from gtmctl import run
from harness import ZONE, address, cluster, gtmd, health_of, wait_for, webs

US, EU, AP = (address(11 + i) for i in range(3))
PLACES = {"us": "198.51.100.0/24", "eu": "203.0.113.0/24", "ap": "192.0.2.0/24"}
ROUTES = ", ".join(f"{{match: {{networks: [\"{PLACES[p]}\"]}}, regions: [{r}]}}"
                   for p, r in (("us", "us-east"), ("eu", "eu-west"), ("ap", "ap-south")))
POLICIES = f"""\
  - {{name: by-place, pool: www, steer: geo, default: [us-east, eu-west, ap-south], routes: [{ROUTES}]}}
  - {{name: spread, pool: www, steer: weighted}}
"""
RULES = """\
rules:
  - {name: never-empty, kind: answers_left, min: 1}
  - {name: one-at-a-time, kind: regions_out, max: 1}
  - {name: room, kind: capacity_left, min: 1.0, when: planned}
  - {name: freeze, kind: gate, switch: change-freeze, allow: off}
"""
ASKED = 300


def intent(capacity=(), regions_out=1):
    text = cluster(extra=RULES.replace("max: 1", f"max: {regions_out}"))
    text = text.replace("zones:\n", POLICIES + "zones:\n")
    text = text.replace("      - {name: www, types", "      - {name: place, types: A, policy: by-place}\n"
                        "      - {name: spread, types: A, policy: spread}\n      - {name: www, types")
    for i, a in enumerate((US, EU, AP)):
        if capacity:
            text = text.replace(f"addresses: [\"{a}\"]", f"addresses: [\"{a}\"], capacity: "
                                f"{{requests_per_s: {capacity[i]}}}")
    return text


@pytest.fixture(name="world")
def fixture_world(request):
    with webs(US, EU, AP) as servers:
        with gtmd(intent(**getattr(request, "param", {})), zones={"example.com.zone": ZONE}) as node:
            wait_for(lambda: set(health_of(node).values()) == {"up"}, "all endpoints are up")
            yield node, servers


def ctl(node, *args, code=0):
    done = run("--socket", str(node.socket), *args)
    assert done.code == code, (args, done.code, done.out, done.err)
    return done


def at_home(node, place, home):
    """The part of a place's users that its own region gets."""
    subnet = PLACES[place]
    return sum(node.addresses("place.example.com", subnet=subnet) == [home] for _ in range(ASKED)) / ASKED


def spread(node):
    got = [node.addresses("spread.example.com")[0] for _ in range(ASKED)]
    return {a: got.count(a) / ASKED for a in (US, EU, AP)}


def shift_of(node, region="us-east"):
    return next(r for r in node.get("/traffic").items if r["name"] == region)["shift"]


def test_users_leave_in_steps_and_come_back(world):
    node, _ = world
    done = ctl(node, "traffic", "shift", "--from", "us-east", "--steps", "30,100", "--pause", "4s", "--reason", "INC-1",
               "--yes")
    assert "shift/us-east: auto → shift 30 %" in done.out
    shift = shift_of(node)
    assert (shift["moved"], shift["steps"], shift["done"], shift["held"]) == (0.3, [30, 100], 1, False)
    # a binomial share of 300 lies within 0.12 of 0.7 but once in a million runs; elsewhere nobody moves
    assert abs(at_home(node, "us", US) - 0.7) < 0.13
    assert at_home(node, "eu", EU) == at_home(node, "ap", AP) == 1
    shares = spread(node)
    assert abs(shares[US] - 0.7 / 2.7) < 0.12, "weighted users leave, too"
    wait_for(lambda: shift_of(node)["moved"] == 1, "the second step")
    assert at_home(node, "us", US) == 0 and at_home(node, "eu", EU) == 1
    assert spread(node)[US] == 0
    assert health_of(node)["www-us-east"] == "up"
    ctl(node, "traffic", "undo", "us-east")
    assert at_home(node, "us", US) == 1 and spread(node)[US] > 0.15
    assert shift_of(node) is None
    ctl(node, "traffic", "undo", "us-east", code=6)
    words = [(e["from"], e["to"]) for e in node.get("/events").items if e["subject"] == "shift/us-east"]
    assert words == [("auto", "shift 30 %"), ("shift 30 %", "shift 100 %"), ("shift 100 %", "auto")]


def test_hold_resume_and_a_restart(world):
    node, _ = world
    ctl(node, "traffic", "shift", "us-east", "--steps", "20,60,100", "--pause", "1s", "--yes")
    ctl(node, "traffic", "hold", "us-east")
    moved = shift_of(node)["moved"]
    assert moved < 1 and shift_of(node)["held"] and "held by" in shift_of(node)["held_why"]
    assert [p["name"] for p in node.get("/problems").items if p["subject"] == "shift/us-east"] == ["ShiftHeld"]
    assert "held by" in ctl(node, "traffic", "show").out
    node.stop(signal.SIGKILL)
    node.start()
    assert shift_of(node)["moved"] == moved and abs(at_home(node, "us", US) - (1 - moved)) < 0.13
    ctl(node, "automation", "pause", "--reason", "quiet, please")
    ctl(node, "traffic", "resume", "us-east", "--yes")
    taken = shift_of(node)["done"]
    wait_for(lambda: node.get("/status").item["uptime_seconds"] > 4, "two steps would have been taken")
    assert shift_of(node)["done"] == taken, "automation is paused"
    automation = json.loads(ctl(node, "automation", "status", "-o", "json").out)["item"]
    assert automation["state"] == "paused" and automation["until"] and "shifts" in automation["holds"]
    ctl(node, "automation", "resume")
    wait_for(lambda: shift_of(node)["moved"] == 1, "it goes on to the end")
    ctl(node, "override", "clear", "shift/us-east")
    assert at_home(node, "us", US) == 1


@pytest.mark.parametrize("world", [{"regions_out": 3}], indirect=True)
def test_it_holds_when_something_breaks_elsewhere(world):
    node, servers = world
    servers[0].set("503")
    wait_for(lambda: health_of(node)["www-us-east"] == "down", "what users leave may be broken")
    servers[0].set("ok")
    wait_for(lambda: health_of(node)["www-us-east"] == "up", "it is well again")
    ctl(node, "traffic", "shift", "us-east", "--steps", "10,50,100", "--pause", "1s", "--yes")
    servers[2].set("503")
    wait_for(lambda: shift_of(node)["held"], "it holds by itself")
    assert shift_of(node)["moved"] < 1 and "down elsewhere: 1, when it began 0" in shift_of(node)["held_why"]
    ctl(node, "traffic", "undo", "us-east")


@pytest.mark.parametrize("world", [{"capacity": (4000, 1000, 1000)}], indirect=True)
def test_it_holds_before_a_step_that_a_rule_forbids(world):
    node, _ = world
    ctl(node, "traffic", "shift", "us-east", "--steps", "50,100", "--pause", "1s", "--yes")
    wait_for(lambda: shift_of(node)["held"], "it holds by itself")
    shift = shift_of(node)
    assert shift["moved"] == 0.5 and "rule room" in shift["held_why"]
    assert abs(at_home(node, "us", US) - 0.5) < 0.14
    # an emergency: the rest of the way against the rule
    ctl(node, "traffic", "resume", "us-east", "--override-rule", "room", "--reason", "INC-2", "--yes")
    wait_for(lambda: shift_of(node)["moved"] == 1, "the last step")
    assert shift_of(node)["overridden_rules"] == "room"


def test_wrong_orders(world):
    node, _ = world
    ctl(node, "traffic", "shift", "--from", "nowhere", "--yes", code=4)
    ctl(node, "traffic", "shift", "--yes", code=2)
    for steps in ("50,10", "0", "101", "ten", "10,,20"):
        ctl(node, "traffic", "shift", "us-east", "--steps", steps, "--yes", code=2)
    ctl(node, "traffic", "shift", "us-east", code=2)  # no terminal, and no --yes
    ctl(node, "traffic", "hold", "us-east", code=6)
    assert node.put("/traffic/us-east", {"state": "sideways"}).status == 400
    assert node.put("/traffic/us-east", {"state": "shift", "pause_s": 0}).status == 400
    ctl(node, "traffic", "shift", "us-east", "--dry-run")
    assert shift_of(node) is None
    ctl(node, "traffic", "shift", "us-east", "--steps", "10", "--yes")
    ctl(node, "traffic", "shift", "us-east", "--yes", code=6)
    ctl(node, "traffic", "shift", "eu-west", "--yes", code=5)  # one region at a time
