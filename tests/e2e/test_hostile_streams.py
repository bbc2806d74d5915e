# SPDX-License-Identifier: Apache-2.0
"""Hostile clients of streams (TCP, DoT, PROXY, transfers) and hostile primaries against a real gtmd. The table of classes
stands in test_hostile.py. After each: it lives, answers over UDP and TCP, its memory and descriptors are bounded, and its
counters have moved."""
import contextlib
import json
import resource
import socket
import ssl
import struct
import subprocess
import time

import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

from harness import DNS_PORT, ZONE, Gtmd, address, cluster, wait_for

from dns_hostile import MIB, Primary, ask_over, descriptors, framed, name_wire, outside, record, rss, sanitized, soa, udp_socket, unhurt

TLS_PORT = 8853
CLIENTS, IDLE_S = 1000, 3  # of them all is the default
PROXY = b"\r\n\r\n\x00\r\nQUIT\n"
ZONE_TEXT = ZONE + "".join(f"big IN TXT \"{i:0240}\"\n" for i in range(200))
LARGE = "$TTL 60\n@ SOA ns a.b 1 3600 600 86400 60\n@ NS ns\nns A 192.0.2.53\n" + "".join(
    f"n{i} TXT \"{'x' * 250}\"\n" for i in range(30000))


def unwatched():
    return cluster().replace("    monitors: [web]\n", "")


@pytest.fixture(scope="module", name="node")
def fixture_node():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20000), hard))
    text = unwatched() + "  - name: large.test\n    file: large.zone\n    transfer: [{networks: [127.0.0.0/8]}]\n"
    node = Gtmd(text, zones={"example.com.zone": ZONE_TEXT, "large.zone": LARGE})
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                    "/CN=dns", "-keyout", "dns.key", "-out", "dns.pem"], check=True, capture_output=True, cwd=node.dir)
    node.write("node.yaml", node.node_text.replace(
        "threads: 1}", f"threads: 1, tcp: {{clients: {CLIENTS}, idle: {IDLE_S}s}}, proxy: [{address(50)}/32], "
        f"tls: {{listen: [{{address: {node.address}, port: {TLS_PORT}}}], cert: dns.pem, key: dns.key}}}}"))
    try:
        yield node.start()
        assert node.stop() in (None, 0)
    except BaseException:
        print(node.log_text()[-8000:])
        raise
    finally:
        node.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def dial(node, source, port=DNS_PORT, rcvbuf=None):
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if rcvbuf:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
    s.settimeout(20)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    s.bind((source, 0))
    s.connect((node.address, port))
    return s


def over_tls(node, source, **kw):
    context = ssl._create_unverified_context()
    return context.wrap_socket(dial(node, source, TLS_PORT, **kw), server_hostname="dns")


def client_hello():
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        ssl._create_unverified_context().wrap_bio(incoming, outgoing, server_hostname="dns").do_handshake()
    return outgoing.read()


def served(node, n=12):
    """A stranger is answered over TCP and DoT."""
    with dial(node, address(n)) as tcp, over_tls(node, address(n)) as tls:
        return all(ask_over(s) is not None for s in (tcp, tls))


def ended(s):
    """Reads until the server closes; the octets until then."""
    got = 0
    with contextlib.suppress(OSError):
        while True:
            data = s.recv(65536)
            if not data:
                break
            got += len(data)
    return got


def closed(node):
    return sum(count for name, count in node.metrics().items() if name.startswith("gtm_dns_tcp_closed_total"))


def all_gone(node):
    wait_for(lambda: node.metrics()["gtm_dns_tcp_connections"] == 0, "all are gone")


def close_all(sockets):
    for s in sockets:
        s.close()


