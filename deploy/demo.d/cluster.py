#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The demo of a cluster: see deploy/demo. Three regions on loopback, an etcd member and two gtmd in each, mutual TLS
between all of them. What is lost is lost for good reasons only: processes are killed, or stopped so that they are as
silent as behind a cut cable."""
import json
import math
import os
import secrets
import signal
import statistics
import subprocess
import sys
import time

from base import BOTH, HERE, NAME, REGIONS, STREAM, ZONE, Demo, Failed, main, nearest

# Two of each region's own users; networks that have long belonged to universities and telephone companies.
CLIENTS = [
    ("US", "12.0.0.0"), ("BR", "200.160.0.0"), ("IE", "134.226.0.0"), ("DE", "80.146.0.0"), ("SG", "203.116.0.0"),
    ("JP", "133.11.0.0"),
]
PER_REGION = 2
SHIFT_STEPS, SHIFT_PAUSE_S, SHIFT_ASKS = (40, 100), 4, 60
INTENT = """\
policies:
  - {name: nearest-www, pool: www, steer: nearest, ttl: 5s}
zones:
  - name: example.com
    file: example.com.zone
    names:
      - {name: www, types: [A], policy: nearest-www}
rules:
  - {name: never-empty, kind: answers_left, min: 1}
  - {name: one-at-a-time, kind: regions_out, max: 1}
"""
MISTAKE = ("steer: nearest", "steer: failover, order: [ap-south, eu-west, us-east]")


class Node:
    def __init__(self, region, number, address):
        self.name, self.region, self.address = f"{region}-{number}", region, address


class Cluster(Demo):
    def __init__(self, options):
        super().__init__(options)
        self.nodes = [Node(region, i + 1, web.rsplit(".", 1)[0] + f".{11 + i}")
                      for region, _, _, web in REGIONS for i in range(PER_REGION)]
        self.members = {region: web.rsplit(".", 1)[0] + ".10" for region, _, _, web in REGIONS}
        self.lost = set()   # names of nodes that are dead or stopped
        self.ready = set()  # of nodes that have said that they serve
        self.via = self.nodes[0].name
        self.last_words = self.via
        self.env = {**os.environ, "XDG_CONFIG_HOME": os.path.join(self.scratch, "config")}
        self.etcd_port = self.peer_port = self.api_port = None
        self.countries = {}
        self.table = []  # (step, its times on the nodes)

    # --- the parts ---

    def words_of_gtmctl(self):
        return ["--context", self.via]

    def make_certs(self, *args):
        made = subprocess.run([os.path.join(os.path.dirname(HERE), "make-certs"), *args, "-d", "certs"], cwd=self.scratch,
                              capture_output=True, text=True, timeout=30, check=False)
        if made.returncode != 0:
            raise Failed(f"make-certs {' '.join(args)}: {made.stderr}")

    def configure(self):
        nodes = [n.address for n in self.nodes]
        self.dns_port = self.free_port(nodes, BOTH)
        self.api_port = self.free_port(nodes, STREAM)
        self.etcd_port = self.free_port(list(self.members.values()), STREAM)
        self.peer_port = self.free_port(list(self.members.values()), STREAM)
        self.http_port = self.free_port(list(self.addresses), STREAM)
        self.make_certs("ca")
        self.make_certs("user", "admin", "operator")
        for region, address in self.members.items():
            # a member looks where another one comes from, and on loopback that is 127.0.0.1
            self.make_certs("etcd", f"etcd-{region}", address, "127.0.0.1")
        for node in self.nodes:
            self.make_certs("node", node.region, node.name, node.address)
            self.write(node.name + ".yaml", self.node_file(node))
        self.write("secret.key", secrets.token_hex(32) + "\n")
        os.chmod(os.path.join(self.scratch, "secret.key"), 0o600)
        self.write("cluster.yaml", self.intent({"www": ""}, INTENT))
        self.write("example.com.zone", ZONE)
        contexts = "".join(
            f"  - {{name: {n.name}, server: \"{n.address}:{self.api_port}\", node: {n.name}, ca: {self.cert('ca.pem')}, "
            f"cert: {self.cert('operator.pem')}, key: {self.cert('operator.key')}}}\n" for n in self.nodes)
        os.makedirs(os.path.join(self.scratch, "config", "gtm"))
        self.write("config/gtm/gtmctl.yaml", f"current: {self.via}\ncontexts:\n{contexts}")

    def cert(self, name):
        return os.path.join(self.scratch, "certs", name)

    def node_file(self, node):
        near = [node.region] + [r for r in self.members if r != node.region]
        tls = f"{{ca: certs/ca.pem, cert: certs/{node.name}.pem, key: certs/{node.name}.key}}"
        return f"""\
