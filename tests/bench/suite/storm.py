# SPDX-License-Identifier: Apache-2.0
"""100 regions × 1,000 endpoints seen by 5 vantages (vantages.py), three etcd members and two gtmd that do not check.

memory    the leader's own parts over a store in memory (bench_quorum.c)
rest      etcd's writes and the leader's processor time while nothing happens
storm     all endpoints fall in one moment and come back, likewise spread over an interval, and those of one region
"""
import base64
import http.client
import json
import select
import subprocess
import sys
import threading
import time

import cluster
import common
from common import BENCH, ROOT

REGIONS, ENDPOINTS, VANTAGES = 100, 1000, 5
LONGEST_S = 120  # of a phase
PREFIX = "/gtm/v1/"


def names():
    """The regions; the nodes are in the first two, the vantages in the next five."""
    return ["us-east", "eu-west", *(f"region-{r:02}" for r in range(2, REGIONS))]


def intent():
    """A pool in each region with a name of its own."""
    regions = names()
    seen_by = ", ".join(regions[2:2 + VANTAGES])
    lines = ["rules: [{name: none, kind: answers_left, min: 0}]", "regions:"]
    lines += [f"  - {{name: {name}, location: [{r % 90}, {r}]}}" for r, name in enumerate(regions)]
    lines += [f"health: {{vantages: [{seen_by}]}}", "monitors: [{name: web, kind: tcp, port: 80}]", "pools:"]
    for p, region in enumerate(regions):
        lines += [f"  - name: pool-{p:02}", "    monitors: [web]", "    flap: {half_life: 0s}", "    endpoints:"]
        lines += [f"      - {{name: endpoint-{e:03}, region: {region}, addresses: [10.{p}.{e // 250}.{e % 250 + 1}]}}"
                  for e in range(ENDPOINTS)]
    lines += ["policies:", *(f"  - {{name: near-{p:02}, pool: pool-{p:02}, steer: nearest}}" for p in range(REGIONS))]
    lines += ["zones:", "  - name: example.com", "    file: example.com.zone", "    names:"]
    lines += [f"      - {{name: s{p:02}, types: [A], policy: near-{p:02}}}" for p in range(REGIONS)]
    return "\n".join(lines) + "\n"


class Vantages:
    """The program that plays them."""

    def __init__(self, members, port, folder):
        config = {"members": members, "port": port, "regions": names()[2:2 + VANTAGES], "endpoints": ENDPOINTS,
                  "pools": [f"pool-{p:02}" for p in range(REGIONS)], "monitor": "web"}
        self.pools = config["pools"]
        self.log = open(folder / "vantages.log", "wb")
        self.popen = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", sys.executable,
                                       str(ROOT / "tests" / "bench" / "suite" / "vantages.py"), json.dumps(config)],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.phases = 0

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.popen.kill()
        self.popen.wait()
        self.log.close()

    def phase(self, health, pools, spread_s):
        """What telling it took, once all vantages have."""
        self.phases += 1
        self.popen.stdin.write(json.dumps({"health": health, "pools": pools, "spread_s": spread_s,
                                           "seed": self.phases}) + "\n")
        self.popen.stdin.flush()
        ready, _, _ = select.select([self.popen.stdout], [], [], LONGEST_S)
        line = self.popen.stdout.readline() if ready else ""
        if not line:
            raise common.Unable("the vantages could not tell what they see: " + self.said())
        return json.loads(line)

    def said(self):
        with open(self.log.name, encoding="utf-8", errors="replace") as f:
            return f.read()[-600:]


class Sampler(threading.Thread):
    """Asks a node's API all the time, from its own thread: which view, and how long the answer took."""

    def __init__(self, node):
        super().__init__(daemon=True)
        self.node, self.samples, self.ends = node, [], False

    def run(self):
        while not self.ends:
            began = time.monotonic()
            try:
                peer = self.node.get("/peer", timeout=30.0).item  # cheap for the node
                self.samples.append((time.monotonic(), time.monotonic() - began, peer["view"], peer["mode"]))
            except (OSError, http.client.HTTPException, AssertionError, KeyError):
                self.samples.append((time.monotonic(), time.monotonic() - began, 0, "no answer"))
            time.sleep(0.02)

    def view(self):
        return self.samples[-1][2] if self.samples else 0

    def reached(self, rev):
        """When it first served this view or a later one; None: not yet."""
        return next((at for at, _, view, _ in self.samples if view >= rev), None)

    def close(self):
        self.ends = True
        self.join()


