# SPDX-License-Identifier: Apache-2.0
"""What tests of hostile clients share: a look at whether gtmd is still well, sources in a network of their own, packets
made by hand."""
import contextlib
import os
import socket
import struct

import dns.message
import dns.query

PLAIN = "plain.example.com"
PLAIN_ADDRESS = "192.0.2.99"
MIB = 1 << 20


def rss(node):
    """Octets of memory that gtmd has in use."""
    with open(f"/proc/{node.process.pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def descriptors(node):
    return len(os.listdir(f"/proc/{node.process.pid}/fd"))


@contextlib.contextmanager
def unhurt(node, grown_mib=32):
    """Around an attack: after it gtmd lives, answers over UDP and TCP, and has grown by no more than this."""
    before = rss(node)
    yield
    assert node.process.poll() is None, node.log_text()[-4000:]
    for tcp in (False, True):
        reply = node.ask(PLAIN, tcp=tcp, timeout=20)
        assert [str(rd) for rd in reply.answer[0]] == [PLAIN_ADDRESS]
    grown = rss(node) - before
    assert grown < grown_mib * MIB, f"grown by {grown} octets"


def outside(address, n):
    """The n-th address of the /24 next to a loopback address: clients of another network."""
    parts = address.split(".")
    return f"{parts[0]}.{parts[1]}.{int(parts[2]) ^ 1}.{n}"


def udp_socket(source, wait_s=10):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * MIB)
    s.bind((source, 0))
    s.settimeout(wait_s)
    return s


def waiting(s):
    """All datagrams that have come."""
    s.setblocking(False)
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            found.append(s.recv(65535))
    return found


def name_wire(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0"


def packet(name=PLAIN, qtype=1, qclass=1, flags=0, counts=(1, 0, 0, 0), rest=b"", number=9):
    return struct.pack("!6H", number, flags, *counts) + name_wire(name) + struct.pack("!2H", qtype, qclass) + rest


def record(owner, rtype, rclass, ttl, rdata):
    return owner + struct.pack("!HHIH", rtype, rclass, ttl, len(rdata)) + rdata


def framed(wire):
    return struct.pack("!H", len(wire)) + wire


def ask_over(s, name=PLAIN, rtype="A"):
    """One question over a connected stream socket; the reply, or None when it is closed."""
    query = dns.message.make_query(name, rtype)
    with contextlib.suppress(OSError, EOFError):
        s.sendall(framed(query.to_wire()))
        return dns.query.receive_tcp(s, expiration=None)[0]
    return None
