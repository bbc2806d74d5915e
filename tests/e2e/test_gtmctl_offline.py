# SPDX-License-Identifier: Apache-2.0
"""What gtmctl does without gtmd: checking files, documentation of the keys, and the shipped examples."""
import json
import re
import shutil
import subprocess

import pytest
import yaml

from gtmctl import run
from harness import BUILD, ROOT, ZONE, cluster

EXAMPLES = ROOT / "deploy" / "examples"


def test_validate(tmp_path):
    (tmp_path / "cluster.yaml").write_text(cluster())
    (tmp_path / "example.com.zone").write_text(ZONE)
    path = str(tmp_path / "cluster.yaml")
    for args in (["-f", path], [path], ["--file", path], [f"--file={path}"], [f"-f{path}"]):
        done = run("validate", *args)
        assert (done.code, done.err) == (0, "") and done.out.startswith(f"{path}: ok, 3 regions"), done.err
        if args[0].startswith("-"):
            assert run(*args, "validate").code == 0, "options may stand first"
    body = json.loads(run("validate", "-f", path, "-o", "json").out)["item"]
    assert (body["valid"], body["errors"], body["diagnostics"], body["zones"]) == (True, 0, [], 1)
    # Every error of the file at once, each with its place and a mark.
    (tmp_path / "cluster.yaml").write_text(cluster().replace("policy: near}", "policy: neer}").replace("fall: 2", "fall: 0"))
    done = run("validate", "-f", path)
    assert (done.code, done.out) == (1, "")
    assert len(re.findall(rf"^{re.escape(path)}:\d+:\d+: error: ", done.err, re.M)) == 2
    assert len(re.findall(r"^ +\^~*$", done.err, re.M)) == 2 and "2 errors" in done.err
    done = run("validate", "-f", path, "-o", "yaml")
    item = yaml.safe_load(done.out)["item"]
    assert done.code == 1 and item["errors"] == 2 == len(item["diagnostics"])
    # What is wrong in a zone file is told with the zone file's lines, and of names in both.
    (tmp_path / "cluster.yaml").write_text(cluster())
    (tmp_path / "example.com.zone").write_text(ZONE + "bad IN A 1.2.3.4.5\nworse IN NOTYPE x\n")
    done = run("validate", "-f", path)
    last = len(ZONE.splitlines())
    assert done.code == 1 and all(f"example.com.zone:{last + n}:" in done.err for n in (1, 2))
    assert run("validate", "-f", str(tmp_path / "none.yaml")).code == 1
    assert run("validate", "-f", str(tmp_path)).code == 1


def test_zone_check(tmp_path):
    path = tmp_path / "example.com.zone"
    path.write_text(ZONE)
    done = run("zone", "check", str(path))
    assert done.code == 0 and "example.com: ok, serial 2026112001" in done.out and done.err == ""
    assert json.loads(run("zone", "check", str(path), "--origin", "example.org", "-o", "json").out)["item"]["zone"] == "example.org"
    path.write_text(ZONE + "bad IN A 1.2.3\n")
    done = run("zone", "check", str(path), "--origin", "example.com")
    assert (done.code, done.out) == (1, "") and f"{path}:{len(ZONE.splitlines()) + 1}:" in done.err and "^" in done.err


def test_docs_and_schema():
    docs = run("config", "docs").out
    assert "pools[].endpoints[].addresses" in docs and "regions[].location" in docs
    assert "dns.listen" in run("config", "docs", "node").out
    schema = json.loads(run("config", "schema").out)
    assert schema["$schema"].endswith("2020-12/schema") and "pools" in schema["properties"]
    assert yaml.safe_load(run("config", "schema", "node", "-o", "yaml").out) == json.loads(run("config", "schema", "node").out)


def intents():
    return sorted(p for p in EXAMPLES.rglob("*.yaml") if not p.name.endswith("node.yaml"))


@pytest.mark.parametrize("path", intents(), ids=lambda p: str(p.relative_to(EXAMPLES)))
def test_examples_are_valid(path):
    done = run("validate", "-f", str(path), "-o", "json")
    item = json.loads(done.out)["item"]
    assert done.code == 0 and item["warnings"] == 0, done.err
    if path.parent != EXAMPLES:
        assert item["diagnostics"] == [], "nothing in it waits for a later version"


def node_files():
    """Those that this version can run: the one of the whole design names etcd."""
    return sorted(p for p in EXAMPLES.rglob("*node.yaml") if p.parent != EXAMPLES)


@pytest.fixture(scope="module", name="copy")
def fixture_copy(tmp_path_factory):
    """The examples, with the secrets and certificates beside them that they name."""
    copy = tmp_path_factory.mktemp("examples") / "examples"
    shutil.copytree(EXAMPLES, copy)
    (copy / "dns" / "transfer.key").write_text("c2VjcmV0IGZvciB0ZXN0cyBvbmx5ISEhISEhISEhISE=\n")
    (copy / "dns" / "cookies.txt").write_text("00112233445566778899aabbccddeeff\n")
    for name, region in (("gtm-us-1", "us-east"), ("gtm-eu-1", "eu-west"), ("gtm-ap-1", "ap-south"), ("gtm-w-1", "frankfurt")):
        for what in (["ca"], ["node", region, name]):
            subprocess.run([str(ROOT / "deploy" / "make-certs"), *what, "-d", str(copy / "cluster")], check=True,
                           capture_output=True, timeout=60)
    (copy / "cluster" / "secret.key").write_text("0f" * 32 + "\n")
    (copy / "cluster" / "secret.key").chmod(0o600)
    for name in ("dns", "push"):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "2", "-subj", f"/CN={name}", "-keyout", str(copy / "dns" / f"{name}.key"),
                        "-out", str(copy / "dns" / f"{name}.pem")], check=True, capture_output=True, timeout=60)
    return copy


