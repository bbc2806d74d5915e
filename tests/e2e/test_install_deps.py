# SPDX-License-Identifier: Apache-2.0
"""deploy/install-deps with stand-ins for apt and dpkg: what it asks of them, and whose policy-rc.d survives."""
import os
import shutil
import signal
import subprocess
import time

import pytest

SOURCE = os.environ.get("GTM_SOURCE", os.path.join(os.path.dirname(__file__), "../.."))
PROGRAM = os.path.join(SOURCE, "deploy/install-deps")
MARK = "# gtm install-deps"
TOOLS = "sh sed grep tail mv rm chmod mkdir mktemp flock cat sleep touch".split()

# Says what is installed: all but the names in the file missing.
DPKG = """#!/bin/sh
shift 3
for p; do grep -qxF "$p" "$STATE/missing" || echo "installed $p"; done
"""
APT = """#!/bin/sh
echo "apt-get $*" >>"$STATE/calls"
cp "$POLICY" "$STATE/policy-seen" 2>/dev/null
case "$*" in *install*)
    if [ -e "$STATE/hang" ]; then touch "$STATE/hanging"; sleep 60; fi
    if [ -e "$STATE/fail" ]; then echo "E: stand-in failure"; exit 100; fi
    : >"$STATE/missing" ;;
esac
"""


@pytest.fixture(name="box")
def make_box(tmp_path):
    return Box(tmp_path)


class Box:
    """A PATH with nothing in it but stand-ins and a few real tools."""

    def __init__(self, tmp):
        self.state, self.bin, self.policy = tmp / "state", tmp / "bin", tmp / "sbin/policy-rc.d"
        for folder in (self.state, self.bin, self.policy.parent):
            folder.mkdir()
        for tool in TOOLS + ["cp"]:
            (self.bin / tool).symlink_to(shutil.which(tool))
        for name, text in {"dpkg-query": DPKG, "apt-get": APT, "apt-cache": "#!/bin/sh\n",
                           "deb-systemd-helper": "#!/bin/sh\n"}.items():
            self.program(name, text)
        self.root(True)
        self.missing("jq")
        self.env = {"PATH": str(self.bin), "STATE": str(self.state), "POLICY": str(self.policy), "TMPDIR": str(tmp),
                    "GTM_POLICY_RC_D": str(self.policy), "GTM_INSTALL_DEPS_LOCK": str(tmp / "lock/it")}

    def program(self, name, text):
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def root(self, yes):
        self.program("id", f"#!/bin/sh\necho {0 if yes else 1000}\n")

    def missing(self, *names):
        (self.state / "missing").write_text("".join(f"{n}\n" for n in names))

    def start(self, *args):
        return subprocess.Popen([str(self.bin / "sh"), PROGRAM, *args], env=self.env, text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                start_new_session=True)

    def run(self, *args):
        child = self.start(*args)
        out, err = child.communicate(timeout=60)
        return child.returncode, out, err

    def calls(self):
        path = self.state / "calls"
        return path.read_text() if path.exists() else ""


def test_with_all_there_it_asks_nobody(box):
    box.missing()
    code, out, _ = box.run()
    assert code == 0 and "all packages are there" in out
    assert box.calls() == "" and not box.policy.exists()


def test_it_installs_only_what_is_missing_and_forbids_services_meanwhile(box):
    code, out, err = box.run()
    assert code == 0, err
    installs = [c for c in box.calls().splitlines() if " install " in c]
    assert len(installs) == 1 and installs[0].endswith("install --no-install-recommends jq")
    assert "update" not in box.calls()
    seen = (box.state / "policy-seen").read_text()
    assert MARK in seen and "exit 101" in seen
    assert not box.policy.exists()


def test_bench_packages_only_on_demand(box):
    box.missing("gdnsd")
    assert box.run()[0] == 0 and box.calls() == ""
    assert box.run("--bench")[0] == 0 and box.calls().rstrip().endswith("gdnsd")


def test_a_strangers_policy_is_put_aside_and_comes_back(box):
    box.policy.write_text("#!/bin/sh\nexit 104\n")
    assert box.run()[0] == 0
    assert MARK in (box.state / "policy-seen").read_text()
    assert box.policy.read_text() == "#!/bin/sh\nexit 104\n"
    assert os.listdir(box.policy.parent) == ["policy-rc.d"]


def test_a_failed_install_leaves_no_policy_and_says_why(box):
    (box.state / "fail").touch()
    code, _, err = box.run()
    assert code == 1 and "stand-in failure" in err and "apt-get install failed" in err
    assert " update" in box.calls()
    assert not box.policy.exists()


def test_an_interrupted_install_leaves_no_policy(box):
    (box.state / "hang").touch()
    child = box.start()
    deadline = time.monotonic() + 30
    while not (box.state / "hanging").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert MARK in box.policy.read_text()
    os.killpg(child.pid, signal.SIGTERM)
    child.communicate(timeout=30)
    assert child.returncode != 0
    assert not box.policy.exists()


def test_the_leftover_of_a_killed_run_goes(box):
    box.policy.write_text(f"#!/bin/sh\n{MARK}\nexit 101\n")
    assert box.run()[0] == 0
    assert not box.policy.exists()


def test_check_names_what_is_missing_and_touches_nothing(box):
    code, _, err = box.run("--check")
    assert code == 1 and "missing: jq" in err and box.calls() == ""


def test_without_root_it_says_what_to_install(box):
    box.root(False)
    code, _, err = box.run()
    assert code == 1 and "run it as root" in err and "jq" in err and box.calls() == ""


def test_elsewhere_than_debian_it_lists_what_is_needed(box):
    (box.bin / "dpkg-query").unlink()
    code, _, err = box.run()
    assert code == 1 and "Debian 12" in err and "libldns-dev" in err


def test_an_unknown_option_is_a_usage_error(box):
    assert box.run("--nonsense")[0] == 2
