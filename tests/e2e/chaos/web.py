# SPDX-License-Identifier: Apache-2.0
"""A web server of the chaos run, a process of its own: web.py ADDRESS. Behaviours of harness.Web come on standard input,
a line each, and are said again when they hold."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness import Web  # pylint: disable=wrong-import-position


def main():
    web = Web(sys.argv[1])
    print("ok", flush=True)
    for line in sys.stdin:
        web.set(line.strip())
        print(line.strip(), flush=True)


main()
