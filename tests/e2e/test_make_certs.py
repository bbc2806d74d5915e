# SPDX-License-Identifier: Apache-2.0
"""deploy/make-certs: what it makes, what it leaves alone, what it warns about and refuses."""
import os
import stat
import subprocess
import tempfile

import pytest

from certs import MAKE_CERTS, openssl


@pytest.fixture(name="folder")
def fixture_folder():
    with tempfile.TemporaryDirectory(prefix="gtm-e2e-certs-") as made:
        yield made


def make(folder, *args):
    done = subprocess.run([MAKE_CERTS, *args, "-d", folder], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return done.returncode, done.stdout


def names(folder, name):
    return subprocess.run(["openssl", "x509", "-in", f"{folder}/{name}.pem", "-noout", "-text"], text=True, stdout=subprocess.PIPE,
                          check=True).stdout


def test_what_it_makes(folder):
    assert make(folder, "ca")[0] == 0
    assert make(folder, "node", "us-east", "us-east-1a", "10.0.1.5", "2001:db8::1", "gtm1.example.com")[0] == 0
    assert make(folder, "user", "breakglass", "Ada.L@example.com")[0] == 0
    assert make(folder, "etcd", "etcd1", "10.0.1.6", "localhost")[0] == 0
    for name in ("ca", "us-east-1a", "Ada.L@example.com", "etcd1"):
        with open(f"{folder}/{name}.key", "rb") as key:
            assert stat.S_IMODE(os.fstat(key.fileno()).st_mode) == 0o600
        assert "ASN1 OID: prime256v1" in names(folder, name)
        openssl("verify", "-CAfile", f"{folder}/ca.pem", f"{folder}/{name}.pem")
    for name, purposes in (("us-east-1a", ("sslserver", "sslclient")), ("etcd1", ("sslserver", "sslclient")),
                           ("Ada.L@example.com", ("sslclient",))):
        for purpose in purposes:
            openssl("verify", "-CAfile", f"{folder}/ca.pem", "-purpose", purpose, f"{folder}/{name}.pem")
    with pytest.raises(subprocess.CalledProcessError):  # a person is no server
        openssl("verify", "-CAfile", f"{folder}/ca.pem", "-purpose", "sslserver", f"{folder}/Ada.L@example.com.pem")
    text = names(folder, "us-east-1a")
    for part in ("URI:gtm:node/us-east/us-east-1a", "IP Address:10.0.1.5", "IP Address:2001:DB8:0:0:0:0:0:1", "DNS:gtm1.example.com"):
        assert part in text
    assert "URI:gtm:user/breakglass/Ada.L@example.com" in names(folder, "Ada.L@example.com")
    assert "IP Address:10.0.1.6, DNS:localhost" in names(folder, "etcd1")
    code, text = make(folder, "list")
    assert code == 0 and text.count("until") == 4 and "warning" not in text


def test_what_is_there_stays(folder):
    make(folder, "ca")
    make(folder, "node", "us-east", "a")
    before = names(folder, "a")
    code, text = make(folder, "node", "us-east", "a")
    assert code == 0 and "is there already" in text and names(folder, "a") == before
    code, text = make(folder, "node", "eu-west", "a")
    assert code == 1 and "not for URI:gtm:node/eu-west/a" in text and names(folder, "a") == before
    assert make(folder, "node", "us-east", "a", "--force")[0] == 0 and names(folder, "a") != before


def test_what_it_warns_about(folder):
    make(folder, "ca")
    make(folder, "user", "viewer", "soon", "--days", "10")
    assert "ends soon" in make(folder, "user", "viewer", "soon")[1]
    assert "ends soon" in make(folder, "list")[1]
    make(folder, "ca", "--force")
    assert "is not from the CA" in make(folder, "user", "viewer", "soon")[1]


@pytest.mark.parametrize("args, code", [
    ([], 2), (["what"], 2), (["node", "us-east"], 2), (["node", "US", "a"], 2), (["node", "us-east", "a/b"], 2),
    (["node", "us-east", "-a"], 2), (["user", "root", "a"], 2), (["user", "admin", "a,URI:gtm:user/admin/b"], 2),
    (["user", "admin", "a\nb"], 2), (["user", "viewer", "ca"], 2), (["etcd", "e1"], 2), (["ca", "--days", "0"], 2),
    (["ca", "--days", "x"], 2), (["node", "us-east", "a"], 1)])
def test_what_it_refuses(folder, args, code):
    got, text = make(folder, *args)
    assert got == code and text, text
    assert not [n for n in os.listdir(folder) if n.endswith((".pem", ".key"))]
