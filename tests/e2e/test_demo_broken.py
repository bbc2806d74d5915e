# SPDX-License-Identifier: Apache-2.0
"""Broken copies of the demo of a cluster end at the claim that is not true."""
from demo_runs import batches, check_broken, only_fast_builds

# Each breaks one thing of a copy of the demo: (what is replaced, by what), and the claim that then is not seen. What comes before
# and has nothing to do with it is left out.
LONG = """\
        self.servers("eu-west")
        self.region_dies()
        self.region_is_cut_off("ap-south")
        self.etcd_is_gone("eu-west")
        self.leader_dies("us-east")
"""
BROKEN = {
    "a kill that does not kill": ([
        ('        self.kill(region)\n        left = self.everywhere(f"{region}: web server killed",',
         '        left = self.everywhere(f"{region}: web server killed",')],
        "its users go to the next nearest region, on every node: None"),
    "a region whose web server lives on": ([
        (LONG, "        self.region_dies()\n"),
        ("with_leader = self.away(region, self.kill)",
         "with_leader = self.away(region, lambda name: name == region or self.kill(name))")],
        "its users are elsewhere, on each of the four nodes that are left: None"),
    "a rule that lets two regions out": ([
        (LONG, ""),
        ("kind: regions_out, max: 1}", "kind: regions_out, max: 2}")], "the second is refused by a safety rule"),
    "a rollback to what is there": ([
        (LONG + '        self.drain("eu-west", "us-east")\n        self.shift("us-east")\n', ""),
        ('self.show("rollback", "--to", "1"', 'self.show("rollback", "--to", "2"')],
        "all users are where they belong again, on every node: None"),
}


@only_fast_builds
@batches(BROKEN, 2)
def test_broken_demos_fail(tmp_path, batch):
    check_broken(tmp_path, batch)
