# SPDX-License-Identifier: Apache-2.0
"""What broke other servers, against a real gtmd: after each attack it lives, answers, has not grown, and has counted.
The classes are those of the advisories; each has at least one test:

  over-long text in zone files        test_hostile::test_zone_files, fuzz/zone
  name decompression                  test_dns_conformance::test_malformed_gets_formerr, unit/dns/hostile pointers, fuzz/packet
  answering a response                test_hostile::test_notify_flood, test_dns_conformance::test_replies_are_not_answered
  odd packets                         test_hostile::test_odd_packets, unit/dns/hostile question_types, many_records, edns
  silence on odd queries              test_hostile::test_odd_packets (each has an answer), test_dns_conformance::test_every_truncation
  an answer of another client         test_hostile::test_nobody_gets_what_another_asked_for
  TCP: idle, half-said, many          test_hostile_streams::test_ten_thousand_at_once, test_tcp::test_150_idle_clients…
  TCP: slow, never reading            test_hostile_streams::test_slowloris, test_clients_that_never_read
  TCP: TLS handshake, PROXY cut off   test_hostile_streams::test_handshakes_that_end_early, test_proxy_headers_cut_off
  TCP: descriptors                    test_resources::test_descriptors_run_out
  TSIG                                test_hostile::test_wrong_signatures, test_edns::test_tsig_refused, unit/dns/tsig, fuzz/tsig
  transfers out                       test_hostile_streams::test_transfers_that_nobody_reads, test_transfer_out::test_who_may_not
  transfers in                        test_hostile_streams::test_primaries…, test_secondary::test_liars, fuzz/xfer_in
  huge sets, additional, DNAME        test_hostile::test_costly_names
  rdata lengths (SVCB, APL, HIP …)    test_hostile_streams::test_primary_with_wrong_rdata, test_hostile::test_zone_files
  HTTP API                            test_hostile::test_api_bombs, test_api::test_body_and_header_limits, fuzz/api_target
  files through links                 test_hostile::test_links_are_not_followed, test_start_errors::test_socket_path_taken_by_a_file
  uninitialised memory                unit/dns/hostile no_old_memory, nothing_leaks
  amplification                       test_hostile::test_amplification_is_limited, test_any_is_no_lever
"""
import contextlib
import json
import random
import socket
import struct
import subprocess
import time

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from harness import BUILD, DNS_PORT, METRICS_PORT, ZONE, Gtmd, address, cluster

from dns_hostile import PLAIN, framed, name_wire, outside, packet, record, udp_socket, unhurt, waiting

RATE = 20
KEY = dns.name.from_text("key.example")
SECRET = bytes(range(1, 33))
DNAMES, FANS = 16, 100
ZONE_TEXT = ZONE + "".join(f"big IN TXT \"{i:03d} {'x' * 60}\"\n" for i in range(60)) \
    + "".join(f"many IN {kind}\n" for kind in ("A 192.0.2.1", "AAAA 2001:db8::1", "MX 1 plain", f"TXT \"{'y' * 200}\"", "CAA 0 issue \"ca.example\"")) \
    + "".join(f"huge IN A 10.0.{i >> 8}.{i & 255}\n" for i in range(3000)) \
    + "".join(f"fan IN MX {i} t{i}\n" + "".join(f"t{i} IN A 10.1.{i}.{k}\n" for k in range(40)) for i in range(FANS)) \
    + "".join(f"d{i} IN DNAME d{i + 1}\n" for i in range(DNAMES)) + "x.d16 IN A 192.0.2.16\nloop IN DNAME in.loop\n*.wild IN A 192.0.2.7\n"


@pytest.fixture(scope="module", name="node")
def fixture_node():
    text = cluster().replace("    monitors: [web]\n", "") + "keys:\n  - {name: key.example, secret: {file: key.b64}}\n"
    node = Gtmd(text, zones={"example.com.zone": ZONE_TEXT, "key.b64": "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\n"})
    (node.dir / "key.b64").chmod(0o600)
    own = address(0).rsplit(".", 1)[0]
    node.write("node.yaml", node.node_text.replace(
        "threads: 1}", f"threads: 1, nsid: here, rate_limit: {{responses_per_s: {RATE}, slip: 2, exempt: [{own}.0/24, 127.0.0.1/32]}}}}"))
    try:
        yield node.start()
        assert node.stop() in (None, 0)
    except BaseException:
        print(node.log_text()[-8000:])
        raise
    finally:
        node.close()


