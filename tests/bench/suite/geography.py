# SPDX-License-Identifier: Apache-2.0
"""The geography that all servers share, client networks drawn from it, and files of queries for dnsperf.

Generated once under build/bench/ and kept; delete the folder to make it anew.
"""
import hashlib
import ipaddress
import os
import random
import struct

import common

NAMES = 100_000
QUERIES = 200_000
NETWORKS = 20_000  # client networks, each a /24 inside a random network of the database
SEED = 20_261_120
STATIC, GEO = "static.example", "geo.example"
TYPE_A, CLASS_IN, TYPE_OPT, OPTION_ECS = 1, 1, 41, 8


def folder():
    """build/bench/data-<what it was made from>, with the database in every form."""
    try:
        info = os.stat(common.DATABASE)
    except OSError as e:
        raise common.Unable(f"{common.DATABASE}: {e.strerror}: deploy/install-deps") from e
    key = f"{info.st_size} {int(info.st_mtime)} {NAMES} {QUERIES} {NETWORKS} {SEED} {common.REGIONS} 3"
    path = common.BENCH / ("data-" + hashlib.sha256(key.encode()).hexdigest()[:12])
    if not (path / "complete").exists():
        path.mkdir(parents=True, exist_ok=True)
        common.say("generating: the country database for the peers, queries (once)")
        common.run_lines([common.BENCH / "geography", common.DATABASE, path,
                          *(f"{n},{lat},{lon}" for n, lat, lon, _ in common.REGIONS)], 120)
        write_queries(path)
        (path / "complete").touch()
    return path


def networks(path):
    """[(first address, prefix length, country, nearest region)] of IPv4."""
    found = []
    with open(path / "networks.txt", encoding="ascii") as f:
        for line in f:
            net, country, nearest, _ = line.split(" ", 3)
            if ":" in net:
                break  # IPv6 comes after all of IPv4
            address, _, length = net.partition("/")
            found.append((address, int(length), country, nearest))
    return found


def draw_clients(path):
    """[(client /24 as an integer, the region nearest to its address)]"""
    draw = random.Random(SEED)
    known = networks(path)
    clients = []
    for _ in range(NETWORKS):
        address, length, _, nearest = draw.choice(known)
        inside = int(ipaddress.IPv4Address(address)) + (draw.getrandbits(32 - length) if length < 32 else 0)
        # A /24 that spans several networks of the database has no one right answer: the others are the rule.
        if length <= 24:
            clients.append((inside & 0xffffff00, nearest))
    return clients


def home_client(path):
    """An address inside the first region's users, for queries without a client subnet."""
    for address, length, _, nearest in networks(path):
        if length <= 16 and nearest == common.REGIONS[0][0]:
            return str(ipaddress.IPv4Address(address) + 1)
    raise common.Unable("the database has no large network near the first region")


def wire_name(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def query(name, subnet=None, ident=0):
    """A query for A in wire format; subnet is the integer of a /24."""
    question = wire_name(name) + struct.pack(">HH", TYPE_A, CLASS_IN)
    if subnet is None:
        return struct.pack(">HHHHHH", ident, 0, 1, 0, 0, 0) + question
    ecs = struct.pack(">HHHBB", OPTION_ECS, 7, 1, 24, 0) + struct.pack(">I", subnet)[:3]
    opt = b"\0" + struct.pack(">HHIH", TYPE_OPT, 1232, 0, len(ecs)) + ecs
    return struct.pack(">HHHHHH", ident, 0, 1, 0, 0, 1) + question + opt


def write_queries(path):
    """One file for each scenario, in dnsperf's binary form (two octets of length before each), and what the first
    answers must be."""
    draw = random.Random(SEED + 1)
    clients = draw_clients(path)

    def write(name, queries):
        with open(path / (name + ".queries"), "wb") as f:
            for q in queries:
                f.write(struct.pack(">H", len(q)) + q)

    write("static-one", [query(f"s0.{STATIC}")])
    write("static-many", [query(f"s{draw.randrange(NAMES)}.{STATIC}") for _ in range(QUERIES)])
    write("geo-one", [query(f"www.{GEO}")])
    for name, pick in (("geo-one-ecs", lambda: "www"), ("geo-many-ecs", lambda: f"n{draw.randrange(NAMES)}")):
        chosen = [draw.choice(clients) for _ in range(QUERIES)]
        write(name, [query(f"{pick()}.{GEO}", subnet) for subnet, _ in chosen])
        with open(path / (name + ".expect"), "w", encoding="ascii") as f:
            f.writelines(nearest + "\n" for _, nearest in chosen)


def read_queries(path, name, count):
    """The first queries of a file."""
    found = []
    with open(path / (name + ".queries"), "rb") as f:
        while len(found) < count and (head := f.read(2)):
            found.append(f.read(struct.unpack(">H", head)[0]))
    return found


def expected(path, name, count):
    """The regions that answer the first queries of a file; without a file, the first region."""
    try:
        with open(path / (name + ".expect"), encoding="ascii") as f:
            return [line.strip() for _, line in zip(range(count), f)]
    except FileNotFoundError:
        return [common.REGIONS[0][0]] * count
