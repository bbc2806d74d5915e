#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Plays vantage nodes before a real etcd: entries and observations under leases, as a gtmd with the role health writes
them, but no probes. A program of its own, so that it does not slow down what measures.

    vantages.py CONFIG     JSON: {"members":[ADDRESS],"port":N,"regions":[R],"pools":[P],"endpoints":N,"monitor":M}

A line of JSON on standard input begins a phase: {"health":"down"|"up","pools":[P],"spread_s":S,"seed":N}. When every
vantage has told all of it, a line with what it took comes back. The end of the input ends the program and its leases.

The rules are those of gtm/daemon/observer.c: what changes within 2 ms goes together, whole pools in the intent's order,
at most 100 objects or 1 MiB a transaction, one transaction at a time, always with the newest state; what was not
written for a minute is written again; "acts/<node>/0" moves with every transaction. An endpoint changes at the same
moment for all vantages, for they prompt each other.
"""
import base64
import bisect
import http.client
import json
import random
import sys
import threading
import time

PREFIX = "/gtm/v1/"
COALESCE_S, RETRY_S, REFRESH_S = 0.002, 1.0, 60.0
OBJECTS_MAX, BYTES_MAX = 100, 1 << 20
TTL_S = 5


def b64(text):
    return base64.b64encode(text.encode()).decode()


class Gateway:
    """One kept connection to a member's JSON gateway."""

    def __init__(self, addresses, port, timeout_s):
        self.addresses, self.port, self.timeout_s, self.con = list(addresses), port, timeout_s, None

    def next(self):
        """Another member, from now on."""
        self.addresses.append(self.addresses.pop(0))
        self.con = None

    def post(self, path, body):
        """The answer; OSError or ValueError when there is none that counts."""
        try:
            if self.con is None:
                self.con = http.client.HTTPConnection(self.addresses[0], self.port, timeout=self.timeout_s)
            self.con.request("POST", path, body if isinstance(body, str) else json.dumps(body))
            reply = self.con.getresponse()
            text = reply.read()
            if reply.status != 200:
                raise ValueError(f"{path}: {reply.status} {text[:200]!r}")
            return json.loads(text)
        except http.client.HTTPException as e:
            self.con = None
            raise OSError(str(e)) from e
        except OSError:
            self.con = None
            raise


class Phase:
    """What changes when: the same for all vantages."""

    def __init__(self, order, endpoints):
        self.health, self.pools = order["health"], set(order["pools"])
        draw = random.Random(order["seed"])
        self.moments = {}  # pool → when each of its endpoints changes, seconds after the start
        for pool in order["pools"]:
            self.moments[pool] = [draw.random() * order["spread_s"] for _ in range(endpoints)]
        self.sorted = {pool: sorted(moments) for pool, moments in self.moments.items()}
        self.began, self.began_ms = time.monotonic(), int(time.time() * 1000)
        self.ends = self.began + order["spread_s"]

    def due(self, pool, now):
        """How many of its endpoints have changed by now."""
        return bisect.bisect_right(self.sorted[pool], now - self.began) if pool in self.pools else 0


