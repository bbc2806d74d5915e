# SPDX-License-Identifier: Apache-2.0
"""gtmctl where timing matters: against an API whose replies are scripted, and a gtmd whose checks are slow."""
import contextlib
import hashlib
import http.server
import json
import socketserver
import threading
import urllib.parse

import pytest

from gtmctl import background, run
from harness import ZONE, address, cluster, gtmd, wait_for, webs


@contextlib.contextmanager
def scripted(path, answer):
    """An API on a unix socket: answer(path, query) is the root of the reply, or its text."""
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            url = urllib.parse.urlsplit(self.path)
            root = answer(url.path, dict(urllib.parse.parse_qsl(url.query)))
            body = (root if isinstance(root, str) else json.dumps(root)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def address_string(self):
            return "unix"

        def log_message(self, *_):
            pass

    class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
        daemon_threads = True

    with Server(path, Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()


def event(number, hour):
    return {"id": number, "time": f"2026-11-20T{hour:02}:00:{number % 60:02}.000Z", "type": "HealthChanged", "subject": "endpoint/a/b",
            "from": "up", "to": "down", "cause": f"hour {hour}"}


@pytest.fixture(name="events")
def fixture_events(tmp_path):
    """A list of events that may be replaced, and the socket of an API that has them."""
    held = [event(n, 10) for n in range(1, 4)]

    def answer(_, query):
        after = int(query["after"])
        return {"apiVersion": "gtm/v1", "kind": "EventList", "items": [e for e in held if e["id"] > after]}

    path = str(tmp_path / "api.sock")
    with scripted(path, answer):
        yield held, path


def ids(lines):
    return [(e["id"], e["cause"]) for e in map(json.loads, lines)]


@pytest.mark.parametrize("count", [2, 3, 5])
def test_follower_sees_events_of_a_restarted_daemon(events, count):
    """It counts from 1 again: fewer events than before, as many, or more."""
    held, path = events
    with background("--socket", path, "events", "-f", "-o", "json") as lines:
        wait_for(lambda: len(lines) == 3, "those that are there")
        held[:] = [event(n, 11) for n in range(1, count + 1)]
        wait_for(lambda: len(lines) == 3 + count, "those of the new daemon")
        held.append(event(count + 1, 11))
        wait_for(lambda: len(lines) == 4 + count, "and it goes on")
    assert ids(lines) == [(n, "hour 10") for n in (1, 2, 3)] + [(n, "hour 11") for n in range(1, count + 2)]


def test_follower_after_an_overflow(events):
    """More happened between two looks than the daemon keeps: what is left is shown, once."""
    held, path = events
    with background("--socket", path, "events", "-f", "-o", "json") as lines:
        wait_for(lambda: len(lines) == 3, "those that are there")
        held[:] = [event(n, 10) for n in range(50, 60)]
        wait_for(lambda: len(lines) == 13, "those that are left")
    assert [number for number, _ in ids(lines)] == [1, 2, 3, *range(50, 60)]


def test_follower_has_one_head(events):
    held, path = events
    with background("--socket", path, "events", "-f", "--limit", "2") as lines:
        wait_for(lambda: len(lines) == 3, "a head and the newest two")
        held.append(event(4, 10))
        wait_for(lambda: len(lines) == 4, "the next one")
    assert lines[0].startswith("TIME ") and not lines[3].startswith("TIME ")


def status_world(unwell):
    pools = [{"name": f"p{n}", "health": "down" if n in unwell else "up", "admin": {"state": "auto"}, "since": None,
              "endpoints_serving": 1, "endpoints_total": 1} for n in range(1000)]
    roots = {"/api/v1/status": {"item": {"node": "n", "problems": {"critical": len(unwell), "warning": 0}}},
             "/api/v1/regions": {"items": []}, "/api/v1/pools": {"items": pools}, "/api/v1/problems": {"items": []}}
    return lambda path, _: {"apiVersion": "gtm/v1", "kind": "X", **roots[path]}


def test_status_stays_a_glance(tmp_path):
    path = str(tmp_path / "api.sock")
    with scripted(path, status_world({7, 500})):
        lines = run("--socket", path, "status").out.splitlines()
    assert [line.split()[0] for line in lines if line.startswith("p")] == ["p7", "p500"]
    assert "and 998 more, all of them up" in lines and len(lines) < 20


def test_text_cannot_steer_the_terminal(tmp_path):
    path = str(tmp_path / "api.sock")
    evil = "\x1b]0;title\x07\x1b[2J\u202e\u009b1m"
    item = {"name": evil, "list": [{"name": evil, "x": evil}], "admin": {"state": evil}}
    with scripted(path, lambda *_: {"apiVersion": "gtm/v1", "kind": "X", "item": item, "items": [item], "revision": 1}):
        for args in (["pool", "list"], ["pool", "show", "x"], ["node", "show"], ["explain", "x", "--client", "::"],
                     ["problems"], ["status"], ["config", "show"], ["events"], ["health", "list"]):
            for form in ("table", "wide", "json", "yaml"):
                done = run("--socket", path, *args, "-o", form)
                bad = [c for c in done.out + done.err if c < " " and c != "\n" or c in "\x7f\u202e\u009b" and form != "json"]
                assert done.code == 0 and bad == [], (args, form, bad)


def test_still_running_and_done():
    slow = cluster().replace("interval: 200ms, timeout: 150ms", "interval: 60s, timeout: 30s")
    with webs(address(11), address(12), address(13)) as servers:
        servers[0].set("hang")
        with gtmd(slow, zones={"example.com.zone": ZONE}) as node:
            base = ["--socket", str(node.socket), "health", "check"]
            done = run(*base, "www/www-us-east", "--wait", "--timeout", "1s")
            assert done.code == 7 and "new result" in done.err and "www-us-east" in done.out
            asked = servers[1].requests
            done = run(*base, "www/www-eu-west", "--wait", "-o", "json")
            assert done.code == 0 and [i["endpoint"] for i in json.loads(done.out)["items"]] == ["www-eu-west"]
            assert servers[1].requests > asked, "probed now, not in a minute"


def chain(count):
    """An audit chain: its entries, and its head."""
    entries, prev = [], ""
    for seq in range(1, count + 1):
        text = f'{{"v":1,"seq":{seq},"prev":"{prev}","time":{seq},"who":"uli","verb":"v"}}'
        prev = hashlib.sha256(text.encode()).hexdigest()
        entries.append(f'{text[:-1]},"hash":"{prev}"}}')
    return entries, f'{{"v":1,"seq":{count},"hash":"{prev}","first":1}}'


def test_an_audit_chain_is_exported_page_by_page(tmp_path):
    entries, head = chain(25)
    path, asked = str(tmp_path / "api.sock"), []

    def answer(_, query):
        after = int(query["after"])
        asked.append(after)
        page = entries[after:after + 10]
        return "".join(line + "\n" for line in [*page, *([head] if after + 10 >= len(entries) else [])])

    with scripted(path, answer):
        ran = run("--socket", path, "audit", "export")
    assert ran.code == 0 and asked == [0, 10, 20]
    assert ran.out.splitlines() == [*entries, head]
    ran = run("audit", "verify", "-f", "-", "-o", "json", stdin=ran.out)
    item = json.loads(ran.out)["item"]
    assert ran.code == 0 and item["last"] == 25 and item["hash"] in head


@pytest.mark.parametrize("pages, code, say", [
    ([""], 4, "no entries yet"),
    (["E0E1", ""], 1, "no end behind entry 2"),  # no head, ever
    (["E0E1", "E0E1"], 1, "no end behind entry 2"),  # the same again
    (["E0", "junk\n"], 0, ""),  # what it is, verify says
])
def test_an_odd_chain_ends_its_export(tmp_path, pages, code, say):
    entries, _ = chain(2)
    path, left = str(tmp_path / "api.sock"), list(pages)

    def answer(*_):
        return left.pop(0).replace("E0", entries[0] + "\n").replace("E1", entries[1] + "\n") if left else ""

    with scripted(path, answer):
        ran = run("--socket", path, "audit", "export")
    assert ran.code == code and say in ran.err, (ran.code, ran.err)
