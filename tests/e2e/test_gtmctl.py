# SPDX-License-Identifier: Apache-2.0
"""gtmctl against a real gtmd: every command in every form, exit codes, purity of standard output, orders that ask."""
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest
import yaml

from gtmctl import ENV, GTMCTL, background, run
from harness import BUILD, ZONE, address, cluster, gtmd, health_of, wait_for, webs


@pytest.fixture(scope="module", name="world")
def fixture_world():
    with webs(address(11), address(12), address(13)) as servers:
        with gtmd(cluster(), zones={"example.com.zone": ZONE}) as node:
            wait_for(lambda: set(health_of(node).values()) == {"up"}, "all endpoints are up")
            yield node, servers


@pytest.fixture(name="ctl")
def fixture_ctl(world):
    """gtmctl with the node's socket; afterwards no order is in force."""
    node, _ = world
    yield lambda *args, **kw: run("--socket", str(node.socket), *args, **kw)
    for path in ("/pools/www", *(f"/pools/www/endpoints/{e}" for e in health_of(node))):
        node.put(path + "/admin", {"state": "auto"})


# What needs no argument that changes something: command, words that its table must have.
READING = {
    "status": ("REGION", "HEALTH", "ADMIN", "ENDPOINTS", "PROBLEMS", "us-east", "www"),
    "problems": ("SEVERITY", "PROBLEM"),
    "events": ("TIME", "EVENT", "Started"),
    "explain www.example.com A --client 203.0.113.0/24": ("1. ", "answer  NOERROR", "policy  near"),
    "explain plain.example.com --client 2001:db8::/32": ("192.0.2.99", "zone file"),
    "health list": ("POOL", "MONITOR", "EVIDENCE", "HTTP 200"),
    "health list --pool www": ("www-ap-south",),
    "health show www/www-us-east": ("www-us-east", "HTTP 200"),
    "endpoint list": ("POOL", "SERVES", "www-eu-west"),
    "endpoint list www": ("POOL", "SERVES", "www-eu-west"),
    "endpoint show www/www-eu-west": ("health", "up"),
    "pool list": ("POOL", "3/3"),
    "pool show www": ("endpoints_total", "www-us-east"),
    "region list": ("REGION", "ADMIN", "1/1"),
    "region show eu-west": ("www-eu-west",),
    "zone list": ("ZONE", "example.com"),
    "zone show example.com": ("serial", "dynamic_names", "first"),
    "zone records example.com": ("192.0.2.99", "near"),
    "geo status": ("databases",),
    "geo lookup 192.0.2.1": ("country",),
    "policy list": ("POLICY", "failover"),
    "policy show first": ("steer", "failover"),
    "config show": ("regions:", "monitors:"),
    "config schema": ("$schema",),
    "config schema node": ("$schema",),
    "node show": ("test-1", "data_dir"),
    "version": ("gtmctl", "gtmd"),
    "reload --dry-run": ("would be accepted",),
    "health check www --dry-run": ("dry run",),
    "endpoint down www/www-us-east --dry-run": ("auto → down", "dry run"),
    "pool drain www --dry-run": ("3 → 0", "dry run"),
}


@pytest.mark.parametrize("command", READING)
@pytest.mark.parametrize("form", ["table", "wide", "json", "yaml"])
def test_every_command_in_every_form(ctl, command, form):
    done = ctl(*command.split(), "-o", form)
    assert done.code == 0, done.err
    if form == "json":
        body = json.loads(done.out)
    elif form == "yaml":
        body = yaml.safe_load(done.out)
    else:
        assert done.out.endswith("\n") and "\033" not in done.out
        for word in READING[command]:
            assert word in done.out, done.out
        return
    if "schema" not in command:
        assert body["apiVersion"] == "gtm/v1" and body["kind"] and ("items" in body or "item" in body)


