#!/usr/bin/env python3
"""Server CPU per transaction, of kv-server beside another server, with the bar that kv is to reach.

    transactions.py --b REDIS8 [--rounds 5] [--units 400000] [--pipeline 16] [--connections 20] [--only exec,read]

A transaction is MULTI, SET, INCR, EXEC on two keys of one tag, of 100,000 tags; in the case `watch` a WATCH of one of them stands in
front, in the case `read` two GETs stand in place of the writes. Each connection sends so many transactions at once and waits for
all replies before it sends the next. One shard, the server on core 0, this program on core 1. Rounds are interleaved; CPU is what
the kernel's scheduler counted for the server's threads (schedstat), median over the rounds. Exit status 1 when the bar is not reached.

A: --a COMMAND, default "target/release/kv-server --shards 1"; B: --b COMMAND, default redis-server. Both get --port, --dir, --save ""
and --appendonly no.
"""
import random

from servers import compare_bursts, encode, take

TAGS = 100_000
BAR = 0.60
# The lines of a transaction's replies.
CASES = {"exec": 6, "watch": 7, "read": 8}


def transaction(case):
    tag = random.randrange(TAGS)
    a, b = f"{{{tag}}}a", f"{{{tag}}}b"
    commands = [["GET", a], ["GET", b]] if case == "read" else [["SET", a, "xxx"], ["INCR", b]]
    watch = [["WATCH", a]] if case == "watch" else []
    return b"".join(encode(words) for words in [*watch, ["MULTI"], *commands, ["EXEC"]])


def load(connection):
    for tag in range(TAGS):
        connection.sendall(encode(["MSET", f"{{{tag}}}a", "xxx", f"{{{tag}}}b", "1"]))
        if tag % 500 == 499:
            take(connection, 500)


if __name__ == "__main__":
    compare_bursts(__doc__, CASES, transaction, load, dict.fromkeys(CASES, BAR), "units")
