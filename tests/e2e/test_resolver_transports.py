# SPDX-License-Identifier: Apache-2.0
"""A real recursive resolver (unbound, with client subnets) between users and gtmd, in every combination: it asks gtmd over
UDP, TCP and DoT (the certificate verified), by IPv4 and IPv6, as a stub or a forwarder; its users come by IPv4 and IPv6.
Each combination has a resolver of its own, so caches are apart; gtmd's counters prove which transport was used."""
import collections
import contextlib
import ipaddress
import pathlib
import shutil
import socket
import subprocess
import tempfile

import dns.edns
import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from harness import DEADLINE_S, DNS_PORT, ZONE, Gtmd, address, wait_for

UNBOUND = shutil.which("unbound", path="/usr/sbin:/usr/bin")
DATABASE = "/usr/share/libloc-location/location.db"
TLS_PORT = 8853
WAYS = ["udp", "tcp", "tls"]
COMBINATIONS = [(mode, way, family) for mode in ("stub", "forward") for way in WAYS for family in (4, 6)]
REGIONS = {"us": "us-east", "eu": "eu-west", "ap": "ap-south"}
V4 = {"us": "192.0.2.1", "eu": "192.0.2.2", "ap": "192.0.2.3"}
V6 = {"us": "2001:db8::1", "eu": "2001:db8::2", "ap": "2001:db8::3"}
# Networks that have long belonged to the same universities and telephone companies: (address, who answers).
PLACES = [("134.226.0.0", "eu"), ("80.146.0.0", "eu"), ("203.116.0.0", "ap"), ("133.11.0.0", "ap"), ("12.0.0.0", "us"),
          ("142.103.0.0", "us"), ("2001:770::", "eu"), ("2001:200::", "ap"), ("2607:f140::", "us")]
CLUSTER = """regions:
  - {name: us-east, location: [38.9, -77.0]}
  - {name: eu-west, location: [53.3, -6.3]}
  - {name: ap-south, location: [1.35, 103.8]}
pools:
  - name: www
    endpoints:
""" + "".join(f"      - {{name: www-{k}, region: {REGIONS[k]}, addresses: [{V4[k]}, \"{V6[k]}\"], host: {k}.example.com}}\n"
              for k in REGIONS) + """policies:
  - {name: near, pool: www, steer: nearest, ttl: 1h}
  - {name: stick, pool: www, steer: sticky, ttl: 1h}
  - {name: two, pool: two, steer: weighted, ttl: 1h}
zones:
  - name: example.com
    file: example.com.zone
    names:
      - {name: www, types: [A, AAAA, HTTPS], policy: near, alpn: [h2, h3], port: 8443}
      - {name: kept, types: [A, AAAA], policy: near}
      - {name: cn, types: [CNAME], policy: near}
      - {name: _web._tcp, types: [SRV], policy: near, port: 443, priority: 10}
      - {name: stay, types: [A], policy: stick}
      - {name: "*.share", types: [A], policy: two}
      - {name: "@", alias: www}
"""
TWO = """  - name: two
    endpoints:
      - {name: two-us, region: us-east, addresses: [192.0.2.11], weight: 75}
      - {name: two-eu, region: eu-west, addresses: [192.0.2.12], weight: 25}
"""
ZONE_TEXT = ZONE + "".join(f"big IN TXT \"{i:03d} {'x' * 60}\"\n" for i in range(60)) + \
    "".join(f"{k} IN A {V4[k]}\n{k} IN AAAA {V6[k]}\n" for k in REGIONS) + "*.wild IN A 192.0.2.7\nalias IN CNAME www\n"


def free_port(taken=set()):
    """On ::1, which is one address for all tests of the machine: below 32768, and nobody's now."""
    for port in range(20000 + hash(address(1)) % 9000, 32768):
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as tcp, \
                socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as udp:
            tcp.bind(("::1", port))
            udp.bind(("::1", port))
            if port not in taken:
                taken.add(port)
                return port
    raise AssertionError("no free port")


