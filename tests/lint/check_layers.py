#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Includes go one way: base <- model <- {dns, health, policies, coord, ...} <- daemon; ctl -> model, base, policies, dns.

The root of the tree is the include path, so the compiler would let anything include anything.
"""
import os
import re

import tree

BELOW_SIBLINGS = {"gtm/base", "gtm/model"}
ALLOWED = {
    "gtm/base": set(),
    "gtm/etcdc": {"gtm/base"},
    "gtm/model": {"gtm/base"},
    "gtm/coord": BELOW_SIBLINGS | {"gtm/etcdc"},
    "replication": BELOW_SIBLINGS | {"gtm/etcdc"},
    "dns": BELOW_SIBLINGS,
    "health": BELOW_SIBLINGS,
    "policies": BELOW_SIBLINGS,
    "gtm/act": BELOW_SIBLINGS,
    "gtm/guard": {"gtm/base"},
    "gtm/solve": BELOW_SIBLINGS,
    "gtm/daemon": BELOW_SIBLINGS
    | {"gtm/etcdc", "gtm/coord", "gtm/act", "dns", "health", "policies", "replication"},
    "gtm/ctl": BELOW_SIBLINGS | {"policies", "dns", "replication"},
}
# Libraries whose traps one wrapper knows.
WRAPPED = [
    (re.compile(r"^cjson/"), re.compile(r"^gtm/base/json[^/]*$"), "cJSON only in gtm/base/json*"),
    (re.compile(r"^urcu"), re.compile(r"^gtm/base/rcu[^/]*$"), "liburcu only in gtm/base/rcu*"),
]
# policies/ decides and does nothing else: state, now and seed come in.
PURE_REFUSED = {f"gtm/base/{u}.h" for u in ("clock", "log", "fs", "loop", "metrics", "http", "rcu")}
PURE_SYSTEM = {f"{h}.h" for h in ("assert ctype errno float inttypes limits math stdalign stdarg stdbool"
                                  " stddef stdint stdio stdlib string strings").split()}
PURE_SYSTEM |= {"netinet/in.h"}  # struct in6_addr
# stdio.h is for snprintf: what it has besides is refused by name.
PURE_CALLS = re.compile(r"\b(time|clock_gettime|gettimeofday|rand|srand|random|drand48|getrandom|getenv"
                        r"|gtm_rand_seed_os|gtm_rand_secure|v?f?printf|f?puts|f?putc|putchar|perror|f?open|fdopen|fread"
                        r"|fwrite|read|write)\s*\(")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)


def layer_of(path):
    parts = path.split("/")
    if parts[0] == "gtm":
        return "/".join(parts[:2]) if len(parts) > 2 else None
    return parts[0]


def check_local(root, path, layer, target):
    # A test may lean on a file beside it.
    beside = layer == "tests" and os.path.exists(os.path.join(root, os.path.dirname(path), target))
    if not beside and not os.path.exists(os.path.join(root, target)):
        return f'"{target}" does not exist from the root of the tree'
    if layer == "tests":
        return None
    to = layer_of(target)
    if to == layer or to in ALLOWED[layer]:
        return None
    return f"{layer} must not include {to} ({target})"


def check_system(path, layer, target):
    for header, where, text in WRAPPED:
        if header.search(target) and layer != "tests" and not where.match(path):
            return f"<{target}>: {text}"
    if layer == "policies" and target not in PURE_SYSTEM:
        return f"<{target}>: policies/ does no input or output"
    return None


def check_file(root, path):
    layer = layer_of(path)
    if layer != "tests" and layer not in ALLOWED:
        return [f"{path}:1: folder is in no layer (see {os.path.basename(__file__)})"]
    text = tree.read(root, path)
    problems = []
    for m in INCLUDE.finditer(tree.blank(text, keep_strings=True)):
        line = text.count("\n", 0, m.start(1)) + 1
        quote, target = m.groups()
        if quote == '"':
            found = check_local(root, path, layer, target)
            if not found and layer == "policies" and target in PURE_REFUSED:
                found = f"{target}: policies/ reads no clock, file, log or shared state"
        else:
            found = check_system(path, layer, target)
        if found:
            problems.append(f"{path}:{line}: {found}")
    if layer == "policies":
        code = tree.blank(text)
        for m in PURE_CALLS.finditer(code):
            problems.append(f"{path}:{code.count(chr(10), 0, m.start()) + 1}: "
                            f"{m.group(1)}(): policies/ is pure; state, now and seed come in")
    return problems


def main():
    root = tree.root_argument()
    paths = tree.c_files(root)
    problems = []
    for path in paths:
        problems += check_file(root, path)
    tree.finish("layers", problems, len(paths))


main()