def etcd_sums(member):
    """A member's counters, summed over labels."""
    con = http.client.HTTPConnection(member.address, 2379, timeout=10)
    try:
        con.request("GET", "/metrics")
        text = con.getresponse().read().decode()
    finally:
        con.close()
    sums = {}
    for line in text.splitlines():
        if line and line[0] != "#":
            name, value = line.rsplit(" ", 1)
            name = name.split("{", 1)[0]
            sums[name] = sums.get(name, 0.0) + float(value)
    return sums


class Meter:
    """Counters of etcd and of the nodes, from its making until read()."""

    def __init__(self, c):
        self.c, self.began = c, time.monotonic()
        self.before = self.counters()

    def counters(self):
        members = [etcd_sums(m) for m in self.c.etcd.members]
        out = {"transactions": int(self.c.etcd.members[0].status()["header"]["revision"]),
               "keys": members[0]["etcd_mvcc_put_total"],
               "received": sum(m["etcd_network_client_grpc_received_bytes_total"] for m in members),
               "sent": sum(m["etcd_network_client_grpc_sent_bytes_total"] for m in members),
               "fsyncs": members[0]["etcd_disk_wal_fsync_duration_seconds_count"],
               "elections": max(m["etcd_server_leader_changes_seen_total"] for m in members),
               "etcd_cpu": common.cpu_ns([m.process.pid for m in self.c.etcd.members]) / 1e9,
               "database": members[0]["etcd_mvcc_db_total_size_in_bytes"]}
        for node in self.c.nodes:
            out["cpu " + node.name] = common.cpu_ns([node.process.pid]) / 1e9
            samples = node.metrics()
            out["calls " + node.name] = sum(v for k, v in samples.items() if k.startswith("gtm_etcd_requests_total"))
            out["failed " + node.name] = sum(v for k, v in samples.items()
                                             if k.startswith("gtm_etcd_requests_total") and '"ok"' not in k)
        return out

    def read(self):
        now = self.counters()
        return {**{k: now[k] - before for k, before in self.before.items()}, "took_s": time.monotonic() - self.began,
                "database": now["database"]}


def history(member, start, end):
    """(revision, pool, document, octets) of every verdict written after a revision, from etcd's own history."""
    con = http.client.HTTPConnection(member.address, 2379, timeout=30)
    key, stop = (base64.b64encode((PREFIX + k).encode()).decode() for k in ("verdict/", "verdict0"))
    try:
        con.request("POST", "/v3/watch", json.dumps({"create_request": {"key": key, "range_end": stop,
                                                                        "start_revision": start + 1}}))
        reply, found = con.getresponse(), []
        while not found or found[-1][0] < end:
            result = json.loads(reply.readline())["result"]
            if result.get("canceled"):
                raise common.Unable(f"etcd's history: {result}")
            for event in result.get("events", []):
                value = base64.b64decode(event["kv"]["value"])
                name = base64.b64decode(event["kv"]["key"]).decode().rsplit("/", 1)[1]
                found.append((int(event["kv"]["mod_revision"]), name, json.loads(value), len(value)))
        return found
    finally:
        con.close()


def last_verdict(member):
    """The revision of the newest verdict."""
    key, stop = (base64.b64encode((PREFIX + k).encode()).decode() for k in ("verdict/", "verdict0"))
    kvs = member.post("/v3/kv/range", {"key": key, "range_end": stop, "limit": "1", "keys_only": True,
                                       "sort_target": "MOD", "sort_order": "DESCEND"}, timeout=30).get("kvs", [])
    return int(kvs[0]["mod_revision"]) if kvs else 0


