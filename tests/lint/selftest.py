#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Proves that every lint check goes red: each case is a small tree that is clean but for one thing.

A case is (check, path, content, words that the output must hold); content None removes the file. The clean tree
itself must pass every check, else a red would prove nothing.
"""
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
HEAD = "/* SPDX-License-Identifier: Apache-2.0\n *\n * A unit for the self-test.\n */\n"


def header(guard, body):
    return f"{HEAD}#ifndef {guard}\n#define {guard}\n\n{body}\n#endif\n"


CLEAN = {
    ".clang-format": None,  # the tree's own, copied
    "gtm/base/thing.h": header("GTM_BASE_THING_H", "int gtm_thing(int x);\n"),
    "gtm/base/thing.c": HEAD + '#include "gtm/base/thing.h"\n\nint gtm_thing(int x)\n{\n    return x + 1;\n}\n',
    "gtm/base/clock.h": header("GTM_BASE_CLOCK_H", "int gtm_clock(void);\n"),
    "gtm/model/m.h": header("GTM_MODEL_M_H", '#include "gtm/base/thing.h"\n\ntypedef struct gtm_m *(*gtm_m_cb)(int);\n'),
    "dns/name.h": header("GTM_DNS_NAME_H", '#include "gtm/model/m.h"\n'),
    "policies/steer.h": header("GTM_POLICIES_STEER_H", '#include "gtm/model/m.h"\n\n#include <math.h>\n'),
    "gtm/daemon/wire.h": header("GTM_DAEMON_WIRE_H", '#include "dns/name.h"\n#include "policies/steer.h"\n'),
    "README.md": "# x\n\nRun `tests/run`.\n",
    "tests/run": "#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0\necho fine\n",
}


def body(lines):
    return "".join("    gtm_thing(1);\n" for _ in range(lines))


def c_with(text, include=""):
    return f"{HEAD}{include}\n{text}"


def function(text):
    return c_with(f"int f(char *a, const char *b);\nint f(char *a, const char *b)\n{{\n{text}    return 0;\n}}\n")


def includes(target):
    return c_with("", f"#include {target}\n")


LONG = "int f(void)\n{\n" + body(70) + "    return 0;\n}\n"
WAIVER = "/* lint: size - " + "a table reads best in one piece */\n"
UNFINISHED = "/* TO" + "DO: later */\n"

RED = [
    ("layers", "dns/x.c", includes('"policies/steer.h"'), "dns must not include policies"),
    ("layers", "gtm/base/x.c", includes('"gtm/model/m.h"'), "gtm/base must not include gtm/model"),
    ("layers", "policies/x.c", includes('"dns/name.h"'), "policies must not include dns"),
    ("layers", "gtm/ctl/x.c", includes('"gtm/daemon/wire.h"'), "gtm/ctl must not include gtm/daemon"),
    ("layers", "gtm/model/x.c", includes('"tests/support/x.h"'), "does not exist"),
    ("layers", "dns/x.c", includes('"name.h"'), "does not exist from the root"),
    ("layers", "dns/x.c", includes("<cjson/cJSON.h>"), "cJSON only"),
    ("layers", "dns/x.c", includes("<urcu/urcu-qsbr.h>"), "liburcu only"),
    ("layers", "policies/x.c", includes('"gtm/base/clock.h"'), "reads no clock"),
    ("layers", "policies/x.c", includes("<sys/socket.h>"), "no input or output"),
    ("layers", "policies/x.c", c_with("long f(void)\n{\n    return time(0);\n}\n"), "time()"),
    ("layers", "policies/x.c", function('    fprintf(stderr, "x");\n'), "fprintf()"),
    ("layers", "tests/../gtm/other/x.c", includes('"gtm/base/thing.h"'), "folder is in no layer"),
    ("sizes", "dns/x.c", c_with(LONG), "function f has 74 lines"),
    ("sizes", "dns/x.c", c_with("int f(void) {\n" + body(70) + "}\n"), "function f has 72 lines"),
    ("sizes", "dns/x.c", c_with("struct s {\n    int a;\n};\n" + "static int\nf(int a,\n  int b)\n{\n" + body(60) + "}\n"),
     "function f has 65 lines"),
    ("sizes", "dns/x.c", c_with(WAIVER + "int g(void)\n{\n    return 1;\n}\n\n" + LONG), "function f has 74 lines"),
    ("sizes", "dns/x.c", c_with(LONG.replace("    return 0;\n", "    return '}';\n/*\n}\n*/\n")), "function f has 77"),
    ("sizes", "dns/x.c", c_with("int x;\n" * 600), "at most 600"),
    ("sizes", "gtm/ctl/main.c", c_with("int x;\n" * 150), "at most 150"),
    ("banned", "dns/x.c", function("    strcpy(a, b);\n"), "strcpy() is banned"),
    ("banned", "dns/x.c", function("    return atoi (b);\n"), "atoi() is banned"),
    ("banned", "tests/unit/test_x.c", function("    sprintf(a, b);\n"), "sprintf() is banned"),
    ("banned", "dns/x.c", function("    system(b);\n"), "system() is banned"),
    ("banned", "dns/x.c", function("    free(a);\n"), "free(): use gtm/base/mem.h"),
    ("banned", "dns/x.c", function("    a = strdup(b);\n"), "strdup(): use gtm/base/mem.h"),
    ("banned", "dns/x.h", c_with("typedef struct {\n    int a;\n} x_t;\n"), "no typedef of structs"),
    ("banned", "dns/x.h", c_with("typedef struct x x_t;\n"), "no typedef of structs"),
    ("banned", "dns/x.c", c_with(UNFINISHED), "unfinished work"),
    ("banned", "README.md", "see /wo" + "rk/shared/notes.md\n", "path of somebody"),
    ("banned", "deploy/start", "#!/bin/sh\ncd /wo" + "rk/main\n", "path of somebody"),
    ("headers", "dns/x.h", header("GTM_DNS_Y_H", "int x(void);\n"), "guard must be GTM_DNS_X_H"),
    ("headers", "dns/x.h", HEAD + "#pragma once\n", "guard must be"),
    ("headers", "dns/x.c", "int x;\n", "first line must carry"),
    ("headers", "dns/x.c", "/* SPDX-License-Identifier: Apache-2.0 */\nint x;\n", "go on to say"),
    ("headers", "dns/x.h", header("GTM_DNS_X_H", "size_t x(void);\n"), "does not compile alone"),
    ("headers", "tests/lint/x.py", "print(1)\n", "licence line is missing"),
    ("format", "dns/x.c", c_with("int f( void ){return 0;}\n"), "clang-format-14 -i"),
    ("layout", "notes.txt", "a\n", "does not belong"),
    ("layout", "deploy/plain", "#!/bin/sh\n", "not executable"),
    ("layout", "README.md", "Run `tests/gone`.\n", "tests/gone does not exist"),
    ("layout", "README.md", "```sh\ndeploy/gone   # x\n```\n", "deploy/gone does not exist"),
    ("layout", "deploy/man/x.8", ".Dd\n.Sh NAME\n", "mandoc says"),
    ("shell", "deploy/start", '#!/bin/sh\ncd "$1"\nfor f in $(ls *.c); do [ $f = "a" ] && let x=1; done\n', "findings"),
]
# Must stay clean: what a naive check would flag.
GREEN = [
    ("layers", "gtm/base/json.c", includes("<cjson/cJSON.h>")),
    ("layers", "gtm/base/rcu.c", includes("<urcu/urcu-qsbr.h>")),
    ("layers", "tests/unit/test_x.c", includes('"policies/steer.h"') + '#include "dns/name.h"\n'),
    ("layers", "tests/unit/test_x.c", includes('"test_x.c"')),
    ("layers", "dns/x.c", c_with('/*\n#include "policies/steer.h"\n*/\n')),
    ("layers", "policies/x.c", function('    snprintf(a, 1, "x");\n') + "#include <stdio.h>\n"),
    ("sizes", "dns/x.c", c_with(WAIVER + LONG)),
    ("sizes", "dns/x.c", c_with(LONG.replace("{\n", "{\n    " + WAIVER))),
    ("sizes", "dns/x.c", c_with(LONG.replace(body(70), body(50)) * 3)),
    ("sizes", "dns/x.c", HEAD + WAIVER + "int x;\n" * 600),
    ("sizes", "dns/x.c", c_with("static const int t[] = {\n" + "    1,\n" * 90 + "};\n")),
    ("banned", "dns/x.c", function('    /* strcpy(a, b) is banned */\n    a = "free(x)";\n    ops->free(a);\n')),
    ("banned", "gtm/base/mem.c", function("    free(a);\n")),
    ("banned", "dns/x.c", function("    /* lint: libc free - ldns allocated it */\n    free(a);\n")),
    ("banned", "dns/x.c", function("    gtm_free(a);\n    gtm_strdup(b);\n    my_system(b);\n")),
    ("layout", "README.md", "`build/bin/gtmd`, `a/b`, `gtm/base/thing.h` and `lint: size`\n"),
    ("banned", "README.md", "a path like /tmp/net" + "work/x and https://h.example/wo" + "rk/x\n"),
]


def write(root, path, content):
    full = os.path.normpath(os.path.join(root, path))
    os.makedirs(os.path.dirname(full), exist_ok=True)
    with open(full, "w", encoding="utf-8") as f:
        f.write(content)
    # The case of a script without its mode is called plain.
    if content.startswith("#!") and not full.endswith("plain"):
        os.chmod(full, 0o755)


def check(name, root):
    suffix = "sh" if name in ("format", "shell") else "py"
    run = subprocess.run([os.path.join(HERE, f"check_{name}.{suffix}"), root], text=True, check=False,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return run.returncode, run.stdout


def clean_tree(root):
    for path, content in CLEAN.items():
        if content is None:
            shutil.copy(os.path.join(HERE, "../..", path), os.path.join(root, path))
        else:
            write(root, path, content)


def ran(*tests):
    """What ctest prints of tests (name, how it ended, what it said)."""
    words = {"Passed": "   Passed", "Failed": "***Failed", "Timeout": "***Timeout", "SEGFAULT": "***Exception: SegFault",
             "Subprocess aborted": "Subprocess aborted***Exception:"}
    lines = [f"{i:3}/{len(tests)} Test #{i}: {name} .....{words[how]}   0.10 sec\n{said}\n" for i, (name, how, said) in enumerate(tests, 1)]
    listed = [f"\t{i:3} - {name} ({how})\n" for i, (name, how, _) in enumerate(tests, 1) if how != "Passed"]
    return "".join(lines) + "\nThe following tests FAILED:\n" + "".join(listed) + "Errors while running CTest\n"


FAILED = ("e2e/a", "Failed", "assert 1 == 2")
# What tests/again.py says of a run: names that may run again, or words why none may.
AGAIN = [
    (ran(("unit/b", "Passed", ""), FAILED), ["e2e/a"]),
    (ran(FAILED, ("unit/b", "Failed", "x")), ["e2e/a", "unit/b"]),
    (ran(FAILED, ("e2e/b", "Timeout", "")), "e2e/b: Timeout"),
    (ran(FAILED, ("unit/b", "SEGFAULT", "")), "unit/b: SEGFAULT"),
    (ran(FAILED, ("unit/b", "Subprocess aborted", "")), "unit/b: Subprocess aborted"),
    (ran(FAILED, ("e2e/b", "Failed", "==7==ERROR: AddressSanitizer: heap")), "AddressSanitizer"),
    (ran(("e2e/b", "Failed", "AssertionError: gtmd crashed: signal 11")), "crashed: signal 11"),
    (ran(("unit/b", "Failed", "Test failed with exception: Segmentation fault(11)")), "failed with exception"),
    (ran(FAILED, ("lint/b", "Failed", "x")), "lint/b does not measure time"),
    (ran(*[FAILED] * 5), "5 tests failed"),
    (ran(("unit/b", "Passed", "")), "no test failed"),
    ("", "no test failed"),
]


def again_failures():
    for log, want in AGAIN:
        with tempfile.NamedTemporaryFile("w", suffix=".log") as f:
            f.write(log)
            f.flush()
            run = subprocess.run([os.path.join(HERE, "../again.py"), f.name], text=True, check=False,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        good = run.stdout.split() == want if isinstance(want, list) else run.returncode == 1 and want in run.stderr
        if not good:
            yield f"again.py: wanted {want}, got exit {run.returncode}, {run.stdout}{run.stderr} of:\n{log}"


def failures():
    yield from again_failures()
    with tempfile.TemporaryDirectory() as root:
        clean_tree(root)
        for name in sorted({case[0] for case in RED}):
            code, out = check(name, root)
            if code != 0:
                yield f"{name}: the clean tree is not clean:\n{out}"
    for name, path, content, words in RED:
        with tempfile.TemporaryDirectory() as root:
            clean_tree(root)
            write(root, path, content)
            code, out = check(name, root)
            if code != 1 or words not in out:
                yield f"{name}: {path}: wanted exit 1 and '{words}', got exit {code} and:\n{out}"
    for name, path, content in GREEN:
        with tempfile.TemporaryDirectory() as root:
            clean_tree(root)
            write(root, path, content)
            code, out = check(name, root)
            if code != 0:
                yield f"{name}: {path}: wanted exit 0, got exit {code} and:\n{out}"
    with tempfile.TemporaryDirectory() as root:
        for name in sorted({case[0] for case in RED}):
            code, out = check(name, root)
            if code == 0:
                yield f"{name}: an empty tree must not pass"


def main():
    found = list(failures())
    for text in found:
        print(text)
    print(f"selftest: {len(RED)} red and {len(GREEN)} green cases, {len(AGAIN)} of again.py, {len(found)} wrong")
    sys.exit(1 if found else 0)


main()
