# SPDX-License-Identifier: Apache-2.0
"""What tests of a cluster share: real etcd members and several gtmd, each on loopback addresses of its own.

Regions are us-east, eu-west and ap-south; an etcd member and (by default) two gtmd in each. A region can be killed,
stopped and started again as a whole. For cuts between regions see netns_harness.py.
"""
import contextlib
import http.client
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import gtmctl
from harness import BUILD, DEADLINE_S, DNS_PORT, METRICS_PORT, WEB_PORT, ZONE, Gtmd, Web, address, cluster, wait_for
from netns_harness import in_netns

REGIONS = ("us-east", "eu-west", "ap-south")
CLIENT_PORT, PEER_PORT = 2379, 2380
AGREE_S = 5.0 * (3 if BUILD.name.endswith(("-asan", "-tsan")) else 1)  # all nodes, after healing


class Loopback:
    """Where things are: on loopback addresses of this test process."""

    def __init__(self, first=101):
        self.first = first

    def etcd(self, index):
        return address(self.first + index)

    def node(self, region, index, per_region):  # pylint: disable=unused-argument
        return address(1 + REGIONS.index(region) * per_region + index)

    def web(self, region):
        return address(11 + REGIONS.index(region))

    def prefix(self, region):  # pylint: disable=unused-argument
        return []

    def make_web(self, region):
        return Web(self.web(region))


class OverWan:
    """In network namespaces: see netns_harness.Wan."""

    def __init__(self, wan):
        self.wan = wan

    def etcd(self, index):
        return self.wan.address(self.wan.regions[index], 101)

    def node(self, region, index, per_region):  # pylint: disable=unused-argument
        return self.wan.address(region, 1 + index)

    def web(self, region):
        return self.wan.address(region, 11)

    def prefix(self, region):
        return self.wan.prefix(region)

    def make_web(self, region):
        wan = self.wan

        class Inside(Web):
            """Its listener is made inside the region."""

            def set(self, behaviour):
                in_netns(wan.names[region], lambda: super(Inside, self).set(behaviour))

        return Inside(self.web(region))


class Member:
    """One etcd member; its data stays over stop() and start()."""

    def __init__(self, index, folder, token, members, extra=(), tls=None, place=None):
        place = place or Loopback()
        self.prefix = place.prefix(REGIONS[index]) if index < len(REGIONS) else []
        self.index, self.address = index, place.etcd(index)
        self.name = f"m{index}"
        self.dir = folder / self.name
        self.log = folder / (self.name + ".log")
        self.tls = tls
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://{self.address}:{CLIENT_PORT}"
        peer = f"http://{self.address}:{PEER_PORT}"
        self.args = [*self.prefix, "/usr/bin/etcd", "--name", self.name, "--data-dir", str(self.dir),
                     "--listen-client-urls", self.url, "--advertise-client-urls", self.url,
                     "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                     "--initial-cluster", ",".join(f"m{i}=http://{place.etcd(i)}:{PEER_PORT}" for i in range(members)),
                     "--initial-cluster-token", token, "--initial-cluster-state", "new",
                     "--heartbeat-interval", "50", "--election-timeout", "500", "--log-level", "warn",
                     "--snapshot-count=5000", "--pre-vote", *extra]
        if tls:
            self.args += ["--cert-file", tls["cert"], "--key-file", tls["key"], "--trusted-ca-file", tls["ca"],
                          "--client-cert-auth"]
        self.process = None

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.args, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    def signal(self, signum):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signum)

    def kill(self):
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait(DEADLINE_S)
        self.process = None

    def post(self, path, body, timeout=5.0):
        """A call of the JSON gateway; only without TLS."""
        con = http.client.HTTPConnection(self.address, CLIENT_PORT, timeout=timeout)
        try:
            con.request("POST", path, body=json.dumps(body))
            return json.loads(con.getresponse().read())
        finally:
            con.close()

    def status(self):
        try:
            return self.post("/v3/maintenance/status", {}, timeout=1.0)
        except (OSError, ValueError, http.client.HTTPException):
            return {}

    def healthy(self):
        return bool(self.status().get("leader"))


