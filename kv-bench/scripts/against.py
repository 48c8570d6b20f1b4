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
import glob
import os
import shlex
import socket
import statistics
import subprocess
import tempfile
import time

REQUESTS = {1: 200_000, 16: 1_500_000, 64: 2_500_000}


def start(command, port, folder, cores, more):
    words = shlex.split(command) + ["--port", str(port), "--dir", folder, "--save", "", "--appendonly", "no"] + more
    process = subprocess.Popen(["taskset", "-c", cores] + words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(200):
        if process.poll() is not None:
            raise SystemExit(f"ended at once: {' '.join(words)}")
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return process
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"does not answer: {' '.join(words)}")


def cpu_us(process):
    files = glob.glob(f"/proc/{process.pid}/task/*/schedstat")
    return sum(int(open(f).read().split()[0]) for f in files) / 1000


def run(port, case, cores):
    test, pipeline = case.split(":")
    pipeline = int(pipeline)
    count = REQUESTS.get(pipeline, 1_000_000)
    key, value = "key:__rand_int__", "x" * 64
    words, tests = {"mget": (["MGET"] + [key] * 8, []), "mset8": (["MSET"] + [key, value] * 8, [])}.get(test, ([], ["-t", test]))
    if words:
        count //= 6
    options = ["-c", "50", "-d", "64", "-r", "1000000", "-P", str(pipeline), "-n", str(count)]
    command = ["taskset", "-c", cores, "redis-benchmark", "-p", str(port), "--csv"] + options + tests + words
    line = subprocess.run(command, capture_output=True, text=True).stdout.strip().splitlines()[-1]
    fields = line.strip('"').split('","')
    return count, float(fields[1]), float(fields[6])


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
            "A": (start(o.a, 7431, folder, server_cores, ["--shards", str(o.shards)]), 7431),
            "B": (start(o.b, 7432, folder, server_cores, b_more), 7432),
        }
        try:
            for _, port in servers.values():
                load = ["-t", "set", "-d", "64", "-r", "1000000", "-n", "3000000", "-P", "64", "-q"]
                subprocess.run(["redis-benchmark", "-p", str(port)] + load, capture_output=True)
            got = {}
            for _ in range(o.rounds):
                for case in o.cases:
                    for name, (process, port) in servers.items():
                        before = cpu_us(process)
                        count, rps, p99 = run(port, case, client_cores)
                        got.setdefault((case, name), []).append(((cpu_us(process) - before) / count, rps, p99))
            for case in o.cases:
                a, b = ([statistics.median(column) for column in zip(*got[case, name])] for name in "AB")
                print(
                    f"{case:10s} A {a[0]:7.3f} us, {a[1]:9.0f}/s, p99 {a[2]:6.2f} ms   "
                    f"B {b[0]:7.3f} us, {b[1]:9.0f}/s, p99 {b[2]:6.2f} ms   A/B {a[0] / b[0]:.2f}"
                )
        finally:
            for process, _ in servers.values():
                process.kill()


if __name__ == "__main__":
    os.environ.setdefault("LC_ALL", "C")
    main()
