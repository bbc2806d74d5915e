#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The static answers of gtmd are those of Knot and NSD: the same zones, the same random questions, every field of every
answer compared. What may differ is in TOLERATED, each kind with its reason; everything else fails.

Under ctest: a few thousand questions about a few worlds. The campaign, by hand:
    tests/e2e/test_differential.py --queries 1000000 [--seed N] [--build FOLDER]
Environment: GTM_DIFF_QUERIES, GTM_DIFF_SEED do the same for the tests.
"""
import argparse
import collections
import contextlib
import os
import random
import sys
import time

if __name__ == "__main__":
    _parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    _parser.add_argument("--queries", type=int, default=1000000)
    _parser.add_argument("--per-world", type=int, default=50000)
    _parser.add_argument("--seed", type=int, default=None)
    _parser.add_argument("--build", default=None)
    _options = _parser.parse_args()
    if _options.build:
        os.environ["GTM_BUILD"] = os.path.abspath(_options.build)

import pytest

from harness import DNS_PORT, Gtmd, address

import dns_compare
import dns_peers
import dns_questions
import zone_maker
from dns_exchange import BATCH_MAX, Exchange

QUERIES = int(os.environ.get("GTM_DIFF_QUERIES", "20000"))
SEED = int(os.environ.get("GTM_DIFF_SEED", "1"))
WORLDS = 4
LEFT_OUT_FROM = 250  # octets
REPORTS_MAX = int(os.environ.get("R", "12"))
PARSED_MAX = 100000
ANSWER, AUTHORITY, ADDITIONAL = dns_compare.SECTIONS
OFFERED = {1, 28, 64, 65}  # addresses, and service bindings of alias targets


# --- what may differ: (name, peer, function(question, ours, theirs) → the fields excused, reason)



def cd_copied(q, ours, theirs, fields):
    return {"cd"} if ours.field("cd") == q.flags >> 4 & 1 and not theirs.field("cd") else ()


def additional_offered(q, ours, theirs, fields):
    """Addresses of names in the answer; a referral's glue is no offer, it is compared."""
    if "additional" in fields and not ours.additional and ours.answer and \
            not any(r[1] == 2 for r in ours.authority) and all(r[1] in OFFERED for r in theirs.additional):
        return {"additional"}
    return ()


def meta_type(q, ours, theirs, fields):
    """Ours is an error without content."""
    return set(fields) - {"rd"} if q.qtype in META_TYPES and ours.rcode in (1, 4, 5) and not optional(ours) else ()


def other_class(q, ours, theirs, fields):
    """Ours is REFUSED with its question."""
    return set(fields) - {"rd"} if q.qclass != 1 and ours.rcode == 5 and ours.question and not optional(ours) else ()


def any_type(q, ours, theirs, fields):
    """Ours is one set of the name (or of the end of its chain)."""
    end = dns_compare.chain_end(ours, q.qname.lower())
    one = len({(r[0], r[1]) for r in ours.answer if r[0] == end}) == 1
    return {"answer", "additional"} if q.qtype == dns_questions.ANY and ours.rcode == theirs.rcode and one else ()


def badvers(q, ours, theirs, fields):
    """Only what the OPT record and its version say counts."""
    return {"do", "aa", "ra", "z"} if ours.rcode == theirs.rcode == BADVERS else ()


def chain_limit(q, ours, theirs, fields):
    """Whoever stops first has a piece of the other's chain, without an end; ours stops after 17 links."""
    for short, long, links in ((theirs, ours, KNOT_LINKS), (ours, theirs, OUR_LINKS)):
        if short.rcode == 0 and not short.authority and set(short.answer) <= set(long.answer) and \
                count_type(short, dns_compare.CNAME) == links == count_type_all(short):
            return CONTENT
    return ()


def count_type(reply, rtype):
    return sum(1 for record in reply.answer if record[1] == rtype)


def count_type_all(reply):
    """Links, when nothing else is in the answer."""
    return len(reply.answer) - count_type(reply, dns_compare.DNAME)