def test_yaml_says_what_json_says(ctl):
    for command in ("pool show www", "config show", "zone records example.com", "health list", "geo status"):
        as_json = json.loads(ctl(*command.split(), "-o", "json").out)
        as_yaml = yaml.safe_load(ctl(*command.split(), "-o", "yaml").out)
        for volatile in ("items", "item"):
            if "health" in command or "geo" in command:
                as_json.pop(volatile, None), as_yaml.pop(volatile, None)
        assert as_json == as_yaml, command


def test_nothing_to_resume(ctl):
    done = ctl("endpoint", "resume", "www/www-us-east")
    assert done.code == 6 and "waits for nothing" in done.err


def test_a_node_that_stands_alone_has_its_file(ctl, tmp_path):
    path = tmp_path / "cluster.yaml"
    path.write_text("regions: [{name: x}]\n")
    for command in (("apply", "-f", str(path), "--yes"), ("history",), ("export",), ("rollback", "--to", "1", "--yes"),
                    ("delete", "pool", "www", "--yes")):
        done = ctl(*command)
        assert done.code == 1 and "cluster_file" in done.err and "gtmctl reload" in done.err, done.err
    assert "www" in ctl("get", "pools").out
    assert ctl("describe", "pool", "www").out.startswith("intent:\n  name: www\n")


def test_every_command_of_the_table_is_tried(ctl):
    """A command that is added to the table must come into these files."""
    told = {re.match(r"  (\S+(?: [a-z]+)?)", line).group(1) for line in ctl("help").out.splitlines()[2:]
            if re.match(r"  [a-z]", line)}
    folder = pathlib.Path(__file__).parent
    text = "".join(p.read_text() for p in [*folder.glob("test_gtmctl*.py"), *(folder / f"test_{n}.py" for n in
                                                                                 ("operate", "rules", "traffic", "mtls_cluster"))])
    tried = {c for c in told if re.search(rf'"{c}\b', text) or re.search('"' + '",\\s*"'.join(c.split()) + '"', text)}
    assert len(told) > 35
    assert told - tried == set()


def test_columns_stand_under_each_other(ctl):
    lines = ctl("endpoint", "list").out.splitlines()
    start = lines[0].index("REGION")
    assert [line[start:].split()[0] for line in lines[1:]] == ["us-east", "eu-west", "ap-south"]
    assert ctl("endpoint", "list", "--no-headers").out.splitlines()[0].split()[0] == "www"
    assert "WEIGHT" in ctl("endpoint", "list", "-owide").out and "WEIGHT" not in lines[0]


# --- how to get there

def test_where_the_socket_comes_from(world):
    node, _ = world
    assert run("version", env={"GTM_SOCKET": str(node.socket)}).code == 0
    assert run("--config", str(node.dir / "node.yaml"), "version").code == 0
    # --socket goes before --config, --config before the environment.
    assert run("--config", str(node.dir / "node.yaml"), "version", env={"GTM_SOCKET": "/nowhere"}).code == 0
    assert run("--config", str(node.dir / "node.yaml"), "--socket", "/nowhere", "version").code == 3
    node.write("broken.yaml", "node: {name: 5}\n")
    done = run("--config", str(node.dir / "broken.yaml"), "status")
    assert done.code == 1 and "broken.yaml:1:" in done.err and done.out == ""


def test_unreachable_says_where_and_what_to_check(tmp_path):
    done = run("--socket", str(tmp_path / "none.sock"), "status")
    assert (done.code, done.out) == (3, "")
    assert str(tmp_path / "none.sock") in done.err and "No such file" in done.err and "--socket" in done.err
    # The version of gtmctl itself is told anyway.
    done = run("--socket", str(tmp_path / "none.sock"), "version", "-o", "json")
    assert done.code == 3 and json.loads(done.out)["item"]["version"] is None
    assert run("--socket", "/" + "x" * 200, "status").code == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="root may open everything, and become somebody who may not")
def test_not_allowed_to_open_the_socket(world):
    node, _ = world
    try:
        done = subprocess.run([GTMCTL, "--socket", str(node.socket), "status"], user=65534, group=65534, extra_groups=[],
                              cwd="/", capture_output=True, text=True, check=False, env=ENV)
    except PermissionError:
        pytest.skip("the build folder is not for everybody")
    assert (done.returncode, done.stdout) == (3, "")
    assert "Permission denied" in done.stderr and "group gtm" in done.stderr


