# SPDX-License-Identifier: Apache-2.0
"""Two nodes over one etcd with TLS everywhere: they ask each other, and share the secret of DNS cookies, which etcd
never sees in clear."""
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile

import dns.edns
import dns.message
import dns.query

from certs import API_PORT, Certs
from gtmctl import run
from harness import DNS_PORT, ZONE, Gtmd, address, cluster, wait_for

ETCD_PORT = 2379


class Etcd:
    def __init__(self, certs):
        self.dir = tempfile.mkdtemp(prefix="gtm-e2e-etcd-")
        self.url = f"https://{address(101)}:{ETCD_PORT}"
        certs.make("etcd", "e1", address(101))
        cert, key = certs.pair("e1")
        peer = f"http://{address(101)}:2380"
        tls = ["--cert-file", cert, "--key-file", key, "--trusted-ca-file", certs.ca, "--client-cert-auth"]
        self.process = subprocess.Popen(
            ["/usr/bin/etcd", "--name", "e1", "--data-dir", self.dir, "--listen-client-urls", self.url,
             "--advertise-client-urls", self.url, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
             "--initial-cluster", f"e1={peer}", *tls], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.ctl = ["etcdctl", "--endpoints", self.url, "--cacert", certs.ca, "--cert", cert, "--key", key]

    def keys(self, prefix):
        done = subprocess.run([*self.ctl, "get", "--prefix", prefix], env={**os.environ, "ETCDCTL_API": "3"}, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=20, check=False)
        return done.stdout if done.returncode == 0 else None

    def close(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


def cluster_node(certs, name, n, secret):
    cert, key = certs.node("us-east", name)
    tls = f"{{ca: {certs.ca}, cert: {cert}, key: {key}}}"
    node = Gtmd(cluster(), zones={"example.com.zone": ZONE})
    node.address = address(n)
    text = node.node_text.replace(address(1) + ":", node.address + ":").replace(address(1) + ",", node.address + ",")
    text = text.replace("name: test-1", f"name: {name}").replace("cluster_file: cluster.yaml\n", "")
    text = text.replace(f"api: {{socket: {node.socket}}}",
                        f"api: {{socket: {node.socket}, listen: \"{node.address}:{API_PORT}\", tls: {tls}}}")
    node.write("secret.key", secret + "\n")
    (node.dir / "secret.key").chmod(0o600)
    node.write("node.yaml", text + f"etcd: {{endpoints: \"https://{address(101)}:{ETCD_PORT}\", tls: {tls}}}\n"
               "secret_key: {file: secret.key}\n")
    return node


def server_cookie(node, cookie):
    """The whole cookie of an answer to a query with this one, and its code."""
    query = dns.message.make_query("www.example.com", "A", use_edns=0, options=[dns.edns.GenericOption(10, cookie)])
    reply = dns.query.udp(query, node.address, timeout=5, port=DNS_PORT)
    return bytes(reply.options[0].to_wire())


def nodes_seen(a, b):
    """b is stopped for a moment: a says that it does not see it, and has no word of it on a."""
    os.kill(b.process.pid, signal.SIGSTOP)
    try:
        def row(name):
            return next((o for o in a.get("/nodes").items if o["name"] == name), None)

        # Before its session ends (5 s), or b were gone from the list.
        wait_for(lambda: (o := row("b")) and o["unseen_by"] == ["a"] and o["seen_by"] == [], "a does not see b")
        assert row("a")["unheard"] == ["b"]
        text = run("--socket", str(a.socket), "node", "list", "-o", "wide").out
        assert "0 of 1, not by a" in text and "0 of 1, unheard b" in text, text
    finally:
        os.kill(b.process.pid, signal.SIGCONT)
    wait_for(lambda: [o["seen_by"] for o in a.get("/nodes").items] == [["b"], ["a"]], "all see each other again")


def resigned_by_word_of_another(certs, nodes):
    """Who may is asked of the node that is asked, by the caller's own role."""
    def leads():
        return next((n for n in nodes if n.get("/status").item["cluster"]["mode"] == "lead"), None)

    def resign(node, role, name):
        cert, key = certs.user(role, name)
        return run("--server", f"{node.address}:{API_PORT}", "--ca", certs.ca, "--cert", cert, "--key", key, "leader", "resign", "--yes")

    leader = wait_for(leads, "a node leads")
    other = next(n for n in nodes if n is not leader)
    fence = other.get("/leader").item["fence"]
    ran = resign(other, "viewer", "vera")
    assert ran.code == 10 and "needs role operator" in ran.err, ran.err
    cert, key = certs.node("us-east", "b2")  # a node's own certificate is no operator's
    ran = run("--server", f"{other.address}:{API_PORT}", "--ca", certs.ca, "--cert", cert, "--key", key, "leader", "resign", "--yes")
    assert ran.code == 10, ran.err
    assert other.get("/leader").item["fence"] == fence
    ran = resign(other, "operator", "olga")
    assert ran.code == 0, ran.err
    assert other.get("/leader").item["fence"] > fence
    entry = [e for e in other.get("/audit").items if e["verb"] == "leader resign"][-1]
    assert entry["who"] == "olga" and entry["role"] == "operator", entry


def test_nodes_know_each_other_and_share_a_secret():
    with contextlib.ExitStack() as stack:
        folder = tempfile.mkdtemp(prefix="gtm-e2e-certs-")
        stack.callback(shutil.rmtree, folder)
        certs = Certs(folder)
        etcd = Etcd(certs)
        stack.callback(etcd.close)
        wait_for(lambda: etcd.keys("/") is not None, "etcd answers over mutual TLS")
        secret = "0123456789abcdef" * 4
        nodes = [cluster_node(certs, name, n, secret) for n, name in ((1, "a"), (2, "b"))]
        for node in nodes:
            stack.callback(node.close)
            node.process = node.spawn("--config", "node.yaml")
        a, b = nodes
        applied = []

        def apply():
            applied[:] = [run("--socket", str(a.socket), "apply", "-f", str(a.dir / "cluster.yaml"), "--yes")]
            return applied[0].code == 0

        wait_for(apply, "the intent is applied")
        for node in nodes:
            wait_for(node.ready, "the node serves")

        def seen():
            peers, others = a.get("/peers").items, b.get("/peers").items
            return peers and others and peers[0]["up"] and others[0]["up"] and peers[0]["seen_by"] == ["a"] and peers

        peer = wait_for(seen, "a and b see each other")[0]
        assert peer["name"] == "b" and peer["region"] == "us-east" and peer["api"] == f"{b.address}:{API_PORT}"
        assert a.metrics()['gtm_peer_up{peer="b"}'] == 1
        assert "b" in run("--socket", str(a.socket), "node", "peers", "-o", "wide").out
        wait_for(lambda: [o["seen_by"] for o in a.get("/nodes").items] == [["b"], ["a"]], "a knows that b sees it")
        wide = run("--socket", str(a.socket), "node", "list", "-o", "wide").out.splitlines()
        assert "SEEN BY" in wide[0] and all("1 of 1" in line for line in wide[1:]) and len(wide) == 3, wide
        nodes_seen(a, b)
        resigned_by_word_of_another(certs, nodes)

        def shared():  # b takes a cookie that a has made for this client
            first = server_cookie(a, b"12345678")
            return len(first) == 24 and server_cookie(b, first)[:8] == b"12345678" and cookies_equal(a, b)

        def cookies_equal(one, other):
            # the same client and the same second give the same cookie with the same secret
            return any(server_cookie(one, b"12345678") == server_cookie(other, b"12345678") for _ in range(5))

        wait_for(shared, "a cookie of one is a cookie of the other")
        assert "shared by the nodes" in a.get("/node").item["dns"]["cookie_secret"]
        kept = etcd.keys("/gtm/v1/secret/")
        assert "/gtm/v1/secret/dns-cookie" in kept and '"alg":"aes-256-gcm"' in kept
        assert secret not in etcd.keys("/gtm/")
        for node in nodes:
            assert not [p for p in node.get("/problems").items if p["name"] == "SecretNotUsed"]

        for role, code in (("admin", 10), ("breakglass", 0)):  # the store as a whole is an emergency's business
            cert, key = certs.user(role, "u-" + role)
            ran = run("--server", f"{a.address}:{API_PORT}", "--ca", certs.ca, "--cert", cert, "--key", key,
                      "snapshot", "adopt", "--yes", "--reason", "test")
            assert ran.code == code and (code == 0 or "needs the role breakglass" in ran.err), ran.err

        b.stop()
        b.write("secret.key", "f" * 64 + "\n")
        (b.dir / "secret.key").chmod(0o600)
        b.process = b.spawn("--config", "node.yaml")
        wait_for(b.ready, "b serves again")
        found = wait_for(lambda: [p for p in b.get("/problems").items if p["name"] == "SecretNotUsed"], "b says that its key is wrong")
        assert "was sealed with key" in found[0]["detail"]
        assert len(server_cookie(b, b"12345678")) == 24  # and goes on with one of its own
        assert etcd.keys("/gtm/v1/secret/") == kept
        for node in nodes:
            assert node.stop() == 0, node.log_text()[-3000:]
