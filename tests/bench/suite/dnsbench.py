# SPDX-License-Identifier: Apache-2.0
"""The DNS benchmark: processor time per answered query and answers per second, beside other servers.

All servers run at the same time, pinned to one core and idle but for the one that is asked; dnsperf is pinned to the
other core and keeps 500 queries in flight. In each round every server gets one slice, in an order that turns from
round to round; its figure is set against the floor's of the same round, so that what the machine does meanwhile
falls on both.
"""
import os
import re
import socket

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype

import common
import geography
import servers

SCENARIOS = [  # file of queries, kind, title
    ("static-one", "static", "one static name"),
    ("static-many", "static", "100,000 static names"),
    ("geo-one", "geo", "one geo name, no client subnet"),
    ("geo-one-ecs", "geo", "one geo name, random client subnet"),
    ("geo-many-ecs", "geo", "100,000 geo names, random client subnet"),
]
BARS = {"geo-one": 1.10, "geo-one-ecs": 1.10, "geo-many-ecs": 1.25}
IN_FLIGHT = 500
SAMPLE = 200
FIRST_PORT = 5301


def ask(server, source, wire, timeout_s=2.0):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind((source, 0))
        s.settimeout(timeout_s)
        s.sendto(wire, (server.address, server.port))
        return s.recv(4096)


def addresses(wire):
    """The addresses of an answer, or the reason why there are none."""
    try:
        reply = dns.message.from_wire(wire)
    except dns.exception.DNSException as e:
        return str(e)
    if reply.rcode() != dns.rcode.NOERROR:
        return dns.rcode.to_text(reply.rcode())
    return [r.address for rrset in reply.answer if rrset.rdtype == dns.rdatatype.A for r in rrset]


