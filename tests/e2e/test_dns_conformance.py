# SPDX-License-Identifier: Apache-2.0
"""What any DNS client may expect of a real gtmd, and what it survives: truncation and TCP, EDNS, the case of names,
packets that are wrong in every way, connections that are slow, idle or many.

Silence is proven without waiting: one worker answers in order, so when a later question on the same socket is
answered first, the earlier packet was dropped.
"""
import contextlib
import os
import random
import socket
import struct

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from harness import DEADLINE_S, DNS_PORT, ZONE, Gtmd, cluster, gtmd, wait_for

V6_PORT = 20000 + os.getpid() % 12000  # ::1 is one address for all tests of the machine
ZONE_TEXT = ZONE + "".join(f"big IN TXT \"{i:03d} {'x' * 60}\"\n" for i in range(60)) + """\
*.wild IN A 192.0.2.7
alias IN CNAME Plain
out IN CNAME www.example.net.
sub IN NS ns.sub
ns.sub IN A 192.0.2.53
""" + f"mid IN TXT {' '.join(['m' * 200] * 3)}\n"
PLAIN = "plain.example.com"
UDP_MAX = 1232


@pytest.fixture(scope="module", name="node")
def fixture_node():
    listen = f", {{address: \"::1\", port: {V6_PORT}}}]"
    world = gtmd_with_ipv6(listen) if socket.has_ipv6 and has_loopback6() else \
        gtmd(unwatched(), zones={"example.com.zone": ZONE_TEXT})
    with world as node:
        yield node
        assert node.process.poll() is None, node.log_text()


def has_loopback6():
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


def unwatched():
    """The shared world without checks: this file is about DNS only."""
    return cluster().replace("    monitors: [web]\n", "")


@contextlib.contextmanager
def gtmd_with_ipv6(listen):
    node = Gtmd(unwatched(), zones={"example.com.zone": ZONE_TEXT})
    node.node_text = node.node_text.replace(f"port: {DNS_PORT}}}]", f"port: {DNS_PORT}}}" + listen)
    node.write("node.yaml", node.node_text)
    try:
        yield node.start()
        assert node.stop() == 0
    finally:
        node.close()


class Udp:
    """A socket that talks to one gtmd."""

    def __init__(self, node):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.settimeout(DEADLINE_S)
        self.sock.connect((node.address, DNS_PORT))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def reply(self, packet):
        """The reply's octets, or None when a canary that was asked later is answered first."""
        canary = dns.message.make_query("text.example.com", "TXT", id=0xC0DE)
        self.sock.send(packet)
        self.sock.send(canary.to_wire())
        first = self.sock.recv(65535)
        if is_canary(first):
            return None
        assert is_canary(self.sock.recv(65535)), "two replies to one packet"
        return first


def is_canary(data):
    return data[:2] == b"\xc0\xde" and b"\x04text\x07example" in data


@pytest.fixture(name="udp")
def fixture_udp(node):
    with Udp(node) as udp:
        yield udp


def query(name=PLAIN, rtype="A", **kw):
    return dns.message.make_query(name, rtype, id=kw.pop("id", 0x1234), **kw)


def rcode_of(data):
    return data[3] & 15


def header(data):
    return struct.unpack("!6H", data[:12])


# --- what is right

def test_authoritative_answers(node):
    reply = node.ask(PLAIN)
    assert reply.flags & dns.flags.AA and not reply.flags & dns.flags.RA
    assert [str(rd) for rd in reply.answer[0]] == ["192.0.2.99"] and reply.answer[0].ttl == 300
    negative = node.ask("nothing.example.com")
    assert negative.rcode() == dns.rcode.NXDOMAIN and negative.authority[0].rdtype == dns.rdatatype.SOA
    assert negative.authority[0].ttl == 60, "the smaller of the SOA's TTL and its minimum (RFC 2308 3)"
    nodata = node.ask(PLAIN, "AAAA")
    assert nodata.rcode() == dns.rcode.NOERROR and not nodata.answer
    assert nodata.authority[0].rdtype == dns.rdatatype.SOA
    wild = node.ask("a.b.wild.example.com")
    assert [str(r.name) for r in wild.answer] == ["a.b.wild.example.com."]
    assert node.addresses("alias.example.com") == ["192.0.2.99"]
    outside = node.ask("out.example.com")
    assert [r.rdtype for r in outside.answer] == [dns.rdatatype.CNAME] and outside.rcode() == dns.rcode.NOERROR
    referral = node.ask("deep.sub.example.com")
    assert not referral.flags & dns.flags.AA and not referral.answer
    assert str(referral.authority[0].name) == "sub.example.com."
    assert [str(r.name) for r in referral.additional] == ["ns.sub.example.com."]
    assert node.ask("www.example.net").rcode() == dns.rcode.REFUSED


