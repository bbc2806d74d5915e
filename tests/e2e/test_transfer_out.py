# SPDX-License-Identifier: Apache-2.0
"""Other name servers as secondaries of gtmd: Knot, NSD and BIND transfer zones with everything in them by AXFR, signed,
and then answer what gtmd answers. Who may not have a zone gets none."""
import base64
import contextlib
import os
import subprocess

import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from harness import DNS_PORT, address, gtmd, wait_for

import dns_peers
import zone_maker

KEY_NAME = "transfer.example"
SECRET = base64.b64encode(b"a secret of thirty-two octets...").decode()
WRONG = base64.b64encode(b"another one of thirty-two octets").decode()
BIND_PORT = 20000 + os.getpid() % 10000  # BIND listens only on addresses that an interface lists: 127.0.0.1
SEED = int(os.environ.get("GTM_DIFF_SEED", "1"))

CLUSTER = """
regions:
  - {{name: us-east, location: [38.9, -77.0]}}
  - {{name: eu-west, location: [53.3, -6.3]}}
keys:
  - {{name: {key}, secret: {{file: transfer.key}}}}
  - {{name: other.example, algorithm: hmac-sha512, secret: {{file: transfer.key}}}}
pools:
  - name: www
    endpoints:
      - {{name: www-us, region: us-east, addresses: [192.0.2.1, "2001:db8::1"]}}
      - {{name: www-eu, region: eu-west, addresses: [192.0.2.2]}}
policies:
  - {{name: all, pool: www, steer: multivalue, answers: 2}}
zones:
"""
DYNAMIC = "$ORIGIN dynamic.test.\n@ 60 SOA ns.dynamic.test. a.b. {serial} 3600 600 86400 60\n@ 60 NS ns\nns 60 A 192.0.2.53\n" \
          "{more}"


class World:
    """gtmd with the zones of zone_maker and one with dynamic names; peers at address(2) and on may have them."""

    def __init__(self, origins, texts):
        self.origins = origins
        self.files = {f"{i}.zone": text for i, text in enumerate(texts)}
        self.files["transfer.key"] = SECRET + "\n"
        lines = [CLUSTER.format(key=KEY_NAME)]
        for i, origin in enumerate(origins):
            peers = ", ".join(f"{{address: {where[0]}, port: {where[1]}, key: {KEY_NAME}}}"
                              for where in ((address(2), DNS_PORT), (address(3), DNS_PORT), ("127.0.0.1", BIND_PORT)))
            lines.append(f"  - name: \"{origin}\"\n    file: {i}.zone\n    secondaries: [{peers}]\n    transfer: ["
                         f"{{networks: [{address(9)}/32]}}, {{networks: [{address(4)}/32, {address(8)}/32], key: {KEY_NAME}}}]\n")
            if origin == "dynamic.test.":
                lines.append("    names:\n      - {name: www, types: [A, AAAA], policy: all}\n"
                             "      - {name: \"*.wild\", types: [A], policy: all}\n")
        self.cluster = "".join(lines)


def quiet_zones():
    """All zones of a world but those with names that servers read from their configuration differently."""
    made = zone_maker.World(SEED, size=40)
    zones = {zone_maker.text(z.origin): z.file() for z in made.zones}
    zones["dynamic.test."] = DYNAMIC.format(serial=1, more="")
    return zones


class Secondary:
    """Mixed into a peer: its zones come from gtmd."""

    def __init__(self, addr, origins, primary, secret=SECRET):
        super().__init__(addr, DNS_PORT, {})
        self.source = addr  # of its transfers
        if self.name == "bind":
            self.address, self.port = "127.0.0.1", BIND_PORT
        self.zones = {origin: "" for origin in origins}
        self.primary, self.secret = primary, secret

    def serves_all(self):
        return not self.awaits or super().serves_all()

    awaits = True

    def origins_wire(self):
        for origin in self.zones:
            yield dns.name.from_text(origin).to_wire()


class Knot(Secondary, dns_peers.Knot):
    def configure(self):
        lines = ["server:", f"  rundir: {self.dir}", f"  listen: {self.address}@{self.port}", "  udp-workers: 1",
                 "  tcp-workers: 1", "  background-workers: 2", "log:", "  - target: stderr", "    any: info",
                 "database:", f"  storage: {self.dir}/db", "key:", f"  - id: {KEY_NAME}", "    algorithm: hmac-sha256",
                 f"    secret: {self.secret}", "remote:", "  - id: gtm", f"    address: {self.primary}@{DNS_PORT}",
                 f"    via: {self.address}", f"    key: {KEY_NAME}", "acl:", "  - id: notify", "    address: 127.0.0.0/8",
                 f"    key: {KEY_NAME}", "    action: notify", "  - id: read", "    address: 127.0.0.0/8",
                 "    action: transfer", "zone:"]
        for i, origin in enumerate(self.zones):
            lines += [f"  - domain: \"{quoted(origin)}\"", "    master: gtm", "    acl: [notify, read]", f"    file: {self.dir}/{i}.z"]
        (self.dir / "knot.conf").write_text("\n".join(lines) + "\n")


