#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Every C file opens with the licence and says what it is; every header has its guard and compiles alone."""
import concurrent.futures
import os
import re
import subprocess

import tree

SPDX = "SPDX-License-Identifier: Apache-2.0"
COMPILER = os.environ.get("CC", "cc")
FLAGS = "-std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -Wshadow -Wno-unused-function -Wno-unused-parameter -fsyntax-only".split()
OTHER = (".py", ".sh", ".cmake")


def guard_of(path):
    """gtm/base/json.h -> GTM_BASE_JSON_H, dns/name.h -> GTM_DNS_NAME_H."""
    word = re.sub(r"\W", "_", path).upper()
    return word if word.startswith("GTM_") else "GTM_" + word


def check_text(path, text):
    problems = []
    first = text.split("\n", 1)[0]
    if SPDX not in first:
        problems.append(f"{path}:1: the first line must carry '{SPDX}'")
    elif not re.match(r"/\*.*\n \*\n \* \S", text) and not path.startswith("tests/"):
        problems.append(f"{path}:1: the opening comment must go on to say what this unit is")
    if path.endswith(".h"):
        guard = guard_of(path)
        # dns/name.h may say DNS_NAME_H, tests/support/x.h GTM_SUPPORT_X_H or GTM_X_H.
        short = guard if path.startswith("gtm/") else guard[4:]
        if path.startswith("tests/"):
            short = r"(?:\w+_)?" + guard_of(os.path.basename(path))[4:]
        want = re.compile(rf"^#ifndef ({guard}|{short})\n#define \1\n.*^#endif\b[^\n]*\n\Z", re.M | re.S)
        if not want.search(text):
            problems.append(f"{path}:1: guard must be {guard}, around all of it")
    return problems


def check_alone(root, path):
    # Through a file of one line, as an includer would; twice, so that the guard is used.
    source = f'#include "{path}"\n#include "{path}"\n'
    run = subprocess.run([COMPILER, *FLAGS, "-I", root, "-x", "c", "-"], input=source, text=True, cwd=root,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if run.returncode:
        return [f"{path}:1: does not compile alone:\n{run.stdout.rstrip()}"]
    return []


def main():
    root = os.path.abspath(tree.root_argument())
    paths = tree.c_files(root)
    problems = []
    for path in paths:
        problems += check_text(path, tree.read(root, path))
    for path in tree.files(root, OTHER):
        if SPDX not in "\n".join(tree.read(root, path).split("\n")[:2]):
            problems.append(f"{path}:1: the licence line is missing")
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        headers = [p for p in paths if p.endswith(".h")]
        for found in pool.map(lambda p: check_alone(root, p), headers):
            problems += found
    tree.finish("headers", problems, len(paths))


main()
