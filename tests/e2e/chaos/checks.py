# SPDX-License-Identifier: Apache-2.0
"""What must hold in a chaos run, judged over its log. Each check is a function of a list of events and gives texts of
violations; test_chaos.py shows each of them a log that violates it.

Events: {"ev", "t", …}; t of the monotonic clock, seconds.
  node {node, region, address}, web {region, address}     what there is
  down {what, how}, up {what}   what: node/NAME, etcd/N, web/REGION, line/FROM/TO, lines, space, clock/NAME, order/REGION, data
  answer {t, end, from, node, q, rcode, a, txt}           a question; end null: not answered
  status {asked, node, run, mode, view, intent, leader}   what a node says of itself; run: which start of it
  view {member, mod, rev, by, fence}                      view/rev as one etcd member has it
  lag {t, end}                                            the users' program was not run by the machine
  fault, healing, healed, agreed {after_s}, recovered {after_s}, late {what, why}
  order {node, args, code}, audit {code, text}, exit {node, code}, said {node, text}, broken {what}
"""
import bisect
import collections
import math

# How long users may be sent to a dead server after the last thing that went wrong: two checks and their time-outs
# (1.8 s), an observation and a verdict through an etcd that elects a leader (3 s: also when a node knows that its store
# is away), two seconds without a leader, and a margin for a busy machine.
DEAD_S = 1.8 + 3.0 + 2.0 + 1.7
AGREE_S = 5.0     # after healing
PUBLISH_S = 1.5   # what a writer sent before it was cut off may still arrive
PUBLISH_IN_S = 6.0  # nothing comes in but what it sends goes out: until its session has run out by its own clock
SAVED_S = 4.0     # a killed node's files may be so old (the copy of the store is saved every two seconds)
TIMEOUT_S = 2.0   # of a question
LAST_S = 20.0     # a server is surely back in the verdict so long after it was mended
BAD_WORDS = ("out of memory", "AddressSanitizer", "LeakSanitizer", "ThreadSanitizer", "runtime error:", "assert")


class Spans:
    """When was something down? From events down and up, by `what`."""

    def __init__(self, events):
        self.of = collections.defaultdict(list)  # what: [(from, to, how)]
        begun = {}
        self.changes = []
        for e in sorted((e for e in events if e["ev"] in ("down", "up")), key=lambda e: e["t"]):
            self.changes.append(e["t"])
            if e["ev"] == "down":
                begun.setdefault(e["what"], (e["t"], e["how"]))
            elif e["what"] in begun:
                start, how = begun.pop(e["what"])
                self.of[e["what"]].append((start, e["t"], how))
        for what, (start, how) in begun.items():
            self.of[what].append((start, math.inf, how))

    def since(self, what, t):
        """Since when it is down at t, or None."""
        for start, end, _ in self.of.get(what, []):
            if start <= t < end:
                return start
        return None

    def during(self, what, start, end):
        """Was it down at any time between?"""
        return any(s <= end and e >= start for s, e, _ in self.of.get(what, []))

    def how(self, what, t):
        return next((how for s, e, how in self.of.get(what, []) if s <= t < e), None)

    def last_change(self, t):
        i = bisect.bisect_right(self.changes, t)
        return self.changes[i - 1] if i else -math.inf


class Facts:
    """The truth about the world at any time."""

    def __init__(self, events):
        self.spans = Spans(events)
        self.region = {e["node"]: e["region"] for e in events if e["ev"] == "node"}
        self.web = {e["address"]: e["region"] for e in events if e["ev"] == "web"}
        self.regions = sorted(set(self.web.values()))
        self.modes = collections.defaultdict(list)  # node: [(t, mode)]
        for e in events:
            if e["ev"] == "status":
                self.modes[e["node"]].append((e["t"], e["mode"]))
        for seen in self.modes.values():
            seen.sort()

    def line(self, a, b, t):
        """Can the two regions talk at t? TCP needs both directions."""
        return a == b or not (self.spans.since(f"line/{a}/{b}", t) or self.spans.since(f"line/{b}/{a}", t))

    def alone(self, region, t):
        """Since when the region is cut off from all others, or None."""
        starts = []
        for other in self.regions:
            if other == region:
                continue
            cuts = [s for s in (self.spans.since(f"line/{region}/{other}", t), self.spans.since(f"line/{other}/{region}", t))
                    if s is not None]
            if not cuts:
                return None
            starts.append(min(cuts))
        return max(starts)

    def mode(self, node, t):
        """The last that it said before t."""
        seen = self.modes[node]
        i = bisect.bisect_right(seen, (t, "~"))
        return seen[i - 1][1] if i else None

    def etcd(self, t):
        """Can etcd decide? It has space, and members run, in regions that reach each other; members stand in REGIONS' order."""
        if self.spans.since("space", t):
            return False
        run = [i for i in range(3) if self.spans.since(f"etcd/{i}", t) is None]
        order = ("us-east", "eu-west", "ap-south")
        return any(sum(self.line(order[i], order[j], t) for j in run) >= 2 for i in run)

    def vantages(self, t):
        """Regions whose nodes can vote."""
        return sum(self.alone(r, t) is None and
                   any(self.spans.since("node/" + n, t) is None for n, where in self.region.items() if where == r)
                   for r in self.regions)

    def runs(self, node, start, end):
        return not self.spans.during("node/" + node, start, end)

    def good(self, node, web, t):
        """A server that lives and that the node's users reach."""
        return self.spans.since("web/" + web, t) is None and self.line(self.region[node], web, t)


