# SPDX-License-Identifier: Apache-2.0
"""Static zones with everything in them, by seed: what a resolver may meet in the wild and what servers get wrong.

World(seed) holds several zones that lie beside, below and inside each other. A name is a tuple of labels (octets),
without the root. Nothing here knows a server; the text is the plain subset of zone files that all of them read.
Limits of the peers that the zones keep: nothing below a DNAME, a CNAME alone at its name, no DNSSEC records but DS.
"""
import random

PLAIN = b"abcdefghijklmnopqrstuvwxyz0123456789"
LONG_LABEL = 63
NAME_MAX = 255
ADDRESS_TYPES = ("A", "AAAA")


def wire_len(name):
    return sum(len(label) + 1 for label in name) + 1


def lower(name):
    return tuple(label.lower() for label in name)


def is_under(name, top):
    """At or below."""
    return len(name) >= len(top) and (not top or lower(name[-len(top):]) == lower(top))


def label_text(label):
    return "".join(chr(c) if chr(c).isalnum() and c < 128 or c in b"-_*" else f"\\{c:03d}" for c in label)


def text(name):
    return ".".join(label_text(label) for label in name) + "."


def name_wire(name):
    return b"".join(bytes([len(label)]) + label for label in name) + b"\0"


class Rdata:
    """Rdata as text, by type, for the types that Knot 3.2, NSD 4.6 and gtm all know."""

    def __init__(self, rng, pick_name):
        self.rng, self.pick_name = rng, pick_name

    def name(self):
        return text(self.pick_name())

    def hexes(self, octets):
        return bytes(self.rng.randrange(256) for _ in range(octets)).hex()

    def string(self, most=40):
        """A quoted string; the odd octets are escaped."""
        octets = [self.rng.choice(("a", "Z", "0", " ", ";", "(", "\\\\", '\\"', "\\200", "\\000")) for _ in
                  range(self.rng.randrange(most))]
        return '"' + "".join(octets) + '"'

    def make(self, rtype):
        r, n = self.rng, self.rng.randrange
        makers = {
            "A": lambda: f"192.0.{n(256)}.{n(256)}",
            "AAAA": lambda: f"2001:db8:{n(65536):x}::{n(65536):x}",
            "NS": self.name, "PTR": self.name, "CNAME": self.name, "DNAME": self.name,
            "MX": lambda: f"{n(65536)} {self.name()}",
            "TXT": lambda: " ".join(self.string() for _ in range(r.randint(1, 3))),
            "SPF": lambda: "\"v=spf1 -all\"",
            "SRV": lambda: f"{n(9)} {n(9)} {n(65536)} {self.name()}",
            "NAPTR": lambda: f"{n(99)} {n(99)} \"u\" \"E2U+sip\" \"!^.*$!sip:x{n(99)}@example.com!\" {self.name()}",
            "CAA": lambda: f"{r.choice((0, 128))} {r.choice(('issue', 'issuewild', 'iodef'))} \"ca{n(99)}.example.net\"",
            "HINFO": lambda: f"\"cpu {n(99)}\" \"os\"",
            "RP": lambda: f"{self.name()} {self.name()}",
            "AFSDB": lambda: f"1 {self.name()}",
            "KX": lambda: f"{n(99)} {self.name()}",
            "LOC": lambda: f"{n(90)} {n(60)} {n(60)}.000 N {n(180)} {n(60)} {n(60)}.000 W {n(1000)}.00m 10m 100m 10m",
            "SSHFP": lambda: f"{r.randint(1, 4)} 1 {self.hexes(20)}",
            "TLSA": lambda: f"3 1 1 {self.hexes(32)}",
            "SVCB": lambda: self.service(),
            "HTTPS": lambda: self.service(),
            "URI": lambda: f"{n(9)} {n(9)} \"https://example.com/{n(99)}\"",
            "CERT": lambda: "PKIX 1 8 MxFcby9k",
            "DHCID": lambda: "AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA=",
            "EUI48": lambda: f"00-00-5e-00-53-{n(256):02x}",
            "OPENPGPKEY": lambda: "mQINBFit2jsBEADr",
            "DS": lambda: f"{n(65536)} 13 2 {self.hexes(32)}",
            "APL": lambda: r.choice(("1:192.0.2.0/24", "!1:192.0.2.64/28 2:2001:db8::/32", "1:224.0.0.0/4 2:ff00::/8")),
            "RT": lambda: f"{n(99)} {self.name()}",
            "MINFO": lambda: f"{self.name()} {self.name()}",
            "SMIMEA": lambda: f"3 1 1 {self.hexes(32)}",
            "NID": lambda: f"{n(99)} 0014:4fff:ff20:{n(65536):04x}",
            "L32": lambda: f"{n(99)} 10.1.{n(256)}.0",
            "L64": lambda: f"{n(99)} 2001:0db8:1140:{n(65536):04x}",
            "LP": lambda: f"{n(99)} {self.name()}",
            "EUI64": lambda: f"00-00-5e-ef-10-00-00-{n(256):02x}",
            "CSYNC": lambda: f"{n(99999)} 3 A NS AAAA TYPE{1000 + n(9000)}",
            "IPSECKEY": lambda: f"{n(99)} 1 2 192.0.2.{n(256)} AQNRU3mG7TVTO2BkR47usntb102uFJtugbo6BSGvgqt4AQ==",
            "TYPE65280": lambda: f"\\# 4 {self.hexes(4)}",
            "TYPE1234": lambda: "\\# 0",
        }
        return makers[rtype]()

    def service(self):
        """SVCB and HTTPS: aliases, and services with few or all parameters."""
        r, n = self.rng, self.rng.randrange
        target = r.choice((".", self.name()))
        if r.random() < 0.2:
            return f"0 {self.name()}"
        keys = ["mandatory=alpn,port", "alpn=h2,h3", "no-default-alpn", f"port={n(65536)}",
                f"ipv4hint=192.0.2.{n(256)},192.0.2.1", "ech=AEn+DQBFKwAgACA=", f"ipv6hint=2001:db8::{n(65536):x}",
                f"key{r.randint(700, 65000)}=v{n(99)}"]
        kept = keys if r.random() < 0.2 else [key for key in keys[3:] if r.random() < 0.4]
        return " ".join([f"{r.randint(1, 9)} {target}", *kept])


