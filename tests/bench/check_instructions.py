#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An answer must not grow dearer unnoticed: counts instructions per answer with callgrind against recorded bounds.

A count does not depend on how busy the machine is. Exit 77 (skipped): valgrind is not installed, or the build is not
the optimised one. When a change is worth its price, raise the bound here and say why in the commit.
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

# Instructions per answer with 4 to 8 % to spare for other compilers and C libraries. gcc 12.2 -O2 counted 889, 908,
# 1,027 and 1,310 when they were set.
BOUNDS = {"static": 960, "nxdomain": 985, "geo": 1075, "geo-ecs": 1360}
SKIPPED = 77
FEW, MANY = 200, 1200

BUILD = pathlib.Path(os.environ.get("GTM_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))


def skip(why):
    print(f"skipped: {why}")
    sys.exit(SKIPPED)


def check_build():
    cache = (BUILD / "CMakeCache.txt").read_text(encoding="utf-8")
    for option in ("GTM_ASAN", "GTM_UBSAN", "GTM_TSAN", "GTM_FUZZ", "GTM_COVERAGE"):
        if f"{option}:BOOL=ON" in cache:
            skip(f"built with {option}")
    kind = re.search(r"CMAKE_BUILD_TYPE:\w+=(.*)", cache)
    if not kind or kind.group(1) not in ("RelWithDebInfo", "Release"):
        skip("not an optimised build")


def count(kind, times, folder):
    """Instructions of `times` answers and what surrounds them."""
    run = subprocess.run(["valgrind", "--tool=callgrind", "--toggle-collect=answer_loop",
                          f"--callgrind-out-file={folder}/out", str(BUILD / "bench" / "answer_loop"), kind, str(times)],
                         capture_output=True, text=True, timeout=120, check=False)
    found = re.search(r"Collected : (\d+)", run.stderr)
    if run.returncode != 0 or not found:
        sys.exit(f"{kind}: exit {run.returncode}\n{run.stderr}")
    return int(found.group(1))


def main():
    try:
        subprocess.run(["valgrind", "--version"], capture_output=True, check=True)
    except FileNotFoundError:
        skip("valgrind is not installed: deploy/install-deps")
    check_build()
    bad = False
    with tempfile.TemporaryDirectory(prefix="gtm-instructions-") as folder:
        for kind, bound in BOUNDS.items():
            # the difference of two runs leaves out the first answer's cold symbols and the loop's ends
            each = (count(kind, MANY, folder) - count(kind, FEW, folder)) / (MANY - FEW)
            over = each > bound or each < 50  # fewer than 50 would mean that nothing was counted
            bad |= over
            print(f"{kind:9} {each:7.1f} instructions per answer, at most {bound}" + ("  <-- FAILED" if over else ""))
    sys.exit(1 if bad else 0)


main()
