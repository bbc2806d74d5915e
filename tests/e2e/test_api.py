# SPDX-License-Identifier: Apache-2.0
"""The API of a real gtmd: envelope, errors, every route against its OpenAPI schema, orders, limits."""
import copy
import datetime
import json
import os
import pwd
import re
import socket
import stat
import threading

import jsonschema
import pytest
import yaml

from harness import (ROOT, ZONE, UnixConnection, address, cluster, gtmd, health_of, problem_names, wait_for, webs)

OPENAPI = yaml.safe_load((ROOT / "deploy" / "openapi.yaml").read_text())


@pytest.fixture(scope="module")
def world():
    with webs(address(11), address(12), address(13)) as servers:
        with gtmd(cluster(), zones={"example.com.zone": ZONE}) as node:
            wait_for(lambda: set(health_of(node).values()) == {"up"}, "all endpoints are up")
            yield node, servers


def check(reply, kind, status=200):
    """The reply fits the schema of its kind."""
    assert reply.status == status, reply.body
    body = reply.json
    assert body["kind"] == kind
    schema = copy.deepcopy(OPENAPI["components"]["responses"][kind]["content"]["application/json"]["schema"])
    schema["components"] = OPENAPI["components"]
    jsonschema.Draft202012Validator(schema).validate(body)
    return body.get("item", body.get("items"))


def check_problem(reply, status, code):
    assert reply.status == status, reply.body
    assert reply.headers["Content-Type"] == "application/problem+json"
    schema = {"$ref": "#/components/schemas/ProblemDetails", "components": OPENAPI["components"]}
    jsonschema.Draft202012Validator(schema).validate(reply.json)
    assert reply.json["code"] == code
    assert reply.json["status"] == status
    return reply.json


def test_table_and_openapi_agree(world):
    node, _ = world
    rows = {(r["method"].lower(), r["path"]): sorted(r["query"]) for r in check(node.get("/routes"), "RouteList")}
    described = {}
    for path, entry in OPENAPI["paths"].items():
        shared = entry.get("parameters", [])
        for method in ("get", "put", "post", "delete"):
            if method not in entry:
                continue
            names = []
            for p in shared + entry[method].get("parameters", []):
                if "$ref" in p:
                    p = OPENAPI["components"]["parameters"][p["$ref"].rsplit("/", 1)[1]]
                if p["in"] == "query":
                    names.append(p["name"])
            described[(method, "/api/v1" + path)] = sorted(names)
            in_path = {p["name"] if "name" in p else p["$ref"].rsplit("/", 1)[1] for p in shared}
            assert in_path == set(re.findall(r"{(\w+)}", path))
    assert rows == described


@pytest.mark.parametrize("path,kind", [
    ("/status", "Status"), ("/problems", "ProblemList"), ("/events", "EventList"), ("/version", "Version"),
    ("/node", "Node"), ("/pools", "PoolList"), ("/pools/www", "Pool"), ("/pools/www/endpoints", "EndpointList"),
    ("/pools/www/endpoints/www-us-east", "Endpoint"), ("/health", "HealthList"), ("/health?pool=www", "HealthList"),
    ("/zones", "ZoneList"), ("/zones/example.com", "Zone"), ("/zones/Example.COM.", "Zone"),
    ("/zones/example.com/records", "RecordList"), ("/policies", "PolicyList"), ("/policies/near", "Policy"),
    ("/regions", "RegionList"), ("/regions/eu-west", "Region"), ("/traffic", "TrafficList"),
    ("/overrides", "OverrideList"), ("/nodes", "NodeList"), ("/audit", "AuditList"), ("/audit/verify", "AuditCheck"),
     ("/rules", "RuleList"), ("/automation", "Automation"), ("/geo", "Geo"), ("/geo/lookup?address=192.0.2.1", "GeoLookup"),
    ("/explain?name=www.example.com&client=192.0.2.0/24", "Explain"), ("/config", "Config"),
    ("/config/schema", "ConfigSchema"), ("/config/schema?kind=node", "ConfigSchema")])
def test_every_get_fits_its_schema(world, path, kind):
    node, _ = world
    reply = node.get(path)
    check(reply, kind)
    assert reply.headers["ETag"] == f'"{reply.json["revision"]}"'


def test_health_has_evidence(world):
    node, _ = world
    checks = node.get("/health?pool=www").items
    assert [c["endpoint"] for c in checks] == ["www-us-east", "www-eu-west", "www-ap-south"]
    for c in checks:
        assert (c["result"], c["health"], c["admin"], c["active"]) == ("ok", "up", "auto", True)
        assert c["checks_total"] > 0 and c["consecutive_passes"] > 0 and c["latency_seconds"] > 0


