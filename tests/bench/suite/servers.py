# SPDX-License-Identifier: Apache-2.0
"""The servers that are measured: how each is configured (as its manual advises for speed, one worker) and started.

Every server serves two zones: static.example with 100,000 address records, and geo.example with 100,000 names and `www`
that lead to the nearest of three regions. Ports are fixed: the benchmark has a network namespace of its own, or
loopback when it may not make one.
"""
import os
import shutil

import common
import geography
from common import BUILD, REGIONS

SOA = "@ 3600 SOA ns1 hostmaster 1 3600 600 86400 60\n@ 3600 NS ns1\nns1 3600 A 192.0.2.53\n"
STATIC_ADDRESS = "198.51.100.1"
# All that is in flight must fit a receive queue (the kernel counts 832 octets a query), or some is lost at once and
# the servers are measured at different depths. Knot and PowerDNS have no setting for it: preload_queue.c.
RECEIVE_BYTES = 1 << 20


def static_zone():
    return "$TTL 60\n" + SOA + "".join(f"s{i} A {STATIC_ADDRESS}\n" for i in range(geography.NAMES))


def geo_names():
    return ["www", *(f"n{i}" for i in range(geography.NAMES))]


class Server:
    """A server under test. kinds: which of {"static", "geo"} it can be asked; label: its row in the tables."""

    name = label = program = package = ""
    kinds = ("static", "geo")
    modules = ()  # (file that must exist, its package)
    notes = ""
    preload = False

    def __init__(self, scratch, data, address, port):
        self.dir = scratch / self.name
        self.dir.mkdir(parents=True)
        self.data, self.address, self.port = data, address, port
        self.process = None

    @classmethod
    def missing(cls):
        """What to install, or None."""
        if cls.program and not cls.path():
            return cls.package
        return next((package for file, package in cls.modules if not os.path.exists(file)), None)

    @classmethod
    def version(cls):
        if not cls.package:
            return ""
        return common.run_lines(["dpkg-query", "-W", "-f", "${Version}", cls.package], 10)

    @classmethod
    def path(cls):
        return shutil.which(cls.program, path="/usr/sbin:/usr/bin:/sbin:/bin:" + os.environ.get("PATH", ""))

    def write(self, name, text):
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def configure(self):
        raise NotImplementedError

    def argv(self):
        raise NotImplementedError

    def start(self):
        self.configure()
        env = {"LD_PRELOAD": str(common.BENCH / "preload_queue.so")} if self.preload else None
        self.process = common.Process(self.name, self.argv(), self.dir, core=common.SERVER_CORE, env=env)

    def ready(self):
        """The server has said all it had to do is done; asking it is the caller's."""
        return True

    def pids(self):
        return common.family(self.process.pid)

    def stop(self):
        if self.process:
            self.process.stop()
            self.process = None


class Floor(Server):
    name, label = "floor", "floor (bare echo)"

    def __init__(self, *args):
        super().__init__(*args)
        self.extra = 0

    def configure(self):
        pass

    def argv(self):
        return [common.BENCH / "echo", self.address, self.port, self.extra]

    def restart(self, extra):
        """Answers that are `extra` octets longer than the queries."""
        self.stop()
        self.extra = extra
        self.start()


class Gtmd(Server):
    name, label = "gtmd", "gtmd"

    @classmethod
    def missing(cls):
        return None

    def node(self):
        return f"""\
node: {{name: bench-1, region: {REGIONS[0][0]}}}
data_dir: {self.dir}/data
cluster_file: cluster.yaml
dns: {{listen: [{{address: {self.address}, port: {self.port}}}], threads: 1}}
geo: {{databases: [{common.DATABASE}]}}
api: {{socket: {self.dir}/api.sock}}
"""

    def cluster(self, names):
        regions = "".join(f"  - {{name: {n}, location: [{lat}, {lon}]}}\n" for n, lat, lon, _ in REGIONS)
        endpoints = "".join(f"      - {{name: www-{n}, region: {n}, addresses: [{a}]}}\n" for n, _, _, a in REGIONS)
        dynamic = "".join(f"      - {{name: {n}, types: [A], policy: nearest-www}}\n" for n in names)
        return f"""\
regions:
{regions}pools:
  - name: www
    flap: {{half_life: 0s}}
    endpoints:
{endpoints}policies:
  - {{name: nearest-www, pool: www, steer: nearest, ttl: 60s}}
zones:
  - name: {geography.STATIC}
    file: static.zone
  - name: {geography.GEO}
    file: geo.zone
    names:
{dynamic}"""

    def configure(self):
        self.write("node.yaml", self.node())
        self.write("cluster.yaml", self.cluster(geo_names()))
        self.write("static.zone", static_zone())
        self.write("geo.zone", SOA)

    def argv(self):
        return [BUILD / "bin" / "gtmd", "--config", self.dir / "node.yaml"]