COMMON = ("A", "A", "A", "AAAA", "AAAA", "MX", "TXT", "SRV", "PTR", "NAPTR", "CAA", "HINFO", "RP", "AFSDB", "KX", "LOC",
          "SSHFP", "TLSA", "SVCB", "HTTPS", "URI", "CERT", "DHCID", "EUI48", "OPENPGPKEY", "SPF", "TYPE65280", "TYPE1234",
          "APL", "RT", "SMIMEA", "NID", "L32", "L64", "LP", "EUI64", "CSYNC", "IPSECKEY")
ALL = COMMON + ("MINFO",)  # dnspython cannot take a compressed MINFO apart


class Zone:
    """One zone. `kinds` lists names by what they are, so that questions can aim at them."""

    def __init__(self, rng, origin, outside, types):
        self.common = types
        self.rng, self.origin = rng, origin
        self.outside = list(outside)   # names of other zones, for targets
        self.sets = {}                 # (lower name, type) → (name as written, ttl, [rdata])
        self.types = {}                # lower name → set of types
        self.closed = []               # at and below these nothing may be added
        self.dnames_at = set()         # below these nothing may be added (lower case)
        self.kinds = {}
        self.rdata = Rdata(rng, self.target)

    # --- names

    def label(self):
        r, way = self.rng, self.rng.random()
        if way < 0.70:
            return bytes(r.choice(PLAIN) for _ in range(r.randint(1, 4)))
        if way < 0.80:
            return bytes(r.choice(PLAIN + b"ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(r.randint(1, 12)))
        if way < 0.88:
            return b"_" + bytes(r.choice(PLAIN) for _ in range(3))
        if way < 0.97:
            return bytes(r.randrange(256) for _ in range(r.randint(1, 6)))
        return bytes(r.choice(PLAIN) for _ in range(LONG_LABEL))

    def fresh(self, base, depth=1):
        """A name `depth` labels below base at which and above which nothing forbids records."""
        for _ in range(100):
            name = tuple(self.label() for _ in range(depth)) + base
            if wire_len(name) <= NAME_MAX and lower(name) not in self.types and b"*" not in name[:depth] and \
                    not self.is_closed(name):
                return name
        return None

    def is_closed(self, name):
        above = range(1, len(name) - len(self.origin) + 1)
        return any(is_under(name, top) for top in self.closed) or any(lower(name[i:]) in self.dnames_at for i in above)

    def note(self, kind, name):
        self.kinds.setdefault(kind, []).append(name)

    def any_of(self, *kinds):
        names = [n for kind in kinds for n in self.kinds.get(kind, [])]
        return self.rng.choice(names) if names else None

    def target(self):
        """Somewhere that records may point to."""
        r, way = self.rng, self.rng.random()
        if way < 0.55:
            name = self.any_of("host", "wild", "cut", "glue", "ent", "alias", "dname")
            if name is not None:
                if r.random() < 0.3:
                    name = (self.label(),) + name
                if r.random() < 0.2:
                    name = tuple(label.upper() for label in name)
                if wire_len(name) <= NAME_MAX:
                    return name
        if way < 0.70 and self.outside:
            return r.choice(self.outside)
        if way < 0.85:
            return (b"ns%d" % r.randrange(9), b"example", b"net")
        name = (b"no%d" % r.randrange(99),) + self.origin
        return name if wire_len(name) <= NAME_MAX else self.origin

    # --- records

    def add(self, name, rtype, rdata=None, count=1):
        if wire_len(name) > NAME_MAX or self.is_closed(name):
            return False
        key = lower(name)
        types = self.types.setdefault(key, set())
        if "CNAME" in types or (rtype == "CNAME" and types) or (rtype == "DNAME" and self.has_below(key)):
            return False
        if not rdata:
            rdata = list(dict.fromkeys(self.rdata.make(rtype) for _ in range(count)))
        if rtype in types:
            return False
        types.add(rtype)
        ttl = self.rng.choice((0, 1, 30, 60, 300, 3600, 3600, 86400, 2147483647))
        self.sets[(key, rtype)] = (name, ttl, rdata)
        return True

    def has_below(self, key):
        return any(len(other) > len(key) and is_under(other, key) for other in self.types)

    def give(self, name, most=3):
        for rtype in sorted({self.rng.choice(self.common) for _ in range(self.rng.randint(1, most))}):
            self.add(name, rtype, count=self.rng.choice((1, 1, 1, 2, 3)))

    # --- what zones are made of

    def top(self, servers):
        r, o = self.rng, self.origin
        self.note("host", o)
        mail = (b"Host.Master",) + o if wire_len(o) < 230 else (b"h",)
        self.add(o, "SOA", [f"{text(servers[0])} {text(mail)} {r.randrange(1, 2**31)} 3600 600 86400 "
                            f"{r.choice((0, 5, 60, 3600, 2147483647))}"])
        self.add(o, "NS", [text(s) for s in servers])
        for server in servers:
            # a name that only the zone above knows as glue would exist for a server with one tree for all zones
            if is_under(server, o) and (server[0] == b"ns" or r.random() < 0.8):
                self.add(server, "A")
                self.note("host", server)

    def hosts(self, count):
        for _ in range(count):
            base = self.any_of("host", "ent") if self.rng.random() < 0.4 else self.origin
            depth = self.rng.choice((1, 1, 1, 2, 3, 5))
            name = self.fresh(base, depth)
            if name is None:
                continue
            self.give(name)
            self.note("host", name)
            for i in range(1, depth):
                if lower(name[i:]) not in self.types:
                    self.note("ent", name[i:])

    def wildcards(self, count):
        for _ in range(count):
            base = self.any_of("host", "ent", "wild") if self.rng.random() < 0.8 else self.fresh(self.origin, 2)
            if base is None or wire_len(base) > 200:
                continue
            stars = self.rng.choice((1, 1, 1, 1, 2))
            name = (b"*",) * stars + base
            if self.is_closed(name) or lower(name) in self.types:
                continue
            way = self.rng.random()
            if way < 0.25:
                self.add(name, "CNAME")
            elif way < 0.85:
                self.give(name)
            else:  # only names below it: the asterisk itself is empty
                self.add((self.label(),) + name, "TXT")
            self.note("wild", name)
            self.note("star", base)
            for below in ((b"in",) + name, (b"x",) + base, (b"deep", b"ent") + base, (b"y", b"x") + base):
                if self.rng.random() < 0.25 and self.add(below, self.rng.choice(("A", "TXT", "MX"))):
                    self.note("host", below)

    def delegations(self, count):
        r = self.rng
        for _ in range(count):
            base = self.any_of("star", "star", "wild", "ent", "host") if r.random() < 0.6 else self.origin
            cut = self.fresh(base or self.origin, r.choice((1, 1, 2)))
            if cut is None or wire_len(cut) > 220:
                continue
            servers = set()
            for _ in range(r.randint(1, 4)):
                way = r.random()
                if way < 0.45:
                    servers.add((b"ns%d" % r.randrange(3),) + cut)
                elif way < 0.55:
                    servers.add(cut)
                elif way < 0.70 and self.kinds.get("glue"):
                    servers.add(self.any_of("glue"))       # a sibling's
                elif way < 0.80:
                    servers.add(self.any_of("host"))
                else:
                    servers.add((b"ns%d" % r.randrange(9), b"example", b"net"))
            self.add(cut, "NS", [text(s) for s in sorted(servers)])
            if r.random() < 0.4:
                self.add(cut, "DS", count=r.randint(1, 3))
            if r.random() < 0.2:
                self.add(cut, r.choice(("A", "TXT", "MX")))  # hidden by the cut
            self.note("cut", cut)
            self.glue(cut, servers)

    def glue(self, cut, servers):
        r = self.rng
        for server in sorted(servers):
            if is_under(server, cut) and r.random() < 0.85:
                for rtype in r.choice((("A",), ("AAAA",), ADDRESS_TYPES)):
                    self.add(server, rtype, count=r.choice((1, 1, 2, 12)))
                self.note("glue", server)
        for hidden, rtype in (((b"h",) + cut, "TXT"), ((b"*",) + cut, "A"), ((b"sub",) + cut, "NS"),
                              ((b"al",) + cut, "CNAME"), ((b"dn",) + cut, "DNAME"), ((b"sub",) + cut, "DS")):
            if r.random() < 0.2 and lower(hidden) not in self.types and self.add(hidden, rtype):
                self.note("hidden", hidden)
                if rtype == "DNAME":
                    self.dnames_at.add(lower(hidden))

    def aliases(self, count):
        r = self.rng
        for i in range(count):
            name = self.fresh(self.any_of("host", "ent", "star") if r.random() < 0.5 else self.origin)
            if name is None:
                continue
            target = self.any_of("alias") if r.random() < 0.3 else self.target()
            if i % 12 == 0:
                target = name                                     # to itself
            if self.add(name, "CNAME", [text(target or self.origin)]):
                self.note("alias", name)
        ring = [self.fresh(self.origin) for _ in range(3)]
        if None not in ring and len({lower(n) for n in ring}) == 3:
            for a, b in zip(ring, ring[1:] + ring[:1]):
                self.add(a, "CNAME", [text(b)])
                self.note("alias", a)
        self.long_chain(r.randint(5, 22))

    def long_chain(self, length):
        last = self.any_of("host")
        for _ in range(length):
            name = self.fresh(self.origin)
            if name is None or not self.add(name, "CNAME", [text(last)]):
                return
            self.note("alias", name)
            last = name

    def dnames(self, count):
        r = self.rng
        for i in range(count):
            name = self.fresh(self.any_of("host", "ent", "star") if r.random() < 0.4 else self.origin)
            if name is None:
                continue
            target = self.target()
            if i % 6 == 0:
                room = 240 - wire_len(self.origin)
                target = (b"l" * 50,) * max(0, min(4, room // 51)) + self.origin   # results become too long
            elif i % 6 == 1:
                target = (b"again",) + name                     # below itself: grows until it is too long
            elif i % 6 == 2:
                target = self.origin
            if wire_len(target) > NAME_MAX or not self.add(name, "DNAME", [text(target)]):
                continue
            if r.random() < 0.4:
                self.add(name, r.choice(("A", "TXT", "MX")))
            self.dnames_at.add(lower(name))
            self.note("dname", name)

    def dname_chain(self, length):
        """Each leads to the next, the last to a host's names: one answer holds them all."""
        target = self.any_of("star", "host")
        for _ in range(length):
            name = self.fresh(self.origin)
            if name is None or wire_len(target) > NAME_MAX or not self.add(name, "DNAME", [text(target)]):
                return
            self.dnames_at.add(lower(name))
            self.note("dname", name)
            target = name

    def big_sets(self):
        for rtype, count in (("A", 70), ("AAAA", 45), ("TXT", 60), ("MX", 60), ("A", 33), ("TXT", 10), ("SRV", 25)):
            name = self.fresh(self.origin)
            if name is not None and self.add(name, rtype, count=count):
                self.note("big", name)
                self.note("host", name)

    def long_names(self):
        name = self.origin
        while wire_len(name) + 20 < NAME_MAX:
            room = min(LONG_LABEL, NAME_MAX - wire_len(name) - 1)
            name = (bytes(self.rng.choice(PLAIN) for _ in range(room)),) + name
        if self.add(name, "A"):
            self.note("host", name)
            self.note("long", name)
        many = (b"a",) * ((NAME_MAX - wire_len(self.origin)) // 2) + self.origin
        if self.add(many, "TXT"):
            self.note("long", many)

    def fill(self, size=60):
        self.hosts(size)
        self.wildcards(size // 4)
        self.delegations(size // 5)
        self.big_sets()
        self.long_names()
        self.dnames(size // 6)
        self.dname_chain(self.rng.randint(2, 8))
        self.aliases(size // 2)
        self.wildcards(size // 12)
        self.hosts(size // 4)
        return self

    def file(self):
        """The zone file: names relative or absolute, TTLs always given."""
        def order(item):
            return (item[0][1] != "SOA", item[0])
        lines = [f"$ORIGIN {text(self.origin)}"]
        for (_, rtype), (name, ttl, rdatas) in sorted(self.sets.items(), key=order):
            short = name[:len(name) - len(self.origin)]
            owner = "@" if not short else ".".join(map(label_text, short)) if len(name) % 2 else text(name)
            lines += [f"{owner} {ttl} IN {rtype} {rdata}" for rdata in rdatas]
        return "\n".join(lines) + "\n"


class World:
    """Zones by origin, each with all other zones' names as targets."""

    def __init__(self, seed, size=60, types=COMMON):
        rng = random.Random(seed)
        self.seed, self.zones = seed, []
        alpha, child = (b"alpha", b"test"), (b"child", b"alpha", b"test")
        orphan = (b"orphan", b"mid", b"alpha", b"test")   # served, but not delegated by the zone above
        outside = [(b"www",) + child, child, (b"*",) + orphan, (b"x", b"y") + alpha, (b"a", b"moved", b"test"),
                   (b"host", b"tld"), orphan]
        zone = Zone(rng, alpha, outside, types)
        zone.top([(b"ns1",) + alpha, (b"ns",) + child, (b"ns", b"example", b"net")])
        zone.add(child, "NS", [text((b"ns",) + child), text((b"ns1",) + alpha)])
        zone.add((b"ns",) + child, "A")
        if rng.random() < 0.5:
            zone.add(child, "DS")
        zone.note("cut", child)
        zone.closed.append(child)
        zone.add(orphan[1:], "TXT")
        self.zones.append(zone.fill(size))
        for origin in (child, orphan, (b"tld",), (b"MiXed-Case", b"test")):
            zone = Zone(rng, origin, outside + [(b"ns1",) + alpha], types)
            zone.top([(b"ns",) + origin, (b"ns1",) + alpha])
            zone.add((b"www",) + origin, "A")
            self.zones.append(zone.fill(size // 2))
        origin = tuple(bytes(rng.choice(PLAIN) for _ in range(LONG_LABEL)) for _ in range(3)) + (b"test",)
        zone = Zone(rng, origin, outside, types)
        zone.top([(b"ns", b"example", b"net")])
        self.zones.append(zone.fill(size // 3))
        zone = Zone(rng, (b"moved", b"test"), outside, types)     # moved as a whole
        zone.top([(b"ns", b"example", b"net"), (b"ns1",) + alpha])
        zone.add(zone.origin, "DNAME", [text(rng.choice((alpha, child, origin)))])
        zone.dnames_at.add(zone.origin)
        zone.note("dname", zone.origin)
        self.zones.append(zone)