def other_zone(q, ours, theirs, fields):
    """The chain leaves its zone for another one of this server; up to there all is equal."""
    end = dns_compare.chain_end(ours, q.qname.lower())
    here = q.zone_of(q.qname.lower())
    leaves = q.zone_of(end) not in (None, here) or (q.qtype == DS and end == here)
    return CONTENT if end != q.qname.lower() and leaves and set(ours.answer) <= set(theirs.answer) else ()


def name_of_other_zone(q, ours, theirs, fields):
    """DS of a zone that the zone above does not delegate."""
    return {"rcode"} if q.qtype == DS and q.qname.lower() in q.origins and ours.rcode == 3 else ()


def signature_type(q, ours, theirs, fields):
    """Ours follows a CNAME, theirs says that there is nothing."""
    end = dns_compare.chain_end(theirs, q.qname.lower())
    if q.qtype in (46, 47, 50) and set(theirs.answer) < set(ours.answer) and theirs.rcode == 0 and \
            any(r[0] == end and r[1] == dns_compare.CNAME for r in ours.answer):
        return CONTENT
    return ()


def dname_again(q, ours, theirs, fields):
    """The chain comes to a DNAME that it has passed; up to there all is equal."""
    end = dns_compare.chain_end(theirs, q.qname.lower())
    if set(theirs.answer) <= set(ours.answer) and theirs.rcode == 0 and not theirs.authority and \
            any(r[1] == dns_compare.DNAME and end.endswith(r[0]) and end != r[0] for r in theirs.answer):
        return CONTENT
    return ()


def dname_overflow(q, ours, theirs, fields):
    """The name that DNAME leads to would be longer than 255 octets."""
    end = dns_compare.chain_end(ours, q.qname.lower())
    for owner, rtype, _, _, target in ours.answer:
        if ours.rcode == YXDOMAIN and rtype == dns_compare.DNAME and end.endswith(owner) and \
                len(end) - len(owner) + len(target) > zone_maker.NAME_MAX and set(ours.answer) <= set(theirs.answer):
            return CONTENT
    return ()


DS = 43
YXDOMAIN, BADVERS = 6, 16
KNOT_LINKS, OUR_LINKS = 5, 17
HANGS, HANGS_MAX = "hangs", {"knot": 50, "nsd": 0}
CONTENT = {"rcode", *dns_compare.SECTIONS}
META_TYPES = {0, 41, 249, 250, 251, 252}  # reserved, OPT, TKEY, TSIG, IXFR, AXFR
TOLERATED = [
    ("CD not copied", "both", cd_copied, "RFC 4035 3.1.6 wants CD copied from the query; we do"),
    ("BADVERS", "nsd", badvers, "NSD does not echo DO and echoes bits of the query's header"),
    (HANGS, "knot", lambda *_: (), "Knot 3.2.6 loops for ever over optional records of a SRV set that just do not fit"),
    ("meta type", "both", meta_type, "they are no data: we say FORMERR, NOTIMP or REFUSED, they NODATA, NOTIMP or NOTAUTH"),
    ("other class", "both", other_class, "we and Knot refuse with the question, NSD without; both answer class ANY"),
    ("ANY", "both", any_type, "RFC 8482 4.1: one set is enough; they choose others, or give all"),
    ("additional offered", "both", additional_offered, "addresses of targets are optional; we keep answers small"),
    ("chain limit", "both", chain_limit, "Knot follows 5 links of a chain, we 17, NSD more"),
    ("chain to other zone", "nsd", other_zone, "NSD goes on in another of its zones; we and Knot stay (resolvers ask on)"),
    ("DS of an undelegated zone", "nsd", name_of_other_zone, "NSD's zones share one tree of names: NODATA"),
    ("RRSIG, NSEC at CNAME", "both", signature_type, "they may stand beside a CNAME (RFC 4035 2.5), but none does here"),
    ("DNAME again", "nsd", dname_again, "NSD uses a DNAME once in a chain; we and Knot again"),
    ("DNAME overflow", "knot", dname_overflow, "RFC 6672 2.2 wants YXDOMAIN; Knot answers for the DNAME's target"),
]


