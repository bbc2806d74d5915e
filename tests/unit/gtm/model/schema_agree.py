#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Does the parser take exactly what the exported JSON Schema takes, beyond what no schema can say?

Two rules, on the good and bad files and on a few hundred mutations of the good ones:
what the parser takes, the schema takes; what only the parser refuses, it refuses for a reason in BEYOND.
"""
import copy
import json
import pathlib
import random
import re
import subprocess
import sys

import jsonschema
import yaml

MUTATIONS = 150
DATA = pathlib.Path(__file__).parent / "data"

# What JSON Schema cannot say: references, other keys' values, ranges of durations and dates, files' contents.
BEYOND = re.compile("|".join([
    r"which is not defined", r"is defined twice", r" twice", r"does not fit", r" needs? ", r"has no endpoint",
    r"has no parameter", r"has no value in 'with'", r"has no step", r"waits for itself", r"in a loop", r"not active yet",
    r"would be answered by", r"has no location", r"is only used with", r"longer than interval", r"must choose",
    r"not in the range \d+(ms|s|m|h|d) to", r"wants whole seconds", r"beyond its prefix", r"prefix of an IPv", r"two IPv",
    r"the address .* (is|in) ", r"is not a country", r"on the continent", r"one of the continents", r"wants an IPv4 or IPv6 address",
    r"wants a network", r"is not a (minute|hour|day|month)", r"is not an address", r"IPv6 addresses, and only they",
    r"the port in", r"wants a date", r"wants a time", r"wants a weekly", r"wants five cron", r"wants a time zone",
    r"ends on", r"a pair needs", r"'max' is .* less than", r"GET, HEAD, OPTIONS or POST", r"must not hold a password",
    r"mutual TLS only", r"(API over TCP|is reached): give .listen", r"mixes http", r"not .\[[0-9.]+\]:", r"more than 253", r"a domain name has", r"a DNS name has", r"nests deeper", r"would take everybody", r"a secret",
    r"share.*, not '[0-9.]*%'", r"is [0-9.]+%, which is not in the range", r"at most \d+ bytes", r"can be reached", r"a record type such as",
]))


class Loader(yaml.SafeLoader):
    """PyYAML with the core schema of YAML 1.2, so that NO, 1_000 and 2026-12-20 are text."""


Loader.yaml_implicit_resolvers = {}
for tag, pattern, first in [
        ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
        ("int", r"^[-+]?[0-9]+$", "-+0123456789"),
        ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", "-+.0123456789"),
        ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""])]:
    Loader.add_implicit_resolver("tag:yaml.org,2002:" + tag, re.compile(pattern), list(first))
Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(node.value))
Loader.add_constructor("tag:yaml.org,2002:float", lambda loader, node: float(node.value))


class Parser:
    def __init__(self, program, kind):
        self.process = subprocess.Popen([program, "parse", kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def errors(self, text):
        data = text.encode()
        self.process.stdin.write(b"%d\n" % len(data) + data)
        self.process.stdin.flush()
        count = self.process.stdout.readline()
        if not count:
            sys.exit("the parser ended on:\n" + text)
        return [self.process.stdout.readline().decode().rstrip("\n") for _ in range(int(count))]

    def close(self):
        self.process.stdin.close()
        if self.process.wait() != 0:
            sys.exit("the parser failed at its end")


def places(value, path=()):
    """Every place in a document, the root excepted."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        yield path + (key,)
        yield from places(child, path + (key,))


OTHER_VALUES = [None, True, 0, -1, 1, 7, 2.5, 1e18, 70000, "", "x", "5", "1s", "0s", "9999d", "100%", "NO", [], {}, ["a"], [1, 2],
                {"name": "a"}, {"file": "f"}, "10.0.0.1", "http://x", "a b", "$region"]


def mutate(document, rng):
    document = copy.deepcopy(document)
    path = rng.choice(list(places(document)))
    parent = document
    for key in path[:-1]:
        parent = parent[key]
    what = rng.randrange(4)
    if what == 0:
        del parent[path[-1]]
    elif what == 1 and isinstance(parent, dict):
        parent[path[-1] + "x"] = parent.pop(path[-1])
    elif what == 2 and isinstance(parent, list):
        parent.append(copy.deepcopy(parent[path[-1]]))
    else:
        parent[path[-1]] = copy.deepcopy(rng.choice(OTHER_VALUES))
    return document


def compare(name, document, text, parser, validator):
    """A text about the disagreement, or None; and whether each refused it."""
    errors = parser.errors(text)
    problem = jsonschema.exceptions.best_match(validator.iter_errors(document))
    if not errors and problem:
        return f"{name}: only the schema refuses: {'/'.join(map(str, problem.absolute_path))}: {problem.message}"[:600]
    if errors and not problem:
        only = [e for e in errors if not BEYOND.search(e)]
        if only:
            return f"{name}: only the parser refuses: {only[0]}"
    return None


def check(kind, program):
    schema = json.loads(subprocess.run([program, "schema", kind], stdout=subprocess.PIPE, check=True).stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    parser = Parser(program, kind)
    problems, both = [], 0
    good = sorted((DATA / (kind + "_good")).glob("*.yaml"))
    bad = sorted(p for p in (DATA / (kind + "_bad")).glob("*.yaml") if not p.name.startswith("yaml_"))
    assert good and bad, "no data"
    for path in good + bad:
        text = path.read_text()
        document = yaml.load(text, Loader)
        if document is not None:
            problems.append(compare(path.name, document, text, parser, validator))
        if path in good and not validator.is_valid(document):
            problems.append(path.name + ": a good file is refused by the schema")
    rng = random.Random(20260101)
    for path in good:
        document = yaml.load(path.read_text(), Loader)
        for n in range(MUTATIONS):
            mutated = mutate(document, rng)
            name = f"{path.name}, mutation {n}"
            problems.append(compare(name, mutated, json.dumps(mutated, ensure_ascii=False), parser, validator))
            both += not validator.is_valid(mutated)
    parser.close()
    if both < MUTATIONS // 3:
        problems.append(f"{kind}: only {both} mutations were wrong for the schema: the test shows nothing")
    print(f"{kind}: {len(good)} good and {len(bad)} bad files, {len(good) * MUTATIONS} mutations, {both} refused by the schema")
    return [p for p in problems if p]


def main():
    problems = check("intent", sys.argv[1]) + check("node", sys.argv[1])
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
