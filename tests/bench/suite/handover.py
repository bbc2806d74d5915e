# SPDX-License-Identifier: Apache-2.0
"""Restarts and reloads under load: what they cost the users.

restart  dnsperf at a fixed rate, and a sender that numbers its queries, ask while a new process takes over from the old
         one, some times: `gtmd --replace`, and `gdnsd -R start` (what `gdnsdctl replace` makes its daemon do; started
         here so that no process is left behind). Before each, the configuration gets a new text for version.bind, which
         nobody reads by itself: the successor answers when that comes. Old and new share the server's core.
reload   gtmd with 10,000 dynamic names, dnsperf as fast as it can, the sender beside it; the intent changes for every
         reload.
"""
import http.client
import json
import re
import signal
import subprocess
import time

import dns.exception
import dns.message

import common
import dnsbench
import geography
import servers

RATE, NUMBERED_RATE = 10_000, 2_000  # queries a second: dnsperf, the sender
RELOAD_NAMES = 10_000
SETTLE_S = 0.3
PATIENCE_S = 60.0
LONGEST_S = 600  # of a load; it is ended long before
SMALL_ZONE = f"$TTL 60\n{servers.SOA}s0 A {servers.STATIC_ADDRESS}\n"


class Load:
    """Both loads at once, until ended."""

    def __init__(self, server, data, source, in_flight_only=False):
        limit = [] if in_flight_only else ["-Q", RATE]
        query = geography.query(f"s0.{geography.STATIC}")
        self.sender = self.spawn([common.BENCH / "sender", server.address, server.port, query.hex(), NUMBERED_RATE])
        self.dnsperf = self.spawn(["dnsperf", "-s", server.address, "-p", server.port, "-a", source, "-B", "-d",
                                   data / "static-one.queries", "-q", dnsbench.IN_FLIGHT, "-c", 8, "-T", 1, "-l", LONGEST_S,
                                   "-t", 2, "-b", servers.RECEIVE_BYTES // 1024, *limit])

    def spawn(self, argv):
        return subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *common.pinned(common.LOAD_CORE, argv)],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def end(self):
        """What the sender saw, and what dnsperf lost of how many and its slowest answer in ms."""
        self.dnsperf.send_signal(signal.SIGINT)  # it reports, then ends
        text, _ = self.dnsperf.communicate(timeout=60)
        numbered, _ = self.sender.communicate(timeout=60)  # closes its input, which ends it
        try:
            seen = json.loads(numbered)
        except ValueError as e:
            raise common.Unable(f"the sender failed: {numbered!r}") from e
        return {**seen, **parse_dnsperf(text)}

    def kill(self):
        for p in (self.dnsperf, self.sender):
            if p.poll() is None:
                p.kill()
            p.wait()


def parse_dnsperf(text):
    def number(pattern):
        found = re.search(pattern, text)
        if not found:
            raise common.Unable(f"dnsperf said: {text[-300:]!r}")
        return float(found.group(1))

    good = re.search(r"Response codes:.*?NOERROR (\d+)", text)
    completed = int(number(r"Queries completed:\s+(\d+)"))
    return {"load_sent": int(number(r"Queries sent:\s+(\d+)")), "load_lost": int(number(r"Queries lost:\s+(\d+)")),
            "load_wrong": completed - int(good.group(1) if good else 0), "load_per_s": number(r"Queries per second:\s+([\d.]+)"),
            "load_slowest_ms": number(r"Average Latency \(s\):.*max ([\d.]+)") * 1000}


class Gtmd(servers.Gtmd):
    label = "gtmd --replace"

    def configure(self):
        self.write("cluster.yaml", self.cluster(["www"]))
        self.write("geo.zone", servers.SOA)
        self.write("static.zone", SMALL_ZONE)
        self.mark(1)

    def mark(self, n):
        replace_file(self, "node.yaml", self.node().replace("threads: 1}", f"threads: 1, chaos: {{version: \"{n}\"}}}}"))

    def successor(self):
        return [*self.argv(), "--replace"]


class Gdnsd(servers.Gdnsd):
    label = "gdnsd -R start"

    def configure(self):
        super().configure()
        self.write("zones/" + geography.GEO, f"$TTL 60\n{servers.SOA}www 60 DYNA geoip!www\n")
        self.write("zones/" + geography.STATIC, SMALL_ZONE)
        self.text = (self.dir / "config").read_text(encoding="utf-8")
        self.mark(1)

    def mark(self, n):
        replace_file(self, "config", self.text.replace("options => {\n", f"options => {{\n  chaos_response => \"{n}\",\n"))

    def successor(self):
        return [self.path(), "-c", self.dir, "-R", "start"]


def replace_file(server, name, text):
    """At once: nobody reads half of it."""
    new = server.write("new", text)
    new.replace(server.dir / name)


def mark_seen(server, source):
    """What version.bind says, or None."""
    query = dns.message.make_query("version.bind", "TXT", "CH")
    try:
        reply = dns.message.from_wire(dnsbench.ask(server, source, query.to_wire(), 0.5))
        return reply.answer[0][0].strings[0].decode()
    except (OSError, IndexError, dns.exception.DNSException):
        return None


def take_over(server, source, n):
    """(seconds from starting the successor to its first answer, seconds to the end of the old process)"""
    old = server.process
    server.mark(n)
    began = time.monotonic()
    server.process = common.Process(f"{server.name}-{n}", server.successor(), server.dir, core=common.SERVER_CORE)
    try:
        common.wait_for(lambda: mark_seen(server, source) == str(n), "the successor answers",
                        PATIENCE_S, 0.001)
        answers = time.monotonic() - began
        common.wait_for(lambda: not old.alive(), "the old process ends", PATIENCE_S, 0.001)
    except common.Unable as e:
        raise common.Unable(f"{server.label}: {e}: {server.process.log_tail()}") from e
    finally:
        old.stop()
    return answers, time.monotonic() - began


def restarts(options, report, scratch, net, data, source):
    rows = []
    times = 3 if options.quick else 10
    for n, kind in enumerate((Gtmd, Gdnsd)):
        if kind.missing():
            common.say(f"left out: {kind.label}: {kind.missing()} is not installed (deploy/install-deps --bench)")
            continue
        server = kind(scratch / "restart", data, net.address, dnsbench.FIRST_PORT + n)
        load = None
        try:
            server.start()
            common.wait_for(lambda s=server: mark_seen(s, source), f"{server.label} answers", PATIENCE_S)
            load = Load(server, data, source)
            time.sleep(SETTLE_S)
            took = []
            for i in range(times):
                took.append(take_over(server, source, i + 2))
                time.sleep(SETTLE_S)
            seen = load.end()
        finally:
            if load:
                load.kill()
            server.stop()
        show_restart(report, server, took, seen, rows)
    report.table(f"Restart under load: {times} successors, {RATE + NUMBERED_RATE:,} queries/s",
                 ["server", "lost", "of", "wrong", "slowest ms", "p99.9 ms", "longest silence ms", "successor answers after s",
                  "old one gone after s"], rows,
                 ["Lost of the numbered queries and of dnsperf's. Start of the program to its first answer; with gtmd the "
                  "country database is read, with gdnsd its list of networks."])


def show_restart(report, server, took, seen, rows):
    answers, gone = common.spread([a for a, _ in took]), common.spread([g for _, g in took])
    lost = seen["lost"] + seen["load_lost"]
    rows.append([server.label, lost, f"{seen['sent'] + seen['load_sent']:,}", seen["wrong"] + seen["load_wrong"],
                 f"{max(seen['slowest_ms'], seen['load_slowest_ms']):.1f}", f"{seen['p999_ms']:.1f}", f"{seen['gap_ms']:.1f}",
                 f"{answers['median']:.2f} ({answers['min']:.2f}–{answers['max']:.2f})", f"{gone['median']:.2f}"])
    report.json(bench="handover", server=server.name, version=server.version(), restarts=len(took), answers_after_s=answers,
                old_gone_after_s=gone, **seen)
    if server.name == "gtmd":
        report.bar(f"restart, {len(took)} times: queries lost *", str(lost), lost == 0, "0")


class Wide(Gtmd):
    """With names to reload."""

    def configure(self):
        super().configure()
        self.intent(0)

    def intent(self, n):
        """Another TTL for all dynamic names."""
        replace_file(self, "cluster.yaml",
                     self.cluster(servers.geo_names()[:RELOAD_NAMES]).replace("ttl: 60s", f"ttl: {60 + n}s"))


def reload(server):
    """By gtmd's API."""
    con = http.client.HTTPConnection("localhost", timeout=PATIENCE_S)
    con.sock = common.unix_socket(server.dir / "api.sock", PATIENCE_S)
    try:
        con.request("POST", "/api/v1/reload")
        reply = con.getresponse()
        text = reply.read().decode(errors="replace")
    finally:
        con.close()
    if reply.status != 200:
        raise common.Unable(f"reload: {reply.status} {text}")


def reloads(options, report, scratch, net, data, source):
    times = 3 if options.quick else 10
    server = Wide(scratch / "reload", data, net.address, dnsbench.FIRST_PORT)
    load, took = None, []
    try:
        server.start()
        common.wait_for(lambda: mark_seen(server, source), "gtmd answers", PATIENCE_S)
        load = Load(server, data, source, in_flight_only=True)
        time.sleep(SETTLE_S)
        for n in range(times):
            server.intent(n + 1)
            began = time.monotonic()
            reload(server)
            took.append(time.monotonic() - began)
            time.sleep(SETTLE_S)
        seen = load.end()
    finally:
        if load:
            load.kill()
        server.stop()
    s = common.spread(took)
    lost = seen["lost"] + seen["load_lost"]
    report.table(f"Reload of {RELOAD_NAMES:,} dynamic names under full load (gtmd, {seen['load_per_s']:,.0f} queries/s)",
                 ["reloads", "lost", "of", "wrong", "slowest ms", "p99.9 ms", "longest silence ms", "a reload takes s"],
                 [[times, lost, f"{seen['sent'] + seen['load_sent']:,}", seen["wrong"] + seen["load_wrong"],
                   f"{max(seen['slowest_ms'], seen['load_slowest_ms']):.1f}", f"{seen['p999_ms']:.1f}", f"{seen['gap_ms']:.1f}",
                   f"{s['median']:.2f} ({s['min']:.2f}–{s['max']:.2f})"]])
    report.json(bench="reload", names=RELOAD_NAMES, reloads=times, reload_s=s, **seen)
    report.bar(f"reload under full load, {times} times: queries lost *", str(lost), lost == 0, "0")


def run(options, report, scratch, net):
    data = geography.folder()
    source = net.client(geography.home_client(data))
    restarts(options, report, scratch, net, data, source)
    reloads(options, report, scratch, net, data, source)
