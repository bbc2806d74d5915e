# SPDX-License-Identifier: Apache-2.0
"""What goes wrong in the chaos run. A plan is made of the seed alone; each fault is a pair of functions of the world."""
import base64
import http.client
import random
import re
import signal
import time

from cluster_harness import REGIONS
from harness import wait_for

from world import BASE_DELAY_US, intent

DELAY_US = (40000, 50000)  # one way, of a slow link


class Fault:
    """do(world) breaks something and heal(world) mends it; both log what they do, for checks.py."""

    def __init__(self, kind, **args):
        self.kind, self.args = kind, args
        self.done = None

    def __repr__(self):
        return f"{self.kind}({', '.join(f'{k}={v}' for k, v in self.args.items())})"

    def do(self, world):
        self.done = KINDS[self.kind][0](world, **self.args)

    def heal(self, world):
        KINDS[self.kind][1](world, self.done, **self.args)


def down(world, what, how):
    world.log.add("down", what=what, how=how)


def up(world, what):
    world.log.add("up", what=what)


# --- gtmd and etcd; who: a name, a number, or "leader"

def pick_node(world, who):
    return (world.cluster.leader() or world.nodes[0]) if who == "leader" else world.nodes[who % len(world.nodes)]


def break_node(world, who, how):
    node = pick_node(world, who)
    if node.process is None:
        return None
    down(world, "node/" + node.name, how)
    if how == "killed":
        node.kill()
    else:
        node.signal(signal.SIGSTOP)
    return node


def mend_node(world, node, who, how):  # pylint: disable=unused-argument
    if node is None:
        return
    if node.process is None:
        world.start_node(node)
    node.signal(signal.SIGCONT)
    wait_for(node.ready, f"{node.name} serves")
    up(world, "node/" + node.name)


def break_member(world, who, how):
    member = world.etcd.leader() if who == "leader" else world.etcd.members[who % len(world.etcd.members)]
    if member is None or member.process is None:
        return None
    down(world, f"etcd/{member.index}", how)
    if how == "killed":
        member.kill()
    else:
        member.signal(signal.SIGSTOP)
    return member


def mend_member(world, member, who, how):  # pylint: disable=unused-argument
    if member is None:
        return
    if member.process is None:
        member.start()
    member.signal(signal.SIGCONT)
    up(world, f"etcd/{member.index}")


# --- links

def cut(world, region, ways):
    for other in REGIONS:
        if other == region:
            continue
        for source, to in ((region, other), (other, region)):
            if ways in ("both", "out" if source == region else "in"):
                cut_line(world, source, to)


def cut_line(world, source, to):
    down(world, f"line/{source}/{to}", "cut")
    world.wan.set(source, to, cut=1)


def cut_pair(world, a, b, ways):
    cut_line(world, a, b)
    if ways == "both":
        cut_line(world, b, a)


def slow(world, delay_us, loss_ppm):
    down(world, "lines", "slow" if loss_ppm == 0 else "lossy")
    world.wan.set_all(delay_us=delay_us, jitter_us=10000, loss_ppm=loss_ppm)


def mend_links(world, done, **args):  # pylint: disable=unused-argument
    world.wan.set_all(cut=0, delay_us=BASE_DELAY_US, jitter_us=0, loss_ppm=0)
    for a in REGIONS:
        for b in REGIONS:
            if a != b:
                up(world, f"line/{a}/{b}")
    up(world, "lines")


# --- servers and whole regions

def break_web(world, region, how):
    down(world, "web/" + region, how)
    world.webs[region].set(how)


def mend_web(world, done, region, how):  # pylint: disable=unused-argument
    world.webs[region].set("ok")
    up(world, "web/" + region)


def break_all_webs(world, how):
    for region in REGIONS:
        break_web(world, region, how)


def mend_all_webs(world, done, how):
    for region in REGIONS:
        mend_web(world, done, region, how)


def break_region(world, region):
    break_web(world, region, "stopped")
    broken = [break_node(world, world.nodes.index(n), "killed") for n in world.cluster.region(region)]
    return broken, break_member(world, REGIONS.index(region), "killed")


def mend_region(world, done, region):
    broken, member = done
    mend_web(world, None, region, "stopped")
    mend_member(world, member, 0, "killed")
    for node in broken:
        if node is not None and node.process is None:
            world.start_node(node)  # all at once
    for node in broken:
        mend_node(world, node, 0, "killed")


# --- etcd's data

def compact(world):
    down(world, "data", "compacted")
    status = world.etcd.ctl("endpoint", "status", "-w", "json", check=False)
    revision = max([int(r) for r in re.findall(r'"revision":(\d+)', status)] or [0])
    if revision:
        world.etcd.ctl("compact", str(revision), check=False)
    world.etcd.ctl("defrag", check=False)


def fill(world):
    """Until the quota's alarm: every write is refused then. Slowly: the links' queues are short."""
    down(world, "space", "full")
    junk = base64.b64encode(b"x" * 200000).decode()
    members = list(world.etcd.members)
    for n in range(200):
        member = members[n % len(members)]
        try:
            reply = member.post("/v3/kv/put", {"key": base64.b64encode(b"junk%d" % n).decode(), "value": junk}, timeout=1.0)
        except (OSError, ValueError, http.client.HTTPException):
            members.remove(member)  # dead, or cut off
            if not members:
                break
            continue
        if "error" in reply and "space" in reply["error"]:
            world.log.add("full", after=n)
            break
        time.sleep(0.02)