class Nsd(Secondary, dns_peers.Nsd):
    def configure(self):
        super().configure()
        conf = (self.dir / "nsd.conf").read_text().split("zone:\n")[0]
        conf = conf.replace("xfrdfile: \"\"", f"xfrdfile: \"{self.dir}/xfrd\"\n  xfrd-reload-timeout: 0\n  zonefiles-write: 0")
        conf += f"key:\n  name: {KEY_NAME}\n  algorithm: hmac-sha256\n  secret: \"{self.secret}\"\n"
        for i, origin in enumerate(self.zones):
            conf += (f"zone:\n  name: \"{quoted(origin)}\"\n  zonefile: {i}.z\n  allow-notify: 127.0.0.0/8 {KEY_NAME}\n"
                     f"  request-xfr: AXFR {self.primary}@{DNS_PORT} {KEY_NAME}\n  outgoing-interface: {self.address}\n"
                     "  provide-xfr: 127.0.0.0/8 NOKEY\n")
        (self.dir / "nsd.conf").write_text(conf)


class Bind(Secondary, dns_peers.Peer):
    program, name, version_option = "named", "bind", "-v"

    def configure(self):
        conf = (f"options {{ directory \"{self.dir}\"; listen-on port {self.port} {{ {self.address}; }}; listen-on-v6 {{ none; }};"
                f" pid-file none; session-keyfile none; recursion no; dnssec-validation no; minimal-responses yes; notify no;"
                f" transfer-source {self.source}; allow-transfer {{ 127.0.0.0/8; }}; managed-keys-directory \"{self.dir}\";"
                f" check-names secondary ignore; min-refresh-time 1; min-retry-time 1; }};\ncontrols {{ }};\n"
                f"key \"{KEY_NAME}\" {{ algorithm hmac-sha256; secret \"{self.secret}\"; }};\n")
        for i, origin in enumerate(self.zones):
            conf += (f"zone \"{quoted(origin)}\" {{ type secondary; file \"{i}.z\"; masterfile-format text;"
                     f" primaries {{ {self.primary} port {DNS_PORT} key \"{KEY_NAME}\"; }}; allow-notify {{ 127.0.0.0/8; }}; }};\n")
        (self.dir / "named.conf").write_text(conf)

    def command(self):
        return [self.path(), "-g", "-n", "1", "-c", str(self.dir / "named.conf")]


def quoted(origin):
    return origin.replace("\\", "\\\\") if "\\" in origin else origin


def flat(rd):
    """Octets to compare: NSD lowers the names in SVCB and HTTPS."""
    return rd.to_digestable(dns.name.root).lower()


def records(where, origin, source=None, port=DNS_PORT):
    """{(name, type): (ttl, set of rdata)} of a transfer from `where`."""
    found, serials = {}, []
    for message in dns.query.xfr(where, origin, port=port, source=source, relativize=False, timeout=20, lifetime=60):
        for rrset in message.answer:
            if rrset.rdtype == dns.rdatatype.SOA:
                serials.append(rrset[0].serial)
            ttl, data = found.setdefault((rrset.name.canonicalize(), rrset.rdtype), (rrset.ttl, set()))
            assert ttl == rrset.ttl
            data |= {flat(rd) for rd in rrset}
    assert serials[0] == serials[-1]
    return found


def ask(where, name, rtype, port=DNS_PORT):
    query = dns.message.make_query(name, rtype, use_edns=0, payload=4096)
    query.flags = 0
    return dns.query.tcp(query, where, port=port, timeout=10)


def shape(reply):
    """What two answers must share."""
    return (reply.rcode(), reply.flags & 0x0400, sorted(
        (rrset.name.canonicalize().to_text(), rrset.rdtype, rrset.ttl, sorted(flat(rd) for rd in rrset))
        for rrset in reply.answer))


@contextlib.contextmanager
def running(peer):
    try:
        yield peer.start()
    finally:
        peer.stop()


@pytest.fixture(scope="module")
def world():
    zones = quiet_zones()
    made = World(list(zones), list(zones.values()))
    with gtmd(made.cluster, zones=made.files) as node:
        node.world = made
        yield node


