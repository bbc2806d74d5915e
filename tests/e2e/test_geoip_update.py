# SPDX-License-Identifier: Apache-2.0
"""deploy/geoip-update against a web server that stands for MaxMind, and against broken files."""
import base64
import hashlib
import http.server
import io
import os
import struct
import subprocess
import tarfile
import threading
import time

import pytest

SOURCE = os.environ.get("GTM_SOURCE", os.path.join(os.path.dirname(__file__), "../.."))
PROGRAM = os.path.join(SOURCE, "deploy/geoip-update")
LIBLOC = "/usr/share/libloc-location/location.db"


def field(value):
    """One value in the MaxMind DB format."""
    if isinstance(value, str):
        data = value.encode()
        return bytes([2 << 5 | len(data)]) + data
    if isinstance(value, list):
        return bytes([len(value), 11 - 7]) + b"".join(field(v) for v in value)
    if isinstance(value, dict):
        return bytes([7 << 5 | len(value)]) + b"".join(field(k) + field(v) for k, v in value.items())
    kind, size, number = value
    return (bytes([kind << 5 | size]) if kind < 8 else bytes([size, kind - 7])) + number.to_bytes(size, "big")


def mmdb(epoch):
    """A database of one node that knows no address."""
    u16, u32 = (lambda n: (5, 2, n)), (lambda n: (6, 4, n))
    metadata = field({
        "node_count": u32(1), "record_size": u16(24), "ip_version": u16(4), "database_type": "Test-City",
        "languages": [], "binary_format_major_version": u16(2), "binary_format_minor_version": u16(0),
        "build_epoch": (9, 8, epoch), "description": {},
    })
    return struct.pack(">I", 1)[1:] * 2 + b"\0" * 16 + b"\xab\xcd\xefMaxMind.com" + metadata


class MaxMind(http.server.BaseHTTPRequestHandler):
    archive = b""
    digest = b""

    def do_GET(self):
        good = "Basic " + base64.b64encode(b"1234:s3cret").decode()
        if self.headers.get("Authorization") != good:
            self.send_error(401)
            return
        body = self.digest if self.path.endswith(".sha256") else self.archive
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def offer(content, name="GeoLite2-City_20260101/GeoLite2-City.mmdb"):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    MaxMind.archive = out.getvalue()
    MaxMind.digest = f"{hashlib.sha256(MaxMind.archive).hexdigest()}  x.tar.gz\n".encode()


@pytest.fixture(name="maxmind")
def start_maxmind(tmp_path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), MaxMind)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    (tmp_path / "account").write_text("1234\n")
    (tmp_path / "key").write_text("s3cret\n")
    (tmp_path / "key").chmod(0o600)

    def update(*extra):
        return run("--maxmind", "GeoLite2-City", "--account-file", f"{tmp_path}/account", "--key-file",
                   f"{tmp_path}/key", "--dir", f"{tmp_path}/geo", "--url", f"http://127.0.0.1:{server.server_port}",
                   *extra)
    yield update, tmp_path
    server.shutdown()
    thread.join()
    server.server_close()


def run(*args):
    return subprocess.run([PROGRAM, *args], text=True, capture_output=True, check=False, timeout=120)


def left_over(folder):
    return [n for n in os.listdir(folder) if n.startswith(".")]


def test_maxmind_download_replaces_and_keeps(maxmind):
    update, tmp = maxmind
    now = int(time.time())
    offer(mmdb(now - 86400 * 3))
    done = update()
    assert done.returncode == 0, done.stderr
    path = tmp / "geo/GeoLite2-City.mmdb"
    first = path.read_bytes()
    assert first == mmdb(now - 86400 * 3)
    assert "s3cret" not in done.stdout + done.stderr

    done = run("--check", str(path))
    assert done.returncode == 0 and "3 days" in done.stdout and "Test-City" in done.stdout
    assert run("--check", str(path), "--max-age-days", "2").returncode == 1

    offer(mmdb(now - 86400))
    assert update().returncode == 0
    assert path.read_bytes() == mmdb(now - 86400)

    offer(first)
    done = update()
    assert done.returncode == 1 and "older" in done.stderr
    assert path.read_bytes() == mmdb(now - 86400)
    assert not left_over(tmp / "geo")


@pytest.mark.parametrize("break_it, words", [
    (lambda: setattr(MaxMind, "digest", b"0" * 64), "checksum"),
    (lambda: offer(mmdb(1)[:-40]), "MaxMind DB"),
    (lambda: offer(b"<html>"), "MaxMind DB"),
    (lambda: offer(mmdb(1), "x/Other.mmdb"), "no GeoLite2-City.mmdb"),
])
def test_a_broken_download_changes_nothing(maxmind, break_it, words):
    update, tmp = maxmind
    offer(mmdb(1700000000))
    assert update().returncode == 0
    break_it()
    done = update()
    assert done.returncode == 1 and words in done.stderr, done.stderr
    assert (tmp / "geo/GeoLite2-City.mmdb").read_bytes() == mmdb(1700000000)
    assert not left_over(tmp / "geo")


def test_a_refused_account_says_so(maxmind):
    update, tmp = maxmind
    (tmp / "key").write_text("wrong\n")
    done = update()
    assert done.returncode == 1 and "refuses" in done.stderr


def test_a_missing_key_names_the_file(maxmind):
    update, tmp = maxmind
    (tmp / "key").unlink()
    done = update()
    assert done.returncode == 1 and str(tmp / "key") in done.stderr


def test_check_reads_libloc_and_names_what_is_broken(tmp_path):
    broken = tmp_path / "broken.mmdb"
    broken.write_bytes(b"nothing")
    done = run("--check", LIBLOC, str(broken), str(tmp_path / "none"))
    assert done.returncode == 1
    assert f"{LIBLOC}\tlibloc\t20" in done.stdout
    assert str(broken) in done.stderr and "none: No such file" in done.stderr
