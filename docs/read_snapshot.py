#!/usr/bin/env python3
"""Prints the keys of snapshot files, and libraries of functions, as lines of JSON: read_snapshot.py base-000007-0000.kvsnap ...

Needs the package `msgpack`. docs/persistence.md tells the format. Bytes are printed as Latin-1, scores as text.
"""
import json, struct, sys
import msgpack

TYPES = ["string", "list", "set", "hash", "zset", "stream"]
TABLE = list(range(256))
for _ in range(8):
    TABLE = [n >> 1 ^ (0x82F63B78 if n & 1 else 0) for n in TABLE]

def crc32c(data, crc):
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF

def unlz4(data):
    out, source = bytearray(), iter(data)
    def length(half):                             # 15 goes on in the bytes that follow, up to one below 255
        while half >= 15 and (more := next(source)) == 255:
            half += 255
        return half + more if half >= 15 else half
    for token in source:
        out += bytes(next(source) for _ in range(length(token >> 4)))
        if (low := next(source, None)) is None:   # the last sequence has no match
            return out
        back = low | next(source) << 8
        for _ in range(length(token & 15) + 4):
            out.append(out[-back])

def keys(file):
    """Database, key, type, expiry and value of each key, values put together from their parts; name, code and functions of libraries."""
    header = file.read(48)
    crc, blocks, found = crc32c(header[:44], 0), 0, 0
    assert header[:12] == b"KVSNAP\0\0\1\0\0\0" and header[44:] == struct.pack("<I", crc), "no snapshot of version 1"
    while True:
        head = file.read(21)
        length, raw, codec, expected = struct.unpack("<QQBI", head)
        payload = file.read(length)
        crc = crc32c(payload, crc32c(head[:17], crc))
        assert crc == expected, f"the checksum of block {blocks} does not agree with it"
        if codec == 255:
            assert struct.unpack("<QQ", payload) == (found, blocks) and not file.read(1), "the footer counts others"
            return
        records = msgpack.Unpacker(strict_map_key=False, max_buffer_size=0)
        records.feed(unlz4(payload) if codec == 1 else payload)
        for kind, *rest in records:
            if kind == 1:                         # a key with its whole value
                db, key, value, expire_at = (*rest, None)[:4]
                number, value = value if isinstance(value, list) else (0, value)
            elif kind == 7:                       # a key whose value follows in parts
                db, key, number, expire_at = rest
                value = [bytearray, list, list, dict, dict, list][number]()
            elif kind == 8:                       # a part
                getattr(value, "update" if number in (3, 4) else "extend")(rest[0])
            elif kind == 10:                      # a library of functions, which is no key
                yield rest
            if kind in (1, 9):
                found += 1
                yield db, key, number, expire_at, value
        blocks += 1

def text(value):
    return value.decode("latin-1") if isinstance(value, (bytes, bytearray)) else str(value)

def plain(number, value):
    if number == 5:                               # lines of numbers and strings
        return [[text(word) if isinstance(word, bytes) else word for word in line] for line in value]
    if isinstance(value, dict):                   # a list: the value of a field, and when it expires
        return {text(k): [text(v[0]), v[1]] if isinstance(v, list) else text(v) for k, v in value.items()}
    return [text(element) for element in value] if isinstance(value, list) else text(value)

for name in sys.argv[1:]:
    with open(name, "rb") as file:
        for db, key, number, *rest in keys(file):
            if not rest:
                library = {"library": text(db), "code": text(key)}
                functions = [[text(name), about and text(about), flags] for name, about, flags in number]
                print(json.dumps({**library, "functions": functions}))
                continue
            expire_at, value = rest
            line = {"db": db, "key": text(key), "type": TYPES[number], "expire_at": expire_at}
            print(json.dumps({**line, "value": plain(number, value)}))
