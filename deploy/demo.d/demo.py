#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The demo itself: see deploy/demo. Everything on loopback, in a scratch folder, stopped by pid."""
import argparse
import json
import math
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import dns.edns
import dns.exception
import dns.message
import dns.query
import dns.rcode

HERE = os.path.dirname(os.path.abspath(__file__))
NAME = "www.example.com"
REGIONS = [  # name, latitude, longitude, address of its web server
    ("us-east", 38.9, -77.0, "127.20.1.1"),
    ("eu-west", 53.3, -6.3, "127.20.2.1"),
    ("ap-south", 1.35, 103.8, "127.20.3.1"),
]
ADDRESS = {address: name for name, _, _, address in REGIONS}
# Networks that have long belonged to universities and telephone companies; each is looked up before it is used.
CLIENTS = [
    ("US", "12.0.0.0"), ("CA", "142.103.0.0"), ("MX", "189.128.0.0"), ("BR", "200.160.0.0"), ("AR", "200.45.0.0"),
    ("IE", "134.226.0.0"), ("DE", "80.146.0.0"), ("FR", "80.8.0.0"), ("ZA", "196.25.0.0"), ("EG", "41.32.0.0"),
    ("IN", "117.192.0.0"), ("SG", "203.116.0.0"), ("JP", "133.11.0.0"), ("KR", "147.46.0.0"), ("AU", "139.130.0.0"),
    ("NZ", "130.216.0.0"),
]
MIN_COUNTRIES = 8


class Failed(Exception):
    """The demo cannot go on."""


class NotSeen(Exception):
    """A claim that was not seen ends the demo: what follows would start from a state that nobody knows."""