class Bench:
    def __init__(self, options, report, scratch, net):
        self.options, self.report, self.net = options, report, net
        self.data = geography.folder()
        self.source = net.client(geography.home_client(self.data))
        self.servers = []
        self.scratch = scratch

    # --- set-up ---

    def start(self):
        for n, kind in enumerate(servers.ALL):
            package = kind.missing()
            if package:
                common.say(f"left out: {kind.label}: {package} is not installed (deploy/install-deps --bench)")
                continue
            self.servers.append(kind(self.scratch, self.data, self.net.address, FIRST_PORT + n))
        if not any(isinstance(s, servers.Gtmd) for s in self.servers):
            raise common.Unable("gtmd is not there")
        for server in list(self.servers):
            try:
                server.start()
                self.wait_ready(server)
            except common.Unable as e:
                if isinstance(server, (servers.Gtmd, servers.Floor)):
                    raise
                common.say(f"left out: {server.label}: {e}")
                server.stop()
                self.servers.remove(server)
            else:
                common.say(f"started {server.label} {server.version()}")

    def wait_ready(self, server):
        names = [name for name, kind, _ in SCENARIOS if kind in server.kinds]

        def up():
            if not server.process.alive():
                raise common.Unable(f"it ended: {server.process.log_tail()}")
            return all(self.right(server, name, 1) == 1 for name in names)

        if isinstance(server, servers.Floor):
            return
        try:
            common.wait_for(up, "right answers", 60, 0.2)
        except common.Unable as e:
            got = {name: self.first_answer(server, name) for name in names}
            raise common.Unable(f"{e}; it says {got}; its log: {server.process.log_tail()}") from e

    def first_answer(self, server, name):
        try:
            return addresses(ask(server, self.source, geography.read_queries(self.data, name, 1)[0]))
        except OSError as e:
            return str(e)

    def right(self, server, name, count):
        """How many of the first queries get the answer that the geography asks for."""
        place = {n: a for n, _, _, a in common.REGIONS}
        good = 0
        for wire, region in zip(geography.read_queries(self.data, name, count),
                                geography.expected(self.data, name, count)):
            want = servers.STATIC_ADDRESS if name.startswith("static") else place[region]
            if isinstance(server, servers.Nsd) and name.startswith("geo"):
                want = common.REGIONS[0][3]
            try:
                good += addresses(ask(server, self.source, wire)) == [want]
            except OSError:
                continue
        return good

    # --- measuring ---

    def slice(self, server, name, seconds):
        """(processor microseconds per answer, answers per second, other than NOERROR or lost)"""
        pids = server.pids()
        argv = ["dnsperf", "-s", server.address, "-p", server.port, "-a", self.source, "-B", "-d",
                self.data / (name + ".queries"), "-q", IN_FLIGHT, "-c", 1, "-T", 1, "-l", seconds, "-t", 2,
                "-b", servers.RECEIVE_BYTES // 1024]
        before = common.cpu_ns(pids)
        text = common.run_lines(argv, seconds + 30, core=common.LOAD_CORE)
        used = common.cpu_ns(pids) - before
        done = int(re.search(r"Queries completed:\s+(\d+)", text).group(1))
        run_s = float(re.search(r"Run time \(s\):\s+([\d.]+)", text).group(1))
        good = re.search(r"Response codes:.*?NOERROR (\d+)", text)
        lost = int(re.search(r"Queries lost:\s+(\d+)", text).group(1))
        if done == 0:
            raise common.Unable(f"{server.label} answered nothing in {name}")
        return used / 1000 / done, done / run_s, done - (int(good.group(1)) if good else 0) + lost

    def scenario(self, name, kind, title):
        taking = [s for s in self.servers if kind in s.kinds]
        floor = next(s for s in taking if isinstance(s, servers.Floor))
        gtmd = next(s for s in taking if isinstance(s, servers.Gtmd))
        query = geography.read_queries(self.data, name, 1)[0]
        floor.restart(len(ask(gtmd, self.source, query)) - len(query))
        common.wait_for(lambda: self.first_answer(floor, name) is not None, "the floor")
        correct = {}
        for s in taking:
            if s is not floor:
                correct[s] = self.right(s, name, SAMPLE if name.endswith("ecs") else 1)
            self.slice(s, name, min(0.3, self.options.seconds))  # warms caches; not counted
        total = SAMPLE if name.endswith("ecs") else 1
        rounds = {s: [] for s in taking}
        for r in range(self.options.pairs):
            turn = r % len(taking)
            for s in taking[turn:] + taking[:turn]:
                rounds[s].append(self.slice(s, name, self.options.seconds))
            common.say(f"  {name}: round {r + 1} of {self.options.pairs}")
        self.show(name, title, taking, floor, rounds, correct, total)

    def show(self, name, title, taking, floor, rounds, correct, total):
        rows, ratios = [], {}
        for s in taking:
            cpu = common.spread([c for c, _, _ in rounds[s]])
            rate = common.spread([q for _, q, _ in rounds[s]])
            ratio = common.spread([c / f for (c, _, _), (f, _, _) in zip(rounds[s], rounds[floor])])
            bad = sum(b for _, _, b in rounds[s])
            ratios[s.name] = ratio["median"]
            rows.append([s.label, f"{cpu['median']:.3f}", f"{cpu['min']:.3f}–{cpu['max']:.3f}",
                         f"{ratio['median']:.3f}", f"{ratio['min']:.3f}–{ratio['max']:.3f}",
                         f"{rate['median']:,.0f}", "" if s is floor else f"{correct[s]}/{total}", bad])
            self.report.json(bench="dns", scenario=name, server=s.name, version=s.version(), rounds=len(rounds[s]),
                             slice_s=self.options.seconds, cpu_us_per_answer=cpu, ratio_to_floor=ratio,
                             answers_per_s=rate, right_of=[correct.get(s), total], failed=bad)
        self.report.table(f"DNS: {title}", ["server", "CPU µs/answer", "min–max", "× floor", "min–max", "answers/s",
                                            "right", "bad or lost"], rows)
        self.judge(name, title, ratios)

    def judge(self, name, title, ratios):
        ours = ratios["gtmd"]
        if name in BARS:
            self.report.bar(f"CPU per answer, {title}", f"{ours:.3f} × floor", ours <= BARS[name],
                            f"≤ {BARS[name]:.2f} × floor")
        peers = {n: r for n, r in ratios.items() if n not in ("floor", "gtmd")}
        if peers:
            best = min(peers, key=peers.get)
            extra = "" if name in BARS else " *"
            self.report.bar(f"CPU per answer, {title}{extra}", f"{ours:.3f} against {best} {peers[best]:.3f}",
                            ours < peers[best], "below every peer")

    def run(self):
        only = self.options.scenario
        for name, kind, title in SCENARIOS:
            if not only or name in only:
                self.scenario(name, kind, title)

    def stop(self):
        for s in self.servers:
            s.stop()


def machine(report):
    """What the figures were taken on."""
    def first(path, pattern):
        with open(path, encoding="utf-8") as f:
            found = re.search(pattern, f.read(), re.M)
        return found.group(1) if found else "?"

    cpu = first("/proc/cpuinfo", r"^model name\s*: (.*)$")
    kernel = first("/proc/sys/kernel/osrelease", r"(.*)")
    load = first("/proc/loadavg", r"(\S+)")
    try:
        commit = common.run_lines(["git", "-C", common.ROOT, "describe", "--always", "--dirty"], 10).strip()
    except common.Unable:
        commit = "unknown"  # not a checkout, or somebody else's
    print(f"{cpu}, {os.cpu_count()} cores, Linux {kernel}; load before {load}; "
          f"commit {commit}")
    report.json(bench="machine", cpu=cpu, kernel=kernel, load=float(load), commit=commit)


def run(options, report, scratch, net):
    bench = Bench(options, report, scratch, net)
    try:
        bench.start()
        bench.run()
    finally:
        bench.stop()
    print("\nfloor: one recvmmsg/sendmmsg of 64 and nothing else; it returns the query with QR set and as many octets "
          "as gtmd's answer has.\n" + servers.Nsd.notes)


