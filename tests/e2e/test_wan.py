# SPDX-License-Identifier: Apache-2.0
"""The network of the partition tests does what they rely on: delay, loss and duplicates by seed, cuts of one direction."""
import contextlib
import socket
import time

import pytest

from harness import wait_for
from netns_harness import Wan, in_netns

REGIONS = ("a", "b", "c")


@pytest.fixture(name="wan")
def fixture_wan():
    with Wan(REGIONS, seed=7) as wan:
        yield wan


def udp(wan, region, port=4000):
    """A socket inside the region."""
    def make():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((wan.address(region, 1), port))
        sock.settimeout(2)
        return sock
    return in_netns(wan.names[region], make)


def arrives(source, sink, wan, region, text=b"x"):
    source.sendto(text, (wan.address(region, 1), 4000))
    try:
        sink.settimeout(0.3)
        return sink.recv(100) == text
    except TimeoutError:
        return False


def test_every_region_reaches_every_other(wan):
    for a in REGIONS:
        for b in REGIONS:
            if a != b:
                wan.reach(a, b)


def test_delay_is_exact(wan):
    wan.set("a", "b", delay_us=60000)
    wan.set("b", "a", delay_us=20000)
    with udp(wan, "a") as a, udp(wan, "b") as b:
        start = time.monotonic()
        a.sendto(b"there", (wan.address("b", 1), 4000))
        assert b.recv(100) == b"there"
        there = time.monotonic()
        b.sendto(b"back", (wan.address("a", 1), 4000))
        assert a.recv(100) == b"back"
        assert there - start >= 0.06
        assert time.monotonic() - there >= 0.02


def test_a_cut_may_be_one_way(wan):
    with udp(wan, "a") as a, udp(wan, "b") as b, udp(wan, "c") as c:
        wan.cut("a", ways="out")
        assert not arrives(a, b, wan, "b")
        assert arrives(b, a, wan, "a")
        assert arrives(c, b, wan, "b", b"c")
        assert wan.counts()["cut"] == 1
        wan.heal()
        assert arrives(a, b, wan, "b")
        wan.cut("a", others=["b"], ways="in")
        assert not arrives(b, a, wan, "a")
        assert arrives(c, a, wan, "a")


def test_loss_and_duplicates(wan):
    with udp(wan, "a") as a, udp(wan, "b") as b:
        wan.set("a", "b", loss_ppm=300000, dup_ppm=100000)
        got = []
        for n in range(1000):
            a.sendto(str(n).encode(), (wan.address("b", 1), 4000))
            if n % 50 == 49:  # the socket's buffer is finite, too
                wait_for(lambda sent=n + 1: (c := wan.counts())["taken"] == sent and not c["waiting"], "all are through")
                b.settimeout(0.02)
                with contextlib.suppress(TimeoutError):
                    while True:
                        got.append(int(b.recv(100)))
        lost, twice = 1000 - len(set(got)), len(got) - len(set(got))
        assert 230 <= lost <= 370, lost
        assert 40 <= twice <= 110, twice
        assert wan.counts()["lost"] == lost


def test_wrong_orders_are_refused(wan):
    for text in ("link a nowhere cut=1", "link gtm", "nonsense", f"link {wan.names['a']} {wan.names['b']} speed=3"):
        wan.link.stdin.write(text + "\n")
        wan.link.stdin.flush()
        assert wan.link.stdout.readline().startswith("error")