def answers(events):
    return [e for e in events if e["ev"] == "answer" and e["end"] is not None]


def empty(events, slack=1.0):
    """No dynamic answer is empty, but of fail_closed when every server is dead."""
    spans, found = Spans(events), []
    regions = [e["region"] for e in events if e["ev"] == "web"]
    for e in answers(events):
        if e["rcode"] == 0 and (e["a"] or e["txt"]):
            continue
        closed = e["q"].startswith("closed.") and e["rcode"] == 2
        if closed and all(spans.during("web/" + r, e["t"] - DEAD_S * slack, e["end"]) for r in regions):
            continue
        found.append(f"empty answer: {e}")
    return found


def backwards(events, slack=1.0):
    """A node's view and intent never go back; after a kill at most to what it had saved."""
    found, best = [], {}
    spans = Spans(events)
    for e in sorted((e for e in events if e["ev"] == "status"), key=lambda e: e["t"]):
        for field in ("view", "intent"):
            value, t, run = best.get((e["node"], field), (0, 0, e["run"]))
            if e[field] < value and e["run"] == run:
                found.append(f"{e['node']}: {field} {e[field]} after {value}, {e['t'] - t:.1f} s later")
            if e[field] >= value or e["run"] != run:
                best[e["node"], field] = (e[field], e["t"], e["run"])
    told = collections.defaultdict(list)  # node: [(end, revision)]
    for e in sorted((e for e in answers(events) if e["q"].startswith("rev.") and e["txt"].isdigit()),
                    key=lambda e: e["end"]):
        told[e["node"]].append(e)
    for node, seen in told.items():
        high, since = -1, 0.0
        for e in seen:
            if int(e["txt"]) > high:
                high, since = int(e["txt"]), e["end"]
            elif int(e["txt"]) < high and e["t"] > since:
                killed = [s for s, _, how in spans.of.get("node/" + node, []) if how == "killed" and
                          since <= s <= e["t"] and s - since < SAVED_S * slack]
                if not killed:
                    found.append(f"{node} answers revision {e['txt']} at {e['t']:.2f} after {high} at {since:.2f}")
                high, since = int(e["txt"]), e["end"]
    return found


def minority(events, slack=1.0):
    """One history of views: numbers and fences only rise, one content for each revision, and none is written by a node
    that is cut off, killed or stopped."""
    facts, found, seen = Facts(events), [], {}
    for e in sorted((e for e in events if e["ev"] == "view"), key=lambda e: e["t"]):
        content = (e["rev"], e["by"], e["fence"])
        if e["mod"] in seen:
            if seen[e["mod"]] != content:
                found.append(f"view/rev at {e['mod']} is {seen[e['mod']]} and {content}")
            continue
        seen[e["mod"]] = content
        region, t = facts.region.get(e["by"]), e["t"]
        alone = facts.alone(region, t) if region else None
        if alone is not None:
            out = any(facts.spans.since(f"line/{region}/{r}", t) is None for r in facts.regions if r != region)
            if t - alone > (PUBLISH_IN_S if out else PUBLISH_S) * slack:
                found.append(f"{e['by']} publishes view {e['rev']} although {region} is cut off for {t - alone:.1f} s")
        since = facts.spans.since("node/" + e["by"], t)
        if since is not None and t - since > PUBLISH_S * slack:
            found.append(f"{e['by']} publishes view {e['rev']} although it is {facts.spans.how('node/' + e['by'], t)}")
    last = (0, 0)
    for mod in sorted(seen):
        rev, by, fence = seen[mod]
        if rev <= last[0] or fence < last[1]:
            found.append(f"view {rev} of fence {fence} by {by} after {last}")
        last = (rev, fence)
    return found


def judged(facts, node, t, since):
    """Must the node know by t what is dead since `since`? "" or why not."""
    if not facts.runs(node, since, t):
        return "it did not run all the time"
    isolated = facts.alone(facts.region[node], t) is not None or not facts.etcd(t) or facts.mode(node, t) == "isolated"
    if not isolated:
        return "" if facts.vantages(t) >= 2 else "no quorum of vantages"
    # Alone it may only remove, what it reaches must be good, and the verdict must have called it so before.
    alone = min((x for x in [facts.alone(facts.region[node], t)] if x is not None), default=since)
    sure = [w for w in facts.regions if facts.good(node, w, t) and
            not facts.spans.during("web/" + w, alone - LAST_S, t) and
            not facts.spans.during("order/" + w, alone - LAST_S, t) and
            not any(facts.spans.during(f"line/{a}/{b}", alone - LAST_S, alone - 0.1) for a in facts.regions for b in facts.regions)]
    return "" if sure else "nothing else that its last verdict calls healthy is known to be well"


