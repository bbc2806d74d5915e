# SPDX-License-Identifier: Apache-2.0
"""GeoDNS over the real country and ASN database of Debian: clients of the whole world go where they should, the scope
of every answer is true, and what the databases do not know gets the default.

The truth comes from libloc's own Python reader, the points from the API, the distances from here.
"""
import ipaddress
import json
import math
import random
import socket
import subprocess

import dns.edns
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import location
import pytest

from harness import BUILD, DEADLINE_S, DNS_PORT, ZONE, gtmd, wait_for

DATABASE = "/usr/share/libloc-location/location.db"
REGIONS = {"us-east": (38.9, -77.0), "us-west": (45.6, -121.2), "sa-east": (-23.5, -46.6), "eu-west": (53.3, -6.3),
           "ap-south": (1.35, 103.8), "ap-north": (35.7, 139.7)}
V4 = {name: f"192.0.2.{i + 1}" for i, name in enumerate(REGIONS)}
V6 = {name: f"2001:db8::{i + 1}" for i, name in enumerate(REGIONS) if name != "sa-east"}
REGION_OF = {address: name for table in (V4, V6) for name, address in table.items()}
ROUTED_ASN = 1213  # HEAnet, Ireland
# What anybody can find on a globe.
KNOWN = {"US": "us-east", "IE": "eu-west", "DE": "eu-west", "FR": "eu-west", "ES": "eu-west", "BR": "sa-east",
         "AR": "sa-east", "UY": "sa-east", "SG": "ap-south", "MY": "ap-south", "ID": "ap-south", "IN": "ap-south",
         "JP": "ap-north", "KR": "ap-north"}

CLUSTER = "regions:\n" + "".join(f"  - {{name: {n}, location: [{a}, {o}]}}\n" for n, (a, o) in REGIONS.items()) + """\
pools:
  - name: www
    endpoints:
""" + "".join(f"      - {{name: www-{n}, region: {n}, addresses: [{V4[n]}" + (f', "{V6[n]}"' if n in V6 else "") +
              "]}\n" for n in REGIONS) + f"""\
  - {{name: four, endpoints: [{{name: only, region: us-east, addresses: [192.0.2.200]}}]}}
policies:
  - {{name: near, pool: www, steer: nearest, ttl: 30s}}
  - name: routed
    pool: www
    steer: geo
    routes:
      - {{match: {{networks: ["198.51.100.0/24", "2001:db8:1::/48"]}}, regions: [us-east]}}
      - {{match: {{asn: [{ROUTED_ASN}]}}, regions: [sa-east, us-west]}}
      - {{match: {{country: [DE, FR]}}, regions: [eu-west, us-east]}}
      - {{match: {{continent: [AS, OC]}}, regions: [ap-south]}}
      - {{match: {{subdivision: [US-CA]}}, regions: [us-west]}}
    default: [ap-north, us-east]
  - {{name: four, pool: four, steer: nearest, all_down: fail_closed}}
zones:
  - name: example.com
    file: example.com.zone
    names:
      - {{name: www, types: [A, AAAA], policy: near}}
      - {{name: routed, types: [A, AAAA], policy: routed}}
      - {{name: four, types: [A, AAAA], policy: four}}
      - {{name: "*.wild", types: [A], policy: near}}
"""
ZONE_TEXT = ZONE + "alias IN CNAME www\n"


def distance_km(a, b):
    la, lo, lb, lp = map(math.radians, (*a, *b))
    cosine = math.sin(la) * math.sin(lb) + math.cos(la) * math.cos(lb) * math.cos(lo - lp)
    return 6371 * math.acos(max(-1.0, min(1.0, cosine)))


def nearest(point, regions):
    return min(regions, key=lambda name: distance_km(point, REGIONS[name]))


def random_in(rnd, network):
    net = ipaddress.ip_network(network)
    return net[rnd.randrange(net.num_addresses)]