def test_records_are_paged(world):
    node, _ = world
    seen, after, pages = [], 0, 0
    while after is not None:
        page = node.get(f"/zones/example.com/records?limit=2&after={after}").json
        assert len(page["items"]) <= 2
        seen += [(r["name"], r["type"], r["data"], r["policy"], r["ttl_seconds"]) for r in page["items"]]
        after, pages = page["next"], pages + 1
    assert pages == 4 and len(set(seen)) == len(seen) == 8
    assert ("plain.example.com.", "A", "192.0.2.99", None, 300) in seen
    assert ("text.example.com.", "TXT", '"hello; world" "second"', None, 300) in seen
    assert ("www.example.com.", "AAAA", None, "near", 30) in seen
    assert ("first.example.com.", "A", None, "first", 5) in seen
    one = node.get("/zones/example.com/records?name=PLAIN").items
    assert [r["name"] for r in one] == ["plain.example.com."]
    assert node.get("/zones/example.com/records?name=nothing").items == []


@pytest.mark.parametrize("method,path,body,headers,status,code", [
    ("GET", "/nowhere", None, {}, 404, "notfound"),
    ("GET", "/pools/nope", None, {}, 404, "notfound"),
    ("GET", "/pools/www/endpoints/nope", None, {}, 404, "notfound"),
    ("GET", "/health?pool=nope", None, {}, 404, "notfound"),
    ("GET", "/zones/nope", None, {}, 404, "notfound"),
    ("GET", "/zones/a%00b", None, {}, 400, "badrequest"),
    ("GET", "/policies/nope", None, {}, 404, "notfound"),
    ("GET", "/pools?color=red", None, {}, 400, "badrequest"),
    ("GET", "/events?after=-1", None, {}, 400, "badrequest"),
    ("GET", "/events?limit=0", None, {}, 400, "badrequest"),
    ("GET", "/geo/lookup", None, {}, 400, "badrequest"),
    ("GET", "/geo/lookup?address=1.2.3", None, {}, 400, "badrequest"),
    ("GET", "/explain?name=www.example.com&client=1.2.3.4/33", None, {}, 400, "badrequest"),
    ("GET", "/explain?name=" + "a" * 64 + ".example.com&client=1.2.3.4", None, {}, 400, "badrequest"),
    ("GET", "/explain?name=www.example.com&type=NOPE&client=1.2.3.4", None, {}, 400, "badrequest"),
    ("DELETE", "/pools", None, {}, 405, "method"),
    ("PATCH", "/pools/www/admin", "{}", {}, 405, "method"),
    ("PUT", "/pools/www/admin", "{", {"Content-Type": "application/json"}, 400, "badrequest"),
    ("PUT", "/pools/www/admin", "[]", {"Content-Type": "application/json"}, 400, "badrequest"),
    ("PUT", "/pools/www/admin", "", {"Content-Type": "application/json"}, 400, "badrequest"),
    ("PUT", "/pools/www/admin", "state=up", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "mediatype"),
    ("PUT", "/pools/www/admin", {"state": "sideways"}, {}, 400, "badrequest"),
    ("PUT", "/pools/www/admin", {"state": "drain", "why": "x"}, {}, 400, "badrequest"),
    ("PUT", "/pools/www/admin", {"state": "drain", "reason": "x" * 600}, {}, 400, "badrequest"),
    ("PUT", "/pools/www/admin", {"state": "drain", "until": "tomorrow"}, {}, 400, "badrequest"),
    ("PUT", "/pools/www/admin", {"state": "drain", "until": "2001-01-01T00:00:00Z"}, {}, 400, "badrequest"),
    ("PUT", "/pools/www/admin?dryRun=maybe", {"state": "drain"}, {}, 400, "badrequest"),
    ("PUT", "/pools/www/admin", {"state": "drain"}, {"If-Match": '"999999"'}, 412, "conflict"),
    ("POST", "/health/check", {"pool": "nope"}, {}, 404, "notfound"),
    ("POST", "/config/validate", "a=b", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "mediatype")])
def test_errors_are_problem_details(world, method, path, body, headers, status, code):
    node, _ = world
    reply = node.request(method, path, body=body, headers=headers)
    check_problem(reply, status, code)
    if status == 405:
        assert reply.headers["Allow"] in ("GET, HEAD", "PUT")


def test_nothing_changed_by_refused_requests(world):
    node, _ = world
    assert {e["admin"]["state"] for e in node.get("/pools/www/endpoints").items} == {"auto"}
    assert node.get("/pools/www").item["admin"]["state"] == "auto"


