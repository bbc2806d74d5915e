# SPDX-License-Identifier: Apache-2.0
"""A small writer of MaxMind DB files (.mmdb) for end-to-end tests.

    write("city.mmdb", {"192.0.2.0/24": {"country": {"iso_code": "DE"}}}, type="Test-City")

Values are dicts, lists, strings, floats, booleans and non-negative integers; later, smaller networks override.
"""
import ipaddress
import struct
import time


def _head(kind, size):
    first = kind << 5 if kind <= 7 else 0
    rest = b"" if kind <= 7 else bytes([kind - 7])
    if size < 29:
        return bytes([first | size]) + rest
    if size < 285:
        return bytes([first | 29]) + rest + bytes([size - 29])
    if size < 65821:
        return bytes([first | 30]) + rest + struct.pack(">H", size - 285)
    return bytes([first | 31]) + rest + (size - 65821).to_bytes(3, "big")


def encode(value, uint_kind=6):
    if isinstance(value, bool):
        return _head(14, int(value))
    if isinstance(value, str):
        text = value.encode()
        return _head(2, len(text)) + text
    if isinstance(value, float):
        return _head(3, 8) + struct.pack(">d", value)
    if isinstance(value, int):
        size = {5: 2, 6: 4, 9: 8}[uint_kind]
        return _head(uint_kind, size) + value.to_bytes(size, "big")
    if isinstance(value, dict):
        return _head(7, len(value)) + b"".join(encode(k) + encode(v) for k, v in value.items())
    if isinstance(value, list):
        return _head(11, len(value)) + b"".join(encode(v) for v in value)
    raise TypeError(f"{type(value).__name__} is not supported")


def _metadata(nodes, ip_version, record_size, type, major):
    numbers = {"binary_format_major_version": major, "binary_format_minor_version": 0, "ip_version": ip_version,
               "record_size": record_size}
    out = _head(7, 9) + b"".join(encode(k) + encode(v, 5) for k, v in numbers.items())
    out += encode("node_count") + encode(nodes)
    out += encode("build_epoch") + encode(int(time.time()), 9)
    out += encode("database_type") + encode(type)
    out += encode("languages") + encode(["en"])
    return out + encode("description") + encode({"en": "made by a test"})


def build(networks, type="Test", ip_version=6, record_size=24, major=2):
    """The octets of a database with {network: record}."""
    nodes, data, offsets = [[None, None]], b"", {}
    for text, record in sorted(networks.items(), key=lambda item: ipaddress.ip_network(item[0]).prefixlen):
        net = ipaddress.ip_network(text)
        raw = encode(record)
        if raw not in offsets:
            offsets[raw] = len(data)
            data += raw
        width = 128 if ip_version == 6 else 32
        bits = format(int(net.network_address), f"0{width}b")
        length = net.prefixlen + (96 if ip_version == 6 and net.version == 4 else 0)
        at = 0
        for bit in map(int, bits[:length - 1]):
            below = nodes[at][bit]
            if not isinstance(below, int):
                nodes.append([below, below])
                below = nodes[at][bit] = len(nodes) - 1
            at = below
        nodes[at][int(bits[length - 1])] = ("data", offsets[raw])
    out = b""
    for node in nodes:
        left, right = (len(nodes) if r is None else r if isinstance(r, int) else len(nodes) + 16 + r[1] for r in node)
        if record_size == 28:
            out += (left & 0xffffff).to_bytes(3, "big") + bytes([(left >> 24) << 4 | right >> 24])
            out += (right & 0xffffff).to_bytes(3, "big")
        else:
            out += left.to_bytes(record_size // 8, "big") + right.to_bytes(record_size // 8, "big")
    return out + bytes(16) + data + b"\xab\xcd\xefMaxMind.com" + _metadata(len(nodes), ip_version, record_size, type,
                                                                            major)


def write(path, networks, **options):
    with open(path, "wb") as f:
        f.write(build(networks, **options))
