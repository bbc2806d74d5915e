# SPDX-License-Identifier: Apache-2.0
"""Everything at once: servers come and go, intents, zones and databases are replaced, orders are given and taken, while
users ask. Whatever the order of events, every question gets an answer that some state of the world allows, and when
the storm is over the answers are those of a calm world."""
import os
import random
import signal
import socket
import struct
import threading
import time

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype

from failing import Bad
from harness import DEADLINE_S, DNS_PORT, ZONE, address, cluster, gtmd, health_of, problem_names, wait_for

import mmdb  # harness knows where it is

STORM_S = float(os.environ.get("GTM_STORM_S", "6"))
US, EU, AP = (address(11 + i) for i in range(3))
REGION = {"us-east": US, "eu-west": EU, "ap-south": AP}
LONDON, TOKYO = "198.51.100.0", "203.0.113.0"
NEW_ZONE = """\
  - name: example.org
    file: example.org.zone
    names:
      - {name: www, types: [A], policy: near}
"""


def intents():
    """Three that differ in endpoints, policies, names and zones; www.example.com is in all of them."""
    return [cluster(monitor=", expect: {status: [200]}"),
            cluster(regions=("us-east", "eu-west"), all_down="last_good"),
            cluster(extra="      - {name: again, types: [A], policy: first}\n" + NEW_ZONE)]


def write_geo(path, kind):
    places = {LONDON + "/24": "GB", TOKYO + "/24": "JP"}
    if kind == 1:
        places = {LONDON + "/25": "JP", "198.51.100.128/25": "GB"}
    records = {net: {"country": {"iso_code": code}} for net, code in places.items()}
    mmdb.write(str(path) + ".new", records, type="Test-Country")
    os.replace(str(path) + ".new", path)