def sent_to_the_dead(events):
    """Answers that name a dead server, which the node had to know: [(seconds after the last change, text)], and how many
    answers were judged while a server was dead."""
    facts, sent, judged_answers = Facts(events), [], 0
    for e in answers(events):
        if not e["a"] or e["rcode"] != 0:
            continue
        node, t = e["node"], e["t"]
        home = facts.region[node]
        if not any(facts.good(node, w, t) and facts.alone(w, t) is None for w in facts.regions) and \
                facts.alone(home, t) is None:
            continue  # nothing is left: fail_open
        gone = [w for w in facts.regions if facts.spans.since("web/" + w, t) is not None or
                (w != home and (facts.alone(w, t) is not None or facts.alone(home, t) is not None))]
        since = facts.spans.last_change(t)
        if not gone or judged(facts, node, t, since):
            continue
        judged_answers += 1
        for web in gone:
            if web in [facts.web.get(a) for a in e["a"]]:
                sent.append((t - since, f"{node} sends {e['from']} to {web} (dead) {t - since:.1f} s after the last change, "
                             f"mode {facts.mode(node, t)}: {e['q']} at {t:.2f}"))
    return sent, judged_answers


def dead(events, slack=1.0):
    """Nobody is sent to a dead server for longer than the bar."""
    return [text for after_s, text in sent_to_the_dead(events)[0] if after_s > DEAD_S * slack]


def agreement(events, slack=1.0):
    """All nodes agree soon after healing, and all is well again later."""
    found = []
    for e in events:
        if e["ev"] == "agreed" and (e["after_s"] is None or e["after_s"] > AGREE_S * slack):
            found.append(f"agreed {e['after_s']} s after healing at {e['t']:.2f}")
        if e["ev"] == "recovered" and e["after_s"] is None:
            found.append(f"not all is well after healing at {e['t']:.2f}")
        if e["ev"] == "late":
            found.append(f"late: {e['what']}: {e['why']}")
    return found


def lost(events, slack=1.0):
    """No question is lost to anything but a cut, a kill or a stop."""
    facts, found = Facts(events), []
    lags = [(e["t"], e["end"]) for e in events if e["ev"] == "lag"]
    for e in events:
        if e["ev"] != "answer" or e["end"] is not None:
            continue
        start, end, a, b = e["t"] - 0.2, e["t"] + TIMEOUT_S, e["from"], facts.region[e["node"]]
        spans = facts.spans
        if not facts.runs(e["node"], start, end) or any(s <= end and t >= start for s, t in lags):
            continue
        if a != b and (spans.during(f"line/{a}/{b}", start, end) or spans.during(f"line/{b}/{a}", start, end) or
                       any(how == "lossy" and s <= end and t >= start for s, t, how in spans.of.get("lines", []))):
            continue
        found.append(f"no answer from {e['node']} to {a} at {e['t']:.2f}: {e['q']}")
    return found


def ends(events, slack=1.0):  # pylint: disable=unused-argument
    """Nothing crashed, nothing was said that must not be, the audit chain verifies, and the run itself worked."""
    found = []
    for e in events:
        if e["ev"] == "exit" and e["code"] not in (0, None):
            found.append(f"{e['node']} ended with {e['code']}: {e.get('text', '')}")
        if e["ev"] == "said":
            found.append(f"{e['node']} said: {e['text']}")
        if e["ev"] == "audit" and e["code"] != 0:
            found.append(f"audit verify: exit {e['code']}: {e['text']}")
        if e["ev"] == "broken":
            found.append(f"the run itself: {e['what']}")
    if not any(e["ev"] == "audit" for e in events):
        found.append("the audit chain was not verified")
    return found


CHECKS = (empty, backwards, minority, dead, agreement, lost, ends)


def check(events, slack=1.0):
    """All violations, at most ten of a kind."""
    return [f"{one.__name__}: {text}" for one in CHECKS for text in one(events, slack)[:10]]


def summary(events):
    """A line for people."""
    asked = [e for e in events if e["ev"] == "answer"]
    sent, judged_answers = sent_to_the_dead(events)
    took = [e["after_s"] for e in events if e["ev"] == "agreed" and e["after_s"] is not None]
    return (f"{sum(e['ev'] == 'fault' for e in events)} faults in {sum(e['ev'] == 'episode' for e in events)} episodes, "
            f"{len(asked)} questions, {sum(e['end'] is None for e in asked)} unanswered, "
            f"{judged_answers} with a dead server, which got out of answers at most "
            f"{max((s for s, _ in sent), default=0):.1f} s after the last fault; "
            f"{len({e['mod'] for e in events if e['ev'] == 'view'})} views seen, agreed at most "
            f"{max(took, default=0):.1f} s after healing")
