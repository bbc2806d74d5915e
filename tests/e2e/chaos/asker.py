# SPDX-License-Identifier: Apache-2.0
"""Users of the chaos run: from inside every region, every node is asked all the time, by raw UDP.

asker.py SETTINGS OUT; settings (JSON): regions {name: network namespace}, nodes {name: address}, names, every_s,
timeout_s. OUT gets a JSON line for each question: {"ev": "answer", "t": sent, "end": answered (null: never), "from":
region, "node": …, "q": name, "rcode": …, "a": [addresses], "txt": text}. Ends with standard input.
"""
import json
import pathlib
import random
import select
import socket
import sys
import threading
import time

import dns.message
import dns.rdatatype

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness import DNS_PORT  # pylint: disable=wrong-import-position
from netns_harness import in_netns  # pylint: disable=wrong-import-position


def read(wire):
    """rcode, addresses, text."""
    reply = dns.message.from_wire(wire)
    found = [rd for rrset in reply.answer for rd in rrset]
    return (reply.rcode(), sorted(str(rd) for rd in found if rd.rdtype == dns.rdatatype.A),
            "".join(str(rd).strip('"') for rd in found if rd.rdtype == dns.rdatatype.TXT))


class Asker:
    def __init__(self, settings, out):
        self.settings, self.out = settings, out
        self.socks = {}
        for region, netns in settings["regions"].items():
            sock = in_netns(netns, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            sock.setblocking(False)
            self.socks[sock] = region
        self.nodes = {(at, DNS_PORT): name for name, at in settings["nodes"].items()}
        self.wires = {n: dns.message.make_query(n, "TXT" if n.startswith("rev.") else "A", use_edns=0).to_wire()
                      for n in settings["names"]}
        self.waiting = {}  # (socket, node's address, id): (sent, name)
        self.next_id = 0

    def say(self, sock, at, sent, name, end, result):
        rcode, addresses, text = result
        self.out.write(json.dumps({"ev": "answer", "t": sent, "end": end, "from": self.socks[sock],
                                   "node": self.nodes[at], "q": name, "rcode": rcode, "a": addresses,
                                   "txt": text}) + "\n")

    def ask_all(self):
        for sock in self.socks:
            for at in self.nodes:
                name = random.choice(self.settings["names"])
                self.next_id = (self.next_id + 1) & 0xffff
                try:
                    sock.sendto(self.next_id.to_bytes(2, "big") + self.wires[name][2:], at)
                except OSError:
                    continue  # a port that was closed a moment ago
                self.waiting[sock, at, self.next_id] = (time.monotonic(), name)

    def hear(self, sock):
        while True:
            try:
                wire, at = sock.recvfrom(4096)
            except BlockingIOError:
                return
            except OSError:
                continue
            asked = self.waiting.pop((sock, at, int.from_bytes(wire[:2], "big")), None)
            if asked is None:
                continue  # twice, or too late
            try:
                result = read(wire)
            except Exception as e:  # pylint: disable=broad-except
                result = (-1, [], f"malformed: {e}")
            self.say(sock, at, *asked, time.monotonic(), result)

    def give_up(self, now):
        late = [k for k, (sent, _) in self.waiting.items() if now - sent > self.settings["timeout_s"]]
        for key in late:
            sent, name = self.waiting.pop(key)
            self.say(key[0], key[1], sent, name, None, (None, [], ""))

    def run(self, ended):
        due = time.monotonic()
        while not ended.is_set():
            readable, _, _ = select.select(list(self.socks), [], [], max(0, due - time.monotonic()))
            for sock in readable:
                self.hear(sock)
            now = time.monotonic()
            if now < due:
                continue
            if now - due > 0.5:  # this process was not run: what is late is its own fault
                self.out.write(json.dumps({"ev": "lag", "t": due, "end": now}) + "\n")
            due = now + self.settings["every_s"]
            self.give_up(now)
            self.ask_all()


def main():
    ended = threading.Event()
    settings = json.loads(sys.argv[1])
    with open(sys.argv[2], "w", encoding="ascii") as out:
        asker = Asker(settings, out)
        threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
        asker.run(ended)


main()