class Users(threading.Thread):
    """Ask by UDP all the time and judge each reply by itself."""

    def __init__(self, node, seed):
        super().__init__(daemon=True)
        self.node, self.rnd, self.ended = node, random.Random(seed), threading.Event()
        self.asked, self.wrong = 0, []

    def run(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(10)
            sock.connect((self.node.address, DNS_PORT))
            while not self.ended.is_set() and len(self.wrong) < 5:
                name = self.rnd.choice(["www.example.com", "first.example.com", "plain.example.com", "nope.example.com",
                                        "www.example.org", "again.example.com"])
                subnet = dns.edns.ECSOption(self.rnd.choice([LONDON, TOKYO, "8.8.8.0"]), 24)
                query = dns.message.make_query(name, "A", use_edns=0, options=[subnet])
                sock.send(query.to_wire())
                self.asked += 1
                try:
                    reply = dns.message.from_wire(sock.recv(4096))
                except TimeoutError:
                    self.wrong.append(f"{name}: no reply")
                    continue
                if not query.is_response(reply) or not self.allowed(name, reply):
                    self.wrong.append(f"{name}: {reply}")

    @staticmethod
    def allowed(name, reply):
        got = [str(rd) for rrset in reply.answer for rd in rrset]
        if name == "plain.example.com":
            return got in (["192.0.2.98"], ["192.0.2.99"])
        if name == "nope.example.com":
            return reply.rcode() == dns.rcode.NXDOMAIN and reply.authority[0].rdtype == dns.rdatatype.SOA
        if not got:  # names that only one of the intents has
            return name == "www.example.org" and reply.rcode() == dns.rcode.REFUSED or \
                name == "again.example.com" and reply.rcode() == dns.rcode.NXDOMAIN
        return reply.rcode() == dns.rcode.NOERROR and len(got) == 1 and got[0] in REGION.values()


class Storm:
    """The events, one after the other, drawn by a seed."""

    def __init__(self, node, servers, geo, seed):
        self.node, self.servers, self.geo, self.rnd = node, servers, geo, random.Random(seed)
        self.counts = {}

    def blow(self, until):
        events = [self.server, self.server, self.order, self.order, self.reload, self.database, self.tcp, self.check]
        while time.monotonic() < until:
            event = self.rnd.choice(events)
            event()
            self.counts[event.__name__] = self.counts.get(event.__name__, 0) + 1

    def server(self):
        self.rnd.choice(self.servers).set(self.rnd.choice(["ok", "ok", "stopped", "hang", "503", "reset", "endless"]))

    def order(self):
        endpoint = self.rnd.choice(["/admin", *(f"/endpoints/www-{r}/admin" for r in REGION)])
        state = self.rnd.choice(["auto", "auto", "up", "down", "drain"])
        reply = self.node.put("/pools/www" + endpoint, {"state": state})
        assert reply.status in (200, 404), reply.body  # one intent has no ap-south

    def reload(self):
        text = self.rnd.choice(intents() + ["regions: ["])
        self.node.write("example.com.zone", ZONE.replace("192.0.2.99", self.rnd.choice(["192.0.2.98", "192.0.2.99"])))
        self.node.write("cluster.yaml", text)
        if self.rnd.random() < 0.5:
            self.node.process.send_signal(signal.SIGHUP)
        else:
            assert self.node.post("/reload").status == (422 if text == "regions: [" else 200)

    def database(self):
        kind = self.rnd.randrange(4)
        if kind < 2:
            write_geo(self.geo, kind)
        elif kind == 2:
            self.geo.write_bytes(b"no database")
        elif self.geo.exists():
            self.geo.unlink()

    def tcp(self):
        wire = dns.message.make_query("www.example.com", "A").to_wire()
        with socket.create_connection((self.node.address, DNS_PORT), timeout=DEADLINE_S) as sock:
            sock.sendall((struct.pack("!H", len(wire)) + wire) * self.rnd.randrange(1, 20))
            if self.rnd.random() < 0.7:
                assert sock.recv(2), "answered"

    def check(self):
        for path in ("/status", "/problems", "/health", "/events", "/zones/example.com/records",
                     "/explain?name=www.example.com&client=198.51.100.0/24"):
            assert self.node.get(path).status == 200, path
        assert self.node.metrics()["gtm_ready"] == 1


def test_storm(tmp_path):
    geo = tmp_path / "country.mmdb"
    write_geo(geo, 0)
    servers = [Bad(a) for a in REGION.values()]
    zones = {"example.com.zone": ZONE, "example.org.zone": ZONE}
    try:
        with gtmd(cluster(), zones=zones, geo=f"[{geo}]") as node:
            users = [Users(node, seed) for seed in range(2)]
            for user in users:
                user.start()
            storm = Storm(node, servers, geo, int(os.environ.get("GTM_STORM_SEED", "2026")))
            storm.blow(time.monotonic() + STORM_S)
            for user in users:
                user.ended.set()
                user.join(DEADLINE_S)
                assert not user.wrong and user.asked > 100, user.wrong
            assert len(storm.counts) == 6 and min(storm.counts.values()) >= 3, storm.counts

            # Calm: as if nothing had been.
            for server in servers:
                server.set("ok")
            write_geo(geo, 0)
            node.write("cluster.yaml", cluster())
            node.write("example.com.zone", ZONE)
            assert node.post("/reload").status == 200
            for path in ["/admin", *(f"/endpoints/www-{r}/admin" for r in REGION)]:
                assert node.put("/pools/www" + path, {"state": "auto"}).status == 200
            wait_for(lambda: health_of(node) == {f"www-{r}": "up" for r in REGION}, "all are up")
            wait_for(lambda: node.addresses("www.example.com", subnet=LONDON + "/24") == [EU] and
                     node.addresses("www.example.com", subnet=TOKYO + "/24") == [AP], "the database is in force")
            assert node.addresses("first.example.com") == [US]
            assert node.addresses("plain.example.com") == ["192.0.2.99"]
            assert node.ask("www.example.org").rcode() == dns.rcode.REFUSED
            wait_for(lambda: not problem_names(node), "no problem is left")
    finally:
        for server in servers:
            server.close()
