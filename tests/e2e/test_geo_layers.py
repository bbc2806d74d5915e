# SPDX-License-Identifier: Apache-2.0
"""GeoDNS over .mmdb files: a city file with points and subdivisions, and files of the flat layout in layers beneath."""
from harness import ZONE, gtmd, wait_for
from test_geo import CLUSTER, ROUTED_ASN, Client

import mmdb  # harness knows where it is

CITY = {"203.0.113.0/25": {"country": {"iso_code": "US"}, "subdivisions": [{"iso_code": "CA"}],
                           "location": {"latitude": 37.8, "longitude": -122.4}},
        "203.0.113.128/25": {"country": {"iso_code": "US"}, "subdivisions": [{"iso_code": "NY"}],
                             "location": {"latitude": 40.7, "longitude": -74.0}},
        "2001:db8:77::/48": {"country": {"iso_code": "JP"}, "location": {"latitude": 43.1, "longitude": 141.3}}}
ASN = {"203.0.113.192/26": {"autonomous_system_number": ROUTED_ASN}}
FLAT = {"203.0.113.0/24": {"country_code": "DE"}, "192.0.0.0/24": {"country_code": "BR"}}


def test_city_asn_and_flat_files_in_layers(tmp_path):
    for name, records, kind in (("city", CITY, "Test-City"), ("asn", ASN, "Test-ASN"), ("flat", FLAT, "test-country")):
        mmdb.write(str(tmp_path / f"{name}.mmdb"), records, type=kind)
    geo = f"[{tmp_path}/city.mmdb, {tmp_path}/asn.mmdb, {tmp_path}/flat.mmdb]"
    with gtmd(CLUSTER, zones={"example.com.zone": ZONE}, geo=geo) as node:
        wait_for(lambda: node.get("/geo").item["loaded"], "the databases are loaded")
        client = Client(node)
        # (nearest, routed): the first file that knows wins, and what it leaves out comes from the next.
        want = {"203.0.113.1": ("us-west", "us-west"), "203.0.113.130": ("us-east", "ap-north"),
                "203.0.113.200": ("us-east", "sa-east"), "192.0.0.9": ("sa-east", "ap-north"),
                "2001:db8:77::1": ("ap-north", "ap-south"), "9.9.9.9": ("us-east", "ap-north")}
        assert {a: (client.region("www", "A", a)[0], client.region("routed", "A", a)[0]) for a in want} == want
        assert client.region("www", "A", "203.0.113.1")[1] == 25
        assert client.region("routed", "A", "203.0.113.200")[1] == 26
        client.sock.close()
