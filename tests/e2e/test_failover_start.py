# SPDX-License-Identifier: Apache-2.0
"""Failing over in worlds of their own: before the first verdict, and with two families."""
import os

import pytest

from failing import AP, EU, SPARE, US, first, intent, servers_at
from harness import WEB_PORT, ZONE, Web, cluster, gtmd, health_of, wait_for


def test_serves_before_the_first_verdict():
    """Nothing is known yet and no server answers: the node serves at once, then takes out what fails."""
    with servers_at(US, EU, AP, SPARE) as servers:
        servers[0].set("hang")
        slow = intent().replace("interval: 200ms, timeout: 150ms", "interval: 5s, timeout: 1s")
        with gtmd(slow, zones={"example.com.zone": ZONE}) as node:
            assert first(node) == [US], "unknown serves"
            wait_for(lambda: first(node) == [EU], "the first checks start at once, without waiting an interval")


def test_families_are_judged_apart():
    """The IPv6 side of an endpoint dies: AAAA moves, A stays."""
    port = 20000 + os.getpid() % 12000  # ::1 is one address for all tests of the machine
    try:
        six = Web("::1", port)
    except OSError:
        pytest.skip("no IPv6 on loopback here")
    four = [Web(US, port), Web(EU, port)]
    text = cluster(addresses=[f'{US}", "::1', EU], regions=("us-east", "eu-west"))
    text = text.replace(f"port: {WEB_PORT}", f"port: {port}")
    try:
        with gtmd(text, zones={"example.com.zone": ZONE}) as node:
            wait_for(lambda: set(health_of(node).values()) == {"up"}, "all are up")
            assert node.addresses("www.example.com", "AAAA") == ["::1"]
            six.set("stopped")
            wait_for(lambda: health_of(node)["www-us-east"] == "degraded", "half of it is down")
            assert node.addresses("www.example.com", "A") == [US]
            assert node.addresses("www.example.com", "AAAA") == ["::1"], "the only one: fail_open"
            four[0].set("stopped")
            wait_for(lambda: node.addresses("www.example.com", "A") == [EU], "IPv4 moves by itself")
            six.set("ok")
            wait_for(lambda: health_of(node)["www-us-east"] == "degraded", "the other half")
    finally:
        for server in [six, *four]:
            server.close()