class Client:
    """Asks one gtmd over one socket, as a resolver for clients of any network."""

    def __init__(self, node):
        self.node, self.sock = node, socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def ask(self, name, rtype, address, length=None):
        """(rcode, the answers' data, TTL or None, scope or None)"""
        options = []
        if address is not None:
            length = ipaddress.ip_address(address).max_prefixlen if length is None else length
            options = [dns.edns.ECSOption(str(address), length)]
        query = dns.message.make_query(name + ".example.com", rtype, use_edns=0, options=options)
        reply = dns.query.udp(query, self.node.address, port=DNS_PORT, timeout=DEADLINE_S, sock=self.sock)
        scopes = [o for o in reply.options if isinstance(o, dns.edns.ECSOption)]
        if address is None:
            assert not scopes, "no client subnet when none was sent (RFC 7871 7.2.2)"
        else:
            assert [(o.address, o.srclen) for o in scopes] == [(options[0].address, options[0].srclen)], "echoed"
        data = tuple(sorted(str(rd) for rrset in reply.answer for rd in rrset))
        ttl = reply.answer[0].ttl if reply.answer else None
        return reply.rcode(), data, ttl, scopes[0].scopelen if scopes else None

    def region(self, name, rtype, address):
        rcode, data, _, scope = self.ask(name, rtype, address)
        assert rcode == dns.rcode.NOERROR and len(data) == 1, (name, address, data)
        return REGION_OF[data[0]], scope


@pytest.fixture(scope="module", name="truth")
def fixture_truth():
    return location.Database(DATABASE)


@pytest.fixture(scope="module", name="world")
def fixture_world():
    with gtmd(CLUSTER, zones={"example.com.zone": ZONE_TEXT}, geo=f"[{DATABASE}]") as node:
        wait_for(lambda: node.get("/geo").item["loaded"], "the database is loaded")
        yield node


@pytest.fixture(scope="module", name="client")
def fixture_client(world):
    client = Client(world)
    yield client
    client.sock.close()


@pytest.fixture(scope="module", name="places")
def fixture_places(truth):
    """One random address of every country and family: [(country, address)]."""
    rnd = random.Random(7871)
    chosen, seen = {}, {}
    for network in truth.networks:
        key = (network.country_code, network.family)
        seen[key] = seen.get(key, 0) + 1
        if rnd.random() < 1 / seen[key]:
            chosen[key] = (str(network.first_address), str(network.last_address))
    places = []
    for first, last in chosen.values():
        low, high = int(ipaddress.ip_address(first)), int(ipaddress.ip_address(last))
        address = type(ipaddress.ip_address(first))(rnd.randint(low, high))
        country = truth.lookup(str(address)).country_code  # a smaller network may lie inside
        places.append((country, address))
    return places


def test_the_whole_world_goes_to_the_nearest(world, client, places):
    points, families, wrong = {}, {4: set(), 6: set()}, []
    for country, address in places:
        found = world.get(f"/geo/lookup?address={address}").item
        if found["latitude"] is None:  # registry codes that are no place, for example
            continue
        assert found["country"] == country
        points[country] = (found["latitude"], found["longitude"])
        families[address.version].add(country)
        for rtype, regions in (("A", V4), ("AAAA", V6)):
            want = nearest(points[country], regions)
            got, _ = client.region("www", rtype, address)
            if got != want and abs(distance_km(points[country], REGIONS[got]) -
                                   distance_km(points[country], REGIONS[want])) > 1:
                wrong.append((country, str(address), rtype, got, want))
    assert not wrong
    assert len(families[4]) > 200 and len(families[6]) > 150
    assert {nearest(p, V4) for p in points.values()} == set(V4), "every region is somebody's nearest"
    for country, region in KNOWN.items():
        assert nearest(points[country], V4) == region, country


def test_routes(client, places, world, truth):
    """Networks, ASN, country, continent: the first that matches; everything else the default."""
    seen = {}
    around = [ipaddress.ip_address(a) for a in ("198.51.99.255", "198.51.101.0", "2001:db8:2::", "2001:db8:0:ffff::")]
    for country, address in places + [(None, a) for a in around]:
        continent = world.get(f"/geo/lookup?address={address}").item["continent"]
        network = truth.lookup(str(address))
        country = network.country_code if network else country
        if network is not None and network.asn == ROUTED_ASN:
            want = ("sa-east", "us-west")
        elif country in ("DE", "FR"):
            want = ("eu-west", "eu-west")
        elif continent in ("AS", "OC"):
            want = ("ap-south", "ap-south")
        else:
            want = ("ap-north", "ap-north")
        assert (client.region("routed", "A", address)[0], client.region("routed", "AAAA", address)[0]) == want, address
        seen[want] = seen.get(want, 0) + 1
    assert {want[0] for want in seen} >= {"eu-west", "ap-south", "ap-north"}
    # The operator's networks win over everything; sa-east has no IPv6.
    for address, region in (("198.51.100.0", "us-east"), ("198.51.100.255", "us-east"), ("2001:db8:1::", "us-east"),
                            ("2001:db8:1:ffff:ffff::1", "us-east"), ("134.226.1.1", "sa-east")):
        assert client.region("routed", "A", address)[0] == region, address
    assert truth.lookup("134.226.1.1").asn == ROUTED_ASN
    assert client.region("routed", "AAAA", "134.226.1.1")[0] == "us-west"


