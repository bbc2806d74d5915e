# SPDX-License-Identifier: Apache-2.0
"""Random questions about a World of tests/support/zone_maker.py: names that exist, lie below, beside, above or nowhere;
types that are there and others; all kinds of EDNS and flags. Each is a packet made by hand."""
import struct

from zone_maker import NAME_MAX, lower, name_wire, wire_len

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "HINFO": 13, "MX": 15, "TXT": 16, "RP": 17, "AFSDB": 18,
         "AAAA": 28, "LOC": 29, "SRV": 33, "NAPTR": 35, "KX": 36, "CERT": 37, "DNAME": 39, "DS": 43, "SSHFP": 44,
         "DHCID": 49, "TLSA": 52, "OPENPGPKEY": 61, "SVCB": 64, "HTTPS": 65, "SPF": 99, "EUI48": 108, "URI": 256,
         "CAA": 257, "MINFO": 14, "RT": 21, "APL": 42, "IPSECKEY": 45, "SMIMEA": 53, "CSYNC": 62, "NID": 104, "L32": 105,
         "L64": 106, "LP": 107, "EUI64": 109, "TYPE1234": 1234, "TYPE65280": 65280}
RRSIG, NSEC, DNSKEY, NSEC3, ANY = 46, 47, 48, 50, 255
PAYLOADS = (0, 511, 512, 513, 600, 800, 1000, 1200, 1231, 1232, 1233, 1400, 4096, 65535)
KINDS = ("host", "host", "ent", "wild", "star", "cut", "glue", "hidden", "alias", "alias", "dname", "dname", "big", "long")


def is_suffix(name, length):
    """Whether the last octets of a name begin at a label."""
    at = 0
    while at < len(name) - length:
        at += name[at] + 1
    return at == len(name) - length


class Question:
    __slots__ = ("wire", "qname", "qtype", "qclass", "tcp", "edns", "payload", "version", "flags", "opcode", "origins")

    def zone_of(self, name):
        """The origin of the zone that a name (lower case) belongs to, or None."""
        return max((o for o in self.origins if name.endswith(o) and is_suffix(name, len(o))), key=len, default=None)

    def limit(self):
        """Octets that an answer over UDP may have when the server's own limit is 1232."""
        return min(max(512, self.payload), 1232) if self.edns else 512


class Asker:
    def __init__(self, world, rng):
        self.world, self.rng = world, rng
        self.by_kind = [(zone, {kind: names for kind, names in zone.kinds.items()}) for zone in world.zones]
        self.weights = [len(zone.types) for zone in world.zones]
        self.origins = [name_wire(lower(zone.origin)) for zone in world.zones]
        self.types_at = {}
        for zone in world.zones:
            for name, types in zone.types.items():
                self.types_at.setdefault(name, set()).update(types)
        self.types_at = {name: sorted(TYPES[t] for t in types) for name, types in self.types_at.items()}

    def label(self):
        r = self.rng
        way = r.random()
        if way < 0.7:
            return bytes(r.choice(b"abcxyz019") for _ in range(r.randint(1, 3)))
        if way < 0.8:
            return r.choice((b"*", b"*", b"x", b"y", b"in", b"deep", b"ent", b"sub", b"ns0", b"a*"))
        if way < 0.9:
            return bytes(r.randrange(256) for _ in range(r.randint(1, 4)))
        return bytes(r.choice(b"abcxyz") for _ in range(r.choice((30, 50, 62, 63))))

    def name(self):
        r = self.rng
        zone, kinds = r.choices(self.by_kind, self.weights)[0]
        names = kinds.get(r.choice(KINDS)) or [zone.origin]
        name, way = r.choice(names), r.random()
        if way < 0.10:                                   # below
            name = (self.label(),) + name
        elif way < 0.18:
            name = tuple(self.label() for _ in range(r.randint(2, 6))) + name
        elif way < 0.26 and len(name) > len(zone.origin):  # beside
            name = (self.label(),) + name[1:]
        elif way < 0.33 and len(name) > 1:               # above
            name = name[r.randrange(1, len(name)):]
        elif way < 0.36:                                 # as long as can be
            while wire_len(name) < NAME_MAX - 1:
                name = (b"q" * min(63, NAME_MAX - wire_len(name) - 1),) + name
            name = name if r.random() < 0.5 else name[1:]
        elif way < 0.38:                                 # nowhere
            name = (self.label(),) + r.choice(((), (b"test",), (b"example", b"net"), (b"alpha",)))
        while wire_len(name) > NAME_MAX:
            name = name[1:]
        way = r.random()
        if way < 0.2:
            name = tuple(bytes(c ^ 0x20 if chr(c).isalpha() and c < 128 and r.random() < 0.5 else c for c in label)
                         for label in name)
        return name

    def qtype(self, name):
        r, way = self.rng, self.rng.random()
        have = self.types_at.get(lower(name))
        if have and way < 0.45:
            return r.choice(have)
        if way < 0.70:
            return r.choice((1, 1, 28, 15, 16))
        if way < 0.90:
            return r.choice(tuple(TYPES.values()))
        if way < 0.93:
            return 43
        if way < 0.95:
            return r.choice((RRSIG, NSEC, DNSKEY, NSEC3, 51, 24, 30))
        if way < 0.96:
            return ANY
        if way < 0.99:
            return r.choice((r.randrange(300, 65000), 65534, 65535, 10, 32, 38, 11))
        return r.choice((0, 41, 128, 200, 248, 249, 250, 251, 253, 254)) if r.random() < 0.5 else 12

    def opt(self, q):
        r = self.rng
        q.payload = r.choice(PAYLOADS)
        q.version = 1 if r.random() < 0.005 else 0
        flags = 0x8000 if r.random() < 0.5 else 0
        if r.random() < 0.02:
            flags |= r.randrange(0x8000)
        options = b""
        if r.random() < 0.05:
            options = struct.pack(">HH", r.choice((65001, 4, 20000)), 3) + b"abc"
        elif r.random() < 0.05:                          # a client's network, and a cookie
            options = struct.pack(">HHHBB3s", 8, 7, 1, 24, 0, b"\xc6\x33\x64") + struct.pack(">HH8s", 10, 8, b"a cookie")
        return b"\0" + struct.pack(">HHBBHH", 41, q.payload, 0, q.version, flags, len(options)) + options

    def next(self):
        r = self.rng
        q = Question()
        name = self.name()
        q.qname = name_wire(name)
        q.qtype = self.qtype(name)
        q.qclass = 1 if r.random() < 0.998 else r.choice((3, 4, 254, 255, 0, 2))
        q.tcp = r.random() < 0.06
        q.edns = r.random() < 0.65
        q.payload, q.version, q.opcode, q.origins = 0, 0, 0, self.origins
        q.flags = 0
        for flag, share in ((0x0100, 0.5), (0x0010, 0.1), (0x0020, 0.1), (0x0040, 0.01), (0x0080, 0.01), (0x0400, 0.01)):
            if r.random() < share:
                q.flags |= flag
        opt = self.opt(q) if q.edns else b""
        q.wire = struct.pack(">HHHHH", q.flags, 1, 0, 0, 1 if q.edns else 0) + q.qname + \
            struct.pack(">HH", q.qtype, q.qclass) + opt
        return q
