# SPDX-License-Identifier: Apache-2.0
"""gtmd as a secondary of Knot, NSD and BIND, signed: whole zones and differences, NOTIFY, expiry, restarts, dynamic names
on top; and of primaries that lie, stall, cut off or never end."""
import base64
import contextlib
import os
import signal
import socket
import struct
import threading
import time

import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from harness import DNS_PORT, ZONE, address, cluster, gtmd, problem_names, wait_for, webs

import dns_peers
import zone_maker

KEY = "transfer.example"
SECRET = base64.b64encode(b"a secret of thirty-two octets...").decode()
WRONG = base64.b64encode(b"another one of thirty-two octets").decode()
BIND_PORT = 20000 + os.getpid() % 10000  # BIND listens only on addresses that an interface lists: 127.0.0.1
SEED = int(os.environ.get("GTM_DIFF_SEED", "1"))


def quoted(origin):
    return origin.replace("\\", "\\\\")


class Primary:
    """Mixed into a peer: whoever has the key may transfer; gtmd is told of changes."""

    def origins_wire(self):
        for origin in self.zones:
            yield dns.name.from_text(origin).to_wire()

    def change(self, origin, text):
        at = list(self.zones).index(origin)
        (self.dir / f"{at}.zone.new").write_text(text)
        (self.dir / f"{at}.zone.new").replace(self.dir / f"{at}.zone")
        self.process.send_signal(signal.SIGHUP)


class Knot(Primary, dns_peers.Knot):
    def configure(self):
        (self.dir / "db").mkdir()
        lines = ["server:", f"  rundir: {self.dir}", f"  listen: {self.address}@{self.port}", "  udp-workers: 1",
                 "  tcp-workers: 1", "  background-workers: 2", "log:", "  - target: stderr", "    any: info", "database:",
                 f"  storage: {self.dir}/db", "key:", f"  - id: {KEY}", "    algorithm: hmac-sha256",
                 f"    secret: {SECRET}", "remote:", "  - id: gtm", f"    address: {address(1)}@{DNS_PORT}",
                 f"    via: {self.address}", f"    key: {KEY}", "acl:", "  - id: read", f"    key: {KEY}",
                 "    action: transfer", "template:", "  - id: default", f"    storage: {self.dir}", "    zonefile-sync: -1",
                 "    zonefile-load: difference", "    journal-content: changes", "    acl: read", "    notify: gtm", "zone:"]
        for i, origin in enumerate(self.zones):
            lines += [f"  - domain: \"{quoted(origin)}\"", f"    file: {i}.zone"]
        (self.dir / "knot.conf").write_text("\n".join(lines) + "\n")


class Nsd(Primary, dns_peers.Nsd):
    def configure(self):
        super().configure()
        conf = (self.dir / "nsd.conf").read_text().split("zone:\n")[0].replace("xfrdfile: \"\"", f"xfrdfile: \"{self.dir}/xfrd\"")
        conf += f"key:\n  name: {KEY}\n  algorithm: hmac-sha256\n  secret: \"{SECRET}\"\n"
        for i, origin in enumerate(self.zones):
            conf += (f"zone:\n  name: \"{quoted(origin)}\"\n  zonefile: {i}.zone\n  provide-xfr: 127.0.0.0/8 {KEY}\n"
                     f"  notify: {address(1)}@{DNS_PORT} {KEY}\n  outgoing-interface: {self.address}\n")
        (self.dir / "nsd.conf").write_text(conf)


class Bind(Primary, dns_peers.Peer):
    program, name, version_option = "named", "bind", "-v"

    def __init__(self, _, __, zones):
        super().__init__("127.0.0.1", BIND_PORT, zones)

    def configure(self):
        conf = (f"key \"{KEY}\" {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};\n"
                f"options {{ directory \"{self.dir}\"; listen-on port {self.port} {{ {self.address}; }}; listen-on-v6 {{ none; }};"
                f" pid-file none; session-keyfile none; recursion no; dnssec-validation no; check-names primary ignore;"
                f" notify explicit; also-notify {{ {address(1)} port {DNS_PORT} key \"{KEY}\"; }}; notify-source {self.address};"
                f" allow-transfer {{ key \"{KEY}\"; }}; managed-keys-directory \"{self.dir}\"; ixfr-from-differences yes;"
                f" check-integrity no; notify-delay 0; serial-query-rate 1000; }};\ncontrols {{ }};\n")
        for i, origin in enumerate(self.zones):
            conf += f"zone \"{quoted(origin)}\" {{ type primary; file \"{i}.zone\"; }};\n"
        (self.dir / "named.conf").write_text(conf)

    def command(self):
        return [self.path(), "-g", "-n", "1", "-c", str(self.dir / "named.conf")]