class Demo:
    def __init__(self, options):
        self.options = options
        self.scratch = tempfile.mkdtemp(prefix="gtm-demo-")
        self.processes = {}
        self.claims = []
        self.questions = self.unanswered = 0
        self.started = time.monotonic()
        colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self.bold, self.green, self.red, self.plain = (
            ("\033[1m", "\033[32m", "\033[31m", "\033[0m") if colour else ("", "", "", ""))

    # --- telling ---

    def title(self, text):
        print(f"\n{self.bold}{text}{self.plain}", flush=True)

    def say(self, text):
        if not self.options.quiet:
            print("  " + text, flush=True)

    def claim(self, text, seen):
        self.claims.append((text, seen))
        mark = f"{self.green}seen{self.plain}" if seen else f"{self.red}NOT SEEN{self.plain}"
        print(f"  [{mark}] {text}", flush=True)
        if not seen:
            raise NotSeen

    # --- the parts ---

    def start(self, name, argv):
        log = open(os.path.join(self.scratch, name + ".log"), "ab")
        self.processes[name] = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                                start_new_session=True)
        log.close()

    def start_region(self, name):
        address = next(a for n, _, _, a in REGIONS if n == name)
        self.start(name, [sys.executable, os.path.join(HERE, "region_server.py"), name, address, str(self.http_port)])

    def stop(self, name):
        process = self.processes.pop(name, None)
        if process is None:
            return
        try:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def free_port(self, addresses, kinds):
        """A port below the ephemeral ones that is free on all addresses."""
        for _ in range(200):
            port = random.randint(20000, 32000)
            sockets = []
            try:
                for address in addresses:
                    for kind in kinds:
                        s = socket.socket(socket.AF_INET, kind)
                        sockets.append(s)
                        s.bind((address, port))
                return port
            except OSError:
                continue
            finally:
                for s in sockets:
                    s.close()
        raise Failed("no free port on loopback")

    def write(self, name, text):
        with open(os.path.join(self.scratch, name), "w", encoding="utf-8") as f:
            f.write(text)

    def configure(self):
        both = (socket.SOCK_STREAM, socket.SOCK_DGRAM)
        self.dns_port = self.free_port(["127.0.0.1"], both)
        self.http_port = self.free_port([a for _, _, _, a in REGIONS], (socket.SOCK_STREAM,))
        self.socket_path = os.path.join(self.scratch, "gtmd.sock")
        self.write("node.yaml", f"""\
node: {{name: demo-1, region: us-east}}
data_dir: {self.scratch}/data
cluster_file: cluster.yaml
dns: {{listen: [{{address: 127.0.0.1, port: {self.dns_port}}}], threads: 1}}
api: {{socket: {self.socket_path}}}
""")
        regions = "".join(f"  - {{name: {n}, location: [{lat}, {lon}]}}\n" for n, lat, lon, _ in REGIONS)
        endpoints = "".join(f"      - {{name: www-{n}, region: {n}, addresses: [{a}]}}\n" for n, _, _, a in REGIONS)
        self.write("cluster.yaml", f"""\
regions:
{regions}monitors:
  - {{name: web, kind: http, port: {self.http_port}, path: /healthz, expect: {{status: [200], body: ok}},
     interval: 500ms, timeout: 300ms, fall: 2, rise: 2}}
pools:
  - name: www
    monitors: [web]
    endpoints:
{endpoints}policies:
  - {{name: nearest-www, pool: www, steer: nearest, ttl: 5s}}
zones:
  - name: example.com
    file: example.com.zone
    names:
      - {{name: www, types: [A], policy: nearest-www}}
""")
        self.write("example.com.zone", """\
$TTL 300
@    SOA ns1 hostmaster 1 3600 600 86400 60
@    NS  ns1
ns1  A   127.0.0.1
""")

    def gtmctl(self, *args, check=True):
        run = subprocess.run([os.path.join(self.options.bin, "gtmctl"), "--socket", self.socket_path, *args],
                             capture_output=True, text=True, timeout=30, check=False)
        if check and run.returncode != 0:
            raise Failed(f"gtmctl {' '.join(args)}: exit {run.returncode}: {run.stderr.strip()}")
        return run.stdout

    def show(self, *args):
        """What an operator would see."""
        if self.options.quiet:
            return
        print(f"  $ gtmctl {' '.join(args)}")
        for line in self.gtmctl(*args, check=False).splitlines():
            print("    " + line)

    # --- asking ---

    def ask(self, client):
        """The region a client of this network is sent to, and the scope of the answer; (None, None) for silence."""
        subnet = dns.edns.ECSOption(client, 24)
        query = dns.message.make_query(NAME, "A", use_edns=0, options=[subnet])
        self.questions += 1
        try:
            reply = dns.query.udp(query, "127.0.0.1", port=self.dns_port, timeout=2)
        except (OSError, dns.exception.Timeout):
            self.unanswered += 1
            return None, None
        if reply.rcode() != dns.rcode.NOERROR or len(reply.answer) != 1:
            raise Failed(f"unexpected answer for {client}: {reply}")
        scope = next((o.scopelen for o in reply.options if isinstance(o, dns.edns.ECSOption)), None)
        return ADDRESS[reply.answer[0][0].address], scope

    def regions_of(self, countries):
        return {country: self.ask(place["client"])[0] for country, place in countries.items()}

    def left(self, region, countries):
        """Everybody gets an answer, and nobody that region."""
        return {None, region}.isdisjoint(self.regions_of(countries).values())

    def reach(self, region):
        """Does the web server that users of the region's address meet say that it is this region?"""
        address = next(a for n, _, _, a in REGIONS if n == region)
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(f"http://{address}:{self.http_port}/", timeout=5) as page:
                return page.read().decode().startswith(region + " ")
        except OSError:
            return False

    def until(self, what, condition, deadline_s):
        """Seconds until condition() holds, or None."""
        start = time.monotonic()
        while True:
            if condition():
                return time.monotonic() - start
            if time.monotonic() - start > deadline_s:
                self.say(f"gave up after {deadline_s} s: {what}")
                return None
            time.sleep(0.005)

    def endpoint_health(self, region):
        reply = json.loads(self.gtmctl("endpoint", "list", "-o", "json"))
        return next(e["health"] for e in reply["items"] if e["name"] == f"www-{region}")

    # --- the story ---

    def find_clients(self):
        countries = {}
        for country, network in CLIENTS:
            item = json.loads(self.gtmctl("geo", "lookup", network, "-o", "json"))["item"]
            location = item.get("location", item)
            if location.get("country") != country:
                self.say(f"{network} is left out: the database says {location.get('country')}, not {country}")
                continue
            point = (location["latitude"], location["longitude"])
            ranked = sorted((distance_km(point, (lat, lon)), name) for name, lat, lon, _ in REGIONS)
            countries[country] = {"client": network, "ranked": ranked}
        if len(countries) < MIN_COUNTRIES:
            raise Failed(f"the country database knows only {len(countries)} of the demo's networks")
        return countries

    def nearest(self, place, without=()):
        return next((km, name) for km, name in place["ranked"] if name not in without)

    def show_world(self, countries):
        print("  country  client network      answer     distance   scope")
        right = 0
        for country, place in countries.items():
            region, scope = self.ask(place["client"])
            km, want = self.nearest(place)
            right += region == want
            print(f"  {country:<8} {place['client'] + '/24':<19} {region or 'none':<10} {km:6.0f} km   /{scope}"
                  + ("" if region == want else f"   expected {want}"))
        self.claim(f"clients of {len(countries)} countries go to the nearest of {len(REGIONS)} regions",
                   right == len(countries) >= MIN_COUNTRIES)

    def lose(self, region, countries, how, act):
        """Breaks a region and times the first clean answer for every client."""
        users = [c for c, p in countries.items() if self.nearest(p)[1] == region]
        self.title(f"{how} the web server of {region} (users of {', '.join(users)})")
        act()
        clean = self.until("a clean answer", lambda: self.left(region, countries), 10)
        if clean is None:
            self.claim(f"users leave {region}", False)
        now = self.regions_of(countries)
        moved = all(now[c] == self.nearest(p, (region,))[1] for c, p in countries.items())
        self.say("now: " + ", ".join(f"{c} → {now[c]}" for c in users))
        self.claim(f"{region} left all answers after {clean:.2f} s; everyone goes to the next nearest region", moved)
        self.claim("the servers they go to answer them", all(self.reach(r) for r in set(now.values())))
        self.show("problems")
        self.show("explain", NAME, "A", "--client", countries[users[0]]["client"] + "/24")

    def regain(self, region, countries, how, act):
        self.title(f"{how} {region}")
        act()
        back = self.until("users are back", lambda: all(
            r == self.nearest(countries[c])[1] for c, r in self.regions_of(countries).items()), 15)
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

    def run(self):
        self.configure()
        self.title("Three regions on loopback, one gtmd")
        for name, lat, lon, address in REGIONS:
            self.start_region(name)
            self.say(f"{name:<9} at {lat:6.1f} {lon:6.1f}   http://{address}:{self.http_port}/")
        begun = time.monotonic()
        self.start("gtmd", [os.path.join(self.options.bin, "gtmd"), "--config",
                            os.path.join(self.scratch, "node.yaml")])
        ready = self.until("gtmd answers", self.is_serving, 30)
        if ready is None:
            raise Failed("gtmd did not start; its log:\n" + self.log("gtmd"))
        self.questions = self.unanswered = 0
        self.say(f"gtmd      dns on 127.0.0.1:{self.dns_port}, answering after {time.monotonic() - begun:.2f} s")
        healthy = self.until("all regions up", lambda: all(
            self.endpoint_health(n) == "up" for n, _, _, _ in REGIONS), 15)
        self.claim("all three regions are checked and up", healthy is not None)

        self.title("Where users go (EDNS client subnet, whole-internet country database)")
        countries = self.find_clients()
        self.show_world(countries)

        self.lose("eu-west", countries, "Killing", lambda: self.kill("eu-west"))
        self.regain("eu-west", countries, "Starting again:", lambda: self.start_region("eu-west"))
        self.lose("ap-south", countries, "Hanging (SIGSTOP)", lambda: self.send("ap-south", signal.SIGSTOP))
        self.regain("ap-south", countries, "Waking:", lambda: self.send("ap-south", signal.SIGCONT))
        self.operator("us-east", countries)
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

    def kill(self, name):
        self.processes[name].kill()
        self.processes.pop(name).wait()

    def send(self, name, signum):
        self.processes[name].send_signal(signum)

    def log(self, name):
        with open(os.path.join(self.scratch, name + ".log"), encoding="utf-8", errors="replace") as f:
            return "".join(f.readlines()[-20:])

    def leave_running(self):
        self.title("Still running (--keep)")
        pids = " ".join(str(p.pid) for p in self.processes.values())
        print(f"""\
  dig @127.0.0.1 -p {self.dns_port} {NAME} A +subnet=134.226.0.0/24
  {self.options.bin}/gtmctl --socket {self.socket_path} status
  files and logs: {self.scratch}
  stop: kill {pids}; rm -r {self.scratch}""")

    def clean(self):
        for name in list(self.processes):
            self.stop(name)
        shutil.rmtree(self.scratch, ignore_errors=True)


