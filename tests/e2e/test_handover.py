# SPDX-License-Identifier: Apache-2.0
"""One gtmd takes over from another: no query is lost, state goes on, and a successor that fails changes nothing."""
import contextlib
import json
import os
import select
import signal
import socket
import struct
import threading
import time

import dns.message
import pytest

from harness import DNS_PORT, ZONE, address, cluster, gtmd, health_of, wait_for, webs

LOST_S = 5.0


def question(number):
    """The query as octets, with the number as its id."""
    query = bytearray(dns.message.make_query("plain.example.com", "A").to_wire())
    query[0:2] = struct.pack("!H", number & 0xFFFF)
    return bytes(query)


class UdpLoad(threading.Thread):
    """Keeps a few queries on their way from each of several sockets; a query unanswered for LOST_S is lost."""

    def __init__(self, sockets=8, window=4):
        super().__init__(daemon=True)
        self.sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(sockets)]
        self.window = window
        self.ended = False
        self.sent = self.answered = self.wrong = 0
        self.lost = []
        self.slowest_s = 0.0
        self.waiting = {}
        self.error = None
        self.queries = [question(n) for n in range(65536)]

    def run(self):
        try:
            self.load()
        except Exception as e:  # pylint: disable=broad-except
            self.error = e

    def load(self):
        poll = select.epoll()
        by_fd, free = {}, {}
        for sock in self.sockets:
            sock.setblocking(False)
            sock.connect((address(1), DNS_PORT))
            poll.register(sock, select.EPOLLIN)
            by_fd[sock.fileno()] = sock
            free[sock.fileno()] = self.window
        number = 0
        while not self.ended or self.waiting:
            for fd, sock in by_fd.items():
                while free[fd] and not self.ended:
                    number = (number + 1) & 0xFFFF
                    if (fd, number) in self.waiting:
                        break
                    sock.send(self.queries[number])
                    self.waiting[fd, number] = time.monotonic()
                    free[fd] -= 1
                    self.sent += 1
            for fd, _ in poll.poll(0.1):
                with contextlib.suppress(BlockingIOError):
                    while True:
                        self.take(fd, by_fd[fd].recv(4096), free)
            self.give_up(free)

    def take(self, fd, reply, free):
        now = time.monotonic()
        began = self.waiting.pop((fd, struct.unpack("!H", reply[:2])[0]), None)
        if began is None:
            return  # late, or twice
        free[fd] += 1
        self.answered += 1
        self.wrong += reply[3] & 15 != 0 or reply[6:8] != b"\x00\x01"
        self.slowest_s = max(self.slowest_s, now - began)

    def give_up(self, free):
        now = time.monotonic()
        for (fd, number), began in list(self.waiting.items()):
            if now - began > LOST_S:
                del self.waiting[fd, number]
                free[fd] += 1
                self.lost.append(now)


class TcpLoad(threading.Thread):
    """A connection and a query after another; any that fails is lost."""

    def __init__(self):
        super().__init__(daemon=True)
        self.ended = False
        self.answered = 0
        self.lost = []
        self.slowest_s = 0.0

    def run(self):
        query = question(7)
        while not self.ended:
            began = time.monotonic()
            try:
                with socket.create_connection((address(1), DNS_PORT), timeout=LOST_S) as con:
                    con.sendall(struct.pack("!H", len(query)) + query)
                    reply = con.recv(4096)
                    while len(reply) < 2 or len(reply) < 2 + struct.unpack("!H", reply[:2])[0]:
                        part = con.recv(4096)
                        if not part:
                            raise OSError("closed before the answer")
                        reply += part
                self.answered += 1
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            except OSError as e:
                self.lost.append(e)


@contextlib.contextmanager
def load():
    threads = [UdpLoad(), TcpLoad(), TcpLoad()]
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: all(t.answered > 20 for t in threads), "the load runs")
        yield threads
    finally:
        for thread in threads:
            thread.ended = True
        for thread in threads:
            thread.join(30)


def check_load(threads):
    for thread in threads:
        thread.ended = True
    for thread in threads:
        thread.join(30)
    assert threads[0].error is None
    assert not threads[0].wrong
    lost = [t.lost for t in threads]
    assert lost == [[], [], []], f"of {[t.answered for t in threads]}"


def replace(node):
    """Starts a successor and waits until it serves and the old one has ended by itself."""
    old = node.process
    node.process = node.spawn("--config", "node.yaml", "--replace")
    assert old.wait(timeout=60) == 0
    wait_for(node.ready, "the successor serves")


@pytest.fixture(name="world")
def fixture_world():
    with webs(address(11), address(12), address(13)) as servers:
        # The load takes the processor from web servers and checks: patient checks see no failures that are none.
        patient = cluster().replace("interval: 200ms, timeout: 150ms, fall: 2", "interval: 500ms, timeout: 1s, fall: 3")
        assert "fall: 3" in patient
        with gtmd(patient, zones={"example.com.zone": ZONE}) as node:
            wait_for(lambda: set(health_of(node).values()) == {"up"}, "all endpoints are up")
            yield node, servers


