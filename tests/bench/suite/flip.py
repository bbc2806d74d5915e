# SPDX-License-Identifier: Apache-2.0
"""From a change to the new answer, on real sockets; and what gtmd needs at rest.

flip    an operator orders an endpoint down, and back, through the API: from sending the request to the first new
        answer over UDP, asked for as fast as possible; with one name and with 100,000 names on the same policy
killed  the web server of a region is killed: to the first answer without it; and hung (SIGSTOP)
rest    resident memory with the country database, time from exec to the first answer
"""
import http.client
import json
import os
import random
import signal
import socket
import sys
import time

import common
import geography
import servers
from common import BENCH, REGIONS, ROOT

WEB_PORT = 8081
LITERATURE = ("Measured elsewhere on this kind of machine (median / max): killed: PowerDNS at its fastest, undamped, "
              "0.40 / 0.76 s; gdnsd at its fastest 1.50 / 2.86 s. Hung: PowerDNS 1.54 / 1.84 s; gdnsd 2.14 / 3.42 s.")
BARS = {"killed": (0.4, 0.8), "hung": (1.0, 1.6)}
DEADLINE_MS = 10_000
SETTLE_S = 1.0


class Node(servers.Gtmd):
    """gtmd with few names, and with web servers to check."""

    def __init__(self, *args, names=1, checked=False, web=()):
        super().__init__(*args)
        self.names, self.checked, self.web = names, checked, list(web)

    def configure(self):
        self.write("node.yaml", self.node())
        text = self.cluster(geo_names(self.names))
        for (_, _, _, plain), address in zip(REGIONS, self.web):
            text = text.replace(f"addresses: [{plain}]", f"addresses: [{address}]")
        if self.checked:
            text = text.replace("  - name: www\n", "  - name: www\n    monitors: [web]\n", 1).replace(
                "pools:\n", "monitors:\n  - {name: web, kind: http, port: %d, path: /healthz, expect: {status: [200], "
                "body: ok}, interval: 500ms, timeout: 500ms, fall: 2, rise: 2}\npools:\n" % WEB_PORT, 1)
        self.write("cluster.yaml", text)
        self.write("static.zone", servers.SOA)
        self.write("geo.zone", servers.SOA)

    def api(self, path):
        con = http.client.HTTPConnection("localhost", timeout=10)
        con.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        con.sock.settimeout(10)
        try:
            con.sock.connect(str(self.dir / "api.sock"))
            con.request("GET", "/api/v1" + path)
            reply = con.getresponse()
            return json.loads(reply.read())
        finally:
            con.close()

    def health(self):
        """endpoint → health, by the API."""
        try:
            return {e["name"]: e["health"] for e in self.api("/pools/www/endpoints")["items"]}
        except (OSError, http.client.HTTPException):
            return {}

    def flip(self, how, query, address, *args, timeout_s=120):
        text = common.run_lines([BENCH / "flip", how, self.address, self.port, query.hex(), address, *args], timeout_s)
        return [json.loads(line) for line in text.splitlines()]

    def wait_geography(self, query, address):
        """Until gtmd sends the client where the country database says (it answers earlier than that)."""
        return self.flip("first", query, address, 60_000)


def geo_names(count):
    return servers.geo_names()[:count]


def query_for(region):
    """A query whose client subnet is near a region."""
    data = geography.folder()
    subnet = next(net for net, nearest in geography.draw_clients(data) if nearest == region)
    return geography.query(f"www.{geography.GEO}", subnet)


def api_flips(options, report, scratch, net):
    rows = []
    region, _, _, address = REGIONS[1]
    count = 20 if options.quick else 200
    for names in (1, geography.NAMES):
        node = Node(scratch / f"flip-{names}", None, net.address, 5353, names=names)
        try:
            node.start()
            query = query_for(region)
            node.wait_geography(query, address)
            found = node.flip("api", query, address, node.dir / "api.sock",
                              f"/pools/www/endpoints/www-{region}/admin", count)
        finally:
            node.stop()
        for way in ("down", "up"):
            ms = [x[way + "_ms"] for x in found]
            p50, p99 = common.percentile(ms, 50), common.percentile(ms, 99)
            rows.append([f"{way}, {names:,} names", len(ms), f"{p50:.2f}", f"{p99:.2f}", f"{max(ms):.2f}"])
            report.json(bench="flip", way=way, names=names, count=len(ms), p50_ms=p50, p99_ms=p99, max_ms=max(ms))
        downs = [x["down_ms"] for x in found]
        # the bar's 10,000 pools are bench_scale's; here all names share one pool
        report.bar(f"flip of one pool with {names:,} names, on the wire *",
                   f"p99 {common.percentile(downs, 99):.1f} ms", common.percentile(downs, 99) <= 100, "≤ 100 ms")
    report.table("From an order through the API to the first new answer (UDP)",
                 ["order", "times", "p50 ms", "p99 ms", "max ms"], rows)


