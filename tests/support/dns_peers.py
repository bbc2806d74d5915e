# SPDX-License-Identifier: Apache-2.0
"""Other authoritative servers on loopback, in scratch folders, with zones from files: Knot and NSD as Debian packages
them. They run in the foreground, as the user who starts them, and end with stop()."""
import pathlib
import shutil
import socket
import struct
import subprocess
import tempfile
import time

DEADLINE_S = 30.0


class Peer:
    """zones: {origin as text: zone file's text}. Answers are to be minimal where the server knows such a switch, rate
    limits and cookies are off."""

    program = name = None

    def __init__(self, address, port, zones):
        self.address, self.port, self.zones = address, port, zones
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix=f"gtm-{self.name}-"))
        self.process = None
        for i, zone in enumerate(zones.values()):
            (self.dir / f"{i}.zone").write_text(zone)

    @classmethod
    def installed(cls):
        return shutil.which(cls.program, path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin") is not None

    @classmethod
    def version(cls):
        done = subprocess.run([cls.path(), cls.version_option], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, check=False)
        return done.stdout.splitlines()[0]

    @classmethod
    def path(cls):
        return shutil.which(cls.program, path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin")

    def log_text(self):
        log = self.dir / "log"
        return log.read_text(errors="replace") if log.exists() else ""

    def restart(self):
        """For a server that no longer answers: it is killed."""
        self.process.kill()
        self.process.wait()
        return self.start()

    def start(self):
        self.configure()
        with open(self.dir / "log", "ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            cwd=self.dir)
        end = time.monotonic() + DEADLINE_S
        while not self.serves_all():
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"{self.name} does not serve:\n{self.log_text()}")
            time.sleep(0.05)
        return self

    def serves_all(self):
        """Every zone's SOA is answered with authority."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.2)
            try:
                s.connect((self.address, self.port))
                for wire in self.origins_wire():
                    s.send(struct.pack(">HHHHHH", 7, 0, 1, 0, 0, 0) + wire + struct.pack(">HH", 6, 1))
                    reply = s.recv(4096)
                    if len(reply) < 12 or not reply[2] & 4 or reply[3] & 15:
                        return False
            except OSError:
                return False
        return True

    def origins_wire(self):
        for origin in self.zones:
            yield b"".join(bytes([len(p)]) + p.encode() for p in origin.split(".") if p) + b"\0"

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None
        shutil.rmtree(self.dir, ignore_errors=True)


class Knot(Peer):
    program, name, version_option = "knotd", "knot", "-V"

    def configure(self):
        lines = ["server:", f"  rundir: {self.dir}", f"  listen: {self.address}@{self.port}", "  udp-workers: 1",
                 "  tcp-workers: 1", "  background-workers: 1", "  tcp-idle-timeout: 60", "log:", "  - target: stderr",
                 "    any: warning", "database:", f"  storage: {self.dir}/db", "template:", "  - id: default",
                 f"    storage: {self.dir}", "    zonefile-sync: -1", "    journal-content: none", "zone:"]
        for i, origin in enumerate(self.zones):
            lines += [f"  - domain: \"{origin}\"", f"    file: {i}.zone"]
        (self.dir / "knot.conf").write_text("\n".join(lines) + "\n")

    def command(self):
        return [self.path(), "-c", str(self.dir / "knot.conf")]


class Nsd(Peer):
    program, name, version_option = "nsd", "nsd", "-v"

    def configure(self):
        lines = ["server:", f"  ip-address: {self.address}@{self.port}", "  server-count: 1", "  username: \"\"",
                 "  chroot: \"\"", f"  zonesdir: {self.dir}", "  database: \"\"", "  zonelistfile: \"zone.list\"",
                 "  pidfile: \"\"", "  xfrdfile: \"\"", f"  xfrdir: {self.dir}", "  rrl-ratelimit: 0",
                 "  rrl-whitelist-ratelimit: 0", "  minimal-responses: yes", "  tcp-timeout: 60", "  do-ip6: no",
                 "remote-control:", "  control-enable: no"]
        for i, origin in enumerate(self.zones):
            lines += ["zone:", f"  name: \"{origin}\"", f"  zonefile: {i}.zone"]
        (self.dir / "nsd.conf").write_text("\n".join(lines) + "\n")

    def command(self):
        return [self.path(), "-d", "-c", str(self.dir / "nsd.conf")]
