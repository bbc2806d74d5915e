# SPDX-License-Identifier: Apache-2.0
"""The benchmarks that are programs of their own (bench_geo, bench_health, bench_scale): run, tables, bars."""
import json

import common

GEO_BARS = {"country": (25, 60, 12, None), "nearest of 3": (25, 60, 12, None), "city, nearest of 31":
            (None, None, 80, 3)}  # IPv4 ns, IPv6 ns, MB, seconds to build


def lines(program, timeout_s, args=()):
    text = common.run_lines([common.BENCH / program, *args], timeout_s)
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def geo(_options, report, _scratch, _net):
    found = lines("geo", 300, [common.DATABASE])
    for line in found:
        report.json(**line)
    maps = [x for x in found if x["bench"] == "geo"]
    report.table("Geography: look-ups of random addresses inside random networks (the city database is synthetic)",
                 ["class map", "classes", "MB", "build s", "IPv4 ns", "dependent", "IPv6 ns", "dependent"],
                 [[m["map"], m["classes"], f"{m['bytes'] / 1e6:.2f}", f"{m['build_s']:.2f}", f"{m['v4_ns']:.1f}",
                   f"{m['v4_dependent_ns']:.1f}", f"{m['v6_ns']:.1f}", f"{m['v6_dependent_ns']:.1f}"] for m in maps])
    for m in maps:
        v4, v6, size, build_s = GEO_BARS.get(m["map"], (None, None, None, None))
        for what, unit, figure, bar in (("IPv4 look-up", "ns", m["v4_ns"], v4), ("IPv6 look-up", "ns", m["v6_ns"], v6),
                                        ("size", "MB", m["bytes"] / 1e6, size), ("build", "s", m["build_s"], build_s)):
            if bar is not None:
                report.bar(f"class map {m['map']}: {what}", f"{figure:.1f} {unit}", figure <= bar, f"≤ {bar} {unit}")


def health(options, report, _scratch, _net):
    found = lines("health", 600, [2000, 3] if options.quick else [])
    for line in found:
        report.json(**line)
    load = [x for x in found if "core_share" in x]
    report.table("Health: checks", ["connections", "targets", "checks/s", "of a core", "start jitter p99 ≤", "failed"],
                 [[x["case"], x["targets"], f"{x['checks_per_s']:.0f}", f"{x['core_share']:.1%}",
                   x["start_jitter_p99_le_s"] + " s", x["failed"]] for x in load])
    report.table("Health: the engine's detection (interval 500 ms, time-out 500 ms, fall 2)",
                 ["server", "times", "median ms", "max ms"],
                 [[x["case"], x["count"], f"{x['median_ms']:.0f}", f"{x['max_ms']:.0f}"] for x in found
                  if "median_ms" in x])
    for x in load:
        bar = 0.60 if x["case"] == "kept" else 0.95
        if x["targets"] == 10000:
            report.bar(f"10,000 checks/s, {x['case']}", f"{x['core_share']:.1%} of a core",
                       x["core_share"] <= bar and x["checks_per_s"] >= 9900, f"≤ {bar:.0%}")
        jitter = x["start_jitter_p99_le_s"]
        report.bar(f"start jitter, {x['case']}", f"p99 ≤ {jitter} s", jitter != "more" and float(jitter) <= 0.05,
                   "p99 ≤ 0.05 s")


SCALE_BARS = {"ready, in all": (5000, "ms"), "memory afterwards": (600, "MB"), "a region of all pools down, worst": (100, "ms"),
              "everything down (fail_open)": (100, "ms")}


def wide(report):
    found = lines("wide", 300, [common.DATABASE])
    for line in found:
        report.json(**line)
    steers = list(dict.fromkeys(x["policy"] for x in found))
    whats = list(dict.fromkeys(x["what"] for x in found))
    figure = {(x["what"], x["policy"]): f"{x['value']:.2f} {x['unit']}" for x in found}
    report.table("Width: 500 regions, a pool of 1,000 endpoints, a policy of each kind", ["what", *steers],
                 [[what, *(figure.get((what, steer), "") for steer in steers)] for what in whats])


def shares(_options, report, _scratch, _net):
    found = lines("shares", 300)
    for line in found:
        report.json(**line)
    weighted = [x for x in found if x["case"] == "weighted"]
    report.table("Shares of weighted: chi-square of the answers against the weights",
                 ["endpoints", "answers", "chi-square", "99.9 % of fair runs stay below"],
                 [[x["n"], x["answers"], f"{x['chi2']:.1f}", f"{x['limit']:.1f}"] for x in weighted])
    sticky = [x for x in found if x["case"] == "sticky"]
    report.table("Sticky: networks that move when one of n endpoints leaves", ["n", "weights", "moved", "its share", "of others"],
                 [[x["n"], x["weights"], f"{x['moved']:.4%}", f"{x['share']:.4%}", x["others_moved"]] for x in sticky])
    for x in weighted:
        report.bar(f"weighted, {x['n']} endpoints: chi-square", f"{x['chi2']:.1f}", x["chi2"] <= x["limit"],
                   f"≤ {x['limit']:.1f}")
    for x in sticky:
        report.bar(f"sticky, {x['n']} endpoints: moved beyond its share", str(x["others_moved"]), x["others_moved"] == 0,
                   "0")


def scale(options, report, _scratch, _net):
    wide(report)
    found = lines("scale", 300, [common.DATABASE, 1000, 10000, 100000] if options.quick else [common.DATABASE])
    for line in found:
        report.json(**line)
    report.table("Scale: " + ("10,000 names over 1,000 pools, 100,000 records" if options.quick else
                              "100,000 names over 10,000 pools, 1,000,000 records"), ["what", "figure"],
                 [[x["what"], f"{x['value']:.2f} {x['unit']}"] for x in found])
    if options.quick:
        return
    for x in found:
        if x["what"] in SCALE_BARS:
            bar, unit = SCALE_BARS[x["what"]]
            report.bar(f"scale: {x['what']}", f"{x['value']:.1f} {x['unit']}", x["value"] <= bar, f"≤ {bar} {unit}")
