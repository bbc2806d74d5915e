# SPDX-License-Identifier: Apache-2.0
"""Certificates for tests: good ones from deploy/make-certs, odd ones from openssl; and a client that shows them."""
import contextlib
import http.client
import pathlib
import socket
import ssl
import subprocess

from harness import DEADLINE_S, ROOT, Reply

MAKE_CERTS = str(ROOT / "deploy" / "make-certs")
API_PORT = 8443


class Certs:
    """A folder with a CA; node() and user() give (cert, key)."""

    def __init__(self, folder):
        self.dir = pathlib.Path(folder)
        self.ca = str(self.dir / "ca.pem")
        self.make("ca")

    def make(self, *args):
        subprocess.run([MAKE_CERTS, *args, "-d", str(self.dir)], check=True, stdout=subprocess.PIPE)

    def pair(self, name):
        return str(self.dir / f"{name}.pem"), str(self.dir / f"{name}.key")

    def node(self, region, name):
        self.make("node", region, name)
        return self.pair(name)

    def user(self, role, name):
        self.make("user", role, name)
        return self.pair(name)

    def odd(self, name, san=None, days="30", newkey=("EC", "ec_paramgen_curve:P-256"), signed=True, usage="clientAuth"):
        """One that make-certs would not make. days may be (start, end) as YYYYMMDDHHMMSSZ."""
        cert, key = self.pair(name)
        ext = self.dir / f"{name}.ext"
        ext.write_text("basicConstraints=critical,CA:FALSE\n" + (f"extendedKeyUsage={usage}\n" if usage else "") +
                       (f"subjectAltName={san}\n" if san else ""))
        openssl("genpkey", "-algorithm", newkey[0], "-pkeyopt", newkey[1], "-out", key)
        csr = str(self.dir / f"{name}.csr")
        openssl("req", "-new", "-key", key, "-subj", f"/CN={name}", "-out", csr)
        if isinstance(days, tuple):
            self.dated(csr, cert, ext, days)
        elif signed:
            openssl("x509", "-req", "-in", csr, "-CA", self.ca, "-CAkey", str(self.dir / "ca.key"), "-CAcreateserial", "-days",
                    days, "-extfile", str(ext), "-out", cert)
        else:
            openssl("x509", "-req", "-in", csr, "-signkey", key, "-days", days, "-extfile", str(ext), "-out", cert)
        return cert, key

    def dated(self, csr, cert, ext, days):
        for name, text in (("index.txt", ""), ("index.txt.attr", ""), ("serial", "7700\n"), ("ca.conf", CA_CONF)):
            (self.dir / name).write_text(text.replace("DIR", str(self.dir)))
        openssl("ca", "-batch", "-notext", "-config", str(self.dir / "ca.conf"), "-in", csr, "-out", cert, "-extfile", str(ext),
                "-startdate", days[0], "-enddate", days[1])


CA_CONF = """[ca]
default_ca=one
[one]
database=DIR/index.txt
new_certs_dir=DIR
serial=DIR/serial
certificate=DIR/ca.pem
private_key=DIR/ca.key
default_md=sha256
policy=any
[any]
commonName=supplied
"""


def openssl(*args):
    subprocess.run(["openssl", *args], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def context(ca, pair=None, version=None):
    """A client's context that takes any host name, as gtm's own do."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.load_verify_locations(ca)
    if version:
        with contextlib.suppress(ValueError):
            made.set_ciphers("ALL:@SECLEVEL=0")
        made.minimum_version = made.maximum_version = version
    if pair:
        made.load_cert_chain(*pair)
    return made


def connect(address, made, timeout=DEADLINE_S, source=None):
    raw = socket.create_connection((address, API_PORT), timeout=timeout, source_address=(source, 0) if source else None)
    try:
        return made.wrap_socket(raw, server_hostname="gtm")
    except BaseException:
        raw.close()
        raise


class Client(http.client.HTTPConnection):
    """One kept-alive connection to a node's API over mutual TLS."""

    def __init__(self, address, made):
        super().__init__(address, API_PORT, timeout=DEADLINE_S)
        self.made = made

    def connect(self):
        self.sock = connect(self.host, self.made)

    def ask(self, method, path, body=None, headers=None):
        self.request(method, "/api/v1" + path, body=body, headers=headers or {})
        reply = self.getresponse()
        return Reply(reply.status, reply.headers, reply.read().decode())


def ask(address, ca, pair, method="GET", path="/status", body=None, headers=None):
    """One request over a connection of its own."""
    client = Client(address, context(ca, pair))
    with contextlib.closing(client):
        return client.ask(method, path, body, headers)
