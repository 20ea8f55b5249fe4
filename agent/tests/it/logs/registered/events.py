"""Makes events, writes them as Avro, Protobuf and JSON behind the ids of their schemas, and counts them: with nothing but
Python's standard library, by the specifications of the three.

usage: events.py AVRO_ID PROTOBUF_ID JSON_ID EVENTS

Prints one JSON object: "records", the payloads of each kind in hexadecimal, and "numbers", [metric, {label: value}, number]
of what an agent has to find in them.
"""

import json
import random
import struct
import sys
from collections import Counter

AVRO, PROTOBUF, JSON, EVENTS = map(int, sys.argv[1:])
random.seed(7)
numbers = Counter()


def varint(number):
    number &= (1 << 64) - 1
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out) + bytes([number])


def zigzag(number):
    return varint(number << 1 ^ number >> 63)


def sized(data):
    return zigzag(len(data)) + data


def text(value):
    return sized(value.encode())


def blocks(items, with_sizes):
    """An array or a map: in one block, or in blocks of one item that say how many bytes they have."""
    if with_sizes:
        return b"".join(zigzag(-1) + zigzag(len(item)) + item for item in items) + b"\0"
    return (zigzag(len(items)) + b"".join(items) if items else b"") + b"\0"


def avro(event, number):
    price = event["price"]
    user, took = event["user"], event["took"]
    return b"".join([
        zigzag(event["at"] // 1000),
        text(event["method"]),
        zigzag(event["status"]),
        zigzag(0) if took is None else zigzag(1) + struct.pack("<d", took),
        zigzag(event["bytes"]),
        sized(price.to_bytes(price.bit_length() // 8 + 1, "big", signed=True)),
        zigzag(0) if user is None else zigzag(1) + text(user["name"]) + zigzag(["free", "paid"].index(user["plan"])),
        blocks([text(key) + text(value) for key, value in event["tags"].items()], number % 2),
        blocks([text(hop["host"]) + zigzag(hop["ms"]) for hop in event["hops"]], number % 3 == 0),
    ])


def field(number, data):
    """What proto3 writes of a field: nothing at all of a default."""
    if isinstance(data, (bytes, str)):
        data = data.encode() if isinstance(data, str) else data
        return varint(number << 3 | 2) + varint(len(data)) + data if data else b""
    return varint(number << 3) + varint(data) if data else b""


def message(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def protobuf(event, number):
    user, took = event["user"], event["took"]
    parts = [
        message(1, field(1, event["at"] // 10**9) + field(2, event["at"] % 10**9)),
        field(2, event["method"]),
        field(3, event["status"]),
        b"" if took is None else varint(4 << 3 | 1) + struct.pack("<d", took),
        field(5, event["bytes"]),
        field(6, decimal(event["price"])),
        b"" if user is None else message(7, field(1, user["name"]) + field(2, ["free", "paid"].index(user["plan"]))),
        *[message(8, field(1, key) + field(2, value)) for key, value in event["tags"].items()],
        *[message(9, field(1, hop["host"]) + field(2, hop["ms"])) for hop in event["hops"]],
    ]
    # The order of fields says nothing, but for that of a repeated one's items.
    if number % 2:
        parts.reverse()
        parts = [part for part in parts if part[:1] != b"J"] + [part for part in reversed(parts) if part[:1] == b"J"]
    # The second message of the file: one index, which is 1.
    return zigzag(1) + zigzag(1) + b"".join(parts)


def decimal(thousandths):
    sign, digits = "-" if thousandths < 0 else "", abs(thousandths)
    return f"{sign}{digits // 1000}.{digits % 1000:03}"


def as_json(event, number):
    plain = {**event, "at": event["at"] // 10**6, "price": decimal(event["price"])}
    return json.dumps(plain, indent=1 if number % 2 else None).encode()


def framed(schema, payload):
    return (b"\0" + struct.pack(">I", schema) + payload).hex()


def made(number):
    return {
        "at": 1_763_657_472_000_000_000 + number * 1_000_000,
        "method": random.choice(["GET", "POST", "PÜT"]),
        "status": random.choice([0, 200, 404, 503]),
        "took": random.choice([None, random.randrange(4000) / 4]),
        "bytes": random.choice([0, random.randrange(1 << 40)]),
        "price": random.randrange(1 << 40),
        "user": random.choice([None, {"name": random.choice(["ann", ""]), "plan": random.choice(["free", "paid"])}]),
        "tags": {key: random.choice(["eu", "us"]) for key in random.sample(["region", "zone", "rack"], random.randrange(4))},
        "hops": [{"host": random.choice("abc"), "ms": random.randrange(9)} for _ in range(random.randrange(4))],
    }


def add(metric, labels, number):
    numbers[metric, tuple(sorted((name, value) for name, value in labels.items() if value))] += number


records = {"avro": [], "protobuf": [], "json": []}
for number in range(EVENTS):
    event = made(number)
    records["avro"].append(framed(AVRO, avro(event, number)))
    records["protobuf"].append(framed(PROTOBUF, protobuf(event, number)))
    records["json"].append(framed(JSON, as_json(event, number)))
    user, hops = event["user"] or {}, event["hops"]
    labels = {"method": event["method"], "status": str(event["status"]), "plan": user.get("plan"), "region": event["tags"].get("region")}
    at_b = next((hop["ms"] for hop in hops if hop["host"] == "b"), None)
    for kind in records:
        add(f"{kind}_requests_total", labels, 1)
        add(f"{kind}_took_seconds_total", labels, (event["took"] or 0) / 1000)
        add(f"{kind}_sent_bytes_total", labels, event["bytes"])
        add(f"{kind}_paid_total", labels, event["price"] / 1000)
        add(f"{kind}_last_total", labels, hops[-1]["ms"] if hops else 0)
        add(f"{kind}_at_b_total", labels, at_b or 0)
print(json.dumps({"records": records, "numbers": [[metric, dict(labels), number] for (metric, labels), number in numbers.items()]}))