class Difference:
    """Counts what was excused, keeps what was not."""

    def __init__(self):
        self.questions = self.answers = self.truncated = self.tcp = self.retried = 0
        self.excused = collections.Counter()
        self.found = []
        self.kinds = collections.Counter()
        self.rcodes = collections.Counter()

    def judge(self, question, name, ours, theirs, world):
        if ours is None or theirs is None:
            if ours is not None and self.excused[HANGS, name] < HANGS_MAX[name]:
                self.excused[HANGS, name] += 1
            else:
                self.report(question, name, ours, theirs, world, ["silence"])
            return
        left = dns_compare.differences(ours, theirs)
        if not left:
            return
        for kind, peer, excuses, _ in TOLERATED:
            if peer not in ("both", name):
                continue
            fields = excuses(question, ours, theirs, left)
            if fields and set(left) & set(fields):
                self.excused[kind, name] += 1
                left = [field for field in left if field not in fields]
                if not left:
                    return
        self.report(question, name, ours, theirs, world, left)

    def report(self, question, name, ours, theirs, world, fields):
        kind = (name, ",".join(fields), ours and ours.rcode, theirs and theirs.rcode)
        self.kinds[kind] += 1
        if self.kinds[kind] <= 2:
            self.found.append(describe(question, name, ours, theirs, world, fields))

    def text(self):
        lines = [f"{sum(self.kinds.values())} differences of {len(self.kinds)} kinds in {self.questions} questions:"]
        lines += [f"  {count} × {kind}" for kind, count in self.kinds.most_common()]
        return "\n".join(lines + self.found[:REPORTS_MAX])


def optional(reply):
    return set(reply.authority + reply.additional)


def describe(question, name, ours, theirs, world, fields):
    return (f"\n{name} differs in {', '.join(fields)}; world {world.seed}: "
            f"{dns_compare.show_name(question.qname)} type {question.qtype} class {question.qclass} "
            f"{'tcp' if question.tcp else 'udp'} {'edns %d' % question.payload if question.edns else 'no edns'}\n"
            f"  packet 0001{question.wire.hex()}\n gtmd:\n{dns_compare.show(ours)}\n {name}:\n{dns_compare.show(theirs)}")


class Parser:
    """Answers repeat: each distinct one is taken apart once."""

    def __init__(self):
        self.known = {}

    def parse(self, wire):
        if wire is None:
            return None
        reply = self.known.get(wire)
        if reply is None:
            if len(self.known) >= PARSED_MAX:
                self.known.clear()
            try:
                reply = self.known[wire] = dns_compare.Reply(wire)
            except dns_compare.Broken as why:
                raise AssertionError(f"{why}: 0000{wire.hex()}") from why
        return reply