def test_ipv6_transport():
    if not has_loopback6():
        pytest.skip("no IPv6 on loopback here")
    for send in (dns.query.udp, dns.query.tcp):
        reply = send(query(), "::1", port=V6_PORT, timeout=DEADLINE_S)
        assert [str(rd) for rd in reply.answer[0]] == ["192.0.2.99"]


@pytest.mark.parametrize("payload", [None, 0, 100, 512, 513, 1000, 1231, 1232, 1233, 4096, 65535])
def test_no_more_than_the_client_takes(node, udp, payload):
    asked = query("big.example.com", "TXT", **({} if payload is None else {"use_edns": 0, "payload": payload}))
    data = udp.reply(asked.to_wire())
    assert len(data) <= min(max(payload or 512, 512), UDP_MAX)
    reply = dns.message.from_wire(data, ignore_trailing=False)
    assert reply.flags & dns.flags.TC and not reply.answer
    assert (reply.edns == 0) == (payload is not None), "OPT only when it was asked with one (RFC 6891 6.1.1)"
    if payload is not None:
        assert reply.payload == UDP_MAX
    whole = dns.query.tcp(asked, node.address, port=DNS_PORT, timeout=DEADLINE_S)
    assert not whole.flags & dns.flags.TC and len(whole.answer[0]) == 60


def test_largest_that_fits_is_not_truncated(udp):
    """An answer goes whole when the client takes exactly its size, and truncated when it takes one octet less."""
    size = len(udp.reply(query("mid.example.com", "TXT", use_edns=0, payload=UDP_MAX).to_wire()))
    assert 512 < size < UDP_MAX
    for room, cut in ((size + 1, False), (size, False), (size - 1, True)):
        reply = dns.message.from_wire(udp.reply(query("mid.example.com", "TXT", use_edns=0, payload=room).to_wire()))
        assert bool(reply.flags & dns.flags.TC) is cut and bool(reply.answer) is not cut


def test_case_of_the_question_is_kept(udp):
    rnd = random.Random(20)
    for _ in range(50):
        name = "".join(c.upper() if rnd.random() < 0.5 else c for c in "www.example.com")
        wire = query(name, id=rnd.randrange(65536)).to_wire()
        data = udp.reply(wire)
        assert data[:2] == wire[:2] and data[12:len(wire)] == wire[12:], "the very octets (0x20)"
        assert rcode_of(data) == 0 and header(data)[3] == 1


def test_flags_are_echoed_as_they_should(udp):
    for rd in (0, dns.flags.RD):
        for cd in (0, dns.flags.CD):
            asked = query()
            asked.flags = rd | cd
            reply = dns.message.from_wire(udp.reply(asked.to_wire()))
            assert reply.flags & dns.flags.RD == rd and reply.flags & dns.flags.CD == cd
            assert not reply.flags & dns.flags.AD


def test_unknown_edns_is_ignored(udp):
    options = [dns.edns.GenericOption(65001, b"hello"), dns.edns.GenericOption(3, b"")]
    reply = dns.message.from_wire(udp.reply(query(use_edns=0, options=options, ednsflags=0x7fff).to_wire()))
    assert reply.rcode() == 0 and reply.answer and not [o for o in reply.options if o.otype == 65001]
    version = query(use_edns=0)
    version.use_edns(1, payload=1232)
    reply = dns.message.from_wire(udp.reply(version.to_wire()))
    assert reply.rcode() == dns.rcode.BADVERS and reply.edns == 0 and not reply.answer


