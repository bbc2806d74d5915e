# SPDX-License-Identifier: Apache-2.0
"""Sends many questions at once to one server and collects the answers by id: UDP with retries, one TCP connection with
pipelining. Bounded: a batch is outstanding at a time."""
import contextlib
import socket
import struct
import time

BATCH_MAX = 128
TRIES = 3
WAIT_S = 1.0


class Exchange:
    def __init__(self, address, port):
        self.where = (address, port)
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
        self.udp.connect(self.where)
        self.udp.settimeout(WAIT_S)
        self.tcp = None
        self.buffer = b""
        self.next_id = 1
        self.retried = 0

    def close(self):
        self.udp.close()
        if self.tcp is not None:
            self.tcp.close()

    def number(self, wires):
        """{id: index}; ids differ from those of the last batches, so that late answers are known as late."""
        ids = {}
        for i in range(len(wires)):
            self.next_id = self.next_id + 1 & 0xffff
            ids[self.next_id] = i
        return ids

    def send_udp(self, wires):
        """Sends; the answers are read by receive_udp with what this returns. wires are messages without their id."""
        assert len(wires) <= BATCH_MAX
        ids = self.number(wires)
        for number, i in ids.items():
            self.send_one(struct.pack(">H", number) + wires[i])
        return ids

    def send_one(self, packet):
        with contextlib.suppress(ConnectionRefusedError):  # of an earlier packet: the server is being restarted
            self.udp.send(packet)

    def receive_udp(self, wires, ids):
        """Answers without their id in the order of wires; None for silence."""
        answers = [None] * len(wires)
        missing = dict(ids)
        for turn in range(TRIES):
            end = time.monotonic() + WAIT_S * (turn + 1)
            while missing and time.monotonic() < end:
                try:
                    data = self.udp.recv(65535)
                except (socket.timeout, ConnectionRefusedError):
                    continue
                i = missing.pop(int.from_bytes(data[:2], "big"), None) if len(data) >= 2 else None
                if i is not None:
                    answers[i] = data[2:]
            if not missing:
                break
            if turn + 1 < TRIES:
                self.retried += len(missing)
                for number, i in missing.items():
                    self.send_one(struct.pack(">H", number) + wires[i])
        return answers

    def ask_tcp(self, wires):
        for turn in range(TRIES):
            try:
                return self.pipeline(wires)
            except OSError:
                if self.tcp is not None:
                    self.tcp.close()
                self.tcp = None
                self.retried += turn > 0  # a server may close an idle connection at any time
        raise AssertionError(f"{self.where}: no answers over TCP")

    def pipeline(self, wires):
        if self.tcp is None:
            self.tcp = socket.create_connection(self.where, timeout=WAIT_S * TRIES)
            self.tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.buffer = b""
        answers = [None] * len(wires)
        for first in range(0, len(wires), 16):  # a server may stop reading while its answers are not read
            part = wires[first:first + 16]
            missing = self.number(part)
            self.tcp.sendall(b"".join(struct.pack(">HH", len(part[i]) + 2, number) + part[i]
                                      for number, i in missing.items()))
            while missing:
                message = self.read_message()
                i = missing.pop(int.from_bytes(message[:2], "big"), None)
                if i is not None:
                    answers[first + i] = message[2:]
        return answers

    def read_message(self):
        while True:
            if len(self.buffer) >= 2:
                size = int.from_bytes(self.buffer[:2], "big")
                if len(self.buffer) >= size + 2:
                    message, self.buffer = self.buffer[2:size + 2], self.buffer[size + 2:]
                    return message
            # peers that use Nagle's algorithm would wait 40 ms for each delayed acknowledgement
            self.tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            data = self.tcp.recv(1 << 18)
            if not data:
                raise OSError("closed")
            self.buffer += data
