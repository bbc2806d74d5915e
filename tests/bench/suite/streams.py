# SPDX-License-Identifier: Apache-2.0
"""DNS over TCP and TLS: answers/s, processor time per answer, and what a handshake costs.

tcp, dot    dnsperf over some connections that stay open, with as many queries under way in all for every server; names
            at random from 100,000. TCP: gtmd, Knot, NSD, PowerDNS; TLS: gtmd and NSD (Debian's Knot and PowerDNS
            answer no TLS)
handshakes  connect, shake hands, one question, close; full, and with a session of before
The servers have one worker on one core, as in dnsbench.
"""
import json
import re
import statistics
import subprocess

import common
import dnsbench
import geography
import servers

CLIENTS = 20  # below every server's own limit for one address (PowerDNS takes 20 in all)
QUERIES_UNDER_WAY = 200
SCENARIO = "static-many"
HANDSHAKE_THREADS = 8
# All of it takes less than 90 s; but Knot may need a second until all connections stand (their SYNs are sent again).
SLICE_S, ROUNDS, QUICK_ROUNDS = 3.0, 3, 1
INTERVAL_S = 0.25
HANDSHAKE_S = 1.5
TLS_OFFSET = 100  # of the port for TLS


def certificate(folder):
    """A key on P-256 and its certificate, signed by itself: the same for all servers."""
    key, cert = folder / "dot.key", folder / "dot.pem"
    done = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                           "2", "-subj", "/CN=bench.example", "-keyout", key, "-out", cert], capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        raise common.Unable(f"openssl made no certificate: {done.stderr.strip()}")
    return key, cert


class Tls:
    """Mixed into a server: it listens for TLS too."""

    tls = None  # (key, certificate)

    @property
    def tls_port(self):
        return self.port + TLS_OFFSET


class Gtmd(Tls, servers.Gtmd):
    def node(self):
        key, cert = self.tls
        return super().node().replace("threads: 1}", f"threads: 1, tls: {{listen: [{{address: {self.address}, port: "
                                      f"{self.tls_port}}}], cert: {cert}, key: {key}}}}}")

    def configure(self):
        self.write("node.yaml", self.node())
        self.write("cluster.yaml", self.cluster(["www"]))
        self.write("static.zone", servers.static_zone())
        self.write("geo.zone", servers.SOA)


class Knot(servers.Knot):
    def configure(self):
        super().configure()
        text = (self.dir / "knot.conf").read_text(encoding="utf-8")
        self.write("knot.conf", text.split("mod-geoip:")[0] + f"zone:\n  - domain: {geography.STATIC}\n"
                   f"    file: \"{self.dir}/zones/static.zone\"\n    zonefile-load: whole\n    journal-content: none\n")


class Nsd(Tls, servers.Nsd):
    label = "NSD"

    def configure(self):
        super().configure()
        key, cert = self.tls
        text = (self.dir / "nsd.conf").read_text(encoding="utf-8")
        listen = f"    ip-address: {self.address}@{self.port}\n"
        self.write("nsd.conf", text.replace(listen, f"{listen}    ip-address: {self.address}@{self.tls_port}\n    tls-port: "
                                            f"{self.tls_port}\n    tls-service-key: {key}\n    tls-service-pem: {cert}\n"))


KINDS = (Gtmd, Knot, Nsd, servers.PdnsBind)


def query():
    return geography.query(f"s0.{geography.STATIC}")


def started(scratch, data, address, source):
    found, pair = [], certificate(scratch)
    for n, kind in enumerate(KINDS):
        if kind.missing():
            common.say(f"left out: {kind.label}: {kind.missing()} is not installed (deploy/install-deps --bench)")
            continue
        server = kind(scratch, data, address, dnsbench.FIRST_PORT + n)
        server.tls = pair if isinstance(server, Tls) else None
        found.append(server)
        server.start()
        try:
            common.wait_for(lambda s=server: answers(s, source), f"{kind.label} answers", 60, 0.1)
        except common.Unable as e:
            if isinstance(server, Gtmd):
                raise
            common.say(f"left out: {server.label}: {e}: {server.process.log_tail()}")
            found.remove(server)
            server.stop()
    return found


def answers(server, source):
    try:
        return dnsbench.addresses(dnsbench.ask(server, source, query(), 0.5)) == [servers.STATIC_ADDRESS]
    except OSError:
        return False


def one_slice(server, mode, data, source, seconds):
    """(processor microseconds per answer, answers per second, other than NOERROR or lost)"""
    pids = server.pids()
    argv = ["dnsperf", "-m", mode, "-s", server.address, "-p", server.tls_port if mode == "dot" else server.port, "-a", source,
            "-B", "-d", data / (SCENARIO + ".queries"), "-q", QUERIES_UNDER_WAY, "-c", CLIENTS, "-T", 1, "-l", seconds, "-t", 5,
            "-S", INTERVAL_S]
    before = common.cpu_ns(pids)
    text = common.run_lines(argv, seconds + 30, core=common.LOAD_CORE)
    return figures(server, text, common.cpu_ns(pids) - before)


