# SPDX-License-Identifier: Apache-2.0
"""What surrounds an answer, asked by clients that are not ours (dig of BIND, kdig of Knot, dnspython): cookies, NSID,
CHAOS, transaction signatures of all algorithms, NOTIFY, PROXY headers, rate limits; and their metrics.
"""
import base64
import shutil
import socket
import struct
import subprocess

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.query
import dns.rcode
import dns.tsig
import dns.tsigkeyring
import pytest

from harness import DNS_PORT, ZONE, Gtmd, address, cluster, wait_for

ALGORITHMS = ["hmac-sha1", "hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512"]
SECRET = base64.b64encode(bytes(range(1, 33))).decode()
PLAIN = "plain.example.com"
RATE = 20


def client(n):
    """A source address of this test, in a /24 of its own: rates are counted by /24."""
    parts = address(1).split(".")
    return f"127.{parts[1]}.{(int(parts[2]) + n) & 255}.{100 + n}"


LIMITED, PROXY, EXEMPT = client(1), client(2), client(3)


@pytest.fixture(scope="module", name="node")
def fixture_node():
    keys = "keys:\n" + "".join(f"  - {{name: key-{a}, algorithm: {a}, secret: {{file: key.b64}}}}\n"
                               for a in ALGORITHMS)
    world = cluster().replace("    monitors: [web]\n", "") + keys
    node = Gtmd(world, zones={"example.com.zone": ZONE})
    node.write("key.b64", SECRET + "\n")
    node.write("cookie.hex", "e5e973e5a6b2a43f48e7dc849e37bfcf\n")
    for name in ("key.b64", "cookie.hex"):
        (node.dir / name).chmod(0o600)
    node.write("node.yaml", node.node_text.replace(
        "threads: 1}", "threads: 1, nsid: us-east-1a, chaos: {version: gtm, hostname: node-7}, "
        f"cookies: {{secret: {{file: cookie.hex}}}}, proxy: [{PROXY}/32], "
        f"rate_limit: {{responses_per_s: {RATE}, slip: 2, exempt: [{EXEMPT}/32, {node.address}/32]}}}}"))
    try:
        yield node.start()
        assert node.stop() in (None, 0)
    except BaseException:
        print(node.log_text()[-8000:])
        raise
    finally:
        node.close()