class Etcd:
    """A cluster of members; use as a context."""

    def __init__(self, members=3, extra=(), tls=None, place=None, first=101):
        place = place or Loopback(first)
        self.user = None  # NAME:PASSWORD of ctl
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="gtm-etcd-"))
        token = self.dir.name
        self.members = [Member(i, self.dir, token, members, extra, tls, place) for i in range(members)]

    def __enter__(self):
        try:
            for member in self.members:
                member.start()
            if not self.members[0].tls:
                wait_for(lambda: all(m.healthy() for m in self.members), "etcd has a leader")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *exc):
        for member in self.members:
            member.kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    @property
    def urls(self):
        return [m.url for m in self.members]

    def leader(self):
        """The member that leads, or None."""
        for member in self.members:
            status = member.status()
            if status.get("leader") and status["leader"] == status["header"]["member_id"]:
                return member
        return None

    def ctl(self, *args, check=True, stdin=None):
        """etcdctl against all members that run: its output."""
        urls = ",".join(m.url for m in self.members if m.process is not None)
        user = ["--user", self.user] if self.user and "--user" not in args else []
        done = subprocess.run(["/usr/bin/etcdctl", "--endpoints", urls, *user, *args], input=stdin, capture_output=True,
                              text=True, timeout=30, check=False, env={"ETCDCTL_API": "3", "PATH": "/usr/bin:/bin"})
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def get(self, key):
        """The value under a key of ours, or None."""
        out = self.ctl("get", "/gtm/v1/" + key, "--print-value-only")
        return out.rstrip("\n") or None

    def keys(self, prefix=""):
        out = self.ctl("get", "/gtm/v1/" + prefix, "--prefix", "--keys-only")
        return [line[len("/gtm/v1/"):] for line in out.splitlines() if line]


class Node(Gtmd):
    """A gtmd of a cluster. at: its address; prefix: words before its command."""

    def __init__(self, at, name, region, urls, node="", roles=None, etcd="", prefix=()):
        super().__init__("")
        self.name, self.region, self.address = name, region, at
        self.prefix = list(prefix)
        roles = f"roles: [{', '.join(roles)}]\n" if roles else ""
        self.node_text = (
            f"node: {{name: {name}, region: {region}}}\n{roles}"
            f"data_dir: {self.dir}/data\n"
            f"etcd: {{endpoints: [{', '.join(json.dumps(u) for u in urls)}]{etcd}}}\n"
            f"dns: {{listen: [{{address: {self.address}, port: {DNS_PORT}}}], threads: 1}}\n"
            "geo: {databases: []}\n"
            f"api: {{socket: {self.socket}}}\n"
            f"metrics: {{listen: \"{self.address}:{METRICS_PORT}\"}}\n" + node)
        self.write("node.yaml", self.node_text)

    def spawn(self, *args):
        with open(self.log, "ab") as log:
            return subprocess.Popen([*self.prefix, str(BUILD / "bin" / "gtmd"), *args], stdin=subprocess.DEVNULL,
                                    stdout=log, stderr=log, cwd=self.dir)

    def spawn_only(self):
        """Starts without waiting."""
        self.process = self.spawn("--config", "node.yaml")
        return self

    def up(self):
        """Its API answers."""
        assert self.process.poll() is None, f"{self.name} ended with {self.process.returncode}:\n{self.log_text()[-4000:]}"
        try:
            return self.get("/status", timeout=2.0).status == 200
        except (OSError, http.client.HTTPException):
            return False

    def status(self):
        return self.get("/status").item

    def mode(self):
        return self.status().get("cluster", {}).get("mode")

    def signal(self, signum):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signum)

    def kill(self):
        self.signal(signal.SIGCONT)
        self.stop(signal.SIGKILL)

    def answers(self, name="www.example.com", subnet=None):
        """Addresses now, [] for none (also on SERVFAIL), None while it does not answer."""
        try:
            return self.addresses(name, subnet=subnet)
        except Exception:  # pylint: disable=broad-except
            return None

    def ctl(self, *args, **kw):
        return gtmctl.run("--socket", str(self.socket), *args, **kw)