def moved(before, after, name):
    return after[name] - before[name]


def settle(node):
    """One worker answers in order: what was sent before this has been dealt with."""
    assert node.ask("text.example.com", "TXT").answer


# --- amplification

def flood(node, wires, senders=50):
    """Sends from many addresses of one /24, as if spoofed: (octets sent, replies)."""
    sockets = [udp_socket(outside(address(1), 1 + i)) for i in range(senders)]
    try:
        for i, wire in enumerate(wires):
            sockets[i % senders].sendto(wire, (node.address, DNS_PORT))
            if i % 100 == 99:
                settle(node)
        settle(node)
        return sum(map(len, wires)), [reply for s in sockets for reply in waiting(s)]
    finally:
        for s in sockets:
            s.close()


@pytest.mark.parametrize("name, rtype", [("many", "ANY"), ("big", "TXT"), ("@", "DNSKEY"), ("{}", "A"), ("{}.wild", "A"), ("huge", "A")],
                         ids=["any", "txt", "dnskey", "nxdomain", "wildcard", "huge"])
def test_amplification_is_limited(node, name, rtype):
    """What a victim gets is no more than the attacker sends, but for a few answers a second; each other reply is cut."""
    count = 2000
    names = (f"{name.format(f'r{i}')}.example.com".replace("@.", "") for i in range(count))
    wires = [dns.message.make_query(n, rtype, use_edns=0, payload=4096).to_wire() for n in names]
    before, begun = node.metrics(), time.monotonic()
    with unhurt(node):
        sent, replies = flood(node, wires)
    seconds = time.monotonic() - begun
    after = node.metrics()
    cut = [r for r in replies if r[2] & 2]
    dropped, slipped = (moved(before, after, f'gtm_dns_rate_limited_total{{action="{a}"}}') for a in ("dropped", "slipped"))
    assert dropped + len(replies) == count and 0 < slipped <= len(cut), (dropped, slipped, len(replies))
    assert 0.7 < dropped / slipped < 1.4, "about every second one of the limited is cut: workers count without locks"
    free = count - dropped - slipped
    assert free <= RATE * (seconds + 2), (free, seconds)
    assert sum(map(len, replies)) <= sent + free * 1232
    assert all(len(r) <= 80 for r in cut)


def test_any_is_no_lever(node):
    """Where nothing is limited: one set is the answer, by UDP and TCP; never all that there is."""
    for tcp in (False, True):
        reply = node.ask("many.example.com", "ANY", tcp=tcp)
        assert len(reply.answer) == 1 and not reply.additional
        assert len(reply.to_wire()) < 300


def test_costly_names(node):
    """Huge sets, a hundred targets with forty addresses each, chains of DNAME: bounded in size and in time."""
    with unhurt(node):
        begun = time.monotonic()
        for _ in range(100):
            for name, rtype in (("huge", "A"), ("fan", "MX"), ("x.d0", "A"), ("y.d0", "A"), ("q.loop", "A")):
                query = dns.message.make_query(f"{name}.example.com", rtype, use_edns=0, payload=65535)
                wire = query.to_wire()
                with udp_socket(address(2)) as s:
                    s.sendto(wire, (node.address, DNS_PORT))
                    assert len(s.recv(65535)) <= 1232, name
        each = (time.monotonic() - begun) / 500
        assert each < 0.02, f"{each} s for each"
        whole = node.ask("huge.example.com", "A", tcp=True)
        assert len(whole.answer[0]) == 3000 and not whole.flags & dns.flags.TC
        assert len(node.ask("fan.example.com", "MX", tcp=True).answer[0]) == FANS
        chain = node.ask("x.d0.example.com", "A", tcp=True)
        assert str(chain.answer[-1][0]) == "192.0.2.16"
        assert len(node.ask("q.loop.example.com", "A", tcp=True).answer) <= 40


