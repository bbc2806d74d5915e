# SPDX-License-Identifier: Apache-2.0
"""Runs of deploy/demo, also of broken copies of it."""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess

import pytest

from harness import BUILD, ROOT

DEMO = ROOT / "deploy" / "demo"


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
        try:
            return self.process.wait(timeout=250)
        except subprocess.TimeoutExpired:  # nothing of it may run on beside other tests
            os.killpg(self.process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=20)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            raise

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


def start_broken(folder, edits, *args):
    """A run of a copy of the demo with edits: (what is replaced, by what), each just once in one of its files."""
    shutil.copytree(ROOT / "deploy" / "demo.d", folder / "deploy" / "demo.d")
    for name in ("demo", "make-certs"):
        shutil.copy(ROOT / "deploy" / name, folder / "deploy" / name)
    for old, new in edits:
        scripts = [s for s in (folder / "deploy" / "demo.d").glob("*.py") if old in s.read_text()]
        assert len(scripts) == 1 and scripts[0].read_text().count(old) == 1, f"{old}: the demo has changed; change this test"
        scripts[0].write_text(scripts[0].read_text().replace(old, new))
    return Run(folder / "run", folder / "deploy" / "demo", "--no-build", *args)


def check_broken(folder, broken, *args):
    """Copies of the demo, run at the same time: each ends at the claim that cannot be seen.
    broken: what → (edits, a part of the claim)."""
    runs = {what: start_broken(folder / str(i), broken[what][0], *args) for i, what in enumerate(broken)}
    for what, run in runs.items():
        code, text = run.wait(), run.text()
        assert code == 1 and claims(text), f"{what}: {text}"
        mark, last = claims(text)[-1]
        assert mark == "NOT SEEN" and broken[what][1] in last, f"{what}: {text}"
        assert f"not seen: {last}" in text
        run.assert_nothing_left()
        assert not servers(port_of(text))


def batches(broken, count):
    """Not all at once: each reads the country database, and a machine may have two cores."""
    names = list(broken)
    parts = [{name: broken[name] for name in names[i:i + count]} for i in range(0, len(names), count)]
    return pytest.mark.parametrize("batch", parts, ids=lambda batch: f"{len(batch)} from {next(iter(batch))}")


def sanitized():
    program = (BUILD / "bin" / "gtmd").read_bytes()
    return b"__asan_init" in program or b"__tsan_init" in program


only_fast_builds = pytest.mark.skipif(
    sanitized(), reason="what is broken is the demo, not gtmd: slow builds need not show it again")