def test_ten_thousand_at_once(node):
    """All open at the same time, of two hundred addresses: silent, half a message, no hello, half a hello."""
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 11000:
        pytest.skip("this machine allows too few open files")
    half, hello = framed(b"\0" * 40)[:9], client_hello()
    before = closed(node)
    crowd = []
    try:
        with unhurt(node, 96):
            for i in range(10000):
                source = outside(address(1), 1 + i % 200)
                s = dial(node, source, TLS_PORT if i & 1 else DNS_PORT)
                crowd.append(s)
                if i & 2:
                    s.sendall(hello[:len(hello) // 2] if i & 1 else half)
                if i % 1000 == 999:
                    assert node.metrics()["gtm_dns_tcp_connections"] <= CLIENTS
                    assert descriptors(node) < CLIENTS + 300
                    assert served(node)
            now = node.metrics()
            assert closed(node) - before + now["gtm_dns_tcp_connections"] >= 10000
            assert now['gtm_dns_tcp_closed_total{reason="evicted"}'] >= 1000
    finally:
        close_all(crowd)
    all_gone(node)


@pytest.mark.parametrize("how", ["tcp", "hello", "tls"])
def test_slowloris(node, how):
    """An octet now and then does not keep a connection: a whole message has to come in time."""
    wire = framed(dns.message.make_query("plain.example.com", "A").to_wire())
    with unhurt(node):
        data = client_hello() if how == "hello" else wire
        crowd = [over_tls(node, address(100 + i)) if how == "tls" else dial(node, address(100 + i), TLS_PORT if how == "hello" else DNS_PORT)
                 for i in range(10)]
        begun = time.monotonic()
        gone, at = set(), 0
        while len(gone) < len(crowd):
            assert time.monotonic() - begun < IDLE_S * 4, f"{len(gone)} of {len(crowd)} are closed"
            for s in set(crowd) - gone:
                try:
                    s.sendall(data[at:at + 1])
                except OSError:
                    gone.add(s)
            at = at + 1 if at < len(data) - 2 else at  # never the last
            assert node.ask("plain.example.com").answer
            time.sleep(0.1)
        assert time.monotonic() - begun >= IDLE_S - 1
        close_all(crowd)
        assert served(node)


@pytest.mark.parametrize("way", ["tcp", "tls"])
def test_clients_that_never_read(node, way):
    """They ask for a hundred megabytes: what waits for them is bounded, others are served, and they are closed."""
    queries = framed(dns.message.make_query("big.example.com", "TXT").to_wire()) * 500
    before = closed(node)
    with unhurt(node, 48):
        crowd = []
        for i in range(40):
            s = over_tls(node, address(100 + i), rcvbuf=4096) if way == "tls" else dial(node, address(100 + i), rcvbuf=4096)
            s.settimeout(0.02)
            with contextlib.suppress(OSError):
                s.sendall(queries)
            crowd.append(s)
        assert served(node)
        all_gone(node)
        assert closed(node) - before >= 40
    close_all(crowd)


def test_handshakes_that_end_early(node):
    """At each step: before and within the hello, after the server's, with garbage, by reset and by an orderly end."""
    hello = client_hello()
    failed = 'gtm_dns_tls_handshakes_total{result="failed"}'
    before = node.metrics()[failed]
    with unhurt(node, 48):
        for i in range(600):
            s = dial(node, address(100 + i % 100), TLS_PORT)
            cut = (i * 7) % (len(hello) + 40)
            with contextlib.suppress(OSError):
                s.sendall(hello[:cut] if i % 3 else bytes(b ^ (k % 5 == 0) for k, b in enumerate(hello[:cut])))
                if cut >= len(hello):
                    s.recv(100)
                    s.sendall(b"\x16\x03\x03\x00\x05junk!" if i & 1 else b"")
            if i & 1:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.close()
        assert served(node)
    all_gone(node)
    assert node.metrics()[failed] - before >= 100
    with dial(node, address(20), TLS_PORT) as s:  # a plain question to the port of TLS
        assert ask_over(s) is None


def test_proxy_headers_cut_off(node):
    """From a proxy: each beginning of a header, ended, reset or followed by silence."""
    header = PROXY + b"\x21\x11" + struct.pack("!H", 12) + socket.inet_aton("198.51.100.7") + socket.inet_aton("192.0.2.53") + b"\x12\x34\0\x35"
    source = address(50)
    with unhurt(node):
        waiting = []
        for cut in range(len(header)):
            for how in ("end", "reset", "silence", "TLS"):
                s = dial(node, source, TLS_PORT if how == "TLS" else DNS_PORT)
                s.sendall(header[:cut])
                if how == "reset":
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    s.close()
                elif how == "end":
                    s.shutdown(socket.SHUT_WR)
                    assert ended(s) == 0
                    s.close()
                else:
                    waiting.append(s)
        for wrong in (header[:12] + b"\x31" + header[13:], header[:14] + b"\xff\xff" + header[16:] + b"\0" * 3000, b"GET / HTTP/1.1\r\n\r\n"):
            with dial(node, source) as s:
                s.sendall(wrong)
                assert ended(s) == 0
        assert served(node)
        with dial(node, source) as s:
            s.sendall(header)
            assert ask_over(s) is not None
        assert all(ended(s) == 0 for s in waiting), "silence ends with the idle time"
        close_all(waiting)
    all_gone(node)


def test_transfers_that_nobody_reads(node):
    """Of ten megabytes each, by forty clients who do not read: nothing is held for them, and they are closed."""
    query = framed(dns.message.make_query("large.test", "AXFR", use_edns=-1).to_wire())
    def counted():
        return {name: count for name, count in node.metrics().items() if name.startswith("gtm_dns_transfers_out_total")}
    before = counted()
    with unhurt(node, 48):
        crowd = [dial(node, address(100 + i), rcvbuf=4096) for i in range(40)]
        for s in crowd:
            s.sendall(query)
        assert served(node)
        peak = rss(node)
        all_gone(node)
        assert all(ended(s) < 8 * MIB for s in crowd)
        close_all(crowd)
        assert sum(counted().values()) - sum(before.values()) >= 40, counted()
    assert peak > 0
    # who reads has it all
    with dial(node, address(20)) as s:
        s.sendall(query)
        soas = 0
        while soas < 2:
            soas += sum(rrset.rdtype == 6 for rrset in dns.query.receive_tcp(s, expiration=None, one_rr_per_rrset=True)[0].answer)


def test_a_crowd_of_transfers(node):
    """Five hundred requests at once over one connection and over many: answered in turn or refused; users are served."""
    query = framed(dns.message.make_query("large.test", "AXFR", use_edns=-1).to_wire())
    with unhurt(node, 48):
        crowd = [dial(node, address(20), rcvbuf=4096) for _ in range(60)]
        for s in crowd:
            with contextlib.suppress(OSError):
                s.sendall(query * 9)
        for _ in range(20):
            assert node.ask("plain.example.com").answer
        assert served(node)
        close_all(crowd)
    all_gone(node)


# --- primaries

WRONG_RDATA = [
    (42, b"\0\1\x18\xff\1"), (42, b"\0\1\xff\4\1\2\3\4"), (42, b"\0\1\x18\x7f" + b"\1" * 127), (42, b"\0\1"), (42, b"\0\1\x18\x04\0\0\0\0" * 4000),
    (55, b"\xff\2\xff\xff" + b"x" * 10), (55, b"\x10\2\0\0"), (55, b"\0\0\0\0"), (55, b"\1"), (55, b"\1\2\0\1ab\x3fshort"), (55, b"\1\2\0\1ab\xc0\x0c"),
    (64, b"\0\1\0\0\1\0\xff"), (64, b"\0\1\0\0\3\0\2\0\1\0\1\0\3\2h2"), (64, b"\0\1\xc0\x0c"), (65, b"\0\1\0\0\1\0\0"), (65, b"\0\1\0\0\4\0\5abcde"),
    (65, b"\0\1\0\0\0\0\1\0"), (65, b"\0\1\0\0\1\0\3\xffh2"), (65, b"\0\0\0\0\1\0\3\2h2"), (64, b"\0\1"), (64, b""), (64, b"\0\1\0" + b"\0\7\xfd\xe8" + b"z" * 65000),
    (1, b"\1\2\3"), (28, b"x" * 17), (2, b""), (2, b"\x3fshort"), (5, b"\1a" * 130 + b"\0"), (15, b"\0\1"), (15, b"\0\1\xc0\xff"), (16, b"\5ab"), (16, b""),
    (29, b"\xff" * 16), (29, b"\0"), (33, b"\0\0\0\0\0\0"), (35, b"\0\1\0\1\xffu"), (35, b"\0\1\0\1\0\0\0"), (37, b"\0"), (43, b"\0\1\2"), (44, b"\1"),
    (45, b"\1\xff\2xyz"), (45, b"\1\1\2ab"), (47, b"\1n\0\0\0"), (47, b"\1n\0\0\x21" + b"\1" * 33), (50, b"\1\0\0\1\xffa"), (52, b"\3\1"), (61, b""),
    (62, b"\0"), (99, b"\xffab"), (108, b"\1"), (256, b"\0"), (257, b"\0\xffissue"), (257, b"\0\0"), (260, b"\1\x83\0"), (27, b"\xff1"), (20, b"\xff12"),
    (11, b"\1"), (22, b""), (24, b"\0\1"), (48, b"\1"), (63, b"\0"), (104, b"\0"), (249, b"x"), (65535, b"y" * 65000), (0, b"a"), (41, b"\0\3\0\xff"),
    (6, b"\0\0"), (255, b"any"), (250, b""), (46, b"\0" * 18)]


def secondary(origins):
    """Zones by the address of their primary."""
    text = unwatched() + "".join(f"  - name: \"{o}\"\n    primaries: [{{address: {primary}, port: {DNS_PORT}}}]\n"
                                 "    transfer: [{networks: [127.0.0.0/8]}]\n" for o, primary in origins.items())
    node = Gtmd(text, zones={"example.com.zone": ZONE})
    node.node_text = node.node_text.replace(node.address, address(60))
    node.address = address(60)
    node.write("node.yaml", node.node_text)
    return node


@contextlib.contextmanager
def fed(origins, transfer):
    """A gtmd whose zones come from a primary that transfers like this; other.test comes from another one."""
    primary, other = Primary(address(61), DNS_PORT, transfer), Primary(address(63), DNS_PORT, transfer)
    node = secondary({o: address(63 if o == "other.test" else 61) for o in origins})
    try:
        yield node.start(), primary
        assert node.stop() in (None, 0)
    except BaseException:
        print(node.log_text()[-8000:])
        raise
    finally:
        primary.close()
        other.close()
        node.close()


def zone_of(origin, *more):
    ns = record(name_wire(origin), 2, 1, 60, name_wire("ns." + origin))
    host = record(name_wire("ns." + origin), 1, 1, 60, b"\xc0\0\2\x35")
    return [soa(origin), ns, host, *more, soa(origin)]


def test_primary_with_wrong_rdata():
    """Lengths that lie in every type that has some: the zone is refused or served as it came; nothing of it hurts, neither
    as an answer, nor as text, nor in a transfer on, nor when it is read again at a start."""
    kinds = {f"w{i}.test": kind for i, kind in enumerate(WRONG_RDATA)}

    def transfer(origin):
        rtype, rdata = kinds[origin]
        records = zone_of(origin, record(name_wire("odd." + origin), rtype, 1, 60, rdata))
        if len(rdata) > 60000:
            yield records[:3]
            yield records[3:4]
            yield records[4:]
        else:
            yield records
    with fed(kinds, transfer) as (node, _):
        def judged():
            items = {z["name"]: z for z in node.get("/zones").items}
            return all(items[o]["state"] == "serving" or items[o].get("last_error") for o in kinds) and items
        with unhurt(node, 64):
            items = wait_for(judged, "each zone is taken or refused")
            serving = [o for o in kinds if items[o]["state"] == "serving"]
            assert 5 < len(serving) < len(kinds) - 20, "some are, some are not"
            for _ in range(2):
                for origin in serving:
                    rtype = kinds[origin][0]
                    for tcp in (False, True):
                        with udp_socket(address(62)) as s:
                            wire = dns.message.make_query(f"odd.{origin}", "TYPE%d" % rtype if 0 < rtype < 65536 else "A").to_wire()
                            if tcp:
                                with dial(node, address(62)) as con:
                                    con.sendall(framed(wire))
                                    assert con.recv(2)
                            else:
                                s.sendto(wire, (node.address, DNS_PORT))
                                assert s.recv(65535)[:2] == wire[:2]
                    json.loads(node.get(f"/zones/{origin}/records").body)
                    with dial(node, address(62)) as con:
                        con.sendall(framed(dns.message.make_query(origin, "AXFR", use_edns=-1).to_wire()))
                        assert len(con.recv(100)) > 12
                assert node.stop() == 0  # and once more from its own copies
                node.start()
                wait_for(lambda: sorted(z["name"] for z in node.get("/zones").items if z["state"] == "serving" and z["name"] in kinds)
                         >= sorted(serving), "what was taken is there again")


def test_primaries_that_never_end():
    """One that drips, one that is silent, one that goes on for ever: a zone of another primary comes and changes
    meanwhile, memory is what was sent, and gtmd ends when it is told."""
    def transfer(origin):
        yield zone_of(origin)[:3]
        if origin == "other.test":
            yield [soa(origin)]
            return
        end = time.monotonic() + 60
        number = 0
        while time.monotonic() < end:
            number += 1
            if origin.startswith("drip"):
                yield b"\0" if number == 1 else b"\xff" if number == 2 else b"x"
                time.sleep(0.1)
            elif origin.startswith("silent"):
                time.sleep(0.1)
            else:
                yield [record(name_wire(f"n{number}-{k}.{origin}"), 16, 1, 60, b"\xc8" + b"t" * 200) for k in range(100)]
                time.sleep(0.01)
    origins = [f"{kind}{i}.test" for i in range(4) for kind in ("drip", "silent", "endless")] + ["other.test"]
    with fed(origins, transfer) as (node, primary):
        wait_for(lambda: node.get("/zones/other.test").item["state"] == "serving", "the other one has come", deadline_s=10)
        assert len(primary.asked) == 4, "not all places are held by one primary"
        before, sent = rss(node), primary.sent
        wait_for(lambda: primary.sent > sent + 10 * MIB, "ten megabytes more")
        assert rss(node) - before < 4 * (primary.sent - sent) + 16 * MIB or sanitized(node)
        for origin in origins[:-1]:
            assert node.ask(f"ns.{origin}").rcode() == dns.rcode.SERVFAIL
        assert [str(rd) for rd in node.ask("ns.other.test").answer[0]] == ["192.0.2.53"]
        begun = time.monotonic()
        assert node.stop() == 0
        assert time.monotonic() - begun < 5


def test_notify_flood_for_a_secondary():
    """From a stranger none is heard; from the primary itself they become few questions."""
    with fed(["good.test"], lambda origin: iter([zone_of(origin)])) as (node, primary):
        wait_for(lambda: node.get("/zones/good.test").item["state"] == "serving", "it has come")
        wire = struct.pack("!6H", 7, 4 << 11 | 0x400, 1, 0, 0, 0) + name_wire("good.test") + struct.pack("!2H", 6, 1)
        for source in (address(62), address(61)):
            before, begun = primary.refreshes, time.monotonic()
            with udp_socket(source) as s, unhurt(node):
                for _ in range(1000):
                    s.sendto(wire, (node.address, DNS_PORT))
                    s.recv(4096)
            seconds = time.monotonic() - begun
            assert primary.refreshes - before <= (3 + seconds * (1 if source == address(62) else 12)), (source, primary.refreshes - before, seconds)
        assert node.metrics()['gtm_dns_notify_requests_total{result="refused"}'] >= 1000
