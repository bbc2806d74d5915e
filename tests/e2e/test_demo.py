# SPDX-License-Identifier: Apache-2.0
"""deploy/demo, the cluster: it does what it says, and can be left running."""
import os
import re
import signal
import subprocess

from demo_runs import DEMO, Run, claims, port_of, servers
from harness import wait_for

STEPS = 17


def times_of(text):
    """The table at the end: step → (min, median, max)."""
    rows = re.findall(r"^  (\S.*?) +(\d+\.\d\d) s +(\d+\.\d\d) s +(\d+\.\d\d) s$", text, re.M)
    return {row[0]: tuple(map(float, row[1:])) for row in rows}


def test_demo_sees_all_that_it_claims_and_goes_on(tmp_path):
    run = Run(tmp_path, DEMO, "--no-build", "--keep")
    code, text = run.wait(), run.text()
    stop = re.search(r"^  stop: kill ([\d ]+); rm -r (\S+)$", text, re.M)
    try:
        assert code == 0, text
        assert {mark for mark, _ in claims(text)} == {"seen"} and f"{len(claims(text))} of {len(claims(text))} claims" in text
        # What a reader can check without gtm: six countries, the same answer by all six nodes, everyone at home.
        rows = dict(re.findall(r"^  ([A-Z]{2}) +[\d.]+/24 +(\S+(?: +\S+){5}) *$", text, re.M))
        homes = {"US": "us-east", "BR": "us-east", "IE": "eu-west", "DE": "eu-west", "SG": "ap-south", "JP": "ap-south"}
        assert {country: row.split() for country, row in rows.items()} == {c: [r] * 6 for c, r in homes.items()}
        # Every step has its times.
        table = times_of(text)
        assert len(table) == STEPS and all(low <= middle <= high for low, middle, high in table.values()), table
        for what in (r"endpoint www-eu-west in eu-west skipped: down", r"critical  StoreAway",
                     r"region drain is blocked by one-at-a-time", r"regions without users 1 → 2 \(us-east, eu-west\)",
                     r"rolled back: revision 3 \(was 2\)", r"sound +yes"):
            assert re.search(what, text), what
        # Six gtmd and three etcd go on, and are reached as it says.
        assert len(run.processes()) == 9 and len(stop[1].split()) == 12
        for command in re.findall(r"^  (?:\S+/gtmctl|dig) .*$", text, re.M):
            env = {**os.environ, "XDG_CONFIG_HOME": re.search(r"export XDG_CONFIG_HOME=(\S+)", text)[1]}
            done = subprocess.run(["bash", "-c", command], env=env, capture_output=True, text=True, check=False, timeout=30)
            assert done.returncode == 0 and done.stdout, (command, done.stdout, done.stderr)
    finally:
        subprocess.run(["sh", "-c", f"kill {stop[1]}"], check=True)
    wait_for(lambda: not run.processes() and not servers(port_of(text)), "stopped as it was told")


def test_interrupted_demo_leaves_nothing(tmp_path):
    run = Run(tmp_path, DEMO, "--no-build")
    wait_for(lambda: "[seen] six nodes" in run.text() or run.process.poll() is not None, "it is under way", deadline_s=90)
    os.kill(run.process.pid, signal.SIGINT)
    assert run.wait() == 130, run.text()
    assert "Traceback" not in run.text()
    run.assert_nothing_left()
    assert not servers(port_of(run.text()))


def test_usage(tmp_path):
    assert Run(tmp_path / "a", DEMO, "--help").wait() == 0
    wrong = Run(tmp_path / "b", DEMO, "--stand-alone")
    assert wrong.wait() == 2 and "--stand-alone" in wrong.text() and "--help" in wrong.text()
    env = {**os.environ, "GTM_BUILD": str(tmp_path / "nothing")}
    done = subprocess.run([str(DEMO), "--no-build"], capture_output=True, text=True, env=env, check=False, timeout=60)
    assert done.returncode == 1 and "gtmd is missing" in done.stderr