def figures(server, text, used_ns):
    done = int(re.search(r"Queries completed:\s+(\d+)", text).group(1))
    # the median of the intervals: what connecting takes is not counted
    rates = [float(x) for x in re.findall(r"^\d+\.\d+: ([\d.]+)$", text, re.M)]
    good = re.search(r"Response codes:.*?NOERROR (\d+)", text)
    lost = int(re.search(r"Queries lost:\s+(\d+)", text).group(1))
    if done == 0 or not rates:
        raise common.Unable(f"{server.label} answered nothing")
    return used_ns / 1000 / done, statistics.median(rates), done - (int(good.group(1)) if good else 0) + lost


def transport(mode, taking, options, report, data, source):
    rounds = {s: [] for s in taking}
    count = QUICK_ROUNDS if options.quick else ROUNDS
    for r in range(count):
        turn = r % len(taking)
        for s in taking[turn:] + taking[:turn]:
            rounds[s].append(one_slice(s, mode, data, source, SLICE_S))
    rows, cost = [], {}
    for s in taking:
        cpu, rate = common.spread([c for c, _, _ in rounds[s]]), common.spread([q for _, q, _ in rounds[s]])
        bad = sum(b for _, _, b in rounds[s])
        cost[s.name] = cpu["median"]
        rows.append([s.label, f"{cpu['median']:.2f}", f"{cpu['min']:.2f}–{cpu['max']:.2f}", f"{rate['median']:,.0f}", bad])
        report.json(bench="streams", transport=mode, server=s.name, version=s.version(), rounds=count, slice_s=SLICE_S,
                    clients=CLIENTS, under_way=QUERIES_UNDER_WAY, cpu_us_per_answer=cpu, answers_per_s=rate, failed=bad)
    title = {"tcp": "TCP", "dot": "TLS"}[mode]
    report.table(f"DNS over {title}: {CLIENTS} connections, {QUERIES_UNDER_WAY} queries under way, 100,000 names",
                 ["server", "CPU µs/answer", "min–max", "answers/s", "bad or lost"], rows)
    judge(report, f"CPU per answer over {title} *", cost, "µs")


def judge(report, what, cost, unit):
    """Ours against the cheapest of the others."""
    peers = {n: c for n, c in cost.items() if n != "gtmd"}
    if peers:
        best = min(peers, key=peers.get)
        report.bar(what, f"{cost['gtmd']:.2f} {unit} against {best} {peers[best]:.2f}", cost["gtmd"] < peers[best],
                   "below every peer")


def handshake_slice(server, how):
    """(processor microseconds for each, what the program says)"""
    pids = server.pids()
    before = common.cpu_ns(pids)
    text = common.run_lines([common.BENCH / "handshakes", server.address, server.tls_port, query().hex(), HANDSHAKE_S,
                             HANDSHAKE_THREADS, how], 60, core=common.LOAD_CORE)
    used, found = common.cpu_ns(pids) - before, json.loads(text)
    return used / 1000 / found["done"], found


def handshakes(taking, options, report):
    rows = []
    for how, title in (("new", "full"), ("resume", "resumed")):
        rounds = {s: [] for s in taking}
        for r in range(QUICK_ROUNDS if options.quick else ROUNDS):
            for s in taking[r % len(taking):] + taking[:r % len(taking)]:
                rounds[s].append(handshake_slice(s, how))
        cost = {}
        for s in taking:
            cpu, rate = common.spread([c for c, _ in rounds[s]]), common.spread([f["per_s"] for _, f in rounds[s]])
            done, resumed, failed = (sum(f[k] for _, f in rounds[s]) for k in ("done", "resumed", "failed"))
            cost[s.name] = cpu["median"]
            rows.append([f"{s.label}, {title}", f"{rate['median']:,.0f}", f"{cpu['median']:.0f}", f"{cpu['min']:.0f}–{cpu['max']:.0f}",
                         f"{resumed / done:.1%}", failed])
            report.json(bench="handshakes", how=title, server=s.name, version=s.version(), cpu_us=cpu, per_s=rate, done=done,
                        resumed=resumed, failed=failed)
        judge(report, f"CPU per TLS connection with one answer, {title} *", cost, "µs")
    report.table(f"TLS handshakes: connect, one answer, close; {HANDSHAKE_THREADS} clients at once (ECDSA P-256)",
                 ["server", "per s", "CPU µs each", "min–max", "resumed", "failed"], rows,
                 ["The clients have one core as well: a rate ends where theirs does, the processor time is the server's."])


def run(options, report, scratch, net):
    data = geography.folder()
    source = net.client(geography.home_client(data))
    found = []
    try:
        found = started(scratch, data, net.address, source)
        transport("tcp", found, options, report, data, source)
        tls = [s for s in found if isinstance(s, Tls)]
        transport("dot", tls, options, report, data, source)
        handshakes(tls, options, report)
    finally:
        for s in found:
            s.stop()
