# SPDX-License-Identifier: Apache-2.0
"""A real recursive resolver (unbound, with client subnets, 0x20 and query minimisation) between users and gtmd."""
import contextlib
import ipaddress
import pathlib
import shutil
import socket
import subprocess
import tempfile

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from harness import (DEADLINE_S, DNS_PORT, ZONE, address, cluster, gtmd, health_of, wait_for, webs)

UNBOUND = shutil.which("unbound", path="/usr/sbin:/usr/bin")
RESOLVER = address(21)
PLAIN_RESOLVER = address(22)
DATABASE = "/usr/share/libloc-location/location.db"
US, EU, AP = (address(11 + i) for i in range(3))
ZONE_TEXT = ZONE + "".join(f"big IN TXT \"{i:03d} {'x' * 60}\"\n" for i in range(60)) + """\
alias IN CNAME www
*.wild IN A 192.0.2.7
"""
# (network, who answers): networks that have long belonged to the same universities and telephone companies.
PLACES = {"134.226.0.0": EU, "80.146.0.0": EU, "203.116.0.0": AP, "133.11.0.0": AP, "12.0.0.0": US, "142.103.0.0": US}


def config(listen, modules, folder):
    return f"""\
server:
  directory: "{folder}"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  verbosity: 1
  num-threads: 1
  interface: {listen}@{DNS_PORT}
  access-control: 127.0.0.0/8 allow
  do-not-query-localhost: no
  use-caps-for-id: yes
  qname-minimisation: yes
  infra-host-ttl: 1
  infra-keep-probing: yes
  module-config: "{modules}"
""" + (f"  send-client-subnet: {address(1)}\n  client-subnet-always-forward: yes\n  max-client-subnet-ipv4: 24\n"
       if "subnetcache" in modules else "") + f"""\
stub-zone:
  name: "example.com"
  stub-addr: {address(1)}@{DNS_PORT}
remote-control:
  control-enable: no
"""


@contextlib.contextmanager
def unbound(listen, modules):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="gtm-unbound-"))
    process = None
    try:
        (folder / "unbound.conf").write_text(config(listen, modules, folder))
        with open(folder / "log", "wb") as log:
            process = subprocess.Popen([UNBOUND, "-d", "-c", str(folder / "unbound.conf")], stdout=log, stderr=log,
                                       stdin=subprocess.DEVNULL)

        def answers():
            assert process.poll() is None, (folder / "log").read_text()
            with contextlib.suppress(OSError, dns.exception.Timeout):
                return dns.query.udp(dns.message.make_query("plain.example.com", "A"), listen, port=DNS_PORT, timeout=1)
        wait_for(answers, "unbound answers")
        yield
    finally:
        if process is not None:
            process.terminate()
            process.wait(timeout=DEADLINE_S)
        shutil.rmtree(folder)


@pytest.fixture(scope="module", name="world")
def fixture_world():
    if UNBOUND is None:
        pytest.fail("unbound is missing: deploy/install-deps")
    built = subprocess.run([UNBOUND, "-V"], capture_output=True, text=True, check=False).stdout
    if "subnetcache" not in built:
        pytest.skip("this unbound is built without client subnets")
    text = cluster(extra="      - {name: kept, types: [A], policy: near, ttl: 1h}\n").replace("ttl: 30s", "ttl: 2s")
    with webs(US, EU, AP) as servers, gtmd(text, zones={"example.com.zone": ZONE_TEXT}, geo=f"[{DATABASE}]") as node:
        wait_for(lambda: node.get("/geo").item["loaded"], "the database is loaded")
        wait_for(lambda: set(health_of(node).values()) == {"up"}, "all endpoints are up")
        with unbound(RESOLVER, "subnetcache iterator"), unbound(PLAIN_RESOLVER, "iterator"):
            yield node, servers


def ask(name, rtype="A", subnet=None, resolver=RESOLVER):
    options = [dns.edns.ECSOption(subnet, 24)] if subnet else []
    query = dns.message.make_query(name + ".example.com", rtype, use_edns=0, options=options)
    return dns.query.udp_with_fallback(query, resolver, port=DNS_PORT, timeout=DEADLINE_S)[0]


def addresses(reply):
    return sorted(str(rd) for rrset in reply.answer if rrset.rdtype == dns.rdatatype.A for rd in rrset)