KINDS = pytest.mark.parametrize("kind", [Knot, Nsd, Bind], ids=["knot", "nsd", "bind"])


def intent(origins, primaries, key=f", key: {KEY}", names=""):
    """cluster() with zones that come from primaries."""
    peers = ", ".join(f"{{address: {p}, port: {BIND_PORT if p == '127.0.0.1' else DNS_PORT}{key}}}" for p in primaries)
    text = cluster() + "".join(f"  - name: \"{quoted(o)}\"\n    primaries: [{peers}]\n"
                               f"    transfer: [{{networks: [127.0.0.0/8]}}]\n{names}" for o in origins)
    return text + f"keys:\n  - {{name: {KEY}, secret: {{file: transfer.key}}}}\n"


def secondary(text, secret=SECRET):
    return gtmd(text, zones={"example.com.zone": ZONE, "transfer.key": secret + "\n"})


def records(where, origin, key=None, port=DNS_PORT):
    keyring = {dns.name.from_text(KEY): base64.b64decode(SECRET)} if key else None
    found = {}
    for message in dns.query.xfr(where, origin, port=port, relativize=False, keyring=keyring, timeout=20, lifetime=60,
                                 keyname=dns.name.from_text(KEY) if key else None, keyalgorithm="hmac-sha256"):
        for rrset in message.answer:
            entry = found.setdefault((rrset.name.canonicalize(), rrset.rdtype), set())
            entry |= {(rrset.ttl, rd.to_digestable(dns.name.root)) for rd in rrset}
    return found


@contextlib.contextmanager
def running(peer):
    try:
        yield peer.start()
    finally:
        peer.stop()


def serial(node, origin):
    item = node.get("/zones/" + origin).item
    return item["serial"] if item["role"] == "secondary" and item["state"] == "serving" else None


def small(number, more=""):
    return (f"$TTL 60\n@ SOA ns a.b {number} 2 1 6 60\n@ NS ns\nns A 192.0.2.53\nquote MX 1 a\\034b\n{more}"
            + "".join(f"n{i} A 192.0.2.{i}\n" for i in range(50)))


@KINDS
def test_everything_comes_over(kind):
    made = zone_maker.World(SEED, size=40)
    zones = {zone_maker.text(z.origin): z.file() for z in made.zones}
    with running(kind(address(2), DNS_PORT, zones)) as peer, secondary(intent(zones, [peer.address])) as node:
        for origin in zones:
            wait_for(lambda o=origin: node.ask(o, "SOA").rcode() == dns.rcode.NOERROR, f"{origin} has come", every_s=0.1)
            assert records(node.address, origin) == records(peer.address, origin, SECRET, peer.port), origin


@KINDS
def test_a_change_comes_over(kind):
    """Told by NOTIFY, long before refresh; by differences where the primary has them. The copy outlives restarts."""
    slow = {"a.test.": small(1).replace("1 2 1 6 60", "1 3600 600 86400 60")}
    with running(kind(address(2), DNS_PORT, slow)) as peer, secondary(intent(slow, [peer.address])) as node:
        wait_for(lambda: serial(node, "a.test") == 1, "it has come")
        for number in (2, 3):
            peer.change("a.test.", slow["a.test."].replace(" 1 3600", f" {number} 3600").replace(
                "n7 A 192.0.2.7\n", f"new{number} A 192.0.2.99\n"))
            wait_for(lambda n=number: serial(node, "a.test") == n, "the change has come")
            assert node.addresses(f"new{number}.a.test") == ["192.0.2.99"]
            assert node.ask("n7.a.test").rcode() == dns.rcode.NXDOMAIN
        assert node.ask("new2.a.test").rcode() == dns.rcode.NXDOMAIN
        assert records(node.address, "a.test.") == records(peer.address, "a.test.", SECRET, peer.port)
        assert ('"incremental":true' in node.log_text()) == (kind is not Nsd)
        node.stop()
        peer.process.send_signal(signal.SIGSTOP)
        node.start()
        assert node.addresses("new3.a.test") == ["192.0.2.99"]
        peer.process.send_signal(signal.SIGCONT)


