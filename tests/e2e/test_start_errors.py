# SPDX-License-Identifier: Apache-2.0
"""What stops gtmd from starting: one clear line and the right exit code (1 failed, 2 usage or configuration)."""
import contextlib
import os
import pathlib
import socket
import subprocess

import pytest

from harness import DNS_PORT, METRICS_PORT, ZONE, Gtmd, cluster


@pytest.fixture(name="node")
def fixture_node():
    node = Gtmd(cluster(), zones={"example.com.zone": ZONE})
    yield node
    node.close()


def lines(text):
    """Output without the JSON log."""
    return [line for line in text.splitlines() if not line.startswith("{")]


def test_usage(node):
    for args in (["--nope"], ["--config"], ["extra"], ["-x"]):
        code, text = node.run(*args)
        assert code == 2 and len(lines(text)) == 1 and "--help" in text, (args, text)
    code, text = node.run("--help")
    assert code == 0 and "--check" in text
    code, text = node.run("--version")
    assert code == 0 and text.startswith("gtmd ")


def test_missing_files(node):
    code, text = node.run("--config", "nowhere.yaml")
    assert code == 2 and "nowhere.yaml" in text
    (node.dir / "cluster.yaml").unlink()
    code, text = node.run("--config", "node.yaml")
    assert code == 2 and "cluster.yaml" in text


def test_wrong_node_file_names_every_place(node):
    node.write("node.yaml", node.node_text + "colour: red\nroles: [dns, helth]\n")
    code, text = node.run("--config", "node.yaml")
    last = len((node.dir / "node.yaml").read_text().splitlines())
    assert code == 2
    assert f"node.yaml:{last - 1}:1: error:" in text and f"node.yaml:{last}:" in text and "health" in text


def test_wrong_intent(node):
    bad = cluster().replace("kind: http,", "kind: htttp,")
    node.write("cluster.yaml", bad)
    line = next(i for i, t in enumerate(bad.splitlines(), 1) if "htttp" in t)
    for args in (["--config", "node.yaml"], ["--check", "--config", "node.yaml"]):
        code, text = node.run(*args)
        assert code == 2 and f"cluster.yaml:{line}:" in text and "http" in text


def test_wrong_zone(node):
    node.write("example.com.zone", ZONE + "bad IN A 999.1.1.1\n")
    line = len(ZONE.splitlines()) + 1
    for args in (["--config", "node.yaml"], ["--check", "--config", "node.yaml"]):
        code, text = node.run(*args)
        assert code == 2 and f"example.com.zone:{line}:" in text, text


def test_check_is_quiet_when_all_is_well(node):
    code, text = node.run("--check", "--config", "node.yaml")
    assert (code, lines(text)) == (0, []), text
    assert not (node.dir / "data").exists(), "a check leaves nothing behind"
    assert not node.socket.exists()


def test_check_warns_about_a_missing_database(node):
    node.write("node.yaml", node.node_text.replace("databases: []", "databases: [/nowhere/geo.mmdb]"))
    code, text = node.run("--check", "--config", "node.yaml")
    assert code == 0 and "warning" in text and "/nowhere/geo.mmdb" in text


def test_etcd_that_cannot_be_used_is_refused_clearly(node):
    node.write("node.yaml", node.node_text + 'etcd: {endpoints: ["https://127.0.0.1:2379"], tls: {ca: none.pem}}\n')
    code, text = node.run("--config", "node.yaml")
    assert code in (1, 2) and "none.pem" in text


def test_second_daemon_on_one_folder(node):
    node.start()
    other = node.node_text.replace(f"port: {DNS_PORT}", f"port: {DNS_PORT + 1}").replace("api.sock", "other.sock")
    node.write("other.yaml", other.replace(f":{METRICS_PORT}", f":{METRICS_PORT + 1}"))
    code, text = node.run("--config", "other.yaml")
    assert code == 1 and len(lines(text)) == 1 and "data" in text, text
    assert node.ready()


def test_second_daemon_on_one_port(node):
    """Sockets that allow sharing must not let two daemons split the questions of one port."""
    node.start()
    other = node.node_text.replace("api.sock", "other.sock").replace("/data\n", "/other\n")
    node.write("other.yaml", other.replace(f":{METRICS_PORT}", f":{METRICS_PORT + 1}"))
    code, text = node.run("--config", "other.yaml")
    assert code == 1 and len(lines(text)) == 1 and f"{node.address}:{DNS_PORT}" in text, text
    assert node.ready()


def test_socket_somebody_answers_on(node):
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as s:
        s.bind(str(node.socket))
        s.listen(1)
        code, text = node.run("--config", "node.yaml")
        assert code == 1 and "api.sock" in text
        assert node.socket.exists(), "it is not ours to remove"
    # Nobody answers any more: replaced.
    node.start()


def test_socket_path_taken_by_a_file(node):
    node.socket.write_text("precious")
    code, text = node.run("--config", "node.yaml")
    assert code == 1 and "api.sock" in text
    assert node.socket.read_text() == "precious"


def test_data_dir_that_is_a_file(node):
    (node.dir / "data").write_text("x")
    code, text = node.run("--config", "node.yaml")
    assert code == 1 and len(lines(text)) == 1 and str(node.dir / "data") in text, text


@pytest.mark.skipif(os.geteuid() != 0 or not pathlib.Path("/usr/bin/mount").exists(), reason="needs root to mount")
def test_full_disk_at_start(node):
    data = node.dir / "data"
    data.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(data)], check=False)
    if mounted.returncode:
        pytest.skip("cannot mount here")
    try:
        with open(data / "filler", "wb", buffering=0) as f:
            with contextlib.suppress(OSError):
                while True:
                    f.write(b"x" * 4096)
        node.process = node.spawn("--config", "node.yaml")
        try:
            code = node.process.wait(timeout=3)
            node.process = None
            text = node.log_text()
            assert code == 1 and "space" in text, text
        except subprocess.TimeoutExpired:
            # Serving without being able to save is right too, as long as it is said.
            from harness import problem_names, wait_for
            wait_for(node.ready, "gtmd is ready")
            wait_for(lambda: "StateNotSaved" in problem_names(node), "it says that it cannot save")
    finally:
        node.stop()
        subprocess.run(["umount", str(data)], check=True)


def test_damaged_state_is_told_and_moved_aside(node):
    (node.dir / "data").mkdir()
    (node.dir / "data" / "state.jsonl").write_text('{"format":1,"revision":5,"keys":1,"sha256":"00"}\ngarbage\n')
    node.start()
    assert "damaged" in node.log_text()
    assert list((node.dir / "data").glob("state.jsonl.damaged-*"))


def test_sd_notify(node):
    path = node.dir / "notify"
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as s:
        s.bind(str(path))
        s.settimeout(30)
        os.environ["NOTIFY_SOCKET"] = str(path)
        try:
            node.start()
        finally:
            del os.environ["NOTIFY_SOCKET"]
        assert s.recv(1000).startswith(b"READY=1")
        assert node.post("/reload").status == 200
        assert s.recv(1000).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        assert s.recv(1000) == b"READY=1"
        assert node.stop() == 0
        assert s.recv(1000) == b"STOPPING=1"