def test_a_daemon_that_does_not_answer(tmp_path):
    path = str(tmp_path / "mute.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(8)
        began = time.monotonic()
        done = run("--socket", path, "--timeout", "200ms", "status")
        assert done.code == 3 and "no answer" in done.err and "0.2 s" in done.err
        assert time.monotonic() - began < 20


@pytest.mark.parametrize("reply, code, word", [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{bad}", 1, "no JSON"),
    (b"\x00\xff\x00\r\n\r\n", 3, "talking to gtmd"),
    (b'HTTP/1.1 409 X\r\nContent-Length: 39\r\n\r\n{"detail":"\\u001b[31mtwo at a time\\n!"}\n', 6, "two at a time"),
    (b'HTTP/1.1 403 X\r\nContent-Length: 0\r\n\r\n', 10, "HTTP 403"),
    (b'HTTP/1.1 422 X\r\nContent-Length: 33\r\n\r\n{"code":"blocked","detail":"why"}', 5, "why"),
])
def test_replies_that_are_no_answer(tmp_path, reply, code, word):
    path = str(tmp_path / "odd.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(8)

        def serve():
            con, _ = listener.accept()
            con.recv(65536)
            con.sendall(reply)
            con.close()
        threading.Thread(target=serve, daemon=True).start()
        done = run("--socket", path, "node", "show")
        assert (done.code, done.out) == (code, ""), done.err
        assert word in done.err and "\033" not in done.err


# --- exit codes

@pytest.mark.parametrize("args", [
    ["stauts"], ["pool"], ["pool", "shw", "www"], ["pool", "show"], ["pool", "list", "extra"], ["status", "--reason", "x"],
    ["status", "-o", "jsn"], ["status", "--outptu", "json"], ["status", "-q"], ["status", "--watch=0"],
    ["status", "--timeout", "never"], ["endpoint", "show", "www-us-east"], ["endpoint", "down", "a/b/c"],
    ["endpoint", "down", "www/www-us-east", "--for", "5 minutes"], ["pool", "down", "www/www-us-east"], ["status", "--limit"],
    ["events", "--limit", "0"], ["events", "--limit", "5x"], ["explain", "www.example.com"], ["--verbose=yes", "status"],
    ["explain", "www.example.com", "NOTYPE", "--client", "192.0.2.1"], ["geo", "lookup", "nowhere"], ["validate"],
    ["explain", "www.example.com", "A", "--client", "192.0.2.1/33"], ["metrics", "-o", "json"], ["completion", "csh"],
    ["config", "schema", "other"], ["help", "nothing"], ["help", "pool", "nothing"], ["pool", "nothing", "--help"],
    ["bogus", "--help"], ["a"] * 11, [],
])
def test_wrong_usage(ctl, args):
    done = ctl(*args)
    assert (done.code, done.out) == (2, ""), done.err
    assert done.err != "" and (done.err.startswith("gtmctl: ") or not args)


@pytest.mark.parametrize("args, near", [
    (["stauts"], "status"), (["pool", "shwo"], "show"), (["status", "--ouput=json"], "--output"),
    (["endpoint", "dwon", "a/b"], "down"), (["help", "healht"], "health"),
])
def test_did_you_mean(ctl, args, near):
    assert f"did you mean '{near}'" in ctl(*args).err


@pytest.mark.parametrize("args", [
    ["pool", "show", "nope"], ["endpoint", "show", "www/nope"], ["endpoint", "down", "nope/x", "--yes"],
    ["pool", "down", "nope", "--yes"], ["zone", "show", "example.net"], ["policy", "show", "nope"],
    ["region", "show", "mars"], ["health", "show", "www/nope"], ["health", "check", "nope"], ["health", "list", "--pool", "x"],
    ["zone", "records", "..%2f"],
])
def test_not_found(ctl, args):
    done = ctl(*args)
    assert (done.code, done.out) == (4, ""), done.err
    assert done.err.startswith("gtmctl: ")


def test_degraded(world, ctl):
    node, servers = world
    assert ctl("status", "--exit-code").code == 0
    servers[1].set("503")
    try:
        wait_for(lambda: health_of(node)["www-eu-west"] == "down", "the failing server is out")
        for command in ("status", "problems"):
            assert ctl(command).code == 0
            for form in ("table", "json"):
                assert ctl(command, "--exit-code", "-o", form).code == 9
        out = ctl("status").out
        assert re.search(r"^eu-west +down +auto +0/1$", out, re.M) and "PROBLEMS 2: 1 critical, 1 warning" in out
        assert "HTTP 503" in ctl("health", "show", "www/www-eu-west").out
        assert "down" in ctl("explain", "www.example.com", "--client", "192.0.2.1").out
    finally:
        servers[1].set("ok")
        wait_for(lambda: health_of(node)["www-eu-west"] == "up", "it is back")


def test_standard_output_that_is_full(ctl, world):
    node, _ = world
    with open("/dev/full", "w", encoding="utf-8") as full:
        for args in (["status"], ["help"], ["metrics"], ["config", "schema"]):
            done = subprocess.run([GTMCTL, "--socket", str(node.socket), *args], stdout=full, stderr=subprocess.PIPE,
                                  text=True, env=ENV, check=False)
            assert done.returncode == 1 and "standard output" in done.stderr


# --- orders

def test_dry_run_changes_nothing(world, ctl):
    node, _ = world
    revision = node.get("/status").item["revision"]
    for args in (["endpoint", "down", "www/www-us-east"], ["endpoint", "drain", "www/www-us-east"], ["pool", "down", "www"],
                 ["pool", "up", "www"], ["endpoint", "up", "www/www-us-east"], ["reload"], ["health", "check", "www"],
                 ["pool", "auto", "www"], ["endpoint", "auto", "www/www-us-east"]):
        yes = ["--yes"] if args[0] in ("pool", "endpoint") else []
        assert ctl(*args, "--dry-run").code == 0
        assert ctl(*args, "--dry-run", *yes, "-o", "json").code == 0
    assert node.get("/status").item["revision"] == revision
    assert node.get("/status").item["endpoints"]["overridden"] == 0


def test_what_can_hurt_needs_a_yes(world, ctl):
    node, _ = world
    for args, words in ((["endpoint", "down", "www/www-us-east"], ["region us-east", "3 → 2"]),
                        (["endpoint", "drain", "www/www-us-east"], ["region us-east", "3 → 2"]),
                        (["pool", "drain", "www"], ["all_down", "3 → 0"]), (["pool", "down", "www"], ["all_down", "3 → 0"])):
        done = ctl(*args)
        assert (done.code, done.out) == (2, ""), "what would happen is no data"
        assert "--yes" in done.err and all(w in done.err for w in words), done.err
    assert node.get("/status").item["endpoints"]["overridden"] == 0
    # What does not hurt needs none: up and auto, and what does not serve anyway.
    assert ctl("endpoint", "up", "www/www-us-east").code == 0
    assert ctl("endpoint", "auto", "www/www-us-east").code == 0
    assert ctl("endpoint", "down", "www/www-us-east", "--yes").code == 0
    assert ctl("endpoint", "drain", "www/www-us-east").code == 0


def test_order_is_in_force(world, ctl):
    node, _ = world
    before = time.time()
    done = ctl("endpoint", "drain", "www/www-us-east", "--yes", "--for", "2h", "--reason", "INC-4121 «ü»", "-o", "json")
    item = json.loads(done.out)["item"]
    assert (item["before"]["state"], item["after"]["state"], item["dry_run"]) == ("auto", "drain", False)
    admin = node.get("/pools/www/endpoints/www-us-east").item["admin"]
    assert (admin["state"], admin["reason"]) == ("drain", "INC-4121 «ü»")
    until = yaml.safe_load(admin["until"].replace("Z", "+00:00"))
    assert 7190 < until.timestamp() - before < 7260
    assert node.addresses("first.example.com") == [address(12)]
    assert "INC-4121 «ü»" in ctl("endpoint", "list").out
    assert re.search(r"^us-east +\w+ +drain +0/1$", ctl("region", "list").out, re.M)
    assert ctl("pool", "down", "www", "--yes").code == 0
    assert json.loads(ctl("pool", "list", "-o", "json").out)["items"][0]["admin"]["state"] == "down"
    assert ctl("pool", "auto", "www").code == 0
    assert ctl("endpoint", "auto", "www/www-us-east").code == 0
    assert node.addresses("first.example.com") == [address(11)]
    assert ctl("endpoint", "auto", "www/www-us-east", "--for", "1h").code == 2, "auto has no end"


def on_terminal(args, keys, deadline_s=20):
    """Runs gtmctl on a pseudo terminal, types keys when asked: (exit code, all that was shown)."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(GTMCTL, [GTMCTL, *args], {**ENV, "TERM": "xterm"})
    shown, typed, end = b"", False, time.monotonic() + deadline_s
    try:
        while time.monotonic() < end:
            if not select.select([fd], [], [], 0.1)[0]:
                continue
            try:
                part = os.read(fd, 4096)
            except OSError:
                break
            if not part:
                break
            shown += part
            if not typed and b"[y/N]" in shown:
                os.write(fd, keys)
                typed = True
        else:
            os.kill(pid, signal.SIGKILL)
    finally:
        os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


def test_asking_on_a_terminal(world, ctl):
    node, _ = world
    args = ["--socket", str(node.socket), "endpoint", "down", "www/www-us-east"]
    for keys, code, state in ((b"n\n", 1, "auto"), (b"\n", 1, "auto"), (b"y\n", 0, "down")):
        got, shown = on_terminal(args, keys)
        assert (got, "region us-east" in shown) == (code, True), shown
        assert node.get("/pools/www/endpoints/www-us-east").item["admin"]["state"] == state
    assert ctl("endpoint", "auto", "www/www-us-east").code == 0


def test_colour_only_on_a_terminal(world):
    node, _ = world
    args = ["--socket", str(node.socket), "status"]
    assert "\033[32mup\033[0m" in on_terminal(args, b"")[1]
    assert "\033" not in on_terminal([*args, "--no-color"], b"")[1]
    assert "\033" not in run(*args).out


# --- following and waiting

def test_watch_repeats(world):
    node, _ = world
    for args in (["status"], ["problems"], ["health", "list"], ["pool", "list"], ["endpoint", "list"]):
        with background("--socket", str(node.socket), *args, "--watch=100ms", "-o", "json") as lines:
            wait_for(lambda: lines.count("{\n") >= 3, "three times: " + " ".join(args))


def test_health_check_waits(world, ctl):
    node, _ = world
    before = {i["endpoint"]: i["checks_total"] for i in node.get("/health").items}
    done = ctl("health", "check", "www", "--wait", "-o", "json")
    assert done.code == 0, done.err
    after = {i["endpoint"]: i["checks_total"] for i in json.loads(done.out)["items"]}
    assert all(after[e] > before[e] for e in before)
    assert "1 checks started" in ctl("health", "check", "www/www-us-east").out


def test_validate_standard_input(world, ctl):
    node, _ = world
    shown = ctl("config", "show").out
    done = run("validate", "-f", "-", stdin=shown, cwd=node.dir)
    assert done.code == 0, "what is in force is an intent again: " + done.err
    done = run("validate", "-f", "-", stdin="regions: 5\n")
    assert done.code == 1 and "standard input:1:" in done.err
    assert run("validate", "-f", "-", stdin="").code == 1
    assert ctl("config", "check", str(node.dir / "node.yaml")).code == 0
    assert run("config", "check", "--config", str(node.dir / "node.yaml")).code == 0
    assert run("config", "check", str(node.dir / "cluster.yaml")).code == 1


# --- pages, texts

def test_records_in_pages(world, ctl):
    node, _ = world
    node.write("example.com.zone", ZONE + "".join(f"h{i} IN A 192.0.2.{i % 250}\n" for i in range(2500)))
    try:
        assert ctl("reload").code == 0
        done = ctl("zone", "records", "example.com", "-o", "json")
        assert len(json.loads(done.out)["items"]) == 1000 and "more records" in done.err
        done = ctl("zone", "records", "example.com", "--limit", "100000", "-o", "json")
        body = json.loads(done.out)
        assert len(body["items"]) > 2500 and body["next"] is None and done.err == ""
        assert len({(i["name"], i["type"], i["data"]) for i in body["items"]}) == len(body["items"])
        done = ctl("zone", "records", "example.com", "--name", "h7", "-o", "json")
        assert [i["data"] for i in json.loads(done.out)["items"]] == ["192.0.2.7"]
    finally:
        node.write("example.com.zone", ZONE)
        assert ctl("reload").code == 0


def test_reload_tells_all_errors(world, ctl):
    node, _ = world
    node.write("cluster.yaml", cluster().replace("policy: near}", "policy: neer}").replace("fall: 2", "fall: 0"))
    try:
        for args in (["reload"], ["reload", "--dry-run"]):
            done = ctl(*args, cwd=node.dir)
            assert (done.code, done.out) == (1, "")
            assert re.search(r"cluster.yaml:\d+:\d+: error: .*near", done.err) and "^" in done.err and "fall" in done.err
            assert "old one stays" in done.err
    finally:
        node.write("cluster.yaml", cluster())
        assert ctl("reload").code == 0


def test_metrics_are_text(ctl):
    done = ctl("metrics")
    assert done.code == 0 and "# TYPE gtm_" in done.out


def test_verbose_goes_to_standard_error(ctl):
    done = ctl("pool", "list", "-v", "-o", "json")
    assert json.loads(done.out)["kind"] == "PoolList" and "GET /api/v1/pools" in done.err
    assert ctl("pool", "list", "-o", "json").err == ""


def test_help(ctl):
    whole = ctl("help").out
    assert ctl("--help").out == ctl("-h").out == whole
    for line in whole.splitlines():
        found = re.match(r"  ([a-z]+)(?: ([a-z]+))?(?= |$)", line)
        if not found:
            continue
        words = [w for w in found.groups() if w]
        if ctl("help", *words).code != 0:
            words = words[:1]
        for args in (["help", *words], [*words, "--help"]):
            done = ctl(*args)
            assert done.code == 0 and done.out.startswith("gtmctl " + words[0]) and done.err == ""
    assert ctl("pool", "--help").out.count("\ngtmctl pool ") >= 5
    assert ctl("pool", "show", "www", "--help").out.startswith("gtmctl pool show POOL\n")


def test_completion(ctl, world):
    node, _ = world
    bash = ctl("completion", "bash").out
    script = bash + """
ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _gtmctl; echo "${COMPREPLY[*]}"; }
ask gtmctl st; ask gtmctl endpoint d; ask gtmctl endpoint drain www/www-u; ask gtmctl pool show w
ask gtmctl endpoint drain --re; ask gtmctl status --re; ask gtmctl completion z; ask gtmctl help poo
"""
    done = subprocess.run(["bash", "--norc"], input=script, text=True, capture_output=True, check=False,
                          env={**ENV, "PATH": f"{BUILD}/bin:{ENV['PATH']}", "GTM_SOCKET": str(node.socket)})
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["status", "down drain", "www/www-us-east", "www", "--reason", "", "zsh", "pool"]
    assert ctl("completion", "zsh").out.startswith("#compdef gtmctl\n")
    fish = ctl("completion", "fish").out
    assert "-a drain" in fish and all(line.startswith("complete -c gtmctl ") for line in fish.splitlines())
    for shell, flag in (("fish", "--no-execute"), ("zsh", "-n")):
        if shutil.which(shell):
            assert subprocess.run([shell, flag], input=ctl("completion", shell).out, text=True, check=False).returncode == 0
