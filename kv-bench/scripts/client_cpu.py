#!/usr/bin/env python3
"""Requests that a load generator sends for each second of its own CPU: kv-bench beside redis-benchmark.

    client_cpu.py [--rounds 5] [--requests 2000000] [--pipeline 16]

50 connections, SET and GET over 1 M keys, one redis-server on core 0 and the clients by turns on core 1. CPU is what
getrusage tells of the client's process, so that other load on the machine matters little. The last column is
kv-bench's figure by redis-benchmark's.
"""
import argparse
import resource
import statistics
import subprocess
import tempfile

from servers import Server


def cpu_seconds(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(["taskset", "-c", "1"] + command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kv-bench", default="target/release/kv-bench")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=2_000_000)
    parser.add_argument("--pipeline", type=int, default=16)
    o = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = Server("redis-server", 7433, folder, "0")
        try:
            options = ["-p", "7433", "-c", "50", "-P", str(o.pipeline), "-n", str(o.requests), "-r", "1000000", "-q"]
            for test in ["set", "get"]:
                got = {"redis-benchmark": [], o.kv_bench: []}
                for _ in range(o.rounds):
                    for client, figures in got.items():
                        figures.append(o.requests / cpu_seconds([client] + options + ["-t", test]))
                theirs, ours = (statistics.median(figures) for figures in got.values())
                print(f"{test}: redis-benchmark {theirs:,.0f}  kv-bench {ours:,.0f} a CPU second, {ours / theirs:.2f} times", flush=True)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
