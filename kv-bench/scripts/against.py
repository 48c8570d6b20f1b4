#!/usr/bin/env python3
"""Server CPU per operation of two servers, interleaved in rounds, under redis-benchmark.

    against.py --shards 2 --rounds 5 mget:1 mget:16 mset8:1 mset8:16 [get:1 set:16 ...]

A case is a test of redis-benchmark and a pipeline; `mget` and `mset8` are MGET and MSET of 8 random keys. 50 connections,
64-byte values, 1 M keys (loaded first, 3 M random SETs). With one shard the servers have core 0 and the client core 1, else
all share cores 0 and 1. CPU is what the kernel's scheduler counted for the server's threads (/proc/PID/task/*/schedstat, in
nanoseconds), median over the rounds; the last column is A's figure by B's.

A: --a COMMAND, default target/release/kv-server; B: --b COMMAND, default redis-server. Both get --port, --dir, --save ""
and --appendonly no, A also --shards.
"""
import argparse
import statistics
import tempfile

from servers import Server, benchmark

REQUESTS = {1: 200_000, 16: 1_500_000, 64: 2_500_000}


def run(port, case, cores):
    test, pipeline = case.split(":")
    pipeline = int(pipeline)
    count = REQUESTS.get(pipeline, 1_000_000)
    key, value = "key:__rand_int__", "x" * 64
    words, tests = {"mget": (["MGET"] + [key] * 8, []), "mset8": (["MSET"] + [key, value] * 8, [])}.get(test, ([], ["-t", test]))
    if words:
        count //= 6
    options = ["-c", "50", "-d", "64", "-r", "1000000", "-P", str(pipeline), "-n", str(count)]
    return count, *benchmark(port, cores, options + tests + words)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="+")
    parser.add_argument("--a", default="target/release/kv-server")
    parser.add_argument("--b", default="redis-server")
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--b-shards", type=int, help="when B takes --shards, too")
    parser.add_argument("--rounds", type=int, default=3)
    o = parser.parse_args()
    server_cores, client_cores = ("0", "1") if o.shards == 1 and not o.b_shards else ("0,1", "0,1")
    with tempfile.TemporaryDirectory() as folder:
        b_more = ["--shards", str(o.b_shards)] if o.b_shards else []
        servers = {
            "A": Server(o.a, 7431, folder, server_cores, ["--shards", str(o.shards)]),
            "B": Server(o.b, 7432, folder, server_cores, b_more),
        }
        try:
            for server in servers.values():
                load = ["-t", "set", "-d", "64", "-r", "1000000", "-n", "3000000", "-P", "64"]
                benchmark(server.port, "0,1", load)
            got = {}
            for _ in range(o.rounds):
                for case in o.cases:
                    for name, server in servers.items():
                        before = server.cpu_us()
                        count, rps, p99 = run(server.port, case, client_cores)
                        got.setdefault((case, name), []).append(((server.cpu_us() - before) / count, rps, p99))
            for case in o.cases:
                a, b = ([statistics.median(column) for column in zip(*got[case, name])] for name in "AB")
                print(
                    f"{case:10s} A {a[0]:7.3f} us, {a[1]:9.0f}/s, p99 {a[2]:6.2f} ms   "
                    f"B {b[0]:7.3f} us, {b[1]:9.0f}/s, p99 {b[2]:6.2f} ms   A/B {a[0] / b[0]:.2f}"
                )
        finally:
            for server in servers.values():
                server.stop()


if __name__ == "__main__":
    main()
