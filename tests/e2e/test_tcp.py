# SPDX-License-Identifier: Apache-2.0
"""DNS over TCP against hosts that ask too much: idle crowds, half-open and half-said connections, clients that never
read, PROXY headers; everybody else is answered all the while, and what happens is counted."""
import contextlib
import resource
import socket
import struct

import dns.edns
import dns.message
import pytest

from harness import DNS_PORT, ZONE, Gtmd, address, cluster, wait_for

CLIENTS, PER_CLIENT = 300, 100
PROXY = b"\r\n\r\n\x00\r\nQUIT\n"


def big_zone():
    return ZONE + "".join(f"big IN TXT \"{i:0240}\"\n" for i in range(200))


@pytest.fixture(scope="module")
def node():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    options = f"threads: 1, tcp: {{clients: {CLIENTS}, per_client: {PER_CLIENT}, idle: 3s}}, proxy: [{address(50)}/32]}}"
    with contextlib.ExitStack() as stack:
        made = Gtmd(cluster(), zones={"example.com.zone": big_zone()})
        stack.callback(made.close)
        made.write("node.yaml", made.node_text.replace("threads: 1}", options))
        made.start()
        yield made
        assert made.stop() in (None, 0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def dial(node, n, rcvbuf=None):
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if rcvbuf:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
    s.settimeout(15)
    s.bind((address(n), 0))
    s.connect((node.address, DNS_PORT))
    return s


def message(name="plain.example.com", rtype="A", **kw):
    wire = dns.message.make_query(name, rtype, **kw).to_wire()
    return struct.pack(">H", len(wire)) + wire


def read(s):
    """One message, or None at the end."""
    with contextlib.suppress(ConnectionResetError):
        head = s.recv(2, socket.MSG_WAITALL)
        if len(head) == 2:
            return dns.message.from_wire(s.recv(struct.unpack(">H", head)[0], socket.MSG_WAITALL))
    return None


def answers(s):
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        s.sendall(message())
        reply = read(s)
        return reply is not None and str(reply.answer[0][0]) == "192.0.2.99"
    return False


def close_all(sockets):
    for s in sockets:
        s.close()


def test_150_idle_clients_do_not_keep_the_next_one_out(node):
    """Of one address: it may have a hundred; of many addresses; and the address itself is answered, too."""
    crowd = [dial(node, 11) for _ in range(150)]
    with dial(node, 12) as other, dial(node, 11) as same:
        assert answers(other) and answers(same)
        assert node.metrics()["gtm_dns_tcp_connections"] <= PER_CLIENT + 1
        assert node.metrics()['gtm_dns_tcp_closed_total{reason="evicted"}'] >= 51
    close_all(crowd)


def test_ten_thousand_clients_that_say_nothing_or_half_a_word(node):
    """From two hundred addresses, 400 at a time: bounded, and a stranger is always answered."""
    crowd = []
    for i in range(10000):
        s = dial(node, 20 + i % 200 if i % 200 != 30 else 19)
        if i % 3 == 0:
            s.sendall(message()[:9])
        crowd.append(s)
        if len(crowd) > 400:
            crowd.pop(0).close()
        if i % 1000 == 999:
            assert node.metrics()["gtm_dns_tcp_connections"] <= CLIENTS
            with dial(node, 12) as stranger:
                assert answers(stranger)
    assert node.metrics()['gtm_dns_tcp_closed_total{reason="evicted"}'] >= 100
    close_all(crowd)
    wait_for(lambda: node.metrics()["gtm_dns_tcp_connections"] == 0, "all are gone")


def test_idle_connections_end_and_say_so(node):
    """RFC 7828: who asks is told the time-out, in units of 100 ms; after it the connection is closed."""
    with dial(node, 12) as s:
        s.sendall(message(use_edns=0, options=[dns.edns.GenericOption(11, b"")]))
        told = [option for option in read(s).options if option.otype == 11]
        assert [option.to_wire() for option in told] == [b"\0\x1e"]
        s.sendall(message(use_edns=0))
        assert not [option for option in read(s).options if option.otype == 11]
        assert read(s) is None
    assert node.metrics()['gtm_dns_tcp_closed_total{reason="idle"}'] >= 1


def test_one_octet_at_a_time(node):
    with dial(node, 12) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in message() + message():
            s.sendall(bytes([octet]))
        assert read(s).answer and read(s).answer


def test_pipelining_and_half_close(node):
    with dial(node, 12) as s:
        queries = [dns.message.make_query(name, "A") for name in ("plain.example.com", "none.example.com") * 100]
        s.sendall(b"".join(struct.pack(">H", len(q.to_wire())) + q.to_wire() for q in queries))
        s.shutdown(socket.SHUT_WR)
        for query in queries:
            reply = read(s)
            assert query.is_response(reply)
        assert read(s) is None


def test_clients_that_never_read(node):
    """They ask for megabytes: others are served, memory stays, and they are closed when their time is over."""
    before = int(open(f"/proc/{node.process.pid}/statm", encoding="ascii").read().split()[1])
    crowd = [dial(node, 30 + i, rcvbuf=4096) for i in range(20)]
    for s in crowd:
        s.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            for _ in range(200):
                s.send(message("big.example.com", "TXT") * 10)
    with dial(node, 12) as other:
        assert answers(other)
    after = int(open(f"/proc/{node.process.pid}/statm", encoding="ascii").read().split()[1])
    assert (after - before) * resource.getpagesize() < 40 << 20
    wait_for(lambda: node.metrics()["gtm_dns_tcp_connections"] == 0, "they are closed")
    close_all(crowd)


def proxy_header(client):
    return PROXY + b"\x21\x11" + struct.pack(">H", 12) + socket.inet_aton(client) + socket.inet_aton("192.0.2.53") + b"\x12\x34\0\x35"


def test_proxy(node):
    """The header is required from a proxy, and refused from others; it may come in pieces, and end the connection."""
    with dial(node, 50) as s:
        header = proxy_header("198.51.100.7")
        s.sendall(header[:5])
        s.sendall(header[5:] + message())
        assert read(s).answer
        assert answers(s)
    with dial(node, 50) as s:
        assert not answers(s)
    with dial(node, 50) as s:
        s.sendall(proxy_header("198.51.100.7")[:20])
        s.shutdown(socket.SHUT_WR)
        assert read(s) is None
    with dial(node, 12) as s:  # 0x0d0a octets that never come
        s.sendall(proxy_header("198.51.100.7") + message())
        assert read(s) is None
    assert node.metrics()['gtm_dns_tcp_closed_total{reason="proxy"}'] >= 2
    # a proxy's connections are its clients', not its own: more than one client may have
    crowd = []
    for i in range(PER_CLIENT + 50):
        s = dial(node, 50)
        s.sendall(proxy_header(f"198.51.100.{i}"))
        assert answers(s)
        crowd.append(s)
    assert all(answers(s) for s in crowd)
    close_all(crowd)
