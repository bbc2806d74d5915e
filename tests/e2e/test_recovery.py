# SPDX-License-Identifier: Apache-2.0
"""How users come back to what recovered and leave what drains: hold, ramp, manual failback, flap penalty, gradual
drain, several monitors, panic. With gtmctl, as an operator sees it."""
import contextlib
import json
import subprocess

import pytest

from harness import BUILD, DEADLINE_S, WEB_PORT, ZONE, address, gtmd, problem_names, wait_for, webs

ADDRESSES = [address(11), address(12), address(13)]
US, EU, AP = ADDRESSES


def intent(pool="", monitors="", monitor_list="[web]"):
    return f"""regions:
  - {{name: us-east, location: [38.9, -77.0]}}
  - {{name: eu-west, location: [53.3, -6.3]}}
  - {{name: ap-south, location: [1.35, 103.8]}}
monitors:
  - {{name: web, kind: http, port: {WEB_PORT}, path: /healthz, interval: 200ms, timeout: 150ms, fall: 2, rise: 2}}
{monitors}
pools:
  - name: www
    monitors: {monitor_list}
{pool}
    endpoints:
      - {{name: us, region: us-east, addresses: ["{US}"]}}
      - {{name: eu, region: eu-west, addresses: ["{EU}"]}}
      - {{name: ap, region: ap-south, addresses: ["{AP}"]}}
policies:
  - {{name: first, pool: www, steer: failover, order: [us-east, eu-west, ap-south], ttl: 5s}}
  - {{name: all, pool: www, steer: multivalue, ttl: 5s}}
zones:
  - name: example.com
    file: example.com.zone
    names:
      - {{name: first, types: [A], policy: first}}
      - {{name: all, types: [A], policy: all}}
"""


