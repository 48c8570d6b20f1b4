#!/usr/bin/env python3
"""Server CPU per script, of kv-server beside another server, with the bar that kv is to reach.

    scripting.py --b REDIS8 [--rounds 5] [--calls 400000] [--pipeline 16] [--connections 20] [--only get,incr]

Scripts are called by EVALSHA on one of 100,000 keys with values of 32 bytes: `get` is `return redis.call('get',KEYS[1])`, `incr` counts and
sets an expiry at the first time (a limit of rates), `cas` deletes a key if it has a value (the release of a lock), `json` decodes
and encodes a small object. Each connection sends so many calls at once and waits for all replies before it sends the next. One
shard, the server on core 0, this program on core 1. Rounds are interleaved; CPU is what the kernel's scheduler counted for the
server's threads (schedstat), median over the rounds. Exit status 1 when the bar, which is one for `get`, is not reached.

A: --a COMMAND, default "target/release/kv-server --shards 1"; B: --b COMMAND, default redis-server. Both get --port, --dir, --save ""
and --appendonly no.
"""
import hashlib
import random

from servers import compare_bursts, encode, take

KEYS = 100_000
BARS = {"get": 0.80}
INCR = "local n = redis.call('incr',KEYS[1]) if n == 1 then redis.call('expire',KEYS[1],ARGV[1]) end return n"
CAS = "if redis.call('get',KEYS[1]) == ARGV[1] then return redis.call('del',KEYS[1]) else return 0 end"
# The script, what stands in front of its key, and its arguments; replies have as many line ends as the last number says.
CASES = {
    "get": ("return redis.call('get',KEYS[1])", "k", [], 2),
    "incr": (INCR, "n", ["1000"], 1),
    "cas": (CAS, "k", ["other"], 1),
    "json": ("return cjson.encode(cjson.decode(ARGV[1]))", "k", ['{"a":1,"b":[true,"x",2.5]}'], 2),
}


def call(case):
    code, prefix, arguments, _ = CASES[case]
    sha = hashlib.sha1(code.encode()).hexdigest()
    return encode(["EVALSHA", sha, 1, f"{prefix}{random.randrange(KEYS)}", *arguments])


def load(connection):
    for code, *_ in CASES.values():
        connection.sendall(encode(["SCRIPT", "LOAD", code]))
        take(connection, 2)
    for key in range(KEYS):
        connection.sendall(encode(["SET", f"k{key}", "x" * 32]))
        if key % 500 == 499:
            take(connection, 500)


if __name__ == "__main__":
    compare_bursts(__doc__, {case: lines for case, (*_, lines) in CASES.items()}, call, load, BARS, "calls")
