# SPDX-License-Identifier: Apache-2.0
"""What end-to-end tests share: a real gtmd in a scratch folder, its API, DNS with client subnets, web servers.

Every test process has loopback addresses of its own (127.x.y.N from its pid), so fixed ports below 32768 never
collide. Nothing sleeps and hopes: wait_for() waits for a condition with a deadline.
"""
import contextlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import dns.edns
import dns.message
import dns.query
import dns.rdatatype

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("GTM_BUILD", ROOT / "build"))
sys.path.insert(0, str(ROOT / "tests" / "support"))

DNS_PORT = 5353
METRICS_PORT = 9153
WEB_PORT = 8080
CRASHES = (signal.SIGILL, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGSEGV)
DEADLINE_S = 30.0  # generous: sanitizer builds on a busy machine


def address(n):
    """The n-th loopback address (1 to 254) of this test process."""
    pid = os.getpid()
    return f"127.{16 + (pid >> 8) % 200}.{pid & 255}.{n}"


def wait_for(condition, what, deadline_s=DEADLINE_S, every_s=0.02):
    """Returns the condition's first true value; fails with `what` when the deadline passes."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s} s: {what}")
        time.sleep(every_s)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def item(self):
        assert self.status < 300, self.body
        return self.json["item"]

    @property
    def items(self):
        assert self.status < 300, self.body
        return self.json["items"]


class Gtmd:
    """A standalone node. Files are written before start(); the folder is removed by close()."""

    def __init__(self, cluster, zones=None, node="", geo="[]"):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="gtm-e2e-"))
        self.process = None
        self.address = address(1)
        self.socket = self.dir / "api.sock"
        self.log = self.dir / "log"
        self.write("cluster.yaml", cluster)
        for name, text in (zones or {}).items():
            self.write(name, text)
        self.node_text = (
            "node: {name: test-1, region: us-east}\n"
            f"data_dir: {self.dir}/data\n"
            "cluster_file: cluster.yaml\n"
            f"dns: {{listen: [{{address: {self.address}, port: {DNS_PORT}}}], threads: 1}}\n"
            f"geo: {{databases: {geo}}}\n"
            f"api: {{socket: {self.socket}}}\n"
            f"metrics: {{listen: \"{self.address}:{METRICS_PORT}\"}}\n" + node)
        self.write("node.yaml", self.node_text)

    def write(self, name, text):
        """Replaces a file of the folder atomically."""
        tmp = self.dir / (name + ".new")
        tmp.write_text(text)
        tmp.replace(self.dir / name)

    def spawn(self, *args):
        with open(self.log, "ab") as log:
            return subprocess.Popen([str(BUILD / "bin" / "gtmd"), *args], stdin=subprocess.DEVNULL,
                                    stdout=log, stderr=log, cwd=self.dir)

    def run(self, *args):
        """Runs gtmd to its end: (exit code, its output)."""
        done = subprocess.run([str(BUILD / "bin" / "gtmd"), *args], stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=self.dir, timeout=60, check=False)
        return done.returncode, done.stdout

    def start(self):
        self.process = self.spawn("--config", "node.yaml")
        wait_for(self.ready, "gtmd is ready")
        return self

    def ready(self):
        assert self.process.poll() is None, f"gtmd ended with {self.process.returncode}:\n{self.log_text()}"
        try:
            return self.get("/status").item["state"] == "serving"
        except (OSError, http.client.HTTPException):
            return False

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def stop(self, signum=signal.SIGTERM):
        """Returns the exit code."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signum)
        code = self.process.wait(timeout=DEADLINE_S)
        self.process = None
        assert -code not in CRASHES, f"gtmd crashed: signal {-code}"
        return code

    def close(self):
        try:
            self.stop(signal.SIGKILL)
        finally:
            shutil.rmtree(self.dir, ignore_errors=True)

    # --- API

    def request(self, method, path, body=None, headers=None, timeout=DEADLINE_S):
        con = UnixConnection(self.socket, timeout)
        try:
            if isinstance(body, (dict, list)):
                body = json.dumps(body)
                headers = {"Content-Type": "application/json", **(headers or {})}
            con.request(method, "/api/v1" + path, body=body, headers=headers or {})
            reply = con.getresponse()
            return Reply(reply.status, reply.headers, reply.read().decode())
        finally:
            con.close()

    def get(self, path, **kw):
        return self.request("GET", path, **kw)

    def put(self, path, body, **kw):
        return self.request("PUT", path, body=body, **kw)

    def post(self, path, body=None, **kw):
        return self.request("POST", path, body=body, **kw)

    def metrics(self):
        """Samples by name and labels as they stand in the text."""
        con = http.client.HTTPConnection(self.address, METRICS_PORT, timeout=DEADLINE_S)
        try:
            con.request("GET", "/metrics")
            text = con.getresponse().read().decode()
        finally:
            con.close()
        samples = {}
        for line in text.splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                assert name not in samples, f"twice: {name}"
                samples[name] = float(value)
        return samples

    # --- DNS

    def ask(self, name, rtype="A", subnet=None, tcp=False, timeout=5.0):
        """The reply message; subnet "198.51.100.0/24" goes as EDNS Client Subnet."""
        options = []
        if subnet:
            net, length = subnet.split("/")
            options.append(dns.edns.ECSOption(net, int(length)))
        query = dns.message.make_query(name, rtype, use_edns=0, options=options)
        send = dns.query.tcp if tcp else dns.query.udp
        return send(query, self.address, timeout=timeout, port=DNS_PORT)

    def addresses(self, name, rtype="A", subnet=None):
        """The addresses of an answer, as a sorted list."""
        reply = self.ask(name, rtype, subnet)
        want = dns.rdatatype.from_text(rtype)
        return sorted(str(rd) for rrset in reply.answer if rrset.rdtype == want for rd in rrset)


