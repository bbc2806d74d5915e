# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks share: folders, processes, waiting, statistics, tables and JSON lines."""
import json
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
BUILD = pathlib.Path(os.environ.get("GTM_BUILD_DIR", ROOT / "build"))
BENCH = BUILD / "bench"  # programs, and under it what is generated once
DATABASE = "/usr/share/libloc-location/location.db"
REGIONS = [("us-east", 38.9, -77.0, "192.0.2.1"), ("eu-west", 53.3, -6.3, "192.0.2.2"),
           ("ap-south", 1.35, 103.8, "192.0.2.3")]
SERVER_CORE, LOAD_CORE = 0, 1


class Unable(Exception):
    """A benchmark cannot run here; the message says what to do."""


def say(text):
    print(text, file=sys.stderr, flush=True)


def wait_for(condition, what, deadline_s=60.0, every_s=0.02):
    """The condition's first true value."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Unable(f"not within {deadline_s:.0f} s: {what}")
        time.sleep(every_s)


def pinned(core, argv):
    return ["taskset", "-c", str(core), *map(str, argv)] if (os.cpu_count() or 1) > 1 else list(map(str, argv))


class Process:
    """A child in a session of its own, with its output in a file; stopped by its id, never by name."""

    def __init__(self, name, argv, folder, core=None, env=None):
        self.name = name
        self.log = folder / (name + ".log")
        with open(self.log, "ab") as log:
            argv = pinned(core, argv) if core is not None else list(map(str, argv))
            # should this program be killed, no server stays behind
            self.popen = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder,
                                          start_new_session=True, env={**os.environ, **(env or {})})

    @property
    def pid(self):
        return self.popen.pid

    def alive(self):
        return self.popen.poll() is None

    def log_tail(self, lines=8):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return "".join(f.readlines()[-lines:])

    def stop(self):
        for how, patience_s in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
            if self.popen.poll() is not None:
                return
            try:
                os.killpg(self.pid, signal.SIGCONT)
                os.killpg(self.pid, how)
                self.popen.wait(patience_s)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue


def family(pid):
    """The process and its descendants (some servers fork their workers)."""
    found = [pid]
    for p in found:
        try:
            for task in os.listdir(f"/proc/{p}/task"):
                with open(f"/proc/{p}/task/{task}/children", encoding="ascii") as f:
                    found += map(int, f.read().split())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def cpu_ns(pids):
    """Processor time, user and system, of all threads of the processes, also of those that have ended."""
    return sum(time.clock_gettime_ns(~pid << 3 | 2) for pid in pids)  # the process's clock, as clock_getcpuclockid(3) has it


def status_kb(pid, key):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        for line in f:
            if line.startswith(key + ":"):
                return int(line.split()[1])
    raise Unable(f"/proc/{pid}/status has no {key}")


def percentile(values, p):
    """The smallest value that p percent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * p // 100) - 1)]


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def run_lines(argv, timeout_s, core=None):
    """Runs a program of ours to its end; its output."""
    argv = pinned(core, argv) if core is not None else list(map(str, argv))
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s,
                              check=False)
    except FileNotFoundError as e:
        raise Unable(f"{argv[0]} is not there: {e.strerror}") from e
    except subprocess.TimeoutExpired as e:
        raise Unable(f"{os.path.basename(argv[0])} did not end within {timeout_s} s") from e
    if done.returncode != 0:
        raise Unable(f"{' '.join(argv[:6])}: exit {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def unix_socket(path, timeout_s):
    """A connection to the API."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(timeout_s)
    try:
        sock.connect(str(path))
    except OSError as e:
        sock.close()
        raise Unable(f"{path}: {e.strerror}") from e
    return sock


class Report:
    """Tables on standard output, JSON lines into a file (or, without one, below the tables)."""

    def __init__(self, json_path=None):
        self.path = json_path
        self.lines = []
        self.bars = []
        if json_path:
            with open(json_path, "w", encoding="utf-8"):
                pass

    def json(self, **fields):
        line = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
        self.lines.append(line)
        if self.path:
            with open(self.path, "a", encoding="utf-8") as f:
                f.write(line + "\n")

    def table(self, title, head, rows, notes=()):
        cells = [[str(c) for c in row] for row in [head, *rows]]
        widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
        print(f"\n### {title}\n")
        for n, row in enumerate(cells):
            print("| " + " | ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in
                                    enumerate(zip(row, widths))) + " |")
            if n == 0:
                print("|" + "|".join("-" * (w + 2) if i == 0 else "-" * (w + 1) + ":" for i, w in
                                     enumerate(widths)) + "|")
        for note in notes:
            print(f"\n{note}")
        sys.stdout.flush()

    def bar(self, what, figure, met, want):
        self.bars.append((met, what, figure, want))
        self.json(bench="bar", what=what, figure=figure, want=want, met=met)

    def finish(self):
        if self.bars:
            self.table("Bars of DESIGN section 12 (* not named there)", ["", "what", "figure", "bar"],
                       [["✓" if met else "✗", what, figure, want] for met, what, figure, want in self.bars])
        if not self.path:
            print()
            for line in self.lines:
                print(line)
