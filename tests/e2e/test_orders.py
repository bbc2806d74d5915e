# SPDX-License-Identifier: Apache-2.0
"""An operator's orders by gtmctl: they win over the checks, survive restarts, and wrong ones change nothing."""
import datetime
import json
import signal
import subprocess

import pytest

from failing import AP, EU, NAMES, SPARE, US, check_closed, first, make_well, running
from harness import BUILD, DEADLINE_S, health_of, wait_for


@pytest.fixture(scope="module", name="module_world")
def fixture_module_world():
    with running() as world:
        yield world


@pytest.fixture(name="world")
def fixture_world(module_world):
    make_well(*module_world)
    return module_world


@pytest.fixture(name="ctl")
def fixture_ctl(world):
    node, _ = world

    def run(*args, code=0):
        done = subprocess.run([str(BUILD / "bin" / "gtmctl"), "--socket", str(node.socket), *args],
                              capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=DEADLINE_S, check=False)
        assert done.returncode == code, (args, done.returncode, done.stdout, done.stderr)
        assert code == 0 or done.stderr, "an error is explained"
        return done.stdout
    return run


def admin_of(node, endpoint="www-us-east"):
    return node.get(f"/pools/www/endpoints/{endpoint}").item["admin"]["state"]


def test_orders_of_an_operator(world, ctl):
    node, servers = world
    ctl("endpoint", "drain", "www/www-us-east", "--reason", "kernel update", "--yes")
    assert first(node) == [EU] and admin_of(node) == "drain"
    assert "kernel update" in ctl("endpoint", "list")
    ctl("endpoint", "auto", "www/www-us-east", "--yes")
    assert first(node) == [US]

    ctl("endpoint", "down", "www/www-us-east", "--yes")
    assert first(node) == [EU] and health_of(node)["www-us-east"] == "up", "health is still shown as it is"
    ctl("endpoint", "auto", "www/www-us-east", "--yes")

    servers[0].set("stopped")
    wait_for(lambda: first(node) == [EU], "it is down")
    ctl("endpoint", "up", "www/www-us-east", "--reason", "the check is wrong", "--yes")
    assert first(node) == [US] and health_of(node)["www-us-east"] == "down"
    ctl("endpoint", "auto", "www/www-us-east", "--yes")
    assert first(node) == [EU]

    ctl("pool", "drain", "www", "--yes")
    assert node.addresses("spare.example.com") == [SPARE]
    check_closed(node)
    ctl("pool", "auto", "www", "--yes")
    assert node.addresses("spare.example.com") == [EU]


def test_orders_survive_a_restart(world, ctl):
    node, servers = world
    servers[2].set("503")
    wait_for(lambda: health_of(node)["www-ap-south"] == "down", "it is down")
    ctl("endpoint", "drain", "www/www-us-east", "--reason", "R2", "--yes")
    ctl("endpoint", "up", "www/www-ap-south", "--yes")
    for signum, code in ((signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)):
        assert node.stop(signum) == code
        node.start()
        assert node.addresses("multi.example.com") == sorted([EU, AP])
        assert (admin_of(node), admin_of(node, "www-ap-south")) == ("drain", "up")
        shown = json.loads(ctl("endpoint", "show", "www/www-us-east", "-o", "json"))["item"]
        assert shown["admin"]["reason"] == "R2"


def test_an_order_ends_while_nobody_runs(world, ctl):
    """Its time passes between stop and start: it is over from the first answer on."""
    node, _ = world
    ctl("endpoint", "drain", "www/www-us-east", "--for", "1s", "--yes")
    ctl("endpoint", "down", "www/www-eu-west", "--for", "1h", "--yes")
    assert node.addresses("multi.example.com") == [AP]
    until = datetime.datetime.fromisoformat(node.get("/pools/www/endpoints/www-us-east").item["admin"]["until"])
    assert node.stop() == 0
    wait_for(lambda: datetime.datetime.now(datetime.timezone.utc) > until, "its time has passed")
    node.start()
    assert node.addresses("multi.example.com") == sorted([US, AP])
    assert (admin_of(node), admin_of(node, "www-eu-west")) == ("auto", "down")


def test_wrong_orders(world, ctl):
    node, _ = world
    ctl("endpoint", "drain", "www/nobody", "--yes", code=4)
    ctl("endpoint", "drain", "nowhere/www-us-east", "--yes", code=4)
    ctl("endpoint", "drain", "www-us-east", "--yes", code=2)
    ctl("endpoint", "sideways", "www/www-us-east", code=2)
    ctl("endpoint", "drain", "www/www-us-east", code=2)
    assert first(node) == [US] and {admin_of(node, f"www-{n}") for n in NAMES.values()} == {"auto"}
    ctl("--socket", str(node.dir / "nobody.sock"), "status", code=3)
