# SPDX-License-Identifier: Apache-2.0
"""Runs gtmctl as a script would: no terminal, no settings of the person who runs the tests."""
import contextlib
import os
import subprocess
import threading

from harness import BUILD

GTMCTL = str(BUILD / "bin" / "gtmctl")
ENV = {k: v for k, v in os.environ.items() if k not in ("GTM_SOCKET", "NO_COLOR")}


class Ran:
    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr


def run(*args, env=None, stdin="", cwd=None):
    return Ran(subprocess.run([GTMCTL, *args], input=stdin, capture_output=True, text=True, timeout=60, check=False,
                              env={**ENV, **(env or {})}, cwd=cwd))


@contextlib.contextmanager
def background(*args, errors=None):
    """gtmctl that goes on until the block ends: its lines so far; those of standard error go into errors."""
    lines = []
    process = subprocess.Popen([GTMCTL, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENV)
    readers = [threading.Thread(target=lambda: lines.extend(process.stdout)),
               threading.Thread(target=lambda: (errors if errors is not None else []).extend(process.stderr))]
    for reader in readers:
        reader.start()
    try:
        yield lines
    finally:
        process.kill()
        process.wait()
        for reader in readers:
            reader.join()
        process.stdout.close()
        process.stderr.close()
