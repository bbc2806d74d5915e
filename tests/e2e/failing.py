# SPDX-License-Identifier: Apache-2.0
"""What the tests of failing over share: servers that break in many ways, and a world with every form of all_down."""
import contextlib
import time

import dns.edns
import dns.flags
import dns.rcode

from harness import ZONE, Web, address, cluster, gtmd, health_of, wait_for

US, EU, AP, SPARE = (address(n) for n in (11, 12, 13, 14))
NAMES = {US: "us-east", EU: "eu-west", AP: "ap-south"}
EXTRA = """\
      - {name: open, types: [A], policy: open}
      - {name: good, types: [A], policy: good}
      - {name: closed, types: [A], policy: closed}
      - {name: spare, types: [A], policy: spare}
      - {name: multi, types: [A], policy: multi}
      - {name: split, types: [A], policy: split}
"""
ORDER = "order: [us-east, eu-west, ap-south]"
POLICIES = f"""\
policies:
  - {{name: open, pool: www, steer: failover, {ORDER}, all_down: fail_open}}
  - {{name: good, pool: www, steer: failover, {ORDER}, all_down: last_good}}
  - {{name: closed, pool: www, steer: failover, {ORDER}, all_down: fail_closed}}
  - {{name: spare, pool: www, steer: failover, {ORDER}, all_down: backup, backup: {{pool: spare}}}}
  - {{name: multi, pool: www, steer: multivalue}}
  - {{name: split, steer: weighted, to: [{{endpoint: www/www-us-east, weight: 1}}, {{policy: good, weight: 3}}]}}
"""
SPARE_POOL = f"""\
  - name: spare
    monitors: [web]
    endpoints: [{{name: last, region: us-east, addresses: [{SPARE}]}}]
"""


def intent():
    text = cluster(extra=EXTRA, monitor=", expect: {status: [200], body: ok}")
    return text.replace("policies:\n", SPARE_POOL + POLICIES)


class Bad(Web):
    """More ways to be broken than the shared server knows."""

    def _serve(self, con):
        special = {"endless": self._endless, "drip": self._drip, "redirect": self._redirect, "reset": self._reset,
                   "short": self._short, "headers": self._headers, "wrong": self._wrong}.get(self.behaviour)
        if special is None:
            return super()._serve(con)
        try:
            con.recv(4096)
            self.requests += 1
            special(con)
        except OSError:
            pass
        finally:
            with contextlib.suppress(OSError):
                con.close()

    def set(self, behaviour):
        """Connections that are kept alive end: the next probe meets the new behaviour."""
        super().set(behaviour)
        held, self.held = self.held, []
        for con in held:
            with contextlib.suppress(OSError):
                con.shutdown(2)

    def _endless(self, con):
        con.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            con.sendall(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")

    def _drip(self, con):
        con.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while self.behaviour == "drip":
            con.sendall(b".")
            time.sleep(0.02)

    def _redirect(self, con):
        where = f"http://{self.addr}:{self.port}/healthz"
        con.sendall(f"HTTP/1.1 302 Found\r\nLocation: {where}\r\nContent-Length: 2\r\n\r\nok".encode())

    def _reset(self, con):
        con.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER 0: a reset instead of an orderly end

    def _short(self, con):
        con.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nok")

    def _headers(self, con):
        con.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            con.sendall(b"X-More: " + b"x" * 1000 + b"\r\n")

    def _wrong(self, con):
        con.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfaith")


@contextlib.contextmanager
def servers_at(*addresses):
    servers = [Bad(a) for a in addresses]
    try:
        yield servers
    finally:
        for server in servers:
            server.close()


@contextlib.contextmanager
def running():
    """(gtmd, its four web servers)"""
    with servers_at(US, EU, AP, SPARE) as servers:
        with gtmd(intent(), zones={"example.com.zone": ZONE}) as node:
            yield node, servers


def make_well(node, servers):
    """All servers up and no orders: how every test begins."""
    for server in servers:
        if server.behaviour != "ok":
            server.set("ok")
    node.put("/pools/www/admin", {"state": "auto"})
    for name in health_of(node):
        node.put(f"/pools/www/endpoints/{name}/admin", {"state": "auto"})
    wait_for(lambda: set(health_of(node).values()) == {"up"} and node.addresses("spare.example.com") == [US],
             "all is well")


def first(node):
    return node.addresses("first.example.com")


def check_closed(node):
    reply = node.ask("closed.example.com")
    assert reply.rcode() == dns.rcode.SERVFAIL and not reply.answer and not reply.flags & dns.flags.AA
    errors = [o for o in reply.options if isinstance(o, dns.edns.EDEOption)]
    assert len(errors) == 1 and errors[0].text, "an extended error says why (RFC 8914)"
