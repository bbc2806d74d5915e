# SPDX-License-Identifier: Apache-2.0
"""deploy/demo --standalone does what it says, and cannot say it when it is not so: broken copies of it must fail."""
import os
import re
import signal
import subprocess

import pytest

from demo_runs import DEMO, Run, batches, check_broken, claims, only_fast_builds, port_of, servers
from harness import BUILD, wait_for

# Each breaks one thing of a copy of the demo: (what is replaced, by what), and the claim that then is not seen.
BROKEN = {
    "a nearer region that never starts": ([
        ('("eu-west", 53.3, -6.3, "127.20.2.1"),', '("eu-west", 53.3, -6.3, "127.20.2.1"), '
         '("eu-near", 53.0, -8.0, "127.20.4.1"),'),
        ("            self.start_web(name)\n        self.until", "            name == 'eu-near' or self.start_web(name)\n"
         "        self.until")], "all three regions are checked and up"),
    "regions elsewhere than the truth": ([
        ("location: [{lat}, {lon}]", "location: [{-lat}, {-lon}]")],
        "clients of 16 countries go to the nearest of 3 regions"),
    "a kill that does not kill": ([
        ('lambda: self.kill("eu-west")', "lambda: None")], "users leave eu-west"),
    "servers that are not what they say": ([
        ("os.path.join(HERE, \"region_server.py\"), region,", "os.path.join(HERE, \"region_server.py\"), \"x\" + region,")],
        "the servers they go to answer them"),
    "a canary of another size": ([
        ("weight: {CANARY_PERCENT}}}]", "weight: 4{CANARY_PERCENT}}}]")], "of 600 answers are the new version"),
    "a ramp that is none": ([
        ("ramp: {SHOP_RAMP}}}", "ramp: 0s}}")], "networks 0 % → "),
    "a bad release that is good": ([
        ("self.send(name, signal.SIGUSR1)", "self.send(name, signal.SIGUSR2)")],
        "gtmd does not believe it: everyone keeps the nearest region, and it is reported"),
    "a successor that never comes": ([
        ('"node.yaml", "--replace")', '"node.yaml", "--check")')], "handed over to"),
}


def test_demo_sees_all_that_it_claims(tmp_path):
    run = Run(tmp_path, DEMO, "--standalone", "--no-build")
    code, text = run.wait(), run.text()
    assert code == 0, text
    seen = claims(text)
    assert len(seen) == 19 and {mark for mark, _ in seen} == {"seen"}, text
    assert "19 of 19 claims seen" in text
    # What a reader can check without gtm: at least eight countries, everyone at home.
    rows = dict(re.findall(r"^  ([A-Z]{2}) +[\d.]+/24 +(\S+) ", text, re.M))
    assert len(rows) >= 8
    for country, region in (("US", "us-east"), ("CA", "us-east"), ("IE", "eu-west"), ("DE", "eu-west"),
                            ("FR", "eu-west"), ("SG", "ap-south"), ("JP", "ap-south"), ("AU", "ap-south")):
        assert rows.get(country, region) == region
    assert set(rows.values()) == {"us-east", "eu-west", "ap-south"}
    # Killed, hung, brought back: with times.
    for what in (r"eu-west left all answers after \d+\.\d\d s", r"users of eu-west are back after \d+\.\d\d s",
                 r"ap-south left all answers after \d+\.\d\d s", r"users of ap-south are back after \d+\.\d\d s"):
        assert re.search(what, text), what
    assert "endpoint www-eu-west in eu-west skipped: down" in text, "it explains"
    # The kinds of steering, with their numbers.
    for what in (r"\d+ of 600 answers are the new version", r"(\d+) of 150 networks moved: exactly those of us-east",
                 r"of \d+ networks 0 %( → \d+ %)+ → 100 % are back after \d+\.\d s",
                 r"process \d+ handed over to \d+: none of \d+ questions meanwhile was lost"):
        assert re.search(what, text), what
    assert "critical  PanicHeld" in text
    run.assert_nothing_left()
    assert not servers(port_of(text))


@only_fast_builds
@batches(BROKEN, 3)
def test_broken_demos_fail(tmp_path, batch):
    check_broken(tmp_path, batch, "--standalone")


@pytest.mark.parametrize("signum,code", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_interrupted_demo_leaves_nothing(tmp_path, signum, code):
    run = Run(tmp_path, DEMO, "--standalone", "--no-build")
    wait_for(lambda: "[seen] all three regions" in run.text() or run.process.poll() is not None, "it is under way")
    os.kill(run.process.pid, signum)
    assert run.wait() == code, run.text()
    assert "Traceback" not in run.text()
    run.assert_nothing_left()
    assert not servers(port_of(run.text()))


def test_keep_leaves_it_running(tmp_path):
    run = Run(tmp_path, DEMO, "--standalone", "--no-build", "--keep", "--quiet")
    assert run.wait() == 0, run.text()
    text = run.text()
    stop = re.search(r"^  stop: kill ([\d ]+); rm -r (\S+)$", text, re.M)
    try:
        assert len(run.processes()) == 1 and len(stop[1].split()) == 5
        socket = re.search(r"--socket (\S+) status", text)[1]
        done = subprocess.run([str(BUILD / "bin" / "gtmctl"), "--socket", socket, "status"], capture_output=True,
                              text=True, check=False, timeout=30)
        assert done.returncode == 0 and "ap-south  up" in done.stdout
    finally:
        subprocess.run(["sh", "-c", f"kill {stop[1]}"], check=True)
    wait_for(lambda: not run.processes(), "stopped as it was told")