def forwarded(node):
    return node.metrics()['gtm_dns_requests_total{proto="udp"}']


def test_users_go_to_their_region_through_a_resolver(world):
    for name in ("www", "alias"):
        for network, want in PLACES.items():
            reply = ask(name, subnet=network)
            assert reply.rcode() == dns.rcode.NOERROR and addresses(reply) == [want], (name, network)
            assert reply.flags & dns.flags.RA
    # Again, out of the cache and in between each other.
    assert [addresses(ask("www", subnet=n)) for n in PLACES] == [[a] for a in PLACES.values()]


def test_the_cache_is_shared_within_a_scope_and_not_beyond(world):
    """The resolver asks once for all networks of one scope, again for every other, and once for what holds for all."""
    node, _ = world
    reply = node.ask("kept.example.com", subnet="134.226.0.0/24")
    scope = next(o.scopelen for o in reply.options if isinstance(o, dns.edns.ECSOption))
    whole = ipaddress.ip_network(f"134.226.0.0/{scope}", strict=False)
    inside = [str(n.network_address) for n in list(whole.subnets(new_prefix=24))[::25]]
    assert len(inside) > 10

    def questions(name, networks):
        before = forwarded(node)
        for n in networks:
            ask(name, subnet=n)
        return forwarded(node) - before
    # A busy machine makes the resolver repeat a question now and then: hence the few to spare.
    assert 1 <= questions("kept", inside) <= 4
    assert len(PLACES) - 1 <= questions("kept", PLACES) <= len(PLACES) + 3, "one was asked for already"
    assert questions("kept", [*PLACES, *inside]) == 0
    assert [addresses(ask("kept", subnet=n)) for n in PLACES] == [[a] for a in PLACES.values()]
    assert 1 <= questions("text", [*PLACES, *inside]) <= 4, "static: scope 0"


def test_all_kinds_of_answers(world):
    assert ask("nothing").rcode() == dns.rcode.NXDOMAIN
    assert ask("plain", "AAAA").rcode() == dns.rcode.NOERROR and not ask("plain", "AAAA").answer
    assert addresses(ask("plain")) == ["192.0.2.99"] == addresses(ask("plain", resolver=PLAIN_RESOLVER))
    assert addresses(ask("a.b.c.wild")) == ["192.0.2.7"]
    big = ask("big", "TXT")
    assert len(big.answer[0]) == 60, "truncated, then by TCP"
    assert ask("big", "TXT", resolver=PLAIN_RESOLVER).answer


def test_without_client_subnet_the_resolver_counts(world):
    """Its loopback address is nowhere: the order of the file."""
    for network in PLACES:
        assert addresses(ask("www", subnet=network, resolver=PLAIN_RESOLVER)) == [US]


@pytest.mark.parametrize("how", ["stopped", "hang"])
def test_users_behind_a_resolver_follow_health(world, how):
    """A region dies: within the time to live its users are elsewhere, and they come back."""
    node, servers = world
    assert addresses(ask("www", subnet="134.226.0.0")) == [EU]
    servers[1].set(how)
    wait_for(lambda: node.addresses("www.example.com", subnet="134.226.0.0/24") == [US], "gtmd knows")
    wait_for(lambda: addresses(ask("www", subnet="134.226.0.0")) == [US], "the resolver follows", deadline_s=2 + 3)
    assert addresses(ask("www", subnet="133.11.0.0")) == [AP]
    servers[1].set("ok")
    wait_for(lambda: addresses(ask("www", subnet="134.226.0.0")) == [EU], "and comes back")


def test_a_restart_is_survived(world):
    """Questions that meet a stopped gtmd are answered once it is back; the client repeats them as stub resolvers do."""
    node, _ = world
    assert node.stop() == 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(dns.message.make_query("late.wild.example.com", "A").to_wire(), (RESOLVER, DNS_PORT))
    node.start()

    def answered():
        with contextlib.suppress(dns.exception.Timeout):
            query = dns.message.make_query("late.wild.example.com", "A")
            return addresses(dns.query.udp(query, RESOLVER, port=DNS_PORT, timeout=2)) == ["192.0.2.7"]
    wait_for(answered, "the resolver has found it again")