class Gdnsd(Server):
    name, label, program, package = "gdnsd", "gdnsd", "gdnsd", "gdnsd"

    def configure(self):
        centres = ", ".join(n for n, *_ in REGIONS)
        addresses = ", ".join(f"{n} => {a}" for n, _, _, a in REGIONS)
        self.write("config", f"""\
options => {{
  listen => ["{self.address}:{self.port}"], udp_threads => 1, tcp_threads => 1, udp_rcvbuf => {RECEIVE_BYTES},
  run_dir => {self.dir}/run, state_dir => {self.dir}/state
}}
plugins => {{ geoip => {{
  maps => {{ nearest => {{ datacenters => [{centres}], nets => gdnsd.nets }} }},
  resources => {{ www => {{ map => nearest, service_types => up, dcmap => {{ {addresses} }} }} }}
}} }}
""")
        for sub in ("run", "state", "geoip"):
            (self.dir / sub).mkdir()
        os.symlink(self.data / "gdnsd.nets", self.dir / "geoip" / "gdnsd.nets")
        self.write("zones/" + geography.STATIC, static_zone())
        self.write("zones/" + geography.GEO,
                   "$TTL 60\n" + SOA + "".join(f"{n} 60 DYNA geoip!www\n" for n in geo_names()))

    def argv(self):
        return [self.path(), "-c", self.dir, "start"]


class Knot(Server):
    name, label, program, package = "knot", "Knot", "knotd", "knot"
    preload = True
    modules = [("/usr/lib/x86_64-linux-gnu/knot/modules-3.2/geoip.so", "knot-module-geoip")]

    def configure(self):
        for sub in ("run", "zones", "db"):
            (self.dir / sub).mkdir()
        self.write("zones/static.zone", static_zone())
        # the module leaves clients that the database does not know to the zone
        self.write("zones/geo.zone", f"$TTL 60\n{SOA}* A {REGIONS[0][3]}\n")
        answers = "".join(f" - geo: \"{n}\"\n   A: {a}\n" for n, _, _, a in REGIONS)
        self.write("geo.conf", "".join(f"{n}.{geography.GEO}:\n{answers}" for n in geo_names()))
        self.write("knot.conf", f"""\
server:
    rundir: "{self.dir}/run"
    listen: {self.address}@{self.port}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
    edns-client-subnet: on
database:
    storage: "{self.dir}/db"
log:
  - target: stderr
    any: warning
mod-geoip:
  - id: nearest
    config-file: "{self.dir}/geo.conf"
    ttl: 60
    mode: geodb
    geodb-file: "{self.data}/country.mmdb"
    geodb-key: continent/code
template:
  - id: default
    storage: "{self.dir}/zones"
    semantic-checks: off
    zonefile-load: whole
    journal-content: none
zone:
  - domain: {geography.STATIC}
    file: static.zone
  - domain: {geography.GEO}
    file: geo.zone
    module: mod-geoip/nearest
""")

    def argv(self):
        return [self.path(), "-c", self.dir / "knot.conf"]