class World:
    """gtmd on all transports, and resolvers by combination, started when they are asked for."""

    def __init__(self, stack):
        self.stack = stack
        self.resolvers = {}
        self.node = node = Gtmd(CLUSTER.replace("policies:\n", TWO + "policies:\n", 1), zones={"example.com.zone": ZONE_TEXT}, geo=f"[{DATABASE}]")
        stack.callback(node.close)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                        "2", "-subj", "/CN=dns", "-addext", "subjectAltName=DNS:dns.example.com", "-keyout", "dns.key", "-out",
                        "dns.pem"], check=True, capture_output=True, cwd=node.dir)
        self.upstream = {(4, False): f"{node.address}@{DNS_PORT}", (4, True): f"{node.address}@{TLS_PORT}"}
        plain, tls = free_port(), free_port()
        self.upstream[6, False], self.upstream[6, True] = f"::1@{plain}", f"::1@{tls}"
        node.write("node.yaml", node.node_text.replace(f"port: {DNS_PORT}}}]", f"port: {DNS_PORT}}}, {{address: \"::1\", port: {plain}}}]").replace(
            "threads: 1}", f"threads: 1, tls: {{cert: dns.pem, key: dns.key, listen: [{{address: {node.address}, port: {TLS_PORT}}}, "
            f"{{address: \"::1\", port: {tls}}}]}}}}"))
        node.start()
        wait_for(lambda: node.get("/geo").item["loaded"], "the database is loaded")

    def resolver(self, combination):
        if combination not in self.resolvers:
            made = Resolver(self, combination, address(21 + len(self.resolvers)))
            self.stack.callback(made.stop)
            self.resolvers[combination] = made.start()
        return self.resolvers[combination]

    def count(self):
        """Requests to gtmd by transport."""
        samples = self.node.metrics()
        return {way: samples[f'gtm_dns_requests_total{{proto="{way}"}}'] for way in WAYS}


class Resolver:
    def __init__(self, world, combination, listen):
        self.mode, self.way, self.family = combination
        self.world, self.where = world, {4: (listen, DNS_PORT), 6: ("::1", free_port())}
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="gtm-unbound-"))
        self.process = None

    def config(self):
        upstream = self.world.upstream[self.family, self.way == "tls"]
        name = "#dns.example.com" if self.way == "tls" else ""
        lines = ["server:", f"  directory: \"{self.dir}\"", "  chroot: \"\"", "  username: \"\"", "  pidfile: \"\"", "  use-syslog: no",
                 "  verbosity: 1", "  num-threads: 1", "  access-control: 127.0.0.0/8 allow", "  access-control: ::1/128 allow",
                 "  do-not-query-localhost: no", "  use-caps-for-id: yes", "  infra-host-ttl: 1", "  infra-keep-probing: yes",
                 "  module-config: \"subnetcache iterator\"", "  client-subnet-always-forward: yes",
                 f"  send-client-subnet: {upstream.split('@')[0]}", "  max-client-subnet-ipv4: 24", "  max-client-subnet-ipv6: 56",
                 f"  tls-cert-bundle: {self.world.node.dir}/dns.pem",
                 *(f"  interface: {host}@{port}" for host, port in self.where.values()),
                 f"{self.mode}-zone:", "  name: \"example.com\"", f"  {self.mode}-addr: {upstream}{name}",
                 "remote-control:", "  control-enable: no"]
        if self.way != "udp":
            lines.insert(-2, f"  {self.mode}-{self.way}-upstream: yes")
        return "\n".join(lines) + "\n"

    def start(self):
        (self.dir / "unbound.conf").write_text(self.config())
        with open(self.dir / "log", "wb") as log:
            self.process = subprocess.Popen([UNBOUND, "-d", "-c", str(self.dir / "unbound.conf")], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL)
        wait_for(self.answers, f"unbound answers: {self.dir}/log", every_s=0.1)
        return self

    def answers(self):
        assert self.process.poll() is None, (self.dir / "log").read_text()
        with contextlib.suppress(OSError, dns.exception.Timeout):
            query = dns.message.make_query("plain.example.com", "A")
            return dns.query.udp(query, self.where[4][0], port=DNS_PORT, timeout=1).rcode() == dns.rcode.NOERROR

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=DEADLINE_S)
        shutil.rmtree(self.dir)

    def ask(self, name, rtype="A", subnet=None, by=4):
        options = [dns.edns.ECSOption(subnet, 56 if ":" in subnet else 24)] if subnet else []
        query = dns.message.make_query(f"{name}.example.com".lstrip("."), rtype, use_edns=0, options=options)
        host, port = self.where[by]
        return dns.query.udp_with_fallback(query, host, port=port, timeout=DEADLINE_S)[0]


def texts(reply, *types):
    """Data of these types in the answer."""
    want = {dns.rdatatype.from_text(t) for t in types}
    return sorted(str(rd) for rrset in reply.answer if rrset.rdtype in want for rd in rrset)


@pytest.fixture(scope="module", name="world")
def fixture_world():
    if UNBOUND is None:
        pytest.fail("unbound is missing: deploy/install-deps")
    if "subnetcache" not in subprocess.run([UNBOUND, "-V"], capture_output=True, text=True, check=False).stdout:
        pytest.skip("this unbound is built without client subnets")
    with contextlib.ExitStack() as stack:
        world = World(stack)
        yield world
        assert world.node.stop() == 0