def wrong_pools(documents, pools, health):
    return [p for p in pools if p not in documents or
            sum(a.get("4", {}).get("h") == health for a in documents[p]["e"].values()) != ENDPOINTS]


def settled(c, samplers, start, pools, health):
    """Waits until the newest verdicts say so of every endpoint and both nodes follow; the verdicts written."""
    member, found, seen, end = c.etcd.members[0], [], start, time.monotonic() + LONGEST_S
    documents, quiet = {}, 0
    while time.monotonic() < end:
        newest = last_verdict(member)
        if newest > seen:
            quiet = 0
            more = history(member, seen, newest)
            found += more
            documents.update((name, document) for _, name, document, _ in more)
            seen = newest
        elif not wrong_pools(documents, pools, health):
            quiet += 1
            if quiet == 10:
                break
        time.sleep(0.1)
    else:
        raise common.Unable(f"not within {LONGEST_S} s: {len(wrong_pools(documents, pools, health))} pools are not {health}")
    # the view with which the last pool had it all; later ones move shares only
    documents, last = {}, 0
    for _, name, document, _ in found:
        before = len(wrong_pools(documents, [name], health))
        documents[name] = document
        if before and not wrong_pools(documents, [name], health):
            last = max(last, document["rev"])
    first = min(document["rev"] for _, _, document, _ in found)
    common.wait_for(lambda: all(s.view() >= last for s in samplers), "both nodes follow", 60)
    return found, first, last


def storm(c, vantages, report, what, health, pools, spread_s=0.0):
    leader = common.wait_for(c.leader, "a node leads")
    start = int(c.etcd.members[0].status()["header"]["revision"])
    samplers = [Sampler(n) for n in c.nodes]
    meter = Meter(c)
    for s in samplers:
        s.start()
    try:
        told = vantages.phase(health, pools, spread_s)
        found, first, last = settled(c, samplers, start, pools, health)
    finally:
        for s in samplers:
            s.close()
    used = meter.read()
    last_s = max(s.reached(last) for s in samplers) - told["began"]
    modes = sorted({sample[3] for s in samplers for sample in s.samples})
    figures = {
        "first_s": max(0.0, min(s.reached(first) for s in samplers) - told["began"]), "last_s": last_s, "told_s": told["told_s"],
        "leader_cpu_s": used["cpu " + leader.name],
        "other_cpu_s": max(used["cpu " + n.name] for n in c.nodes if n is not leader),
        "etcd_cpu_s": used["etcd_cpu"],
        "observed_objects": told["objects"], "observed_commits": told["commits"], "observed_bytes": told["bytes"],
        "observed_failures": told["failures"], "observed_over_1s": told["over_1s"], "observed_slowest_s": told["slowest_s"],
        "verdict_objects": len(found), "verdict_transactions": len({f[0] for f in found}),
        "verdict_bytes": sum(f[3] for f in found),
        "transactions_per_s": used["transactions"] / last_s, "received_bytes": used["received"], "sent_bytes": used["sent"],
        "api_slowest_leader_s": max(sample[1] for s in samplers if s.node is leader for sample in s.samples),
        "api_slowest_s": max(sample[1] for s in samplers for sample in s.samples),
        "keep_alive_slowest_s": told["slowest_keep_alive_s"], "lost_leases": told["lost_leases"],
        "modes": modes, "etcd_elections": used["elections"],
        "failed_calls": sum(used["failed " + n.name] for n in c.nodes), "database_bytes": used["database"],
        "leader_mib": common.status_kb(leader.process.pid, "VmRSS") / 1024,
        "leader_most_mib": common.status_kb(leader.process.pid, "VmHWM") / 1024}
    report.json(bench="cluster", event="storm", phase=what, spread_s=spread_s, **figures)
    return [what, f"{figures['first_s']:.2f}", f"{last_s:.2f}", f"{told['told_s']:.2f}", f"{figures['leader_cpu_s']:.2f}",
            f"{told['commits']}", f"{told['bytes'] / 1e6:.1f}", figures["verdict_transactions"],
            f"{figures['verdict_bytes'] / 1e6:.1f}", f"{figures['transactions_per_s']:.0f}", f"{figures['api_slowest_s']:.2f}"]


