# SPDX-License-Identifier: Apache-2.0
"""An etcd that refuses: passwords, users, rights, room, certificates, its gateway off; and one restored from a backup. The
last good view stays, the reason is said, and all goes on by itself when it is gone."""
import contextlib
import json
import shutil
import subprocess
import tempfile

import pytest

from bad_store import World, complains, problem
from certs import Certs
from cluster_harness import Etcd
from harness import address, wait_for


def auth_on(etcd):
    for args in (("user", "add", "root:rootpw"), ("user", "grant-role", "root", "root"), ("role", "add", "gtm"),
                 ("role", "grant-permission", "gtm", "--prefix=true", "readwrite", "/gtm/"),
                 ("user", "add", "gtm:secret"), ("user", "grant-role", "gtm", "gtm"), ("auth", "enable")):
        etcd.ctl(*args)


@contextlib.contextmanager
def world_with_users():
    etcd = Etcd(1)
    with World(etcd=etcd) as world:
        node = world.node
        node.stop()
        password = node.dir / "password"
        node.write("password", "secret\n")
        password.chmod(0o600)
        node.write("node.yaml", node.node_text.replace("]}\ndns:", "], user: gtm, password: {file: password}}\ndns:"))
        auth_on(etcd)
        node.spawn_only()
        wait_for(node.up, "it is up")
        etcd.user = "root:rootpw"
        world.apply_all()
        yield world


def test_passwords_users_and_rights():
    with world_with_users() as world:
        node, etcd = world.node, world.etcd
        password = node.dir / "password"
        with world.stays():  # the password is changed, and the node has the old one
            etcd.ctl("user", "passwd", "gtm", "--interactive=false", stdin="other\n")
            etcd.members[0].kill()
            etcd.members[0].start()
            complains(node, "StoreAway", "password or token is wrong", log=False)
            assert node.metrics()["gtm_etcd_up"] == 0
            password.unlink()
            complains(node, "StoreAway", "password: ", "No such file", log=False)
            password.write_text("x" * 10000)
            complains(node, "StoreAway", "password: ", "large", log=False)
        password.write_text("other\n")
        world.followed()
        with world.stays():  # the right to our prefix is taken away
            etcd.ctl("role", "revoke-permission", "gtm", "--prefix=true", "/gtm/")
            complains(node, "StoreAway", "not allowed", log=False)
        etcd.ctl("role", "grant-permission", "gtm", "--prefix=true", "readwrite", "/gtm/")
        world.followed()
        with world.stays():  # the user is deleted
            etcd.ctl("user", "delete", "gtm")
            complains(node, "StoreAway", "etcd", log=False)
        etcd.ctl("user", "add", "gtm:other")
        etcd.ctl("user", "grant-role", "gtm", "gtm")
        world.followed()
        etcd.ctl("role", "revoke-permission", "gtm", "--prefix=true", "/gtm/")
        etcd.ctl("role", "grant-permission", "gtm", "--prefix=true", "read", "/gtm/")
        ran = wait_for(lambda: (r := node.ctl("endpoint", "drain", "www/www-us-east", "--yes", "--reason", "x")).code and r,
                       "an order is refused")
        assert "not allowed" in ran.err or "denied" in ran.err, ran.err
        complains(node, "StoreNotWritable", "not allowed")
        etcd.ctl("role", "grant-permission", "gtm", "--prefix=true", "readwrite", "/gtm/")
        world.followed()


def test_an_etcd_that_is_full():
    etcd = Etcd(1, extra=["--quota-backend-bytes", str(16 << 20)])
    with World(etcd=etcd) as world:
        world.apply_all()
        big = "x" * (1 << 20)
        for i in range(40):
            if "NOSPACE" in etcd.ctl("alarm", "list"):
                break
            etcd.ctl("put", f"/other/{i}", stdin=big, check=False)
        assert "NOSPACE" in etcd.ctl("alarm", "list")
        ran = world.node.ctl("endpoint", "drain", "www/www-us-east", "--yes", "--reason", "x")
        assert ran.code not in (0, 3) and "space quota" in ran.err, ran.err
        assert "space quota" in world.node.log_text()
        assert world.node.metrics()["gtm_store_unwritable"] == 1
        world.agreed("us-east")
        world.webs["us-east"].set("stopped")  # users are moved nevertheless: each node merges for itself
        world.agreed("eu-west")
        complains(world.node, "StoreFull", "space quota", log=False)
        world.webs["us-east"].set("ok")
        etcd.ctl("del", "/other/", "--prefix")
        rev = json.loads(etcd.ctl("endpoint", "status", "-w", "json"))[0]["Status"]["header"]["revision"]
        etcd.ctl("compact", str(rev))
        etcd.ctl("defrag")
        etcd.ctl("alarm", "disarm")
        world.followed()
        wait_for(lambda: not problem(world.node, "StoreNotWritable") and not problem(world.node, "StoreFull"), "it can be written again", deadline_s=60)