class Web:
    """The web servers of the regions."""

    def __init__(self, scratch):
        self.scratch = scratch
        self.addresses = [f"127.20.{n + 1}.1" for n in range(len(REGIONS))]
        self.running = {}

    def start(self, n):
        name = REGIONS[n][0]
        self.running[n] = common.Process("web-" + name, [
            sys.executable, ROOT / "deploy/demo.d/region_server.py", name, self.addresses[n], WEB_PORT], self.scratch)

    def stop(self):
        for process in self.running.values():
            process.stop()


def all_up(node):
    health = node.health()
    return len(health) == len(REGIONS) and set(health.values()) == {"up"}


def detection(options, report, scratch, net):
    web = Web(scratch)
    node = Node(scratch / "detect", None, net.address, 5353, checked=True, web=web.addresses)
    draw = random.Random(geography.SEED)
    runs = 4 if options.quick else 15
    rows = []
    try:
        for n in range(len(REGIONS)):
            web.start(n)
        node.start()
        query = query_for(REGIONS[1][0])
        for how, signum in (("killed", signal.SIGKILL), ("hung", signal.SIGSTOP)):
            seconds = []
            for _ in range(runs):
                common.wait_for(lambda: all_up(node), "all web servers up", 30)
                node.wait_geography(query, web.addresses[1])
                time.sleep(SETTLE_S + draw.random() * 0.5)  # a random phase of the checks
                found = node.flip("signal", query, web.addresses[1], web.running[1].pid, int(signum), DEADLINE_MS)
                seconds.append(found[0]["clean_ms"] / 1000)
                if signum == signal.SIGSTOP:
                    os.kill(web.running[1].pid, signal.SIGCONT)
                else:
                    web.running[1].stop()
                    web.start(1)
            show_detection(report, how, seconds, rows)
    finally:
        node.stop()
        web.stop()
    report.table("A web server breaks → first clean answer (UDP; interval 500 ms, time-out 500 ms, fall 2)",
                 ["server", "times", "median s", "min–max s"], rows, [LITERATURE])


def show_detection(report, how, seconds, rows):
    s = common.spread(seconds)
    rows.append([how, len(seconds), f"{s['median']:.3f}", f"{s['min']:.3f}–{s['max']:.3f}"])
    report.json(bench="detection", how=how, count=len(seconds), seconds=s)
    median, most = BARS[how]
    report.bar(f"web server {how} → clean answer", f"{s['median']:.2f} s, max {s['max']:.2f} s",
               s["median"] <= median and s["max"] <= most, f"median ≤ {median} s, max ≤ {most} s")


def run(options, report, scratch, net):
    api_flips(options, report, scratch, net)
    detection(options, report, scratch, net)


def rest(options, report, scratch, net):
    """Starts gtmd some times: the first answer is not yet the one that geography asks for."""
    first, right, rss = [], [], []
    query = query_for(REGIONS[2][0])
    for n in range(3 if options.quick else 10):
        node = Node(scratch / str(n), None, net.address, 5353)
        try:
            node.start()
            answers = node.wait_geography(query, REGIONS[2][3])
            first.append(answers[0]["first_ms"] / 1000)
            right.append(answers[1]["wanted_ms"] / 1000)
            time.sleep(2)  # what was needed only to start is given back
            rss.append(common.status_kb(node.process.pid, "VmRSS") / 1024)
            peak = common.status_kb(node.process.pid, "VmHWM") / 1024
        finally:
            node.stop()
    figures = {"memory at rest, MB": common.spread(rss), "first answer after, s": common.spread(first),
               "first answer from the country database after, s": common.spread(right)}
    report.table("gtmd with the country database", ["", "median", "min–max"],
                 [[k, f"{v['median']:.2f}", f"{v['min']:.2f}–{v['max']:.2f}"] for k, v in figures.items()],
                 [f"Highest while starting: {peak:.0f} MB."])
    report.json(bench="rest", rss_mb=figures["memory at rest, MB"], peak_mb=peak, first_answer_s=common.spread(first),
                first_geo_answer_s=common.spread(right))
    report.bar("gtmd at rest with the country database", f"{common.spread(rss)['median']:.1f} MB",
               common.spread(rss)["median"] <= 40, "≤ 40 MB")