def distance_km(a, b):
    """Great-circle distance; on purpose not gtm's own code."""
    la, lo, lb, lp = map(math.radians, (*a, *b))
    cosine = math.sin(la) * math.sin(lb) + math.cos(la) * math.cos(lb) * math.cos(lo - lp)
    return 6371 * math.acos(max(-1.0, min(1.0, cosine)))


def conclude(demo):
    """The exit code."""
    unseen = [text for text, seen in demo.claims if not seen]
    demo.title(f"{len(demo.claims) - len(unseen)} of {len(demo.claims)} claims seen, "
               f"in {time.monotonic() - demo.started:.0f} s")
    for text in unseen:
        print(f"  not seen: {text}")
    return 1 if unseen else 0


def main():
    parser = argparse.ArgumentParser(prog="deploy/demo")
    parser.add_argument("--bin", required=True)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--quiet", action="store_true")
    demo = Demo(parser.parse_args())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
    kept = False
    try:
        try:
            demo.run()
        except NotSeen:
            demo.say("gtmd's last words:\n" + demo.log("gtmd"))
        code = conclude(demo)
        if demo.options.keep:
            demo.leave_running()
            kept = True
        return code
    except (Failed, subprocess.TimeoutExpired, dns.exception.DNSException, OSError) as problem:
        print(f"demo: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted", file=sys.stderr)
        return 130
    finally:
        if not kept:
            demo.clean()


if __name__ == "__main__":
    sys.exit(main())