def test_ten_successors_lose_no_query(world):
    node, servers = world
    servers[0].set("stopped")
    wait_for(lambda: health_of(node)["www-us-east"] == "down", "the dead server is out")
    node.put("/pools/www/endpoints/www-ap-south/admin", {"state": "drain"})
    with load() as threads:
        for _ in range(10):
            before = threads[0].answered
            replace(node)
            # What was known is known: the dead one is out from the first answer on, the order stands.
            assert health_of(node)["www-us-east"] == "down"
            assert node.addresses("www.example.com") == [address(12)]
            assert node.get("/pools/www/endpoints/www-ap-south").item["admin"]["state"] == "drain"
            assert threads[0].answered > before
        check_load(threads)
    print(f"UDP {threads[0].answered} answers, slowest {threads[0].slowest_s * 1000:.1f} ms; "
          f"TCP {sum(t.answered for t in threads[1:])}, slowest {max(t.slowest_s for t in threads[1:]) * 1000:.1f} ms")
    assert threads[0].slowest_s < 2
    assert node.put("/pools/www/endpoints/www-eu-west/admin", {"state": "drain"}).status < 300


def test_an_order_given_to_the_successor_is_kept(world):
    node, _ = world
    replace(node)
    node.put("/pools/www/endpoints/www-ap-south/admin", {"state": "down"})
    replace(node)
    assert node.get("/pools/www/endpoints/www-ap-south").item["admin"]["state"] == "down"
    assert node.stop() == 0
    node.start()
    assert node.get("/pools/www/endpoints/www-ap-south").item["admin"]["state"] == "down"


def test_a_wrong_configuration_changes_nothing(world):
    node, _ = world
    node.write("example.com.zone", ZONE + "plain IN A not-an-address\n")
    with load() as threads:
        failed = node.spawn("--config", "node.yaml", "--replace")
        assert failed.wait(timeout=60) == 2
        assert "example.com.zone:7" in node.log_text()
        assert node.ready()
        check_load(threads)


def frozen(node):
    """The API is closed while the old one writes nothing."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.connect(str(node.socket))
        return False
    except OSError:
        return True


def left(node):
    return "another process serves now" in node.log_text()


def settle(node):
    """What was sent to the old one so far has been read: it serves whoever connects in turns of its loop. When it
    has left, the socket may be the stopped successor's, which says nothing."""
    for _ in range(2):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock, \
                contextlib.suppress(ConnectionError, FileNotFoundError):
            sock.setblocking(False)
            sock.connect(str(node.dir / "data" / "handover.sock"))
            sock.send(b"x")
            wait_for(lambda: select.select([sock], [], [], 0.05)[0] or left(node), "the old one has read it")


def test_a_killed_successor_changes_nothing(world):
    """Killed at many moments between its start and its serving: the old one goes on, and can still be replaced."""
    node, _ = world
    killed = killed_frozen = 0
    with load() as threads:
        for attempt in range(60):
            if killed >= 10 and killed_frozen:
                break
            successor = node.spawn("--config", "node.yaml", "--replace")
            if attempt % 2:
                wait_for(lambda: frozen(node) or successor.poll() is not None or node.process.poll() is not None,
                         "it freezes", every_s=0.0001)
            else:
                time.sleep(0.002 * attempt)
            successor.send_signal(signal.SIGSTOP)
            settle(node)
            if left(node):
                # Too late, it serves: that one is to be killed next.
                successor.send_signal(signal.SIGCONT)
                assert node.process.wait(timeout=60) == 0
                node.process = successor
                wait_for(node.ready, "the successor serves")
                node.log.write_text("")
                continue
            killed_frozen += frozen(node)
            killed += 1
            successor.send_signal(signal.SIGKILL)
            assert successor.wait(timeout=60) == -signal.SIGKILL
            wait_for(node.ready, "the old one goes on")
        node.put("/pools/www/endpoints/www-ap-south/admin", {"state": "drain"})
        assert node.process.poll() is None
        replace(node)
        assert node.get("/pools/www/endpoints/www-ap-south").item["admin"]["state"] == "drain"
        check_load(threads)
    assert killed >= 10 and killed_frozen, (killed, killed_frozen)


def test_a_successor_that_fails_after_the_freeze_changes_nothing(world):
    """Its API cannot listen: by then the old one has closed its own and writes nothing. It takes both up again."""
    node, _ = world
    with socket.create_server((address(9), 9153)), load() as threads:
        node.write("other.yaml", node.node_text.replace(f'"{address(1)}:9153"', f'"{address(9)}:9153"'))
        failed = node.spawn("--config", "other.yaml", "--replace")
        assert failed.wait(timeout=60) == 1
        assert "metrics.listen" in node.log_text()
        wait_for(node.ready, "the old one goes on")
        assert node.metrics()["gtm_ready"] == 1
        node.put("/pools/www/endpoints/www-ap-south/admin", {"state": "drain"})
        check_load(threads)
    assert node.stop() == 0
    node.start()
    assert node.get("/pools/www/endpoints/www-ap-south").item["admin"]["state"] == "drain"


