# SPDX-License-Identifier: Apache-2.0
"""Where gtmd listens and as whom: any-address sockets of both families answer from the address that was asked, several
workers share a port, an unprivileged user is enough, and the end is clean whatever is open."""
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading

import dns.exception
import dns.message
import dns.query
import pytest

from harness import BUILD, DEADLINE_S, DNS_PORT, ZONE, Gtmd, address, cluster, wait_for

PORT = 20000 + os.getpid() % 12000  # any-address sockets share the port numbers of the whole machine
UNWATCHED = cluster().replace("    monitors: [web]\n", "")


@pytest.fixture(name="node")
def fixture_node():
    node = Gtmd(UNWATCHED, zones={"example.com.zone": ZONE})
    yield node
    node.close()


def listen(node, addresses, threads):
    old = f"dns: {{listen: [{{address: {node.address}, port: {DNS_PORT}}}], threads: 1}}"
    assert old in node.node_text
    places = ", ".join(f'{{address: "{a}", port: {PORT}}}' for a in addresses)
    node.write("node.yaml", node.node_text.replace(old, f"dns: {{listen: [{places}], threads: {threads}}}"))


def loopback6():
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
            s.bind(("::1", 0))
        return ["::1"]
    except OSError:
        return []


def ask(where, tcp=False, port=PORT):
    """dnspython refuses replies from another address than the one it asked."""
    send = dns.query.tcp if tcp else dns.query.udp
    reply = send(dns.message.make_query("plain.example.com", "A"), where, port=port, timeout=DEADLINE_S)
    return [str(rd) for rd in reply.answer[0]]


def test_any_address_answers_from_the_one_asked(node):
    both = ["0.0.0.0", "::"] if loopback6() else ["0.0.0.0"]
    listen(node, both, 2)
    node.start()
    for where in [address(31), address(32), "127.0.0.1", *loopback6()]:
        for _ in range(4):
            assert ask(where) == ["192.0.2.99"] == ask(where, tcp=True), where
    assert node.stop() == 0


def test_several_workers_share_a_port(node):
    """Questions from many ports are spread, each is answered, and the counters of all workers are summed."""
    listen(node, [node.address], 4)
    node.start()
    for _ in range(200):
        assert ask(node.address) == ["192.0.2.99"]
    assert node.metrics()['gtm_dns_requests_total{proto="udp"}'] == 200
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        with pytest.raises(OSError):  # SO_REUSEPORT is no open door: only for the same user's same option
            other.bind((node.address, PORT))
    assert node.stop() == 0


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root to become somebody else")
def test_an_unprivileged_user_is_enough(node):
    """Everything but a port below 1024, which is refused with a reason."""
    for path in (node.dir, *node.dir.iterdir()):
        os.chown(path, 65534, 65534)
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]
    command = [*user, str(BUILD / "bin" / "gtmd"), "--config", "node.yaml"]
    if subprocess.run([*user, str(BUILD / "bin" / "gtmd"), "--version"], check=False,
                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
        pytest.skip("the build folder is closed to others")
    with open(node.log, "ab") as log:
        node.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=node.dir)
    wait_for(node.ready, "gtmd is ready")
    assert ask(node.address, port=DNS_PORT) == ["192.0.2.99"]
    assert node.put("/pools/www/endpoints/www-us-east/admin", {"state": "drain"}).status == 200
    wait_for(lambda: (node.dir / "data" / "state.jsonl").exists(), "saved")
    assert (node.dir / "data" / "state.jsonl").stat().st_uid == 65534
    assert node.stop() == 0

    if int(open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="ascii").read()) <= 53:
        return
    node.write("node.yaml", node.node_text.replace(f"port: {DNS_PORT}", "port: 53"))
    os.chown(node.dir / "node.yaml", 65534, 65534)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=node.dir,
                          timeout=DEADLINE_S, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 1 and f"{node.address}:53" in said and "denied" in said.lower(), said


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_clean_end_with_everything_open(node, signum):
    """TCP clients, API clients, half messages and a stream of questions: it ends at once, with exit code 0."""
    node.start()
    ended = threading.Event()

    def flood():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            wire = dns.message.make_query("www.example.com", "A").to_wire()
            while not ended.is_set():
                with contextlib.suppress(OSError):
                    sock.sendto(wire, (node.address, DNS_PORT))
    threads = [threading.Thread(target=flood) for _ in range(2)]
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: [ended.set(), *(t.join() for t in threads if t.ident)])
        for i in range(50):
            con = stack.enter_context(socket.create_connection((node.address, DNS_PORT), timeout=DEADLINE_S))
            con.sendall(b"\0\x40\0\0"[:i % 5])
            api = stack.enter_context(socket.socket(socket.AF_UNIX))
            api.connect(str(node.socket))
            api.sendall(b"GET /api/v1/status HTTP/1.1\r\nHost: x\r\n"[:i])
        for thread in threads:
            thread.start()
        wait_for(lambda: node.metrics()['gtm_dns_requests_total{proto="udp"}'] > 100, "the flood has come")
        process = node.process
        assert node.stop(signum) == 0, node.log_text()[-2000:]
        assert process.poll() == 0 and not node.socket.exists()
    with pytest.raises((OSError, dns.exception.Timeout)):
        dns.query.udp(dns.message.make_query("www.example.com", "A"), node.address, port=DNS_PORT, timeout=0.2)