class Vantage(threading.Thread):
    def __init__(self, config, index):
        super().__init__(daemon=True)
        self.config, self.region = config, config["regions"][index]
        self.name = "vantage-" + self.region
        first = index % len(config["members"])
        members = config["members"][first:] + config["members"][:first]
        self.gateway = Gateway(members, config["port"], 10.0)
        self.keeper = Gateway(members, config["port"], 1.0)  # keep-alives do not wait behind transactions
        self.started_ms, self.seq = int(time.time() * 1000), int(time.time() * 1000)
        self.endpoints = [f"endpoint-{i:03}" for i in range(config["endpoints"])]
        self.down = {pool: {} for pool in config["pools"]}  # pool → {endpoint's number: since}
        self.written = dict.fromkeys(config["pools"], time.monotonic())  # pool → when its object was
        self.told = {}  # pool → how many changes of the phase the store knows
        self.phase = None
        self.wake, self.done = threading.Event(), threading.Event()
        self.figures = {}
        self.view, self.lost, self.slowest_keep_alive_s = 0, 0, 0.0
        self.lease, self.again = None, False
        self.open()

    # --- the node's own entry and its lease

    def open(self):
        """A lease, and the node's entry under it."""
        self.lease = self.keeper.post("/v3/lease/grant", {"TTL": TTL_S})["ID"]
        self.enter()

    def enter(self):
        entry = {"v": 1, "node": self.name, "region": self.region, "roles": ["health"], "build": "bench", "api": None,
                 "dns": [], "started": self.started_ms, "mode": "follow", "view": self.view, "intent": 0,
                 "vantage": {"fit": True, "why": ""}, "state": "serving"}
        self.keeper.post("/v3/kv/put", {"key": b64(f"{PREFIX}node/{self.name}"), "value": b64(json.dumps(entry)),
                                        "lease": self.lease})

    def keep(self):
        """Every second: the lease, and the entry when the view is another, as gtm/daemon/registry.c. With
        another lease everything is written again."""
        while True:
            began = time.monotonic()
            try:
                left = self.keeper.post("/v3/lease/keepalive", {"ID": self.lease}).get("result", {}).get("TTL", "0")
                self.slowest_keep_alive_s = max(self.slowest_keep_alive_s, time.monotonic() - began)
                if int(left) <= 0:
                    self.lost += 1
                    self.open()
                    self.again = True
                    self.wake.set()
                kvs = self.keeper.post("/v3/kv/range", {"key": b64(PREFIX + "view/rev"), "serializable": True}).get("kvs", [])
                view = json.loads(base64.b64decode(kvs[0]["value"]))["rev"] if kvs else 0
                if view != self.view:
                    self.view = view
                    self.enter()
            except (OSError, ValueError) as e:
                self.slowest_keep_alive_s = max(self.slowest_keep_alive_s, time.monotonic() - began)
                print(f"{self.name}: {e}", file=sys.stderr, flush=True)
                self.keeper.next()
            time.sleep(1.0)

    # --- observations

    def begin(self, phase):
        self.figures = {"objects": 0, "commits": 0, "bytes": 0, "failures": 0, "slowest_s": 0.0, "over_1s": 0,
                        "told_s": 0.0}
        self.slowest_keep_alive_s = 0.0
        self.told = dict.fromkeys(phase.pools, 0)
        self.done.clear()
        self.phase = phase
        self.wake.set()

    def document(self, pool, phase, now):
        """Puts in force what has changed by now; the object's text."""
        down = self.down[pool]
        if phase is not None and pool in phase.pools:
            for i, moment in enumerate(phase.moments[pool]):
                if moment <= now - phase.began:
                    if phase.health == "up":
                        down.pop(i, None)
                    else:
                        down.setdefault(i, phase.began_ms + int(moment * 1000))
        self.seq += 1
        up = ",".join([f'"{name}"' for i, name in enumerate(self.endpoints) if i not in down])
        bad = ",".join([f'["{self.endpoints[i]}",{since},"refused","connection refused"]' for i, since in sorted(down.items())])
        return (f'{{"v":1,"region":"{self.region}","at":{int(time.time() * 1000)},"seq":{self.seq},'
                f'"m":{{"{self.config["monitor"]}":{{"4":{{"up":[{up}],"unknown":[],"down":[{bad}]}}}}}}}}')

    def waiting(self, phase, now):
        """The pools that are to be written, as the observer walks them."""
        for pool, written in self.written.items():
            if (phase is not None and pool in phase.pools and phase.due(pool, now) > self.told[pool]) or \
                    now - written > REFRESH_S:
                yield pool

    def commit(self):
        """One transaction; False: there is nothing to say."""
        phase, now = self.phase, time.monotonic()
        if self.again:
            self.again = False
            self.written = dict.fromkeys(self.written, 0.0)
        puts, told, size = [], {}, 0
        for pool in self.waiting(phase, now):
            if len(puts) >= OBJECTS_MAX or size >= BYTES_MAX:
                break
            text = self.document(pool, phase, now)
            size += len(text)
            told[pool] = phase.due(pool, now) if phase is not None else 0
            puts.append(f'{{"requestPut":{{"key":"{b64(f"{PREFIX}obs/{self.name}/{pool}")}","value":"{b64(text)}",'
                        f'"lease":"{self.lease}"}}}}')
        if not puts:
            return False
        acts = b64(f"{PREFIX}acts/{self.name}/0")
        puts.append(f'{{"requestPut":{{"key":"{acts}","value":"{b64(str(self.seq))}"}}}}')
        puts.append(f'{{"requestRange":{{"key":"{acts}","limit":"1"}}}}')
        began = time.monotonic()
        try:
            self.gateway.post("/v3/kv/txn", f'{{"success":[{",".join(puts)}]}}')
        except (OSError, ValueError) as e:
            print(f"{self.name}: {e}", file=sys.stderr, flush=True)
            self.count(failures=1)
            self.gateway.next()
            time.sleep(RETRY_S)
            return True
        took = time.monotonic() - began
        self.count(objects=len(told), commits=1, bytes=size, over_1s=int(took > 1.0))
        self.figures["slowest_s"] = max(self.figures.get("slowest_s", 0.0), took)
        for pool, count in told.items():
            if self.phase is phase:
                self.told[pool] = count
            self.written[pool] = time.monotonic()
        return True

    def count(self, **what):
        for name, n in what.items():
            self.figures[name] = self.figures.get(name, 0) + n

    def run(self):
        while True:
            busy = self.commit()
            phase = self.phase
            if phase is not None and not self.done.is_set() and all(
                    count == len(self.endpoints) for count in self.told.values()):
                self.figures["told_s"] = time.monotonic() - phase.began
                self.done.set()
            if not busy:
                running = phase is not None and not self.done.is_set()
                self.wake.wait(COALESCE_S if running else 1.0)
                self.wake.clear()
                time.sleep(COALESCE_S)


def total(vantages):
    out = {"lost_leases": sum(v.lost for v in vantages),
           "slowest_keep_alive_s": max(v.slowest_keep_alive_s for v in vantages)}
    for name in ("objects", "commits", "bytes", "failures", "over_1s"):
        out[name] = sum(v.figures.get(name, 0) for v in vantages)
    for name in ("slowest_s", "told_s"):
        out[name] = max(v.figures.get(name, 0.0) for v in vantages)
    return out


def main():
    config = json.loads(sys.argv[1])
    vantages = [Vantage(config, i) for i in range(len(config["regions"]))]
    for vantage in vantages:
        threading.Thread(target=vantage.keep, daemon=True).start()
        vantage.start()
    for line in sys.stdin:
        order = json.loads(line)
        phase = Phase(order, config["endpoints"])
        for vantage in vantages:
            vantage.begin(phase)
        for vantage in vantages:
            vantage.done.wait()
        print(json.dumps({"began": phase.began, **total(vantages)}), flush=True)


if __name__ == "__main__":
    main()