def run(*args):
    if shutil.which(args[0]) is None:
        pytest.skip(f"{args[0]} is not installed: deploy/install-deps")
    done = subprocess.run(args, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def dig(node, *args):
    return run("dig", f"@{node.address}", "-b", EXEMPT, "-p", str(DNS_PORT), "+tries=1", "+time=10", "+norec", *args)


def kdig(node, *args):
    return run("kdig", f"@{node.address}", "-b", EXEMPT, "-p", str(DNS_PORT), "+retry=0", "+time=10", *args)


def ask(node, query, source=EXEMPT, tcp=False):
    send = dns.query.tcp if tcp else dns.query.udp
    return send(query, node.address, timeout=10, port=DNS_PORT, source=source)


def test_nsid(node):
    text = dig(node, "+nsid", PLAIN)
    assert '("us-east-1a")' in text, text
    assert "NSID" not in dig(node, PLAIN)
    assert "us-east-1a" in kdig(node, "+nsid", PLAIN)


def test_chaos(node):
    for name, want in (("version.bind", "gtm"), ("version.server", "gtm"), ("hostname.bind", "node-7"),
                       ("id.server", "node-7")):
        assert dig(node, "+short", "CH", "TXT", name).strip() == f'"{want}"'
    assert "status: REFUSED" in dig(node, "CH", "TXT", "authors.bind")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_tsig(node, algorithm):
    key = f"{algorithm}:key-{algorithm}:{SECRET}"
    for text in (dig(node, "-y", key, PLAIN), dig(node, "+tcp", "-y", key, PLAIN), kdig(node, "-y", key, PLAIN)):
        assert "NOERROR" in text and "192.0.2.99" in text, text
        for bad in ("could not be validated", "Couldn't verify", "WARNING", "ERROR:"):
            assert bad not in text, text


def keyring(name, secret):
    return dns.tsigkeyring.from_text({name: secret})


def test_tsig_refused(node):
    query = dns.message.make_query(PLAIN, "A")
    query.use_tsig(keyring("nobody", SECRET), algorithm="hmac-sha256")
    with pytest.raises(dns.tsig.PeerBadKey):
        ask(node, query)
    query = dns.message.make_query(PLAIN, "A")
    query.use_tsig(keyring("key-hmac-sha256", base64.b64encode(b"wrong").decode()), algorithm="hmac-sha256")
    with pytest.raises(dns.tsig.PeerBadSignature):
        ask(node, query)
    query = dns.message.make_query(PLAIN, "A")
    query.use_tsig(keyring("key-hmac-sha256", SECRET), algorithm="hmac-sha512")
    with pytest.raises(dns.tsig.PeerBadKey):
        ask(node, query)


def test_cookies(node):
    assert "(good)" in dig(node, "+cookie", PLAIN)
    first = dns.message.make_query(PLAIN, "A", use_edns=0, options=[dns.edns.GenericOption(10, b"12345678")])
    cookie = [o.data for o in ask(node, first).options if o.otype == 10][0]
    assert len(cookie) == 24 and cookie[:8] == b"12345678" and cookie[8:12] == b"\x01\0\0\0"
    short = dns.message.make_query(PLAIN, "A", use_edns=0, options=[dns.edns.GenericOption(10, b"123456789")])
    assert ask(node, short).rcode() == dns.rcode.FORMERR
    # one of ours lifts the limit
    again = dns.message.make_query(PLAIN, "A", use_edns=0,
                                   options=[dns.edns.GenericOption(10, learn(node, LIMITED))])
    with udp(LIMITED) as s:
        for _ in range(5 * RATE):
            s.sendto(again.to_wire(), (node.address, DNS_PORT))
            reply = dns.message.from_wire(s.recv(4096))
            assert reply.rcode() == 0 and reply.answer


def learn(node, source):
    """A cookie of the server for this client; over TCP, so that no rate is in the way."""
    query = dns.message.make_query(PLAIN, "A", use_edns=0, options=[dns.edns.GenericOption(10, b"abcdefgh")])
    return [o.data for o in ask(node, query, source, tcp=True).options if o.otype == 10][0]


def udp(source):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((source, 0))
    s.settimeout(10)
    return s


def test_rate_limit(node):
    """At once five times as many queries as are allowed a second: the rest is dropped or truncated."""
    before = node.metrics()
    count = 5 * RATE
    wire = dns.message.make_query("text.example.com", "TXT").to_wire()
    with udp(LIMITED) as s:
        for _ in range(count):
            s.sendto(wire, (node.address, DNS_PORT))
        # from an exempt address all are answered, and after the above: one worker
        query = dns.message.make_query("text.example.com", "TXT")
        for _ in range(count):
            assert ask(node, query).answer
        s.setblocking(False)
        full = short = 0
        try:
            while True:
                reply = dns.message.from_wire(s.recv(4096))
                if reply.flags & dns.flags.TC:
                    short += 1
                    assert not reply.answer
                else:
                    full += 1
        except BlockingIOError:
            pass
    assert RATE <= full <= 3 * RATE, (full, short)
    assert 0 < short < count - full
    after = node.metrics()
    dropped, slipped = (after[f'gtm_dns_rate_limited_total{{action="{a}"}}'] -
                        before[f'gtm_dns_rate_limited_total{{action="{a}"}}'] for a in ("dropped", "slipped"))
    assert (full + short, short) == (count - dropped, slipped)


def proxy_header(source):
    block = socket.inet_aton(source) + socket.inet_aton("127.0.0.1") + struct.pack("!HH", 4000, 53)
    return b"\r\n\r\n\0\r\nQUIT\n\x21\x12" + struct.pack("!H", len(block)) + block


def test_proxy(node):
    before = node.metrics()["gtm_dns_proxy_refused_total"]
    with udp(PROXY) as s:
        bare = dns.message.make_query(PLAIN, "A", id=1)
        s.sendto(bare.to_wire(), (node.address, DNS_PORT))
        query = dns.message.make_query("www.example.com", "A", id=2)
        for source in ("192.0.2.1", EXEMPT):
            s.sendto(proxy_header(source) + query.to_wire(), (node.address, DNS_PORT))
            reply = dns.message.from_wire(s.recv(4096))
            assert reply.id == 2 and reply.rcode() == 0 and reply.answer
    assert node.metrics()["gtm_dns_proxy_refused_total"] == before + 1


def test_notify_without_primaries(node):
    """A zone of ours is nobody's copy."""
    query = dns.message.make_query("example.com", "SOA")
    query.set_opcode(dns.opcode.NOTIFY)
    reply = ask(node, query)
    assert reply.rcode() == dns.rcode.NOTAUTH and reply.opcode() == dns.opcode.NOTIFY
    assert node.metrics()['gtm_dns_notify_requests_total{result="refused"}'] >= 1


def test_settings_change_by_reload(node):
    """A new NSID and no cookies, without a restart."""
    text = (node.dir / "node.yaml").read_text()
    node.write("node.yaml", text.replace("us-east-1a,", "other,").replace("cookies: {", "cookies: {enabled: false, "))
    node.post("/reload")
    wait_for(lambda: '("other")' in dig(node, "+nsid", PLAIN), "the new NSID")
    assert "COOKIE" not in dig(node, "+cookie", PLAIN)
    node.write("node.yaml", text)
    node.post("/reload")
    wait_for(lambda: '("us-east-1a")' in dig(node, "+nsid", PLAIN), "the old NSID")
