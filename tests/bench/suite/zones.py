# SPDX-License-Identifier: Apache-2.0
"""Zones that change and zones that travel.

changed   one file of 1,000 zones is replaced: until the new answer comes. gtmd by itself and by `POST /reload`; Knot and NSD
          are told which zone (knotc zone-reload, nsd-control reload); gdnsd reads all (gdnsdctl reload-zones)
out       a zone of 1,000,000 records by AXFR, from gtmd, Knot and NSD to a client that only counts
in        the same zone to gtmd, Knot and NSD as secondaries of Knot, over plain TCP without a key: from the start of the
          secondary to its first answer out of the zone, and its memory
"""
import re
import socket
import struct
import subprocess
import time

import common
import dnsbench
import geography
import handover
import servers

ZONES, RECORDS_EACH, CHANGED = 1000, 20, "z500.test"
BIG, BIG_RECORDS, BIG_QUICK = "big.example", 1_000_000, 100_000
PATIENCE_S = 120.0
LAST_ADDRESS = "192.0.2.77"
TYPE_AXFR = 252
AXFR_OTHERS = 4  # records besides those that are counted out: SOA at both ends, NS, the name server's address


def query(name, rtype=geography.TYPE_A):
    return geography.query(name)[:-4] + struct.pack(">HH", rtype, geography.CLASS_IN)


def first_address(server, source, name):
    try:
        found = dnsbench.addresses(dnsbench.ask(server, source, query(name), 1.0))
    except OSError:
        return None
    return found[0] if isinstance(found, list) and found else None


def small_zone(serial, address):
    return (f"$TTL 60\n@ 3600 SOA ns1 hostmaster {serial} 3600 600 86400 60\n@ 3600 NS ns1\nns1 3600 A 192.0.2.53\nplain A {address}\n"
            + "".join(f"n{i} A 192.0.2.1\n" for i in range(RECORDS_EACH)))


def big_file(count):
    """Made once, kept under build/bench."""
    path = common.BENCH / f"big-{count}.zone"
    if not path.exists():
        common.BENCH.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        with open(new, "w", encoding="ascii") as f:
            f.write("$TTL 60\n" + servers.SOA)
            f.writelines(f"n{i} A 10.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}\n" for i in range(count - 1))
            f.write(f"last A {LAST_ADDRESS}\n")
        new.replace(path)
    return path


# --- the servers: zones is {name: file}; primary is (address, port) for secondaries, which have no files