class World:
    def __init__(self, node, servers):
        self.node, self.servers = node, servers

    def ctl(self, *args, code=0):
        done = subprocess.run([str(BUILD / "bin" / "gtmctl"), "--socket", str(self.node.socket), *args],
                              capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=DEADLINE_S, check=False)
        assert done.returncode == code, (args, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def endpoint(self, name):
        return json.loads(self.ctl("endpoint", "show", f"www/{name}", "-o", "json"))["item"]

    def first(self):
        return self.node.addresses("first.example.com")

    def all(self):
        return self.node.addresses("all.example.com")

    def health(self, name, word):
        wait_for(lambda: self.endpoint(name)["health"] == word, f"{name} is {word}")


@contextlib.contextmanager
def running(**kw):
    with webs(*ADDRESSES) as servers, gtmd(intent(**kw), zones={"example.com.zone": ZONE}) as node:
        world = World(node, servers)
        for name in ("us", "eu", "ap"):
            world.health(name, "up")
        yield world


def test_hold_and_ramp():
    with running(pool="    failback: {mode: auto, hold: 2s, ramp: 20s}\n") as world:
        assert world.first() == [US]
        world.servers[0].set("stopped")
        wait_for(lambda: world.first() == [EU], "users go on to eu-west")
        world.servers[0].set("ok")
        world.health("us", "up")
        held = world.endpoint("us")["addresses"][0]
        assert not held["serves"] and held["share"] == 0 and "failback.hold" in held["share_reason"]
        assert world.first() == [EU]
        wait_for(lambda: world.first() == [US], "the hold is over")
        ramping = world.endpoint("us")["addresses"][0]
        assert 0 < ramping["share"] < 0.5 and "ramping up" in ramping["share_reason"]
        assert "ramping up" in world.ctl("endpoint", "list", "www")
        kinds = [(e["type"], e["to"]) for e in world.node.get("/events").items if e["type"] == "Recovery"]
        assert kinds[:2] == [("Recovery", "held"), ("Recovery", "ramping")]


def test_what_is_held_serves_when_nothing_else_does():
    with running(pool="    failback: {mode: auto, hold: 1h}\n") as world:
        world.servers[0].set("stopped")
        wait_for(lambda: world.first() == [EU], "users go on to eu-west")
        world.servers[0].set("ok")
        world.health("us", "up")
        assert world.first() == [EU]
        world.servers[1].set("stopped")
        world.servers[2].set("stopped")
        wait_for(lambda: world.first() == [US], "it is needed at once")
        assert any("needed at once" in e["cause"] for e in world.node.get("/events").items)


def test_manual_failback_waits_for_a_word_and_over_a_restart():
    with running(pool="    failback: {mode: manual}\n") as world:
        world.servers[0].set("stopped")
        wait_for(lambda: world.first() == [EU], "users go on to eu-west")
        world.ctl("endpoint", "resume", "www/us", code=6)
        world.servers[0].set("ok")
        world.health("us", "up")
        assert world.first() == [EU]
        assert "gtmctl endpoint resume" in world.ctl("endpoint", "list", "www")
        world.node.stop()
        world.node.start()
        world.health("us", "up")
        assert world.first() == [EU], "a restart is no word of an operator"
        world.ctl("endpoint", "resume", "www/us", "--dry-run")
        assert world.first() == [EU]
        world.ctl("endpoint", "resume", "www/us")
        assert world.first() == [US]


def test_a_flapping_endpoint_is_held():
    with running(pool="    flap: {half_life: 1m, suppress: 2, hold: 5m}\n") as world:
        for _ in range(2):
            world.servers[0].set("stopped")
            world.health("us", "down")
            world.servers[0].set("ok")
            world.health("us", "up")
        assert world.first() == [US], "twice may happen"
        world.servers[0].set("stopped")
        world.health("us", "down")
        world.servers[0].set("ok")
        world.health("us", "up")
        why = world.endpoint("us")["addresses"][0]["share_reason"]
        assert "it fell 3 times shortly" in why and world.first() == [EU]
        world.ctl("endpoint", "resume", "www/us")
        assert world.first() == [US]


def test_a_gradual_drain():
    with running() as world:
        world.ctl("endpoint", "drain", "www/us", "--over", "6s", "--yes", "--reason", "kernel update")
        shares = [world.endpoint("us")["addresses"][0]["share"]]
        assert 0.5 < shares[0] < 1 and world.first() == [US]
        assert "draining: " in world.ctl("endpoint", "list", "www")
        wait_for(lambda: world.endpoint("us")["addresses"][0]["share"] < shares[0], "its share falls")
        assert world.endpoint("us")["effective_admin"] == "auto"
        wait_for(lambda: world.first() == [EU], "it is drained", deadline_s=60)
        assert world.endpoint("us")["effective_admin"] == "drain"
        world.ctl("endpoint", "auto", "www/us")
        assert world.first() == [US] and world.endpoint("us")["addresses"][0]["share"] == 1
        world.ctl("endpoint", "down", "www/us", "--over", "5s", code=2)


def test_panic_a_bad_release_does_not_empty_the_world():
    with running() as world:
        world.servers[0].set("503")
        wait_for(lambda: world.first() == [EU], "one bad server is believed")
        world.servers[1].set("503")
        world.servers[2].set("503")
        wait_for(lambda: "PanicHeld" in problem_names(world.node), "panic")
        assert world.first() == [US] and len(world.all()) == 3
        assert all(a["serves"] for n in ("us", "eu", "ap") for a in world.endpoint(n)["addresses"])
        for name in ("eu", "ap"):
            wait_for(lambda n=name: "not believed" in world.endpoint(n)["addresses"][0]["reason"], f"{name} is kept though it fails")
        world.servers[0].set("stopped")
        wait_for(lambda: US not in world.all(), "a refused connection is believed")
        for server in world.servers:
            server.set("ok")
        wait_for(lambda: "PanicHeld" not in problem_names(world.node), "the panic is over")
        wait_for(lambda: len(world.all()) == 3, "all serve")


@pytest.mark.parametrize("rule, degraded, down", [("any", True, False), ("all", False, True), ("1", True, False)])
def test_several_monitors(rule, degraded, down):
    extra = f"  - {{name: other, kind: tcp, port: {WEB_PORT + 1}, interval: 200ms, timeout: 150ms, fall: 2, rise: 2}}"
    with webs(*ADDRESSES) as _, webs(*ADDRESSES, port=WEB_PORT + 1) as others:
        with gtmd(intent(pool=f"    require: {rule}\n", monitors=extra, monitor_list="[web, other]"),
                  zones={"example.com.zone": ZONE}) as node:
            world = World(node, others)
            world.health("us", "up")
            others[0].set("stopped")
            if degraded:
                world.health("us", "degraded")
                assert world.first() == [US]
            if down:
                world.health("us", "down")
                wait_for(lambda: world.first() == [EU], "all are needed")