def test_any_is_short(node):
    reply = node.ask("example.com", "ANY")
    assert len(reply.answer) == 1, "one RRset, not all (RFC 8482)"


@pytest.mark.parametrize("qtype,rcode", [("AXFR", dns.rcode.FORMERR), ("IXFR", dns.rcode.FORMERR),
                                         ("TYPE65280", dns.rcode.NOERROR), ("OPT", dns.rcode.FORMERR),
                                         ("TYPE0", dns.rcode.FORMERR)])
def test_odd_types(udp, qtype, rcode):
    wire = bytearray(query().to_wire())
    wire[-4:-2] = struct.pack("!H", int(dns.rdatatype.from_text(qtype)))
    data = udp.reply(bytes(wire))
    assert rcode_of(data) == rcode and header(data)[3] == 0


def test_other_classes_are_refused(udp):
    for qclass in (0, 3, 4, 254):
        wire = bytearray(query().to_wire())
        wire[-2:] = struct.pack("!H", qclass)
        assert rcode_of(udp.reply(bytes(wire))) == dns.rcode.REFUSED


# --- what is wrong

@pytest.mark.parametrize("opcode", [c for c in range(16) if c not in (dns.opcode.QUERY, dns.opcode.NOTIFY)])
def test_unknown_opcodes(udp, opcode):
    wire = bytearray(query().to_wire())
    wire[2] = opcode << 3
    data = udp.reply(bytes(wire))
    assert rcode_of(data) == dns.rcode.NOTIMP and data[:2] == wire[:2]
    assert data[2] >> 3 & 15 == opcode and data[2] & 0x80


def test_every_truncation(udp):
    subnet = dns.edns.ECSOption("198.51.100.0", 24)
    wire = query("www.example.com", use_edns=0, options=[subnet]).to_wire()
    for length in range(len(wire)):
        data = udp.reply(wire[:length])
        if length < 12:
            assert data is None, f"{length} octets are no header: silence"
        else:
            assert rcode_of(data) == dns.rcode.FORMERR and data[:2] == wire[:2], length
    assert rcode_of(udp.reply(wire)) == dns.rcode.NOERROR


def test_trailing_octets(udp):
    assert rcode_of(udp.reply(query().to_wire() + b"\0")) == dns.rcode.FORMERR


def test_replies_are_not_answered(udp):
    """Else two servers could talk to each other for ever."""
    wire = bytearray(query().to_wire())
    for flags in (0x80, 0x84, 0xf8):
        wire[2] = flags
        assert udp.reply(bytes(wire)) is None


@pytest.mark.parametrize("count", [0, 2, 65535])
def test_question_counts(udp, count):
    question = query().to_wire()[12:]
    for repeat in {0, 1, min(count, 2)}:
        data = udp.reply(struct.pack("!6H", 7, 0, count, 0, 0, 0) + question * repeat)
        assert rcode_of(data) == dns.rcode.FORMERR and data[:2] == b"\0\7"


def raw_query(name, counts=(1, 0, 0, 0), rest=b""):
    return struct.pack("!6H", 9, 0, *counts) + name + struct.pack("!2H", 1, 1) + rest


OPT = b"\0" + struct.pack("!HHIH", 41, 1232, 0, 0)


def opt(options):
    return b"\0" + struct.pack("!HHIH", 41, 1232, 0, len(options)) + options


def ecs(family, source, scope, address):
    return opt(struct.pack("!HHHBB", 8, 4 + len(address), family, source, scope) + address)


NAME = b"\5plain\7example\3com\0"
LONGEST = b"\x3f" + b"a" * 63 + (b"\x3f" + b"b" * 63) * 2 + b"\x31" + b"c" * 49 + b"\7example\3com\0"
assert len(LONGEST) == 255


