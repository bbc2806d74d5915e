#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks compute from what they measured: statistics, queries, verdicts. No server, no timing."""
import contextlib
import io
import os
import pathlib
import runpy
import socket
import struct
import sys
import tempfile
import threading
import time

import dns.edns
import dns.message
import dns.rrset
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "suite"))

import cluster  # noqa: E402
import common  # noqa: E402
import dnsbench  # noqa: E402
import flip  # noqa: E402
import geography  # noqa: E402
import handover  # noqa: E402
import storm  # noqa: E402
import streams  # noqa: E402
import vantages  # noqa: E402
import zones  # noqa: E402


def test_percentiles_are_measured_values():
    values = list(range(1, 201))
    assert common.percentile(values, 50) == 100
    assert common.percentile(values, 99) == 198
    assert common.percentile(values, 100) == 200
    assert common.percentile([7], 99) == common.percentile([7], 1) == 7
    assert common.spread([3, 1, 2]) == {"median": 2, "min": 1, "max": 3}


def test_queries_are_what_a_resolver_sends():
    plain = dns.message.from_wire(geography.query("s7.static.example"))
    assert str(plain.question[0]) == "s7.static.example. IN A" and plain.edns == -1
    with_subnet = dns.message.from_wire(geography.query("www.geo.example", 0xC6336400))
    subnet, = with_subnet.options
    assert (subnet.address, subnet.srclen, subnet.scopelen) == ("198.51.100.0", 24, 0)
    assert with_subnet.payload == 1232


def test_questions_of_any_type():
    asked = dns.message.from_wire(zones.query("big.example", zones.TYPE_AXFR)).question[0]
    assert str(asked) == "big.example. IN AXFR"


class Fake:
    """A name server that answers with one address, and with another once it was asked five times."""

    def __init__(self, name, address):
        self.name, self.address = name, address
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((address, 5353))
        self.sock.settimeout(10)
        self.asked = 0
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                query, client = self.sock.recvfrom(512)
                self.asked += 1
                reply = dns.message.make_response(dns.message.from_wire(query))
                last = "192.0.2.2" if self.asked > 5 else "192.0.2.1"
                reply.answer.append(dns.rrset.from_text(cluster.NAME + ".", 5, "IN", "A", last))
                self.sock.sendto(reply.to_wire(), client)


def test_a_watcher_sees_the_first_new_answer_of_each_node():
    base = f"127.{16 + (os.getpid() >> 8) % 200}.{os.getpid() & 255}"
    nodes = [Fake("a", base + ".201"), Fake("b", base + ".202")]
    try:
        before = time.time()
        seen = cluster.Watcher(nodes).until("192.0.2.2", deadline_s=10)
        assert set(seen) == {"a", "b"} and all(before <= t <= time.time() for t in seen.values())
        assert all(node.asked > 5 for node in nodes)
        with pytest.raises(common.Unable, match="no answer with 192.0.2.9 from a, b"):
            cluster.Watcher(nodes).until("192.0.2.9", deadline_s=0.3)
    finally:
        for node in nodes:
            node.sock.close()


def test_played_vantages_tell_each_change_once():
    phase = vantages.Phase({"health": "down", "pools": ["a"], "spread_s": 2.0, "seed": 1}, 100)
    counts = [phase.due("a", phase.began + t) for t in (-1, 0.5, 1.5, 2.0)]
    assert counts == sorted(counts) and counts[0] == 0 < counts[1] < counts[2] < counts[3] == 100
    assert phase.due("another", phase.began + 2.0) == 0


def test_a_storm_is_over_when_every_endpoint_is():
    down = {"e": {f"endpoint-{e:03}": {"4": {"h": "down"}} for e in range(storm.ENDPOINTS)}}
    assert storm.wrong_pools({"a": down}, ["a", "b"], "down") == ["b"]
    assert storm.wrong_pools({"a": down}, ["a"], "up") == ["a"]
    down["e"]["endpoint-007"]["4"]["h"] = "up"
    assert storm.wrong_pools({"a": down}, ["a"], "down") == ["a"]