class Run:
    """One world on all servers."""

    def __init__(self, world, result, spoil=None):
        self.world, self.result = world, result
        zones = {zone_maker.text(z.origin): z.file() for z in world.zones}
        ours = {f"{i}.zone": spoil(text) if spoil else text for i, text in enumerate(zones.values())}
        self.gtmd = Gtmd(cluster(zones), zones=ours)
        self.peers = [peer(address(i + 2), DNS_PORT, zones) for i, peer in enumerate((dns_peers.Knot, dns_peers.Nsd))]
        self.parser = Parser()
        self.exchanges = []

    def __enter__(self):
        try:
            self.gtmd.start()
            for peer in self.peers:
                peer.start()
            self.exchanges = [Exchange(self.gtmd.address, DNS_PORT)]
            self.exchanges += [Exchange(p.address, p.port) for p in self.peers]
            return self
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        for exchange in self.exchanges:
            self.result.retried += exchange.retried
            exchange.close()
        for peer in self.peers:
            peer.stop()
        self.gtmd.close()

    def ask(self, questions, tcp):
        """For each question the answers of all servers."""
        wires = [q.wire for q in questions]
        if tcp:
            columns = [exchange.ask_tcp(wires) for exchange in self.exchanges]
        else:
            ids = [exchange.send_udp(wires) for exchange in self.exchanges]
            columns = [exchange.receive_udp(wires, i) for exchange, i in zip(self.exchanges, ids)]
            for i, peer in enumerate(self.peers):
                if None in columns[i + 1]:
                    self.ask_one_by_one(peer, self.exchanges[i + 1], questions, columns[i + 1])
        return [[self.parser.parse(wire) for wire in row] for row in zip(*columns)]

    def ask_one_by_one(self, peer, exchange, questions, answers):
        """A peer has stopped answering: it is started again, and asked what is open until it is clear what stops it."""
        peer.restart()
        for i, question in enumerate(questions):
            if answers[i] is None:
                wires = [question.wire]
                answers[i] = exchange.receive_udp(wires, exchange.send_udp(wires))[0]
                if answers[i] is None:
                    peer.restart()

    def compare(self, questions):
        result = self.result
        over_udp = [q for q in questions if not q.tcp]
        over_tcp = [q for q in questions if q.tcp]
        again = []
        if over_udp:
            for question, row in zip(over_udp, self.ask(over_udp, False)):
                if any(reply is not None and reply.tc for reply in row) or self.left_out(row):
                    again.append((question, row))
                else:
                    self.judge(question, row)
                if row[0] is not None and row[0].size > question.limit():
                    result.report(question, "limit", row[0], None, self.world, ["size"])
        for question, row in zip(over_tcp, self.ask(over_tcp, True) if over_tcp else ()):
            self.judge(question, row)
        if again:
            full = self.ask([q for q, _ in again], True)
            for (question, short), row in zip(again, full):
                self.judge_truncated(question, short, row)
        result.questions += len(questions)
        result.tcp += len(over_tcp) + len(again)
        result.truncated += len(again)

    def left_out(self, row):
        """A peer leaves optional records out, without TC, when its way of compressing lacks room. Over TCP they are there."""
        ours = row[0]
        for peer, theirs in zip(self.peers, row[1:]):
            if ours is not None and theirs is not None and ours.size > LEFT_OUT_FROM and ours.rcode == theirs.rcode and \
                    ours.answer == theirs.answer and optional(theirs) < optional(ours):
                self.result.excused["left out over UDP", peer.name] += 1
                return True
        return False

    def judge(self, question, row):
        ours = row[0]
        if ours is not None:
            self.result.rcodes[ours.rcode] += 1
            if question.qclass == 1 and not dns_compare.chain_is_ordered(ours, question.qname.lower()):
                self.result.report(question, "chain", ours, None, self.world, ["order"])
        for peer, theirs in zip(self.peers, row[1:]):
            self.result.judge(question, peer.name, ours, theirs, self.world)

    def judge_truncated(self, question, short, full):
        """Servers compress differently, so who has to cut differs. What is whole over TCP is compared; and ours must be
        cut if and only if the whole answer is longer than the client takes."""
        self.judge(question, full)
        ours = short[0]
        fits = full[0] is not None and full[0].size <= question.limit()
        if ours is None or bool(ours.tc) == fits:
            self.result.report(question, "cut", ours, full[0], self.world, ["tc over udp"])
        elif ours.tc and any(set(getattr(ours, s)) - set(getattr(full[0], s)) for s in dns_compare.SECTIONS):
            self.result.report(question, "cut", ours, full[0], self.world, ["records over udp"])


def cluster(zones):
    return "regions:\n  - {name: us-east, location: [38.9, -77.0]}\nzones:\n" + "".join(
        f"  - {{name: \"{origin}\", file: {i}.zone}}\n" for i, origin in enumerate(zones))


def campaign(queries, per_world, seed, progress=None, spoil=None):
    result = Difference()
    world_seed = seed
    while result.questions < queries:
        world = zone_maker.World(world_seed, types=zone_maker.ALL)
        asker = dns_questions.Asker(world, random.Random(world_seed))
        end = min(queries, result.questions + per_world)
        with Run(world, result, spoil) as run:
            while result.questions < end:
                run.compare([asker.next() for _ in range(min(BATCH_MAX, end - result.questions))])
                if progress:
                    progress(result)
        world_seed += 1
    return result


# --- tests

pytestmark = pytest.mark.skipif(not (dns_peers.Knot.installed() and dns_peers.Nsd.installed()),
                                reason="knotd or nsd is not installed")