class Nsd(Server):
    preload = True  # its own setting needs root
    name, label, program, package = "nsd", "NSD (static answers)", "nsd", "nsd"
    notes = "NSD knows no geography: in the geo scenarios the same names are plain address records."

    def configure(self):
        self.write("static.zone", static_zone())
        self.write("geo.zone", "$TTL 60\n" + SOA + "".join(f"{n} A {REGIONS[0][3]}\n" for n in geo_names()))
        self.write("nsd.conf", f"""\
server:
    server-count: 1
    ip-address: {self.address}@{self.port}
    reuseport: yes
    receive-buffer-size: {RECEIVE_BYTES}
    username: ""
    chroot: ""
    database: ""
    zonesdir: "{self.dir}"
    zonelistfile: "{self.dir}/zone.list"
    xfrdfile: "{self.dir}/xfrd.state"
    xfrdir: "{self.dir}"
    pidfile: "{self.dir}/nsd.pid"
    hide-version: yes
    rrl-ratelimit: 0
remote-control:
    control-enable: no
zone:
    name: {geography.STATIC}
    zonefile: static.zone
zone:
    name: {geography.GEO}
    zonefile: geo.zone
""")

    def argv(self):
        return [self.path(), "-d", "-c", self.dir / "nsd.conf"]


class Pdns(Server):
    program, package = "pdns_server", "pdns-server"
    preload = True
    cache = True
    backend = ""

    def configure(self):
        off = "" if self.cache else "cache-ttl=0\nquery-cache-ttl=0\nnegquery-cache-ttl=0\n"
        self.write("pdns.conf", f"""\
local-address={self.address}
local-port={self.port}
receiver-threads=1
distributor-threads=1
reuseport=yes
daemon=no
guardian=no
socket-dir={self.dir}
edns-subnet-processing=yes
log-dns-queries=no
loglevel=3
zone-cache-refresh-interval=300
{off}{self.backend_lines()}""")

    def backend_lines(self):
        raise NotImplementedError

    def argv(self):
        return [self.path(), f"--config-dir={self.dir}"]


class PdnsBind(Pdns):
    name, label = "pdns-bind", "PowerDNS bind, caches on"
    kinds = ("static",)
    modules = [("/usr/lib/x86_64-linux-gnu/pdns/libbindbackend.so", "pdns-backend-bind")]

    def backend_lines(self):
        self.write("static.zone", static_zone())
        self.write("named.conf", f'zone "{geography.STATIC}" {{ type master; file "{self.dir}/static.zone"; }};\n')
        return f"launch=bind\nbind-config={self.dir}/named.conf\n"


class PdnsBindNoCache(PdnsBind):
    name, label, cache = "pdns-bind-nocache", "PowerDNS bind, caches off", False


class PdnsGeo(Pdns):
    name, label = "pdns-geo", "PowerDNS geoip, caches on"
    kinds = ("geo",)
    modules = [("/usr/lib/x86_64-linux-gnu/pdns/libgeoipbackend.so", "pdns-backend-geoip")]

    def backend_lines(self):
        services = "".join(f"    {n}.{geography.GEO}: ['%cn.pool.{geography.GEO}']\n" for n in geo_names())
        pools = "".join(f"    {n}.pool.{geography.GEO}: [{{a: {a}}}]\n" for n, _, _, a in REGIONS)
        pools += f"    unknown.pool.{geography.GEO}: [{{a: {REGIONS[0][3]}}}]\n"
        self.write("geo.yaml", f"""\
domains:
- domain: {geography.GEO}
  ttl: 60
  records:
    {geography.GEO}:
      - soa: ns1.{geography.GEO} hostmaster.{geography.GEO} 1 3600 600 86400 60
      - ns: ns1.{geography.GEO}
{pools}  services:
{services}""")
        return (f"launch=geoip\ngeoip-zones-file={self.dir}/geo.yaml\n"
                f"geoip-database-files=mmdb:{self.data}/country.mmdb\n")


class PdnsGeoNoCache(PdnsGeo):
    name, label, cache = "pdns-geo-nocache", "PowerDNS geoip, caches off", False


ALL = [Floor, Gtmd, Gdnsd, Knot, Nsd, PdnsBind, PdnsBindNoCache, PdnsGeo, PdnsGeoNoCache]