@contextlib.contextmanager
def gtmd(cluster, **kw):
    node = Gtmd(cluster, **kw)
    try:
        yield node.start()
        assert node.stop() in (None, 0), "a clean end (sanitizers report leaks there)"
    except BaseException:
        sys.stderr.write(node.log_text()[-8000:])
        raise
    finally:
        node.close()


class Web:
    """A web server on one address whose behaviour can be changed while it runs: "ok", a status like "503", "hang"
    (accepts, never answers), "garbage", or "stopped" (connections are refused)."""

    def __init__(self, addr, port=WEB_PORT, behaviour="ok"):
        self.addr, self.port = addr, port
        self.behaviour = "stopped"
        self.requests = 0
        self.listener = None
        self.held = []
        self.set(behaviour)

    def set(self, behaviour):
        if behaviour != "stopped" and self.listener is None:
            family = socket.AF_INET6 if ":" in self.addr else socket.AF_INET
            self.listener = socket.socket(family, socket.SOCK_STREAM)
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind((self.addr, self.port))
            self.listener.listen(64)
            self.behaviour = behaviour
            threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()
        self.behaviour = behaviour
        if behaviour == "stopped" and self.listener is not None:
            listener, self.listener = self.listener, None
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            for con in self.held:
                with contextlib.suppress(OSError):
                    con.shutdown(socket.SHUT_RDWR)
                con.close()
            self.held = []

    def close(self):
        self.set("stopped")

    def _accept(self, listener):
        while True:
            try:
                con, _ = listener.accept()
            except OSError:
                return
            self.held.append(con)
            threading.Thread(target=self._serve, args=(con,), daemon=True).start()

    def _serve(self, con):
        try:
            while True:
                data = b""
                while b"\r\n\r\n" not in data:
                    part = con.recv(4096)
                    if not part:
                        return
                    data += part
                self.requests += 1
                behaviour = self.behaviour
                if behaviour == "hang":
                    continue
                if behaviour == "garbage":
                    con.sendall(b"\x00\xff no HTTP at all \r\n\r\n")
                    return
                status = "200" if behaviour == "ok" else behaviour
                con.sendall(f"HTTP/1.1 {status} Word\r\nContent-Length: 2\r\n\r\nok".encode())
        except OSError:
            pass
        finally:
            with contextlib.suppress(OSError):
                con.close()


@contextlib.contextmanager
def webs(*addresses, port=WEB_PORT):
    servers = [Web(a, port) for a in addresses]
    try:
        yield servers
    finally:
        for server in servers:
            server.close()


# A small world that most tests share: three regions, one web server each, one zone.
ZONE = """$TTL 300
@ IN SOA ns1 hostmaster 2026112001 3600 600 86400 60
@ IN NS ns1
ns1 IN A 127.0.0.1
plain IN A 192.0.2.99
text IN TXT "hello; world" second
"""


# A rule that refuses nothing, instead of those that hold by default: for tests that break everything by order.
NO_RULES = "rules: [{name: none, kind: answers_left, min: 0}]\n"


def cluster(all_down="fail_open", extra="", monitor="", addresses=None, regions=("us-east", "eu-west", "ap-south")):
    """cluster.yaml for regions of which the first three have a known place."""
    places = {"us-east": "[38.9, -77.0]", "eu-west": "[53.3, -6.3]", "ap-south": "[1.35, 103.8]"}
    addrs = addresses or [address(11 + i) for i in range(len(regions))]
    lines = ([] if "rules:" in extra else [NO_RULES.rstrip()]) + ["regions:"]
    lines += [f"  - {{name: {r}, location: {places[r]}}}" for r in regions]
    lines += ["monitors:",
              f"  - {{name: web, kind: http, port: {WEB_PORT}, path: /healthz, interval: 200ms, timeout: 150ms, "
              f"fall: 2, rise: 2{monitor}}}",
              "pools:", "  - name: www", "    monitors: [web]",
              "    flap: {half_life: 0s}",  # tests break the same server again and again
              "    endpoints:"]
    lines += [f"      - {{name: www-{r}, region: {r}, addresses: [\"{a}\"]}}" for r, a in zip(regions, addrs)]
    lines += ["policies:",
              f"  - {{name: near, pool: www, steer: nearest, all_down: {all_down}, ttl: 30s}}",
              "  - {name: first, pool: www, steer: failover, order: [" + ", ".join(regions) + "]}",
              "zones:", "  - name: example.com", "    file: example.com.zone", "    names:",
              "      - {name: www, types: [A, AAAA], policy: near}",
              "      - {name: first, types: [A], policy: first, ttl: 5s}"]
    return "\n".join(lines) + "\n" + extra


def health_of(node):
    """{endpoint: health} of pool www."""
    return {e["name"]: e["health"] for e in node.get("/pools/www/endpoints").items}


def problem_names(node):
    return sorted(p["name"] for p in node.get("/problems").items)