def gtmd_check(node_file):
    """(exit code, output) of what systemd runs before the start."""
    done = subprocess.run([str(BUILD / "bin" / "gtmd"), "--check", "--config", str(node_file)], text=True, timeout=60,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize("path", [p for p in intents() if p.parent != EXAMPLES],
                         ids=lambda p: str(p.relative_to(EXAMPLES)))
def test_gtmd_takes_every_example(copy, path):
    intent = copy / path.relative_to(EXAMPLES)
    node = intent.with_suffix(".node")
    node.write_text("node: {name: gtm-1, region: us-east}\ngeo: {databases: []}\n"
                    f"data_dir: {copy}/data\nexec_dir: {copy}/exec\ncluster_file: {intent.name}\n")
    assert gtmd_check(node) == (0, "")


@pytest.mark.parametrize("path", node_files(), ids=lambda p: str(p.relative_to(EXAMPLES)))
def test_gtmd_takes_every_node_file(copy, path):
    assert gtmd_check(copy / path.relative_to(EXAMPLES)) == (0, "")


@pytest.mark.parametrize("name, missing, words", [
    ("dot-node.yaml", "dns.pem", "dns.tls: certificate"),
    ("dot-node.yaml", "dns.key", "dns.tls: key"),
    ("push-node.yaml", "push.pem", "push.tls.cert"),
    ("limits-node.yaml", "cookies.txt", "dns.cookies.secret"),
])
def test_a_missing_file_is_told_before_the_start(copy, tmp_path, name, missing, words):
    shutil.copytree(copy, tmp_path / "examples")
    (tmp_path / "examples" / "dns" / missing).unlink()
    code, text = gtmd_check(tmp_path / "examples" / "dns" / name)
    assert code == 2 and words in text and "No such file" in text and missing in text, text


def test_a_secret_that_others_can_read_is_told_before_the_start(copy, tmp_path):
    shutil.copytree(copy / "cluster", tmp_path / "cluster")
    (tmp_path / "cluster" / "secret.key").chmod(0o644)
    code, text = gtmd_check(tmp_path / "cluster" / "us-east-node.yaml")
    assert code == 0 and "warning: secret_key: " in text and "chmod 0600" in text, text


@pytest.mark.parametrize("levels, code", [(8, 0), (9, 2)])
def test_what_validate_takes_gtmd_takes(tmp_path, levels, code):
    chain = "".join(f"  - {{name: p{i}, steer: weighted, to: [{{policy: p{i + 1}}}]}}\n" for i in range(levels - 1))
    chain += f"  - {{name: p{levels - 1}, pool: www, steer: nearest}}\n"
    (tmp_path / "cluster.yaml").write_text(cluster().replace("zones:\n", chain + "zones:\n").replace(
        "policy: first, ttl", "policy: p0, ttl"))
    (tmp_path / "example.com.zone").write_text(ZONE)
    (tmp_path / "node.yaml").write_text("node: {name: n, region: us-east}\ngeo: {databases: []}\n"
                                        f"data_dir: {tmp_path}/data\ncluster_file: cluster.yaml\n")
    done = run("validate", "-f", str(tmp_path / "cluster.yaml"))
    assert (done.code == 0) == (code == 0), done.err
    assert code == 0 or "nests deeper than 8 levels" in done.err
    assert gtmd_check(tmp_path / "node.yaml")[0] == code


@pytest.mark.parametrize("path", [p for p in EXAMPLES.rglob("*.yaml") if p.parent.name in ("checks", "policies", "dns", "cluster")],
                         ids=lambda p: str(p.relative_to(EXAMPLES)))
def test_every_example_says_when_and_what_to_watch(path):
    head = path.read_text().split("# Check it with: ")[0]
    assert "\n# When: " in head and "\n# Watch: " in head
    metrics = set(re.findall(r"gtm_[a-z_]+", path.read_text()))
    sources = "".join(p.read_text() for folder in ("gtm", "dns", "health") for p in (ROOT / folder).rglob("*.c"))
    assert all(f'"{name}"' in sources for name in metrics), f"metrics that are not there: {metrics}"


def test_examples_are_complete():
    policies = {p["steer"] for f in intents() for p in yaml.safe_load(f.read_text())["policies"]}
    assert {"nearest", "geo", "weighted", "failover", "multivalue", "latency", "least_connections", "response_time", "ewma",
            "sticky"} <= policies
    all_down = {p.get("all_down") for f in intents() for p in yaml.safe_load(f.read_text())["policies"]}
    assert {"fail_open", "last_good", "backup", "fail_closed"} <= all_down
    kinds = {m["kind"] for f in intents() for m in yaml.safe_load(f.read_text())["monitors"]}
    assert {"http", "https", "tcp", "tls", "dns", "icmp", "grpc", "exec", "push"} <= kinds
    assert len(node_files()) >= 5
    for path in node_files():
        done = run("config", "check", str(path))
        assert done.code == 0 and "warning" not in done.err and "note" not in done.err, done.err
    assert run("zone", "check", str(EXAMPLES / "standalone" / "example.com.zone")).code == 0