def test_expiry_and_return():
    """No primary: served until expire, then SERVFAIL; other zones serve on; back when a primary confirms."""
    zones = {"a.test.": small(1)}
    with running(Knot(address(2), DNS_PORT, zones)) as peer, secondary(intent(zones, [address(3), peer.address])) as node:
        wait_for(lambda: serial(node, "a.test") == 1, "it has come from the second of two")
        peer.process.send_signal(signal.SIGSTOP)
        assert node.addresses("n1.a.test") == ["192.0.2.1"]
        wait_for(lambda: node.ask("n1.a.test").rcode() == dns.rcode.SERVFAIL, "it expires", deadline_s=60)
        assert "ZoneExpired" in problem_names(node)
        assert node.get("/zones/a.test").item["state"] == "expired"
        assert node.addresses("plain.example.com") == ["192.0.2.99"]
        node.post("/reload")
        assert node.ask("n1.a.test").rcode() == dns.rcode.SERVFAIL, "a reload does not revive it"
        peer.process.send_signal(signal.SIGCONT)
        wait_for(lambda: node.addresses("n1.a.test") == ["192.0.2.1"], "it is confirmed", deadline_s=60)
        assert not [p for p in problem_names(node) if p.startswith("Zone")]


def test_dynamic_names_on_top():
    zones = {"a.test.": small(1)}
    names = "    names:\n      - {name: www, types: [A, AAAA], policy: near}\n"
    with webs(address(11)), running(Nsd(address(2), DNS_PORT, zones)) as peer:
        with secondary(intent(zones, [peer.address], names=names)) as node:
            assert node.ask("www.example.com").rcode() == dns.rcode.NOERROR
            wait_for(lambda: serial(node, "a.test") == 1, "it has come")
            assert node.addresses("www.a.test") == [address(11)]
            assert node.addresses("n1.a.test") == ["192.0.2.1"]
            # A zone that clashes with the dynamic name is not taken.
            peer.change("a.test.", small(2, "www A 192.0.2.200\n"))
            wait_for(lambda: "ZoneFileWrong" in problem_names(node), "the clash is told")
            assert node.addresses("www.a.test") == [address(11)]
            assert serial(node, "a.test") == 1


def test_a_wrong_key_gives_nothing():
    zones = {"a.test.": small(1)}
    with running(Bind(address(2), DNS_PORT, zones)) as peer:
        for text, secret in ((intent(zones, [peer.address]), WRONG), (intent(zones, [peer.address], key=""), SECRET)):
            with secondary(text, secret) as node:
                wait_for(lambda: "ZoneNotTransferred" in problem_names(node), "the problem is told")
                assert node.ask("n1.a.test").rcode() == dns.rcode.SERVFAIL
                assert node.addresses("plain.example.com") == ["192.0.2.99"]


