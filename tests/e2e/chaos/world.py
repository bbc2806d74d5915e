# SPDX-License-Identifier: Apache-2.0
"""The cluster of the chaos run: regions as namespaces, web servers and users as processes of their own, and a log of
everything that happens (JSON lines; see checks.py for what is read from them)."""
import base64
import contextlib
import http.client
import json
import pathlib
import struct
import subprocess
import sys
import threading
import time

from cluster_harness import REGIONS, Cluster, Etcd, OverWan
from harness import BUILD, ZONE, cluster, wait_for
from netns_harness import Wan

HERE = pathlib.Path(__file__).resolve().parent
NAMES = ("www.example.com", "first.example.com", "every.example.com", "closed.example.com", "rev.example.com")
VIEW_KEY = base64.b64encode(b"/gtm/v1/view/rev").decode()
BASE_DELAY_US = 5000
# The time-out of an election is at least ten round trips of the slowest link (100 ms).
ETCD = ("--heartbeat-interval", "100", "--election-timeout", "1000", "--quota-backend-bytes", str(12 << 20))


class Log:
    """Events as they happen, in memory and in a file. Times are those of the monotonic clock."""

    def __init__(self, path):
        self.file = open(path, "w", encoding="utf-8")  # pylint: disable=consider-using-with
        self.events = []
        self.lock = threading.Lock()

    def add(self, ev, **fields):
        event = {"ev": ev, "t": time.monotonic(), **fields}
        with self.lock:
            self.events.append(event)
            self.file.write(json.dumps(event) + "\n")
            self.file.flush()
        return event


