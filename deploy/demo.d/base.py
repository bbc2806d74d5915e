# SPDX-License-Identifier: Apache-2.0
"""What both forms of the demo share: telling, processes, asking, the world. See deploy/demo."""
import argparse
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
ZONE = """\
$TTL 300
@    SOA ns1 hostmaster 1 3600 600 86400 60
@    NS  ns1
ns1  A   127.0.0.1
"""
STREAM, BOTH = (socket.SOCK_STREAM,), (socket.SOCK_STREAM, socket.SOCK_DGRAM)


class Failed(Exception):
    """The demo cannot go on."""


class NotSeen(Exception):
    """A claim that was not seen ends the demo: what follows would start from a state that nobody knows."""


class Demo:
    """A form of the demo has run(), leave_running(), words_of_gtmctl() and clients."""
    env = None      # of gtmctl
    server = None   # who is asked unless another is named
    last_words = "gtmd"

    def __init__(self, options):
        self.options = options
        self.scratch = tempfile.mkdtemp(prefix="gtm-demo-")
        self.addresses = {address: name for name, _, _, address in REGIONS}
        self.dns_port = self.http_port = None
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
        with open(os.path.join(self.scratch, name + ".log"), "ab") as log:
            self.processes[name] = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                                    start_new_session=True)

    def start_gtmd(self, name, config, *args):
        self.start(name, [os.path.join(self.options.bin, "gtmd"), "--config", os.path.join(self.scratch, config), *args])

    def start_web(self, region):
        address = next(a for a, n in self.addresses.items() if n == region)
        self.start(region, [sys.executable, os.path.join(HERE, "region_server.py"), region, address, str(self.http_port)])

    def start_webs(self):
        """A server that is down when gtmd looks first ramps up like any that recovers: so they come before it."""
        for name in self.addresses.values():
            self.start_web(name)
        self.until("the web servers listen", lambda: all(self.listens(a) for a in self.addresses), 10)

    def send(self, name, signum):
        self.processes[name].send_signal(signum)

    def kill(self, name):
        self.processes[name].kill()
        self.processes.pop(name).wait()

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

    def log(self, name):
        with open(os.path.join(self.scratch, name + ".log"), encoding="utf-8", errors="replace") as f:
            return "".join(f.readlines()[-20:])

    def write(self, name, text):
        with open(os.path.join(self.scratch, name), "w", encoding="utf-8") as f:
            f.write(text)

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

    def intent(self, pools, rest):
        """The text of cluster.yaml. pools: name → more keys of it; each has the web server of every region."""
        text = "regions:\n" + "".join(f"  - {{name: {n}, location: [{lat}, {lon}]}}\n" for n, lat, lon, _ in REGIONS)
        text += f"""\
monitors:
  - {{name: web, kind: http, port: {self.http_port}, path: /healthz, expect: {{status: [200], body: ok}},
     interval: 500ms, timeout: 300ms, fall: 2, rise: 2}}
pools:
"""
        for pool, more in pools.items():
            text += f"  - name: {pool}\n    monitors: [web]\n{more}    endpoints:\n"
            text += "".join(f"      - {{name: {pool}-{n}, region: {n}, addresses: [{a}]}}\n" for n, _, _, a in REGIONS)
        return text + rest

    def words_of_gtmctl(self):
        """What stands before a command."""
        raise NotImplementedError

    def run_gtmctl(self, *args):
        return subprocess.run([os.path.join(self.options.bin, "gtmctl"), *self.words_of_gtmctl(), *args], env=self.env,
                              capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)

    def gtmctl(self, *args, check=True):
        run = self.run_gtmctl(*args)
        if check and run.returncode != 0:
            raise Failed(f"gtmctl {' '.join(args)}: exit {run.returncode}: {run.stderr.strip()}")
        return run.stdout

    def show(self, *args):
        """What an operator would see. The exit code and all that was said."""
        run = self.run_gtmctl(*args)
        text = run.stdout + run.stderr
        self.say(f"$ gtmctl {' '.join(a if ' ' not in a else repr(a) for a in args)}")
        for line in text.splitlines():
            self.say("  " + line)
        return run.returncode, text

    # --- asking ---

    def ask(self, client, name=NAME, server=None):
        """The region a client of this network is sent to, and the scope of the answer; (None, None) for silence."""
        subnet = dns.edns.ECSOption(client, 24)
        query = dns.message.make_query(name, "A", use_edns=0, options=[subnet])
        self.questions += 1
        try:
            reply = dns.query.udp(query, server or self.server, port=self.dns_port, timeout=2)
        except (OSError, dns.exception.Timeout):
            self.unanswered += 1
            return None, None
        if reply.rcode() != dns.rcode.NOERROR or len(reply.answer) != 1:
            raise Failed(f"unexpected answer for {client}: {reply}")
        scope = next((o.scopelen for o in reply.options if isinstance(o, dns.edns.ECSOption)), None)
        return self.addresses[reply.answer[0][0].address], scope

    def reach(self, region):
        """Does the web server that users of the region's address meet say that it is this region?"""
        address = next(a for n, _, _, a in REGIONS if n == region)
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(f"http://{address}:{self.http_port}/", timeout=5) as page:
                return page.read().decode().startswith(region + " ")
        except OSError:
            return False

    def listens(self, address):
        try:
            socket.create_connection((address, self.http_port), timeout=5).close()
            return True
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

    def places(self, clients, look_up):
        """Of the networks, those that the database places as it should: country → {client, ranked}."""
        countries = {}
        for country, network in clients:
            location = look_up(network)
            if location.get("country") != country:
                self.say(f"{network} is left out: the database says {location.get('country')}, not {country}")
                continue
            point = (location["latitude"], location["longitude"])
            ranked = sorted((distance_km(point, (lat, lon)), name) for name, lat, lon, _ in REGIONS)
            countries[country] = {"client": network, "ranked": ranked}
        return countries

    def run(self):
        raise NotImplementedError

    def leave_running(self):
        raise NotImplementedError

    def how_to_stop(self):
        pids = " ".join(str(p.pid) for p in self.processes.values())
        return f"  files and logs: {self.scratch}\n  stop: kill {pids}; rm -r {self.scratch}"

    def clean(self):
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for name in list(self.processes):
            self.stop(name)
        shutil.rmtree(self.scratch, ignore_errors=True)


def nearest(place, without=()):
    """(km, region)"""
    return next((km, name) for km, name in place["ranked"] if name not in without)


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


def main(form):
    parser = argparse.ArgumentParser(prog="deploy/demo")
    parser.add_argument("--bin", required=True)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--quiet", action="store_true")
    demo = form(parser.parse_args())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
    kept = False
    try:
        try:
            demo.run()
        except NotSeen:
            demo.say(f"the last words of {demo.last_words}:\n" + demo.log(demo.last_words))
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
