# SPDX-License-Identifier: Apache-2.0
"""Regions as network namespaces, joined by tests/support/programs/wan_link: delay, loss and cuts, also one-way.

Each region's network is 10.77.N.0/24 on its device wan0. The test itself lives in a namespace of its own, from where it
reaches every region over a management link that no cut touches. Needs root, network namespaces and /dev/net/tun; where
those are not permitted the test is skipped, and says so.
"""
import ctypes
import errno
import os
import pathlib
import signal
import socket
import subprocess
import threading

import pytest

from harness import BUILD, wait_for

CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


def run(*args):
    done = subprocess.run(args, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(args)}: {done.stderr.strip()}")


def in_netns(name, work):
    """Calls work() on a thread inside the namespace: sockets that it makes stay there."""
    result = {}

    def body():
        fd = os.open(f"/var/run/netns/{name}", os.O_RDONLY)
        try:
            if LIBC.setns(fd, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
            result["value"] = work()
        except BaseException as e:  # pylint: disable=broad-except
            result["error"] = e
        finally:
            os.close(fd)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if "error" in result:
        raise result["error"]
    return result.get("value")


class Wan:
    """Namespaces for the regions and what carries packets between them. Use as a context."""

    def __init__(self, regions, seed=1, delay_ms=0):
        self.regions = list(regions)
        self.seed, self.delay_ms = seed, delay_ms
        self.names = {r: f"gtm{os.getpid()}-{i + 1}" for i, r in enumerate(self.regions)}
        self.link = None
        self.made = []

    def number(self, region):
        return self.regions.index(region) + 1

    def address(self, region, host):
        return f"10.77.{self.number(region)}.{host}"

    def prefix(self, region):
        """The words before a command that is to run in the region."""
        return ["ip", "netns", "exec", self.names[region]]

    def __enter__(self):
        if os.geteuid() != 0:
            pytest.skip("needs root: network namespaces")
        if not pathlib.Path("/dev/net/tun").exists():
            pytest.skip("needs /dev/net/tun")
        assert (BUILD / "tests" / "wan_link").exists(), "wan_link is not built"
        # For this thread, and whatever it starts from now on.
        if LIBC.unshare(CLONE_NEWNET):
            pytest.skip(f"network namespaces are not permitted here: {os.strerror(ctypes.get_errno())}")
        try:
            run("ip", "link", "set", "lo", "up")
            for region in self.regions:
                self.make_region(region)
            self.start_link()
        except OSError as e:
            self.__exit__(None, None, None)
            pytest.skip(f"namespaces, veth or TUN are not permitted here: {e}")
        if self.delay_ms:
            self.set_all(delay_us=self.delay_ms * 500)
        return self

    def make_region(self, region):
        name, n = self.names[region], self.number(region)
        run("ip", "netns", "add", name)
        self.made.append(name)
        run("ip", "link", "add", f"m{n}", "type", "veth", "peer", "name", "mgmt", "netns", name)
        run("ip", "addr", "add", f"10.78.{n}.1/30", "dev", f"m{n}")
        run("ip", "link", "set", f"m{n}", "up")
        inside = ["ip", "-n", name]
        run(*inside, "link", "set", "lo", "up")
        run(*inside, "addr", "add", f"10.78.{n}.2/30", "dev", "mgmt")
        run(*inside, "link", "set", "mgmt", "up")
        run("ip", "route", "add", f"10.77.{n}.0/24", "via", f"10.78.{n}.2")

    def start_link(self):
        sites = [f"{self.names[r]}={self.number(r)}" for r in self.regions]
        self.link = subprocess.Popen([str(BUILD / "tests" / "wan_link"), str(self.seed), *sites], text=True,
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if self.link.stdout.readline() != "ready\n":
            raise OSError(self.link.stderr.read().strip())
        for region in self.regions:
            inside = ["ip", "-n", self.names[region]]
            # The link is a process: what waits for its turn on a busy machine must not be lost here.
            run(*inside, "link", "set", "wan0", "txqueuelen", "10000", "up")
            run(*inside, "addr", "add", f"{self.address(region, 1)}/24", "dev", "wan0")
            for host in [*range(2, 21), 101]:
                run(*inside, "addr", "add", f"{self.address(region, host)}/24", "dev", "wan0")
            run(*inside, "route", "add", "10.77.0.0/16", "dev", "wan0", "src", self.address(region, 1))

    def __exit__(self, *exc):
        if self.link is not None:
            self.link.stdin.close()
            self.link.send_signal(signal.SIGKILL)
            self.link.wait()
            self.link.stdout.close()
            self.link.stderr.close()
        for name in self.made:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
        self.made = []

    def say(self, text):
        self.link.stdin.write(text + "\n")
        self.link.stdin.flush()
        answer = self.link.stdout.readline().strip()
        assert not answer.startswith("error") and answer, (text, answer)
        return answer

    def set(self, source, to, **settings):
        """One direction: delay_us, jitter_us, loss_ppm, dup_ppm, cut."""
        words = " ".join(f"{k}={int(v)}" for k, v in settings.items())
        self.say(f"link {self.names[source]} {self.names[to]} {words}")

    def set_all(self, **settings):
        for a in self.regions:
            for b in self.regions:
                if a != b:
                    self.set(a, b, **settings)

    def cut(self, region, others=None, ways="both"):
        """Cuts a region off; ways: "both", "out" (nothing leaves it) or "in"."""
        for other in others or [r for r in self.regions if r != region]:
            if ways in ("both", "out"):
                self.set(region, other, cut=1)
            if ways in ("both", "in"):
                self.set(other, region, cut=1)

    def heal(self):
        self.set_all(cut=0)

    def counts(self):
        words = self.say("counts").split()
        return dict(zip(words[::2], map(int, words[1::2])))

    def reach(self, source, to, deadline_s=5.0):
        """Does a packet get from one region to the other and back?"""
        def knock():
            with socket.socket() as sock:
                sock.settimeout(1)
                return sock.connect_ex((self.address(to, 1), 9)) == errno.ECONNREFUSED
        return wait_for(lambda: in_netns(self.names[source], knock), f"{source} reaches {to}", deadline_s=deadline_s)
