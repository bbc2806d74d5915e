# SPDX-License-Identifier: Apache-2.0
"""Checks by programs of exec_dir, and targets that share a probe."""
import os
import pathlib

from harness import WEB_PORT, ZONE, Web, address, gtmd, wait_for

REGION = "regions: [{name: us-east, location: [38.9, -77.0]}]\n"


def exec_cluster(endpoints=1, interval="300ms", timeout="250ms"):
    lines = [f"      - {{name: e{i}, region: us-east, addresses: [\"{address(11)}\"]}}" for i in range(endpoints)]
    return (REGION + "monitors:\n"
            f"  - {{name: script, kind: exec, program: check.sh, args: [\"{{address}}\", \"{{pool}}/{{endpoint}}\"],"
            f" interval: {interval}, timeout: {timeout}, fall: 2, rise: 2, load: {{load: /busy}}}}\n"
            "pools:\n  - name: www\n    monitors: [script]\n    endpoints:\n" + "\n".join(lines) + "\n"
            "policies: [{name: any, pool: www, steer: multivalue}]\n"
            "zones:\n  - {name: example.com, file: example.com.zone, "
            "names: [{name: www, types: [A], policy: any}]}\n")


def program(node, text, name="check.sh", mode=0o755):
    folder = node.dir / "exec"
    folder.mkdir(mode=0o755, exist_ok=True)
    node.write(f"exec/{name}", "#!/bin/sh\n" + text)
    (folder / name).chmod(mode)


def first(node):
    return node.get("/health?pool=www").items[0]


def children(pid):
    """{pid: state} of gtmd's children."""
    found = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            after = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(after[1]) == pid:
            found[int(stat.parent.name)] = after[0]
    return found


class Exec:
    """gtmd with an exec_dir; the program is there before the start."""

    def __init__(self, text, mode=0o755, **kw):
        self.text, self.mode, self.kw = text, mode, kw

    def __enter__(self):
        # The folder is known only once the node is made: a relative path is the node file's.
        self.manager = gtmd(exec_cluster(**self.kw), zones={"example.com.zone": ZONE}, node="exec_dir: exec\n")
        self.node = self.manager.__enter__()
        program(self.node, self.text, mode=self.mode)
        return self.node

    def __exit__(self, *exc):
        return self.manager.__exit__(*exc)


def test_a_program_decides():
    with Exec("test ! -e ${0%/*}/../broken || { echo \"$2 is broken\" >&2; exit 4; }\n"
              "echo '{\"busy\": 0.25}'\n") as node:
        wait_for(lambda: first(node)["health"] == "up", "the program says up")
        assert first(node)["evidence"] == "exit 0" and first(node)["kind"] == "exec"
        assert wait_for(lambda: first(node).get("load"), "its load") == {"load": 0.25}
        node.write("broken", "")
        wait_for(lambda: first(node)["health"] == "down", "the program says down")
        assert first(node)["evidence"] == "exit 4: www/e0 is broken" and first(node)["result"] == "answer"
        (node.dir / "broken").unlink()
        wait_for(lambda: first(node)["health"] == "up", "and up again")
        assert node.metrics()['gtm_health_checks_total{monitor="script",result="answer"}'] >= 2


def test_what_others_can_write_to_is_never_run():
    with Exec("touch ${0%/*}/ran\n", mode=0o777) as node:
        wait_for(lambda: "group or others can write to it" in first(node)["evidence"], "it is refused")
        assert first(node)["result"] == "local" and first(node)["health"] == "unknown"
        assert not (node.dir / "exec" / "ran").exists()
        assert node.addresses("www.example.com") == [address(11)]  # unknown serves
        program(node, "exit 0\n")
        wait_for(lambda: first(node)["health"] == "up", "repaired")


def test_hung_programs_are_killed_and_reaped():
    with Exec("sleep 600 & sleep 600\n", endpoints=4) as node:
        wait_for(lambda: first(node)["health"] == "down", "time-outs count")
        assert first(node)["evidence"] == "no answer in 250 ms" and first(node)["result"] == "timeout"
        assert len(children(node.process.pid)) <= 16
        program(node, "exit 0\n")
        wait_for(lambda: first(node)["health"] == "up", "a program that ends")
        wait_for(lambda: "Z" not in children(node.process.pid).values(), "no zombie stays")
        pid = node.process.pid
        program(node, "exec sleep 600\n")
        wait_for(lambda: children(pid), "one runs")
        running = list(children(pid))
    for child in running:
        wait_for(lambda c=child: not os.path.exists(f"/proc/{c}")
                 or ") Z " in pathlib.Path(f"/proc/{c}/stat").read_text(), "nothing survives gtmd")


def test_without_exec_dir_nothing_is_run():
    with gtmd(exec_cluster(), zones={"example.com.zone": ZONE}) as node:
        wait_for(lambda: first(node)["evidence"] == "not checked: the node file names no exec_dir", "it says why")
        assert first(node)["health"] == "unknown"


def test_pools_with_the_same_server_cost_one_probe():
    pools = 300
    text = (REGION + f"monitors: [{{name: web, kind: http, port: {WEB_PORT}, path: /healthz, interval: 500ms, "
            "timeout: 400ms, fall: 2, rise: 2}]\npools:\n" + "".join(
                f"  - {{name: p{i}, monitors: [web], endpoints: [{{name: e, region: us-east, "
                f"addresses: [\"{address(11)}\"]}}]}}\n" for i in range(pools)) +
            "policies: [{name: any, pool: p0, steer: multivalue}]\n"
            "zones:\n  - {name: example.com, file: example.com.zone, "
            "names: [{name: www, types: [A], policy: any}]}\n")
    server = Web(address(11))
    try:
        with gtmd(text, zones={"example.com.zone": ZONE}) as node:
            def words():
                return {c["health"] for c in node.get("/health").items}
            wait_for(lambda: words() == {"up"}, "all are up")
            metrics = node.metrics()
            assert metrics["gtm_health_probes"] == 1
            assert metrics['gtm_health_targets{health="up"}'] == pools
            assert node.get("/health").items[0]["shared"] == pools - 1
            server.set("down")
            wait_for(lambda: words() == {"down"}, "all are down")
            assert node.metrics()['gtm_health_checks_total{monitor="web",result="ok"}'] < pools
    finally:
        server.close()
