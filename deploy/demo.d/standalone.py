#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The demo of one node: see deploy/demo. Everything on loopback, in a scratch folder, stopped by pid."""
import json
import math
import os
import random
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time

import dns.edns
import dns.message

from base import BOTH, NAME, REGIONS, STREAM, ZONE, Demo, Failed, main, nearest

NEXT = ("next", "127.20.9.1")  # the new version that a few users try
CANARY, CANARY_PERCENT, CANARY_ASKS = "canary.example.com", 10, 600
SHOP, SHOP_NETWORKS, SHOP_RAMP = "shop.example.com", 150, "3s"
# Networks that have long belonged to universities and telephone companies; each is looked up before it is used.
CLIENTS = [
    ("US", "12.0.0.0"), ("CA", "142.103.0.0"), ("MX", "189.128.0.0"), ("BR", "200.160.0.0"), ("AR", "200.45.0.0"),
    ("IE", "134.226.0.0"), ("DE", "80.146.0.0"), ("FR", "80.8.0.0"), ("ZA", "196.25.0.0"), ("EG", "41.32.0.0"),
    ("IN", "117.192.0.0"), ("SG", "203.116.0.0"), ("JP", "133.11.0.0"), ("KR", "147.46.0.0"), ("AU", "139.130.0.0"),
    ("NZ", "130.216.0.0"),
]
MIN_COUNTRIES = 8


