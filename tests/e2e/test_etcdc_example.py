# SPDX-License-Identifier: Apache-2.0
"""deploy/examples/etcdc/follow.c, as a user would run it: it puts, lists, follows, and ends when told to."""
import os
import pathlib
import shutil
import signal
import subprocess
import urllib.request

import pytest

import harness

FOLLOW = pathlib.Path(os.environ.get("GTM_BUILD", "build")) / "tests" / "example_etcdc_follow"
IP = harness.address(1)
URL = f"http://{IP}:2379"


@pytest.fixture(scope="module")
def etcd(tmp_path_factory):
    if not shutil.which("etcd"):
        pytest.skip("etcd is not installed (deploy/install-deps brings it)")
    folder = tmp_path_factory.mktemp("etcd")
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(
            ["etcd", "--data-dir", str(folder / "data"), "--listen-client-urls", URL, "--advertise-client-urls", URL,
             "--listen-peer-urls", f"http://{IP}:2380", "--initial-advertise-peer-urls", f"http://{IP}:2380",
             "--initial-cluster", f"default=http://{IP}:2380"], stdout=log, stderr=log)

    def healthy():
        try:
            return b"true" in urllib.request.urlopen(f"{URL}/health", timeout=1).read()
        except OSError:
            return False
    harness.wait_for(healthy, "etcd is not healthy")
    yield URL
    process.kill()
    process.wait()


def lines_of(process, count):
    return [process.stdout.readline().strip() for _ in range(count)]


def test_it_puts_lists_and_follows(etcd):
    args = [str(FOLLOW), etcd, "app/"]
    first = subprocess.Popen(args + ["app/a", "one"], stdout=subprocess.PIPE, text=True)
    try:
        assert lines_of(first, 1)[0].startswith("has app/a = one (revision ")
        second = subprocess.Popen(args + ["app/b", "two"], stdout=subprocess.PIPE, text=True)
        try:
            assert [x.split(" (")[0] for x in lines_of(second, 2)] == ["has app/a = one", "has app/b = two"]
            assert lines_of(first, 1)[0].startswith("put app/b = two (revision ")
        finally:
            second.send_signal(signal.SIGTERM)
            assert second.wait(10) == 0
    finally:
        first.send_signal(signal.SIGINT)
        assert first.wait(10) == 0


def test_it_says_what_is_wrong():
    done = subprocess.run([str(FOLLOW)], capture_output=True, text=True, timeout=20)
    assert done.returncode == 2 and "usage" in done.stderr
    done = subprocess.run([str(FOLLOW), "localhost:2379", "a"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and "http://HOST:PORT" in done.stderr
    done = subprocess.run([str(FOLLOW), f"http://{harness.address(2)}:1", "a"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and "no connection" in done.stderr
