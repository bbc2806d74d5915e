# SPDX-License-Identifier: Apache-2.0
"""DNS answers taken apart into a form that does not depend on a server's habits: the order of records, compression and
the case of names. Written for millions of answers; it believes nothing of what it reads."""
import struct

CNAME, SOA, DNAME, OPT = 5, 6, 39, 41
# Types whose rdata has names that may be compressed: octets before the names, number of names.
NAMES = {2: (0, 1), 3: (0, 1), 4: (0, 1), 5: (0, 1), 6: (0, 2), 7: (0, 1), 8: (0, 1), 9: (0, 1), 12: (0, 1), 14: (0, 2),
         15: (2, 1), 17: (0, 2), 18: (2, 1), 21: (2, 1), 33: (6, 1), 36: (2, 1), 39: (0, 1)}
LOWERED = {35, 64, 65, 107}  # names that are never compressed, among text: lowered as a whole
SECTIONS = ("answer", "authority", "additional")
FIELDS = ("qr", "rcode", "opcode", "aa", "tc", "rd", "ra", "z", "ad", "cd", "question", *SECTIONS, "edns", "payload", "version", "do")


class Broken(Exception):
    pass


class Reply:
    __slots__ = ("size", "tc", "rcode", "question", "answer", "authority", "additional", "flags", "edns", "payload",
                 "version", "do", "order", "key", "options")

    def __init__(self, wire):
        """wire without its id."""
        self.size = len(wire) + 2
        if self.size < 12:
            raise Broken("shorter than a header")
        self.flags, qd, an, ns, ar = struct.unpack_from(">HHHHH", wire)
        self.rcode = self.flags & 15
        self.tc = self.flags >> 9 & 1
        self.edns, self.payload, self.version, self.do, self.options = 0, 0, 0, 0, ()
        names = {}
        at = 10
        for _ in range(qd):
            _, at = read_name(wire, at, names)
            at += 4
        self.question = wire[10:at]
        lists = []
        for count in (an, ns, ar):
            records = []
            for _ in range(count):
                at = self.record(wire, at, names, records)
            lists.append(records)
        if at != len(wire):
            raise Broken("octets behind the last record")
        self.order = tuple(lists[0])
        self.answer, self.authority, self.additional = (tuple(sorted(records)) for records in lists)
        self.key = (self.flags, self.rcode, self.question, self.answer, self.authority, self.additional, self.edns,
                    self.payload, self.version, self.do)

    def record(self, wire, at, names, records):
        owner, at = read_name(wire, at, names)
        if at + 10 > len(wire):
            raise Broken("a record is cut off")
        rtype, rclass, ttl, rdlen = struct.unpack_from(">HHIH", wire, at)
        at += 10
        end = at + rdlen
        if end > len(wire):
            raise Broken("rdata is cut off")
        if rtype == OPT:
            if self.edns or owner != b"\0":
                raise Broken("a second or an owned OPT")
            self.edns, self.payload, self.version, self.do = 1, rclass, ttl >> 16 & 255, ttl >> 15 & 1
            self.rcode |= ttl >> 24 << 4
            if ttl & 0x7fff:
                raise Broken("unknown EDNS flags set")
            self.options = read_options(wire[at:end])
            return end
        if rtype in NAMES:
            before, count = NAMES[rtype]
            parts = [wire[at:at + before]]
            at += before
            for _ in range(count):
                name, at = read_name(wire, at, names)
                parts.append(name)
            if at > end:
                raise Broken("a name leaves its rdata")
            rdata = b"".join(parts) + wire[at:end]
        else:
            rdata = wire[at:end]
            if rtype in LOWERED:
                rdata = rdata.lower()
        records.append((owner, rtype, rclass, ttl, rdata))
        return end

    def field(self, name):
        if name in ("qr", "opcode", "aa", "rd", "ra", "z", "ad", "cd"):
            shift, mask = {"qr": (15, 1), "opcode": (11, 15), "aa": (10, 1), "rd": (8, 1), "ra": (7, 1), "z": (6, 1), "ad": (5, 1),
                           "cd": (4, 1)}[name]
            return self.flags >> shift & mask
        return getattr(self, name)