@pytest.mark.parametrize("packet", [
    pytest.param(raw_query(b"\xc0\x0c"), id="name-points-to-itself"),
    pytest.param(raw_query(b"\1a\xc0\x0c"), id="compression-loop"),
    pytest.param(raw_query(b"\xc0\xff"), id="pointer-behind-the-end"),
    pytest.param(raw_query(b"\x40" + b"a" * 64 + b"\0"), id="label-of-64"),
    pytest.param(raw_query(b"\x80" + b"a" * 20 + b"\0"), id="reserved-label-kind"),
    pytest.param(raw_query((b"\1a" * 126) + b"\1bb\0"), id="name-past-its-end"),
    pytest.param(raw_query(b"\1x" + LONGEST), id="name-of-257"),
    pytest.param(raw_query(b"\1a" * 128 + b"\0"), id="128-labels"),
    pytest.param(raw_query(NAME, (1, 1, 0, 0), NAME + struct.pack("!HHIH4s", 1, 1, 1, 4, b"abcd")), id="an-answer"),
    pytest.param(raw_query(NAME, (1, 0, 0, 2), OPT + OPT), id="two-OPT"),
    pytest.param(raw_query(NAME, (1, 0, 1, 0), OPT), id="OPT-in-authority"),
    pytest.param(raw_query(NAME, (1, 0, 0, 1), b"\1a" + OPT), id="OPT-with-a-name"),
    pytest.param(raw_query(NAME, (1, 0, 0, 1), OPT[:-2] + b"\0\5"), id="OPT-longer-than-the-packet"),
    pytest.param(raw_query(NAME, (1, 0, 0, 1), opt(b"\0\x08\0")), id="half-an-option"),
    pytest.param(raw_query(NAME, (1, 0, 0, 1), opt(b"\0\x08\0\xff\0\1")), id="option-longer-than-OPT"),
    pytest.param(raw_query(NAME, (1, 0, 0, 1), opt(b"\0\x08\0\0")), id="empty-ECS"),
    pytest.param(raw_query(NAME, (1, 0, 0, 1), ecs(1, 33, 0, b"\1\2\3\4\5")), id="ECS-of-33-bits"),
    pytest.param(raw_query(NAME, (1, 0, 0, 1), ecs(2, 129, 0, b"\1" * 17)), id="ECS-of-129-bits"),
    pytest.param(raw_query(NAME, (1, 0, 0, 1), ecs(1, 24, 24, b"\1\2\3")), id="ECS-with-a-scope"),
    pytest.param(raw_query(NAME, (1, 0, 0, 1), ecs(1, 24, 0, b"\1\2\3\0")), id="ECS-with-too-many-octets"),
    pytest.param(raw_query(NAME, (1, 0, 0, 1), ecs(1, 24, 0, b"\1\2")), id="ECS-with-too-few-octets"),
    pytest.param(raw_query(NAME, (1, 0, 0, 1), ecs(1, 20, 0, b"\1\2\x1f")), id="ECS-with-bits-behind-its-length"),
    pytest.param(raw_query(NAME, (1, 0, 0, 1), ecs(3, 8, 0, b"\1")), id="ECS-of-an-unknown-family")])
def test_malformed_gets_formerr(udp, packet):
    data = udp.reply(packet)
    assert data is not None and rcode_of(data) == dns.rcode.FORMERR and data[:2] == packet[:2] and data[2] & 0x80
    assert header(data)[3] == 0 and len(data) <= 512


def test_longest_name_is_answered(udp):
    data = udp.reply(raw_query(LONGEST))
    assert rcode_of(data) == dns.rcode.NXDOMAIN and data[12:12 + 255] == LONGEST
    dns.message.from_wire(data)


def test_good_ecs_is_not_formerr(udp):
    for good in (ecs(1, 0, 0, b""), ecs(2, 0, 0, b""), ecs(1, 24, 0, b"\1\2\3"),
                 ecs(2, 56, 0, b"\x20\1\x0d\xb8\0\0\0")):
        assert rcode_of(udp.reply(raw_query(NAME, (1, 0, 0, 1), good))) == dns.rcode.NOERROR