@pytest.fixture(name="resolver", params=COMBINATIONS, ids=["-".join(map(str, c)) for c in COMBINATIONS])
def fixture_resolver(request, world):
    return world.resolver(request.param)


def test_only_the_configured_transport_is_used(world, resolver):
    before = world.count()
    for i in range(10):
        assert texts(resolver.ask(f"n{i}.wild"), "A") == ["192.0.2.7"]
    moved = {way: count - before[way] for way, count in world.count().items()}
    assert moved.pop(resolver.way) >= 10 and not any(moved.values()), moved


@pytest.mark.parametrize("by", [4, 6])
def test_answers_are_those_of_the_clients_network(resolver, by):
    """Of every dynamic type; asked twice, the second time out of the cache and in between each other."""
    for turn in range(2):
        for subnet, k in PLACES:
            def ask(name, rtype):
                reply = resolver.ask(name, rtype, subnet, by)
                assert reply.rcode() == dns.rcode.NOERROR, (name, rtype, subnet)
                return reply
            for name in ("www", "", "alias", "cn"):
                assert texts(ask(name, "A"), "A") == [V4[k]], (name, subnet, turn)
                assert texts(ask(name, "AAAA"), "AAAA") == [V6[k]], (name, subnet, turn)
            assert texts(ask("cn", "A"), "CNAME") == [f"{k}.example.com."]
            assert texts(ask("_web._tcp", "SRV"), "SRV") == [f"10 100 443 {k}.example.com."]
            https = texts(ask("www", "HTTPS"), "HTTPS")
            assert https == [f'1 {k}.example.com. alpn="h2,h3" port="8443" ipv4hint="{V4[k]}" ipv6hint="{V6[k]}"'], subnet


def test_static_and_negative_answers(resolver):
    for by in (4, 6):
        assert resolver.ask("nothing", by=by).rcode() == dns.rcode.NXDOMAIN
        nodata = resolver.ask("plain", "AAAA", by=by)
        assert nodata.rcode() == dns.rcode.NOERROR and not nodata.answer
        assert len(resolver.ask("big", "TXT", by=by).answer[0]) == 60


def scope_of(reply):
    return next(o.scopelen for o in reply.options if isinstance(o, dns.edns.ECSOption))


@pytest.mark.parametrize("rtype, subnet, others", [("A", "134.226.0.0", "203.116.0.0 12.0.0.0"), ("AAAA", "2001:770::", "2001:200:: 2607:f140::")])
def test_the_cache_is_shared_within_a_scope_and_not_beyond(world, resolver, rtype, subnet, others):
    length = 56 if ":" in subnet else 24
    scope = scope_of(world.node.ask("kept.example.com", rtype, f"{subnet}/{length}"))
    whole = ipaddress.ip_network(f"{subnet}/{scope}", strict=False)
    step = max((1 << length - scope) // 10, 1) << whole.max_prefixlen - length
    inside = [str(whole.network_address + i * step) for i in range(10)]
    assert all(ipaddress.ip_address(i) in whole for i in inside) and scope <= length - 4

    def questions(networks):
        before = world.count()[resolver.way]
        for network in networks:
            assert resolver.ask("kept", rtype, network).answer
        return world.count()[resolver.way] - before
    # A busy machine makes a resolver repeat a question now and then: hence the few to spare.
    assert 1 <= questions(inside) <= 3
    assert questions(inside) == 0
    assert 2 <= questions(others.split()) <= 4
    assert questions([*others.split(), *inside]) == 0


def test_sticky_networks_stay(world, resolver):
    nets = [f"198.51.{i}.0" for i in range(24)]
    first = [texts(resolver.ask("stay", "A", net), "A") for net in nets]
    assert len({a[0] for a in first}) == 3
    assert first == [world.node.addresses("stay.example.com", "A", net + "/24") for net in nets]
    assert first == [texts(resolver.ask("stay", "A", net, by=6), "A") for net in nets]


def test_weighted_shares(resolver):
    """Three to one: of 300 draws 225 are expected, with a deviation of 7.5; six of them are allowed."""
    replies = [resolver.ask(f"n{i}.share") for i in range(300)]
    assert all(reply.answer for reply in replies), next(str(reply) for reply in replies if not reply.answer)
    got = collections.Counter(texts(reply, "A")[0] for reply in replies)
    assert set(got) == {"192.0.2.11", "192.0.2.12"} and 180 <= got["192.0.2.11"] <= 270, got
