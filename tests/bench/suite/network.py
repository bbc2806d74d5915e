# SPDX-License-Identifier: Apache-2.0
"""Where the servers listen and the clients ask from: a network namespace of our own where root allows (so that
clients have addresses that the database knows, and nothing else uses the ports), else plain loopback."""
import os
import subprocess
import sys

import common

MARK = "GTM_BENCH_NETNS"
SERVER_ADDRESS = "192.0.2.253"


def enter():
    """Runs this program again inside a namespace of its own, if that can be had."""
    if MARK in os.environ or os.geteuid() != 0:
        return
    can = subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False).returncode == 0
    if can:
        os.environ[MARK] = "1"
        os.execvp("unshare", ["unshare", "-n", sys.executable, *sys.argv])


class Net:
    def __init__(self):
        self.own = MARK in os.environ
        self.address = "127.0.0.1"
        if self.own:
            common.run_lines(["ip", "link", "set", "lo", "up"], 10)
            self.address = SERVER_ADDRESS
            common.run_lines(["ip", "address", "add", SERVER_ADDRESS + "/32", "dev", "lo"], 10)

    def client(self, address):
        """The source address for queries: the one given, where it can be had."""
        if not self.own:
            common.say("not root: clients without a subnet come from 127.0.0.1, which no database knows")
            return "127.0.0.1"
        common.run_lines(["ip", "address", "replace", address + "/32", "dev", "lo"], 10)
        return address
