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
ENDED = re.compile(r"^\s*\d+/\d+ Test\s+#\d+: (\S+) \.*", re.MULTILINE)
# ctest's own list at the end: "  7 - e2e/x (Failed)", or (Timeout), (SEGFAULT), (Subprocess aborted) …
LISTED = re.compile(r"^\s+\d+ - (\S+) \((.+)\)$", re.MULTILINE)
NEVER = re.compile(r"\w+Sanitizer|runtime error:|crashed: signal \d+|failed with exception")


def judge(log):
    """The names that may run again, or a text why none may."""
    parts = ENDED.split(log)
    said = dict(zip(parts[1::2], parts[2::2]))
    failed = [(name, how, said.get(name, "")) for name, how in LISTED.findall(log)]
    if not failed:
        return "no test failed, but the run did"
    if len(failed) > FEW:
        return f"{len(failed)} tests failed: that is no accident"
    for name, how, text in failed:
        found = NEVER.search(text)
        if not name.startswith(KINDS):
            return f"{name} does not measure time"
        if how != "Failed" or not text or found:
            return f"{name}: {found.group(0) if found else how}"
    return [name for name, _, _ in failed]


def main():
    found = judge(pathlib.Path(sys.argv[1]).read_text(errors="replace"))
    if isinstance(found, str):
        sys.exit(f"no second go: {found}")
    print("\n".join(found))


if __name__ == "__main__":
    main()