def test_groups_name_parts():
    program = runpy.run_path(str(pathlib.Path(__file__).resolve().parent / "run"))
    assert set(program["GROUPS"]["all"]) == set(program["PARTS"])
    assert set(program["GROUPS"]["dns"]) == {"peers", "geo", "shares", "flip", "streams"}
    for part in [*program["PARTS"], *program["GROUPS"]]:
        assert f"\n{part} " in program["__doc__"], part


def test_query_files_can_be_read_back():
    with tempfile.TemporaryDirectory() as name:
        path = pathlib.Path(name)
        wires = [geography.query(f"n{i}.geo.example", i << 8) for i in range(3)]
        (path / "x.queries").write_bytes(b"".join(struct.pack(">H", len(w)) + w for w in wires))
        (path / "x.expect").write_text("us-east\neu-west\nap-south\n", encoding="ascii")
        assert geography.read_queries(path, "x", 2) == wires[:2]
        assert geography.read_queries(path, "x", 9) == wires
        assert geography.expected(path, "x", 2) == ["us-east", "eu-west"]
        assert geography.expected(path, "plain", 1) == ["us-east"]


def test_clients_are_inside_one_network():
    with tempfile.TemporaryDirectory() as name:
        path = pathlib.Path(name)
        (path / "networks.txt").write_text("10.0.0.0/8 US us-east eu-west ap-south\n"
                                           "172.16.5.0/24 DE eu-west us-east ap-south\n"
                                           "192.0.2.128/25 SG ap-south eu-west us-east\n"
                                           "2001:db8::/32 FR eu-west us-east ap-south\n", encoding="ascii")
        clients = geography.draw_clients(path)
        assert {nearest for _, nearest in clients} == {"us-east", "eu-west"}  # half of a /24 has no one answer
        assert all(net >> 24 == 10 if nearest == "us-east" else net == 0xAC100500 for net, nearest in clients)
        assert len({net for net, _ in clients}) > 1000 and all(net & 0xFF == 0 for net, _ in clients)
        assert geography.home_client(path) == "10.0.0.1"


def test_addresses_of_answers():
    query = dns.message.make_query("www.geo.example", "A")
    reply = dns.message.make_response(query)
    assert dnsbench.addresses(reply.to_wire()) == []
    reply.set_rcode(5)
    assert dnsbench.addresses(reply.to_wire()) == "REFUSED"
    assert isinstance(dnsbench.addresses(b"\0\1"), str)


def bars(judge):
    report = common.Report()
    judge(report)
    return [met for met, *_ in report.bars]


@pytest.mark.parametrize("ratios,met", [
    ({"floor": 1.0, "gtmd": 1.10, "gdnsd": 1.2, "knot": 1.5}, [True, True]),
    ({"floor": 1.0, "gtmd": 1.11, "gdnsd": 1.2, "knot": 1.5}, [False, True]),
    ({"floor": 1.0, "gtmd": 1.05, "gdnsd": 1.05, "knot": 1.5}, [True, False]),
    ({"floor": 1.0, "gtmd": 1.05}, [True]),
])
def test_verdict_on_dns(ratios, met):
    def judge(report):
        bench = dnsbench.Bench.__new__(dnsbench.Bench)
        bench.report = report
        bench.judge("geo-one", "one name", ratios)
    assert bars(judge) == met


@pytest.mark.parametrize("seconds,met", [([0.1, 0.3, 0.8], True), ([0.1, 0.5, 0.6], False), ([0.1, 0.2, 0.9], False)])
def test_verdict_on_detection(seconds, met):
    assert bars(lambda report: flip.show_detection(report, "killed", seconds, [])) == [met]


DNSPERF = """Statistics:
  Queries sent:         5000
  Queries completed:    4998 (99.96%)
  Queries lost:         2 (0.04%)

  Response codes:       NOERROR 4990 (99.84%), SERVFAIL 8 (0.16%)
  Average packet size:  request 35, response 51
  Run time (s):         1.000000
  Queries per second:   4998.000000

  Average Latency (s):  0.000110 (min 0.000042, max 0.070300)
"""