def test_the_json_gateway_is_off():
    etcd = Etcd(1, extra=["--enable-grpc-gateway=false"])
    etcd.members[0].healthy = lambda: True  # asked by that gateway
    with World(etcd=etcd) as world:
        complains(world.node, "StoreAway", "JSON gateway", "404", log=False)
        assert "404" in world.node.log_text()
        member = etcd.members[0]
        member.kill()
        member.args.remove("--enable-grpc-gateway=false")
        member.start()
        wait_for(lambda: world.node.mode() in ("follow", "lead"), "it follows", deadline_s=60)


@pytest.mark.parametrize("keep", ["cluster", "revision"])
def test_an_etcd_restored_from_an_older_backup(keep):
    """etcdctl snapshot restore makes another cluster; a copied data folder keeps the id, and its revision goes back."""
    etcd = Etcd(1)
    with World(etcd=etcd) as world:
        world.apply_all()
        member, node = etcd.members[0], world.node
        backup = etcd.dir / "backup"
        if keep == "cluster":
            etcd.ctl("snapshot", "save", str(backup))
        else:
            member.kill()
            shutil.copytree(member.dir, backup)
            member.start()
            wait_for(member.healthy, "etcd is back")
            world.followed()
        with world.stays():
            for i in range(200):
                etcd.ctl("put", "/other/x", str(i))
            seen = node.status()["cluster"]["store"]["revision"]
            member.kill()
            shutil.rmtree(member.dir)
            if keep == "cluster":
                subprocess.run(["/usr/bin/etcdctl", "snapshot", "restore", str(backup), "--name", "m0", "--data-dir", str(member.dir),
                                "--initial-cluster", f"m0=http://{member.address}:2380", "--initial-cluster-token", "again",
                                "--initial-advertise-peer-urls", f"http://{member.address}:2380"], check=True,
                               capture_output=True, env={"ETCDCTL_API": "3", "PATH": "/usr/bin:/bin"})
            else:
                shutil.copytree(backup, member.dir)
            member.start()
            wait_for(member.healthy, "etcd is back")
            complains(node, "StoreRefused", "another cluster" if keep == "cluster" else "revision went back")
            assert node.metrics()["gtm_store_refused"] == 1
        assert seen
        ran = node.ctl("snapshot", "adopt", "--yes", "--reason", "restored")
        assert ran.code == 0, ran.err
        wait_for(lambda: problem(node, "StoreRefused") is None, "it is ours")
        world.followed()
        assert json.loads(node.ctl("audit", "verify", "-o", "json").out)["item"]["sound"]


@pytest.mark.parametrize("kind", ["expired", "foreign-ca", "server-of-foreign-ca"])
def test_certificates_towards_etcd(kind):
    folder = tempfile.mkdtemp(prefix="gtm-e2e-certs-")
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        certs, other = Certs(folder + "/a"), Certs(folder + "/b")
        certs.make("etcd", "e1", address(101))
        cert, key = certs.pair("e1")
        good, ca = certs.node("us-east", "us-east-1"), certs.ca
        tls = {"cert": cert, "key": key, "ca": certs.ca}
        pair = {"expired": lambda: certs.odd("old", "URI:gtm:node/us-east/us-east-1", days=("20200101000000Z", "20200201000000Z")),
                "foreign-ca": lambda: other.node("us-east", "us-east-1"),
                "server-of-foreign-ca": lambda: good}[kind]()
        now = [folder + "/now.pem", folder + "/now.key", folder + "/now-ca.pem"]
        shutil.copy(pair[0], now[0])
        shutil.copy(pair[1], now[1])
        shutil.copy(other.ca if kind == "server-of-foreign-ca" else ca, now[2])
        etcd = Etcd(1, tls=tls)
        world = World(etcd=etcd)
        node = world.node
        node.write("node.yaml", node.node_text.replace("]}\ndns:", f"], tls: {{cert: {now[0]}, key: {now[1]}, ca: {now[2]}}}}}\ndns:"))
        stack.enter_context(world)
        complains(node, "StoreAway", "etcd", "certificate", log=False)
        assert node.metrics()["gtm_etcd_up"] == 0
        assert "certificate" in node.log_text().lower()
        shutil.copy(good[0], now[0])
        shutil.copy(good[1], now[1])
        shutil.copy(ca, now[2])
        wait_for(lambda: node.mode() in ("follow", "lead"), "it follows with the good one, without a restart", deadline_s=60)