def test_mutations_never_hurt(node, udp):
    """Whatever bits flip: silence, or one well-formed reply with our id that is no larger than allowed."""
    rnd = random.Random(1034)
    seeds = [query(use_edns=0, options=[dns.edns.ECSOption("198.51.100.0", 24)]).to_wire(),
             query("www.example.com", "AAAA").to_wire(), query("big.example.com", "TXT", use_edns=0).to_wire(),
             query("a.b.wild.example.com", "ANY", use_edns=0, want_dnssec=True).to_wire()]
    replies = 0
    for _ in range(1500):
        wire = bytearray(rnd.choice(seeds))
        for _ in range(rnd.choice((1, 1, 2, 4, 16))):
            wire[rnd.randrange(2, len(wire))] = rnd.choice((0, 1, 0xc0, 0xff, rnd.randrange(256)))
        if rnd.random() < 0.2:
            wire = wire[:rnd.randrange(len(wire))] + bytes(rnd.randrange(256) for _ in range(rnd.randrange(40)))
        data = udp.reply(bytes(wire))
        if data is None:
            continue
        replies += 1
        assert data[:2] == wire[:2] and data[2] & 0x80 and len(data) <= UDP_MAX
        if data[2] & 0x78 == 0:  # dnspython knows no other opcodes
            dns.message.from_wire(data)
    assert 500 < replies < 1500
    assert node.process.poll() is None


def test_large_and_empty_datagrams(udp):
    assert udp.reply(b"") is None
    assert udp.reply(b"\0" * 9000) is not None
    data = udp.reply(query().to_wire() + b"\xff" * 20000)
    assert rcode_of(data) == dns.rcode.FORMERR


# --- TCP

class Tcp:
    def __init__(self, node):
        self.sock = socket.create_connection((node.address, DNS_PORT), timeout=DEADLINE_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, *messages):
        self.sock.sendall(b"".join(struct.pack("!H", len(m)) + m for m in messages))

    def exactly(self, octets):
        data = b""
        while len(data) < octets:
            part = self.sock.recv(octets - len(data))
            if not part:
                raise EOFError(f"closed after {len(data)} of {octets} octets")
            data += part
        return data

    def receive(self):
        return self.exactly(struct.unpack("!H", self.exactly(2))[0])

    def ended(self):
        """Closed by the server (reset counts too)."""
        try:
            return self.sock.recv(1) == b""
        except ConnectionResetError:
            return True


def test_pipelining(node):
    """Several hundred questions before the first answer is read; each is answered once, with its own content."""
    asked = {i: ("big.example.com", "TXT") if i % 10 == 0 else (f"n{i}.wild.example.com", "A") for i in range(400)}
    with Tcp(node) as tcp:
        tcp.send(*(query(name, rtype, id=i).to_wire() for i, (name, rtype) in asked.items()))
        for _ in range(len(asked)):
            reply = dns.message.from_wire(tcp.receive())
            name, rtype = asked.pop(reply.id)
            assert reply.question[0].name == dns.name.from_text(name) and not reply.flags & dns.flags.TC
            assert len(reply.answer[0]) == (60 if rtype == "TXT" else 1)
    assert not asked


def test_one_octet_segments(node):
    wire = query("www.example.com").to_wire()
    with Tcp(node) as tcp:
        for message in (wire, wire):
            for octet in struct.pack("!H", len(message)) + message:
                tcp.sock.sendall(bytes([octet]))
            assert dns.message.from_wire(tcp.receive()).answer
        # A message and a half, then the other half.
        both = (struct.pack("!H", len(wire)) + wire) * 2
        tcp.sock.sendall(both[:len(wire) + 10])
        assert dns.message.from_wire(tcp.receive()).answer
        tcp.sock.sendall(both[len(wire) + 10:])
        assert dns.message.from_wire(tcp.receive()).answer


def test_half_close_is_still_answered(node):
    """Also when far more is asked than is sent at once: more than a megabyte of answers waits when the end comes."""
    with Tcp(node) as tcp:
        tcp.send(*(query("big.example.com", "TXT", id=i).to_wire() for i in range(300)))
        tcp.sock.shutdown(socket.SHUT_WR)
        assert sorted(dns.message.from_wire(tcp.receive()).id for _ in range(300)) == list(range(300))
        assert tcp.ended()