class Liar(threading.Thread):
    """A primary of a.test that answers the SOA by UDP and TCP, and transfers as `how` says."""

    def __init__(self, how):
        super().__init__(daemon=True)
        self.how = how
        self.asked = 0
        self.number = 5
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.settimeout(0.05)
        self.udp.bind((address(2), DNS_PORT))
        self.answers = threading.Thread(target=self.answer_udp, daemon=True)
        self.tcp = socket.create_server((address(2), DNS_PORT))
        self.ended = False

    def soa(self, number=None):
        return dns.rrset.from_text("a.test.", 60, "IN", "SOA", f"ns.a.test. a.b. {number or self.number} 2 1 600 60")

    def run(self):
        self.answers.start()
        with contextlib.suppress(OSError):
            while not self.ended:
                con, _ = self.tcp.accept()
                threading.Thread(target=self.serve, args=(con,), daemon=True).start()

    def answer_udp(self):
        while not self.ended:
            with contextlib.suppress(TimeoutError):
                wire, peer = self.udp.recvfrom(4096)
                reply = dns.message.make_response(dns.message.from_wire(wire))
                reply.flags |= dns.flags.AA
                reply.answer = [self.soa()]
                self.udp.sendto(reply.to_wire(), peer)

    def serve(self, con):
        with contextlib.suppress(OSError), con:
            size = struct.unpack("!H", con.recv(2))[0]
            query = dns.message.from_wire(con.recv(size))
            self.asked += 1
            for records_of_one in self.messages(query.question[0].rdtype == dns.rdatatype.IXFR):
                reply = dns.message.make_response(query)
                reply.flags |= dns.flags.AA
                reply.answer = records_of_one
                if self.how == "another id":
                    reply.id ^= 1
                if self.how == "another question":
                    reply.question[0].name = dns.name.from_text("b.test.")
                wire = reply.to_wire(max_size=65535)
                if self.how == "octets too many":
                    wire = wire[:-3]
                con.sendall(struct.pack("!H", len(wire)) + wire)
            if self.how == "silent":
                con.settimeout(100)
                con.recv(1)

    def messages(self, differences):
        rr = dns.rrset.from_text
        ns = rr("a.test.", 60, "IN", "NS", "ns.a.test.")
        host = rr("ns.a.test.", 60, "IN", "A", "192.0.2.1")
        if self.how == "endless":
            yield [self.soa(), ns, host]
            for i in range(10 ** 9):
                yield [rr(f"n{i}-{k}.a.test.", 60, "IN", "TXT", "x" * 200) for k in range(200)]
        elif self.how == "cut off":
            yield [self.soa(), ns, host]
        elif self.how == "silent":
            yield [self.soa(), ns]
        elif self.how == "outside":
            yield [self.soa(), ns, host, rr("www.b.test.", 60, "IN", "A", "192.0.2.66"), self.soa()]
        elif self.how == "another end":
            yield [self.soa(), ns, host, self.soa(6)]
        elif self.how == "no SOA":
            yield [ns, host]
        elif differences and self.how == "differences of another version":
            yield [self.soa(), self.soa(3), self.soa(), self.soa()]
        elif differences and self.how == "differences that leave no zone":
            yield [self.soa(), self.soa(5), ns, self.soa(), self.soa()]
        elif self.how == "no zone":
            yield [self.soa(), host, self.soa()]
        else:
            yield [self.soa(), ns, host, self.soa()]

    def close(self):
        self.ended = True
        self.answers.join()
        self.udp.close()
        self.tcp.shutdown(socket.SHUT_RDWR)
        self.tcp.close()


@pytest.mark.parametrize("how, says", [
    ("cut off", "closed the connection"), ("outside", "www.b.test. is not in the zone"), ("another end", "SOA differ"),
    ("no SOA", "does not begin"), ("no zone", "what it sent is no zone"), ("another id", "answers nothing asked"),
    ("another question", "another question"), ("octets too many", "malformed"), ("endless", None), ("silent", None)])
def test_liars(how, says):
    """Nothing of it is served; the zone's state says why; everything else goes on; it can always be stopped."""
    liar = Liar(how)
    liar.start()
    try:
        with secondary(intent(["a.test."], [address(2)], key="")) as node:
            wait_for(lambda: liar.asked, "it is asked")
            if says:
                wait_for(lambda: says in (node.get("/zones/a.test").item["last_error"] or ""), says)
            else:
                time.sleep(0.5)  # it is in the middle of it
            assert node.ask("ns.a.test").rcode() == dns.rcode.SERVFAIL
            assert node.addresses("plain.example.com") == ["192.0.2.99"]
            assert not list(node.dir.glob("data/zones/*"))
            before = time.monotonic()
            assert node.stop() == 0
            assert time.monotonic() - before < 5
    finally:
        liar.close()


@pytest.mark.parametrize("how", ["differences of another version", "differences that leave no zone"])
def test_useless_differences(how):
    """The whole zone is taken instead; the same differences would be of no more use the next time."""
    liar = Liar(how)
    liar.start()
    try:
        with secondary(intent(["a.test."], [address(2)], key="")) as node:
            wait_for(lambda: serial(node, "a.test") == 5, "it has come")
            liar.number = 6
            wait_for(lambda: serial(node, "a.test") == 6, "it has come again")
            assert node.addresses("ns.a.test") == ["192.0.2.1"]
    finally:
        liar.close()


def test_an_honest_one_is_believed():
    liar = Liar("honest")
    liar.start()
    try:
        with secondary(intent(["a.test."], [address(2)], key="")) as node:
            wait_for(lambda: serial(node, "a.test") == 5, "it has come")
            assert node.addresses("ns.a.test") == ["192.0.2.1"]
            assert [p.name for p in node.dir.glob("data/zones/*")] == ["a.test.zone"]
    finally:
        liar.close()