@contextlib.contextmanager
def freezing(node, check=True):
    """A successor that gets the lock, and then nothing is heard of it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.settimeout(20)
        sock.connect(str(node.dir / "data" / "handover.sock"))
        for kind, answer in ((1, 2), (3, 4)):
            sock.send(b"GTMH" + struct.pack("=HHII", 1, kind, 0, 0))
            reply, fds, _, _ = socket.recv_fds(sock, 4096, 64)
            assert struct.unpack("=HH", reply[4:8]) == (1, answer), reply
            for fd in fds:
                os.close(fd)
        assert not check or frozen(node)
        yield


def test_what_comes_while_it_is_frozen_is_done_after(world):
    node, _ = world
    with freezing(node):
        node.write("example.com.zone", ZONE + "new IN A 192.0.2.77\n")
        node.process.send_signal(signal.SIGHUP)
        time.sleep(0.2)  # nothing is to be seen of it yet
        assert not node.addresses("new.example.com")
    wait_for(lambda: node.addresses("new.example.com") == ["192.0.2.77"], "the reload")


def test_clients_that_connect_while_it_freezes(world):
    """A connection accepted in the very turn of the loop in which the API is closed: it crashed once."""
    node, _ = world
    ended = threading.Event()

    def knock():
        while not ended.is_set():
            frozen(node)

    knockers = [threading.Thread(target=knock, daemon=True) for _ in range(4)]
    for knocker in knockers:
        knocker.start()
    try:
        for _ in range(100):
            wait_for(node.ready, "it goes on", every_s=0.001)
            with freezing(node, check=False):
                pass
    finally:
        ended.set()
        for knocker in knockers:
            knocker.join(30)
    wait_for(node.ready, "it goes on")


def test_heartbeats_come_in_again_though_their_port_was_taken():
    text = cluster().replace("monitors:", "monitors:\n  - {name: beat, kind: push, token: {file: beat.token}}", 1)
    with gtmd(text, zones={"example.com.zone": ZONE, "beat.token": "x"},
              node=f"push: {{listen: \"{address(1)}:9180\"}}\n") as node:
        with freezing(node):
            taken = socket.create_server((address(1), 9180))
        with taken:
            wait_for(node.ready, "the old one goes on")
        wait_for(lambda: socket.socket().connect_ex((address(1), 9180)) == 0, "heartbeats come in")


def test_reloads_under_load_lose_no_query(world):
    node, _ = world
    with load() as threads:
        for serial in range(20):
            node.write("example.com.zone", ZONE.replace("2026112001", str(2026112002 + serial)))
            assert node.post("/reload").status == 200
        check_load(threads)


def closed():
    """Nobody listens any more: it is no child of ours to wait for."""
    with socket.socket() as sock:
        return sock.connect_ex((address(1), DNS_PORT)) != 0


def test_a_signal_starts_the_successor(world):
    node, _ = world
    with load() as threads:
        node.process.send_signal(signal.SIGUSR2)
        assert node.process.wait(timeout=60) == 0
        node.process = None
        started = [json.loads(line) for line in node.log_text().splitlines() if "a successor was started" in line]
        try:
            wait_for(lambda: node.get("/status").item["state"] == "serving", "the successor serves")
            check_load(threads)
        finally:
            os.kill(started[0]["pid"], signal.SIGTERM)
        wait_for(closed, "it stops")


def test_nobody_to_replace(world):
    node, _ = world
    assert node.stop() == 0
    node.process = node.spawn("--config", "node.yaml", "--replace")
    wait_for(node.ready, "it serves")


def test_the_socket_is_private(world):
    node, _ = world
    path = node.dir / "data" / "handover.sock"
    assert path.stat().st_mode & 0o777 == 0o600
    for octets in (b"x", b"GTMH" + bytes(12), b"GTMH\xff\xff\x01\x00" + bytes(8), b"GTMH\x01\x00\x05\x00" + bytes(8),
                   os.urandom(4000)):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.connect(str(path))
            sock.settimeout(10)
            sock.send(octets)
            with contextlib.suppress(ConnectionResetError):
                while sock.recv(4096):
                    pass
    assert node.ready()
    replace(node)


def test_systemd_is_told(world):
    """MAINPID goes to whom NOTIFY_SOCKET names, from the old process: only its word counts for systemd."""
    node, _ = world
    assert node.stop() == 0
    path = str(node.dir / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        sock.settimeout(30)
        os.environ["NOTIFY_SOCKET"] = path
        try:
            node.start()
            replace(node)
        finally:
            del os.environ["NOTIFY_SOCKET"]
        told = []
        while not (told and told.count("READY=1") == 2):
            told += sock.recv(4096).decode().splitlines()
        main = told.index(f"MAINPID={node.process.pid}")
        assert main > told.index("READY=1")
