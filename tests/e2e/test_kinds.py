# SPDX-License-Identifier: Apache-2.0
"""What is accepted but not active yet, and address families that fare differently."""
import os

from harness import WEB_PORT, ZONE, address, cluster, gtmd, health_of, wait_for, webs


def test_kinds_without_an_engine_are_told():
    """They are accepted, kept, shown, and nobody can believe that they work."""
    signals = 'signals:\n  - {name: error_rate, prometheus: "http://192.0.2.7:9090", query: "up"}\n'
    later = "".join(line + "\n" + ("  - {name: store, kind: redis}\n" if line == "monitors:" else "")
                    for line in cluster(extra=signals).splitlines())
    later = later.replace("monitors: [web]", "monitors: [web, store]")
    with webs(address(11), address(12), address(13)), gtmd(later, zones={"example.com.zone": ZONE}) as node:
        told = {p["subject"] for p in node.get("/problems").items if p["name"] == "KindNotActive"}
        assert any("error_rate" in s for s in told) and any("store" in s for s in told), told
        assert {p["severity"] for p in node.get("/problems").items if p["name"] == "KindNotActive"} == {"note"}
        kinds = node.get("/config").item["inactive"]
        assert {k["name"] for k in kinds} >= {"error_rate", "store"} and all(k["line"] > 0 for k in kinds)
        checks = node.get("/health").items
        assert {(c["monitor"], c["active"]) for c in checks} == {("web", True), ("store", False)}
        assert all(c["health"] == "unknown" and c["checks_total"] == 0 for c in checks if c["monitor"] == "store")
        wait_for(lambda: set(health_of(node).values()) == {"up"}, "only what is probed decides")


def test_ipv6_outage_does_not_remove_ipv4():
    """Health is per address family: the endpoint is degraded, IPv4 users stay, IPv6 users move."""
    port = 20000 + os.getpid() % 10000  # ::1 is not this process's own
    with webs(address(11), "::1", port=port) as (v4, v6):
        v6_only_second = cluster(regions=("us-east", "eu-west"), addresses=[address(11), address(12)])
        both = v6_only_second.replace(f'["{address(11)}"]', f'["{address(11)}", "::1"]')
        both = both.replace("{name: first, types: [A]", "{name: first, types: [A, AAAA]")
        both = both.replace(f"port: {WEB_PORT}", f"port: {port}")
        with gtmd(both, zones={"example.com.zone": ZONE}) as node:
            wait_for(lambda: [a["health"] for a in node.get("/pools/www/endpoints/www-us-east").item["addresses"]]
                     == ["up", "up"], "both families are up")
            assert node.addresses("first.example.com", "AAAA") == ["::1"]
            v6.set("stopped")
            wait_for(lambda: health_of(node)["www-us-east"] == "degraded", "IPv6 is out")
            assert node.addresses("first.example.com") == [address(11)]
            addresses = node.get("/pools/www/endpoints/www-us-east").item["addresses"]
            families = {a["family"]: a["serves"] for a in addresses}
            assert families == {"ipv4": True, "ipv6": False}
            assert v4.requests > 0
