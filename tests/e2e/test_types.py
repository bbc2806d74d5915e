# SPDX-License-Identifier: Apache-2.0
"""Dynamic names of every type, aliases and sticky policies, as a real gtmd reads them from files and answers them."""
import subprocess

import dns.rdatatype
import pytest

from harness import BUILD, ZONE, address, gtmd, health_of, wait_for, webs

CLUSTER = """regions:
  - {{name: us-east, location: [38.9, -77.0]}}
  - {{name: eu-west, location: [53.3, -6.3]}}
monitors:
  - {{name: web, kind: http, port: 8080, path: /healthz, interval: 200ms, timeout: 150ms, fall: 2, rise: 2}}
pools:
  - name: www
    monitors: [web]
    endpoints:
      - {{name: www-us-east, region: us-east, addresses: ["{us}"], host: us.example.net}}
      - {{name: www-eu-west, region: eu-west, addresses: ["{eu}"], host: eu.example.net}}
policies:
  - {{name: first, pool: www, steer: failover, order: [us-east, eu-west], ttl: 30s}}
  - {{name: all, pool: www, steer: multivalue, answers: 8}}
  - {{name: stick, pool: www, steer: sticky}}
zones:
  - name: example.com
    file: example.com.zone
    names:
      - {{name: www, types: [A, AAAA, HTTPS], policy: first, alpn: [h2, h3], port: 8443}}
      - {{name: cn, types: [CNAME], policy: first}}
      - {{name: _web._tcp, types: [SRV], policy: all, port: 443, priority: 10}}
      - {{name: st, types: [A], policy: stick}}
      - {{name: "@", alias: www}}
      - {{name: fixed, alias: shop.example.org., ttl: 60s}}
  - name: example.org
    file: example.org.zone
    names:
      - {{name: "@", alias: example.com.}}
"""
ORG = """$TTL 300
@ IN SOA ns1 hostmaster {serial} 3600 600 86400 60
@ IN NS ns1
ns1 IN A 127.0.0.1
shop IN A {shop}
"""


def texts(reply):
    """The answer section as sorted lines of type and data."""
    return sorted(f"{dns.rdatatype.to_text(rrset.rdtype)} {rd}" for rrset in reply.answer for rd in rrset)


@pytest.fixture(name="world")
def fixture_world():
    us, eu = address(11), address(12)
    with webs(us, eu) as servers:
        zones = {"example.com.zone": ZONE, "example.org.zone": ORG.format(serial=1, shop="192.0.2.7")}
        with gtmd(CLUSTER.format(us=us, eu=eu), zones=zones) as node:
            wait_for(lambda: set(health_of(node).values()) == {"up"}, "all endpoints are up")
            yield node, servers


def test_every_type_follows_health(world):
    node, servers = world
    us, eu = address(11), address(12)
    assert texts(node.ask("cn.example.com", "A")) == ["CNAME us.example.net."]
    assert texts(node.ask("_web._tcp.example.com", "SRV")) == ["SRV 10 100 443 eu.example.net.",
                                                               "SRV 10 100 443 us.example.net."]
    assert texts(node.ask("www.example.com", "HTTPS")) == [
        f'HTTPS 1 us.example.net. alpn="h2,h3" port="8443" ipv4hint="{us}"']
    assert texts(node.ask("example.com", "A")) == [f"A {us}"]
    assert texts(node.ask("example.org", "A")) == [f"A {us}"]
    servers[0].set("stopped")
    wait_for(lambda: texts(node.ask("example.org", "A")) == [f"A {eu}"], "the alias of an alias has moved")
    assert texts(node.ask("example.com", "A")) == [f"A {eu}"]
    assert texts(node.ask("cn.example.com", "TXT")) == ["CNAME eu.example.net."]
    assert texts(node.ask("_web._tcp.example.com", "SRV")) == ["SRV 10 100 443 eu.example.net."]
    assert texts(node.ask("www.example.com", "HTTPS")) == [
        f'HTTPS 1 eu.example.net. alpn="h2,h3" port="8443" ipv4hint="{eu}"']


def test_an_alias_follows_its_targets_zone(world):
    node, _ = world
    reply = node.ask("fixed.example.com", "A")
    assert texts(reply) == ["A 192.0.2.7"] and reply.answer[0].ttl == 60
    node.write("example.org.zone", ORG.format(serial=2, shop="192.0.2.8"))
    node.post("/reload")
    wait_for(lambda: texts(node.ask("fixed.example.com", "A")) == ["A 192.0.2.8"], "the alias has the new address")


def test_sticky_networks_stay_and_explain_says_why(world):
    node, _ = world
    nets = [f"198.51.{i}.0/24" for i in range(40)]
    first = [node.addresses("st.example.com", "A", net) for net in nets]
    assert len({tuple(a) for a in first}) == 2
    assert [node.addresses("st.example.com", "A", net) for net in nets] == first
    said = node.get(f"/explain?name=st.example.com&client={nets[0]}").item
    assert any("falls into bucket" in step for step in said["steps"]), said["steps"]
    out = subprocess.run([str(BUILD / "bin" / "gtmctl"), "--socket", str(node.socket), "explain", "example.com", "A",
                          "--client", "192.0.2.0/24"], capture_output=True, text=True, timeout=20, check=True).stdout
    assert "example.com. is an alias: its A records are those of www" in out
