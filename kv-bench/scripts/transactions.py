#!/usr/bin/env python3
"""Server CPU per transaction, of kv-server beside another server, with the bar that kv is to reach.

    transactions.py --b REDIS8 [--rounds 5] [--units 320000] [--pipeline 16] [--connections 20] [--only exec,read]

A transaction is MULTI, SET, INCR, EXEC on two keys of one tag, of 100,000 tags; in the case `watch` a WATCH of one of them stands in
front, in the case `read` two GETs stand in place of the writes. Each connection sends so many transactions at once and waits for
all replies before it sends the next. One shard, the server on core 0, this program on core 1. Rounds are interleaved; CPU is what
the kernel's scheduler counted for the server's threads (schedstat), median over the rounds. Exit status 1 when the bar is not reached.

A: --a COMMAND, default "target/release/kv-server --shards 1"; B: --b COMMAND, default redis-server. Both get --port, --dir, --save ""
and --appendonly no.
"""
import argparse
import os
import random
import socket
import statistics
import sys
import tempfile

from servers import Server, bursts, encode, take

TAGS = 100_000
BAR = 0.60
# The lines of a transaction's replies.
CASES = {"exec": 6, "watch": 7, "read": 8}


def transaction(case, tag):
    a, b = f"{{{tag}}}a", f"{{{tag}}}b"
    commands = [["GET", a], ["GET", b]] if case == "read" else [["SET", a, "xxx"], ["INCR", b]]
    watch = [["WATCH", a]] if case == "watch" else []
    return b"".join(encode(words) for words in [*watch, ["MULTI"], *commands, ["EXEC"]])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--a", default="target/release/kv-server --shards 1")
    parser.add_argument("--b", default="redis-server")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--units", type=int, default=320_000)
    parser.add_argument("--pipeline", type=int, default=16)
    parser.add_argument("--connections", type=int, default=20)
    parser.add_argument("--only", default="", help="names of cases, with commas")
    o = parser.parse_args()
    chosen = [case for case in CASES if case in (o.only.split(",") if o.only else CASES)]
    os.sched_setaffinity(0, {1})
    requests = {
        case: [b"".join(transaction(case, random.randrange(TAGS)) for _ in range(o.pipeline)) for _ in range(20_000)]
        for case in chosen
    }
    got = {}
    with tempfile.TemporaryDirectory() as folder:
        servers = {"A": Server(o.a, 7431, folder, "0")}
        try:
            servers["B"] = Server(o.b, 7432, folder, "0")
            for server in servers.values():
                with socket.create_connection(("127.0.0.1", server.port)) as load:
                    for tag in range(TAGS):
                        load.sendall(encode(["MSET", f"{{{tag}}}a", "xxx", f"{{{tag}}}b", "1"]))
                        if tag % 500 == 499:
                            take(load, 500)
            for round in range(o.rounds):
                for case in chosen:
                    for name in "AB" if round % 2 == 0 else "BA":
                        got.setdefault((case, name), []).append(bursts(servers[name], requests[case], CASES[case] * o.pipeline, o.units, o.pipeline, o.connections))
        finally:
            for server in servers.values():
                server.stop()
    short = []
    for case in chosen:
        (a, a_rate), (b, b_rate) = ([statistics.median(column) for column in zip(*got[case, name])] for name in "AB")
        short += [case] if a / b > BAR else []
        print(
            f"{case:8s} A {a:7.3f} us {a_rate:9.0f}/s   B {b:7.3f} us {b_rate:9.0f}/s   A/B {a / b:.2f}   "
            f"bar {BAR:.2f} {'SHORT' if case in short else 'met'}"
        )
    sys.exit(1 if short else 0)


if __name__ == "__main__":
    main()
