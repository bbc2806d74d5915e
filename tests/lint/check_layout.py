#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The top level shows what gtm is and nothing else; programs are executable; what the README names exists; man pages
are clean."""
import os
import re
import shutil
import subprocess

import tree

TOP = {"CMakeLists.txt", "README.md", "LICENSE", "gtm", "dns", "health", "policies", "replication", "deploy", "tests"}
# `path/with/slash` or a top-level file, in backticks or at the start of a shell line of the README.
QUOTED = re.compile(r"`([\w.][\w./-]*)`")
COMMAND = re.compile(r"^(?:bash )?((?:deploy|tests|\.ci)/[\w./-]+)", re.M)
BUILT = ("build/", "main/")


def check_top(root):
    # A checkout may hold build folders; they are no part of the tree.
    names = [n for n in os.listdir(root) if not n.startswith((".", "build"))]
    return [f"{n}:1: does not belong to the top level" for n in sorted(names) if n not in TOP]


def check_executable(root):
    problems = []
    for path in tree.files(root):
        full = os.path.join(root, path)
        with open(full, "rb") as f:
            script = f.read(2) == b"#!"
        # Maintainer scripts get their mode from the packaging.
        if path.startswith("deploy/debian/"):
            continue
        if script and not os.access(full, os.X_OK):
            problems.append(f"{path}:1: opens with #! but is not executable")
    return problems


def check_readme(root):
    text = tree.read(root, "README.md") if os.path.exists(os.path.join(root, "README.md")) else ""
    if not text:
        return ["README.md:1: is missing"]
    problems = []
    for m in list(QUOTED.finditer(text)) + list(COMMAND.finditer(text)):
        path = m.group(1)
        top = path.split("/")[0]
        # A word with a slash that starts like one of our folders is a path of the tree.
        if path.startswith(BUILT) or "/" not in path or (top not in TOP and not top.startswith(".ci")):
            continue
        if not os.path.exists(os.path.join(root, path)):
            problems.append(f"README.md:{text.count(chr(10), 0, m.start()) + 1}: {path} does not exist")
    return problems


def check_man(root):
    pages = [p for p in tree.files(root) if re.match(r"deploy/man/.*\.[1-8]$", p)]
    problems = []
    if pages and not shutil.which("mandoc"):
        return ["deploy/man:1: mandoc is not installed: deploy/install-deps"]
    for page in pages:
        run = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", os.path.join(root, page)], text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if run.returncode:
            problems.append(f"{page}:1: mandoc says\n{run.stdout.rstrip()}")
    return problems


def main():
    root = tree.root_argument()
    problems = check_top(root) + check_executable(root) + check_readme(root) + check_man(root)
    tree.finish("layout", problems, len(tree.files(root)))


main()