def test_static_answers_are_those_of_knot_and_nsd():
    result = campaign(QUERIES, max(QUERIES // WORLDS, 1), SEED)
    assert not result.kinds, result.text()
    assert result.truncated > QUERIES // 100 and {0, 3, 5, YXDOMAIN} <= set(result.rcodes), "the questions reach everything"
    assert len(result.excused) > 10, "the zones reach what may differ"


# a.test A: 192.0.2.1 | test NS ns1.test | ns1.test A 192.0.2.2, OPT; flags aa rd; without its id
ANSWER_WIRE = bytes.fromhex("8500 0001 0001 0001 0002 0161047465737400 00010001"
                            "c00c 00010001 00000005 0004 c0000201"
                            "c00e 00020001 00000005 0006 036e7331c00e"
                            "c034 00010001 0000000a 0004 c0000202"
                            "00 0029 0400 00 00 8000 0000")


def test_a_difference_in_any_field_is_seen():
    """Each bit of an answer is turned over: it is unreadable, or another case of a name, or reported."""
    good = dns_compare.Reply(ANSWER_WIRE)
    assert [len(getattr(good, s)) for s in dns_compare.SECTIONS] == [1, 1, 1] and good.edns and good.do
    question = dns_questions.Question()
    question.qname, question.qtype, question.qclass, question.flags = b"\1a\4test\0", 1, 1, 0x100
    question.origins, question.wire, question.tcp, question.edns, question.payload = [b"\4test\0"], b"", False, True, 1024
    world, seen = zone_maker.World(1, 4), set()
    for bit in range(len(ANSWER_WIRE) * 8):
        changed = bytearray(ANSWER_WIRE)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            other = dns_compare.Reply(bytes(changed))
        except dns_compare.Broken:
            seen.add("unreadable")
            continue
        fields = dns_compare.differences(good, other)
        result = Difference()
        for name in ("knot", "nsd"):
            result.judge(question, name, other, good, world)
        if fields:
            assert result.kinds, (bit, fields)
        else:
            assert changed.lower() == ANSWER_WIRE.lower() and chr(changed[bit // 8]).isalpha(), bit
        seen.update(fields)
    assert seen == {"unreadable", *dns_compare.FIELDS}, "every field was changed"
    assert dns_compare.differences(good, dns_compare.Reply(ANSWER_WIRE[:8] + b"\0\1" + ANSWER_WIRE[10:-11])) == \
        ["edns", "payload", "do"]


def test_a_wrong_record_is_found():
    """One server has other data: the same questions tell."""
    result = campaign(1500, 1500, SEED, spoil=lambda text: text.replace(" IN A 192.0.1", " IN A 192.1.1"))
    assert any("answer" in fields for _, fields, *_ in result.kinds), "changed addresses"


def main():
    for peer in (dns_peers.Knot, dns_peers.Nsd):
        if not peer.installed():
            print(f"{peer.program} is not installed", file=sys.stderr)
            return 2
        print(peer.version())
    seed = _options.seed if _options.seed is not None else random.randrange(1 << 30)
    begun = last = time.monotonic()
    print(f"seed {seed}, {_options.queries} questions", flush=True)

    def progress(result):
        nonlocal last
        now = time.monotonic()
        if now - last >= 10 or result.questions == _options.queries:
            last = now
            print(f"{result.questions:9d} questions, {result.questions / (now - begun):6.0f}/s, "
                  f"{result.truncated} cut, {sum(result.kinds.values())} differences", flush=True)

    result = campaign(_options.queries, _options.per_world, seed, progress)
    print(f"{result.questions} questions to three servers in {time.monotonic() - begun:.0f} s, {result.tcp} over TCP, "
          f"{result.retried} retries; answers by rcode: {dict(sorted(result.rcodes.items()))}")
    for kind, peer, _, reason in TOLERATED:
        for name in ("knot", "nsd"):
            if peer in ("both", name):
                print(f"  tolerated {result.excused[kind, name]:8d} × {name}: {kind} — {reason}")
    for (kind, name), count in result.excused.items():
        if not any(kind == known for known, *_ in TOLERATED):
            print(f"  asked again over TCP {count} × {name}: {kind}")
    if result.kinds:
        print(result.text())
        return 1
    print("no other difference")
    return 0


if __name__ == "__main__":
    sys.exit(main())
