# SPDX-License-Identifier: Apache-2.0
"""What tests of a hostile store share: one node of one region over one etcd, behind a front that can do anything."""
import contextlib
import json
import socket
import threading

from cluster_harness import CLIENT_PORT, REGIONS, Cluster, Etcd, Loopback
from harness import Web, address, cluster, problem_names, wait_for

FIRST = "first.example.com"  # us-east, then eu-west, then ap-south


class Front:
    """Between a node and etcd: passes bytes on ("pass"), accepts and never answers ("hang"), refuses ("stopped"), or
    sends bytes of its own after each request's head. Changing it ends all connections."""

    def __init__(self, to):
        self.address, self.to = address(60), to
        self.url = f"http://{self.address}:{CLIENT_PORT}"
        self.listener, self.held = None, set()
        self.set("pass")

    def set(self, does, to=None):
        self.close()
        self.does, self.to = does, to or self.to
        if does == "stopped":
            return
        self.listener = socket.create_server((self.address, CLIENT_PORT), backlog=64)
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def close(self):
        listener, self.listener = self.listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for con in list(self.held):
            with contextlib.suppress(OSError):
                con.shutdown(socket.SHUT_RDWR)

    def accept(self, listener):
        while True:
            try:
                con, _ = listener.accept()
            except OSError:
                return
            self.held.add(con)
            threading.Thread(target=self.serve, args=(con,), daemon=True).start()

    def serve(self, con):
        with contextlib.suppress(OSError), con:
            if self.does == "hang":
                while con.recv(65536):
                    pass
            elif self.does == "pass":
                self.join(con)
            else:
                con.recv(65536)
                con.sendall(self.does)
        self.held.discard(con)

    def join(self, con):
        with socket.create_connection((self.to, CLIENT_PORT), timeout=5) as other:
            other.settimeout(None)
            self.held.add(other)
            back = threading.Thread(target=self.copy, args=(other, con), daemon=True)
            back.start()
            self.copy(con, other)
            back.join()
            self.held.discard(other)

    @staticmethod
    def copy(one, other):
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
        for con in (one, other):
            with contextlib.suppress(OSError):
                con.shutdown(socket.SHUT_RDWR)


class World(Cluster):
    """Nodes of us-east only (it is the only vantage); a server in every region."""

    def __init__(self, nodes=1, etcd=None, node="", urls=None):
        etcd = etcd or Etcd(1)
        super().__init__(nodes=nodes, regions=("us-east",), etcd=etcd, node=node)
        self.urls = urls

    def __enter__(self):
        self.etcd.__enter__()
        for region in REGIONS[1:]:  # Cluster makes the first
            self.webs[region] = Web(Loopback().web(region))
        return super().__enter__()

    def __exit__(self, *exc):
        super().__exit__(*exc)
        self.etcd.__exit__(None, None, None)

    def apply_all(self):
        self.apply(cluster(addresses=[self.place.web(r) for r in REGIONS], extra="health: {vantages: [us-east]}\n"))
        self.wait_healthy()
        self.wait_leader()
        self.agreed("us-east")

    @property
    def node(self):
        return self.nodes[0]

    def agreed(self, want):
        for node in self.running():
            wait_for(lambda n=node: n.answers(FIRST) == [self.place.web(want)], f"{node.name} answers {want}")

    def followed(self):
        """All nodes follow etcd, and a change of health goes through it."""
        for node in self.running():
            wait_for(lambda n=node: n.mode() in ("follow", "lead"), f"{node.name} follows", deadline_s=60)
        self.webs["us-east"].set("stopped")
        self.agreed("eu-west")
        self.webs["us-east"].set("ok")
        self.agreed("us-east")

    def verdict_is_followed(self):
        doc = json.loads(self.etcd.get("verdict/www"))
        return doc["e"]["www-us-east"]["4"]["h"] == "down" and \
            all(n.status()["cluster"]["view"] >= doc["rev"] for n in self.running())

    @contextlib.contextmanager
    def stays(self):
        """The verdict us-east is down; it stays in force in the block, though the server is up again."""
        self.webs["us-east"].set("stopped")
        self.agreed("eu-west")
        # Just after an isolation own checks still take it out by themselves: that is not the verdict yet.
        wait_for(self.verdict_is_followed, "the verdict says down, and is followed")
        yield
        self.webs["us-east"].set("ok")
        wait_for(lambda: seen_up(self.node), "its own check sees it up")
        for node in self.running():
            assert node.answers(FIRST) == [self.place.web("eu-west")], "the last good view stays"


def seen_up(node):
    return all(h["health"] == "up" for h in node.get("/health?pool=www").items if h["endpoint"] == "www-us-east")


def problem(node, name):
    return next((p for p in node.get("/problems").items if p["name"] == name), None)


def complains(node, name, *texts, log=True):
    """The problem is there, with all the texts in its detail (and the first in the log)."""
    found = {}

    def said():
        found.update(problem(node, name) or {})
        return found and all(t in found["detail"] for t in texts)

    try:
        wait_for(said, f"{node.name} says {name} with {texts}", deadline_s=15)
    except AssertionError as e:
        raise AssertionError(f"{e}; it says {found}, {problem_names(node)}") from e
    assert found["hint"]
    assert not log or not texts or texts[0] in node.log_text(), texts[0]
    return found