def read_options(data):
    codes, at = [], 0
    while at < len(data):
        if at + 4 > len(data):
            raise Broken("an option is cut off")
        code, length = struct.unpack_from(">HH", data, at)
        codes.append(code)
        at += 4 + length
    if at != len(data):
        raise Broken("an option is cut off")
    return tuple(codes)


def read_name(wire, at, names):
    """(the name in lower case, uncompressed; the place behind it). Places in wire are two less than in the message."""
    known = names.get(at)
    if known is not None:
        return known
    start, parts, size = at, [], 0
    end = None
    while True:
        if at >= len(wire):
            raise Broken("a name is cut off")
        n = wire[at]
        if n == 0:
            parts.append(b"\0")
            if end is None:
                end = at + 1
            break
        if n >= 0xc0:
            if at + 2 > len(wire):
                raise Broken("a pointer is cut off")
            to = ((n & 0x3f) << 8 | wire[at + 1]) - 2
            if end is None:
                end = at + 2
            if to < 10 or to >= start:
                raise Broken("a pointer does not point back")
            rest, _ = read_name(wire, to, names)
            parts.append(rest)
            size += len(rest)
            break
        if n > 63:
            raise Broken("a label of unknown kind")
        parts.append(wire[at:at + n + 1].lower())
        size += n + 1
        at += n + 1
    name = b"".join(parts)
    if len(name) > 255:
        raise Broken("a name of more than 255 octets")
    names[start] = (name, end)
    return name, end


def differences(ours, theirs):
    """The fields in which two replies differ."""
    if ours.key == theirs.key:
        return []
    return [name for name in FIELDS if ours.field(name) != theirs.field(name)]


def chain_is_ordered(reply, qname):
    """Every answer record belongs to the name that the chain has reached (RFC 1034 4.3.2; resolvers read in order)."""
    at = qname
    for owner, rtype, _, _, rdata in reply.order:
        if owner == at:
            if rtype == CNAME:
                at = rdata
        elif rtype != DNAME or not at.endswith(owner):
            return False
    return True


def chain_end(reply, qname):
    """The last name of the chain from qname."""
    targets = {owner: rdata for owner, rtype, _, _, rdata in reply.answer if rtype == CNAME}
    for _ in range(len(targets)):
        qname = targets.get(qname, qname)
    return qname


def show_name(wire):
    labels, at = [], 0
    while wire[at]:
        labels.append("".join(chr(c) if 33 <= c < 127 and c not in b".\\" else f"\\{c:03d}"
                              for c in wire[at + 1:at + 1 + wire[at]]))
        if len(labels[-1]) > 40:
            labels[-1] = f"{labels[-1][:8]}…{wire[at]}"
        at += wire[at] + 1
    return ".".join(labels) + "."


def show(reply):
    """A reply as text, for people."""
    if reply is None:
        return "  (silence)"
    flags = [name for name in ("aa", "tc", "rd", "ra", "z", "ad", "cd") if reply.field(name)]
    lines = [f"  rcode {reply.rcode} flags {' '.join(flags)} {reply.size} octets"
             + (f" edns payload {reply.payload} version {reply.version} do {reply.do} options {reply.options}"
                if reply.edns else "")]
    for section in SECTIONS:
        for owner, rtype, rclass, ttl, rdata in getattr(reply, section)[:12]:
            value = rdata.hex()
            if rtype in NAMES and NAMES[rtype][1] == 1:
                before = NAMES[rtype][0]
                value = rdata[:before].hex() + " " + show_name(rdata[before:])
            lines.append(f"    {section}: {show_name(owner)} {ttl} class {rclass} type {rtype} {value[:120]}")
        if len(getattr(reply, section)) > 12:
            lines.append(f"    {section}: … {len(getattr(reply, section))} records")
    return "\n".join(lines)