class WebProcess:
    """harness.Web in a process inside its region."""

    def __init__(self, addr, prefix):
        self.process = subprocess.Popen([*prefix, sys.executable, str(HERE / "web.py"), addr], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == "ok\n"
        self.behaviour = "ok"

    def set(self, behaviour):
        self.process.stdin.write(behaviour + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == behaviour + "\n"
        self.behaviour = behaviour

    def close(self):
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Place(OverWan):
    def make_web(self, region):
        return WebProcess(self.web(region), self.prefix(region))


def intent(place, rev):
    """(cluster.yaml, zone file). rev is a record of the zone: users see which intent a node serves."""
    text = cluster(addresses=[place.web(r) for r in REGIONS])
    text = text.replace("interval: 200ms, timeout: 150ms", "interval: 500ms, timeout: 400ms")
    text = text.replace("zones:\n", "  - {name: closed, pool: www, steer: nearest, all_down: fail_closed, ttl: 5s}\n"
                        "  - {name: every, pool: www, steer: multivalue, answers: 3}\nzones:\n")
    text = text.replace("    names:\n", "    names:\n      - {name: closed, types: [A], policy: closed}\n"
                        "      - {name: every, types: [A], policy: every}\n")
    return text, ZONE + f"rev IN TXT \"{rev}\"\n"


class World:
    """Use as a context: everything runs and serves."""

    def __init__(self, seed, nodes, log):
        self.log, self.seed, self.rev = log, seed, 1
        self.stack = contextlib.ExitStack()
        self.nodes_per_region = nodes
        self.incarnation, self.views = {}, {}
        self.ended = threading.Event()
        self.samplers = []

    def __enter__(self):
        try:
            self.enter()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def enter(self):
        self.wan = self.stack.enter_context(Wan(REGIONS, seed=self.seed))
        self.wan.set_all(delay_us=BASE_DELAY_US)
        place = Place(self.wan)
        self.etcd = self.stack.enter_context(Etcd(3, place=place, extra=ETCD))
        self.cluster = Cluster(nodes=self.nodes_per_region, etcd=self.etcd, place=place)
        for node in self.cluster.nodes:
            self.give_clock(node)
        self.stack.enter_context(self.cluster)
        self.nodes, self.webs = self.cluster.nodes, self.cluster.webs
        for node in self.nodes:
            self.incarnation[node.name] = 1
            self.log.add("node", node=node.name, region=node.region, address=node.address)
        for region, web in ((r, place.web(r)) for r in REGIONS):
            self.log.add("web", region=region, address=web)
        text, zone = intent(place, self.rev)
        self.cluster.apply(text, zones={"example.com.zone": zone})
        self.cluster.wait_healthy()
        self.cluster.wait_leader()
        self.start_asker()
        for node in self.nodes:
            self.sample(lambda n=node: self.look_at_node(n))
        for member in self.etcd.members:
            self.sample(lambda m=member: self.look_at_member(m))

    def __exit__(self, *exc):
        self.ended.set()
        for thread in self.samplers:
            thread.join()
        self.stop_asker()
        for node in getattr(self, "nodes", []):
            with contextlib.suppress(OSError):
                node.signal(18)  # SIGCONT: what is stopped cannot be ended
        self.stack.close()

    # --- clocks

    def give_clock(self, node):
        """A file by which the calendar of the node's process is stepped."""
        path = node.dir / "clock"
        path.write_bytes(struct.pack("=q", 0))
        node.prefix += ["env", f"LD_PRELOAD={BUILD / 'tests' / 'libclock_step.so'}", f"GTM_TEST_CLOCK={path}"]

    def step_clock(self, node, step_ms):
        with open(node.dir / "clock", "r+b") as f:
            f.write(struct.pack("=q", step_ms))

    # --- users

    def start_asker(self):
        settings = {"regions": dict(self.wan.names), "nodes": {n.name: n.address for n in self.nodes},
                    "names": NAMES, "every_s": 0.15, "timeout_s": 2.0}
        self.answers = pathlib.Path(self.log.file.name + ".answers")
        self.asker = subprocess.Popen([sys.executable, str(HERE / "asker.py"), json.dumps(settings), str(self.answers)],
                                      stdin=subprocess.PIPE)

    def stop_asker(self):
        asker, self.asker = getattr(self, "asker", None), None
        if asker is None:
            return
        asker.stdin.close()
        if asker.wait(10):
            self.log.add("broken", what="the asker failed")
        with open(self.answers, encoding="ascii") as lines:
            self.log.events += [json.loads(line) for line in lines]

    # --- what is looked at all the time

    def sample(self, look):
        def body():
            while not self.ended.wait(0.25):
                look()
        thread = threading.Thread(target=body, daemon=True)
        thread.start()
        self.samplers.append(thread)

    def status(self, node, timeout=1.0):
        """None while it does not say."""
        try:
            return node.get("/status", timeout=timeout).item
        except (OSError, AssertionError, ValueError, http.client.HTTPException):
            return None

    def look_at_node(self, node):
        incarnation = self.incarnation[node.name]
        start = time.monotonic()
        status = self.status(node)
        if status and incarnation == self.incarnation[node.name]:
            c = status["cluster"]
            self.log.add("status", node=node.name, run=incarnation, mode=c["mode"], view=c["view"], intent=c["intent"],
                         leader=(c.get("leader") or {}).get("node"), asked=start)

    def look_at_member(self, member):
        try:
            reply = member.post("/v3/kv/range", {"key": VIEW_KEY, "serializable": True}, timeout=1.0)
            kv = reply["kvs"][0]
            doc = json.loads(base64.b64decode(kv["value"]))
        except (OSError, KeyError, IndexError, ValueError, http.client.HTTPException):
            return
        if self.views.get(member.index) != kv:
            self.views[member.index] = kv
            self.log.add("view", member=member.index, mod=int(kv["mod_revision"]), rev=doc["rev"], by=doc["by"],
                         fence=doc["fence"])

    # --- for healing

    def start_node(self, node):
        self.incarnation[node.name] += 1
        node.spawn_only()

    def agree(self):
        """Do all nodes say the same now? "" or what differs."""
        states = [self.status(n) for n in self.nodes]
        if not all(states):
            return "some do not answer"
        states = [s["cluster"] for s in states]
        if any(s["mode"] not in ("follow", "lead", "merge") for s in states):
            return f"modes {[s['mode'] for s in states]}"
        if len({(s["view"], s["intent"]) for s in states}) != 1:
            return f"view and intent {[(s['view'], s['intent']) for s in states]}"
        for name in NAMES[:-1]:
            answers = {tuple(n.answers(name, subnet="198.51.100.0/24") or []) for n in self.nodes}
            if len(answers) != 1:
                return f"{name}: {answers}"
        return ""

    def recovered(self):
        """Everything is as at the beginning? "" or what is not."""
        problem = self.agree()
        if problem:
            return problem
        modes = [n.mode() for n in self.nodes]
        if sorted(set(modes)) != ["follow", "lead"] or modes.count("lead") != 1:
            return f"modes {modes}"
        for node in self.nodes:
            if set(self.cluster.health(node).values()) != {"up"}:
                return f"{node.name}: {self.cluster.health(node)}"
        return ""

    def wait(self, question, deadline_s, what):
        """Seconds until the question is answered with "", or None with the last answer in the log."""
        start, last = time.monotonic(), ""

        def asked():
            nonlocal last
            last = question()
            return not last
        try:
            wait_for(asked, what, deadline_s=deadline_s, every_s=0.1)
        except AssertionError:
            self.log.add("late", what=what, after_s=deadline_s, why=last)
            return None
        return time.monotonic() - start
