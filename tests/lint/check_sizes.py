#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Files of at most 600 lines, functions of at most 60, main.c of at most 150.

An exception says why, in a comment `lint: size - reason` (any dash): within a function's body or right above it
for that function, within the first 30 lines for the file.
"""
import os
import re

import tree

MAX_FILE, MAX_FUNCTION, MAX_MAIN = 600, 60, 150
WAIVER = re.compile(r"lint: size\s*(?:\u2014|\u2013|-+)\s*\S.{5,}")
FILE_WAIVER_LINES = 30
NAME = re.compile(r"([A-Za-z_]\w*)\s*\(")


def functions(code):
    """(name, first line, last line), 1-based, of each function.

    The house style is what makes this simple and right: a function's braces stand alone in column 0, and nothing
    else's do; clang-format keeps it so. `code` is without comments and strings.
    """
    lines = code.split("\n")
    found, i = [], 0
    while i < len(lines):
        line = lines[i]
        opens = line.rstrip() == "{"
        # A brace at the end of the head is not our style; it is measured all the same.
        inline = re.match(r"^[A-Za-z_][^;=]*\)\s*\{\s*$", line) is not None
        if not (opens or inline):
            i += 1
            continue
        start = i
        while start > 0 and lines[start - 1].strip() and not re.search(r"[;}]\s*$|^\s*#", lines[start - 1]):
            start -= 1
        end = i + 1
        while end < len(lines) and not lines[end].startswith("}"):
            end += 1
        head = " ".join(lines[start:i + 1])
        names = [n for n in NAME.findall(head) if n != "__attribute__"]
        found.append((names[0] if names else "?", start + 1, min(end, len(lines) - 1) + 1))
        i = end + 1
    return found


def waived(lines, first, last):
    """A waiver inside the function, or in the comment that ends right above it."""
    above = first - 1
    while above > 0 and re.match(r"^\s*(/\*|\*|//)", lines[above - 1]):
        above -= 1
    return any(WAIVER.search(x) for x in lines[above:last])


def check_file(root, path):
    text = tree.read(root, path)
    lines = text.rstrip("\n").split("\n")
    problems = []
    file_waived = any(WAIVER.search(x) for x in lines[:FILE_WAIVER_LINES])
    limit = MAX_MAIN if os.path.basename(path) == "main.c" else MAX_FILE
    if len(lines) > limit and not file_waived:
        problems.append(f"{path}:{limit + 1}: {len(lines)} lines, at most {limit}")
    for name, first, last in functions(tree.blank(text)):
        length = last - first + 1
        if length > MAX_FUNCTION and not waived(lines, first, last):
            problems.append(f"{path}:{first}: function {name} has {length} lines, at most {MAX_FUNCTION}")
    return problems


def main():
    root = tree.root_argument()
    paths = tree.c_files(root)
    problems = []
    for path in paths:
        problems += check_file(root, path)
    tree.finish("sizes", problems, len(paths))


main()