def test_bad_messages_on_a_connection(node):
    with Tcp(node) as tcp:
        tcp.send(raw_query(b"\xc0\x0c"), query(id=5).to_wire())
        assert rcode_of(tcp.receive()) == dns.rcode.FORMERR
        assert dns.message.from_wire(tcp.receive()).id == 5
        response = bytearray(query().to_wire())
        response[2] = 0x80
        tcp.send(bytes(response), query(id=6).to_wire())
        assert dns.message.from_wire(tcp.receive()).id == 6, "a reply is dropped, the connection goes on"
    for short in (b"", b"\0", b"\0" * 11):
        with Tcp(node) as tcp:
            tcp.send(short)
            assert tcp.ended(), f"a message of {len(short)} octets"
    assert node.addresses(PLAIN) == ["192.0.2.99"]


def test_largest_message(node):
    with Tcp(node) as tcp:
        tcp.send(query().to_wire() + b"\0" * (65535 - len(query().to_wire())), query(id=8).to_wire())
        assert rcode_of(tcp.receive()) == dns.rcode.FORMERR
        assert dns.message.from_wire(tcp.receive()).id == 8


def test_idle_clients_keep_nobody_out(node):
    """Those that say nothing, and those that stop in the middle of a message."""
    half = struct.pack("!H", 100) + b"\0" * 20
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(Tcp(node)) for _ in range(150)]
        for tcp in idle[::2]:
            tcp.sock.sendall(half)
        # One address may have a hundred: its longest idle ones made room.
        wait_for(lambda: idle[49].ended() and node.get("/status").item["dns"]["tcp_clients"] == 100, "a hundred are left")
        assert node.ask(PLAIN, tcp=True, timeout=DEADLINE_S).answer
        # They are still welcome themselves.
        idle[149].send(query(id=77).to_wire())
        assert dns.message.from_wire(idle[149].receive()).id == 77
    wait_for(lambda: node.get("/status").item["dns"]["tcp_clients"] == 0, "all have gone")


def test_more_clients_than_allowed(node):
    """At the bound the longest idle one makes room, and the one that works stays."""
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(Tcp(node))
        busy = stack.enter_context(Tcp(node))
        for i in range(1100):
            stack.enter_context(Tcp(node))
            if i % 50 == 0:
                busy.send(query(id=i).to_wire())
                assert dns.message.from_wire(busy.receive()).id == i
        assert node.ask(PLAIN, tcp=True, timeout=DEADLINE_S).answer
        assert first.ended(), "the longest idle one was closed"
        busy.send(query(id=4711).to_wire())
        assert dns.message.from_wire(busy.receive()).id == 4711
        assert node.get("/status").item["dns"]["tcp_clients"] <= 100


def test_clients_that_do_not_read(node):
    """Much is asked, nothing is read: memory stays bounded and others are served."""
    before = node.metrics()["process_resident_memory_bytes"]
    wire = b"".join(struct.pack("!H", len(w)) + w for w in [query("big.example.com", "TXT").to_wire()] * 200)
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            tcp = stack.enter_context(Tcp(node))
            tcp.sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                for _ in range(100):
                    tcp.sock.send(wire)
        assert node.ask(PLAIN, tcp=True, timeout=DEADLINE_S).answer
        assert node.addresses(PLAIN) == ["192.0.2.99"]
        grown = node.metrics()["process_resident_memory_bytes"] - before
    assert grown < 64 << 20, f"grew by {grown} octets"


def test_counters_tell_what_came(node, udp):
    def counted():
        samples = node.metrics()
        return [samples[name] for name in ('gtm_dns_responses_total{rcode="formerr"}', "gtm_dns_dropped_total",
                                           "gtm_dns_truncated_total", 'gtm_dns_requests_total{proto="tcp"}')]
    before = counted()
    udp.reply(raw_query(b"\xc0\x0c"))
    udp.reply(b"short")
    udp.reply(query("big.example.com", "TXT").to_wire())
    node.ask("big.example.com", "TXT", tcp=True)
    assert [after - old for after, old in zip(counted(), before)] == [1, 1, 1, 1]
