# SPDX-License-Identifier: Apache-2.0
"""What checks are tested against: certificates made by openssl, nginx as Debian packages it, and intents of one pool for
each check. Servers run in the foreground in scratch folders and end with the block that started them."""
import contextlib
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

from harness import address, wait_for

CA_CONF = """[ca]
default_ca = here
[here]
database = {dir}/index.txt
new_certs_dir = {dir}
serial = {dir}/serial
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
"""


class Authority:
    """Makes certificates in a folder: name.pem (what it signs and below), name.key."""

    def __init__(self, folder, name="ca", issuer=None):
        self.dir, self.name = pathlib.Path(folder), name
        self.conf = self.dir / f"{name}.conf"
        own = self.dir / f"{name}.d"
        own.mkdir()
        self.conf.write_text(CA_CONF.format(dir=own))
        (own / "index.txt").write_text("")
        (own / "serial").write_text("1000\n")
        if issuer is None:
            self.openssl("req", "-x509", *self.new_key(name), "-subj", f"/CN={name}", "-days", "30")
        else:
            issuer.make(name, extensions="basicConstraints=critical,CA:TRUE\n")

    @property
    def path(self):
        return self.dir / f"{self.name}.pem"

    def openssl(self, *args):
        done = subprocess.run(["openssl", *map(str, args)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, cwd=self.dir, check=False)
        assert done.returncode == 0, done.stdout

    def new_key(self, name, rsa=0):
        kind = ["-newkey", f"rsa:{rsa}"] if rsa else ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        target = ["-out", self.dir / f"{name}.pem"] if name == self.name else ["-out", self.dir / f"{name}.csr"]
        return [*kind, "-nodes", "-keyout", self.dir / f"{name}.key", *target]

    def make(self, name, san="", usage="serverAuth", rsa=0, days=(-1, 30), md="sha256", extensions=""):
        """days: from and to, from now."""
        self.openssl("req", *self.new_key(name, rsa), "-subj", f"/CN={name}")
        ext = extensions or f"basicConstraints=CA:FALSE\nextendedKeyUsage={usage}\n"
        (self.dir / f"{name}.ext").write_text(ext + (f"subjectAltName={san}\n" if san else ""))
        start, end = (time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + d * 86400)) for d in days)
        self.openssl("ca", "-batch", "-notext", "-config", self.conf, "-cert", self.path, "-keyfile",
                     self.dir / f"{self.name}.key", "-md", md, "-startdate", start, "-enddate", end, "-extfile",
                     self.dir / f"{name}.ext", "-in", self.dir / f"{name}.csr", "-out", self.dir / f"{name}.pem")
        return name


@contextlib.contextmanager
def nginx(servers):
    """Each server is the text of a `server` block."""
    with tempfile.TemporaryDirectory(prefix="gtm-nginx-") as folder:
        paths = "".join(f"{w}_temp_path {folder}/{w};" for w in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        conf = pathlib.Path(folder) / "nginx.conf"
        blocks = "\n".join(f"server {{ {s} location / {{ return 200 \"all is well\"; }} }}" for s in servers)
        conf.write_text(f"daemon off; pid {folder}/pid; error_log stderr; worker_processes 1; user root;\n"
                        f"events {{ worker_connections 512; }}\nhttp {{ access_log {folder}/access; {paths}\n"
                        f"log_format version \"$server_protocol $host $ssl_server_name $http_user_agent\";\n"
                        f"access_log {folder}/access version;\n{blocks}\n}}\n".replace(f"access_log {folder}/access; ", ""))
        program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin")
        log = open(pathlib.Path(folder) / "log", "wb")  # pylint: disable=consider-using-with
        process = subprocess.Popen([program, "-p", folder, "-c", str(conf)], stdin=subprocess.DEVNULL, stdout=log,
                                   stderr=log, cwd=folder)
        try:
            yield pathlib.Path(folder) / "access", process
        finally:
            process.terminate()
            process.wait(20)
            log.close()


def listens(addr, port):
    with socket.socket() as s:
        s.settimeout(1)
        return s.connect_ex((addr, port)) == 0


def checks_intent(checks, at=None):
    """checks: {name: (port, the monitor's other members)}: a pool of that name with one endpoint each. at: {name: its
    address}, where it is not the usual one."""
    lines = ["regions:", "  - {name: us-east, location: [38.9, -77.0]}", "monitors:"]
    for name, (port, members) in checks.items():
        where = f"port: {port}, " if port else ""
        lines.append(f"  - {{name: {name}, {where}interval: 1s, timeout: 2s, rise: 1, {members}}}")
    lines.append("pools:")
    for name in checks:
        lines.append(f"  - {{name: {name}, monitors: [{name}], endpoints: "
                     f"[{{name: {name}, region: us-east, addresses: [\"{(at or {}).get(name, address(11))}\"]}}]}}")
    return "\n".join(lines) + "\n"


def told(node):
    """{check: (health, evidence)}."""
    return {c["monitor"]: (c["health"], c["evidence"]) for c in node.get("/health").items}


def expect_told(node, wanted):
    """Waits until each check has the health and evidence that begins so."""
    def as_wanted():
        now = told(node)
        return all(now[k][0] == health and now[k][1].startswith(text) for k, (health, text) in wanted.items())
    try:
        wait_for(as_wanted, "every check says what it should")
    except AssertionError:
        now = told(node)
        wrong = {k: (now[k], w) for k, w in wanted.items() if now[k][0] != w[0] or not now[k][1].startswith(w[1])}
        raise AssertionError(f"told and wanted: {wrong}") from None