node: {{name: {node.name}, region: {node.region}}}
data_dir: {self.scratch}/{node.name}
etcd: {{endpoints: [{', '.join(f'"https://{self.members[r]}:{self.etcd_port}"' for r in near)}], tls: {tls}}}
secret_key: {{file: secret.key}}
dns: {{listen: [{{address: {node.address}, port: {self.dns_port}}}], threads: 1}}
api: {{socket: {self.scratch}/{node.name}.sock, listen: "{node.address}:{self.api_port}", tls: {tls}}}
"""

    def start_etcd(self, region):
        client = f"https://{self.members[region]}:{self.etcd_port}"
        peer = f"https://{self.members[region]}:{self.peer_port}"
        name = f"etcd-{region}"
        tls = [self.cert(name + ".pem"), self.cert(name + ".key"), self.cert("ca.pem")]
        self.start(name, [
            "/usr/bin/etcd", "--name", name, "--data-dir", os.path.join(self.scratch, name), "--log-level", "warn",
            "--listen-client-urls", client, "--advertise-client-urls", client,
            "--cert-file", tls[0], "--key-file", tls[1], "--trusted-ca-file", tls[2], "--client-cert-auth",
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--peer-cert-file", tls[0], "--peer-key-file", tls[1], "--peer-trusted-ca-file", tls[2],
            "--peer-client-cert-auth", "--initial-cluster-token", "demo", "--initial-cluster",
            ",".join(f"etcd-{r}=https://{a}:{self.peer_port}" for r, a in self.members.items())])

    def start_node(self, node):
        self.ready.discard(node.name)
        self.start_gtmd(node.name, node.name + ".yaml")

    def in_region(self, region):
        """Names of all processes of a region."""
        return [region, f"etcd-{region}"] + [n.name for n in self.nodes if n.region == region]

    def running(self):
        return [n for n in self.nodes if n.name not in self.lost]

    # --- asking ---

    def item(self, node, *args):
        """Of a command's JSON by one node: item or items; None when it cannot say."""
        before, self.via = self.via, node.name
        try:
            run = self.run_gtmctl(*args, "-o", "json")
            reply = json.loads(run.stdout) if run.returncode == 0 else {}
        finally:
            self.via = before
        return reply.get("item", reply.get("items"))

    def cluster_of(self, node):
        return (self.item(node, "status") or {}).get("cluster") or {}

    def leader(self, nodes=None):
        """The node that leads by its own word, or None."""
        return next((n for n in nodes or self.running() if self.cluster_of(n).get("mode") == "lead"), None)

    def goes(self, node, country, without=()):
        """Are this country's users sent by this node to the nearest region that is left?"""
        place = self.countries[country]
        return self.ask(place["client"], server=node.address)[0] == nearest(place, without)[1]

    def all_go(self, node, without=()):
        return all(self.goes(node, c, without) for c in self.countries)

    def everywhere(self, step, good, deadline_s, record=True):
        """Waits until good(node) holds on every node that runs, asking them in turns. The times as text, or None."""
        begun, times, waiting = time.monotonic(), {}, self.running()
        while waiting:
            for node in list(waiting):
                if good(node):
                    times[node.name] = time.monotonic() - begun
                    waiting.remove(node)
            if waiting and time.monotonic() - begun > deadline_s:
                self.say(f"gave up after {deadline_s} s: {step}: {', '.join(n.name for n in waiting)}")
                self.last_words = waiting[0].name
                return None
            time.sleep(0.005)
        if record:
            self.table.append((step, times.values()))
        return spread(times.values())

    # --- the story ---

    def boot(self):
        self.title("Three regions on loopback: an etcd member, two gtmd and a web server in each; mutual TLS between all")
        for name, lat, lon, address in REGIONS:
            own = ", ".join(f"{n.name} {n.address}" for n in self.nodes if n.region == name)
            self.say(f"{name:<9} at {lat:6.1f} {lon:6.1f}   etcd {self.members[name]}   {own}   "
                     f"http://{address}:{self.http_port}/")
        self.say(f"every gtmd answers DNS on port {self.dns_port}, and gtmctl on port {self.api_port}")
        for region in self.members:
            self.start_etcd(region)
        self.start_webs()
        for node in self.nodes:
            self.start_node(node)
        up = self.everywhere("started", self.is_there, 60, record=False)
        if up is None:
            raise Failed(f"{self.last_words} did not come up; its log:\n" + self.log(self.last_words))
        self.until("a leader", self.leader, 20)
        self.show("node", "list")
        leader = self.leader()
        self.claim(f"six nodes are there; {leader.name if leader else 'nobody'} leads", leader is not None)

    def is_there(self, node):
        if self.processes[node.name].poll() is not None:
            raise Failed(f"{node.name} ended; its log:\n" + self.log(node.name))
        return self.cluster_of(node).get("mode") in ("lead", "follow") and len(self.item(node, "node", "list") or ()) == 6

    def serves(self, node):
        """A node that was started: what comes before it serves waits, and would count as unanswered."""
        if node.name not in self.ready and (self.item(node, "status") or {}).get("state") == "serving":
            self.ready.add(node.name)
        return node.name in self.ready

    def apply(self):
        self.title("What is wanted is applied once, to any node")
        path = os.path.join(self.scratch, "cluster.yaml")
        code, _ = self.show("apply", "-f", path, "--yes", "--reason", "the first one")
        served = self.everywhere("first intent → served", lambda n: self.cluster_of(n).get("intent") == 1, 30, record=False)
        self.claim(f"revision 1 is served on every node: {served}", code == 0 and served is not None)
        healthy = self.everywhere("checked", lambda n: [e["health"] for e in self.item(n, "endpoint", "list") or ()] ==
                                  ["up"] * len(REGIONS), 20, record=False)
        self.claim("all three web servers are up in the eyes of every node", healthy is not None)

    def world(self):
        self.title("Where users go, by every node (EDNS client subnet, whole-internet country database)")
        self.until("geography is loaded", lambda: all((self.item(n, "geo", "status") or {}).get("loaded")
                                                      for n in self.running()), 30)

        def look_up(network):
            item = self.item(self.nodes[0], "geo", "lookup", network) or {}
            return item.get("location", item)
        self.countries = self.places(CLIENTS, look_up)
        homes = {nearest(place)[1] for place in self.countries.values()}
        if homes != set(self.members):
            raise Failed("the country database knows too few of the demo's networks")
        print("  country  client network     " + "".join(f"{n.name:<12}" for n in self.nodes))
        right = True
        for country, place in self.countries.items():
            got = [self.ask(place["client"], server=n.address)[0] for n in self.nodes]
            right = right and set(got) == {nearest(place)[1]}
            print(f"  {country:<8} {place['client'] + '/24':<18} " + "".join(f"{g or 'none':<12}" for g in got))
        self.claim(f"users of {len(self.countries)} countries go to the nearest region, whichever of "
                   f"{len(self.nodes)} nodes they ask", right)

    def home(self, step, deadline_s=60):
        """Everybody is where they belong, on every node; that is claimed."""
        back = self.everywhere(step, lambda n: self.serves(n) and self.all_go(n), deadline_s)
        self.claim(f"all users are where they belong again, on every node: {back}", back is not None)

    def servers(self, region):
        users = ", ".join(c for c, p in self.countries.items() if nearest(p)[1] == region)
        self.title(f"The web server of {region} is killed (users of {users})")
        self.kill(region)
        left = self.everywhere(f"{region}: web server killed", lambda n: self.all_go(n, (region,)), 15)
        self.claim(f"its users go to the next nearest region, on every node: {left}", left is not None)
        self.show("problems")
        self.show("explain", NAME, "A", "--client",
                  next(p["client"] for p in self.countries.values() if nearest(p)[1] == region) + "/24")
        self.start_web(region)
        self.home(f"{region}: web server back")

    def away(self, region, act):
        """What is done to all of a region at once; whom to ask now."""
        leader = self.leader()
        self.lost = {n.name for n in self.nodes if n.region == region}
        self.via = self.running()[0].name
        for name in self.in_region(region):
            act(name)
        return leader is not None and leader.name in self.lost

    def region_dies(self):
        leader = self.leader()
        region = leader.region if leader else REGIONS[0][0]
        self.title(f"The whole of {region} dies: its web server, its etcd member and both gtmd, the leader among them")
        with_leader = self.away(region, self.kill)
        left = self.everywhere(f"{region} dies, with the leader", lambda n: self.all_go(n, (region,)), 20)
        self.claim(f"its users are elsewhere, on each of the four nodes that are left: {left}", left and with_leader)
        begun = time.monotonic()
        new = self.until("another leads", self.leader, 30)
        leader = self.leader()
        self.claim(f"{leader.name if leader else 'nobody'} leads {time.monotonic() - begun:.1f} s later; nobody waited for it",
                   new is not None)
        self.show("node", "list")
        self.show("problems")
        self.say("all of it is started again")
        self.start_etcd(region)
        self.start_web(region)
        for node in self.nodes:
            if node.region == region:
                self.start_node(node)
        self.lost = set()
        self.home(f"{region} is started again")

    def region_is_cut_off(self, region):
        self.title(f"{region} is cut off: all its processes are stopped (SIGSTOP), so that it refuses nothing and says nothing")
        self.say("a stopped region answers nobody; that one behind a cut goes on for its own users is tested with "
                 "network namespaces")
        self.away(region, lambda name: self.send(name, signal.SIGSTOP))
        left = self.everywhere(f"{region} is cut off", lambda n: self.all_go(n, (region,)), 20)
        self.claim(f"its users are elsewhere, on each of the four nodes that are left: {left}", left is not None)
        self.title(f"{region} is healed (SIGCONT)")
        for name in self.in_region(region):
            self.send(name, signal.SIGCONT)
        self.lost = set()
        self.via = self.nodes[0].name
        self.home(f"{region} is healed")
        views = self.everywhere("agree", self.same_view, 20, record=False)
        self.claim("all six nodes serve the same revision of the verdicts", views is not None)

    def same_view(self, node):
        return len({self.cluster_of(n).get("view") for n in (node, *self.running())}) == 1

    def etcd_is_gone(self, region):
        self.title(f"All of etcd is stopped, and the web server of {region} is killed")
        for name in self.members:
            self.send(f"etcd-{name}", signal.SIGSTOP)
        alone = self.everywhere("alone", lambda n: self.cluster_of(n).get("mode") == "isolated", 20, record=False)
        stay = all(self.all_go(n) for n in self.nodes)
        self.claim("every node knows that it is alone, and answers as before", alone is not None and stay)
        self.kill(region)
        left = self.everywhere(f"{region}: web server killed without etcd", lambda n: self.all_go(n, (region,)), 15)
        self.claim(f"each takes out what it sees dead by itself: {left}", left is not None)
        self.show("problems")
        for name in self.members:
            self.send(f"etcd-{name}", signal.SIGCONT)
        self.start_web(region)
        self.home("etcd and the web server are back")

    def leader_dies(self, region):
        leader = self.leader()
        if leader is None:
            raise Failed("nobody leads")
        self.title(f"The leader, {leader.name}, is killed, and the web server of {region} right after it")
        self.kill(leader.name)
        self.lost = {leader.name}
        self.via = self.running()[0].name
        self.kill(region)
        begun = time.monotonic()
        left = self.everywhere(f"{region}: web server killed while nobody leads", lambda n: self.all_go(n, (region,)), 20)
        self.claim(f"moving users waits for no election; on every node: {left}", left is not None)
        found = self.until("another leads", self.leader, 30)
        took = time.monotonic() - begun
        self.show("leader", "show")
        new = self.leader()
        self.claim(f"{new.name if new else 'nobody'} leads, {took:.1f} s after the old one was killed",
                   found is not None and new is not None)
        self.table.append(("leader killed → next one leads", [took]))
        self.start_web(region)
        self.start_node(leader)
        self.lost = set()
        self.home(f"{leader.name} and the web server are started")

    def drain(self, region, another):
        self.title(f"An operator drains {region}; then wants {another}, too")
        self.gtmctl("region", "drain", region, "--reason", "works on the mains", "--yes")
        left = self.everywhere(f"{region} is drained", lambda n: self.all_go(n, (region,)), 10)
        self.claim(f"{region} is left on every node: {left}", left is not None)
        code, text = self.show("region", "drain", another, "--reason", "why not", "--yes")
        self.claim("the second is refused by a safety rule, which says why (exit 5)", code == 5 and "one-at-a-time" in text)
        self.claim("and nothing came of it", all(self.all_go(n, (region,)) for n in self.running()))
        self.show("override", "list")
        self.gtmctl("region", "undrain", region)
        self.home(f"{region} is given back", 10)

    def shift(self, region):
        """In steps: the leader takes them, and every node's answers follow. Held between two, so that there is time to count."""
        steps = ",".join(map(str, SHIFT_STEPS))
        self.title(f"The users of {region} are moved away in steps of {steps} %")
        self.show("traffic", "shift", "--from", region, "--steps", steps, "--pause", f"{SHIFT_PAUSE_S}s", "--reason",
                  "an upgrade", "--yes")
        self.show("traffic", "hold", region, "--reason", "to count who has left")
        country = next(c for c, p in self.countries.items() if nearest(p)[1] == region)
        for percent in SHIFT_STEPS:
            taken = self.everywhere(f"{region}: shift to {percent} %",
                                    lambda n, p=percent: self.share(n, region) == 1 - p / 100, SHIFT_PAUSE_S + 10,
                                    record=percent == SHIFT_STEPS[0])
            if percent == SHIFT_STEPS[0]:
                self.show("traffic", "show")
            got = {n.name: sum(not self.goes(n, country) for _ in range(SHIFT_ASKS)) for n in self.running()}
            deviation = math.sqrt(SHIFT_ASKS * percent * (100 - percent)) / 100
            self.claim(f"{percent} %: of {SHIFT_ASKS} answers for {country}, elsewhere on each node: "
                       + ", ".join(str(g) for g in got.values()),
                       taken is not None and all(abs(g - SHIFT_ASKS * percent / 100) <= 4 * deviation for g in got.values()))
            if percent == SHIFT_STEPS[0]:
                self.show("traffic", "resume", region, "--yes")
        self.gtmctl("traffic", "undo", region)
        self.home(f"shift of {region} is undone", 10)

    def share(self, node, region):
        return next((e["addresses"][0]["share"] for e in self.item(node, "endpoint", "list") or ()
                     if e["region"] == region), None)

    def mistake(self):
        self.title("A wrong intent is applied: everybody goes to ap-south")
        path = os.path.join(self.scratch, "cluster.yaml")
        with open(path, encoding="utf-8") as f:
            text = f.read()
        self.write("cluster.yaml", text.replace(*MISTAKE))
        code, _ = self.show("apply", "-f", path, "--yes", "--reason", "what could go wrong")
        wrong = self.everywhere("another intent is applied", lambda n: all(
            self.ask(p["client"], server=n.address)[0] == "ap-south" for p in self.countries.values()), 20)
        self.claim(f"it is in force on every node: {wrong}", code == 0 and wrong is not None)
        self.write("cluster.yaml", text)
        self.show("rollback", "--to", "1", "--yes", "--reason", "that was wrong")
        self.home("rolled back", 20)
        self.show("history")

    def run(self):
        self.configure()
        self.boot()
        self.apply()
        self.world()
        self.questions = self.unanswered = 0
        self.servers("eu-west")
        self.region_dies()
        self.region_is_cut_off("ap-south")
        self.etcd_is_gone("eu-west")
        self.leader_dies("us-east")
        self.drain("eu-west", "us-east")
        self.shift("us-east")
        self.mistake()
        self.show("status")
        self.title("What was done, and by whom")
        self.show("audit", "list", "--limit", "8")
        code, _ = self.show("audit", "verify")
        self.claim("the audit chain is whole", code == 0)
        self.title("How long it took until the answers were right, from every node")
        print(f"  {'':<48} {'min':>8} {'median':>8} {'max':>8}")
        for step, times in self.table:
            low, middle, high = (f"{t:.2f} s" for t in (min(times), statistics.median(times), max(times)))
            print(f"  {step:<48} {low:>8} {middle:>8} {high:>8}")
        self.claim(f"each of {self.questions} questions to a node that was there was answered", self.unanswered == 0)

    def leave_running(self):
        self.title("Still running (--keep)")
        node = self.nodes[2]
        print(f"""\
  dig @{node.address} -p {self.dns_port} {NAME} A +subnet=134.226.0.0/24
  export XDG_CONFIG_HOME={self.env['XDG_CONFIG_HOME']}
  {self.options.bin}/gtmctl --context {node.name} status      # or another: {', '.join(n.name for n in self.nodes)}
  {self.options.bin}/gtmctl apply -f {self.scratch}/cluster.yaml
{self.how_to_stop()}""")


def spread(times):
    return f"min {min(times):.2f} s, median {statistics.median(times):.2f} s, max {max(times):.2f} s"


if __name__ == "__main__":
    sys.exit(main(Cluster))