def at_rest(c, report, seconds):
    leader = common.wait_for(c.leader, "a node leads")
    meter = Meter(c)
    time.sleep(seconds)
    used = meter.read()
    cpu = {n.name: used["cpu " + n.name] / used["took_s"] * 100 for n in c.nodes}
    rss = {n.name: common.status_kb(n.process.pid, "VmRSS") / 1024 for n in c.nodes}
    report.json(bench="cluster", event="storm-rest", seconds=used["took_s"], transactions=used["transactions"], keys=used["keys"],
                received_bytes=used["received"], leader_cpu_percent=cpu[leader.name], cpu_percent=max(cpu.values()),
                leader_mib=rss[leader.name], rss_mib=max(rss.values()))
    report.table(f"{REGIONS} regions × {ENDPOINTS:,} endpoints × {VANTAGES} vantages at rest, {used['took_s']:.0f} s", ["", "figure"],
                 [["etcd's write transactions a second", f"{used['transactions'] / used['took_s']:.2f}"],
                  ["keys written a second", f"{used['keys'] / used['took_s']:.2f}"],
                  ["leader's processor time", f"{cpu[leader.name]:.2f} %"],
                  ["leader's memory", f"{rss[leader.name]:.0f} MiB"]])


def in_memory(report):
    rows = []
    for line in common.run_lines([BENCH / "quorum", 100, 1000, 5], 300).splitlines():
        found = json.loads(line)
        report.json(**{**found, "bench": "cluster", "event": "storm-memory"})
        if "phase" in found:
            rows.append([found["phase"], *(f"{v:,}" if isinstance(v, (int, float)) else v for k, v in found.items()
                                           if k not in ("phase", "bench"))])
            head = [k for k in found if k not in ("phase", "bench")]
    report.table("100 pools × 1,000 endpoints × 5 vantages at once, in the leader", ["", *head], rows)


def apply(c, report):
    """The intent of 100,000 endpoints; on a busy machine etcd may be too slow for the first try."""
    for last in (False, False, True):
        began = time.monotonic()
        try:
            c.apply(intent())
            break
        except AssertionError as e:
            if last or "did not answer in time" not in str(e):
                raise common.Unable(f"the intent could not be applied: {e}") from e
    report.json(bench="cluster", event="storm-apply", seconds=time.monotonic() - began)


def run(options, report, scratch, net):  # pylint: disable=unused-argument
    in_memory(report)
    harness, _ = cluster.world(options)
    etcd, regions = harness.Etcd(3), harness.REGIONS[:2]
    with etcd, harness.Cluster(nodes=1, regions=regions, etcd=etcd, roles=dict.fromkeys(regions, ["controller", "dns"])) as c, \
            Vantages([m.address for m in etcd.members], harness.CLIENT_PORT, scratch) as vantages:
        apply(c, report)
        c.wait_leader()
        rows = [storm(c, vantages, report, "all seen first", "up", vantages.pools)]
        at_rest(c, report, 20 if options.quick else 65)  # an observer writes all of it again once a minute
        rows += [storm(c, vantages, report, "all down at once", "down", vantages.pools),
                 storm(c, vantages, report, "all up at once", "up", vantages.pools),
                 storm(c, vantages, report, "one region down", "down", vantages.pools[50:51]),
                 storm(c, vantages, report, "one region up", "up", vantages.pools[50:51])]
        if not options.quick:
            rows += [storm(c, vantages, report, "all down within 1 s", "down", vantages.pools, 1.0),
                     storm(c, vantages, report, "all up within 1 s", "up", vantages.pools, 1.0)]
        said = vantages.said()
        notes = ["The vantages are played by a program: their probes cost nothing here."] + ([said] if said else [])
        report.table(f"A storm: {REGIONS} regions × {ENDPOINTS:,} endpoints × {VANTAGES} vantages, real etcd",
                     ["", "first s", "last s", "told s", "leader CPU s", "tx seen", "MB seen", "tx verdicts", "MB verdicts",
                      "etcd tx/s", "API slowest s"], rows, notes)