# --- messages

LONG = ".".join(["a" * 63] * 3 + ["b" * 49]) + ".example.com"
TSIG_BARE = record(name_wire("key.example"), 250, 255, 0, name_wire("hmac-sha256") + b"\0" * 6 + b"\1\x2c\0\0\0\0\0\0\0\0")
OPT = record(b"\0", 41, 4096, 0, b"")
ODD = {
    "qtype-65535": (packet(qtype=65535), 0), "qtype-0": (packet(qtype=0), 1), "tkey": (packet(qtype=249), None),
    "tkey-record": (packet(qtype=249, counts=(1, 0, 0, 1), rest=record(name_wire(PLAIN), 249, 255, 0, b"\0" * 30)), None),
    "tsig-as-type": (packet(qtype=250), None), "maila": (packet(qtype=254), None), "root": (packet(""), 5), "root-any": (packet("", 255), 5),
    "long": (packet(LONG), 3), "chaos-any": (packet("version.bind", 255, 3), 5), "class-any": (packet(qclass=255), 5),
    "many-records": (packet(counts=(1, 0, 0, 300), rest=record(b"\0", 1, 1, 0, b"abcd") * 300), None),
    "many-answers": (packet(counts=(1, 200, 200, 0), rest=record(b"\0", 16, 1, 0, b"\0") * 400), 1),
    "update": (packet(flags=5 << 11, qtype=6), 4), "update-any-class": (packet(flags=5 << 11, qtype=6, qclass=255), 4),
    "notify-chaos": (packet("example.com", 6, 3, 4 << 11), None), "notify-no-soa": (packet("example.com", 1, 1, 4 << 11), None),
    "iquery": (packet(flags=1 << 11), 4), "dso": (packet(flags=6 << 11), 4), "all-flags": (packet(flags=0x7ff, counts=(1, 0, 0, 0)), 0),
    "tsig-not-last": (packet(counts=(1, 0, 0, 2), rest=TSIG_BARE + OPT), 1), "two-tsig": (packet(counts=(1, 0, 0, 2), rest=TSIG_BARE * 2), 1),
    "tsig-cut": (packet(counts=(1, 0, 0, 1), rest=TSIG_BARE[:-3]), 1), "tsig-empty-mac": (packet(counts=(1, 0, 0, 1), rest=TSIG_BARE), None),
    "opt-cut": (packet(counts=(1, 0, 0, 1), rest=OPT[:-1]), 1), "nsid-full": (packet(counts=(1, 0, 0, 1), rest=record(b"\0", 41, 4096, 0, b"\0\3\0\4abcd")), 0),
    "cookie-41": (packet(counts=(1, 0, 0, 1), rest=record(b"\0", 41, 4096, 0, b"\0\x0a\0\x29" + b"c" * 41)), 1),
    "500-options": (packet(counts=(1, 0, 0, 1), rest=record(b"\0", 41, 4096, 0, b"\xfd\xe9\0\0" * 500)), 0),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_packets(node, kind):
    """Each with an intact header has one answer, small, with its id and opcode (silence would ease spoofing)."""
    wire, rcode = ODD[kind]
    with unhurt(node), udp_socket(address(3)) as s:
        for _ in range(50):
            s.sendto(wire, (node.address, DNS_PORT))
        for _ in range(50):
            reply = s.recv(65535)
            assert reply[:2] == wire[:2] and reply[2] & 0x80 and (reply[2] ^ wire[2]) & 0x78 == 0
            assert len(reply) <= len(wire) + 200
            assert rcode is None or reply[3] & 15 == rcode, reply[3] & 15
        settle(node)
        assert not waiting(s)
        with socket.create_connection((node.address, DNS_PORT), timeout=20) as tcp:
            tcp.sendall(framed(wire))
            assert dns.query._net_read(tcp, 2, None)


def test_nobody_gets_what_another_asked_for(node):
    """Interleaved on one worker: who asks with little gets little."""
    rng = random.Random(7)
    with udp_socket(address(4)) as s:
        for i in range(600):
            name, rtype = rng.choice((("www", "A"), ("plain", "A"), ("big", "TXT"), ("no", "A"), ("many", "TXT"), ("sub.none", "A")))
            edns = rng.random() < 0.5
            options = []
            if edns:
                options = rng.sample([dns.edns.ECSOption(f"198.51.{i & 255}.0", 24), dns.edns.GenericOption(3, b""),
                                      dns.edns.GenericOption(10, struct.pack("!Q", i))], rng.randrange(4))
            payload = rng.choice((512, 1232, 4096))
            query = dns.message.make_query(f"{name}.example.com", rtype, use_edns=0 if edns else -1, payload=payload, options=options,
                                           want_dnssec=edns and rng.random() < 0.5)
            s.sendto(query.to_wire(), (node.address, DNS_PORT))
            data = s.recv(65535)
            reply = dns.message.from_wire(data)
            assert query.is_response(reply) and reply.edns == query.edns
            assert len(data) <= (min(payload, 1232) if edns else 512)
            assert {o.otype for o in reply.options} - {15} == {o.otype for o in options}
            assert reply.ednsflags & 0x8000 == query.ednsflags & 0x8000
            for o in reply.options:
                if o.otype == 8:
                    assert o.address == f"198.51.{i & 255}.0" and o.srclen == 24
                if o.otype == 10:
                    assert o.to_wire()[:8] == struct.pack("!Q", i)


def test_notify_flood(node):
    """Thousands, of zones that are here and are not, and answers to questions that nobody asked."""
    before = node.metrics()
    count = 2000
    with unhurt(node), udp_socket(address(5)) as s:
        for i in range(count):
            wire = packet(f"{'example.com' if i % 2 else f'z{i}.test'}", 6, flags=4 << 11, number=i)
            s.sendto(wire, (node.address, DNS_PORT))
            s.sendto(packet("example.com", 6, flags=0x8000 | 4 << 11, number=i), (node.address, DNS_PORT))
            if i % 50 == 49:
                settle(node)
        replies = waiting(s)
    assert len(replies) == count, "one for each question, none for an answer"
    assert {r[3] & 15 for r in replies} <= {dns.rcode.NOTAUTH, dns.rcode.REFUSED}
    after = node.metrics()
    assert moved(before, after, 'gtm_dns_notify_requests_total{result="refused"}') == count
    assert moved(before, after, "gtm_dns_dropped_total") == count


def test_wrong_signatures(node):
    """Of a key that is known and one that is not, at a wrong time, cut off: refused, counted, never signed with a key."""
    rng = random.Random(5)
    before = node.metrics()
    count = 1000
    with unhurt(node), udp_socket(address(6)) as s:
        for i in range(count):
            query = dns.message.make_query(PLAIN, "A", id=i)
            query.use_tsig({KEY: SECRET}, keyname=KEY, algorithm="hmac-sha256")
            wire = bytearray(query.to_wire())
            at = len(wire) - 6 - 32 + rng.randrange(32)  # in the MAC
            wire[at] ^= 1 << rng.randrange(8)
            if i % 4 == 0:
                wire[wire.index(b"\3key\7example")] = 3
                wire = wire.replace(b"\3key\7example", b"\3not\7example")
            s.sendto(wire, (node.address, DNS_PORT))
            reply = s.recv(4096)
            assert reply[:2] == wire[:2] and reply[3] & 15 == dns.rcode.NOTAUTH and len(reply) <= len(wire)
            assert struct.unpack("!H", reply[6:8])[0] == 0, "no answer"
            error = struct.unpack("!H", reply[-4:-2])[0]
            assert error == (17 if i % 4 == 0 else 16), error
    after = node.metrics()
    tsig = {k: moved(before, after, k) for k in after if k.startswith("gtm_dns_tsig_requests_total") and moved(before, after, k)}
    assert sum(tsig.values()) == count and not any('"good"' in k or '"ok"' in k for k in tsig), tsig


# --- files

HEAD = ZONE.replace("2026112001", "2026112002")
WRONG_ZONES = {
    "label of 64": f"{'a' * 64} IN A 192.0.2.1", "name of 300": ".".join(["a" * 50] * 6) + " IN A 192.0.2.1",
    "name of a megabyte": f"{'a.' * 500000} IN A 192.0.2.1", "address of a megabyte": f"w IN A {'1' * 1000000}",
    "IPv6 of a megabyte": f"w IN AAAA {'1:' * 500000}", "string of 256": f"w IN TXT \"{'x' * 256}\"", "line of eight megabytes": "w IN TXT " + "x" * (8 << 20),
    "rdata of 70000": "w IN TXT " + f"\"{'x' * 250}\" " * 280, "open parenthesis": "w IN TXT (" + "\n" * 100000, "open quotation": "w IN TXT \"abc",
    "escape at the end": "w IN TXT \\", "escape of 999": "w IN TXT \"\\999\"", "SVCB keys twice": "w IN SVCB 1 . port=1 port=2", "SVCB key without end": "w IN SVCB 1 . alpn=\"h2",
    "SVCB mandatory itself": "w IN SVCB 1 . mandatory=mandatory", "SVCB of 65536 ports": "w IN SVCB 1 . port=65536", "SVCB alpn of 256": f"w IN SVCB 1 . alpn={'h' * 256}",
    "APL of 33 bits": "w IN APL 1:192.0.2.0/33", "APL of family 65536": "w IN APL 65536:00/1", "HIP without key": "w IN HIP 2 200100107B1A74DF365639CC39F1D578",
    "HIP of odd hex": "w IN HIP 2 20010010F AwEAAQ==", "generic too short": "w IN APL \\# 9 00", "generic too long": "w IN TYPE65280 \\# 1 0000", "generic of 65536": "w IN TYPE65280 \\# 65536 00",
    "generic A of 5": "w IN A \\# 5 0102030405", "wrong hex": "w IN DS 1 13 2 xyz", "LOC beyond the pole": "w IN LOC 91 0 0 N 0 0 0 E 0m", "TTL of 2^32": "w 4294967296 IN A 192.0.2.1",
    "bomb": "$GENERATE 1-2000000000 w$ A 192.0.2.1", "bomb of width": "$GENERATE 1-3 w${0,4000000} A 192.0.2.1", "include of itself": "$INCLUDE example.com.zone",
    "include of a device": "$INCLUDE /dev/zero", "octets": "\0\1\2\xff", "directive": "$NONSENSE 1",
}


@pytest.mark.parametrize("kind", WRONG_ZONES)
def test_zone_files(node, kind):
    """Refused with file and line, soon, and what was served is served on."""
    try:
        with unhurt(node, 64):
            node.write("example.com.zone", HEAD + WRONG_ZONES[kind] + "\n")
            begun = time.monotonic()
            reply = node.post("/reload", timeout=60)
            assert time.monotonic() - begun < 20
            assert reply.status == 422 and 'example.com.zone","line":' in reply.body.replace(" ", ""), reply.body[:600]
            assert len(reply.body) < 100000
            assert "2026112001" in str(node.ask("example.com", "SOA").answer[0][0])
            assert node.ask("big.example.com", "TXT", tcp=True).answer
    finally:
        node.write("example.com.zone", ZONE_TEXT)


# --- API

def raw(node, chunks, wait_s=20, network=False):
    """Sends octets while they are taken, to the socket or to the listener of metrics; what comes back."""
    got = b""
    with socket.socket(socket.AF_INET if network else socket.AF_UNIX) as s:
        s.settimeout(wait_s)
        s.connect((node.address, METRICS_PORT) if network else str(node.socket))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for chunk in chunks:
                s.sendall(chunk)
        with contextlib.suppress(ConnectionResetError):
            got = s.recv(65536)
    return got


POST = b"POST /api/v1/config/validate HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize("bomb", ["length", "length-lie", "chunks", "chunk-size", "headers", "depth", "numbers", "yaml", "strings"])
def test_api_bombs(node, bomb):
    """Bodies and headers of gigabytes, deep or wide documents: refused early, in little memory."""
    megabyte = b"x" * (1 << 20)
    # the socket, which is the operator's own, takes tables of 64 MiB; a reader of metrics may send one
    with unhurt(node, 96 if bomb == "chunks" else 24):
        if bomb == "length":
            assert b" 413 " in raw(node, [POST + b"Content-Length: 99999999999\r\n\r\n", megabyte])[:40]
        elif bomb == "length-lie":
            assert b" 400 " in raw(node, [POST + b"Content-Length: -1\r\n\r\n"])[:40]
        elif bomb == "chunks":
            with unhurt(node, 4):
                for _ in range(10):
                    got = raw(node, [POST + b"Transfer-Encoding: chunked\r\n\r\n"] + [b"100000\r\n" + megabyte + b"\r\n"] * 80, network=True)
                    assert not got or b" 4" in got[:40], got[:80]
            got = raw(node, [POST + b"Transfer-Encoding: chunked\r\n\r\n"] + [b"100000\r\n" + megabyte + b"\r\n"] * 200)
            assert not got or b" 413 " in got[:40], got[:80]
        elif bomb == "chunk-size":
            got = raw(node, [POST + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n" + b"x" * 100])
            assert not got or b" 200 " not in got[:40], got[:80]
        elif bomb == "headers":
            got = raw(node, [POST] + [b"X-%d: " % i + b"y" * 60000 + b"\r\n" for i in range(500)])
            assert not got or b" 4" in got[:12], got[:80]
        else:
            text = {"depth": "[" * 500000, "numbers": "a: [" + "1," * 300000 + "1]", "strings": "a: \"" + "\\u0000" * 100000 + "\"",
                    "yaml": "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(f"b{i}: &b{i} [*a,*a,*a,*a]\n" for i in range(9))}[bomb]
            begun = time.monotonic()
            reply = node.request("POST", "/config/validate", body=text, headers={"Content-Type": "application/json" if bomb == "depth" else "application/yaml"})
            assert 400 <= reply.status < 500 or '"valid":false' in reply.body.replace(" ", ""), reply.body[:200]
            assert time.monotonic() - begun < 10 and len(reply.body) < 1 << 20


def test_api_names_are_escaped(node):
    """Names that come from outside do not break out of JSON, of the log or of the metrics."""
    with unhurt(node):
        for name in ("%0a%22%7d", "%1b%5b2J", "..%2f..%2fetc%2fpasswd", "%00", "%ff%fe", "x%22,%22y%22:1"):
            reply = node.get(f"/pools/{name}")
            assert reply.status in (400, 404)
            assert set(json.loads(reply.body)) & {"title", "type", "detail"}
        node.metrics()
    for line in node.log_text().splitlines():
        if line.startswith("{"):
            json.loads(line)
    assert "\x1b" not in node.log_text()


# --- links

def order(node, way):
    subprocess.run([str(BUILD / "bin" / "gtmctl"), "--socket", str(node.socket), "pool", way, "www", "--yes"], check=True,
                   capture_output=True, timeout=30)


def test_links_are_not_followed(tmp_path):
    """What stands where gtmd makes its files and is a link: refused, or replaced; what it points to stays as it was."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    made = Gtmd(cluster().replace("    monitors: [web]\n", ""), zones={"example.com.zone": ZONE})
    made.node_text = made.node_text.replace(made.address, address(60))
    made.address = address(60)
    made.write("node.yaml", made.node_text)
    try:
        made.socket.symlink_to(victim)
        code, text = made.run("--config", "node.yaml")
        assert code == 1 and "api.sock" in text
        assert made.socket.is_symlink() and victim.read_text() == "precious"
        made.socket.unlink()
        made.start()
        order(made, "drain")
        assert made.stop() == 0
        files = [f for f in (made.dir / "data").rglob("*") if f.is_file()]
        assert len(files) > 1, "it keeps files"
        (made.dir / "data" / "lock").unlink()
        (made.dir / "data" / "lock").symlink_to(victim)
        code, text = made.run("--config", "node.yaml")
        assert code == 1 and "lock" in text
        for file in files:
            file.unlink()
            if file.name != "lock":
                file.symlink_to(victim)
        made.start()
        for way in ("drain", "auto", "down"):
            order(made, way)
        assert made.stop() == 0
        assert victim.read_text() == "precious", "nothing was written through a link"
    finally:
        made.close()
