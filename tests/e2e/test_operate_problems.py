# SPDX-License-Identifier: Apache-2.0
"""What a real gtmd says is wrong before it hurts: certificates that end, checks that cannot be made, tokens that are
missing, reports that do not come, answers that are held back."""
import pathlib
import subprocess
import tempfile

import dns.exception
import dns.message
import dns.query
import pytest

from harness import DNS_PORT, ZONE, Gtmd, address, wait_for

TLS_PORT = 8853
INTENT = f"""regions: [{{name: us-east, location: [38.9, -77.0]}}]
monitors:
  - {{name: beat, kind: push, token: {{file: beat.token}}, interval: 1s, fall: 1, rise: 1}}
  - {{name: script, kind: exec, program: nothing, interval: 1s, timeout: 500ms}}
  - {{name: door, kind: tls, port: {TLS_PORT}, interval: 300ms, timeout: 250ms, tls: {{insecure: true}}}}
pools:
  - name: www
    monitors: [MONITORS]
    endpoints: [{{name: a, region: us-east, addresses: ["{address(1)}"]}}]
policies: [{{name: even, pool: www, steer: least_connections}}]
zones: [{{name: example.com, file: example.com.zone, names: [{{name: www, types: [A], policy: even}}]}}]
"""


def pem(days):
    """The files of a certificate of its own that ends in so many days."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                        str(days), "-subj", "/CN=dns.example.com", "-keyout", f"{folder}/dns.key", "-out", f"{folder}/dns.pem"],
                       check=True, capture_output=True)
        return {name: pathlib.Path(folder, name).read_text() for name in ("dns.key", "dns.pem")}


def node_with(monitors, node="", dns="", files=None):
    one = Gtmd(INTENT.replace("MONITORS", monitors), node=node,
               zones={"example.com.zone": ZONE, "beat.token": "token\n", **(files or {})})
    one.node_text = one.node_text.replace("threads: 1}", f"threads: 1{dns}}}")
    one.write("node.yaml", one.node_text)
    return one


def problems(node):
    return {(p["name"], p["subject"]): p for p in node.get("/problems").items}


@pytest.mark.parametrize("days,severity", [(2, "critical"), (10, "warning"), (30, None)])
def test_certificates_that_end(days, severity):
    """That of DNS over TLS, which is also the one that a check of kind tls sees."""
    tls = f", tls: {{listen: [{{address: {address(1)}, port: {TLS_PORT}}}], cert: dns.pem, key: dns.key}}"
    node = node_with("door", dns=tls, files=pem(days))
    try:
        node.start()
        checked = wait_for(lambda: node.get("/health").items[0]["certificate_expires"], "the check saw the certificate")
        found = problems(node)
        for subject in ("dns.tls", "check/www/a/door"):
            one = found.get(("CertificateExpiresSoon", subject))
            assert (one and one["severity"]) == severity, subject
        shown = node.get("/node").item["dns"]
        assert shown["tls_listen"] == [f"{address(1)}:{TLS_PORT}"]
        assert shown["tls_certificate_expires"] == checked
        assert node.metrics()["gtm_dns_tls_certificate_expires_timestamp_seconds"] > 1.7e9
        key = 'gtm_health_certificate_expires_timestamp_seconds{pool="www",endpoint="a",monitor="door",family="ipv4"}'
        assert node.metrics()[key] == node.metrics()["gtm_dns_tls_certificate_expires_timestamp_seconds"]
    finally:
        node.close()


def test_checks_that_cannot_be_made():
    node = node_with("script")
    try:
        node.start()
        one = wait_for(lambda: problems(node).get(("CheckNotMade", "check/www/a/script")), "there is no exec_dir")
        assert one["severity"] == "warning" and "exec_dir" in one["hint"]
    finally:
        node.close()


def test_missing_token_and_reports_that_do_not_come():
    node = node_with("beat", node=f"push: {{listen: \"{address(1)}:9181\"}}\n", files={"beat.token": "\n"})
    try:
        node.start()
        wait_for(lambda: ("PushTokenMissing", "monitor/beat") in problems(node), "its token is empty")

        def alive():
            assert node.post("/health/push", {"pool": "www", "endpoint": "a"}).status == 200
            return problems(node).get(("LoadReportsStale", "policy/even"))
        stale = wait_for(alive, "it serves and says nothing of its connections", every_s=0.2)
        assert "1 of 1 endpoints" in stale["detail"]
        assert node.post("/health/push", {"pool": "www", "endpoint": "a", "connections": 3}).status == 200
        wait_for(lambda: ("LoadReportsStale", "policy/even") not in problems(node), "it has reported")
        node.write("beat.token", "token\n")
        assert node.post("/reload").status == 200
        wait_for(lambda: ("PushTokenMissing", "monitor/beat") not in problems(node), "the token is there")
    finally:
        node.close()


def test_answers_held_back():
    node = node_with("beat", dns=", rate_limit: {responses_per_s: 1, slip: 0}")
    try:
        node.start()
        assert ("RateLimiting", "dns") not in problems(node)

        def limited():
            for _ in range(5):
                try:
                    dns.query.udp(dns.message.make_query("plain.example.com", "A"), node.address, timeout=0.05, port=DNS_PORT)
                except dns.exception.Timeout:
                    pass
            return problems(node).get(("RateLimiting", "dns"))
        assert wait_for(limited, "a client over its limit is told")["severity"] == "note"
        assert node.get("/node").item["dns"]["rate_limit_responses_per_s"] == 1
    finally:
        node.close()
