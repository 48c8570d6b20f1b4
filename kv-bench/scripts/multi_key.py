#!/usr/bin/env python3
"""Throughput of MGET and MSET of 8 keys, and of GET beside them, of kv-server with two shards beside a server with one thread.

    multi_key.py --b REDIS8 [--rounds 5] [--scale 0.5]

Servers and clients share cores 0 and 1; redis-benchmark, pipeline 16, 64-byte values, 1 M keys. MGET and MSET run with 50 connections. Then
GET runs with 25 connections, alone and beside as many that send MSET: told is what GET keeps of its own throughput. (Where server and
clients share all cores, GET also loses what the second client and its requests take of them, on either server.)

A: --a COMMAND, default "target/release/kv-server --shards 2"; B: --b COMMAND, default redis-server. Goals: MGET and MSET 1.5 of B's throughput;
GET keeps 0.7.
"""
import argparse
import statistics
import subprocess
import tempfile

from servers import Server, benchmark

KEY, VALUE = "key:__rand_int__", "x" * 64
COMMON = ["-P", 16, "-d", 64, "-r", 1_000_000]
MGET, MSET = ["MGET"] + [KEY] * 8, ["MSET"] + [KEY, VALUE] * 8


def rps(server, count, clients, words):
    return benchmark(server.port, "0,1", [*COMMON, "-n", count, "-c", clients, *words])[0]


def get_beside(server, count):
    """GET's throughput while another client sends MSET without an end."""
    options = [*COMMON, "-n", 2_000_000_000, "-c", 25, *MSET]
    other = subprocess.Popen(["taskset", "-c", "0,1", "redis-benchmark", "-p", str(server.port), "-q", *map(str, options)], stdout=subprocess.DEVNULL)
    try:
        return rps(server, count, 25, ["-t", "get"])
    finally:
        other.kill()
        other.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--a", default="target/release/kv-server --shards 2")
    parser.add_argument("--b", default="redis-server")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of requests")
    o = parser.parse_args()
    several, single = int(300_000 * o.scale), int(1_500_000 * o.scale)
    cases = {
        "MGET of 8": lambda server: rps(server, several, 50, MGET),
        "MSET of 8": lambda server: rps(server, several, 50, MSET),
        "GET alone": lambda server: rps(server, single, 25, ["-t", "get"]),
        "GET beside": lambda server: get_beside(server, single),
    }
    with tempfile.TemporaryDirectory() as folder:
        servers = {"A": Server(o.a, 7471, folder, "0,1"), "B": Server(o.b, 7472, folder, "0,1")}
        try:
            for server in servers.values():
                benchmark(server.port, "0,1", ["-t", "set", "-d", 64, "-r", 1_000_000, "-n", 3_000_000, "-P", 64])
            got = {}
            for _ in range(o.rounds):
                for case, measure in cases.items():
                    for name, server in servers.items():
                        got.setdefault((case, name), []).append(measure(server))
            median = {key: statistics.median(values) for key, values in got.items()}
            for case in cases:
                a, b = median[case, "A"], median[case, "B"]
                print(f"{case:12s} A {a:9.0f}/s   B {b:9.0f}/s   A/B {a / b:.2f}")
            for name in servers:
                print(f"GET keeps of its own, {name}: {median['GET beside', name] / median['GET alone', name]:.2f}")
        finally:
            for server in servers.values():
                server.stop()


if __name__ == "__main__":
    main()
