# SPDX-License-Identifier: Apache-2.0
"""What tests of hostile clients share: a look at whether gtmd is still well, sources in a network of their own, packets
made by hand."""
import contextlib
import os
import socket
import struct
import threading

import dns.message
import dns.query

PLAIN = "plain.example.com"
PLAIN_ADDRESS = "192.0.2.99"
MIB = 1 << 20


def rss(node):
    """Octets of memory that gtmd has in use."""
    with open(f"/proc/{node.process.pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def sanitized(node):
    """Built with a sanitizer? Its own memory says nothing about ours."""
    with open(f"/proc/{node.process.pid}/exe", "rb") as file:
        program = file.read()
    return b"__asan_init" in program or b"__tsan_init" in program


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
    assert grown < grown_mib * MIB or sanitized(node), f"grown by {grown} octets"


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


def soa(origin, serial=5):
    """A SOA record: refresh 2 s, retry 1 s."""
    rdata = name_wire("ns." + origin) + name_wire("a.b") + struct.pack("!5I", serial, 2, 1, 600, 60)
    return record(name_wire(origin), 6, 1, 60, rdata)


class Primary:
    """A primary that answers SOA, and transfers as `transfer(origin)` says: it yields lists of records in wire form."""

    def __init__(self, address, port, transfer):
        self.transfer = transfer
        self.asked, self.refreshes, self.sent = set(), 0, 0
        self.ended = False
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind((address, port))
        self.udp.settimeout(0.05)
        self.tcp = socket.create_server((address, port), backlog=200)
        self.threads = [threading.Thread(target=run, daemon=True) for run in (self.run_udp, self.run_tcp)]
        for thread in self.threads:
            thread.start()

    @staticmethod
    def question(wire):
        """(the question's octets, its name, its type)."""
        at, labels = 12, []
        while wire[at]:
            labels.append(wire[at + 1:at + 1 + wire[at]].decode())
            at += wire[at] + 1
        return wire[12:at + 5], ".".join(labels).lower(), struct.unpack("!H", wire[at + 1:at + 3])[0]

    def reply(self, wire, records):
        question = self.question(wire)[0]
        return wire[:2] + struct.pack("!5H", 0x8400, 1, len(records), 0, 0) + question + b"".join(records)

    def run_udp(self):
        while not self.ended:
            with contextlib.suppress(OSError):
                wire, peer = self.udp.recvfrom(4096)
                self.refreshes += 1
                self.udp.sendto(self.reply(wire, [soa(self.question(wire)[1])]), peer)

    def run_tcp(self):
        while not self.ended:
            with contextlib.suppress(OSError):
                con, _ = self.tcp.accept()
                threading.Thread(target=self.serve, args=(con,), daemon=True).start()

    def serve(self, con):
        with contextlib.suppress(OSError, EOFError), con:
            while True:
                head = con.recv(2, socket.MSG_WAITALL)
                if len(head) < 2:
                    return
                wire = con.recv(struct.unpack("!H", head)[0], socket.MSG_WAITALL)
                _, origin, rtype = self.question(wire)
                if rtype == 6:
                    con.sendall(framed(self.reply(wire, [soa(origin)])))
                    continue
                self.asked.add(origin)
                for records in self.transfer(origin):
                    if self.ended:
                        return
                    data = records if isinstance(records, bytes) else framed(self.reply(wire, records))
                    con.sendall(data)
                    self.sent += len(data)

    def close(self):
        self.ended = True
        with contextlib.suppress(OSError):
            self.tcp.shutdown(socket.SHUT_RDWR)
        self.tcp.close()
        for thread in self.threads:
            thread.join()
        self.udp.close()
