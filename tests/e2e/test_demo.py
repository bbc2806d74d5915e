# SPDX-License-Identifier: Apache-2.0
"""deploy/demo does what it says, and cannot say it when it is not so: broken copies of it must fail."""
import os
import pathlib
import re
import shutil
import signal
import subprocess

import pytest

from harness import BUILD, ROOT, wait_for

DEMO = ROOT / "deploy" / "demo"
# Each breaks one thing of a copy of demo.py: (what is replaced, by what, the claim that then is not seen).
BROKEN = {
    "a nearer region that never starts": [
        ('("eu-west", 53.3, -6.3, "127.20.2.1"),', '("eu-west", 53.3, -6.3, "127.20.2.1"), '
         '("eu-near", 53.0, -8.0, "127.20.4.1"),', None),
        ("            self.start_region(name)\n", "            name == 'eu-near' or self.start_region(name)\n",
         "all three regions are checked and up")],
    "regions elsewhere than the truth": [
        ("location: [{lat}, {lon}]", "location: [{-lat}, {-lon}]",
         "clients of 16 countries go to the nearest of 3 regions")],
    "a kill that does not kill": [
        ('lambda: self.kill("eu-west")', "lambda: None", "users leave eu-west")],
    "servers that are not what they say": [
        ("os.path.join(HERE, \"region_server.py\"), name,", "os.path.join(HERE, \"region_server.py\"), \"x\" + name,",
         "the servers they go to answer them")],
    "a canary of another size": [
        ("weight: {CANARY_PERCENT}}}]", "weight: 4{CANARY_PERCENT}}}]", "of 600 answers are the new version")],
    "a ramp that is none": [
        ("ramp: {SHOP_RAMP}}}", "ramp: 0s}}", "networks 0 % → ")],
    "a bad release that is good": [
        ("self.send(name, signal.SIGUSR1)", "self.send(name, signal.SIGUSR2)",
         "gtmd does not believe it: everyone keeps the nearest region, and it is reported")],
    "a successor that never comes": [
        ('"node.yaml"), "--replace"])', '"node.yaml"), "--check"])', "handed over to")],
}


class Run:
    """A run of the demo with a scratch folder of its own."""

    def __init__(self, scratch, program, *args):
        self.scratch = pathlib.Path(scratch)
        self.out = self.scratch / "out"
        self.tmp = self.scratch / "tmp"
        self.tmp.mkdir(parents=True)
        env = {**os.environ, "TMPDIR": str(self.tmp), "GTM_BUILD": str(BUILD)}
        with open(self.out, "wb") as out:
            self.process = subprocess.Popen([str(program), *args], stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                                            env=env, start_new_session=True)

    def text(self):
        return self.out.read_text()

    def wait(self):
        return self.process.wait(timeout=120)

    def processes(self):
        """Command lines of the machine that still name the scratch folder (gtmd does)."""
        lines = []
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(self.tmp) in line:
                lines.append(line)
        return lines

    def assert_nothing_left(self):
        assert not self.processes()
        assert not list(self.tmp.iterdir())


def servers(port):
    """Region servers that still run on that port."""
    found = subprocess.run(["pgrep", "-f", f"region_server.py .* {port}$"], capture_output=True, text=True, check=False)
    return found.stdout.split()


def claims(text):
    return re.findall(r"^  \[(seen|NOT SEEN)\] (.*)$", text, re.M)


def port_of(text):
    return re.search(r"http://127\.20\.1\.1:(\d+)/", text)[1]


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


def start_broken(folder, what):
    """A run of a copy of the demo with the edits of BROKEN[what]."""
    shutil.copytree(ROOT / "deploy" / "demo.d", folder / "deploy" / "demo.d")
    shutil.copy(DEMO, folder / "deploy" / "demo")
    script = folder / "deploy" / "demo.d" / "demo.py"
    text = script.read_text()
    for old, new, _ in BROKEN[what]:
        assert text.count(old) == 1, f"{what}: the demo has changed; change this test with it"
        text = text.replace(old, new)
    script.write_text(text)
    return Run(folder / "run", folder / "deploy" / "demo", "--no-build")


def sanitized():
    program = (BUILD / "bin" / "gtmd").read_bytes()
    return b"__asan_init" in program or b"__tsan_init" in program


# Not all at once: each reads the country database, and a machine may have two cores.
@pytest.mark.skipif(sanitized(), reason="what is broken is the demo, not gtmd: slow builds need not show it again")
@pytest.mark.parametrize("batch", [list(BROKEN)[i:i + 3] for i in range(0, len(BROKEN), 3)],
                         ids=lambda batch: f"{len(batch)} from {batch[0]}")
def test_broken_demos_fail(tmp_path, batch):
    runs = {what: start_broken(tmp_path / str(i), what) for i, what in enumerate(batch)}
    for what, run in runs.items():
        claim = BROKEN[what][-1][-1]
        code, text = run.wait(), run.text()
        assert code == 1 and claims(text), f"{what}: {text}"
        mark, last = claims(text)[-1]
        assert mark == "NOT SEEN" and claim in last, f"{what}: {text}"
        assert f"not seen: {last}" in text
        run.assert_nothing_left()
        assert not servers(port_of(text))


@pytest.mark.parametrize("signum,code", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_interrupted_demo_leaves_nothing(tmp_path, signum, code):
    run = Run(tmp_path, DEMO, "--no-build")
    wait_for(lambda: "[seen] all three regions" in run.text() or run.process.poll() is not None, "it is under way")
    os.kill(run.process.pid, signum)
    assert run.wait() == code, run.text()
    assert "Traceback" not in run.text()
    run.assert_nothing_left()
    assert not servers(port_of(run.text()))


def test_keep_leaves_it_running(tmp_path):
    run = Run(tmp_path, DEMO, "--no-build", "--keep", "--quiet")
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


def test_usage(tmp_path):
    assert Run(tmp_path / "a", DEMO, "--help").wait() == 0
    wrong = Run(tmp_path / "b", DEMO, "--stand-alone")
    assert wrong.wait() == 2 and "--stand-alone" in wrong.text() and "--help" in wrong.text()
    env = {**os.environ, "GTM_BUILD": str(tmp_path / "nothing")}
    done = subprocess.run([str(DEMO), "--no-build"], capture_output=True, text=True, env=env, check=False, timeout=60)
    assert done.returncode == 1 and "gtmd is missing" in done.stderr