@pytest.mark.parametrize("kind, n", [(Knot, 2), (Nsd, 3), (Bind, 4)], ids=["knot", "nsd", "bind"])
def test_secondary(world, kind, n):
    """All zones come over and are the same, record by record; and names of each kind are answered alike."""
    before = world.metrics()["gtm_dns_transfers_out_total{result=\"sent\"}"]
    origins = world.world.origins
    with running(kind(address(n), origins, world.address)) as peer:
        sets = 0
        for origin in origins:
            ours = records(world.address, origin, source=address(9))
            theirs = records(peer.address, origin, port=peer.port)
            assert ours == theirs, origin
            for name, rtype in ours:
                if any(word in name.to_text() for word in ("www.dynamic.", "wild.dynamic.")):
                    continue
                assert shape(ask(world.address, name, rtype)) == shape(ask(peer.address, name, rtype, peer.port)), (name, rtype)
                sets += 1
            if (dns.name.from_text(origin), dns.rdatatype.DNAME) in ours:
                continue  # to another zone of the peer, which NSD follows
            missing = dns.name.from_text("no-such-name." + origin)
            assert shape(ask(world.address, missing, "A")) == shape(ask(peer.address, missing, "A", peer.port))
        assert sets > 200
        # the dynamic names stand still in the copy, with all their addresses
        copy = ask(peer.address, "www.dynamic.test.", "A", peer.port)
        assert sorted(str(rd) for rd in copy.answer[0]) == ["192.0.2.1", "192.0.2.2"]
        assert [str(rd) for rd in ask(peer.address, "www.dynamic.test.", "AAAA", peer.port).answer[0]] == ["2001:db8::1"]
        assert len(ask(peer.address, "x.wild.dynamic.test.", "A", peer.port).answer[0]) == 2
    assert world.metrics()["gtm_dns_transfers_out_total{result=\"sent\"}"] >= before + 2 * len(origins)


def dig(world, *args):
    done = subprocess.run(["dig", f"@{world.address}", "-p", str(DNS_PORT), "+tries=1", "+time=10", *args],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=60)
    return done.stdout


def test_who_may_not(world):
    good = f"hmac-sha256:{KEY_NAME}:{SECRET}"
    # an address without a rule, with and without a key; the address of a rule without the key it wants
    for args in (("-b", address(7)), ("-b", address(7), "-y", good), ("-b", address(8)), ("-b", address(2)),
                 ("-b", address(8), "-y", f"hmac-sha512:other.example:{SECRET}")):
        out = dig(world, *args, "dynamic.test", "AXFR")
        assert "Transfer failed" in out and "SOA" not in out, out
    out = dig(world, "-b", address(8), "-y", f"hmac-sha256:{KEY_NAME}:{WRONG}", "dynamic.test", "AXFR")
    assert "BADSIG" in out or "tsig" in out.lower(), out
    assert "SOA" not in out
    out = dig(world, "-b", address(9), "www.dynamic.test", "AXFR")
    assert "Transfer failed" in out
    # and who may
    out = dig(world, "-b", address(8), "-y", good, "dynamic.test", "AXFR")
    assert out.count("SOA") == 2 and "TSIG" in out and "WARNING" not in out and "failed" not in out, out
    out = dig(world, "-b", address(9), "dynamic.test", "AXFR")
    assert out.count("SOA") == 2
    out = dig(world, "-b", address(9), "+tcp", "dynamic.test", "IXFR=1")
    assert out.count("SOA") == 1
    out = dig(world, "-b", address(9), "+tcp", "dynamic.test", "IXFR=0")
    assert out.count("SOA") == 2
    refused = dns.message.make_query("dynamic.test.", "AXFR", use_edns=0)
    reply = dns.query.tcp(refused, world.address, port=DNS_PORT, source=address(7), timeout=10)
    assert reply.rcode() == dns.rcode.REFUSED
    assert [option.otype for option in reply.options] == [15] and reply.options[0].to_wire()[:2] == b"\0\x12"
    reply = dns.query.udp(refused, world.address, port=DNS_PORT, source=address(9), timeout=10)
    assert reply.rcode() == dns.rcode.FORMERR


def test_a_wrong_key_gets_nothing(world):
    """A secondary with another secret never has the zone; gtmd says NOTAUTH, and serves on."""
    peer = Knot(address(2), ["dynamic.test."], world.address, secret=WRONG)
    peer.awaits = False
    with running(peer):
        wait_for(lambda: "failed to verify TSIG" in peer.log_text(), "the secondary does not believe it")
        assert not super(Secondary, peer).serves_all()
    assert ask(world.address, "ns.dynamic.test.", "A").rcode() == dns.rcode.NOERROR


@pytest.mark.parametrize("kind, n", [(Knot, 2), (Nsd, 3), (Bind, 4)], ids=["knot", "nsd", "bind"])
def test_a_change_is_told(world, kind, n):
    """A zone file changes: NOTIFY, transfer, and the secondary answers the new record."""
    number = world.world.origins.index("dynamic.test.")
    with running(kind(address(n), ["dynamic.test."], world.address)) as peer:
        assert ask(peer.address, f"new{n}.dynamic.test.", "A", peer.port).rcode() == dns.rcode.NXDOMAIN
        world.write(f"{number}.zone", DYNAMIC.format(serial=n + 10, more=f"new{n} 60 A 192.0.2.77\n"))
        wait_for(lambda: ask(peer.address, f"new{n}.dynamic.test.", "A", peer.port).answer, "the new record at the secondary")