def test_order_moves_users_and_says_so(world):
    node, _ = world
    assert node.addresses("first.example.com") == [address(11)]
    path = "/pools/www/endpoints/www-us-east/admin"
    order = {"state": "drain", "reason": "maintenance 4711"}

    dry = check(node.put(path + "?dryRun=true", order), "AdminChange")
    assert (dry["dry_run"], dry["serving_before"], dry["serving_after"]) == (True, 3, 2)
    assert node.addresses("first.example.com") == [address(11)]

    revision = node.get("/status").item["revision"]
    last = node.get("/events").items[-1]["id"]
    done = check(node.put(path, order, headers={"If-Match": f'"{revision}"'}), "AdminChange")
    assert done["before"]["state"] == "auto" and done["after"]["state"] == "drain"
    assert done["after"]["owner"] == pwd.getpwuid(os.geteuid()).pw_name
    # In force when the request is answered, not some time later.
    assert node.addresses("first.example.com") == [address(12)]
    endpoint = node.get("/pools/www/endpoints/www-us-east").item
    assert (endpoint["health"], endpoint["admin"]["state"], endpoint["serves"]) == ("up", "drain", False)
    events = node.get(f"/events?after={last}").items
    assert [(e["type"], e["from"], e["to"]) for e in events] == [("AdminChanged", "auto", "drain")]
    assert "maintenance 4711" in events[0]["cause"]
    assert "OverrideActive" in problem_names(node)
    assert node.metrics()['gtm_overrides_active{kind="endpoint"}'] == 1
    assert node.get("/pools/www").item["health"] == "up", "an operator's drain is no fault of the pool"
    region = next(r for r in node.get("/regions").items if r["name"] == "us-east")
    assert (region["health"], region["endpoints_serving"]) == ("up", 0), "its checks pass: health and orders are apart"

    check(node.put(path, {"state": "auto"}), "AdminChange")
    assert node.addresses("first.example.com") == [address(11)]
    assert "OverrideActive" not in problem_names(node)


def test_order_for_a_pool_warns_when_nothing_is_left(world):
    node, _ = world
    done = check(node.put("/pools/www/admin", {"state": "down"}), "AdminChange")
    assert done["endpoint"] is None and done["serving_after"] == 0 and "all_down" in done["warning"]
    assert "PoolDown" in problem_names(node)
    assert node.addresses("first.example.com") != [], "fail_open answers rather than nothing"
    check(node.put("/pools/www/admin", {"state": "auto"}), "AdminChange")
    assert "PoolDown" not in problem_names(node)


def test_order_ends_by_itself(world):
    node, _ = world
    until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=1.2)
    path = "/pools/www/endpoints/www-us-east/admin"
    check(node.put(path, {"state": "down", "until": until.isoformat()}), "AdminChange")
    assert node.addresses("first.example.com") == [address(12)]
    wait_for(lambda: node.addresses("first.example.com") == [address(11)], "the order has ended")
    assert datetime.datetime.now(datetime.timezone.utc) >= until
    assert node.get("/events").items[-1]["type"] == "OverrideExpired"
    assert node.get("/pools/www/endpoints/www-us-east").item["admin"]["state"] == "auto"


def test_check_now_probes(world):
    node, servers = world
    before = servers[0].requests
    started = check(node.post("/health/check", {"pool": "www", "endpoint": "www-us-east"}), "HealthCheck", 202)
    assert started["started"] == 1
    wait_for(lambda: servers[0].requests > before, "the server was asked")
    assert check(node.post("/health/check", {"pool": "www"}), "HealthCheck", 202)["started"] == 3


def test_explain_agrees_with_dns(world):
    node, _ = world
    for name in ("www.example.com", "first.example.com", "plain.example.com"):
        said = node.get(f"/explain?name={name}&type=A&client=198.51.100.0/24").item
        assert sorted(r["data"] for r in said["answer"]["records"]) == node.addresses(name, subnet="198.51.100.0/24")


def test_validate_says_where(world):
    node, _ = world
    bad = cluster().replace("steer: failover", "steer: failovr")
    said = check(node.post("/config/validate", bad, headers={"Content-Type": "application/yaml"}), "Validation")
    assert said["valid"] is False and said["errors"] >= 1
    line = next(i for i, text in enumerate(bad.splitlines(), 1) if "failovr" in text)
    assert any(d["severity"] == "error" and d["line"] == line for d in said["diagnostics"])
    good = check(node.post("/config/validate", cluster(), headers={"Content-Type": "application/yaml"}), "Validation")
    assert good["valid"] is True and good["errors"] == 0