def test_dnsperf_is_read():
    seen = handover.parse_dnsperf(DNSPERF)
    assert (seen["load_sent"], seen["load_lost"], seen["load_wrong"]) == (5000, 2, 8)
    assert seen["load_per_s"] == 4998 and abs(seen["load_slowest_ms"] - 70.3) < 1e-6
    with pytest.raises(common.Unable):
        handover.parse_dnsperf("cannot connect")


def test_connecting_is_not_counted():
    text = DNSPERF + "1700000000.250000: 0.000000\n1700000000.500000: 900.000000\n1700000000.750000: 1000.000000\n"
    server = streams.Gtmd.__new__(streams.Gtmd)
    assert streams.figures(server, text, 9_996_000) == (2.0, 900.0, 10)
    with pytest.raises(common.Unable):
        streams.figures(server, DNSPERF, 1)


@pytest.mark.parametrize("cost,met", [({"gtmd": 1.0, "nsd": 2.0}, [True]), ({"gtmd": 2.0, "nsd": 2.0, "knot": 3.0}, [False]),
                                      ({"gtmd": 1.0}, [])])
def test_verdict_on_streams(cost, met):
    assert bars(lambda report: streams.judge(report, "TCP", cost, "µs")) == met


class Primary(threading.Thread):
    """Sends the messages given to whoever connects, and closes."""

    label = "primary"

    def __init__(self, messages):
        super().__init__(daemon=True)
        self.messages = messages
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address, self.port = self.listener.getsockname()
        self.start()

    def run(self):
        con, _ = self.listener.accept()
        with con, self.listener:
            con.recv(4096)
            for wire in self.messages:
                con.sendall(struct.pack(">H", len(wire)) + wire)


def message(records, rcode=0):
    return struct.pack(">HHHHHH", 0, 0x8400 | rcode, 1, records, 0, 0) + bytes(records)


def test_transfers_are_counted():
    _, octets = zones.axfr(Primary([message(60), message(44)]), "127.0.0.1", "big.example", 100)
    assert octets == 2 * 14 + 104


@pytest.mark.parametrize("messages", [[message(60)], [message(60), message(45)], [message(104, rcode=5)], [b"short"], []])
def test_broken_transfers_are_no_figures(messages):
    with pytest.raises(common.Unable):
        zones.axfr(Primary(messages), "127.0.0.1", "big.example", 100)


@pytest.mark.parametrize("median,met", [({"gtmd": 1.0, "nsd": 1.0}, [True]), ({"gtmd": 1.1, "nsd": 1.0, "knot": 2.0}, [False]),
                                        ({"gtmd": 1.0}, []), ({"nsd": 1.0}, [])])
def test_verdict_on_transfers(median, met):
    assert bars(lambda report: zones.faster(report, "x", median)) == met


def test_processor_time_of_a_process():
    before = common.cpu_ns([os.getpid()])
    end = time.process_time_ns() + 5_000_000
    while time.process_time_ns() < end:
        pass
    assert 4_000_000 < common.cpu_ns([os.getpid()]) - before < 1_000_000_000


@pytest.mark.parametrize("lost,met", [((0, 0), True), ((1, 0), False), ((0, 1), False)])
def test_verdict_on_a_restart(lost, met):
    seen = {**handover.parse_dnsperf(DNSPERF), "sent": 10, "wrong": 0, "lost": lost[0], "load_lost": lost[1],
            "slowest_ms": 1.0, "p999_ms": 1.0, "gap_ms": 1.0}
    server = handover.Gtmd.__new__(handover.Gtmd)
    assert bars(lambda report: handover.show_restart(report, server, [(1.0, 2.0)], seen, [])) == [met]


def test_report():
    report = common.Report()
    report.bar("x", "1 ms", False, "≤ 0.5 ms")
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        report.table("t", ["a", "b"], [["one", 1], ["three", 22]], ["a note"])
        report.finish()
    assert "| one   |  1 |" in out.getvalue() and "a note" in out.getvalue() and "| ✗ | " in out.getvalue()
    assert '"met":false' in out.getvalue()


if __name__ == "__main__":
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", __file__]))