def empty(world, done):  # pylint: disable=unused-argument
    """As an operator would: the junk goes, compaction, defragmentation, the alarm is taken off."""
    def through(*args):
        """What the links or an election stop is tried again."""
        def tried():
            try:
                world.etcd.ctl(*args)
                return True
            except AssertionError:
                return False
        wait_for(tried, f"etcdctl {args[0]}", every_s=0.5)
    through("del", "junk", "--prefix")
    compact(world)
    through("alarm", "disarm")
    up(world, "space")


def nothing(world, done, **args):
    """What is done is done."""


# --- clocks and orders

def step(world, who, step_ms):
    node = pick_node(world, who)
    down(world, "clock/" + node.name, f"{step_ms} ms")
    world.step_clock(node, step_ms)
    return node


def step_back(world, node, who, step_ms):  # pylint: disable=unused-argument
    world.step_clock(node, 0)
    up(world, "clock/" + node.name)


def order(world, through, args):
    """gtmctl through one node. It may be refused (a node that is cut off takes none)."""
    node = world.nodes[through % len(world.nodes)]
    if node.process is None:
        return None
    try:
        ran = node.ctl(*args, "--yes")
    except Exception as e:  # pylint: disable=broad-except
        world.log.add("order", node=node.name, args=args, code=None, err=str(e)[:200])
        return None
    world.log.add("order", node=node.name, args=args, code=ran.code, err=ran.err[-200:])
    return ran.code == 0


def drain(world, through, region):
    down(world, "order/" + region, "drained")
    order(world, through, ["endpoint", "drain", f"www/www-{region}", "--reason", "chaos"])


def undrain(world, done, through, region):  # pylint: disable=unused-argument
    def withdrawn():
        return any(order(world, n, ["endpoint", "auto", f"www/www-{region}"]) for n in range(len(world.nodes)))
    wait_for(withdrawn, "the order is withdrawn", every_s=0.5)
    up(world, "order/" + region)


def apply(world, through):
    """The next intent; refused where there is no store."""
    text, zone = intent(world.cluster.place, world.rev + 1)
    (world.cluster.files / "cluster.yaml").write_text(text)
    (world.cluster.files / "example.com.zone").write_text(zone)
    if order(world, through, ["apply", "-f", str(world.cluster.files / "cluster.yaml")]) is not None:
        world.rev += 1  # also when it failed: nobody may know whether it took effect


KINDS = {
    "node": (break_node, mend_node), "member": (break_member, mend_member), "cut": (cut, mend_links),
    "pair": (cut_pair, mend_links), "slow": (slow, mend_links), "web": (break_web, mend_web),
    "webs": (break_all_webs, mend_all_webs), "region": (break_region, mend_region), "compact": (compact, nothing),
    "full": (fill, empty), "clock": (step, step_back), "drain": (drain, undrain), "apply": (apply, nothing),
}


LAST = ("full", "drain")  # what needs a whole etcd to be mended


def draw(rng, kind):
    who = rng.choice(["leader", rng.randrange(100)])
    region, other = rng.sample(REGIONS, 2)
    return Fault(kind, **{
        "node": {"who": who, "how": rng.choice(["killed", "stopped"])},
        "member": {"who": who, "how": rng.choice(["killed", "stopped"])},
        "cut": {"region": region, "ways": rng.choice(["both", "both", "out", "in"])},
        "pair": {"a": region, "b": other, "ways": rng.choice(["both", "one"])},
        "slow": {"delay_us": rng.choice(DELAY_US), "loss_ppm": rng.choice([0, 50000])},
        "web": {"region": region, "how": rng.choice(["stopped", "hang", "503"])},
        "webs": {"how": rng.choice(["stopped", "hang"])},
        "region": {"region": region}, "compact": {}, "full": {},
        "clock": {"who": who, "step_ms": rng.choice([-3600000, -30000, 30000, 3600000])},
        "drain": {"through": rng.randrange(100), "region": region},
        "apply": {"through": rng.randrange(100)},
    }[kind])


OFTEN = {"web": 8, "cut": 5, "node": 6, "member": 6, "pair": 3, "slow": 3, "region": 3, "clock": 3, "apply": 4, "drain": 2,
         "compact": 2, "full": 1, "webs": 1}


def episodes(seed):
    """Without end: lists of (seconds after the one before, fault), then how long they last together. Links are one thing:
    at most one fault of them in an episode."""
    rng = random.Random(seed)
    while True:
        kinds, links = [], {"cut", "pair", "slow"}
        for _ in range(rng.choice([1, 2, 2, 3])):
            kind = rng.choices(list(OFTEN), OFTEN.values())[0]
            if kind not in kinds and not (kind in links and links & set(kinds)):
                kinds.append(kind)
        yield [(rng.uniform(0, 2), draw(rng, kind)) for kind in kinds], rng.uniform(10, 14)