class Zoned:
    """Mixed into a server: any zones, from files or from a primary; whoever asks from `allow` may transfer."""

    zones, primary, allow = (), None, None

    def command(self, *argv):
        """Runs the server's own control program."""
        done = subprocess.run(list(map(str, argv)), capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0:
            raise common.Unable(f"{argv[0]}: {done.stderr.strip() or done.stdout.strip()}")


class Gtmd(Zoned, servers.Gtmd):
    label = "gtmd, by itself"

    def node(self):
        """Without geography, which the others have not either."""
        return super().node().replace(f"databases: [{common.DATABASE}]", "databases: []")

    def configure(self):
        self.write("node.yaml", self.node())
        text = "regions:\n" + "".join(f"  - {{name: {n}, location: [{lat}, {lon}]}}\n" for n, lat, lon, _ in common.REGIONS)
        text += "zones:\n"
        for name in self.zones:
            text += f"  - name: {name}\n    transfer: [{{networks: [{self.allow}/32]}}]\n" if self.allow else f"  - name: {name}\n"
            text += (f"    primaries: [{{address: {self.primary[0]}, port: {self.primary[1]}}}]\n" if self.primary else
                     f"    file: {self.zones[name]}\n")
        self.write("cluster.yaml", text)

    def reload(self, _):
        """Sees it by itself."""


class GtmdTold(Gtmd):
    name, label = "gtmd-told", "gtmd, POST /reload"

    def reload(self, _):
        handover.reload(self)


class Knot(Zoned, servers.Knot):
    label = "Knot, zone-reload"
    modules = ()

    def configure(self):
        for sub in ("run", "zones", "db"):
            (self.dir / sub).mkdir()
        text = f"""\
server:
    rundir: "{self.dir}/run"
    listen: {self.address}@{self.port}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
control:
    listen: knot.sock
database:
    storage: "{self.dir}/db"
    journal-db-max-size: 1G
log:
  - target: stderr
    any: warning
acl:
  - id: anybody
    address: 0.0.0.0/0
    action: transfer
"""
        text += f"remote:\n  - id: primary\n    address: {self.primary[0]}@{self.primary[1]}\n" if self.primary else ""
        text += "zone:\n"
        for n, (name, file) in enumerate(self.zones.items()):
            text += (f"  - domain: {name}\n    file: \"{file or f'{self.dir}/{n}'}\"\n    zonefile-sync: -1\n    semantic-checks: off\n"
                     f"    zonefile-load: {'none' if self.primary else 'whole'}\n    journal-content: none\n    acl: anybody\n")
            text += "    master: primary\n" if self.primary else ""
        self.write("knot.conf", text)

    def reload(self, zone):
        self.command("knotc", "-c", self.dir / "knot.conf", "zone-reload", zone)


class Nsd(Zoned, servers.Nsd):
    label = "NSD, reload ZONE"

    def configure(self):
        text = f"""\
server:
    server-count: 1
    ip-address: {self.address}@{self.port}
    reuseport: yes
    username: ""
    chroot: ""
    database: ""
    zonesdir: "{self.dir}"
    zonelistfile: "{self.dir}/zone.list"
    xfrdfile: "{self.dir}/xfrd.state"
    xfrdir: "{self.dir}"
    pidfile: "{self.dir}/nsd.pid"
    xfrd-reload-timeout: 0
    zonefiles-write: 0
    rrl-ratelimit: 0
remote-control:
    control-enable: yes
    control-interface: "{self.dir}/control"
"""
        for n, (name, file) in enumerate(self.zones.items()):
            text += f"zone:\n    name: {name}\n    zonefile: \"{file or f'{self.dir}/{n}'}\"\n    provide-xfr: 0.0.0.0/0 NOKEY\n"
            text += f"    request-xfr: AXFR {self.primary[0]}@{self.primary[1]} NOKEY\n" if self.primary else ""
        self.write("nsd.conf", text)

    def reload(self, zone):
        self.command("nsd-control", "-c", self.dir / "nsd.conf", "reload", zone)


class Gdnsd(Zoned, servers.Gdnsd):
    label = "gdnsd, reload-zones"

    def configure(self):
        for sub in ("run", "state", "geoip", "zones"):
            (self.dir / sub).mkdir()
        self.write("config", f"options => {{ listen => [\"{self.address}:{self.port}\"], udp_threads => 1, tcp_threads => 1,\n"
                             f"  run_dir => {self.dir}/run, state_dir => {self.dir}/state }}\n")
        for name, file in self.zones.items():
            (self.dir / "zones" / name).symlink_to(file)

    def reload(self, _):
        self.command("gdnsdctl", "-c", self.dir, "reload-zones")


def installed(kinds):
    for kind in kinds:
        if kind.missing():
            common.say(f"left out: {kind.label}: {kind.missing()} is not installed (deploy/install-deps --bench)")
        else:
            yield kind


def up(server, source, name, address):
    def answers():
        if not server.process.alive():
            raise common.Unable(f"{server.label} ended: {server.process.log_tail()}")
        return first_address(server, source, name) == address
    return common.wait_for(answers, f"{server.label} answers {name}", PATIENCE_S, 0.005)


# --- one of 1,000 zones changes

def changed(options, report, scratch, net, source):
    rows = []
    times = 3 if options.quick else 15
    for n, kind in enumerate(installed((Gtmd, GtmdTold, Knot, Nsd, Gdnsd))):
        files = scratch / f"files-{kind.name}"
        files.mkdir()
        server = kind(scratch / "changed", None, net.address, dnsbench.FIRST_PORT + n)
        server.zones = {f"z{i}.test": files / f"z{i}.test" for i in range(ZONES)}
        for file in server.zones.values():
            file.write_text(small_zone(1, "192.0.2.100"), encoding="ascii")
        seconds = []
        try:
            server.start()
            for name in (f"plain.z{ZONES - 1}.test", f"plain.{CHANGED}"):
                up(server, source, name, "192.0.2.100")
            time.sleep(2)  # files written a moment before they are first watched are looked at once more
            for i in range(times):
                seconds.append(change(server, source, i + 1))
                time.sleep(1.1)  # NSD tells changes of a file apart by whole seconds
        finally:
            server.stop()
        s = common.spread(seconds)
        rows.append([server.label, times, f"{s['median']:.3f}", f"{s['min']:.3f}–{s['max']:.3f}"])
        report.json(bench="zones", what="changed", server=server.name, version=server.version(), zones=ZONES, times=times, seconds=s)
    report.table(f"One changed zone of {ZONES:,}: from replacing its file to the new answer", ["server", "times", "median s", "min–max s"],
                 rows, ["With the start of the control program, where it must be told."])


def change(server, source, n):
    new = server.dir / "new.zone"
    new.write_text(small_zone(n + 1, f"192.0.2.{n}"), encoding="ascii")
    began = time.monotonic()
    new.replace(server.zones[CHANGED])
    server.reload(CHANGED)
    common.wait_for(lambda: first_address(server, source, "plain." + CHANGED) == f"192.0.2.{n}", f"{server.label} serves the change",
                    PATIENCE_S, 0.001)
    return time.monotonic() - began


# --- a zone of 1,000,000 records travels

def axfr(server, source, zone, records):
    """(seconds, octets) until all records have come; they are counted, not looked at."""
    request = query(zone, TYPE_AXFR)
    room, got, octets = memoryview(bytearray(65536)), 0, 0
    began = time.monotonic()
    with socket.create_connection((server.address, server.port), timeout=60, source_address=(source, 0)) as con:
        con.sendall(struct.pack(">H", len(request)) + request)
        stream = con.makefile("rb", buffering=1 << 20)
        while got < records + AXFR_OTHERS:
            head = stream.read(2)
            size = struct.unpack(">H", head)[0] if len(head) == 2 else 0
            if size < 12 or stream.readinto(room[:size]) != size:
                raise common.Unable(f"{server.label}: the transfer ended after {got} records")
            if room[3] & 15:
                raise common.Unable(f"{server.label}: the transfer is refused: RCODE {room[3] & 15}")
            got += struct.unpack(">H", room[6:8])[0]
            octets += size + 2
    if got != records + AXFR_OTHERS:
        raise common.Unable(f"{server.label}: {got} records came instead of {records + AXFR_OTHERS}")
    return time.monotonic() - began, octets


def pss_mb(pids):
    """The memory of processes that share some."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
                total += int(re.search(r"^Pss:\s+(\d+)", f.read(), re.M).group(1))
        except (OSError, AttributeError):
            continue  # it has just ended
    return total / 1024


def transfer_out(options, report, scratch, net, source, file, count):
    rows, median = [], {}
    times = 2 if options.quick else 5
    for n, kind in enumerate(installed((Gtmd, Knot, Nsd))):
        server = kind(scratch / "out", None, net.address, dnsbench.FIRST_PORT + n)
        server.zones, server.allow = {BIG: file}, source
        try:
            server.start()
            up(server, source, "last." + BIG, LAST_ADDRESS)
            seconds, cpu, octets = [], [], 0
            for _ in range(times):
                before = common.cpu_ns(server.pids())
                took, octets = axfr(server, source, BIG, count)
                seconds.append(took)
                cpu.append((common.cpu_ns(server.pids()) - before) / 1e9)
            memory = pss_mb(server.pids())
        finally:
            server.stop()
        s, c = common.spread(seconds), common.spread(cpu)
        median[server.name] = s["median"]
        label = server.label.split(",")[0]
        rows.append([label, times, f"{s['median']:.2f}", f"{s['min']:.2f}–{s['max']:.2f}", f"{c['median']:.2f}", f"{octets / 1e6:.1f}",
                     f"{memory:.0f}"])
        report.json(bench="zones", what="out", server=server.name, version=server.version(), records=count, seconds=s, cpu_s=c,
                    octets=octets, memory_mb=memory)
    report.table(f"Transfer out: {count:,} records by AXFR", ["server", "times", "median s", "min–max s", "CPU s", "MB sent", "memory MB"], rows)
    faster(report, f"transfer out of {count:,} records *", median)


def transfer_in(options, report, scratch, net, source, file, count):
    rows, median, failures = [], {}, []
    times = 1 if options.quick else 3
    if Knot.missing():
        raise common.Unable(f"the primary of transfers in is Knot: {Knot.missing()} is not installed (deploy/install-deps --bench)")
    primary = Knot(scratch / "primary", None, net.address, dnsbench.FIRST_PORT + 9)
    primary.zones = {BIG: file}
    try:
        primary.start()
        up(primary, source, "last." + BIG, LAST_ADDRESS)
        for n, kind in enumerate(installed((Gtmd, Knot, Nsd))):
            try:
                runs = [secondary(kind, scratch / f"in-{i}", net, source, dnsbench.FIRST_PORT + n, primary) for i in range(times)]
            except common.Unable as e:  # the others are worth knowing all the same
                failures.append(str(e))
                continue
            s, peak, after = common.spread([r[0] for r in runs]), max(r[1] for r in runs), runs[-1][2]
            median[kind.name] = s["median"]
            rows.append([kind.label.split(",")[0], times, f"{s['median']:.2f}", f"{s['min']:.2f}–{s['max']:.2f}", f"{peak:.0f}", f"{after:.0f}"])
            report.json(bench="zones", what="in", server=kind.name, version=kind.version(), records=count, seconds=s, peak_mb=peak,
                        memory_mb=after)
    finally:
        primary.stop()
    report.table(f"Transfer in: {count:,} records from Knot by AXFR", ["secondary", "times", "median s", "min–max s", "highest MB",
                                                                     "memory MB"], rows,
                 ["From the start of an empty secondary to its first answer out of the zone. "
                  "Memory: proportional set size, looked at every 0.1 s."])
    faster(report, f"transfer in of {count:,} records *", median)
    if failures:
        raise common.Unable("; ".join(failures))


def secondary(kind, scratch, net, source, port, primary):
    """(seconds from its start to the last name's answer, highest memory, memory 2 s later)"""
    server = kind(scratch, None, net.address, port)
    server.zones, server.primary = {BIG: None}, (primary.address, primary.port)
    peak = 0.0
    try:
        began = time.monotonic()
        server.start()
        while first_address(server, source, "last." + BIG) != LAST_ADDRESS:
            if time.monotonic() - began > PATIENCE_S or not server.process.alive():
                raise common.Unable(f"{server.label} does not serve the zone: {server.process.log_tail()}")
            peak = max(peak, pss_mb(server.pids()))
            time.sleep(0.1)
        took = time.monotonic() - began
        time.sleep(2)
        after = pss_mb(server.pids())
    finally:
        server.stop()
    return took, max(peak, after), after


def faster(report, what, median):
    peers = {n: s for n, s in median.items() if n != "gtmd"}
    if peers and "gtmd" in median:
        best = min(peers, key=peers.get)
        report.bar(what, f"{median['gtmd']:.2f} s against {best} {peers[best]:.2f} s", median["gtmd"] <= peers[best], "no slower than any peer")


def run(options, report, scratch, net):
    source = net.client(geography.home_client(geography.folder()))
    changed(options, report, scratch, net, source)
    count = BIG_QUICK if options.quick else BIG_RECORDS
    file = big_file(count)
    transfer_out(options, report, scratch, net, source, file, count)
    transfer_in(options, report, scratch, net, source, file, count)