def test_scopes_are_true(client, places):
    """Whoever is inside the scope of an answer gets that answer with that scope: no cache that keeps it can mislead.
    Positive, default and negative answers, both families; the ends of every scope are tried too."""
    rnd = random.Random(1)
    subjects = [a for _, a in rnd.sample(places, 60)]
    subjects += [ipaddress.ip_address(a) for a in
                 ("10.1.2.3", "127.0.0.1", "240.0.0.1", "255.255.255.255", "0.0.0.1", "198.51.100.7", "198.51.101.0",
                  "2001:db8:1::5", "2001:db8:2::5", "fe80::1", "::1", "ff02::1", "4000::1")]
    scopes = {4: set(), 6: set()}
    for address in subjects:
        for name, rtype in (("www", "A"), ("routed", "AAAA"), ("alias", "A"), ("x.wild", "A"), ("four", "AAAA"),
                            ("nothing", "A")):
            first = client.ask(name, rtype, address)
            if name == "www":
                scopes[address.version].add(first[3])
            net = ipaddress.ip_network((address, first[3]), strict=False)
            for other in (net[0], net[-1], random_in(rnd, net), random_in(rnd, net)):
                assert client.ask(name, rtype, other) == first, f"{name} {rtype}: {other} is in {net} of {address}"
    assert len(scopes[4]) > 5 and len(scopes[6]) > 5
    assert min(scopes[4]) >= 1, "no answer by geography holds for the whole world"


def test_static_and_negative_answers_hold_for_everybody(client):
    for name, rtype in (("plain", "A"), ("text", "TXT"), ("nothing", "A"), ("plain", "AAAA"), ("www", "MX"),
                        ("four", "AAAA")):
        assert client.ask(name, rtype, "134.226.1.1")[3] == 0, (name, rtype)
        assert client.ask(name, rtype, "2001:770::1")[3] == 0, (name, rtype)


def test_wildcard_and_alias_are_steered(client):
    for address, region in (("134.226.1.1", "eu-west"), ("133.11.0.1", "ap-north")):
        assert client.ask("any.thing.wild", "A", address)[1] == (V4[region],)
        assert client.ask("alias", "A", address)[1] == tuple(sorted((V4[region], "www.example.com.")))


def test_source_lengths(client):
    """A shorter source is answered for what it says; source 0 means: do not use my address, nor anybody's."""
    full = client.ask("www", "A", "133.11.5.9", 32)
    short = client.ask("www", "A", "133.11.5.0", 24)
    assert full == short and 8 <= full[3] <= 24
    nobody = client.ask("www", "A", "0.0.0.0", 0)
    assert nobody[3] == 0 and nobody[1] == client.ask("www", "A", None)[1]
    # Nothing is known of a loopback resolver: the order of declaration.
    assert nobody[1] == (V4["us-east"],)
    assert client.ask("routed", "A", None)[1] == (V4["ap-north"],), "the default of the policy"


def test_explain_says_the_same(world, client, places):
    gtmctl = [str(BUILD / "bin" / "gtmctl"), "--socket", str(world.socket)]
    for country, address in random.Random(3).sample([p for p in places if p[0] in KNOWN], 6):
        text = subprocess.run([*gtmctl, "explain", "www.example.com", "A", "--client", str(address), "-o", "json"],
                              capture_output=True, text=True, check=True, timeout=DEADLINE_S).stdout
        said = json.loads(text)["item"]["answer"]
        _, data, ttl, scope = client.ask("www", "A", address)
        assert [r["data"] for r in said["records"]] == list(data)
        assert [r["ttl_seconds"] for r in said["records"]] == [ttl] and said["scope"] == scope
        human = subprocess.run([*gtmctl, "explain", "www.example.com", "--client", str(address)],
                               capture_output=True, text=True, check=True, timeout=DEADLINE_S).stdout
        assert all(word in human for word in (country, KNOWN[country], data[0], f"/{scope}")), human
