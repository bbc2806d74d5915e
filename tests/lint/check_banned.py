#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Calls, constructs and words that have no place in the tree."""
import re

import tree

CALLS = "strcpy strcat stpcpy sprintf vsprintf gets strtok atoi atol atoll atof alloca system popen".split()
ALLOCATION = "malloc calloc realloc reallocarray free strdup strndup aligned_alloc posix_memalign asprintf" \
             " vasprintf".split()
# The one place that may call the allocator, and what frees memory that a library allocated says so there.
ALLOCATION_FILES = {"gtm/base/mem.c"}
ALLOCATION_WAIVER = re.compile(r"lint: libc free\s*(?:\u2014|\u2013|-+)\s*\S.{5,}")
# A definition or a call; a member of that name (x->free(...)) is somebody's function pointer.
CALL = r"(?<![\w.>])(%s)\s*\("
BANNED_CALL = re.compile(CALL % "|".join(CALLS))
ALLOC_CALL = re.compile(CALL % "|".join(ALLOCATION))
TYPEDEF_STRUCT = re.compile(r"\btypedef\s+(?:const\s+)?(?:struct|union)\b([^;{]*)([;{])")
# Written in pieces so that this file passes its own check.
UNFINISHED = re.compile(r"\b(%s)\b" % "|".join(("TO" + "DO", "FIX" + "ME", "X" * 3)))
OUTSIDE = re.compile(r"(?<![\w./-])/(?:wo" + r"rk|tmp/build-)[\w/.-]*")
# Text that this check reads besides C.
TEXT = (".c", ".h", ".py", ".sh", ".md", ".cmake", ".txt", ".yml", ".yaml", ".json", ".service", ".1", ".5", ".7",
        ".8", ".html", ".js", ".css", ".zone", ".conf")


def line_of(text, at):
    return text.count("\n", 0, at) + 1


def check_c(path, text):
    code = tree.blank(text)
    lines = text.split("\n")
    problems = []
    for m in BANNED_CALL.finditer(code):
        # A test may clear its scratch folder with the shell.
        if path.startswith("tests/") and m.group(1) == "system":
            continue
        problems.append(f"{path}:{line_of(code, m.start())}: {m.group(1)}() is banned")
    if not path.startswith("tests/") and path not in ALLOCATION_FILES:
        for m in ALLOC_CALL.finditer(code):
            line = line_of(code, m.start())
            if not any(ALLOCATION_WAIVER.search(x) for x in lines[max(0, line - 2):line]):
                problems.append(f"{path}:{line}: {m.group(1)}(): use gtm/base/mem.h")
    for m in TYPEDEF_STRUCT.finditer(code):
        if m.group(2) == "{" or "(*" not in m.group(1):
            problems.append(f"{path}:{line_of(code, m.start())}: no typedef of structs")
    return problems


def check_words(path, text):
    problems = []
    for what, pattern in (("unfinished work", UNFINISHED), ("path of somebody's machine", OUTSIDE)):
        for m in pattern.finditer(text):
            problems.append(f"{path}:{line_of(text, m.start())}: {what}: {m.group(0)}")
    return problems


def is_text(root, path):
    if path.endswith(TEXT):
        return True
    name = path.rsplit("/", 1)[-1]
    if "." in name.lstrip("."):
        return False
    with open(f"{root}/{path}", "rb") as f:
        return b"\0" not in f.read(4096)


def main():
    root = tree.root_argument()
    problems, checked = [], 0
    c_paths = set(tree.c_files(root))
    for path in tree.files(root):
        if not is_text(root, path):
            continue
        text = tree.read(root, path)
        checked += 1
        problems += check_words(path, text)
        if path in c_paths:
            problems += check_c(path, text)
    tree.finish("banned", problems, checked)


main()
