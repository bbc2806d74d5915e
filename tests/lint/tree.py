# SPDX-License-Identifier: Apache-2.0
"""What the lint checks share: the files of a tree, and C source without comments and literals."""
import os
import sys

SKIP_DIRS = {".git", "__pycache__", ".pytest_cache", "node_modules", "corpus"}
C_TOP = ("gtm", "dns", "health", "policies", "replication", "tests")


def files(root, suffixes=None):
    """Paths relative to root, sorted; build folders, corpora and caches left out."""
    found = []
    for folder, dirs, names in os.walk(root):
        top = os.path.relpath(folder, root) == "."
        dirs[:] = [d for d in dirs if d not in SKIP_DIRS and not (top and d.startswith("build"))]
        for name in names:
            if suffixes is None or name.endswith(suffixes):
                found.append(os.path.relpath(os.path.join(folder, name), root))
    return sorted(found)


def c_files(root):
    return [f for f in files(root, (".c", ".h")) if f.split(os.sep)[0] in C_TOP]


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as f:
        return f.read()


def blank(text, keep_strings=False):
    """Comments, strings and character constants become spaces; lines and columns stay where they were.

    keep_strings leaves literals alone (for include lines).
    """
    out, i, n, state = [], 0, len(text), None
    while i < n:
        c, two = text[i], text[i:i + 2]
        if state is None:
            if two == "/*":
                state, i = "*", i + 2
                out.append("  ")
            elif two == "//":
                state, i = "/", i + 2
                out.append("  ")
            elif c in "\"'" and not keep_strings:
                state, i = c, i + 1
                out.append(c)
            else:
                out.append(c)
                i += 1
        elif state == "*" and two == "*/":
            state, i = None, i + 2
            out.append("  ")
        elif state == "/" and c == "\n":
            state, i = None, i + 1
            out.append(c)
        elif state in ("'", '"') and c == "\\" and i + 1 < n:
            out.append(" " + ("\n" if text[i + 1] == "\n" else " "))
            i += 2
        elif state in ("'", '"') and c in (state, "\n"):
            out.append(c)
            state, i = None, i + 1
        else:
            out.append("\n" if c == "\n" else " ")
            i += 1
    return "".join(out)


def finish(name, problems, checked):
    """Prints the findings as path:line: text and ends the program: 0 clean, 1 findings, 2 nothing checked."""
    for p in problems:
        print(p)
    if not checked:
        print(f"{name}: found nothing to check")
        sys.exit(2)
    print(f"{name}: {checked} files, {len(problems)} findings")
    sys.exit(1 if problems else 0)


def root_argument():
    if len(sys.argv) != 2 or not os.path.isdir(sys.argv[1]):
        print(f"usage: {os.path.basename(sys.argv[0])} TREE", file=sys.stderr)
        sys.exit(2)
    return sys.argv[1]
