#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Which tests of a ctest run may run again? Prints their names, a line each; exit 1: none may, and why.

At most FEW, of kinds that measure real time, and only when a failed expectation is all that happened: a crash, a
sanitizer's report or a test that never ended has nothing to do with a busy machine.
"""
import pathlib
import re
import sys

FEW = 4
KINDS = ("e2e/", "unit/")
ENDED = re.compile(r"^\s*\d+/\d+ Test\s+#\d+: (\S+) \.*\s*(Passed|\*\*\*\w+)", re.MULTILINE)
NEVER = re.compile(r"\w+Sanitizer|runtime error:|crashed: signal \d+|failed with exception")


def judge(log):
    """The names that may run again, or a text why none may."""
    parts = ENDED.split(log)
    failed = [(name, how, said) for name, how, said in zip(parts[1::3], parts[2::3], parts[3::3]) if how != "Passed"]
    if not failed:
        return "no test failed, but the run did"
    if len(failed) > FEW:
        return f"{len(failed)} tests failed: that is no accident"
    for name, how, said in failed:
        found = NEVER.search(said)
        if not name.startswith(KINDS):
            return f"{name} does not measure time"
        if how != "***Failed" or found:
            return f"{name}: {found.group(0) if found else how.strip('*')}"
    return [name for name, _, _ in failed]


def main():
    found = judge(pathlib.Path(sys.argv[1]).read_text(errors="replace"))
    if isinstance(found, str):
        sys.exit(f"no second go: {found}")
    print("\n".join(found))


if __name__ == "__main__":
    main()
