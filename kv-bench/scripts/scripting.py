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
import argparse
import hashlib
import os
import random
import socket
import statistics
import sys
import tempfile

from servers import Server, bursts, encode, take

KEYS = 100_000
BAR = {"get": 0.80}
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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--a", default="target/release/kv-server --shards 1")
    parser.add_argument("--b", default="redis-server")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--calls", type=int, default=400_000)
    parser.add_argument("--pipeline", type=int, default=16)
    parser.add_argument("--connections", type=int, default=20)
    parser.add_argument("--only", default="", help="names of cases, with commas")
    o = parser.parse_args()
    chosen = [case for case in CASES if case in (o.only.split(",") if o.only else CASES)]
    os.sched_setaffinity(0, {1})
    requests = {case: [b"".join(call(case) for _ in range(o.pipeline)) for _ in range(20_000)] for case in chosen}
    got = {}
    with tempfile.TemporaryDirectory() as folder:
        servers = {"A": Server(o.a, 7431, folder, "0")}
        try:
            servers["B"] = Server(o.b, 7432, folder, "0")
            for server in servers.values():
                with socket.create_connection(("127.0.0.1", server.port)) as load:
                    for code, *_ in CASES.values():
                        load.sendall(encode(["SCRIPT", "LOAD", code]))
                        take(load, 2)
                    for key in range(KEYS):
                        load.sendall(encode(["SET", f"k{key}", "x" * 32]))
                        if key % 500 == 499:
                            take(load, 500)
            for round in range(o.rounds):
                for case in chosen:
                    for name in "AB" if round % 2 == 0 else "BA":
                        got.setdefault((case, name), []).append(bursts(servers[name], requests[case], CASES[case][3] * o.pipeline, o.calls, o.pipeline, o.connections))
        finally:
            for server in servers.values():
                server.stop()
    short = []
    for case in chosen:
        (a, a_rate), (b, b_rate) = ([statistics.median(column) for column in zip(*got[case, name])] for name in "AB")
        bar = BAR.get(case)
        short += [case] if bar and a / b > bar else []
        verdict = "" if bar is None else f"   bar {bar:.2f} {'SHORT' if case in short else 'met'}"
        print(f"{case:8s} A {a:7.3f} us {a_rate:9.0f}/s   B {b:7.3f} us {b_rate:9.0f}/s   A/B {a / b:.2f}{verdict}")
    sys.exit(1 if short else 0)


if __name__ == "__main__":
    main()