class Standalone(Demo):
    server = "127.0.0.1"

    def __init__(self, options):
        super().__init__(options)
        self.addresses[NEXT[1]] = NEXT[0]
        self.socket_path = os.path.join(self.scratch, "gtmd.sock")
        self.tls_port = self.shops = None

    def words_of_gtmctl(self):
        return ["--socket", self.socket_path]

    def configure(self):
        self.dns_port = self.free_port([self.server], BOTH)
        self.tls_port = self.free_port([self.server], STREAM)
        self.http_port = self.free_port(list(self.addresses), STREAM)
        self.certificate()
        self.write("node.yaml", f"""\
node: {{name: demo-1, region: us-east}}
data_dir: {self.scratch}/data
cluster_file: cluster.yaml
dns:
  listen: [{{address: 127.0.0.1, port: {self.dns_port}}}]
  tls: {{listen: [{{address: 127.0.0.1, port: {self.tls_port}}}], cert: dns.pem, key: dns.key}}
  threads: 1
api: {{socket: {self.socket_path}}}
""")
        self.write("cluster.yaml", self.intent({
            "www": "", "shop": f"    failback: {{hold: 500ms, ramp: {SHOP_RAMP}}}\n"}, f"""\
  - name: next
    monitors: [web]
    endpoints:
      - {{name: next, region: us-east, addresses: [{NEXT[1]}]}}
policies:
  - {{name: nearest-www, pool: www, steer: nearest, ttl: 5s}}
  - {{name: session, pool: shop, steer: sticky, ttl: 5s}}
  - name: canary
    steer: weighted
    to: [{{policy: nearest-www, weight: {100 - CANARY_PERCENT}}}, {{pool: next, weight: {CANARY_PERCENT}}}]
zones:
  - name: example.com
    file: example.com.zone
    names:
      - {{name: www, types: [A], policy: nearest-www}}
      - {{name: shop, types: [A], policy: session}}
      - {{name: canary, types: [A], policy: canary}}
"""))
        self.write("example.com.zone", ZONE)

    def certificate(self):
        made = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                               "-nodes", "-days", "90", "-subj", "/CN=ns1.example.com",
                               "-addext", "subjectAltName=DNS:ns1.example.com", "-keyout", "dns.key", "-out", "dns.pem"],
                              cwd=self.scratch, capture_output=True, text=True, timeout=30, check=False)
        if made.returncode != 0:
            raise Failed(f"openssl makes no certificate: {made.stderr}")

    # --- asking ---

    def regions_of(self, countries):
        return {country: self.ask(place["client"])[0] for country, place in countries.items()}

    def shops_of(self, networks):
        return {network: self.ask(network, SHOP)[0] for network in networks}

    def left(self, region, countries):
        """Everybody gets an answer, and nobody that region."""
        return {None, region}.isdisjoint(self.regions_of(countries).values())

    def endpoint_health(self, region):
        reply = json.loads(self.gtmctl("endpoint", "list", "-o", "json"))
        return next(e["health"] for e in reply["items"] if e["name"] == f"www-{region}")

    # --- the story ---

    def look_up(self, network):
        item = json.loads(self.gtmctl("geo", "lookup", network, "-o", "json"))["item"]
        return item.get("location", item)

    def show_world(self, countries):
        print("  country  client network      answer     distance   scope")
        right = 0
        for country, place in countries.items():
            region, scope = self.ask(place["client"])
            km, want = nearest(place)
            right += region == want
            print(f"  {country:<8} {place['client'] + '/24':<19} {region or 'none':<10} {km:6.0f} km   /{scope}"
                  + ("" if region == want else f"   expected {want}"))
        self.claim(f"clients of {len(countries)} countries go to the nearest of {len(REGIONS)} regions",
                   right == len(countries) >= MIN_COUNTRIES)

    def lose(self, region, countries, how, act):
        """Breaks a region and times the first clean answer for every client."""
        users = [c for c, p in countries.items() if nearest(p)[1] == region]
        self.title(f"{how} the web server of {region} (users of {', '.join(users)})")
        act()
        clean = self.until("a clean answer", lambda: self.left(region, countries), 10)
        if clean is None:
            self.claim(f"users leave {region}", False)
        now = self.regions_of(countries)
        moved = all(now[c] == nearest(p, (region,))[1] for c, p in countries.items())
        self.say("now: " + ", ".join(f"{c} → {now[c]}" for c in users))
        self.claim(f"{region} left all answers after {clean:.2f} s; everyone goes to the next nearest region", moved)
        self.claim("the servers they go to answer them", all(self.reach(r) for r in set(now.values())))
        self.show("problems")
        self.show("explain", NAME, "A", "--client", countries[users[0]]["client"] + "/24")

    def regain(self, region, countries, how, act):
        self.title(f"{how} {region}")
        act()
        back = self.until("users are back", lambda: all(
            r == nearest(countries[c])[1] for c, r in self.regions_of(countries).items()), 15)
        self.claim(f"users of {region} are back" + ("" if back is None else f" after {back:.2f} s"), back is not None)

    def operator(self, region, countries):
        self.title(f"An operator drains {region} and gives it back")
        self.gtmctl("endpoint", "drain", f"www/www-{region}", "--reason", "demo", "--yes")
        gone = self.until("drained", lambda: self.left(region, countries), 5)
        self.claim(f"drained{'' if gone is None else f' after {gone * 1000:.0f} ms'}, while the region is healthy",
                   gone is not None and self.endpoint_health(region) == "up")
        self.show("endpoint", "list")
        self.gtmctl("endpoint", "auto", f"www/www-{region}", "--reason", "demo", "--yes")
        self.regain(region, countries, "Back to automatic:", lambda: None)

    def over_tls(self, context, session=None):
        """(region of an answer over a new connection, its session, was it resumed)"""
        query = dns.message.make_query(NAME, "A", use_edns=0, options=[dns.edns.ECSOption(CLIENTS[0][1], 24)])
        wire = query.to_wire()
        with socket.create_connection((self.server, self.tls_port), timeout=5) as plain, \
                context.wrap_socket(plain, server_hostname="ns1.example.com", session=session) as tls:
            tls.sendall(struct.pack("!H", len(wire)) + wire)
            with tls.makefile("rb") as stream:
                reply = dns.message.from_wire(stream.read(struct.unpack("!H", stream.read(2))[0]))
            return self.addresses[reply.answer[0][0].address], tls.session, tls.session_reused

    def private(self):
        self.title("The same over TLS (RFC 7858)")
        context = ssl.create_default_context(cafile=os.path.join(self.scratch, "dns.pem"))
        udp = self.ask(CLIENTS[0][1])[0]
        first, session, _ = self.over_tls(context)
        second, _, resumed = self.over_tls(context, session)
        self.claim("DNS over TLS answers as UDP does, with a checked certificate; the second connection resumes the first",
                   first == second == udp and resumed)

    def canary(self):
        self.title(f"A canary: {CANARY_PERCENT} % of the answers for {CANARY} are a new version")
        got = sum(self.ask(CLIENTS[0][1], CANARY)[0] == NEXT[0] for _ in range(CANARY_ASKS))
        want = CANARY_ASKS / 10
        self.claim(f"{got} of {CANARY_ASKS} answers are the new version, within four deviations of {want:.0f}",
                   abs(got - want) <= 4 * math.sqrt(want * 0.9))

    def slow_start(self, region):
        """Right after the region is back: www has its users at once, the shop lets them come back little by little."""
        own = [network for network, home in self.shops.items() if home == region]
        self.title(f"Slow start: {SHOP} gives {region} its networks back over {SHOP_RAMP} (failback.ramp)")
        begun = time.monotonic()
        shares = [0]

        def all_back():
            share = 100 * sum(home == region for home in self.shops_of(own).values()) // len(own)
            if share != shares[-1]:
                shares.append(share)
            return share == 100
        self.until("all networks are back", all_back, 20)
        steps = " → ".join(f"{share} %" for share in shares)
        self.claim(f"of {len(own)} networks {steps} are back after {time.monotonic() - begun:.1f} s",
                   shares == sorted(shares) and shares[-1] == 100 and len(shares) >= 4)

    def sticky(self, region):
        self.title(f"Sticky: {SHOP} keeps each client network on one server, also when {region} is drained")
        own = {network for network, home in self.shops.items() if home == region}
        self.gtmctl("endpoint", "drain", f"shop/shop-{region}", "--reason", "demo", "--yes")
        self.until("it is drained", lambda: self.ask(next(iter(own)), SHOP)[0] != region, 5)
        now = self.shops_of(self.shops)
        moved = {network for network in now if now[network] != self.shops[network]}
        self.claim(f"{len(moved)} of {len(now)} networks moved: exactly those of {region}", moved == own)
        self.gtmctl("endpoint", "auto", f"shop/shop-{region}", "--reason", "demo", "--yes")
        back = self.until("they are back", lambda: self.shops_of(self.shops) == self.shops, 10)
        self.claim("all of them are back where they were", back is not None)

    def problems(self):
        return {p["name"] for p in json.loads(self.gtmctl("problems", "-o", "json"))["items"]}

    def bad_release(self, countries):
        self.title("A bad release: every health page says 500, while the servers serve")
        for name, _, _, _ in REGIONS:
            self.send(name, signal.SIGUSR1)
        held = self.until("panic", lambda: "PanicHeld" in self.problems(), 10)
        home = {country: nearest(place)[1] for country, place in countries.items()}
        stay = self.until("all at home", lambda: self.regions_of(countries) == home, 5)
        self.show("problems")
        self.claim("gtmd does not believe it: everyone keeps the nearest region, and it is reported",
                   held is not None and stay is not None)
        for name, _, _, _ in REGIONS:
            self.send(name, signal.SIGUSR2)
        over = self.until("the panic is over", lambda: "PanicHeld" not in self.problems(), 10)
        self.claim("rolled back: the panic is over", over is not None)

    def replace(self):
        self.title("An upgrade: another gtmd takes over the sockets (gtmd --replace)")
        old, asked, lost = self.processes["gtmd"], self.questions, self.unanswered
        self.start_gtmd("gtmd", "node.yaml", "--replace")
        new = self.processes["gtmd"]
        self.until("one of them has ended", lambda: self.ask(CLIENTS[0][1])[0] and
                   (old.poll() is not None or new.poll() is not None), 30)
        code = old.poll()
        if code is None:  # it goes on; not for us
            old.kill()
            old.wait()
        handed = code == 0 and new.poll() is None and self.until("it serves", self.is_serving, 10) is not None
        self.claim(f"process {old.pid} handed over to {new.pid}: none of {self.questions - asked} questions meanwhile "
                   "was lost", handed and self.unanswered == lost)

    def run(self):
        self.configure()
        self.title("Three regions on loopback, one gtmd")
        for name, lat, lon, address in REGIONS:
            self.say(f"{name:<9} at {lat:6.1f} {lon:6.1f}   http://{address}:{self.http_port}/")
        self.start_webs()
        begun = time.monotonic()
        self.start_gtmd("gtmd", "node.yaml")
        ready = self.until("gtmd answers", self.is_serving, 30)
        if ready is None:
            raise Failed("gtmd did not start; its log:\n" + self.log("gtmd"))
        self.questions = self.unanswered = 0
        self.say(f"gtmd      dns on 127.0.0.1:{self.dns_port}, answering after {time.monotonic() - begun:.2f} s")
        healthy = self.until("all regions up", lambda: all(
            self.endpoint_health(n) == "up" for n, _, _, _ in REGIONS), 15)
        self.claim("all three regions are checked and up", healthy is not None)

        self.title("Where users go (EDNS client subnet, whole-internet country database)")
        countries = self.places(CLIENTS, self.look_up)
        if len(countries) < MIN_COUNTRIES:
            raise Failed(f"the country database knows only {len(countries)} of the demo's networks")
        self.show_world(countries)

        self.private()
        self.canary()
        self.shops = self.shops_of(random_networks(SHOP_NETWORKS))
        self.sticky("us-east")

        self.lose("eu-west", countries, "Killing", lambda: self.kill("eu-west"))
        self.regain("eu-west", countries, "Starting again:", lambda: self.start_web("eu-west"))
        self.slow_start("eu-west")
        self.lose("ap-south", countries, "Hanging (SIGSTOP)", lambda: self.send("ap-south", signal.SIGSTOP))
        self.regain("ap-south", countries, "Waking:", lambda: self.send("ap-south", signal.SIGCONT))
        self.operator("us-east", countries)
        self.bad_release(countries)
        self.replace()
        self.show("status")
        self.title("Meanwhile")
        self.claim(f"each of {self.questions} questions was answered", self.unanswered == 0)

    def is_serving(self):
        if self.processes["gtmd"].poll() is not None:
            raise Failed("gtmd ended; its log:\n" + self.log("gtmd"))
        try:
            # the first answers may come before the country database is compiled
            return os.path.exists(self.socket_path) and self.ask("12.0.0.0")[0] is not None and \
                json.loads(self.gtmctl("geo", "status", "-o", "json"))["item"]["loaded"]
        except (OSError, Failed):
            return False

    def leave_running(self):
        self.title("Still running (--keep)")
        print(f"""\
  dig @{self.server} -p {self.dns_port} {NAME} A +subnet=134.226.0.0/24
  kdig @{self.server} -p {self.tls_port} +tls {SHOP} A
  {self.options.bin}/gtmctl --socket {self.socket_path} status
{self.how_to_stop()}""")


def random_networks(count):
    return [f"{random.randint(1, 126)}.{random.randint(0, 255)}.{random.randint(0, 255)}.0" for _ in range(count)]


if __name__ == "__main__":
    sys.exit(main(Standalone))