def test_body_and_header_limits(world):
    node, _ = world
    con = UnixConnection(node.socket, 10)
    try:
        con.request("POST", "/api/v1/config/validate", body="#" * (1024 * 1024 + 1))
        assert con.getresponse().status == 413
    except (BrokenPipeError, ConnectionResetError):
        pass  # it may also close while we still send
    finally:
        con.close()
    reply = node.get("/status", headers={"X-Long": "x" * 20000})
    assert reply.status == 400
    assert node.get("/pools/" + "x" * 9000).status == 400
    assert node.get("/status").status == 200


def test_idle_connections_do_not_shut_others_out(world):
    """More clients than the limit that say nothing: later ones wait in the backlog; when some go, they are served."""
    node, _ = world
    idle = []
    try:
        for _ in range(256):
            s = socket.socket(socket.AF_UNIX)
            s.connect(str(node.socket))  # blocking: with a time-out, a full backlog would be EAGAIN
            idle.append(s)
        got = []
        late = threading.Thread(target=lambda: got.append(node.get("/version", timeout=20).status))
        late.start()
        late.join(0.5)
        assert not got, "the limit does not hold"
        for s in idle[:10]:
            s.close()
        late.join(20)
        assert got == [200]
    finally:
        for s in idle:
            s.close()


def raw(node, data):
    """The status line of the reply to these bytes, "" when there was none."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(str(node.socket))
        s.sendall(data)
        return s.recv(4096).split(b"\r\n")[0].decode()


def test_requests_that_smuggle(world):
    """RFC 9112 6.1: what two parsers could read in two ways is refused."""
    node, _ = world
    body = b"0\r\n\r\n"
    both = (b"POST /api/v1/config/validate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n"
            b"Content-Length: 5\r\n\r\n" + body)
    assert " 400 " in raw(node, both)
    assert raw(node, b"\x16\x03\x01\x02\x00 not HTTP\r\n\r\n").split(" ")[1:2] in ([], ["400"])
    assert node.get("/version").status == 200


def test_socket_is_for_the_group(world):
    node, _ = world
    assert stat.S_IMODE(node.socket.stat().st_mode) == 0o660


def test_head_has_no_body(world):
    node, _ = world
    reply = node.request("HEAD", "/version")
    assert reply.status == 200 and reply.body == "" and reply.headers["Content-Type"] == "application/json"


def test_parallel_reloads_share_one(world):
    node, _ = world
    got = []
    threads = [threading.Thread(target=lambda: got.append(node.post("/reload").status)) for _ in range(12)]
    last = node.get("/events").items[-1]["id"]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert got == [200] * 12
    events = [e for e in node.get(f"/events?after={last}").items if e["type"] == "ConfigReloaded"]
    assert 1 <= len(events) <= 12


def test_clients_that_vanish(world):
    """Requests whose client is gone before the answer is built cost nothing."""
    node, _ = world
    for _ in range(20):
        s = socket.socket(socket.AF_UNIX)
        s.connect(str(node.socket))
        s.sendall(b"GET /api/v1/config HTTP/1.1\r\nHost: x\r\n\r\n")
        s.close()
    assert node.get("/config").status == 200


def test_pipelined_and_kept_alive(world):
    node, _ = world
    con = UnixConnection(node.socket, 10)
    for _ in range(50):
        con.request("GET", "/api/v1/version")
        assert json.loads(con.getresponse().read())["kind"] == "Version"
    con.close()


def test_metrics_and_probes(world):
    node, _ = world
    samples = node.metrics()
    assert samples["gtm_ready"] == 1
    assert samples["gtm_config_last_reload_successful"] == 1
    assert samples['gtm_endpoint_state{pool="www",endpoint="www-us-east",state="up"}'] == 1
    assert samples['gtm_endpoint_state{pool="www",endpoint="www-us-east",state="down"}'] == 0
    assert samples['gtm_pool_endpoints{pool="www",state="serving"}'] == 3
    assert samples['gtm_zone_serial{zone="example.com"}'] == 2026112001
    before = samples['gtm_dns_requests_total{proto="udp"}']
    for _ in range(10):
        node.ask("plain.example.com")
    assert node.metrics()['gtm_dns_requests_total{proto="udp"}'] == before + 10
    assert any(k.startswith("gtm_health_checks_total{") for k in samples)
    text = node.get("/metrics").body
    assert "example.com." not in text and "192.0.2" not in text, "no names of questions, no addresses"