class Cluster:
    """etcd, gtmd and a web server per region. nodes: how many gtmd in each region."""

    def __init__(self, nodes=2, regions=REGIONS, etcd=None, node="", roles=None, place=None):
        self.place = place or Loopback()
        self.etcd = etcd or Etcd(len(regions), place=self.place)
        self.own_etcd = etcd is None
        self.regions = regions
        self.webs = {}
        self.nodes = []
        self.files = pathlib.Path(tempfile.mkdtemp(prefix="gtm-intent-"))
        urls = self.etcd.urls
        for r, region in enumerate(regions):
            near = urls[r % len(urls):] + urls[:r % len(urls)]  # the region's own member first
            for i in range(nodes):
                self.nodes.append(Node(self.place.node(region, i, nodes), f"{region}-{i + 1}", region, near, node=node,
                                       roles=(roles or {}).get(region), prefix=self.place.prefix(region)))

    def __enter__(self):
        try:
            if self.own_etcd:
                self.etcd.__enter__()
            for region in self.regions:
                self.webs[region] = self.place.make_web(region)
            for node in self.nodes:
                node.spawn_only()
            for node in self.nodes:
                wait_for(node.up, f"{node.name} is up")
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, kind, *exc):
        if kind is not None:
            for node in self.nodes:
                sys.stderr.write(f"--- {node.name}\n{node.log_text()[-6000:]}\n")
        for node in self.nodes:
            node.signal(signal.SIGCONT)
            node.close()
        for web in self.webs.values():
            web.close()
        if self.own_etcd:
            self.etcd.__exit__(None, None, None)
        shutil.rmtree(self.files, ignore_errors=True)

    def __getitem__(self, name):
        return next(n for n in self.nodes if n.name == name)

    def region(self, region):
        return [n for n in self.nodes if n.region == region]

    def running(self):
        return [n for n in self.nodes if n.process is not None]

    def apply(self, text=None, zones=None, node=None, args=()):
        """gtmctl apply through a node; waits until every running node serves it."""
        if text is None:
            text = cluster(addresses=[self.place.web(r) for r in self.regions], regions=self.regions)
        (self.files / "cluster.yaml").write_text(text)
        for name, zone in (zones if zones is not None else {"example.com.zone": ZONE}).items():
            (self.files / name).write_text(zone)
        node = node or self.running()[0]
        ran = node.ctl("apply", "-f", str(self.files / "cluster.yaml"), "--yes", *args)
        assert ran.code == 0, ran.err + ran.out
        self.wait_same_intent()
        return ran

    def wait_same_intent(self):
        rev = json.loads(self.etcd.get("intent/cur"))["rev"]
        for node in self.running():
            wait_for(lambda n=node: n.up() and n.status().get("cluster", {}).get("intent") == rev and
                     n.status()["state"] == "serving", f"{node.name} serves intent {rev}")

    def wait_healthy(self):
        for node in self.running():
            wait_for(lambda n=node: set(self.health(n).values()) == {"up"}, f"{node.name} sees all endpoints up")

    @staticmethod
    def health(node):
        try:
            return {e["name"]: e["health"] for e in node.get("/pools/www/endpoints").items}
        except (OSError, AssertionError, http.client.HTTPException):
            return {}

    def leader(self):
        """The node that leads by its own word, or None."""
        for node in self.running():
            try:
                if node.mode() == "lead":
                    return node
            except (OSError, http.client.HTTPException):
                pass
        return None

    def wait_leader(self):
        return wait_for(self.leader, "a node leads")

    def kill_region(self, region, etcd=True):
        """Everything of the region at once: web server, gtmd and the etcd member."""
        self.webs[region].set("stopped")
        for node in self.region(region):
            node.signal(signal.SIGKILL)
        if etcd:
            self.etcd.members[self.regions.index(region)].signal(signal.SIGKILL)
        for node in self.region(region):
            node.kill()
        if etcd:
            self.etcd.members[self.regions.index(region)].kill()

    def start_region(self, region):
        self.webs[region].set("ok")
        member = self.etcd.members[self.regions.index(region)]
        if member.process is None:
            member.start()
        for node in self.region(region):
            if node.process is None:
                node.spawn_only()
        for node in self.region(region):
            wait_for(node.up, f"{node.name} is up")


@contextlib.contextmanager
def gtm_cluster(apply=True, **kw):
    """A cluster that serves the small world of harness.cluster()."""
    with Cluster(**kw) as c:
        if apply:
            c.apply()
            c.wait_healthy()
            c.wait_leader()
        yield c


def since(start):
    return time.monotonic() - start


__all__ = ["Cluster", "Etcd", "Loopback", "Member", "Node", "OverWan", "REGIONS", "WEB_PORT", "gtm_cluster", "since"]
